"""A comparison of two networks as tables, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from archspec.analysis.diff.comparison import Comparison
from archspec.analysis.diff.conditions import Condition
from archspec.analysis.diff.sections import sections
from archspec.report.export import section_lines
from archspec.report.table import print_section

Failures = Sequence[tuple[Condition, str]]


def print_comparison(console: Console, comparison: Comparison, rows: int | None) -> None:
    """The verdict, then what differs in tables of at most so many rows, None for all."""
    console.print(Text(comparison.verdict, style="bold"))
    if comparison.equal:
        return
    for section in sections(comparison, rows):
        console.print()
        print_section(console, section)


def to_markdown(comparison: Comparison, rows: int | None, failed: Failures = ()) -> str:
    """The same as Markdown, with the conditions that are broken first."""
    lines = [comparison.verdict]
    for condition, reason in failed:
        lines += ["", f"Fails on `{condition.text}`: {reason}"]
    if not comparison.equal:
        for section in sections(comparison, rows):
            lines += ["", *section_lines(section)]
    return "\n".join(lines)


def to_json(comparison: Comparison, failed: Failures = ()) -> str:
    """One JSON document, schema version 1 (`docs/diff.md`)."""
    failures = [{"condition": condition.text, "reason": reason} for condition, reason in failed]
    return json.dumps({**comparison.to_json(), "failures": failures}, indent=2)
