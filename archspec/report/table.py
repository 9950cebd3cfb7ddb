"""The analysis as a table in the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from archspec.analysis import Analysis
from archspec.analysis.claims import figure
from archspec.layers.base import show
from archspec.report.diagnostics import counts, print_diagnostics
from archspec.report.export import missing
from archspec.report.numbers import printable, short_bytes, short_count

# From this width on there is room for a column that the layer's name mostly repeats.
WIDE = 100


def print_analysis(console: Console, analysis: Analysis) -> None:
    """Layers, totals, claims and diagnostics, in at most the console's width."""
    graph = analysis.graph
    console.print(Text(printable(graph.title), style="bold"))
    console.print(f"input {show(graph.input_shape)} (channels x height x width)", highlight=False)
    console.print()
    table = _layers(analysis, wide=console.width >= WIDE)
    if Measurement.get(console, console.options, table).maximum >= console.width:
        table.padding = 0  # leaves one space between columns, often enough for whole formulas
    console.print(table)
    left_out = missing(analysis)
    if left_out:
        console.print()
        console.print(Text(left_out, style="bold red"))
    console.print()
    _print_totals(console, analysis)
    if analysis.claims:
        console.print()
        console.print(_claims(analysis))
    if analysis.diagnostics:
        console.print()
        print_diagnostics(console, analysis.diagnostics)
        console.print()
        console.print(counts(analysis.diagnostics), highlight=False)


def _layers(analysis: Analysis, *, wide: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold", no_wrap=False)
    if wide:
        table.add_column("type", style="dim", no_wrap=True)
    table.add_column("output", justify="right", no_wrap=True)
    table.add_column("how", overflow="fold", style="dim")
    table.add_column("params", justify="right", no_wrap=True)
    table.add_column("MACs", justify="right", no_wrap=True)
    broken = {d.layer for d in analysis.diagnostics if d.severity == "error"}
    for layer in analysis.layers:
        windowed = analysis.shapes.layers[layer.name].sees != "one" or layer.formula != show(
            layer.output_shape
        )
        cells: list[str | Text] = [
            Text(layer.name, style="bold red" if layer.name in broken else ""),
            show(layer.output_shape),
            layer.formula if windowed else "",
            f"{layer.costs.params:,}" if layer.costs.params else "",
            f"{layer.costs.macs:,}" if layer.costs.macs else "",
        ]
        if wide:
            cells.insert(1, layer.node.layer.type)
        table.add_row(*cells)
    return table


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
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, style="bold")
    table.add_column(style="dim", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _claims(analysis: Analysis) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("claim", overflow="fold")
    table.add_column("stated", justify="right", no_wrap=True)
    table.add_column("computed", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("source", overflow="fold", style="dim")
    for claim in analysis.claims:
        style = "green" if claim.verdict == "holds" else "bold yellow"
        table.add_row(
            f"{claim.about} {claim.quantity}",
            figure(claim.claimed),
            figure(claim.computed),
            Text(claim.verdict, style=style),
            Text(printable(claim.source or "")),
        )
    return table
