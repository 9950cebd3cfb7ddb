"""The page and the pictures in a real browser: layout, colours, sorting, and no network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import browser
import pytest
from made_runs import make_run
from networks import chain, unet
from pictures import HOSTILE

import archspec
from archspec.report.drawing import draw
from archspec.report.drawing.curves import draw_curves
from archspec.report.html import to_html
from archspec.report.html.runs import to_html as runs_to_html
from archspec.training.runs import Runs, read

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

DESKTOP, PHONE = 1400, 390
A4_LANDSCAPE = 1031  # CSS pixels between margins of 12 mm

# What is read out of pages, as functions for the browser.
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
OUTSIDE = """() => [...document.querySelectorAll('body *')].filter(e => {
  if (e.closest('.scroll, pre, nav, svg, .skip') && !e.matches('.scroll, pre, nav')) return false;
  const box = e.getBoundingClientRect();
  return box.width && (box.right > innerWidth + 1 || box.left < -1);
}).map(e => e.outerHTML.slice(0, 80))"""
OVERLAPS = """(selector) => {
  const found = [];
  for (const svg of document.querySelectorAll(selector)) {
    const texts = [...svg.querySelectorAll('text')]
      .map(t => [t.textContent, t.getBoundingClientRect()])
      .sort((a, b) => a[1].left - b[1].left);
    const frame = svg.getBoundingClientRect();
    texts.forEach(([words, box], i) => {
      if (box.left < frame.left || box.right > frame.right) found.push(['outside', words]);
      if (box.top < frame.top || box.bottom > frame.bottom) found.push(['outside', words]);
      for (let j = i + 1; j < texts.length && texts[j][1].left < box.right - 1; j++) {
        const other = texts[j][1];
        // A line of text is higher than its letters.
        const high = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
        if (high > 4.5) found.push([words, texts[j][0]]);
      }
    });
    if (!texts.length) found.push(['no text', svg.id]);
  }
  return found;
}"""
CONTRAST = """() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const transparent = (colour) => /rgba\\(.*, 0\\)/.test(colour);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (!transparent(colour)) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const worst = new Map();
  const look = (e, ink, paper) => {
    const now = ratio(ink, paper);
    const key = `${e.tagName} ${ink} on ${paper}`;
    if (now < 4.5) worst.set(key, now);
  };
  for (const e of document.querySelectorAll('body *:not(script)')) {
    const words = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!words || !e.getClientRects().length) continue;
    if (e.tagName === 'text') {
      // The box of its group, or the paper.
      const box = e.parentElement.querySelector(':scope > rect:not(.ground, .bar)');
      const paper = e.ownerSVGElement.querySelector('.paper');
      const ground = e.classList.contains('halo') || !box ? paper : box;
      look(e, getComputedStyle(e).fill, getComputedStyle(ground).fill);
    } else if (!e.closest('svg')) {
      look(e, getComputedStyle(e).color, behind(e));
    }
  }
  return [...worst];
}"""
COLOURS = """() => ['body', 'header .cards div', 'svg .paper', 'svg .conv'].map(s => {
  const style = getComputedStyle(document.querySelector(s));
  return s.startsWith('svg') ? style.fill : style.backgroundColor;
})"""
NAMES = """() => [...document.querySelectorAll('#layers-table tbody tr:not(.block)')]
  .filter(r => !r.hidden).map(r => r.cells[0].textContent)"""


@dataclass
class Opened:
    """A page and what it did: messages of its console, errors, requests for anything else."""

    page: Any
    trouble: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


Open = Callable[..., Opened]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.started() as found:
        yield found


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens HTML or SVG from a file and looks for trouble at the end."""
    contexts = []
    pages: list[Opened] = []

    def open_page(
        text: str, width: int = DESKTOP, scheme: str = "light", name: str = "page.html"
    ) -> Opened:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        contexts.append(context)
        found = Opened(context.new_page())
        pages.append(found)
        found.page.on("console", lambda message: found.trouble.append(message.text))
        found.page.on("pageerror", lambda error: found.trouble.append(str(error)))
        found.page.on("dialog", lambda dialog: found.trouble.append(dialog.message))
        found.page.on("request", lambda request: found.requests.append(request.url))
        found.page.goto(path.as_uri())
        return found

    yield open_page
    for found in pages:
        assert found.trouble == []
        assert [url for url in found.requests if not url.startswith(("file:", "data:"))] == []
        assert len([url for url in found.requests if url.startswith("file:")]) == 1
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def page_of() -> Callable[[str], str]:
    known: dict[str, str] = {}

    def page(spec: str) -> str:
        if spec not in known:
            known[spec] = to_html(archspec.analyze(spec))
        return known[spec]

    return page


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("spec", ["alexnet", "alexnet-224", "resnet50", "convnext-tiny"])
def test_nothing_is_wider_than_the_page(
    opened: Open, page_of: Callable[[str], str], spec: str, width: int
) -> None:
    page = opened(page_of(spec), width).page
    assert page.evaluate(OVERFLOW) == 0
    assert page.evaluate(OUTSIDE) == []


