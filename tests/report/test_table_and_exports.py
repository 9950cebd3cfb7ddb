"""The table, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from networks import heads
from rich.console import Console

import archspec
from archspec import catalog
from archspec.analysis import Analysis
from archspec.analysis.section import Column, Section
from archspec.report.export import COLUMNS, to_csv, to_json, to_markdown
from archspec.report.table import print_analysis


def _table(found: Analysis, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_analysis(console, found)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def _before_diagnostics(lines: list[str]) -> list[str]:
    """A diagnostic's message and source line stay whole, for terminals to wrap."""
    starts = [i for i, line in enumerate(lines) if re.match(r"(error|warning|note)\[", line)]
    return lines[: starts[0]] if starts else lines


@pytest.mark.parametrize("spec", sorted(catalog.shipped()))
@pytest.mark.parametrize("width", [80, 100])
def test_no_line_is_wider_than_the_terminal(spec: str, width: int) -> None:
    lines = _before_diagnostics(_table(archspec.analyze(spec), width))
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if "…" in line]


@pytest.mark.parametrize("spec", ["alexnet", "alexnet-224", "alexnet-2012-code", "caffenet"])
def test_the_formulas_of_alexnet_stand_on_one_line(spec: str) -> None:
    found = archspec.analyze(spec)
    text = "\n".join(_table(found))
    for layer in found.layers:
        if layer.node.layer.type in ("conv2d", "max_pool2d", "dense", "flatten"):
            assert f" {layer.formula} " in text.replace("\n", " ")


def test_the_table_of_alexnet() -> None:
    lines = _table(archspec.analyze("alexnet"))
    assert lines[0] == "AlexNet (Krizhevsky, Sutskever and Hinton, 2012)"
    assert lines[1] == "input 3 x 227 x 227 (channels x height x width)"
    assert [line.split()[0] for line in lines[5:28]] == [
        layer.name for layer in archspec.analyze("alexnet").layers
    ]
    assert re.fullmatch(
        r"conv1 +96 x 55 x 55 +\(227 - 11 \+ 2\*0\)/4 \+ 1 = 55 +34,944 +105,415,200", lines[5]
    )
    assert re.fullmatch(r"relu1 +96 x 55 x 55", lines[6])
    text = "\n".join(lines)
    assert re.search(r"^params +60,965,224  232\.6 MiB in float32$", text, re.MULTILINE)
    assert re.search(r"^MACs +724,406,816  724 M, one image$", text, re.MULTILINE)
    assert re.search(r"^conv1 neurons +253,440 +290,400 +contradicted", text, re.MULTILINE)
    assert lines[-1] == "4 notes"
    assert "AS310 impossible-input" in text
    assert "the printed size does not fit its first layer" in text


def test_wide_tables_have_the_types() -> None:
    assert "local_response_norm" in "\n".join(_table(archspec.analyze("alexnet"), 120))


def test_layers_that_are_left_out_are_said_in_one_line() -> None:
    found = archspec.analyze("alexnet", input="3x60x60")
    text = " ".join(_table(found))
    line = (
        "Left out: pool5 and 8 more of 23 layers, which have no output. The totals are those of "
        "the layers above."
    )
    assert line in text
    assert line in to_markdown(found)
    assert "Left out" not in " ".join(_table(archspec.analyze("alexnet")))


def test_layers_used_in_training_alone_have_a_mark() -> None:
    found = archspec.analyze(heads())
    lines = _table(found)
    marked = [layer.name for layer in found.layers if layer.training_only]
    rows_marked = [match[1] for line in lines if (match := re.match(r"  (\S+) \*", line))]
    assert rows_marked == [name.partition(".")[2] for name in marked]  # below aux1 and aux2
    remark = (
        "* used in training alone. MACs, FLOPs, neurons, connections and activations are without "
        "these 7 layers."
    )
    assert remark in " ".join(lines)
    page = to_markdown(found)
    assert "\\" + remark in page
    assert r"| aux1.fc \* | dense |" in page
    rows = csv.DictReader(io.StringIO(to_csv(found)))
    assert {row["name"] for row in rows if row["training_only"] == "true"} == {*marked}
    assert "training alone" not in " ".join(_table(archspec.analyze("alexnet")))


