"""The analysis as a table in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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

# A cell of a table: its text and its style.
Cell = tuple[str, str]

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
        rows = [[(cell, STYLES.get(cell, "")) for cell in row] for row in section.rows]
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
    rows: list[list[Cell]] = []
    types = []
    sections = analysis.graph.sections
    for section, run in groupby(analysis.layers, lambda layer: sections[layer.name]):
        members = list(run)
        if section:
            sums = _costs(members, "dim")
            rows.append([(section, "bold"), ("", ""), ("", ""), *sums])
            types.append("")
        for layer in members:
            types.append(layer.node.layer.type)
            shape = show(layer.output_shape)
            computed = layer.formula != shape or analysis.shapes.layers[layer.name].sees != "one"
            rows.append(
                [
                    (
                        _indented(layer.name, section) + (MARK if layer.training_only else ""),
                        "bold red" if layer.name in analysis.broken else "",
                    ),
                    (shape, ""),
                    (layer.formula if computed else "", "dim"),
                    *_costs([layer]),
                ]
            )
    if wide:
        columns.insert(1, Column("type"))
        for row, type_ in zip(rows, types, strict=True):
            row.insert(1, (type_, "dim"))
    _print_table(console, columns, rows)


def _costs(layers: Sequence[LayerAnalysis], style: str = "") -> list[Cell]:
    """Parameters and multiply-accumulates of layers together, empty where there are none."""
    sums = (sum(layer.costs.params for layer in layers), sum(layer.costs.macs for layer in layers))
    return [(f"{figure:,}" if figure else "", style) for figure in sums]


def _indented(name: str, section: str) -> str:
    """A layer's name below the heading of its section."""
    return f"  {name[len(section) + 1 :]}" if section else name


def _print_table(
    console: Console, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]
) -> None:
    """Print rows below a line of headings, unless no column has one.

    Rich's own table measures and wraps every cell several times, which takes seconds for ten
    thousand rows. Here each cell is measured once, and Rich wraps those that are too long.
    """
    widths = [
        max([_width(column.name), *[_width(row[i][0]) for row in rows]])
        for i, column in enumerate(columns)
    ]
    gap = 1
    for gap in (2, 1):
        excess = sum(widths) + gap * (len(columns) - 1) - console.width
        if excess <= 0:
            break
    _give_way(widths, columns, rows, excess)
    segments: list[Segment] = []
    if any(column.name for column in columns):
        headings = [(column.name, "bold") for column in columns]
        segments += _lines(console, columns, widths, gap, headings)
        rule = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * (sum(widths) + gap * (len(widths) - 1))
        segments += (Segment(rule), Segment.line())
    for row in rows:
        segments += _lines(console, columns, widths, gap, row)
    console.print(Segments(segments), end="", crop=excess > 0)


def _lines(
    console: Console,
    columns: Sequence[Column],
    widths: Sequence[int],
    gap: int,
    row: Sequence[Cell],
) -> list[Segment]:
    """One row, on several lines where a cell does not fit its column."""
    cells = [
        [text]
        if _width(text) <= width
        else _wrapped(console, text, width, "fold" if column.folds else "ellipsis")
        for (text, _), width, column in zip(row, widths, columns, strict=True)
    ]
    found = []
    for number in range(max([len(lines) for lines in cells])):
        blanks = 0  # nothing is written behind the last cell of a line
        for lines, (_, style), width, column in zip(cells, row, widths, columns, strict=True):
            text = lines[number] if number < len(lines) else ""
            if not text:
                blanks += width + gap
                continue
            rest = width - _width(text)
            before = rest if column.side == "right" else 0
            looks = console.get_style(style) if style else None
            found.append(Segment(" " * (blanks + before) + text, looks))
            blanks = rest - before + gap
        found.append(Segment.line())
    return found


def _width(text: str) -> int:
    """The columns of the terminal that a text takes."""
    return len(text) if text.isascii() else cell_len(text)


def _wrapped(
    console: Console, text: str, width: int, overflow: Literal["fold", "ellipsis"]
) -> list[str]:
    lines = Text(text).wrap(console, width, overflow=overflow, no_wrap=overflow == "ellipsis")
    return [line.plain.rstrip() for line in lines]


def _give_way(
    widths: list[int], columns: Sequence[Column], rows: Sequence[Sequence[Cell]], excess: int
) -> None:
    """Take what is too much from the columns that fold.

    First from the widest, as long as no word is broken, then from the last one on.
    """
    folding = [i for i, column in enumerate(columns) if column.folds]
    least = {i: max(8, len(columns[i].name), *_words(row[i][0] for row in rows)) for i in folding}
    while excess > 0:
        wide = [i for i in folding if widths[i] > least[i]]
        if not wide:
            break
        widest = max(wide, key=lambda i: widths[i])
        widths[widest] -= 1
        excess -= 1
    for i in reversed(folding):
        given = min(max(excess, 0), max(widths[i] - 8, 0))
        widths[i] -= given
        excess -= given


def _words(cells: Iterable[str]) -> Iterator[int]:
    """How wide the longest word of each cell is."""
    for cell in cells:
        yield max(map(_width, cell.split()), default=0)