@pytest.mark.parametrize("spec", ["alexnet", "resnet50"])
def test_on_paper_boxes_are_open_and_fit(
    opened: Open, page_of: Callable[[str], str], spec: str
) -> None:
    page = opened(page_of(spec), A4_LANDSCAPE).page
    page.emulate_media(media="print")
    assert page.evaluate(OVERFLOW) == 0
    table = page.locator("#layers-table").bounding_box()
    assert table["width"] <= A4_LANDSCAPE
    assert page.locator(".tall").bounding_box()["height"] >= table["height"]
    assert not page.locator("nav").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_both_colour_schemes(
    opened: Open, page_of: Callable[[str], str], scheme: str
) -> None:
    for spec in ("alexnet-224", "resnet18", "googlenet-aux"):
        assert opened(page_of(spec), scheme=scheme).page.evaluate(CONTRAST) == []


def test_the_colours_follow_the_scheme(opened: Open, page_of: Callable[[str], str]) -> None:
    light = opened(page_of("alexnet")).page.evaluate(COLOURS)
    dark = opened(page_of("alexnet"), scheme="dark").page.evaluate(COLOURS)
    assert all(a != b for a, b in zip(light, dark, strict=True))


def test_pictures_follow_the_scheme_as_images_too(opened: Open, tmp_path: Path) -> None:
    """In an `img` no style of the page reaches the picture: it has its own."""
    (tmp_path / "net.svg").write_text(draw(archspec.analyze("alexnet")), encoding="utf-8")
    colours = []
    for scheme in ("light", "dark"):
        found = opened('<body style="margin:0"><img src="net.svg">', scheme=scheme)
        found.page.wait_for_function("document.images[0].complete")
        assert found.page.evaluate("document.images[0].naturalWidth") > 1000
        colours.append(found.page.screenshot(clip={"x": 2, "y": 2, "width": 1, "height": 1}))
        found.requests.remove((tmp_path / "net.svg").as_uri())
    assert colours[0] != colours[1]


@pytest.mark.parametrize(
    "spec",
    ["alexnet", "vgg16", "resnet18", "resnet50", "googlenet-aux", "densenet121", "inception-v3"],
)
def test_no_label_of_a_picture_covers_another(opened: Open, spec: str) -> None:
    """With the letters that the browser draws, not with estimated widths."""
    found = opened(draw(archspec.analyze(spec)), name="net.svg")
    assert found.page.evaluate(OVERLAPS, "svg") == []


def test_no_label_of_a_graph_with_long_lines_covers_another(opened: Open) -> None:
    for detail in ("blocks", "layers"):
        picture = draw(archspec.analyze(unet(4)), detail=detail)
        assert opened(picture, name="net.svg").page.evaluate(OVERLAPS, "svg") == []


