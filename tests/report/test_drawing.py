"""Pictures: every layer is in one, no label covers another, no line crosses a box."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import (
    EXAMPLES,
    SOON,
    branching,
    example_network,
    family_heads,
    heads,
    layer,
    network,
    unet,
)
from networks import parsed as parsed_network
from pictures import Rectangle, boxes, drawn_layers, labels, overlapping, parsed, segments

import archspec
from archspec import catalog
from archspec.analysis import Analysis
from archspec.diagnostics import ArchspecError
from archspec.layers.base import Example
from archspec.report.drawing import draw
from archspec.report.drawing.layout import Edge, arrange, crossings, ranks_of
from archspec.report.drawing.turns import Turn, levels_of

ALEXNET = Path(__file__).parents[2] / "docs" / "alexnet.svg"


def check(found: Analysis, **options: Any) -> None:
    """What holds of every picture."""
    root = parsed(draw(found, **options))
    assert drawn_layers(root) == {"input", *(node.name for node in found.graph.nodes)}
    texts = labels(root)
    assert overlapping(texts) == []
    x, y, width, height = map(float, root.attrib["viewBox"].split())
    for text in texts:
        assert x <= text.left, text
        assert text.right <= x + width, text
        assert y <= text.top, text
        assert text.bottom <= y + height, text
    around = boxes(root)
    assert piercings(list(segments(root)), around) == []


def piercings(lines: list[Rectangle], around: list[Rectangle]) -> list[tuple[Rectangle, Rectangle]]:
    """Lines that run through a box, by more than its border."""
    found = []
    events = sorted([*lines, *around], key=lambda r: r.left)
    active: list[Rectangle] = []
    for rectangle in events:
        active = [other for other in active if other.right >= rectangle.left]
        for other in active:
            line, box = (rectangle, other) if rectangle.what == "line" else (other, rectangle)
            if line.what != "line" or box.what == "line":
                continue
            inside = Rectangle(box.left + 1, box.top + 1, box.right - 1, box.bottom - 1, "")
            if (
                min(line.right, inside.right) > max(line.left, inside.left)
                or inside.left < line.left == line.right < inside.right
            ) and (
                min(line.bottom, inside.bottom) > max(line.top, inside.top)
                or inside.top < line.top == line.bottom < inside.bottom
            ):
                found.append((line, box))
        active.append(rectangle)
    return found


@pytest.mark.parametrize("spec", sorted(catalog.shipped()))
def test_every_shipped_spec_makes_a_clean_picture(spec: str) -> None:
    check(archspec.analyze(spec))


@pytest.mark.parametrize("spec", family_heads())
@pytest.mark.parametrize("detail", ["blocks", "layers"])
def test_graphs_are_clean_with_blocks_open_and_closed(spec: str, detail: str) -> None:
    check(archspec.analyze(spec), style="graph", detail=detail)


@pytest.mark.parametrize("make", [branching, heads, unet])
@pytest.mark.parametrize("detail", ["blocks", "layers"])
def test_branches_joins_and_auxiliary_outputs(make: Any, detail: str) -> None:
    check(archspec.analyze(make()), style="graph", detail=detail)


@pytest.mark.parametrize(
    ("kind", "example"), [case[1:] for case in EXAMPLES if case[0].endswith("-0")]
)
def test_every_type_of_layer_is_drawn(kind: str, example: Example) -> None:
    check(archspec.analyze(example_network(kind, example)))


@pytest.mark.parametrize("input", ["3x60x60", "3x224x224", "3x11x11"])
@pytest.mark.parametrize("style", ["figure", "graph"])
def test_layers_without_an_output_are_drawn_too(input: str, style: str) -> None:
    check(archspec.analyze("alexnet", input=input), style=style)


def test_the_checks_notice_what_they_look_for() -> None:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg"><text x="0" y="9" font-size="12">label</text>'
        '<text x="5" y="9" font-size="12">other</text>'
        '<g data-layers="a"><rect x="0" y="0" width="9" height="9"/></g>'
        '<polyline class="link" points="4,-5 4,20"/></svg>'
    )
    root = parsed(svg)
    assert overlapping(labels(root)) == [("label", "other")]
    assert len(piercings(list(segments(root)), boxes(root))) == 1


def test_the_figure_of_alexnet_has_the_numbers_of_the_papers_figure_2() -> None:
    """Towers of 48, 128, 192, 192 and 128 kernels; 55, 27 and 13 pixels; the kernels' sizes."""
    root = parsed(draw(archspec.analyze("alexnet")))
    texts = [label.what for label in labels(root)]
    for words, times in {"48": 2, "128": 4, "192": 4, "4096": 2, "1000": 1, "227": 2}.items():
        assert texts.count(words) == times, words
    # Two towers, two sides.
    assert [texts.count(side) for side in ("55", "27", "13")] == [4, 4, 12]
    assert [texts.count(kernel) for kernel in ("11 × 11", "5 × 5", "3 × 3")] == [1, 1, 3]
    assert texts.count("stride 4") == 1
    # The paper's conv3 alone sees both towers: four lines across.
    dashed = [line for line in root.iter() if line.get("stroke-dasharray") == "3 3"]
    assert len(dashed) == 4


