"""Every difference between frameworks has a page with the same parts.

The numbers on it differ by hand and are equal from the spec; `test_examples.py` runs what prints
them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pages import ROOT, Block, blocks

from archspec import rules

FOLDER = ROOT / "docs" / "frameworks"
PAGES = sorted(FOLDER.glob("*.md"))
# What frameworks disagree on, and what a spec means: the rows of the project's design.
DESIGN = {
    "the input of AlexNet": "alexnet-input",
    "local response normalisation": "lrn-alpha",
    "`same` padding": "same-padding",
    "rounding of pools": "pool-rounding",
    "padding of pools": "pool-padding",
    "flatten": "flatten",
    "grouped convolution": "grouped-convolution",
    "batch normalisation": "batch-norm",
    "weight decay": "weight-decay",
    "momentum after a learning-rate drop": "momentum-after-a-drop",
    "cross-entropy": "cross-entropy",
    "dropout": "dropout",
    "initialisers": "initialisers",
}
PARTS = ["The network", "By hand", "From the spec", "Why", "In the spec"]
# Of these the numbers agree by hand too; what differs is the time.
EQUAL_BY_HAND = {"grouped-convolution"}


@pytest.fixture(params=PAGES, ids=lambda page: page.stem)
def page(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def parts(page: Path) -> dict[str, str]:
    """The text below each heading; what stands above the first one is under ``lead``."""
    lead, *others = re.split(r"^## (.*)\n", page.read_text("utf-8"), flags=re.MULTILINE)
    return {"lead": lead, **dict(zip(others[::2], others[1::2], strict=True))}


def blocks_of(page: Path, heading: str) -> list[Block]:
    return [block for block in blocks(page) if block.text in parts(page)[heading]]


def numbers(page: Path, heading: str) -> dict[str, list[str]]:
    """The decimals that the scripts of a part print, by the first word of the line."""
    found: dict[str, list[str]] = {}
    for block in blocks_of(page, heading):
        for command in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            line, *output = command.splitlines()
            for text in output if line.startswith("python ") else []:
                name = re.findall(r"\w+", text)[0].lower().replace("pytorch", "torch")
                found.setdefault(name, []).extend(re.findall(r"-?\d+\.\d*", text))
    return {name: values for name, values in found.items() if values}


def test_every_row_of_the_table_has_a_page_and_every_page_a_row() -> None:
    table = (ROOT / "docs" / "frameworks.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| \[([^\]]+)\]\(frameworks/([\w-]+)\.md\) \|", table, re.MULTILINE))
    assert DESIGN.items() <= rows.items()
    assert sorted(rows.values()) == [page.stem for page in PAGES]


def test_a_page_has_all_parts_and_leads_back(page: Path) -> None:
    found = parts(page)
    assert list(found) == ["lead", *PARTS]
    assert re.match(r"# \S.*\n\n\S", found["lead"])
    assert found["In the spec"].endswith("\n[All differences](../frameworks.md)\n")


def test_a_page_has_a_spec_of_two_layers_or_more(page: Path) -> None:
    (spec,) = blocks_of(page, "The network")
    assert (spec.language, spec.file) == ("yaml", f"{page.stem}.yaml")
    assert len(yaml.safe_load(spec.text)["layers"]) >= 2


@pytest.mark.parametrize(
    ("heading", "script"), [(PARTS[1], "by_hand.py"), (PARTS[2], "from_spec.py")]
)
def test_a_part_has_a_script_that_is_run(page: Path, heading: str, script: str) -> None:
    files = [block.file for block in blocks_of(page, heading) if block.file]
    shown = "".join(b.text for b in blocks_of(page, heading) if b.language == "console")
    assert script in files
    assert f"$ python {script}\n" in shown


def test_by_hand_the_numbers_differ(page: Path) -> None:
    found = numbers(page, "By hand")
    assert {"torch", "keras"} <= found.keys() or {"torch", "tensorflow"} <= found.keys()
    assert (len({tuple(v) for v in found.values()}) == 1) == (page.stem in EQUAL_BY_HAND)


def test_from_the_spec_they_are_equal(page: Path) -> None:
    found = numbers(page, "From the spec")
    assert found["torch"] == found["keras"]


def test_a_page_names_diagnostics_that_exist_or_says_that_there_is_none(page: Path) -> None:
    text = " ".join(parts(page)["In the spec"].split())
    codes = re.findall(r"\bAS\d+", text)
    assert set(codes) <= {rule.code for rule in rules.rules().values()}
    assert codes or "no diagnostic" in text.lower()
