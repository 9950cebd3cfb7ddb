"""The page of `analyze --format html`, as text: complete, escaped, self-contained."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import pytest
from networks import chain, family_heads, heads, layer, network
from pictures import HOSTILE, SVG, labels, overlapping

import archspec
from archspec.analysis.section import Column, Section
from archspec.report.html import to_html
from archspec.report.html.charts import BARS, groups
from archspec.report.markup import Markup, element, escape, number


def tree(page: str) -> ElementTree.Element:
    """The page, which is well-formed XML but for its doctype and the text of its script."""
    assert page.startswith("<!DOCTYPE html>\n")
    text = re.sub(r"(<(script|style)>).*?(</\2>)", r"\1\3", page, flags=re.DOTALL)
    return ElementTree.fromstring(text.partition("\n")[2])


def rows(page: ElementTree.Element) -> list[list[str]]:
    """The cells of the layers in the table."""
    table = page.find(".//table[@id='layers-table']")
    assert table is not None
    return [
        ["".join(cell.itertext()) for cell in row]
        for row in table.findall("tbody/tr")
        if row.get("class") != "block"
    ]


@pytest.mark.parametrize("spec", family_heads())
def test_every_family_has_a_complete_page(spec: str) -> None:
    found = archspec.analyze(spec)
    page = to_html(found)
    root = tree(page)
    names = [row[0].removesuffix(" *") for row in rows(root)]
    assert names == [layer.name for layer in found.layers]
    text = "".join(root.itertext())
    for diagnostic in found.diagnostics:
        assert diagnostic.message in text
        assert f"{diagnostic.severity} {diagnostic.code}" in text
        assert all(fix.title in text and fix.effect in text for fix in diagnostic.fixes)
    for claim in found.claims:
        assert claim.explanation in text
    assert f"{found.totals.params:,}" in text
    assert len(page) < 2_000_000
    pictures = list(root.iter(f"{SVG}svg"))
    assert len(pictures) == 6
    for picture in pictures:
        assert overlapping(labels(picture)) == []


def test_a_row_has_the_arithmetic_and_the_exact_figures() -> None:
    (conv1,) = [
        row for row in rows(tree(to_html(archspec.analyze("alexnet")))) if row[0] == "conv1"
    ]
    assert conv1 == [
        "conv1",
        "conv2d",
        "96 x 55 x 55",
        "(227 - 11 + 2*0)/4 + 1 = 55",
        "34,944(11*11*3 + 1)*96",
        "105,415,20055*55*96*11*11*3",
        "211,120,800",
        "210,830,400",
        "1.1 MiB",
        "11 x 11",
        "21",
    ]


def test_the_page_asks_for_nothing() -> None:
    """No address but those of namespaces: nothing is fetched, and the policy forbids it too."""
    page = to_html(archspec.analyze("alexnet"))
    addresses = set(re.findall(r'(?:src|href|action|url)\s*[=(]\s*"?([^"#)\s][^")\s]*)', page))
    assert addresses == {"data:,"}
    assert set(re.findall(r"https?://[^\"'<> ]+", page)) == {"http://www.w3.org/2000/svg"}
    assert "@import" not in page


def test_the_policy_allows_the_style_and_the_script_by_their_hashes_alone() -> None:
    page = to_html(archspec.analyze("alexnet"))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert " style=" not in page
    assert not re.search(r"\son\w+=", page)


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    quoted = HOSTILE.replace("\\", "\\\\").replace('"', '\\"')
    path.write_text(
        f'archspec: 1\nname: net\ntitle: "{quoted}"\ndescription: "{quoted}"\nsource: "{quoted}"\n'
        "input: {channels: 3, height: 4, width: 4}\n"
        "layers:\n  - {name: relu, type: relu}\n"
        f'claims:\n  - {{about: relu, neurons: 7, source: "{quoted}"}}\n'
    )
    page = to_html(archspec.analyze(path))
    root = tree(page)
    assert root.findtext("head/title") == f"{HOSTILE}: analysis"
    assert page.count("<script") == 1
    assert "<img" not in page
    assert HOSTILE in "".join(root.itertext())


def test_headings_are_in_order_and_sections_have_names() -> None:
    for spec in ("alexnet-224", "resnet18", "googlenet-aux"):
        root = tree(to_html(archspec.analyze(spec)))
        assert root.get("lang") == "en"
        levels = [int(e.tag[1]) for e in root.iter() if re.fullmatch(r"h[1-6]", e.tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        identities = [e.get("id") for e in root.iter() if e.get("id")]
        assert len(identities) == len(set(identities))
        for e in root.iter():
            for name in (e.get("aria-labelledby") or "").split():
                assert name in identities
            if e.tag == "a":
                assert (e.get("href") or "").removeprefix("#") in identities


def test_networks_with_errors_have_a_page_of_what_is_known() -> None:
    found = archspec.analyze("alexnet", input="3x60x60")
    text = "".join(tree(to_html(found)).itertext())
    assert "Left out: pool5 and 8 more of 23 layers" in text
    nothing = archspec.analyze("alexnet", input="3x5x5")
    assert not nothing.layers
    assert "error AS102" in "".join(tree(to_html(nothing)).itertext())


def test_layers_used_in_training_alone_have_a_mark() -> None:
    root = tree(to_html(archspec.analyze(heads())))
    marked = [row[0] for row in rows(root) if row[0].endswith(" *")]
    assert marked
    assert "* used in training alone" in "".join(root.itertext())


class _Report:
    key: ClassVar[str] = "some_report"

    def to_json(self) -> dict[str, object]:
        return {}

    def sections(self) -> tuple[Section, ...]:
        columns = (Column("what"), Column("how many", "right"))
        return (Section("a table <b>", columns, (("rows & cells", "2"),), ("a remark",)),)


def test_reports_are_printed_like_any_section() -> None:
    root = tree(to_html(archspec.analyze("alexnet").with_reports(_Report())))
    section = root.find(".//section[@id='some_report']")
    assert section is not None
    assert section.findtext("h2") == "Some report"
    assert section.findtext("h3") == "A table <b>"
    assert section.findtext(".//tbody/tr/th") == "rows & cells"
    assert section.findtext("p") == "a remark"


def test_a_thousand_layers_make_a_page_of_a_megabyte() -> None:
    found = archspec.analyze(chain(1000))
    page = to_html(found)
    assert len(rows(tree(page))) == 1000
    assert len(page) < 1_500_000


@pytest.mark.parametrize("count", [2 * BARS, 2 * BARS + 2, 1000])
def test_bars_stand_for_all_layers_and_are_few(count: int) -> None:
    found = archspec.analyze(chain(count))
    bars = groups(found, lambda layer: layer.costs.params)
    assert len(bars) <= BARS
    costly = [layer for layer in found.layers if layer.costs.params]
    assert [layer for group in bars for layer in group.layers] == costly


def test_no_cost_makes_no_chart() -> None:
    page = to_html(archspec.analyze(network([layer("relu", "relu")])))
    assert "Multiply-accumulates" not in page
    assert "Activations" in page


def test_elements_escape_all_that_is_not_markup() -> None:
    assert escape('<&>"\x00\ud800') == "&lt;&amp;&gt;&quot;??"
    assert escape(Markup("<b>")) == "<b>"
    made = element("a", "<", element("b", ">"), class_='"', data_value=1.5, hidden=True, id=None)
    assert made == '<a class="&quot;" data-value="1.5" hidden="">&lt;<b>&gt;</b></a>'
    assert element("meta", name="x") == '<meta name="x"/>'
    assert [number(x) for x in (0, -0.001, 1.005, 12.5, 100)] == ["0", "0", "1", "12.5", "100"]
