"""The analysis for other programs and other pages: JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from typing import Any

from archspec.analysis import Analysis
from archspec.analysis.numbers import printable
from archspec.analysis.section import Section
from archspec.layers.base import show
from archspec.report.summary import sections

COLUMNS = (
    "name",
    "type",
    "output_shape",
    "formula",
    "params",
    "macs",
    "flops",
    "neurons",
    "connections",
    "activation_bytes",
    "training_only",
    "claims",
)
CLAIM_COLUMNS = (
    "about",
    "quantity",
    "formula",
    "claimed",
    "computed",
    "tolerance",
    "bound",
    "verdict",
    "source",
    "explanation",
    "line",
)
# What stands behind the name of a layer that is used in training alone.
MARK = " *"


def missing(analysis: Analysis) -> str:
    """One line about the layers that have no shape, empty where all have one."""
    names = analysis.shapes.missing
    if not names:
        return ""
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (
        f"Left out: {names[0]}{others} of {len(analysis.graph.nodes)} layers, which have no "
        "output. The totals are those of the layers above."
    )


def training_only(analysis: Analysis) -> str:
    """One line about the layers that are used in training alone, empty where there are none."""
    count = sum(layer.training_only for layer in analysis.layers)
    if not count:
        return ""
    layers = "this layer" if count == 1 else f"these {count} layers"
    return (
        "* used in training alone. MACs, FLOPs, neurons, connections and activations are without "
        f"{layers}."
    )


def to_json(analysis: Analysis) -> str:
    """One JSON document, schema version 1 (`docs/json.md`), a line for each layer.

    Python's encoder with indentation takes ten times as long as the one without.
    """
    return _json(analysis.to_json(), levels=2)


def _json(value: Any, levels: int, margin: str = "") -> str:
    """JSON with a line for each key, `levels` deep, and for each object of a list."""
    inner = margin + "  "
    if isinstance(value, dict) and value and levels:
        lines = [
            f"{json.dumps(key)}: {_json(item, levels - 1, inner)}" for key, item in value.items()
        ]
        brackets = "{}"
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        lines = [json.dumps(item) for item in value]
        brackets = "[]"
    else:
        return json.dumps(value)
    body = f",\n{inner}".join(lines)
    return f"{brackets[0]}\n{inner}{body}\n{margin}{brackets[1]}"


def to_csv(analysis: Analysis) -> str:
    """One row a layer, with a header. The last column has the verdicts on the layer's claims."""
    stated: dict[str, list[str]] = {}
    for claim in analysis.claims:
        words = claim.subject.removeprefix(f"{claim.about} ")
        stated.setdefault(claim.about, []).append(f"{words} {claim.stated}: {claim.verdict}")
    rows = []
    for layer in analysis.layers:
        row = layer.to_json() | {"output_shape": show(layer.output_shape)}
        row["training_only"] = str(layer.training_only).lower()
        row["claims"] = "; ".join(stated.get(layer.name, ()))
        rows.append([row[column] for column in COLUMNS])
    return _csv(COLUMNS, rows)


def claims_to_csv(analysis: Analysis) -> str:
    """One row a claim, with a header: the keys of the JSON document."""
    rows = [
        ["" if value is None else csv_cell(value) for value in claim.to_json().values()]
        for claim in analysis.claims
    ]
    return _csv(CLAIM_COLUMNS, rows)


def csv_cell(value: Any) -> Any:
    """A value of a claim in a cell; a text of a spec cannot become a spreadsheet's formula."""
    if isinstance(value, list):
        return show(tuple(value))
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _csv(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue().rstrip("\n")


def to_markdown(analysis: Analysis) -> str:
    """Layers, totals, claims and diagnostics as Markdown tables and lists."""
    graph = analysis.graph
    lines = [
        f"# {_cell(graph.title)}",
        "",
        f"Input {show(graph.input_shape)} (channels x height x width).",
        "",
        "| layer | type | output | how | params | MACs |",
        "|---|---|---:|---|---:|---:|",
    ]
    for layer in analysis.layers:
        cells = (
            layer.name + (MARK if layer.training_only else ""),
            layer.node.layer.type,
            show(layer.output_shape),
            layer.formula,
            f"{layer.costs.params:,}",
            f"{layer.costs.macs:,}",
        )
        lines.append(_row(cells))
    for remark in filter(None, (missing(analysis), training_only(analysis))):
        lines += ["", _cell(remark)]
    for section in sections(analysis):
        lines += ["", *section_lines(section)]
    if analysis.diagnostics:
        lines.append("")
        for d in analysis.diagnostics:
            place = f"{d.file}:{d.line}:{d.column}"
            lines.append(f"- {d.severity} {d.code} {d.name} ({place}): {_cell(d.message)}")
            lines += [f"  - {_cell(fix.title)}: {_cell(fix.effect)}" for fix in d.fixes]
    return "\n".join(lines)


def section_lines(section: Section) -> list[str]:
    """A heading, a table and remarks as lines of Markdown."""
    lines = [f"## {_cell(section.title)}"]
    if section.rows:
        sides = ["---:" if column.side == "right" else "---" for column in section.columns]
        names = [column.name for column in section.columns]
        lines += ["", _row(names), f"|{'|'.join(sides)}|", *(_row(row) for row in section.rows)]
    for note in section.notes:
        lines += ["", _cell(note)]
    return lines


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """Text as it stands in a Markdown table: a spec's words cannot become markup."""
    return re.sub(r"([\\|*<\[])", r"\\\1", printable(text))
