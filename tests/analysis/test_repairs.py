"""Repairs of non-integer output sizes: minimal, and true when they are applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
from archspec.analysis.repairs import repairs
from archspec.analysis.shapes import infer_shapes
from archspec.diagnostics import Fix
from archspec.graph import Graph
from archspec.layers.base import show

Network = Callable[..., Graph]


def _fixes(graph: Graph) -> dict[str, tuple[Fix, ...]]:
    found = archspec.analyze(graph).diagnostics
    return {d.layer: d.fixes for d in found if d.name == "non-integer-output" and d.layer}


def _applied(graph: Graph, changes: dict[str, Any]) -> Graph:
    """The network with the changes of a fix, read by the layer as a spec's values are."""
    input = {k: v for k, v in changes.items() if k.startswith("input.")}
    if input:
        size = (input["input.height"], input["input.width"])
        return graph.with_input((graph.input_shape[0], *size))
    name = next(iter(changes)).partition(".")[0]
    layer = graph.by_name[name].layer
    fields = {key.partition(".")[2]: value for key, value in changes.items()}
    data = layer.model_dump(include=set(type(layer).model_fields) & layer.model_fields_set)
    checked = type(layer).model_validate({**data, **fields})
    return graph.with_layer(name, **{key: getattr(checked, key) for key in fields})


def _verify(graph: Graph, name: str, fix: Fix) -> None:
    """A fix is applied from its data alone; the layer must then be as the effect says."""
    shapes = infer_shapes(_applied(graph, fix.changes))
    assert name in shapes.layers
    assert name not in shapes.rounded
    assert fix.effect.startswith(f"{name} gives {show(shapes.of(name))}")
    assert ("no whole output" in fix.effect) == bool(shapes.rounded)
    assert ("no output" in fix.effect) == bool(shapes.missing)
    if any(key.startswith("input.") for key in fix.changes):
        assert not shapes.rounded
        assert not shapes.missing


pairs = st.tuples(st.integers(1, 7), st.integers(1, 7))
strides = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(
    st.tuples(st.integers(5, 40), st.integers(5, 40)),
    pairs,
    strides,
    st.sampled_from(["conv2d, filters: 2", "max_pool2d", "avg_pool2d"]),
    st.sampled_from([0, 1, [0, 1, 0, 0]]),
)
@settings(max_examples=150, deadline=None)
def test_every_repair_holds(
    network: Network, size: Any, kernel: Any, stride: Any, kind: str, padding: Any
) -> None:
    mean = ", count_include_pad: true" if padding and kind == "avg_pool2d" else ""
    layers = [
        f"name: first, type: {kind}, kernel_size: {list(kernel)}, stride: {list(stride)}, "
        f"padding: {padding}{mean}",
        "name: second, type: max_pool2d, kernel_size: 2, stride: 1",
        "name: flatten, type: flatten",
        "name: fc, type: dense, units: 3",
    ]
    graph = network(layers, (2, *size))
    for name, fixes in _fixes(graph).items():
        assert fixes
        assert len({fix.title for fix in fixes}) == len(fixes)
        for fix in fixes:
            _verify(graph, name, fix)


def test_only_the_axis_that_is_inexact_is_repaired(network: Network) -> None:
    layer = "name: c, type: conv2d, filters: 1, kernel_size: [11, 7], stride: [4, 2]"
    fixes = _fixes(network([layer], (3, 224, 227)))["c"]
    assert [fix.changes for fix in fixes] == [
        {"input.height": 223, "input.width": 227},
        {"c.padding": [2, 0], "c.rounding": "floor"},
        {"c.padding": [1, 2, 0, 0]},
        {"c.rounding": "ceil"},
        {"c.rounding": "floor"},
    ]
    assert fixes[1].title == "padding [2, 0] with rounding floor"
    assert fixes[2].title == "padding [1, 2, 0, 0]"


def test_axes_that_need_different_sizes(network: Network) -> None:
    layer = "name: c, type: conv2d, filters: 1, kernel_size: 11, stride: 4"
    fixes = _fixes(network([layer], (3, 224, 318)))["c"]
    assert fixes[0].changes == {"input.height": 223, "input.width": 319}
    assert "in height its last window reaching 3 pixels" in fixes[3].effect
    assert "in width its last window reaching 1 pixel past" in fixes[3].effect


def test_even_padding_stays_exact(network: Network) -> None:
    """Two pixels are missing: one on each side, and nothing is left to round."""
    layer = "name: c, type: conv2d, filters: 1, kernel_size: 3, stride: 4"
    fixes = _fixes(network([layer], (3, 9, 9)))["c"]
    assert [fix.title for fix in fixes] == [
        "input 11 x 11",
        "padding 1",
        "rounding ceil",
        "rounding floor",
    ]
    assert fixes[1].changes == {"c.padding": 1}
    assert fixes[1].effect == "c gives 1 x 3 x 3"


def test_a_mean_says_what_it_makes_of_new_padding(network: Network) -> None:
    fixes = _fixes(network(["name: p, type: avg_pool2d, kernel_size: 3, stride: 2"], (3, 8, 8)))
    padding = [fix for fix in fixes["p"] if "p.padding" in fix.changes]
    assert [fix.changes.get("p.count_include_pad") for fix in padding] == [False, False]
    assert "count_include_pad false" in padding[0].title


