"""Costs of layers against loops that count, operation by operation."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.diagnostics import ProblemsFound
from archspec.layers import layer_types
from archspec.layers.base import Layer


def _layer(type_: str, **fields: Any) -> Layer:
    return layer_types()[type_].model_validate({"name": "x", "type": type_, **fields})


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.tuples(st.integers(3, 6), st.integers(3, 6)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.integers(1, 2),
    st.booleans(),
)
@settings(max_examples=60)
def test_convolutions(
    groups: int,
    channels_each: int,
    filters_each: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    bias: bool,
) -> None:
    channels, filters = groups * channels_each, groups * filters_each
    layer = _layer(
        "conv2d",
        filters=filters,
        kernel_size=list(kernel),
        stride=stride,
        groups=groups,
        bias=bias,
        rounding="floor",
    )
    shape = (channels, *size)
    output = layer.infer((shape,)).shape
    macs = connections = 0
    used: set[tuple[int, int, int, int]] = set()
    for f, y, x in product(*map(range, output)):
        seen = 0
        for c, i, j in product(range(channels), range(kernel[0]), range(kernel[1])):
            assert y * stride + i < size[0]
            assert x * stride + j < size[1]
            if c // channels_each == f // filters_each:
                macs, seen = macs + 1, seen + 1
                used.add((f, c, i, j))
        connections += seen + bias
    cost = layer.cost((shape,), output)
    assert (cost.macs, cost.connections) == (macs, connections)
    assert cost.other_flops == (output[0] * output[1] * output[2] if bias else 0)
    weights = layer.weights((shape,))
    assert [weight.name for weight in weights] == (["weight", "bias"] if bias else ["weight"])
    assert weights[0].size == len(used)
    assert sum(weight.size for weight in weights) == len(used) + (filters if bias else 0)


@given(
    st.integers(1, 2),
    st.integers(1, 2),
    st.integers(1, 2),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.integers(1, 3),
    st.booleans(),
)
@settings(max_examples=60)
def test_transposed_convolutions(
    groups: int,
    channels_each: int,
    filters_each: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    bias: bool,
) -> None:
    channels, filters = groups * channels_each, groups * filters_each
    layer = _layer(
        "conv2d_transpose",
        filters=filters,
        kernel_size=list(kernel),
        stride=stride,
        groups=groups,
        bias=bias,
    )
    shape = (channels, *size)
    output = layer.infer((shape,)).shape
    macs = 0
    used: set[tuple[int, int, int, int]] = set()
    for c, y, x in product(*map(range, shape)):
        for f, i, j in product(range(filters), range(kernel[0]), range(kernel[1])):
            assert y * stride + i < output[1]
            assert x * stride + j < output[2]
            if c // channels_each == f // filters_each:
                macs += 1
                used.add((c, f, i, j))
    neurons = output[0] * output[1] * output[2]
    cost = layer.cost((shape,), output)
    assert (cost.macs, cost.connections) == (macs, macs + bias * neurons)
    assert cost.other_flops == bias * neurons
    weights = layer.weights((shape,))
    assert [weight.size for weight in weights] == [len(used), filters][: 1 + bias]


@pytest.mark.parametrize(
    ("type_", "fields", "shape"),
    [
        ("conv2d_transpose", {"filters": 6, "kernel_size": [3, 2], "groups": 2}, (4, 5, 6)),
        ("conv2d_transpose", {"filters": 6, "kernel_size": 3, "bias": False}, (4, 5, 6)),
        ("layer_norm", {"eps": 1e-3}, (6, 2, 2)),
        ("group_norm", {"eps": 1e-3, "groups": 3}, (6, 2, 2)),
        ("scale", {}, (6, 2, 2)),
        ("scale", {"bias": True}, (6,)),
        ("conv2d", {"filters": 6, "kernel_size": [3, 2], "groups": 2}, (4, 5, 6)),
        ("conv2d", {"filters": 6, "kernel_size": 3, "bias": False}, (4, 5, 6)),
        ("dense", {"units": 7}, (5,)),
        ("dense", {"units": 7, "bias": False}, (5,)),
        ("batch_norm", {"eps": 1e-3, "decay": 0.9}, (6, 2, 2)),
    ],
)
def test_formulas_give_the_counts(type_: str, fields: dict[str, Any], shape: Any) -> None:
    layer = _layer(type_, **fields)
    output = layer.infer((shape,)).shape
    params = sum(w.size for w in layer.weights((shape,)) if not w.buffer)
    assert eval(layer.params_formula((shape,))) == params
    cost = layer.cost((shape,), output)
    if cost.macs_formula:
        assert eval(cost.macs_formula) == cost.macs


def test_dense() -> None:
    cost = _layer("dense", units=7).cost(((5,),), (7,))
    assert (cost.macs, cost.other_flops, cost.connections) == (35, 7, 42)


def test_running_statistics_are_buffers_and_nothing_else_is() -> None:
    for type_, layer_type in layer_types().items():
        for example in layer_type.examples:
            weights = _layer(type_, **_with_inputs(example)).weights(example.inputs)
            for weight in weights:
                assert weight.buffer == weight.name.startswith("running_")
                assert not (weight.buffer and weight.trainable)


def test_flops_of_pools_and_norms() -> None:
    shape = (3, 6, 6)
    pool = {"kernel_size": 3, "stride": 1}
    maximum, mean = _layer("max_pool2d", **pool), _layer("avg_pool2d", **pool)
    output = maximum.infer((shape,)).shape
    assert maximum.cost((shape,), output).other_flops == 3 * 4 * 4 * 8
    assert mean.cost((shape,), output).other_flops == 3 * 4 * 4 * 9
    assert _layer("global_avg_pool2d").cost((shape,), (3,)).other_flops == 3 * 36
    norm = _layer("local_response_norm", size=5, alpha=1, beta=1, k=1, alpha_mode="sum")
    assert norm.cost((shape,), shape).other_flops == 108 * 9
    assert _layer("softmax").cost(((10,),), (10,)).other_flops == 9 + 10 + 10 + 9 + 10
    # 36 positions of 3 channels, and one group of 108 elements.
    plain = {"eps": 1e-3, "affine": False}
    assert _layer("layer_norm", **plain).cost((shape,), shape).other_flops == 36 * (3 * 5 + 2)
    assert _layer("layer_norm", eps=1e-3).cost((shape,), shape).other_flops == 36 * (3 * 7 + 2)
    grouped = _layer("group_norm", groups=1, **plain)
    assert grouped.cost((shape,), shape).other_flops == 108 * 5 + 2
    assert _layer("scale").cost((shape,), shape).other_flops == 108
    assert _layer("scale", bias=True).cost((shape,), shape).other_flops == 216
    assert _layer("upsample2d", scale=2).cost((shape,), (3, 12, 12)).other_flops == 0
    bilinear = _layer("upsample2d", scale=2, mode="bilinear")
    assert bilinear.cost((shape,), (3, 12, 12)).other_flops == 3 * 144 * 7
    inverted = _layer("dropout", rate=0.5)
    assert inverted.cost((shape,), shape).other_flops == 0
    assert _layer("dropout", rate=0.5, scaling="at_inference").cost((shape,), shape).other_flops


def regions(size: int, count: int) -> list[tuple[int, int]]:
    """PyTorch's definition: region i of n runs from floor(i W / n) to ceil((i + 1) W / n)."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
)
def test_adaptive_pool(size: tuple[int, int], output: tuple[int, int]) -> None:
    layer = _layer("adaptive_avg_pool2d", output_size=list(output))
    inferred = layer.infer(((2, *size),))
    assert inferred.shape == (2, *output)
    even = size[0] % output[0] == 0 and size[1] % output[1] == 0
    assert inferred.sees == ("window" if even else "irregular")
    elements = sum(
        (bottom - top) * (right - left)
        for (top, bottom), (left, right) in product(
            regions(size[0], output[0]), regions(size[1], output[1])
        )
    )
    assert layer.cost(((2, *size),), inferred.shape).other_flops == 2 * elements


