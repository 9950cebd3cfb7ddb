"""Tables in the terminal: nothing is wider than it, and nothing is lost."""

from __future__ import annotations

import io
import re
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import heads, layer, network
from rich.cells import cell_len
from rich.console import Console

import archspec
from archspec.analysis import Analysis
from archspec.analysis.section import Column
from archspec.report.diagnostics import print_diagnostics
from archspec.report.grid import LEAST, print_grid, wrapped
from archspec.report.table import print_analysis

words = st.text("ab c._/-1漢", max_size=60)


@given(words, st.integers(LEAST, 30))
@settings(max_examples=300, deadline=None)
def test_wrapping_keeps_every_character_within_the_width(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert all(0 < cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_words_are_broken_at_their_marks_and_go_on_further_in() -> None:
    assert wrapped("  block1.shortcut.drop_path", 18) == ["  block1.shortcut.", "    drop_path"]
    assert wrapped("(227 - 11 + 2*0)/4 + 1 = 55", 16) == ["(227 - 11 +", "2*0)/4 + 1 = 55"]
    assert wrapped("x" * 20, 8) == ["xxxxxx", "  xxxxxx", "  xxxxxx", "  xx"]


def printed(width: int, columns: list[Column], rows: list[list[str]]) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_grid(console, columns, [[(cell, "") for cell in row] for row in rows])
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@given(st.lists(st.tuples(words, words, st.integers(0, 10**9)), min_size=1, max_size=6),
       st.integers(10 + 2 * LEAST + 2, 120))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_grid_fits_if_its_columns_can(rows: list[tuple[str, str, int]], width: int) -> None:
    columns = [Column("a", folds=True), Column("b", folds=True), Column("n", "right")]
    lines = printed(width, columns, [[a, b, str(n)] for a, b, n in rows])
    assert all(cell_len(line) <= width for line in lines)
    told = "".join("".join(lines[2:]).split())
    assert sorted(told) == sorted("".join("".join(f"{a}{b}{n}".split()) for a, b, n in rows))


def test_the_widest_gives_way_before_words_are_broken() -> None:
    columns = [Column("name", folds=True), Column("text", folds=True)]
    lines = printed(40, columns, [["a_long.name_of.some.layer", "some words that can be wrapped"]])
    assert lines[2:] == [
        "a_long.name_of.some.layer some words",
        "                          that can be",
        "                          wrapped",
    ]


def long_names() -> Analysis:
    """Names of 90 letters without a mark, in a block, and a source in wide characters."""
    name = "a" * 90
    layers = [
        layer(f"block.{name}", "conv2d", filters=8, kernel_size=3, stride=2, rounding="floor"),
        layer("block.b", "relu"),
        layer("c" * 99, "global_avg_pool2d"),
    ]
    claims = [{"about": "network", "params": 1, "source": "漢字" * 40}]
    return archspec.analyze(network(layers, (3, 224, 200), "long", claims=claims))


SAMPLES = ["alexnet", "resnet50", "googlenet", "efficientnet-v2-l", "densenet121", "lenet-5-1998"]


@pytest.fixture(scope="module")
def samples() -> list[Analysis]:
    return [*map(archspec.analyze, SAMPLES), archspec.analyze(heads()), long_names()]


def lines_of(found: Analysis, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_analysis(console, found)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    starts = [i for i, line in enumerate(lines) if re.match(r"(error|warning|note)\[", line)]
    return lines[: starts[0]] if starts else lines


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_an_analysis_fits_the_terminal(width: int, samples: list[Analysis]) -> None:
    for found in samples:
        assert max(map(cell_len, lines_of(found, width))) <= width


def header(found: Analysis, width: int) -> list[str]:
    return next(line for line in lines_of(found, width) if line.startswith("layer ")).split()


def test_wider_terminals_show_more_and_wrap_nothing(samples: list[Analysis]) -> None:
    base = ["layer", "output", "how", "params", "MACs"]
    alexnet = samples[0]
    assert [header(alexnet, width) for width in (60, 80, 90, 100, 112, 118, 140, 200)] == [
        base,
        base,
        [*base, "FLOPs"],
        ["layer", "type", "output", "how", "params", "MACs"],
        ["layer", "type", "output", "how", "params", "MACs", "FLOPs"],
        ["layer", "type", "output", "how", "sees", "params", "MACs", "FLOPs"],
        ["layer", "type", "output", "how", "sees", "params", "MACs", "FLOPs", "bytes"],
        ["layer", "type", "output", "how", "sees", "params", "MACs", "FLOPs", "bytes"],
    ]
    for found in samples[:-1]:
        lines = lines_of(found, 200)
        sections = [found.graph.sections[x.name] for x in found.layers]
        headings = sum(bool(section) for section, _ in groupby(sections))
        # A line for each layer and each heading, below title, input, header and rule.
        assert lines[5 + len(found.layers) + headings] == ""


def test_the_columns_of_a_wide_terminal(samples: list[Analysis]) -> None:
    row = next(line for line in lines_of(samples[0], 200) if line.startswith("pool2"))
    layer_ = samples[0].by_name["pool2"]
    field = layer_.receptive_field
    assert field is not None
    assert row.split()[:2] == ["pool2", "max_pool2d"]
    assert row.split()[-3:] == [
        str(field.size[0]), f"{layer_.costs.flops:,}", f"{layer_.costs.activation_bytes:,}",
    ]  # fmt: skip
    block = next(line for line in lines_of(samples[1], 200) if line.startswith("conv2_1 "))
    members = [x for x in samples[1].layers if x.name.startswith("conv2_1.")]
    assert block.split()[1:] == [
        f"{sum(x.costs.params for x in members):,}",
        f"{sum(x.costs.macs for x in members):,}",
        f"{sum(x.costs.flops for x in members):,}",
        f"{sum(x.costs.activation_bytes for x in members):,}",
    ]


def test_formulas_are_written_closer_before_they_are_wrapped() -> None:
    """80 columns: too few for the blanks around + and -, enough for the rest."""
    layers = [layer("a" * 18, "conv2d", filters=64, kernel_size=11, stride=4, rounding="floor")]
    found = archspec.analyze(network(layers, (3, 224, 224)))
    text = "\n".join(lines_of(found, 80))
    assert "floor((224-11+2*0)/4+1) = 54" in text
    assert "floor((224 - 11 + 2*0)/4 + 1) = 54" in "\n".join(lines_of(found, 100))


@pytest.mark.parametrize("width", [60, 80, 140])
def test_what_diagnostics_say_is_wrapped_in_a_terminal(width: int) -> None:
    """But for the lines of the file; in a pipe a message stays on one line, for grep."""
    found = archspec.analyze("alexnet-224").diagnostics
    printed = {}
    for terminal in (True, False):
        stream = io.StringIO()
        console = Console(file=stream, width=width, color_system=None, force_terminal=terminal)
        print_diagnostics(console, found)
        printed[terminal] = stream.getvalue().splitlines()
    quoted = re.compile(r" *[0-9]* \||  -->")
    assert max(len(line) for line in printed[True] if not quoted.match(line)) <= width
    assert max(map(len, printed[False])) > 80
    together = [" ".join(" ".join(lines).split()) for lines in printed.values()]
    assert together[0] == together[1]