def test_padding_that_a_pool_cannot_have_is_not_offered(network: Network) -> None:
    """A window of 1 with stride 3: padding would hold whole windows."""
    fixes = _fixes(network(["name: p, type: max_pool2d, kernel_size: 1, stride: 3"], (3, 8, 8)))
    assert not [fix for fix in fixes["p"] if "p.padding" in fix.changes]


def test_rounding_up_is_not_offered_where_it_does_nothing(network: Network) -> None:
    """The next window would begin outside the input, so `ceil` gives what `floor` gives."""
    fixes = _fixes(
        network(
            ["name: c, type: conv2d, filters: 1, kernel_size: 1, stride: 4, padding: [0, 2, 0, 2]"],
            (3, 6, 6),
        )
    )
    assert not [fix for fix in fixes["c"] if fix.changes == {"c.rounding": "ceil"}]


def test_a_kernel_that_no_input_size_helps(network: Network) -> None:
    """Behind an adaptive pool the map is always 6 x 6; only the layer itself can change."""
    layers = [
        "name: pool, type: adaptive_avg_pool2d, output_size: 6",
        "name: deep, type: conv2d, filters: 4, kernel_size: 3, stride: 2",
        "name: flatten, type: flatten",
        "name: fc, type: dense, units: 10",
    ]
    fixes = _fixes(network(layers, (3, 48, 48)))["deep"]
    assert [fix.title for fix in fixes] == [
        "padding 1 with rounding floor",
        "padding [0, 1, 0, 1] (0+1 on each axis)",
        "rounding ceil",
        "rounding floor",
    ]
    assert [fix.effect.rpartition(" ")[2] for fix in fixes] == ["36", "36", "36", "16"]


def test_a_kernel_deep_inside(network: Network) -> None:
    """224 passes the first pools and fails at the fourth; 240 is the nearest that passes all."""
    layers = [f"name: p{i}, type: max_pool2d, kernel_size: 2" for i in range(1, 5)]
    graph = network(
        [*layers, "name: last, type: max_pool2d, kernel_size: 3, stride: 2"], (3, 224, 224)
    )
    fixes = _fixes(graph)
    assert list(fixes) == ["last"]
    assert fixes["last"][0].changes == {"input.height": 240, "input.width": 240}
    for fix in fixes["last"]:
        _verify(graph, "last", fix)


def test_the_dense_layer_behind_is_meant_and_not_one_before(network: Network) -> None:
    layers = [
        "name: gate, type: global_avg_pool2d, inputs: [input]",
        "name: early, type: dense, units: 3",
        "name: c, type: conv2d, filters: 2, kernel_size: 3, stride: 2, inputs: [input]",
        "name: flatten, type: flatten",
        "name: both, type: concat, inputs: [flatten, early]",
        "name: late, type: dense, units: 5",
    ]
    for fix in _fixes(network(layers, (3, 8, 8)))["c"]:
        assert "late reads" in fix.effect
        assert "early" not in fix.effect


def test_without_a_dense_layer_the_output_is_told(network: Network) -> None:
    layers = [
        "name: c, type: conv2d, filters: 2, kernel_size: 3, stride: 2",
        "name: mean, type: global_avg_pool2d",
    ]
    for fix in _fixes(network(layers, (3, 8, 8)))["c"]:
        assert "the network gives 2" in fix.effect


def test_what_breaks_behind_is_told(network: Network) -> None:
    layers = [
        "name: a, type: conv2d, filters: 2, kernel_size: 3, stride: 2, inputs: [input]",
        "name: b, type: max_pool2d, kernel_size: 2, inputs: [input]",
        "name: sum, type: concat, inputs: [a, b]",
    ]
    graph = network(layers, (3, 8, 8))
    fixes = _fixes(graph)["a"]
    assert {fix.title: "no output" in fix.effect for fix in fixes} == {
        "padding 1 with rounding floor": False,
        "padding [0, 1, 0, 1] (0+1 on each axis)": False,
        "rounding ceil": False,
        "rounding floor": True,
    }


def test_the_shapes_behind_a_change_are_those_of_a_fresh_start(network: Network) -> None:
    graph = archspec.load("alexnet-224")
    before = infer_shapes(graph)
    changed = graph.with_layer("conv1", padding=(1, 2, 1, 2))
    again, fresh = infer_shapes(changed, before=before, changed="conv1"), infer_shapes(changed)
    assert {n: i.shape for n, i in again.layers.items()} == {
        n: i.shape for n, i in fresh.layers.items()
    }
    assert again.rounded == fresh.rounded == ()


@pytest.mark.parametrize("name", ["conv1", "pool1"])
def test_layers_that_only_follow_have_repairs_too(name: str) -> None:
    graph = archspec.load("alexnet-224")
    shapes = infer_shapes(graph)
    assert name in shapes.rounded
    assert repairs(graph, shapes, name)[0].title == "input 227 x 227"