def test_a_network_without_groups_has_one_row() -> None:
    texts = [label.what for label in labels(parsed(draw(archspec.analyze("alexnet-one-tower"))))]
    assert texts.count("96") == 1
    assert "48" not in texts


def test_auto_takes_the_figure_for_chains_alone() -> None:
    assert "ray" in draw(archspec.analyze("vgg16"))
    assert 'class="ray"' not in draw(archspec.analyze("resnet18"))
    assert 'class="ray"' not in draw(archspec.analyze("vgg16"), style="graph")
    with pytest.raises(ArchspecError, match=r"`conv2_1.add` reads .*--style graph"):
        draw(archspec.analyze("resnet18"), style="figure")


def test_blocks_alike_are_one_box_with_a_count() -> None:
    texts = [label.what for label in labels(parsed(draw(archspec.analyze("resnet152"))))]
    assert "conv4_2 … conv4_36" in texts
    assert "35 blocks of 10 layers" in texts
    assert "Inside the blocks" in texts
    assert "conv2_2 (and 45 others)" in texts


def test_a_hostile_title_stays_text() -> None:
    title = "</title><script>alert(1)</script>\"'&]]><!--\u202e\x07"
    graph = network([layer("relu", "relu")], title=title)
    svg = draw(archspec.analyze(graph))
    root = parsed(svg)
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    assert root.findtext("{http://www.w3.org/2000/svg}title") == title[:-2] + "??"


def test_pictures_are_the_same_every_time() -> None:
    script = (
        "import archspec; from archspec.report.drawing import draw\n"
        "print(*(draw(archspec.analyze(n)) for n in ('alexnet', 'googlenet-aux', 'resnet18')))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ALEXNET.parents[1])},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


@pytest.mark.parametrize("shape", ["chain", "skips", "fan"])
def test_a_thousand_layers_take_seconds(shape: str) -> None:
    conv: dict[str, Any] = {"filters": 4, "kernel_size": 3, "padding": 1}
    convs = [layer(f"c{i}", "conv2d", **conv, groups=1 + i % 2) for i in range(1, 500)]
    if shape == "chain":
        layers = convs + [layer(f"d{i}", "conv2d", **conv) for i in range(499)]
    elif shape == "skips":
        layers = [*convs, *(layer(f"a{i}", "add", f"a{i + 1}", f"c{i}") for i in range(498, 0, -1))]
        layers[499]["inputs"] = ["c499", "c498"]
    else:
        layers = [
            *({**conv, "inputs": ["input"]} for conv in convs),
            layer("end", "add", *(conv["name"] for conv in convs)),
        ]
    found = archspec.analyze(parsed_network(layers, (4, 9, 9)))
    assert not found.has_errors
    start = time.perf_counter()
    svg = draw(found, style="graph", detail="layers")
    assert time.perf_counter() - start < SOON
    assert len(svg) < 2_000_000
    assert len(drawn_layers(parsed(svg))) == len(layers) + 1


def test_ranks_are_longest_paths_and_lines_are_counted_below_each() -> None:
    edges = [Edge(0, 1), Edge(1, 2), Edge(0, 2), Edge(2, 3)]
    assert ranks_of(4, edges) == [0, 1, 2, 3]
    # Below rank 1 two lines go on, that of 0 and that of 1.
    assert crossings([0, 1, 2, 3], edges) == [1, 2, 1, 0]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[Edge], int]:
    """Any network of boxes: sizes, edges to later boxes, and how many stand at the bottom."""
    count = draw(st.integers(1, 14))
    sizes = draw(
        st.lists(
            st.tuples(st.integers(10, 200), st.integers(10, 80)), min_size=count, max_size=count
        )
    )
    pairs = [(start, end) for end in range(count) for start in range(end)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=24)) if pairs else []
    read = {start for start, _ in chosen}
    last = 0
    while last < count and count - 1 - last not in read:
        last += 1
    sizes = [(float(width), float(height)) for width, height in sizes]
    return sizes, [Edge(*pair) for pair in chosen], draw(st.integers(0, last))


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_boxes_do_not_overlap_and_lines_run_around_them_to_their_ends(
    graph: tuple[list[tuple[float, float]], list[Edge], int],
) -> None:
    sizes, edges, last = graph
    found = arrange(sizes, edges, last)
    rectangles = [
        Rectangle(x, y, x + width, y + height, str(number))
        for number, ((x, y), (width, height)) in enumerate(zip(found.corners, sizes, strict=True))
    ]
    assert overlapping(rectangles) == []
    assert min(x for x, _ in found.corners) >= 0
    assert max(rectangle.right for rectangle in rectangles) <= found.width + 0.01
    lowest = max(rectangle.bottom for rectangle in rectangles)
    assert lowest <= found.height + 0.01
    pieces = []
    for edge, line in zip(edges, found.lines, strict=True):
        start, end = rectangles[edge.start], rectangles[edge.end]
        assert line[0] == pytest.approx(((start.left + start.right) / 2, start.bottom))
        assert line[-1] == pytest.approx(((end.left + end.right) / 2, end.top))
        for (x, y), (x2, y2) in itertools.pairwise(line):
            assert x == x2 or y == y2
            pieces.append(Rectangle(min(x, x2), min(y, y2), max(x, x2), max(y, y2), "line"))
        assert max(x for x, _ in line) <= found.width
    assert piercings(pieces, rectangles) == []


