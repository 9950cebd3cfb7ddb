"""The analysis as one page that stands alone: no network, nothing but its own style and script."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from archspec.analysis import Analysis
from archspec.analysis.memory import Memory
from archspec.analysis.numbers import printable, short_bytes, short_count
from archspec.layers.base import show
from archspec.report import summary
from archspec.report.drawing import draw
from archspec.report.export import missing, training_only
from archspec.report.html import charts
from archspec.report.html.findings import findings
from archspec.report.html.shell import Card, Part, page
from archspec.report.html.tables import layers_table, scrolling, section_table
from archspec.report.markup import Markup, element, joined


def to_html(analysis: Analysis) -> str:
    """The page of ``analyze --format html``."""
    title = printable(analysis.graph.title)
    spec = analysis.graph.spec
    about = [
        element("p", printable(text), class_="about")
        for text in (spec.description, spec.source)
        if text
    ]
    return page(
        f"{title}: analysis",
        [element("h1", title), *about],
        _cards(analysis),
        list(_sections(analysis)),
        footer="from the spec alone",
        script="script.js",
    )


def _cards(analysis: Analysis) -> Iterable[Card]:
    graph, totals = analysis.graph, analysis.totals
    batch = f", batch {analysis.batch}" if analysis.batch != 1 else ""
    return (
        ("parameters", short_count(totals.params), f"{totals.params:,}"),
        ("MACs", short_count(totals.macs), f"{totals.macs:,}, one image"),
        ("FLOPs", short_count(totals.flops), f"{totals.flops:,}, one image"),
        ("weights", short_bytes(totals.weight_bytes), "float32"),
        ("activations", short_bytes(totals.activation_bytes), f"every output, float32{batch}"),
        ("layers", f"{len(graph.nodes):,}", f"input {show(graph.input_shape)}"),
    )


def _sections(analysis: Analysis) -> Iterable[Part]:
    yield "figure", "Figure", scrolling(draw(analysis, alone=False), "figure", "scroll picture")
    if analysis.diagnostics:
        yield "findings", "Findings", findings(analysis)
    stated = summary.claims(analysis)
    if stated:
        yield "claims", "Claims", section_table(stated, "Claims")
    yield "layers", "Layers", _layers(analysis)
    yield "costs", "Costs", _costs(analysis)
    asked = [report for report in analysis.reports if isinstance(report, Memory)]
    if analysis.layers:
        memory = asked[0] if asked else analysis.memory
        picture = scrolling(charts.timeline(memory), "memory over a training step")
        yield "memory", "Memory", joined([picture, *map(section_table, memory.sections())])
    fields = charts.fields(analysis)
    if fields:
        note = (
            "What one output in the middle sees of the image, padding not subtracted: a field may "
            "be larger than the image."
        )
        content = [scrolling(fields, "receptive fields"), element("p", note, class_="note")]
        yield "fields", "Receptive field", joined(content)
    for report in analysis.reports:
        if report not in asked:
            name = report.key.replace("_", " ").capitalize()
            yield report.key, name, joined(map(section_table, report.sections()))


def _layers(analysis: Analysis) -> Markup:
    controls = element(
        "div",
        element("label", "Filter ", element("input", type="search", id="filter")),
        element("button", "Order of the file", type="button", id="reset"),
        element("output", f"{len(analysis.layers):,} layers", id="count", aria_live="polite"),
        class_="controls",
        hidden=True,
    )
    remarks = [
        element("p", remark, class_="note")
        for remark in (missing(analysis), training_only(analysis))
        if remark
    ]
    table = scrolling(layers_table(analysis), "table of layers", "scroll tall")
    return joined([controls, table, *remarks])


def _costs(analysis: Analysis) -> Markup:
    pictures: tuple[tuple[str, str, charts.Value, Callable[[int], str]], ...] = (
        ("Parameters", "params", lambda layer: layer.costs.params, short_count),
        ("Multiply-accumulates", "macs", lambda layer: layer.costs.macs, short_count),
        ("Activations", "activations", lambda layer: layer.costs.activation_bytes, short_bytes),
    )
    figures = [
        element(
            "figure",
            element("figcaption", name),
            charts.bars(analysis, f"{name} by layer", f"chart-{key}", value, shown),
        )
        for name, key, value, shown in pictures
        if any(value(layer) for layer in analysis.layers)
    ]
    return joined(
        [element("div", *figures, class_="charts"), section_table(summary.totals(analysis))]
    )
