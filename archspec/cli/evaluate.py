"""Score a trained network, with a confusion matrix."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archspec.cli.options import (
    Device,
    MeanOption,
    OutputOption,
    RescaleOption,
    RootOption,
    SetOption,
    ShortSideOption,
    StdOption,
    console,
    preprocessing,
    result,
    say,
)


class EvaluateFormat(StrEnum):
    """Formats of `archspec evaluate`."""

    table = "table"
    json = "json"
    csv = "csv"


# What the ending of a file says of its format.
ENDINGS = {".json": EvaluateFormat.json, ".csv": EvaluateFormat.csv}


def evaluate(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="The folder of a run or a checkpoint, or a file of weights."
        ),
    ],
    spec: Annotated[
        str | None,
        typer.Option(
            "--spec",
            metavar="SPEC",
            help="For a file of weights: a spec file, or the name of a shipped spec.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Other images, as for `archspec train`; those that the run holds out if left out.",
        ),
    ] = None,
    ten_crop: Annotated[
        bool,
        typer.Option(
            "--ten-crop",
            help="Average the softmax of the corners, the middle and their mirror images.",
        ),
    ] = False,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint", metavar="best|last|step-N", help="Of a run; the best if left out."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Look at so many images at most.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="Images in a pass, instead of the recipe's."),
    ] = None,
    mean: MeanOption = None,
    std: StdOption = None,
    rescale: RescaleOption = None,
    short_side: ShortSideOption = None,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend", metavar="torch|keras|numpy|...", help="The backend; the run's if left out."
        ),
    ] = None,
    device: Annotated[Device, typer.Option("--device", help="Where to compute.")] = Device.auto,
    format: Annotated[
        EvaluateFormat | None,
        typer.Option("--format", help="How to print it; csv is the confusion matrix."),
    ] = None,
    output: OutputOption = None,
    set_: SetOption = None,
    root: RootOption = None,
) -> None:
    """Tell top-1, top-5 and the confusion matrix of a run on the images that it holds out.

    Any backend takes the weights of any run.

    Examples: archspec evaluate runs/mine --ten-crop; archspec evaluate runs/mine --data folder:new;
    archspec evaluate alexnet.pth --spec alexnet --data folder:imagenet/val
    """
    from archspec import api
    from archspec.report import evaluation

    with evaluation.bar(console(stderr=True)) as progress:
        found = api.evaluate(
            run,
            spec,
            data=data,
            ten_crop=ten_crop,
            checkpoint=checkpoint,
            batch_size=batch_size,
            limit=limit,
            backend=backend,
            device=device.value,
            variables=api.parse_assignments(set_ or []),
            root=root,
            preprocessing=preprocessing(mean, std, rescale, short_side),
            progress=progress,
        )
    for note in found.network.weights.notes:
        say(note)
    if format is None:
        ending = output.suffix.lower() if output is not None else ""
        format = ENDINGS.get(ending, EvaluateFormat.table)
    with result(output) as stream:
        if format is EvaluateFormat.json:
            print(evaluation.to_json(found), file=stream)
        elif format is EvaluateFormat.csv:
            print(evaluation.to_csv(found), file=stream)
        else:
            evaluation.print_evaluation(console(stream), found)
