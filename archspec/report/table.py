"""The analysis as a table in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from archspec.analysis import Analysis, LayerAnalysis
from archspec.analysis.numbers import printable
from archspec.analysis.section import Column, Section
from archspec.layers.base import show
from archspec.report.diagnostics import counts, print_diagnostics
from archspec.report.export import MARK, missing, training_only
from archspec.report.grid import Cell, natural_widths, print_grid, total_width, width_of
from archspec.report.summary import sections

# Terminals of at most this width have the same columns, so that what is printed in a page is
# what anybody sees.
NARROW = 80
_ALL = (
    Column("layer", folds=True),
    Column("type"),
    Column("output", "right"),
    Column("how", folds=True),
    Column("sees", "right"),
    Column("params", "right"),
    Column("MACs", "right"),
    Column("FLOPs", "right"),
    Column("bytes", "right"),
)
# The columns that are left out where there is no room, the most important first: what the layer
# is, its operations, the input pixels that one output sees, and the bytes of its output.
_MORE = ("type", "FLOPs", "sees", "bytes")
_COLUMNS = tuple(column for column in _ALL if column.name not in _MORE)

# What is not told by words alone.
STYLES = {"holds": "green", "contradicted": "bold yellow"}


def print_analysis(console: Console, analysis: Analysis) -> None:
    """Layers, totals, claims and diagnostics, in at most the console's width."""
    graph = analysis.graph
    console.print(Text(printable(graph.title), style="bold"))
    console.print(f"input {show(graph.input_shape)} (channels x height x width)", highlight=False)
    console.print()
    _print_layers(console, analysis)
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
        print_grid(console, section.columns, rows)
    for note in section.notes:
        console.print(Text(note, style="dim"))


def _print_layers(console: Console, analysis: Analysis) -> None:
    """A row a layer, below its block, and as many columns as there is room for."""
    members: list[tuple[LayerAnalysis, ...]] = []
    names: list[Cell] = []
    # A section's heading stands over its layers, with their sums: None is its one layer.
    alone: list[LayerAnalysis | None] = []
    sections = analysis.graph.sections
    for section, run in groupby(analysis.layers, lambda layer: sections[layer.name]):
        layers = tuple(run)
        if section:
            members.append(layers)
            alone.append(None)
            names.append((section, "bold"))
        for layer in layers:
            members.append((layer,))
            alone.append(layer)
            mark = MARK if layer.training_only else ""
            style = "bold red" if layer.name in analysis.broken else ""
            names.append((_indented(layer.name, section) + mark, style))
    cells: dict[str, list[Cell]] = {
        "layer": names,
        "output": [(show(layer.output_shape) if layer else "", "") for layer in alone],
        "how": [(_how(analysis, layer), "dim") for layer in alone],
        "params": _sums(members, alone, lambda layer: layer.costs.params),
        "MACs": _sums(members, alone, lambda layer: layer.costs.macs),
    }
    columns = [*_COLUMNS]
    if console.width > NARROW:
        cells["type"] = [(layer.node.layer.type if layer else "", "dim") for layer in alone]
        cells["sees"] = [(_field(layer) if layer else "", "") for layer in alone]
        cells["FLOPs"] = _sums(members, alone, lambda layer: layer.costs.flops)
        cells["bytes"] = _sums(members, alone, lambda layer: layer.costs.activation_bytes)
        columns = _fitting(console.width, cells)
    rows = _rows(columns, cells)
    widths = natural_widths(columns, rows)
    excess = total_width(widths, 1) - console.width
    if excess > 0:
        at = next(i for i, column in enumerate(columns) if column.name == "how")
        cells["how"] = [(_short(text, widths[at] - excess), style) for text, style in cells["how"]]
        rows = _rows(columns, cells)
    print_grid(console, columns, rows)


def _fitting(width: int, cells: Mapping[str, Sequence[Cell]]) -> list[Column]:
    """The columns, and of the others the most important ones that fit with nothing wrapped."""
    widths = {
        name: max([width_of(name), *(width_of(text) for text, _ in texts)])
        for name, texts in cells.items()
    }
    chosen = {column.name for column in _COLUMNS}
    for name in _MORE:
        if total_width([widths[other] for other in (*chosen, name)], 2) <= width:
            chosen.add(name)
    return [column for column in _ALL if column.name in chosen]


def _rows(columns: Sequence[Column], cells: Mapping[str, Sequence[Cell]]) -> list[tuple[Cell, ...]]:
    return list(zip(*(cells[column.name] for column in columns), strict=True))


def _how(analysis: Analysis, layer: LayerAnalysis | None) -> str:
    """The arithmetic of a layer's output, empty where the output is what it reads."""
    if layer is None:
        return ""
    plain = analysis.shapes.layers[layer.name].sees == "one"
    return "" if plain and layer.formula == show(layer.output_shape) else layer.formula


def _short(formula: str, width: int) -> str:
    """A formula that is too long, without blanks around + and -, if it fits like that."""
    closer = formula.replace(" + ", "+").replace(" - ", "-")
    return closer if len(closer) <= width < len(formula) else formula


def _sums(
    members: Sequence[tuple[LayerAnalysis, ...]],
    alone: Sequence[LayerAnalysis | None],
    figure: Callable[[LayerAnalysis], int],
) -> list[Cell]:
    """A cost of the layers of each row together, empty where they have none."""
    found = []
    for layers, layer in zip(members, alone, strict=True):
        value = sum(map(figure, layers))
        found.append((f"{value:,}" if value else "", "" if layer else "dim"))
    return found


def _field(layer: LayerAnalysis) -> str:
    """The receptive field: 195, or 195 x 163 where it is not square."""
    field = layer.receptive_field
    if field is None:
        return ""
    height, width = field.size
    return str(height) if height == width else f"{height} x {width}"


def _indented(name: str, section: str) -> str:
    """A layer's name below the heading of its section."""
    return f"  {name[len(section) + 1 :]}" if section else name
