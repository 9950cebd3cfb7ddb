"""The analysis as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
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
    """Print a table whose widths are worked out here: Rich measures every cell several times."""
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
    headed = any(column.name for column in columns)
    # A box divides columns by one blank of its own.
    table = Table(
        box=SIMPLE_HEAD if headed else None,
        show_header=headed,
        show_edge=False,
        pad_edge=False,
        padding=(0, gap - 1 if headed else gap, 0, 0),
    )
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            column.name,
            justify=column.side,
            width=max(width, 1),
            no_wrap=not column.folds,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    console.print(table)
