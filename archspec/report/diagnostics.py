"""Diagnostics in the terminal: the message, the line of the file, a caret, what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from archspec.diagnostics import Diagnostic

COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
MAX_SOURCE = 160
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
    if console.is_terminal:  # in a pipe a message stays on one line, for grep
        message = "\n  ".join(textwrap.wrap(message, console.width - 2, break_on_hyphens=False))
    text.append(message, style="bold")
    text.stylize(colour, 0, len(label))
    text.append("\n")
    text.append(f"  --> {place}", style="dim")
    if diagnostic.source_line is not None and diagnostic.source_line.strip():
        source, caret = _excerpt(diagnostic)
        gutter = " " * len(str(diagnostic.line))
        text.append(f"\n {gutter} |\n", style="dim")
        text.append(f" {diagnostic.line} | ", style="dim")
        text.append(f"{source}\n")
        text.append(f" {gutter} | ", style="dim")
        text.append(caret, style=colour)
    if diagnostic.help:
        text.append("\n  help: ", style="bold green")
        text.append(diagnostic.help)
    for fix in diagnostic.fixes:
        text.append("\n    - ")
        text.append(fix.title, style="bold")
        for line in textwrap.wrap(fix.effect, WIDTH, break_on_hyphens=False):
            text.append(f"\n        {line}")
    return text


def _excerpt(diagnostic: Diagnostic) -> tuple[str, str]:
    """The source line and the carets below it, both cut to the part that matters."""
    line = (diagnostic.source_line or "").replace("\t", " ")
    start = diagnostic.column - 1
    end = diagnostic.end_column - 1 if diagnostic.end_line == diagnostic.line else len(line)
    end = max(min(end, len(line)), start + 1)
    shift = 0
    if len(line) > MAX_SOURCE:
        shift = max(min(start - 40, len(line) - MAX_SOURCE), 0)
        line = line[shift : shift + MAX_SOURCE]
    line = "".join(char if char.isprintable() else "?" for char in line)
    length = min(end - start, MAX_SOURCE - (start - shift))
    return line, " " * (start - shift) + "^" * max(length, 1)
