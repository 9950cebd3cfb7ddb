"""The analysis as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment, Segments
from rich.text import Text

from archspec.analysis import Analysis, LayerAnalysis
from archspec.analysis.numbers import printable
from archspec.analysis.section import Column, Section
from archspec.layers.base import show
from archspec.report.diagnostics import counts, print_diagnostics
from archspec.report.export import MARK, missing, training_only
from archspec.report.summary import sections

# From this width on there is room for a column that the layer's name mostly repeats.
WIDE = 110

# What is not told by words alone.
STYLES = {"holds": "green", "contradicted": "bold yellow"}


def print_analysis(console: Console, analysis: Analysis) -> None:
    """Layers, totals, claims and diagnostics, in at most the console's width."""
    graph = analysis.graph
    console.print(Text(printable(graph.title), style="bold"))
    console.print(f"input {show(graph.input_shape)} (channels x height x width)", highlight=False)
    console.print()
    _print_layers(console, analysis, wide=console.width >= WIDE)
    left_out = missing(analysis)
    if left_out:
        console.print()
        console.print(Text(left_out, style="bold red"))
    apart = training_only(analysis)
    if apart:
        console.print()
        console.print(Text(apart, style="dim"))
    for section in sections(analysis):
        console.print()
        print_section(console, section)
    if analysis.diagnostics:
        console.print()
        print_diagnostics(console, analysis.diagnostics)
        console.print()
        console.print(counts(analysis.diagnostics), highlight=False)


def print_section(console: Console, section: Section) -> None:
    """A heading, the table in at most the console's width, and the remarks below it."""
    console.print(Text(section.title, style="bold"))
    if section.rows:
        rows = [[Text(cell, style=STYLES.get(cell, "")) for cell in row] for row in section.rows]
        _print_table(console, section.columns, rows)
    for note in section.notes:
        console.print(Text(note, style="dim"))


def _print_layers(console: Console, analysis: Analysis, *, wide: bool) -> None:
    columns = [
        Column("layer", folds=True),
        Column("output", "right"),
        Column("how", folds=True),
        Column("params", "right"),
        Column("MACs", "right"),
    ]
    rows: list[list[Text]] = []
    types = []
    sections = analysis.graph.sections
    for section, run in groupby(analysis.layers, lambda layer: sections[layer.name]):
        members = list(run)
        if section:
            sums = _costs(members, "dim")
            rows.append([Text(section, style="bold"), Text(""), Text(""), *sums])
            types.append("")
        for layer in members:
            types.append(layer.node.layer.type)
            computed = analysis.shapes.layers[layer.name].sees != "one" or layer.formula != show(
                layer.output_shape
            )
            rows.append(
                [
                    Text(
                        _indented(layer.name, section) + (MARK if layer.training_only else ""),
                        style="bold red" if layer.name in analysis.broken else "",
                    ),
                    Text(show(layer.output_shape)),
                    Text(layer.formula if computed else "", style="dim"),
                    *_costs([layer]),
                ]
            )
    if wide:
        columns.insert(1, Column("type"))
        for row, type_ in zip(rows, types, strict=True):
            row.insert(1, Text(type_, style="dim"))
    _print_table(console, columns, rows)


def _costs(layers: Sequence[LayerAnalysis], style: str = "") -> list[Text]:
    """Parameters and multiply-accumulates of layers together, empty where there are none."""
    sums = (sum(layer.costs.params for layer in layers), sum(layer.costs.macs for layer in layers))
    return [Text(f"{figure:,}" if figure else "", style=style) for figure in sums]


def _indented(name: str, section: str) -> str:
    """A layer's name below the heading of its section."""
    return f"  {name[len(section) + 1 :]}" if section else name


def _print_table(
    console: Console, columns: Sequence[Column], rows: Sequence[Sequence[Text]]
) -> None:
    """Print rows below a line of headings, unless no column has one.

    Rich's own table measures and wraps every cell several times, which takes seconds for ten
    thousand rows. Here each cell is measured once, and Rich wraps those that are too long.
    """
    widths = [
        max([cell_len(column.name), *(cell_len(row[i].plain) for row in rows)])
        for i, column in enumerate(columns)
    ]
    gap = 1
    for gap in (2, 1):
        excess = sum(widths) + gap * (len(columns) - 1) - console.width
        if excess <= 0:
            break
    for i, column in reversed([*enumerate(columns)]):
        if column.folds:
            given = min(max(excess, 0), max(widths[i] - 8, 0))
            widths[i] -= given
            excess -= given
    segments: list[Segment] = []
    if any(column.name for column in columns):
        headings = [Text(column.name, style="bold") for column in columns]
        segments += _lines(console, columns, widths, gap, headings)
        rule = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * (sum(widths) + gap * (len(widths) - 1))
        segments += (Segment(rule), Segment.line())
    for row in rows:
        segments += _lines(console, columns, widths, gap, row)
    console.print(Segments(segments), end="")


def _lines(
    console: Console,
    columns: Sequence[Column],
    widths: Sequence[int],
    gap: int,
    row: Sequence[Text],
) -> list[Segment]:
    """One row, on several lines where a cell does not fit its column."""
    cells = [
        [text]
        if cell_len(text.plain) <= width
        else _wrapped(console, text, width, "fold" if column.folds else "ellipsis")
        for text, width, column in zip(row, widths, columns, strict=True)
    ]
    found = []
    for number in range(max(len(lines) for lines in cells)):
        blanks = 0  # nothing is written behind the last cell of a line
        for lines, width, column in zip(cells, widths, columns, strict=True):
            text = lines[number] if number < len(lines) else Text()
            rest = width - cell_len(text.plain)
            before = rest if column.side == "right" else 0
            if text.plain:
                found.append(Segment(" " * (blanks + before)))
                found.append(Segment(text.plain, console.get_style(text.style)))
                blanks = rest - before + gap
            else:
                blanks += width + gap
        found.append(Segment.line())
    return found


def _wrapped(
    console: Console, text: Text, width: int, overflow: Literal["fold", "ellipsis"]
) -> list[Text]:
    lines = text.wrap(console, width, overflow=overflow, no_wrap=overflow == "ellipsis")
    for line in lines:
        line.rstrip()
    return [*lines]
