"""Shapes, parameters, operations, and what contradicts them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

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


# As `archspec.analysis.memory` has it, which nothing else here needs before the work begins.
Optimizer = Literal["sgd", "momentum", "adam"]


class AnalyzeFormat(StrEnum):
    """Formats of `archspec analyze`."""

    table = "table"
    json = "json"
    csv = "csv"
    markdown = "markdown"


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
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory", metavar="SIZE", help="The largest batch that trains in it: 16GiB."
        ),
    ] = None,
    optimizer: Annotated[
        Optimizer | None,
        typer.Option("--optimizer", help="Whose state it holds; the recipe's if left out."),
    ] = None,
    output: OutputOption = None,
    root: RootOption = None,
) -> None:
    """Print every shape, parameter and operation, with the arithmetic and what contradicts it.

    Examples: archspec analyze alexnet; archspec analyze my.yaml --format json;
    archspec analyze alexnet --input 3x224x224; archspec analyze resnet50 --memory 16GiB
    """
    from archspec import api

    found = api.analyze(load(spec, set_, input, root), batch=batch)
    if memory is not None or optimizer is not None:
        found = _held(found, memory, optimizer)
    if format is AnalyzeFormat.table:
        from archspec.report import table

        if output is None:
            table.print_analysis(console(), found)
        else:
            with opened(output) as stream:
                table.print_analysis(console(file=stream), found)
    else:
        from archspec.report import export

        writers = {"json": export.to_json, "csv": export.to_csv, "markdown": export.to_markdown}
        text = writers[format.value](found)
        if output is None:
            print(text)
        else:
            with opened(output) as stream:
                stream.write(text + "\n")
    if output is not None:
        say(f"wrote {output}")
    if found.has_errors:
        raise typer.Exit(1)


def _held(found: Analysis, memory: str | None, optimizer: Optimizer | None) -> Analysis:
    """The analysis with a report of what training holds, and how many images fit."""
    from archspec.analysis.quantities import parse_bytes
    from archspec.diagnostics import ArchspecError

    try:
        budget = None if memory is None else parse_bytes(memory)
    except ArchspecError as error:
        raise ArchspecError(f"--memory: {error}") from None
    return found.with_reports(found.memory_with(optimizer, budget))
