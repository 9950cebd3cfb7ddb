"""What windows do at the edges of their maps, against brute force over every position."""

from __future__ import annotations

import itertools
import re

import pytest
from networks import layer, network, parsed

import archspec
from archspec.diagnostics import Diagnostic
from archspec.layers.window import resolve_axis

WINDOWS = [
    window
    for window in itertools.product(range(1, 7), range(1, 5), range(1, 4), (1, 2, 5), range(4))
    if (window[1] - 1) * window[3] + 1 <= window[0] + 2 * window[4]
]


def found(size: int, kernel: int, stride: int, dilation: int, padding: int) -> dict[str, str]:
    """The rules that one convolution triggers on a map of one column, with their messages."""
    fields = {"kernel_size": [kernel, 1], "stride": [stride, 1], "dilation": [dilation, 1]}
    conv = layer("c", "conv2d", filters=1, padding=[padding, 0], rounding="floor", **fields)
    diagnostics = archspec.analyze(parsed([conv], (1, size, 1))).diagnostics
    return {d.name: d.message for d in diagnostics}


@pytest.mark.parametrize("size", range(1, 7))
def test_what_no_window_reads_and_what_reads_nothing(size: int) -> None:
    for window in (w for w in WINDOWS if w[0] == size):
        _, kernel, stride, dilation, padding = window
        rules = found(*window)
        extent = (kernel - 1) * dilation + 1
        begins = range(-padding, size + padding - extent + 1, stride)
        covered = {line for begin in begins for line in range(begin, begin + extent)}
        unread = len(set(range(size)) - covered)
        assert ("pixels-dropped" in rules) == (unread > 0 and stride <= extent), window
        assert ("stride-skips-pixels" in rules) == (unread > 0 and stride > extent), window
        if "pixels-dropped" in rules:
            assert f"{unread} of its {size} pixels" in rules["pixels-dropped"]
        if "stride-skips-pixels" in rules:
            assert f"read {size - unread} of the {size}" in rules["stride-skips-pixels"]
        blind = [b for b in begins if b >= size or b + extent <= 0]
        assert ("padding-covers-kernel" in rules) == bool(blind), window
        if blind:
            assert f"{len(blind)} of its {len(begins)} windows" in rules["padding-covers-kernel"]
        met = {
            element
            for element in range(kernel)
            if any(0 <= begin + element * dilation < size for begin in begins)
        }
        dead = kernel - len(met)
        name = "dilation-beyond-map" if dilation > 1 else "weights-on-padding"
        assert (name in rules) == (dead > 0), window
        if dead:
            assert f"{dead} of the {kernel} weights" in rules[name]


def test_the_windows_above_are_those_of_the_analysis() -> None:
    for size, kernel, stride, dilation, padding in WINDOWS:
        axis = resolve_axis(size, kernel, stride, dilation, (padding, padding), "floor")
        extent = (kernel - 1) * dilation + 1
        assert axis.output == len(range(-padding, size + padding - extent + 1, stride))


def one(layers: list[dict[str, object]], input: tuple[int, int, int]) -> Diagnostic:
    (diagnostic,) = archspec.analyze(network(layers, input)).diagnostics
    return diagnostic


@pytest.mark.parametrize(("bias", "given"), [(True, "the bias"), (False, "0")])
def test_a_window_in_the_padding_gives_the_bias_where_there_is_one(bias: bool, given: str) -> None:
    conv = layer("c", "conv2d", filters=4, kernel_size=1, padding=1, bias=bias)
    assert one([conv], (3, 8, 8)).message.endswith(f"what they give is {given}")


def test_a_note_says_how_many_pixels_are_lost() -> None:
    pool = layer("p", "max_pool2d", kernel_size=3, stride=2, rounding="floor")
    note = one([pool], (3, 56, 56))
    assert (note.code, note.severity) == ("AS112", "note")
    assert note.message == (
        "p: (56 - 3 + 2*0)/2 + 1 = 27.5 is rounded down to 27, so no window reads the last row "
        "and the last column of the input: 111 of its 3,136 pixels"
    )
    assert 56 * 56 - 55 * 55 == 111


@pytest.mark.parametrize(
    ("padding", "words"),
    [
        (0, "54.25 is rounded up to 55: the last window reaches 3 pixels past the input"),
        (2, "55.25 is rounded up to 56: the last window reaches 3 pixels past the padded input"),
    ],
)
def test_a_note_says_how_far_the_last_window_reaches(padding: int, words: str) -> None:
    fields = {"filters": 1, "kernel_size": 11, "stride": 4, "rounding": "ceil"}
    note = one([layer("c", "conv2d", padding=padding, **fields)], (3, 224, 224))
    assert (note.code, note.severity) == ("AS113", "note")
    assert words in note.message


def test_padding_that_no_window_reads_is_not_worth_a_note() -> None:
    conv = layer("c", "conv2d", filters=1, kernel_size=3, stride=2, padding=1, rounding="floor")
    assert archspec.analyze(network([conv], (3, 224, 224))).diagnostics == ()


def test_what_a_line_of_a_block_stands_for_is_said_once() -> None:
    found = archspec.analyze("resnet18").diagnostics
    (note,) = [d for d in found if d.code == "AS114"]
    assert note.message.endswith("; likewise in 2 more layers")
    places = [(d.code, d.file, d.line, d.column) for d in found]
    assert len(set(places)) == len(places)


def test_a_kernel_that_is_the_map_is_meant() -> None:
    conv = layer("c", "conv2d", filters=4, kernel_size=6, stride=2)
    assert archspec.analyze(network([conv], (3, 6, 6))).diagnostics == ()


def test_a_copied_layer_names_the_one_it_was_copied_from() -> None:
    found = archspec.analyze("alexnet-keras-batchnorm").diagnostics
    (copied,) = [d for d in found if d.code == "AS117"]
    assert copied.layer == "conv2d_9"
    assert "conv2d_5 on line" in copied.message
    assert re.search(r"covers 72% of the map of 13 x 13", copied.message)
    assert round(121 / 169, 2) == 0.72
