"""Draw the network as SVG."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archspec.cli.options import (
    InputOption,
    RootOption,
    SetOption,
    SpecArgument,
    load,
    result,
)


class DrawStyle(StrEnum):
    """Styles of `archspec draw`."""

    auto = "auto"
    figure = "figure"
    graph = "graph"


class Detail(StrEnum):
    """How much of blocks a graph shows."""

    auto = "auto"
    blocks = "blocks"
    layers = "layers"


def draw(
    spec: SpecArgument = "alexnet",
    output: Annotated[
        Path | None, typer.Option("--output", help="The file to write; NAME.svg when left out.")
    ] = None,
    style: Annotated[
        DrawStyle,
        typer.Option("--style", help="The AlexNet paper's figure, for chains, or a graph."),
    ] = DrawStyle.auto,
    detail: Annotated[
        Detail, typer.Option("--detail", help="In a graph, blocks closed or every layer.")
    ] = Detail.auto,
    input: InputOption = None,
    set_: SetOption = None,
    root: RootOption = None,
) -> None:
    """Draw the network as SVG, for light and dark pages.

    Examples: archspec draw alexnet; archspec draw resnet50 --detail layers --output net.svg
    """
    from archspec import api
    from archspec.report.drawing import draw as drawn

    found = api.analyze(load(spec, set_, input, root))
    text = drawn(found, style=style.value, detail=detail.value)
    with result(output or Path(f"{found.graph.name}.svg")) as stream:
        print(text, file=stream)
    if found.has_errors:
        raise typer.Exit(1)
