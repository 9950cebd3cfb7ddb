"""Diagnostics in the terminal: the message, the line of the file, a caret, what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from archspec.diagnostics import Diagnostic
from archspec.report.excerpt import excerpt

COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
WIDTH = 72  # of what is indented below a line


def print_diagnostics(console: Console, diagnostics: Iterable[Diagnostic]) -> None:
    """Print each diagnostic as a block, an empty line between two."""
    for number, diagnostic in enumerate(diagnostics):
        if number:
            console.print()
        console.print(_block(diagnostic, console), soft_wrap=True)


def counts(diagnostics: Iterable[Diagnostic]) -> str:
    """2 errors, 1 warning."""
    tally = {"error": 0, "warning": 0, "note": 0}
    for diagnostic in diagnostics:
        tally[diagnostic.severity] += 1
    parts = [f"{n} {word}{'s' if n != 1 else ''}" for word, n in tally.items() if n]
    return ", ".join(parts)


def _block(diagnostic: Diagnostic, console: Console) -> Text:
    colour = COLOURS[diagnostic.severity]
    place = f"{diagnostic.file}:{diagnostic.line}:{diagnostic.column}"
    text = Text()
    label = f"{diagnostic.severity}[{diagnostic.code}]"
    message = f"{label} {diagnostic.name}: {diagnostic.message}"
    help_ = diagnostic.help or ""
    if console.is_terminal:  # in a pipe a message stays on one line, for grep
        message = "\n  ".join(textwrap.wrap(message, console.width - 2, break_on_hyphens=False))
        help_ = "\n    ".join(
            textwrap.wrap(help_, console.width - 4, initial_indent=" " * 4, break_on_hyphens=False)
        ).lstrip()
    text.append(message, style="bold")
    text.stylize(colour, 0, len(label))
    text.append("\n")
    text.append(f"  --> {place}", style="dim")
    end = diagnostic.end_column if diagnostic.end_line == diagnostic.line else None
    source_line = diagnostic.source_line
    _append_excerpt(text, diagnostic.line, diagnostic.column, end, source_line, colour)
    for use in diagnostic.uses:
        text.append(f"\n  used at {use.file}:{use.line}:{use.column}", style="dim")
        _append_excerpt(text, use.line, use.column, use.end_column, use.source_line, "dim")
    if help_:
        text.append("\n  help: ", style="bold green")
        text.append(help_)
    for fix in diagnostic.fixes:
        text.append("\n    - ")
        text.append(fix.title, style="bold")
        wide = min(WIDTH, console.width - 8) if console.is_terminal else WIDTH
        for line in textwrap.wrap(fix.effect, wide, break_on_hyphens=False):
            text.append(f"\n        {line}")
    return text


def _append_excerpt(
    text: Text, number: int, column: int, end: int | None, line: str | None, colour: str
) -> None:
    """A line of the file and the carets below it; `end` is None where the place goes on."""
    if line is None or not line.strip():
        return
    source, caret = excerpt(line, column, end)
    gutter = " " * len(str(number))
    text.append(f"\n {gutter} |\n", style="dim")
    text.append(f" {number} | ", style="dim")
    text.append(f"{source}\n")
    text.append(f" {gutter} | ", style="dim")
    text.append(caret, style=colour)