@pytest.mark.parametrize("spec", family_heads())
def test_no_line_runs_along_another_that_leads_elsewhere(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arranged = []

    def recorded(sizes: Any, edges: list[Edge], last: int = 0) -> Any:
        found = arrange(sizes, edges, last)
        arranged.append((edges, found.lines))
        return found

    monkeypatch.setattr("archspec.report.drawing.graph.arrange", recorded)
    draw(archspec.analyze(spec), style="graph", detail="layers")
    assert arranged
    for edges, lines in arranged:
        pieces: dict[tuple[bool, float], list[tuple[float, float, Edge]]] = {}
        for edge, line in zip(edges, lines, strict=True):
            for (x, y), (x2, y2) in itertools.pairwise(line):
                key, *ends = ((True, x), y, y2) if x == x2 else ((False, y), x, x2)
                pieces.setdefault(key, []).append((min(ends), max(ends), edge))
        for on_one_line in pieces.values():
            for (a, b, one), (c, d, other) in itertools.combinations(on_one_line, 2):
                if one.net != other.net and one.end != other.end:
                    assert min(b, d) - max(a, c) <= 0.5, (one, other)


def test_levels_of_turns() -> None:
    # B leaves below where A comes from above: A turns first, though B is further left.
    levels, count = levels_of([Turn("B", 0, 50), Turn("A", 50, 90)])
    assert (levels, count) == ({"A": 0, "B": 1}, 2)
    # Lines into one box share a level, those of one net too, and those that are apart.
    levels, count = levels_of([Turn("A", 0, 40, into=7), Turn("B", 80, 40, into=7)])
    assert (levels["A"], levels["B"], count) == (0, 0, 1)
    assert levels_of([Turn("A", 0, 40), Turn("A", 0, -40)])[1] == 1
    assert levels_of([Turn("A", 0, 40), Turn("B", 50, 90)])[1] == 1
    assert levels_of([Turn("A", 0, 40), Turn("B", 30, 90)])[1] == 2
    # A line that runs straight down needs no level, and a circle has no order.
    assert levels_of([Turn("A", 5, 5, into=1)]) == ({"A": 0}, 0)
    levels, count = levels_of([Turn("A", 0, 50), Turn("B", 50, 0)])
    assert (sorted(levels.values()), count) == ([0, 1], 2)


def command(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "archspec", "draw", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SOON,
    )


def test_the_command_writes_a_file_named_after_the_network(tmp_path: Path) -> None:
    done = command("lenet-5", "--set", "classes=7", "--input", "1x36x36", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "wrote lenet-5.svg\n")
    texts = [text.what for text in labels(parsed((tmp_path / "lenet-5.svg").read_text("utf-8")))]
    assert "7" in texts
    assert texts.count("36") == 2


def test_the_command_draws_what_is_known_and_fails_where_there_are_errors(tmp_path: Path) -> None:
    done = command("alexnet-224", "--output", "net.svg", folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, "wrote net.svg\n")
    assert (tmp_path / "net.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("resnet18", "--style", "figure"), "use --style graph"),
        (("alexnet", "--output", "no/such/folder.svg"), "cannot write no/such/folder.svg"),
        (("alexnet", "--style", "cubist"), "auto"),
        (("alexnet", "--detail", "all"), "blocks"),
    ],
)
def test_a_wrong_option_has_status_2_and_says_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = command(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_picture_in_the_docs_is_what_the_command_writes() -> None:
    """`make figure` renews it."""
    assert ALEXNET.read_text("utf-8") == draw(archspec.analyze("alexnet")) + "\n"
