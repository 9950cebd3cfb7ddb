"""Tell what is on pictures, with weights from a file or a run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archspec.cli.options import (
    Device,
    MeanOption,
    RescaleOption,
    RootOption,
    SetOption,
    ShortSideOption,
    StdOption,
    console,
    preprocessing,
    say,
)


class PredictFormat(StrEnum):
    """Formats of `archspec predict`."""

    table = "table"
    json = "json"
    csv = "csv"


def predict(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="JPEG or PNG files, or folders with some below."),
    ],
    weights: Annotated[
        Path,
        typer.Option(
            "--weights",
            metavar="FILE",
            help="Weights of any format that is read, or the folder of a run or a checkpoint.",
        ),
    ],
    spec: Annotated[
        str | None,
        typer.Option(
            "--spec",
            metavar="SPEC",
            help="A spec file, or the name of a shipped spec; the run's or alexnet if left out.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="The names of the classes, one a line."),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="So many of the likeliest classes.")] = 5,
    mean: MeanOption = None,
    std: StdOption = None,
    rescale: RescaleOption = None,
    short_side: ShortSideOption = None,
    backend: Annotated[
        str, typer.Option("--backend", metavar="torch|keras|numpy|...", help="The backend.")
    ] = "torch",
    device: Annotated[Device, typer.Option("--device", help="Where to compute.")] = Device.auto,
    format: Annotated[PredictFormat, typer.Option("--format", help="How to print it.")] = (
        PredictFormat.table
    ),
    set_: SetOption = None,
    root: RootOption = None,
) -> None:
    """Tell the likeliest classes of pictures.

    Examples: archspec predict --weights runs/mine photo.jpg; archspec predict --weights
    bvlc_alexnet.npy --spec alexnet-bvlc-tensorflow --mean 123.68,116.779,103.939 --labels
    synset_words.txt cat.jpg
    """
    from archspec import api
    from archspec.report import prediction

    found = api.classifier(
        weights,
        spec,
        variables=api.parse_assignments(set_ or []),
        root=root,
        labels=labels,
        preprocessing=preprocessing(mean, std, rescale, short_side),
        backend=backend,
        device=device.value,
    )
    for note in found.weights.notes:
        say(note)
    predictions = found.predict(images, top)
    if format is PredictFormat.json:
        print(prediction.to_json(found, predictions))
    elif format is PredictFormat.csv:
        prediction.print_csv(predictions)
    else:
        prediction.print_predictions(console(), predictions)
