"""Report what is wrong with specs, as a linter does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from archspec.cli.options import ListFormat, RootOption, console, load, print_json

if TYPE_CHECKING:
    from archspec.diagnostics import Diagnostic


def check(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="Spec files or names.")],
    format: Annotated[ListFormat, typer.Option("--format", help="How to print it.")] = (
        ListFormat.text
    ),
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    root: RootOption = None,
) -> None:
    """Report what is wrong with specs, as a linter does: exit status 1 when there are errors."""
    from archspec import api
    from archspec.diagnostics import SpecError

    diagnostics: list[Diagnostic] = []
    for spec in specs:
        try:
            diagnostics += api.analyze(load(spec, None, None, root)).diagnostics
        except SpecError as error:
            diagnostics += error.diagnostics
    if format is ListFormat.json:
        print_json([diagnostic.to_json() for diagnostic in diagnostics])
    else:
        from archspec.report.diagnostics import counts, print_diagnostics

        out = console()
        print_diagnostics(out, diagnostics)
        if diagnostics:
            out.print()
        files = f"{len(specs)} spec{'s' if len(specs) != 1 else ''}"
        out.print(f"{files}: {counts(diagnostics) or 'nothing to report'}", highlight=False)
    failing = ("error", "warning") if strict else ("error",)
    if any(diagnostic.severity in failing for diagnostic in diagnostics):
        raise typer.Exit(1)
