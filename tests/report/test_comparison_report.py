"""`archspec diff` for people: tables that fit, and Markdown."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

import archspec
from archspec.analysis.diff.sections import ROWS, sections
from archspec.report.comparison import print_comparison, to_json, to_markdown

PAGE = Path(__file__).parents[2] / "docs" / "diff.md"

PAIRS = [
    ("alexnet", "alexnet-keras-valid"),
    ("alexnet", "alexnet-keras-batchnorm-narrated"),
    ("resnet18", "resnet34"),
    ("mobilenet-v2", "mobilenet-v2-1-4"),
    ("efficientnet-b0", "efficientnet-b1"),
    ("densenet121", "densenet169"),
    ("lenet-5", "lenet-5-1998"),
    ("vgg16", "efficientnet-v2-l"),
]


def table(a: str, b: str, width: int = 80, rows: int | None = ROWS) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_comparison(console, archspec.diff(a, b), rows)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize(("a", "b"), PAIRS, ids="-".join)
@pytest.mark.parametrize("width", [80, 140])
def test_no_line_is_wider_than_the_terminal(a: str, b: str, width: int) -> None:
    lines = table(a, b, width)
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if "\N{HORIZONTAL ELLIPSIS}" in line]


def test_alexnet_and_the_fifth_seed() -> None:
    lines = table("alexnet", "alexnet-keras-valid")
    text = "\n".join(lines)
    assert lines[0] == (
        "Different networks: 23 layers in both (18 changed, 23 under other names), 6 only"
    )
    assert re.search(r"^params +60,965,224 +50,844,008 +-10,121,216  -16\.6$", text, re.MULTILINE)
    explained = lines[lines.index("why the parameters differ") + 3 :][:5]
    assert [line.split("  ")[0] for line in explained] == [
        "fc6 = FC6", "conv4 = Conv4", "conv5 = Conv5", "conv2 = Conv2", "together",
    ]  # fmt: skip
    assert explained[0].endswith("-11,534,336  (9216 + 1)*4096 -> (6400 + 1)*4096")
    assert explained[-1].endswith("-10,121,216")
    assert "zero_padding2d_25 is the border that conv3 has itself" in text
    assert re.search(r"^drop7 = dropout_18 +rate +0\.5 +0\.4$", text, re.MULTILINE)
    for heading in ("totals", "only in B", "output shapes", "under other names", "training"):
        assert heading in lines


def test_what_two_layers_have_in_common_is_told_once() -> None:
    text = "\n".join(table("alexnet", "alexnet-224"))
    assert re.search(r"^conv1, relu1, norm1 +output +96 x 55 x 55 +96 x 54 x 54$", text, re.M)


def test_rows_that_are_left_out_are_counted() -> None:
    for section in sections(archspec.diff("mobilenet-v2", "mobilenet-v2-1-4")):
        if section.title.startswith("why"):
            assert len(section.rows) == ROWS + 1  # and the sum
            column = [int(row[1].replace(",", "")) for row in section.rows]
            assert sum(column[:-1]) == column[-1]
    every = sections(archspec.diff("mobilenet-v2", "mobilenet-v2-1-4"), None)
    why = next(section for section in every if section.title == "why the parameters differ")
    assert len(why.rows) == 106  # every layer with weights but none more
    assert not any("more" in cell for row in why.rows for cell in row)


@pytest.mark.parametrize(
    ("classes", "share"), [(2000, "+6.7"), (1001, "+0.007"), (999, "-0.007"), (1000, "")]
)
def test_percentages(classes: int, share: str) -> None:
    """Of 60,965,224 parameters, 4097 a class."""
    found = archspec.diff("alexnet", archspec.load("alexnet", classes=classes))
    totals = next(section for section in sections(found) if section.title == "totals")
    assert totals.rows[0][0] == "params"
    assert totals.rows[0][-1] == share


def test_markdown() -> None:
    page = to_markdown(archspec.diff("alexnet", "caffenet"), ROWS).splitlines()
    assert (
        page[0] == "Different networks: 23 layers in both (6 changed, 2 moved). The recipes differ."
    )
    assert "## totals" in page
    assert "| drop6 | -4,096 | 4,096 -> 0 |" in page
    tables = [line for line in page if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)
    assert to_markdown(archspec.diff("alexnet", "alexnet"), ROWS) == "The same network."


def test_the_page_documents_every_key_in_order() -> None:
    document = json.loads(to_json(archspec.diff("alexnet", "caffenet")))
    sections = re.split(r"^### ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    documented = {
        section.splitlines()[0]: re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        for section in sections
    }
    changed = next(entry for entry in document["layers"] if entry["changes"])
    assert documented == {
        "The document": list(document),
        "A network": list(document["a"]),
        "A total": list(document["totals"]["params"]),
        "A layer": list(document["layers"][0]),
        "A change": list(changed["changes"][0]),
    }
    kinds = {change["kind"] for entry in document["layers"] for change in entry["changes"]}
    assert all(f"`{kind}`" in PAGE.read_text("utf-8") for kind in kinds)
