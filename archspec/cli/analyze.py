"""Shapes, parameters, operations, and what contradicts them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from archspec.cli.options import (
    InputOption,
    OutputOption,
    RootOption,
    SetOption,
    SpecArgument,
    console,
    load,
    opened,
    say,
)

if TYPE_CHECKING:
    from archspec.analysis import Analysis


class AnalyzeFormat(StrEnum):
    """Formats of `archspec analyze`."""

    table = "table"
    json = "json"
    csv = "csv"
    markdown = "markdown"
    html = "html"


def analyze(
    spec: SpecArgument = "alexnet",
    format: Annotated[AnalyzeFormat, typer.Option("--format", help="How to print it.")] = (
        AnalyzeFormat.table
    ),
    input: InputOption = None,
    set_: SetOption = None,
    batch: Annotated[
        int, typer.Option("--batch", min=1, help="Images at once; scales activation memory.")
    ] = 1,
    output: OutputOption = None,
    root: RootOption = None,
) -> None:
    """Print every shape, parameter and operation, with the arithmetic and what contradicts it.

    Examples: archspec analyze alexnet; archspec analyze my.yaml --format json;
    archspec analyze alexnet --input 3x224x224
    """
    from archspec import api

    found = api.analyze(load(spec, set_, input, root), batch=batch)
    if format is AnalyzeFormat.table:
        from archspec.report import table

        if output is None:
            table.print_analysis(console(), found)
        else:
            with opened(output) as stream:
                table.print_analysis(console(file=stream), found)
    else:
        text = _text(found, format)
        if output is None:
            print(text)
        else:
            with opened(output) as stream:
                stream.write(text + "\n")
    if output is not None:
        say(f"wrote {output}")
    if found.has_errors:
        raise typer.Exit(1)


def _text(found: Analysis, format: AnalyzeFormat) -> str:
    if format is AnalyzeFormat.html:
        from archspec.report.html import to_html

        return to_html(found)
    from archspec.report import export

    writers = {"json": export.to_json, "csv": export.to_csv, "markdown": export.to_markdown}
    return writers[format.value](found)