def test_repairs_stand_below_the_error() -> None:
    lines = _table(archspec.analyze("alexnet-224"))
    at = lines.index("  help: choose one of these repairs:")
    assert lines[at + 1 : at + 3] == [
        "    - input 227 x 227",
        "        conv1 gives 96 x 55 x 55; fc6 reads 9216",
    ]
    end = lines.index("", at)
    assert all(len(line) <= 80 for line in lines[at:end])


def test_words_of_a_spec_cannot_become_markup(tmp_path: Path) -> None:
    """A title and a source are any text: no styles, escapes or table cells come of it."""
    path = tmp_path / "words.yaml"
    path.write_text(
        'archspec: 1\nname: words\ntitle: "[bold]a[/nothing] \\e[31m | <b>"\n'
        "input: {channels: 1, height: 4, width: 4}\nlayers:\n  - {name: a, type: relu}\n"
        'claims:\n  - {about: a, neurons: 16, source: "[/red] | \\u202e x\\ny"}\n'
    )
    found = archspec.analyze(path)
    lines = _table(found)
    assert lines[0] == "[bold]a[/nothing] ?[31m | <b>"
    assert "[/red] | ? x y" in "\n".join(lines)
    page = to_markdown(found).splitlines()
    assert page[0] == r"# \[bold]a\[/nothing] ?\[31m \| \<b>"
    assert r"| \[/red] \| ? x y |" in page[-1]


def test_csv_has_the_columns_and_plain_numbers() -> None:
    found = archspec.analyze("alexnet")
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert tuple(rows[0]) == COLUMNS
    assert [row["name"] for row in rows] == [layer.name for layer in found.layers]
    assert sum(int(row["params"]) for row in rows) == found.totals.params
    assert rows[0]["output_shape"] == "96 x 55 x 55"
    assert rows[0]["formula"] == "(227 - 11 + 2*0)/4 + 1 = 55"


def test_markdown_has_layers_claims_and_diagnostics() -> None:
    lines = to_markdown(archspec.analyze("alexnet-224")).splitlines()
    assert lines[0] == "# AlexNet with the input that the paper prints, 224 x 224"
    assert lines[2] == "Input 3 x 224 x 224 (channels x height x width)."
    assert "| params | 49,430,888 | 188.6 MiB in float32 |" in lines
    row = r"| conv1 | conv2d | 96 x 54 x 54 | (224 - 11 + 2\*0)/4 + 1 = 54.25 | 34,944 |"
    assert any(line.startswith(row) for line in lines)
    assert "| conv1 neurons | 253,440 | 279,936 | contradicted | figure 2 |" in lines
    assert any(line.startswith("- error AS101 non-integer-output (") for line in lines)
    assert any(line.startswith("  - input 227 x 227: conv1 gives 96 x 55 x 55") for line in lines)
    columns = {line.count("|") - line.count(r"\|") for line in lines if line.startswith("| conv")}
    assert columns == {6, 7}


@dataclass(frozen=True)
class Weighing:
    """A report such as an optional one of `archspec analyze`."""

    key: ClassVar[str] = "weighing"

    def to_json(self) -> dict[str, Any]:
        return {"grams": 3}

    def sections(self) -> tuple[Section, ...]:
        columns = (Column("layer"), Column("grams", "right", folds=True))
        return (Section("weights on the scale", columns, (("a|b", "1"), ("c", "2")), ("Dry.",)),)


def test_a_report_is_in_every_format() -> None:
    found = archspec.analyze("alexnet-small").with_reports(Weighing())
    assert json.loads(to_json(found))["weighing"] == {"grams": 3}
    rows = "| layer | grams |\n|---|---:|\n| a\\|b | 1 |\n| c | 2 |\n\nDry."
    assert f"## weights on the scale\n\n{rows}" in to_markdown(found)
    lines = _table(found)
    first = lines.index("weights on the scale")
    assert lines[first + 3 : first + 6] == ["a|b        1", "c          2", "Dry."]