@pytest.mark.parametrize("spec", ["alexnet", "resnet50", "efficientnet-b0"])
def test_no_label_of_a_chart_covers_another(
    opened: Open, page_of: Callable[[str], str], spec: str
) -> None:
    found = opened(page_of(spec))
    assert found.page.locator("svg").count() == 6
    assert found.page.evaluate(OVERLAPS, "svg") == []


def test_the_check_of_overlaps_notices_one(opened: Open) -> None:
    page = opened(
        '<svg width="90" height="20"><text y="15">one</text><text y="15">two</text></svg>'
    )
    assert page.page.evaluate(OVERLAPS, "svg") != []


def test_sorting_by_mouse(opened: Open, page_of: Callable[[str], str]) -> None:
    found = archspec.analyze("resnet18")
    page = opened(page_of("resnet18")).page
    heading = page.locator("#layers-table th", has_text="params")
    params = {layer.name: layer.costs.params for layer in found.layers}
    order = [layer.name for layer in found.layers]
    inside = page.evaluate(NAMES)
    assert inside == order

    heading.get_by_role("button").click()
    shown = [params[name] for name in page.evaluate(NAMES)]
    assert shown == sorted(params.values(), reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    assert page.locator("#layers-table tr.block:visible").count() == 0
    # Apart from their block, layers have their whole names.
    assert page.locator("#layers-table tbody th:visible").first.inner_text().count(".") == 2

    heading.get_by_role("button").click()
    assert [params[name] for name in page.evaluate(NAMES)] == sorted(params.values())
    heading.get_by_role("button").click()
    assert page.evaluate(NAMES) == order
    assert heading.get_attribute("aria-sort") == "none"
    assert page.locator("#layers-table tr.block:visible").count() > 5


def test_sorting_and_filtering_by_keyboard(opened: Open, page_of: Callable[[str], str]) -> None:
    page = opened(page_of("alexnet")).page
    page.locator("#filter").focus()
    page.keyboard.type("CONV")
    assert page.evaluate(NAMES) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    assert page.locator("#count").inner_text() == "5 of 23 layers"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # the table scrolls, so it is reached too
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "layer"
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    assert page.evaluate(NAMES) == ["conv5", "conv4", "conv3", "conv2", "conv1"]
    page.locator("#reset").focus()
    page.keyboard.press("Enter")
    assert len(page.evaluate(NAMES)) == 23


def test_everything_that_scrolls_or_acts_is_reached_by_keyboard(
    opened: Open, page_of: Callable[[str], str]
) -> None:
    page = opened(page_of("alexnet-224"), PHONE).page
    hidden = page.evaluate(
        """() => [...document.querySelectorAll('body *')].filter(e => {
          const style = getComputedStyle(e);
          const scrolls = /auto|scroll/.test(style.overflowX) && e.scrollWidth > e.clientWidth + 1;
          return scrolls && e.tabIndex < 0 && !e.querySelector('a, button');
        }).map(e => e.outerHTML.slice(0, 60))"""
    )
    assert hidden == []
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_the_heading_of_the_table_stays_in_sight(
    opened: Open, page_of: Callable[[str], str]
) -> None:
    page = opened(page_of("resnet50")).page
    box = page.locator(".tall")
    box.evaluate("e => { e.scrollTop = 2000; e.scrollLeft = 300; }")
    frame, heading = box.bounding_box(), page.locator("#layers-table thead").bounding_box()
    assert abs(page.locator("#layers-table thead th").first.bounding_box()["y"] - frame["y"]) < 3
    assert heading["height"] < 60


def test_hostile_words_do_not_run(opened: Open, tmp_path: Path) -> None:
    text = HOSTILE.replace("\\", "\\\\").replace('"', '\\"')
    (tmp_path / "net.yaml").write_text(
        f'archspec: 1\nname: net\ntitle: "{text}"\ndescription: "{text}"\n'
        "input: {channels: 3, height: 4, width: 4}\nlayers:\n  - {name: relu, type: relu}\n"
        f'claims:\n  - {{about: relu, neurons: 7, source: "{text}"}}\n'
    )
    found = archspec.analyze(tmp_path / "net.yaml")
    page = opened(to_html(found)).page
    assert page.title() == f"{HOSTILE}: analysis"
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.locator("img").count() == 0
    picture = opened(draw(found), name="net.svg").page
    assert picture.evaluate("document.querySelectorAll('script, img').length") == 0


def test_the_policy_stops_what_would_get_through(chromium: Any, tmp_path: Path) -> None:
    """Were a word of a spec not escaped, it would still not run."""
    page = to_html(archspec.analyze("lenet-5"))
    attack = "<script>document.title = 'owned'</script><img src='http://127.0.0.1:9/x'>"
    (tmp_path / "page.html").write_text(re.sub("</main>", f"{attack}</main>", page))
    context = chromium.new_context()
    tab = context.new_page()
    refused: list[str] = []
    requests: list[str] = []
    tab.on("console", lambda message: refused.append(message.text))
    tab.on("requestfinished", lambda request: requests.append(request.url))
    tab.goto((tmp_path / "page.html").as_uri())
    assert "owned" not in tab.title()
    assert len([words for words in refused if "Content Security Policy" in words]) == 2
    assert not [url for url in requests if url.startswith("http")]
    context.close()


def test_hundreds_of_layers_sort_at_once(opened: Open) -> None:
    page = opened(to_html(archspec.analyze(chain(600)))).page
    page.locator("#layers-table th button", has_text="layer").click()
    assert len(page.evaluate(NAMES)) == 600
    page.locator("#filter").fill("conv299")
    assert page.evaluate(NAMES) == ["block99.conv299"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Twelve runs of several lengths and two networks, one without an epoch and a hostile name."""
    folder = tmp_path_factory.mktemp("runs")
    names = [HOSTILE.replace("/", "-"), *(f"run-with-a-name-{i}" for i in range(11))]
    return read(
        [
            make_run(folder / name, 3 * i, filters=4 + i % 2, recipe={"seed": i, "epochs": 33})
            for i, name in enumerate(names)
        ]
    )


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_page_of_runs_fits(opened: Open, runs: Runs, width: int) -> None:
    page = opened(runs_to_html(runs), width).page
    assert page.evaluate(OVERFLOW) == 0
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(OVERLAPS, "svg") == []
    assert page.locator("h1").inner_text().startswith(HOSTILE.replace("/", "-"))
    assert page.locator("img, script").count() == 0
    assert page.locator("#differences th[scope=col]").count() == 13


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_of_runs_can_be_read_in_both_colour_schemes(
    opened: Open, runs: Runs, scheme: str
) -> None:
    page = opened(runs_to_html(runs), scheme=scheme).page
    assert page.evaluate(CONTRAST) == []
    # Lines need 3:1 against the paper, as WCAG asks of graphics.
    weak = page.evaluate(
        CONTRAST.replace("if (now < 4.5)", "if (now < 3)").replace(
            "if (!words || !e.getClientRects().length) continue;",
            "if (e.matches('.curve')) look(e, getComputedStyle(e).stroke, "
            "getComputedStyle(document.querySelector('svg .paper')).fill); continue;",
        )
    )
    assert weak == []
    strokes = page.evaluate(
        "() => [...document.querySelectorAll('svg .curve')].map(e => getComputedStyle(e).stroke)"
    )
    assert len(set(strokes)) == 6


def test_curves_follow_the_scheme_as_an_image(opened: Open, runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "curves.svg").write_text(draw_curves(runs), encoding="utf-8")
    colours = []
    for scheme in ("light", "dark"):
        found = opened('<body style="margin:0"><img src="curves.svg">', scheme=scheme)
        found.page.wait_for_function("document.images[0].complete")
        colours.append(found.page.screenshot(clip={"x": 2, "y": 2, "width": 1, "height": 1}))
        found.requests.remove((tmp_path / "curves.svg").as_uri())
    assert colours[0] != colours[1]
