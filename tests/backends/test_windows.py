"""Convolutions and pools with whatever a spec may say of their windows, in every backend."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from networks import layer, parsed

import archspec
from archspec import verification

thorough = settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


def pair(most: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(1, most), min_size=2, max_size=2)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    """The fields of a window: more padding than frameworks take, strides past the kernel."""
    padding = st.lists(st.integers(0, 2), min_size=4, max_size=4)
    return {
        "kernel_size": draw(pair(4)),
        "stride": draw(pair(3)),
        "padding": draw(st.one_of(st.just("same"), padding)),
        "rounding": draw(st.sampled_from(["floor", "ceil"])),
    }


def check(size: list[int], *layers: dict[str, Any]) -> None:
    stem = layer("stem", "conv2d", "input", filters=4, kernel_size=1)
    graph = parsed([stem, *layers], (2, *size))
    assume(not archspec.analyze(graph).has_errors)
    found = verification.verify(graph)
    assert found.equal, (graph.nodes[-1].layer, found.outputs, found.gradients)


@thorough
@given(pair(7), windows(), pair(2), st.sampled_from([1, 2, 4]), st.booleans())
def test_convolutions_agree(
    size: list[int], window: dict[str, Any], dilation: list[int], groups: int, bias: bool
) -> None:
    options = {"filters": 4, "dilation": dilation, "groups": groups, "bias": bias}
    check(size, layer("layer", "conv2d", **window, **options))


@thorough
@given(pair(7), windows())
def test_max_pools_agree(size: list[int], window: dict[str, Any]) -> None:
    check(size, layer("layer", "max_pool2d", **window))


@thorough
@given(pair(7), windows(), st.booleans())
def test_average_pools_agree(size: list[int], window: dict[str, Any], counted: bool) -> None:
    check(size, layer("layer", "avg_pool2d", count_include_pad=counted, **window))


@thorough
@given(pair(7), pair(7))
def test_adaptive_pools_agree(size: list[int], output: list[int]) -> None:
    check(size, layer("layer", "adaptive_avg_pool2d", output_size=output))
