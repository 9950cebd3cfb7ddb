"""Tables of a page: layers, with what sorts and filters them, and sections."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from archspec.analysis import Analysis, LayerAnalysis
from archspec.analysis.numbers import short_bytes
from archspec.analysis.section import Section
from archspec.layers.base import show
from archspec.report.export import MARK
from archspec.report.markup import Markup, element, joined

# Heading, whether its cells are numbers, what it means.
COLUMNS = (
    ("layer", False, "the name in the spec"),
    ("type", False, "the type of the layer"),
    ("output", True, "channels x height x width; sorted by elements"),
    ("how", False, "the arithmetic of the shape"),
    ("params", True, "numbers that an optimiser could update"),
    ("MACs", True, "multiply-accumulates of one image"),
    ("FLOPs", True, "all operations of one image"),
    ("backward", True, "FLOPs of the weight and input gradients"),
    ("activations", True, "bytes of the output in float32"),
    ("field", True, "receptive field in input pixels, height x width"),
    ("line", True, "line of the file"),
)
# A table of more rows than this scrolls in its box.
LONG = 60
VERDICTS = {"holds": "holds", "contradicted": "contradicted"}


def layers_table(analysis: Analysis) -> Markup:
    """Every layer; those of a block below its heading, which has their sums."""
    head = element(
        "thead",
        element(
            "tr",
            *(
                element(
                    "th",
                    element("button", name, type="button", title=meaning),
                    scope="col",
                    aria_sort="none",
                    class_="number" if numeric else None,
                )
                for name, numeric, meaning in COLUMNS
            ),
        ),
    )
    sections = analysis.graph.sections
    bodies = []
    for section, run in groupby(analysis.layers, lambda layer: sections[layer.name]):
        members = list(run)
        rows = [_layer(layer, section, analysis) for layer in members]
        if section:
            rows.insert(0, _heading(section, members))
        bodies.append(element("tbody", *rows))
    return element("table", head, *bodies, id="layers-table", class_="layers")


def _heading(section: str, members: Sequence[LayerAnalysis]) -> Markup:
    costs = [layer.costs for layer in members]
    sums = (
        f"{sum(c.params for c in costs):,}",
        f"{sum(c.macs for c in costs):,}",
        f"{sum(c.flops for c in costs):,}",
        f"{sum(c.backward_flops for c in costs):,}",
        short_bytes(sum(c.activation_bytes for c in costs)),
    )
    return element(
        "tr",
        element("th", section, scope="rowgroup", colspan="4"),
        *(element("td", cell, class_="number") for cell in sums),
        element("td", colspan="2"),
        class_="block",
    )


def _layer(layer: LayerAnalysis, section: str, analysis: Analysis) -> Markup:
    costs, field = layer.costs, layer.receptive_field
    prefix, name = (f"{section}.", layer.name[len(section) + 1 :]) if section else ("", layer.name)
    mark = MARK if layer.training_only else ""
    seen = show(field.size) if field else ""
    computed = layer.formula if layer.formula != show(layer.output_shape) else ""
    classes = " ".join(
        word
        for word, wanted in (("broken", layer.name in analysis.broken), ("inside", bool(section)))
        if wanted
    )
    return element(
        "tr",
        element(
            "th",
            *([element("span", prefix, class_="prefix")] if prefix else []),
            name + mark,
            scope="row",
        ),
        element("td", layer.node.layer.type),
        _number(show(layer.output_shape), costs.neurons),
        element("td", computed, class_="formula"),
        _number(f"{costs.params:,}", costs.params, costs.params_formula),
        _number(f"{costs.macs:,}", costs.macs, costs.macs_formula),
        _number(f"{costs.flops:,}", costs.flops),
        _number(f"{costs.backward_flops:,}", costs.backward_flops),
        _number(short_bytes(costs.activation_bytes), costs.activation_bytes),
        _number(seen, field.size[0] * field.size[1] if field else 0),
        _number(str(layer.node.line), layer.node.line),
        class_=classes or None,
    )


def _number(text: str, value: int, formula: str = "") -> Markup:
    """A cell that is sorted by `value`; nothing is written where nothing is counted."""
    # The figure stands above: what is left of the sign of equality says how it comes about.
    left = formula.rpartition(" = ")[0]
    how = [element("span", left, class_="formula")] if left else []
    return element("td", text if value else "", *how, class_="number", data_value=str(value))


def section_table(section: Section, above: str = "") -> Markup:
    """A heading, a table and remarks, as any report has them; no heading where it is `above`."""
    title = section.title[:1].upper() + section.title[1:]
    parts = [element("h3", title)] if title != above else []
    if section.rows:
        named = any(column.name for column in section.columns)
        head = element(
            "thead",
            element(
                "tr",
                *(
                    element(
                        "th" if column.name else "td",
                        column.name,
                        scope="col" if column.name else None,
                        class_=_side(column.side),
                    )
                    for column in section.columns
                ),
            ),
        )
        rows = [
            element(
                "tr",
                *(
                    element(
                        "td" if number else "th",
                        _cell(cell),
                        scope=None if number else "row",
                        class_=_side(column.side),
                    )
                    for number, (cell, column) in enumerate(zip(row, section.columns, strict=True))
                ),
            )
            for row in section.rows
        ]
        table = element("table", *([head] if named else []), element("tbody", *rows))
        long = " tall" if len(section.rows) > LONG else ""
        parts.append(scrolling(table, section.title, f"scroll facts{long}"))
    parts += [element("p", note, class_="note") for note in section.notes]
    return joined(parts)


def scrolling(content: str, label: str, class_: str = "scroll") -> Markup:
    """A box of its own for what may be wider than the page, which the keyboard reaches too."""
    return element("div", content, class_=class_, tabindex="0", role="region", aria_label=label)


def _side(side: str) -> str | None:
    return "number" if side == "right" else None


def _cell(text: str) -> str:
    verdict = VERDICTS.get(text)
    return element("span", text, class_=f"verdict {verdict}") if verdict else text
