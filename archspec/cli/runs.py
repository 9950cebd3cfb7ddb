"""Compare runs: tables, curves and what was different in them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archspec.cli.options import ListFormat, OutputOption, console, result, say

if TYPE_CHECKING:
    from archspec.training.runs import Runs

COMMANDS = ("compare", "list_")


class RunsFormat(StrEnum):
    """Formats of a comparison of runs."""

    table = "table"
    html = "html"
    svg = "svg"
    json = "json"
    csv = "csv"
    markdown = "markdown"


# What the ending of a file says of its format.
ENDINGS = {
    ".html": RunsFormat.html,
    ".svg": RunsFormat.svg,
    ".json": RunsFormat.json,
    ".csv": RunsFormat.csv,
    ".md": RunsFormat.markdown,
}
FormatOption = Annotated[
    RunsFormat | None,
    typer.Option("--format", help="What to write; what --output ends in, or a table."),
]


def compare(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="The folders of runs; one will do.")
    ],
    format: FormatOption = None,
    output: OutputOption = None,
) -> None:
    """Tell how runs went and what was different in them, as tables, a page or a picture.

    The page (html) stands alone, with the curves, the figures and the recipes; svg is the curves,
    csv has a row for each epoch.

    Examples: archspec runs compare runs/first runs/second; archspec runs compare runs/* --output
    page.html
    """
    from archspec import api

    _write(api.compare_runs(folders), format, output)


def list_(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the runs are; `runs` if left out.")
    ] = Path("runs"),
    format: Annotated[ListFormat, typer.Option("--format", help="How to print it.")] = (
        ListFormat.text
    ),
) -> None:
    """Tell of every run in a folder and its sub-folders, the latest last.

    Example: archspec runs list
    """
    from archspec import api
    from archspec.report import runs as report
    from archspec.training.runs import below

    found = api.compare_runs(below(folder))
    if format is ListFormat.json:
        print(report.to_json(found))
    else:
        report.print_list(console(), found)
    _refuse(found)


def _write(runs: Runs, format: RunsFormat | None, output: Path | None) -> None:
    from archspec.report import runs as report

    if format is None:
        ending = output.suffix.lower() if output is not None else ""
        format = ENDINGS.get(ending, RunsFormat.table)
    with result(output) as stream:
        if format is RunsFormat.table:
            report.print_runs(console(stream), runs)
        elif format is RunsFormat.html:
            from archspec.report.html.runs import to_html

            print(to_html(runs), file=stream)
        elif format is RunsFormat.svg:
            from archspec.report.drawing.curves import draw_curves

            print(draw_curves(runs), file=stream)
        elif format is RunsFormat.json:
            print(report.to_json(runs), file=stream)
        elif format is RunsFormat.csv:
            print(report.to_csv(runs), file=stream)
        else:
            print(report.to_markdown(runs), file=stream)
    _refuse(runs)


def _refuse(runs: Runs) -> None:
    """Fail where a folder is no run, now that the others are told of. Raises ArchspecError."""
    from archspec.diagnostics import ArchspecError

    for reason in runs.unreadable[:-1]:
        say(f"archspec: {reason}")
    if runs.unreadable:
        raise ArchspecError(runs.unreadable[-1])
