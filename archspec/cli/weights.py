"""Convert files of weights, and look into them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archspec.cli.options import RootOption, SetOption, SkipOption, console, load, print_json, say

if TYPE_CHECKING:
    from archspec.analysis.section import Section
    from archspec.weights.foreign import Colours, Flatten

COMMANDS = ("convert", "inspect")


class Order(StrEnum):
    """The order of the colours that a network reads."""

    rgb = "rgb"
    bgr = "bgr"


class Flattened(StrEnum):
    """The order in which a dense layer reads a map."""

    chw = "chw"
    hwc = "hwc"


class WeightsFormat(StrEnum):
    """Formats of what is said about weights."""

    table = "table"
    json = "json"


ColoursOption = Annotated[
    Order | None,
    typer.Option(
        "--colours", help="The order of the colours that IN was trained on, if not told by IN."
    ),
]
FlattenOption = Annotated[
    Flattened | None,
    typer.Option("--flatten", help="The order in which IN flattens maps, if not told by IN."),
]
FormatOption = Annotated[WeightsFormat, typer.Option("--format", help="How to print it.")]


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file of weights.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    spec: Annotated[
        str, typer.Option("--spec", metavar="SPEC", help="The network: a file, or a shipped spec.")
    ] = "alexnet",
    set_: SetOption = None,
    skip: SkipOption = None,
    colours: ColoursOption = None,
    flatten: FlattenOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what --skip leaves.")] = 0,
    format: FormatOption = WeightsFormat.table,
    root: RootOption = None,
) -> None:
    """Write the weights of a network in another format, that of OUT's ending.

    What IN is shows in the file. Its layers are found by name, or by order and shape, and every
    conversion is said. OUT: .safetensors, .npy, .pth, .weights.h5, ...

    Example: archspec weights convert bvlc_alexnet.npy alexnet.safetensors --spec
    alexnet-bvlc-tensorflow
    """
    from archspec import api
    from archspec.weights import loading

    found = loading.convert(
        source,
        target,
        api.buildable(load(spec, set_, None, root)),
        skip=skip or (),
        colours=_colours(colours),
        flatten=_flatten(flatten),
        seed=seed,
    )
    if format is WeightsFormat.json:
        print_json({**found.to_json(), "written": str(target)})
    else:
        _print(found.sections())
    say(f"wrote {target}")


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of weights.")],
    spec: Annotated[
        str | None,
        typer.Option("--spec", metavar="SPEC", help="Say how it fits this network."),
    ] = None,
    set_: SetOption = None,
    skip: SkipOption = None,
    colours: ColoursOption = None,
    flatten: FlattenOption = None,
    format: FormatOption = WeightsFormat.table,
    root: RootOption = None,
) -> None:
    """Say what is in a file of weights: format, tensors, figures, and the specs that it fits.

    Examples: archspec weights inspect alexnet.pth; archspec weights inspect net.npz --spec my.yaml
    """
    from archspec import api
    from archspec.diagnostics import ArchspecError, listing
    from archspec.weights.inspection import inspect as look

    options = {
        "--set": set_,
        "--skip": skip,
        "--colours": colours,
        "--flatten": flatten,
        "--root": root,
    }
    given = [name for name, value in options.items() if value is not None]
    if spec is None and given:
        raise ArchspecError(
            f"{listing(given)} {'says' if len(given) == 1 else 'say'} how the file fits a network; "
            "name it: --spec SPEC"
        )
    graph = None if spec is None else api.buildable(load(spec, set_, None, root))
    found = look(file, look_for_specs=graph is None)
    sections = list(found.sections())
    document: dict[str, Any] = found.to_json()
    if graph is not None:
        loaded = api.load_weights(
            file, graph, skip=skip or (), colours=_colours(colours), flatten=_flatten(flatten)
        )
        sections += loaded.sections()
        document["match"] = loaded.to_json()
    if format is WeightsFormat.json:
        print_json(document)
    else:
        _print(sections)


def _print(sections: tuple[Section, ...] | list[Section]) -> None:
    from archspec.report.table import print_section

    out = console()
    for number, section in enumerate(sections):
        if number:
            out.print()
        print_section(out, section)


def _colours(order: Order | None) -> Colours | None:
    return None if order is None else "RGB" if order is Order.rgb else "BGR"


def _flatten(order: Flattened | None) -> Flatten | None:
    return None if order is None else "CHW" if order is Flattened.chw else "HWC"
