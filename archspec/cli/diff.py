"""What differs between two networks, and why their totals do."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from archspec.cli.options import (
    InputOption,
    OutputOption,
    RootOption,
    SetOption,
    console,
    load,
    result,
    say,
)

if TYPE_CHECKING:
    from archspec.graph import Graph

_One = Annotated[str, typer.Argument(metavar="A", help="A spec file, or a shipped spec's name.")]
_Other = Annotated[str, typer.Argument(metavar="B", help="The one to compare it with.")]


class DiffFormat(StrEnum):
    """Formats of `archspec diff`."""

    table = "table"
    json = "json"
    markdown = "markdown"


def diff(
    a: _One,
    b: _Other,
    format: Annotated[DiffFormat, typer.Option("--format", help="How to print it.")] = (
        DiffFormat.table
    ),
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="WHAT",
            help="Exit status 1 when it differs: params, macs, flops, memory, ..., shapes, layers, "
            "semantics, names, recipe, any; or when B has more by that much: params>5%.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every row of the tables, not the first ones.")
    ] = False,
    set_: SetOption = None,
    set_a: Annotated[
        list[str] | None,
        typer.Option("--set-a", metavar="NAME=VALUE", help="Set a variable of A alone."),
    ] = None,
    set_b: Annotated[
        list[str] | None,
        typer.Option("--set-b", metavar="NAME=VALUE", help="Set a variable of B alone."),
    ] = None,
    input: InputOption = None,
    input_a: Annotated[
        str | None, typer.Option("--input-a", metavar="CxHxW", help="Another input for A alone.")
    ] = None,
    input_b: Annotated[
        str | None, typer.Option("--input-b", metavar="CxHxW", help="Another input for B alone.")
    ] = None,
    output: OutputOption = None,
    root: RootOption = None,
) -> None:
    """Say what differs between two networks, and which layers explain each total's difference.

    Layers are matched by name and by structure, so that the same network under other names is
    recognised. Exit status 0 however they differ, unless --fail-on says otherwise.

    Examples: archspec diff alexnet caffenet; archspec diff old.yaml new.yaml --fail-on
    "params>5%"; archspec diff alexnet alexnet --input-b 3x224x224
    """
    from archspec import api
    from archspec.analysis.diff import conditions
    from archspec.analysis.diff.sections import ROWS
    from archspec.diagnostics import Diagnostic, SpecError
    from archspec.report import comparison

    wanted = [conditions.parse(text) for text in fail_on or []]
    graphs: list[Graph] = []
    unreadable: list[Diagnostic] = []
    for spec, own, size in ((a, set_a, input_a), (b, set_b, input_b)):
        try:
            graphs.append(load(spec, [*(set_ or []), *(own or [])], size or input, root))
        except SpecError as error:
            unreadable += error.diagnostics
    if unreadable:
        raise SpecError(unreadable)
    found = api.diff(*graphs)
    failed = conditions.failures(found, wanted)
    rows = None if every else ROWS
    with result(output) as stream:
        if format is DiffFormat.table:
            comparison.print_comparison(console(stream), found, rows)
        elif format is DiffFormat.json:
            print(comparison.to_json(found, failed), file=stream)
        else:
            print(comparison.to_markdown(found, rows, failed), file=stream)
    errors: list[Diagnostic] = []
    for diagnostic in (*found.a.diagnostics, *found.b.diagnostics):
        if diagnostic.severity == "error" and diagnostic not in errors:
            errors.append(diagnostic)
    if errors:
        from archspec.report.diagnostics import print_diagnostics

        print_diagnostics(console(stderr=True), errors)
    for condition, reason in failed:
        say(f"archspec: differs in what --fail-on {condition.text} watches: {reason}")
    if errors or failed:
        raise typer.Exit(1)
