"""The curves of runs: every figure is where its axis says, and the page is whole."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_runs import make_run, row
from pictures import HOSTILE, SVG, labels, overlapping, parsed

from archspec.report.drawing.curves import DASHES, Axis, draw_curves, style
from archspec.report.html.runs import to_html
from archspec.training.runs import read

CHARTS = ["training loss", "held-out loss", "held-out top-1", "learning rate"]


def curves(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    """The points of each curve, chart by chart and in each run by run, without the legend."""
    found = []
    for group in root.iter(f"{SVG}g"):
        for line in group.findall(f"{SVG}polyline"):
            if "curve" in line.get("class", ""):
                points = [point.split(",") for point in line.attrib["points"].split()]
                found.append([(float(x), float(y)) for x, y in points])
    return found


def test_points_are_where_the_axes_say(tmp_path: Path) -> None:
    rows = [row(1), row(2), row(3), row(4)]
    root = parsed(draw_curves(read([make_run(tmp_path / "run", rows)])))
    texts = {t.text: t for t in root.iter(f"{SVG}text")}
    assert [t.text for t in root.iter(f"{SVG}text") if t.text in CHARTS] == CHARTS
    top1 = curves(root)[2]
    # The axis names 40% and 100%: from their places follow all others.
    baseline = 4.0  # of the letters beside a line
    y40, y100 = (float(texts[name].attrib["y"]) - baseline for name in ("40%", "100%"))
    for (_, y), one in zip(top1, rows, strict=True):
        expected = y40 + (y100 - y40) * (one.val_top1 - 0.4) / 0.6
        assert y == pytest.approx(expected, abs=0.02)
    steps = [b[0] - a[0] for a, b in itertools.pairwise(top1)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.02)


@given(st.floats(1e-12, 1e12), st.floats(1e-12, 1e12))
@example(0.01, 0.01)
@example(0.0001, 0.01)
def test_every_value_has_room_on_its_axis(a: float, b: float) -> None:
    low, high = sorted((a, b))
    axis = Axis.of(low, high)
    assert axis.low <= low * (1 + 1e-9)
    assert axis.high >= high * (1 - 1e-9)
    assert -1e-6 <= axis.place(low) <= axis.place(high) <= 1 + 1e-6
    assert 1 <= len(axis.ticks) <= 8
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert list(axis.ticks) == sorted(set(axis.ticks))
    for tick in axis.ticks:
        digits = f"{tick:.10e}".partition("e")[0].rstrip("0").rstrip(".")
        assert len(digits.lstrip("-")) <= 12
    if axis.logarithmic:
        middle = math.sqrt(axis.low * axis.high)
        assert axis.place(middle) == pytest.approx(0.5)


@given(st.integers(1, 100_000))
def test_epochs_are_whole_numbers_from_1(last: int) -> None:
    axis = Axis.of(1, last, whole=True)
    assert axis.ticks[0] == 1
    assert len(axis.ticks) <= 8
    assert all(tick == int(tick) and tick <= last for tick in axis.ticks)
    assert (axis.low, axis.place(last)) == (1, 1.0 if last > 1 else 0.0)


def test_a_wide_range_has_a_logarithmic_axis() -> None:
    assert Axis.of(0.01, 1.0).logarithmic
    assert Axis.of(1e-4, 1e-2).ticks == (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01)
    assert Axis.of(1e-9, 1.0).ticks == pytest.approx((1e-9, 1e-7, 1e-5, 1e-3, 1e-1))
    assert not Axis.of(0.5, 2.0).logarithmic
    assert not Axis.of(0.0, 1.0).logarithmic
    assert Axis.of(0.31, 0.97).ticks == (0.2, 0.4, 0.6, 0.8, 1.0)


def test_curves_of_24_runs_look_different() -> None:
    assert len({style(number) for number in range(24)}) == 24
    # The first two, and any two neighbours, differ in both: where one lies over the other, the
    # lower is seen between the dashes of the upper.
    for number in range(23):
        (one, dashes), (other, more) = style(number), style(number + 1)
        assert one != other
        assert dashes != more
    assert style(0)[1] == DASHES[0] == ""


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_no_label_covers_another(tmp_path: Path, count: int) -> None:
    folders = [
        make_run(tmp_path / f"{'long-' * (i % 12)}run{i}", [row(e) for e in range(1, 2 + 3 * i)])
        for i in range(count)
    ]
    root = parsed(draw_curves(read(folders)))
    texts = labels(root)
    assert overlapping(texts) == []
    x, y, width, height = map(float, root.attrib["viewBox"].split())
    for text in texts:
        assert x <= text.left
        assert text.right <= x + width
        assert y <= text.top
        assert text.bottom <= y + height
    assert len(curves(root)) == 4 * count


def test_one_epoch_is_a_point(tmp_path: Path) -> None:
    root = parsed(draw_curves(read([make_run(tmp_path / "run", 1)])))
    points = [r for r in root.iter(f"{SVG}rect") if "point" in r.get("class", "")]
    assert len(points) == 4


def test_the_best_epoch_is_marked(tmp_path: Path) -> None:
    rows = [row(1), row(2, val_top1=0.99), row(3)]
    root = parsed(draw_curves(read([make_run(tmp_path / "run", rows)])))
    (point,) = [r for r in root.iter(f"{SVG}rect") if "point" in r.get("class", "")]
    x = float(point.attrib["x"]) + float(point.attrib["width"]) / 2
    assert x == pytest.approx(curves(root)[2][1][0], abs=0.02)
    assert "run: 99.00% in epoch 2" in [t.text for t in root.iter(f"{SVG}title")]


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    nan = float("nan")
    rows = [row(1), row(2, train_loss=nan, val_loss=float("inf")), row(3)]
    folders = [make_run(tmp_path / "run", rows), make_run(tmp_path / "none", 0)]
    text = draw_curves(read(folders))
    assert not re.search(r"nan|inf\b", text)
    assert [len(curve) for curve in curves(parsed(text))] == [2, 2, 3, 3]
    nothing = parsed(draw_curves(read(folders[1:])))
    assert [t.text for t in nothing.iter(f"{SVG}text")].count("no epoch has ended") == 4


def test_a_run_of_ten_thousand_epochs_is_a_small_picture(tmp_path: Path) -> None:
    rows = [row(epoch, train_loss=1 / epoch, val_loss=1 / epoch) for epoch in range(1, 10_001)]
    text = draw_curves(read([make_run(tmp_path / "run", rows, recipe={"epochs": 10_000})]))
    assert len(text) < 60_000
    root = parsed(text)
    assert len(curves(root)[0]) <= 401
    # The first and the last epoch are there, at the ends of the axis.
    ticks = {t.text: float(t.attrib["x"]) for t in root.iter(f"{SVG}text") if t.text == "10,000"}
    assert curves(root)[3][-1][0] == pytest.approx(ticks["10,000"], abs=0.02)


def test_the_page_stands_alone(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / "a"), make_run(tmp_path / "b", filters=5, recipe={"seed": 3})]
    page = to_html(read(folders))
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    assert root.findtext("head/title") == "a, b: runs"
    assert "<script" not in page
    assert "script-src 'none'" in page
    assert " style=" not in page
    assert not re.search(r'(src|href)="(?!#|data:,)', page)
    levels = [int(e.tag[1]) for e in root.iter() if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    identities = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(identities) == len(set(identities))
    names = {name for e in root.iter() for name in (e.get("aria-labelledby") or "").split()}
    assert names <= set(identities)
    words = " ".join("".join(root.itertext()).split())
    for said in ("optimizer.learning_rate", "93.75%", "Different networks", "seed"):
        assert said in words


def test_hostile_names_do_not_become_markup(tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "-")
    runs = read(
        [
            make_run(tmp_path / name, network=HOSTILE, engine=HOSTILE, data=HOSTILE),
            make_run(tmp_path / "b", filters=5),
        ]
    )
    page = to_html(runs)
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    assert "<script" not in page
    assert "<img" not in page
    assert HOSTILE in "".join(root.itertext())
    assert name in (root.findtext("body/header/h1") or "")
    picture = parsed(draw_curves(runs))
    assert not [e for e in picture.iter() if e.tag.rpartition("}")[2] in ("script", "img")]


def test_a_run_of_one_and_runs_without_an_epoch_have_a_page(tmp_path: Path) -> None:
    make_run(tmp_path / "none", 0)
    for folders in ([tmp_path / "none"], [make_run(tmp_path / "one", 1), tmp_path / "none"]):
        ElementTree.fromstring(to_html(read(folders)).removeprefix("<!DOCTYPE html>\n"))


RUNS = Path(__file__).parents[2] / "benchmarks" / "digits"


def test_the_shipped_picture_is_that_of_its_runs() -> None:
    """Of `archspec runs compare benchmarks/digits/{keras,torch} --output docs/curves.svg`."""
    runs = read([RUNS / "keras", RUNS / "torch"])
    picture = Path(__file__).parents[2] / "docs" / "curves.svg"
    assert picture.read_text(encoding="utf-8") == f"{draw_curves(runs)}\n"
    # The same recipe on the same data with the same weights, but for the masks of dropout.
    assert {found.what for found in runs.differences} == {
        "backend", "engine", "execution.channels_last",
    }  # fmt: skip
    ends = [run.rows[14:] for run in runs.runs]  # the learning rate has dropped
    for one, other in zip(*ends, strict=True):
        assert abs(one.val_top1 - other.val_top1) <= 2 / 359 + 1e-9