@pytest.mark.parametrize("type_", sorted(layer_types()))
def test_examples_have_shapes_and_costs(type_: str) -> None:
    """Every layer type runs on its own examples, and its counts are whole numbers."""
    assert layer_types()[type_].examples
    for example in layer_types()[type_].examples:
        layer = _layer(type_, **_with_inputs(example))
        inferred = layer.infer(example.inputs)
        assert all(size >= 1 for size in inferred.shape)
        assert not any(problem.severity is None for problem in inferred.problems)
        cost = layer.cost(example.inputs, inferred.shape)
        for count in (cost.macs, cost.other_flops, cost.connections):
            assert isinstance(count, int)
            assert count >= 0
        assert bool(cost.macs) == bool(cost.macs_formula)


@pytest.mark.parametrize(
    ("type_", "fields", "inputs", "rule"),
    [
        ("conv2d", {"filters": 4, "kernel_size": 1, "groups": 3}, ((4, 2, 2),), "groups-do-not"),
        ("conv2d", {"filters": 4, "kernel_size": 1}, ((9,),), "map-expected"),
        ("conv2d", {"filters": 4, "kernel_size": 9}, ((3, 4, 4),), "window-larger-than-input"),
        ("max_pool2d", {"kernel_size": 2, "padding": 2}, ((3, 4, 4),), "padding-covers-window"),
        ("avg_pool2d", {"kernel_size": 2, "padding": 1}, ((3, 4, 4),), "missing-key"),
        ("dense", {"units": 2}, ((3, 4, 4),), "dense-on-map"),
        (
            "conv2d_transpose",
            {"filters": 4, "kernel_size": 2, "padding": 2},
            ((3, 3, 9),),
            "padding-removes-output",
        ),
        (
            "conv2d_transpose",
            {"filters": 4, "kernel_size": 1, "groups": 2},
            ((3, 4, 4),),
            "groups-do-not",
        ),
        ("group_norm", {"groups": 2, "eps": 1e-3}, ((5,),), "groups-do-not"),
        ("channel_shuffle", {"groups": 2}, ((3, 4, 4),), "groups-do-not"),
        ("channel_shuffle", {"groups": 1}, ((4,),), "map-expected"),
        ("upsample2d", {"scale": 2}, ((4,),), "map-expected"),
        ("permute", {"order": ["height", "channels", "width"]}, ((4,),), "map-expected"),
        ("reshape", {"shape": [4, 1, 1]}, ((5,),), "element-counts-differ"),
        ("add", {}, ((3, 4, 4), (3, 4, 5)), "shapes-differ"),
        ("multiply", {}, ((3, 4, 4), (2, 1, 1)), "shapes-differ"),
        ("concat", {}, ((3, 4, 4), (3, 5, 4)), "shapes-differ"),
        ("split", {"channels": [2, 5]}, ((4, 1, 1),), "channels-out-of-range"),
        (
            "local_response_norm",
            {"size": 4, "alpha": 1, "beta": 1, "k": 1, "alpha_mode": "sum"},
            ((4, 1, 1),),
            "even-window",
        ),
    ],
)
def test_impossible_shapes(type_: str, fields: Any, inputs: Any, rule: str) -> None:
    with pytest.raises(ProblemsFound) as found:
        _layer(type_, **fields).infer(inputs)
    (problem,) = found.value.problems
    assert problem.rule.startswith(rule)
    assert problem.message.startswith("x: ")


def _with_inputs(example: Any) -> dict[str, Any]:
    if len(example.inputs) == 1:
        return dict(example.fields)
    return {**example.fields, "inputs": [f"i{n}" for n, _ in enumerate(example.inputs)]}
