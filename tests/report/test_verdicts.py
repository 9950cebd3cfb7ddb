"""Every verdict stands in every format."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import archspec
from archspec import catalog
from archspec.analysis import Analysis
from archspec.report.export import claims_to_csv, to_csv, to_json, to_markdown
from archspec.report.table import print_analysis

# One with blocks, and all that state figures of AlexNet.
SPECS = ["googlenet", *(name for name in catalog.shipped() if name.startswith("alexnet"))]


@pytest.fixture(scope="module", params=SPECS)
def found(request: pytest.FixtureRequest) -> Analysis:
    analysis = archspec.analyze(request.param)
    assert analysis.claims or request.param == "alexnet-small"
    return analysis


def table(found: Analysis, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_analysis(console, found)
    assert isinstance(console.file, io.StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    return lines[lines.index("claims", 1) :] if "claims" in lines[1:] else []


def test_the_table(found: Analysis) -> None:
    lines = table(found, 400)
    rows = [line.split("  ") for line in lines]
    cells = [[cell.strip() for cell in row if cell] for row in rows]
    for claim in found.claims:
        (verdict, source) = claim.verdict, " ".join((claim.source or "").split())
        assert any(
            row[0] == claim.subject and row[1] == claim.stated and row[3:] == [verdict, source]
            for row in cells
            if len(row) == 5
        ), claim
        if claim.explanation:
            assert f"{claim.subject}: {claim.explanation}" in lines


def test_the_table_of_alexnet_needs_no_second_line_in_80_columns() -> None:
    found = archspec.analyze("alexnet")
    lines = table(found, 80)
    assert len(lines[3:]) > len(found.claims)
    for claim, line in zip(found.claims, lines[3:], strict=False):
        assert line.startswith(f"{claim.subject} ")
        assert line.endswith(f" {claim.source}")
        assert len(line) <= 80


def test_markdown(found: Analysis) -> None:
    lines = to_markdown(found).replace("\\", "").splitlines()
    for claim in found.claims:
        source = " ".join((claim.source or "").split())
        start, end = f"| {claim.subject} | {claim.stated} | ", f" | {claim.verdict} | {source} |"
        assert any(line.startswith(start) and line.endswith(end) for line in lines), claim
        if claim.explanation:
            assert f"{claim.subject}: {claim.explanation}" in lines


def cell(value: Any) -> str:
    """A value of the JSON document as it stands in the CSV."""
    if isinstance(value, list):
        return " x ".join(map(str, value))
    return "" if value is None else str(value)


def test_json_and_csv_say_the_same(found: Analysis) -> None:
    document: list[dict[str, Any]] = json.loads(to_json(found))["claims"]
    rows = list(csv.DictReader(io.StringIO(claims_to_csv(found))))
    assert len(document) == len(rows) == len(found.claims)
    for claim, entry, row in zip(found.claims, document, rows, strict=True):
        assert list(row) == list(entry)
        assert (entry["verdict"], row["verdict"]) == (claim.verdict, claim.verdict)
        assert (entry["about"] or "", entry["quantity"]) == (claim.about, claim.quantity)
        assert [*row.values()] == [cell(value) for value in entry.values()]


def test_the_csv_of_the_layers_has_those_of_each_layer(found: Analysis) -> None:
    rows = {row["name"]: row["claims"] for row in csv.DictReader(io.StringIO(to_csv(found)))}
    for claim in found.claims:
        if claim.about in rows:
            words = claim.subject.removeprefix(f"{claim.about} ")
            assert f"{words} {claim.stated}: {claim.verdict}" in rows[claim.about].split("; ")
    about = {claim.about for claim in found.claims}
    assert {name for name, text in rows.items() if text} == about & rows.keys()


def test_a_text_of_a_spec_is_no_formula_of_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "archspec: 1\nname: a\ninput: {channels: 1, height: 1, width: 1}\n"
        "layers: [{name: a, type: relu}]\n"
        "claims:\n"
        '  - {about: a, neurons: 1, source: "=HYPERLINK(1)"}\n'
        '  - {about: a, params: 0, source: "\\n @x"}\n'
        '  - {formula: "-1 + 3", claimed: 2, source: a}\n'
    )
    rows = [*csv.DictReader(io.StringIO(claims_to_csv(archspec.analyze(path))))]
    assert [row["source"] for row in rows] == ["'=HYPERLINK(1)", "'@x", "a"]
    assert rows[2]["formula"] == "'-1 + 3"


def test_the_option_goes_with_csv() -> None:
    command = [sys.executable, "-m", "archspec", "analyze", "alexnet", "--claims"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--claims goes with --format csv" in done.stderr
    done = subprocess.run([*command, "--format", "csv"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout == claims_to_csv(archspec.analyze("alexnet")) + "\n"
