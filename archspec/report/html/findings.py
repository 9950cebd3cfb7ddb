"""Findings of a page: the line of the file, carets, ways out."""

from __future__ import annotations

from archspec.analysis import Analysis
from archspec.diagnostics import Diagnostic, Fix, Place
from archspec.report.excerpt import excerpt
from archspec.report.markup import Markup, element, joined


def findings(analysis: Analysis) -> Markup:
    """Every diagnostic in the order of the file; notes, which ask for nothing, are folded away."""
    notes = [d for d in analysis.diagnostics if d.severity == "note"]
    parts = [_finding(d) for d in analysis.diagnostics if d.severity != "note"]
    if notes:
        count = f"{len(notes)} note{'s' if len(notes) > 1 else ''}"
        parts.append(element("details", element("summary", count), *map(_finding, notes)))
    return joined(parts)


def _finding(diagnostic: Diagnostic) -> Markup:
    label = f"{diagnostic.severity} {diagnostic.code}"
    end = diagnostic.end_column if diagnostic.end_line == diagnostic.line else None
    parts = [
        element(
            "h3",
            element("span", label, class_=f"badge {diagnostic.severity}"),
            " ",
            diagnostic.name,
        ),
        element("p", diagnostic.message),
        _place(diagnostic.file, diagnostic.line, diagnostic.column),
        _excerpt(diagnostic.line, diagnostic.column, end, diagnostic.source_line),
        *(_use(use) for use in diagnostic.uses),
    ]
    if diagnostic.help:
        parts.append(element("p", element("b", "help: "), diagnostic.help))
    if diagnostic.fixes:
        count = len(diagnostic.fixes)
        ways = f"{count} way{'s' if count > 1 else ''} out"
        fixes = element("ul", *(_fix(fix) for fix in diagnostic.fixes))
        parts.append(element("details", element("summary", ways), fixes, open=True))
    return element("article", *parts, class_=f"finding {diagnostic.severity}")


def _fix(fix: Fix) -> Markup:
    return element("li", element("b", fix.title), ": ", fix.effect)


def _use(use: Place) -> Markup:
    return joined(
        [
            _place(use.file, use.line, use.column, "used at "),
            _excerpt(use.line, use.column, use.end_column, use.source_line),
        ]
    )


def _place(file: str, line: int, column: int, before: str = "") -> Markup:
    return element("p", before, element("code", f"{file}:{line}:{column}"), class_="place")


def _excerpt(number: int, column: int, end: int | None, line: str | None) -> Markup:
    """The line with its number and the carets below, in a box that scrolls."""
    if line is None or not line.strip():
        return Markup("")
    source, carets = excerpt(line, column, end)
    start = len(carets) - len(carets.lstrip())
    gutter = " " * len(str(number))
    return element(
        "pre",
        f"{number} | {source[:start]}",
        element("mark", source[start : len(carets)]),
        f"{source[len(carets) :]}\n{gutter} | {carets}",
        tabindex="0",
        role="region",
        aria_label=f"line {number}",
    )
