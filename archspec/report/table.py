"""The analysis as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD, Box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from archspec.analysis import Analysis, LayerAnalysis
from archspec.analysis.claims import figure
from archspec.layers.base import show
from archspec.report.diagnostics import counts, print_diagnostics
from archspec.report.export import MARK, missing, training_only
from archspec.report.numbers import printable, short_bytes, short_count

# From this width on there is room for a column that the layer's name mostly repeats.
WIDE = 110

# A column: its header, "left" or "right", its style.
Column = tuple[str, str, str]


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
    console.print()
    _print_totals(console, analysis)
    if analysis.claims:
        console.print()
        _print_claims(console, analysis)
    if analysis.diagnostics:
        console.print()
        print_diagnostics(console, analysis.diagnostics)
        console.print()
        console.print(counts(analysis.diagnostics), highlight=False)


def _print_layers(console: Console, analysis: Analysis, *, wide: bool) -> None:
    columns: list[Column] = [
        ("layer", "left", ""),
        ("output", "right", ""),
        ("how", "left", "dim"),
        ("params", "right", ""),
        ("MACs", "right", ""),
    ]
    broken = {d.layer for d in analysis.diagnostics if d.severity == "error"}
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
                        style="bold red" if layer.name in broken else "",
                    ),
                    Text(show(layer.output_shape)),
                    Text(layer.formula if computed else ""),
                    *_costs([layer]),
                ]
            )
    if wide:
        columns.insert(1, ("type", "left", "dim"))
        for row, type_ in zip(rows, types, strict=True):
            row.insert(1, Text(type_))
    _print_table(console, columns, rows, folding=("layer", "how"))


def _costs(layers: Sequence[LayerAnalysis], style: str = "") -> list[Text]:
    """Parameters and multiply-accumulates of layers together, empty where there are none."""
    sums = (sum(layer.costs.params for layer in layers), sum(layer.costs.macs for layer in layers))
    return [Text(f"{figure:,}" if figure else "", style=style) for figure in sums]


def _indented(name: str, section: str) -> str:
    """A layer's name below the heading of its section."""
    return f"  {name[len(section) + 1 :]}" if section else name


def _print_table(
    console: Console,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Text]],
    *,
    box: Box | None = SIMPLE_HEAD,
    folding: tuple[str, ...] = (),
) -> None:
    """Print a table whose widths are worked out here: Rich measures every cell several times.

    Where the console is too narrow, the columns named in `folding` give way, the last one first.
    """
    widths = [
        max([cell_len(name) if box else 0, *(cell_len(row[i].plain) for row in rows)])
        for i, (name, _, _) in enumerate(columns)
    ]
    gap = 1
    for gap in (2, 1):
        excess = sum(widths) + gap * (len(columns) - 1) - console.width
        if excess <= 0:
            break
    names = [name for name, _, _ in columns]
    for name in reversed(folding):
        index = names.index(name)
        given = min(max(excess, 0), max(widths[index] - 8, 0))
        widths[index] -= given
        excess -= given
    # A box divides columns by one blank of its own.
    table = Table(
        box=box,
        show_header=box is not None,
        show_edge=False,
        pad_edge=False,
        padding=(0, gap - 1 if box else gap, 0, 0),
    )
    for (name, side, style), width in zip(columns, widths, strict=True):
        table.add_column(
            name,
            justify="right" if side == "right" else "left",
            style=style,
            width=max(width, 1),
            no_wrap=name not in folding,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _print_totals(console: Console, analysis: Analysis) -> None:
    totals = analysis.totals
    batch = f", batch {analysis.batch}" if analysis.batch != 1 else ""
    rows = [
        ("params", f"{totals.params:,}", f"{short_bytes(totals.weight_bytes)} in float32"),
        ("MACs", f"{totals.macs:,}", f"{short_count(totals.macs)}, one image"),
        ("FLOPs", f"{totals.flops:,}", "2 x MACs + biases, pools, norms, activations"),
        (
            "backward FLOPs",
            f"{totals.backward_flops:,}",
            "weight and input gradients, 2 x MACs each",
        ),
        ("neurons", f"{totals.neurons:,}", "outputs of convolutions and dense layers"),
        ("connections", f"{totals.connections:,}", "neurons x (weights each sees + its bias)"),
        ("activations", short_bytes(totals.activation_bytes), f"every output, float32{batch}"),
    ]
    if totals.params != totals.trainable_params:
        rows.insert(1, ("trainable", f"{totals.trainable_params:,}", "frozen layers left out"))
    buffers = totals.non_trainable_params - (totals.params - totals.trainable_params)
    if buffers:
        rows.insert(1, ("buffers", f"{buffers:,}", "running statistics, not counted in params"))
    columns = [("", "left", ""), ("", "right", "bold"), ("what", "left", "dim")]
    texts = [[Text(cell) for cell in row] for row in rows]
    _print_table(console, columns, texts, box=None, folding=("what",))


def _print_claims(console: Console, analysis: Analysis) -> None:
    rows = []
    for claim in analysis.claims:
        style = "green" if claim.verdict == "holds" else "bold yellow"
        rows.append(
            [
                Text(f"{claim.about} {claim.quantity}"),
                Text(figure(claim.claimed)),
                Text(figure(claim.computed)),
                Text(claim.verdict, style=style),
                Text(printable(claim.source or "")),
            ]
        )
    columns = [
        ("claim", "left", ""),
        ("stated", "right", ""),
        ("computed", "right", ""),
        ("verdict", "left", ""),
        ("source", "left", "dim"),
    ]
    _print_table(console, columns, rows, folding=("claim", "source"))
