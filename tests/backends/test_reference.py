"""The NumPy reference against plain loops, `math` and torch.nn.functional in float64."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from archspec.backends.numpy import functions
from archspec.diagnostics import ProblemsFound
from archspec.layers import layer_types
from archspec.layers.window import resolve

Array = npt.NDArray[np.float64]
Pair = tuple[int, int]

thorough = settings(max_examples=150, derandomize=True, deadline=None)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
sizes = st.tuples(st.integers(1, 8), st.integers(1, 8))
sides = st.tuples(*[st.integers(0, 2)] * 4)
roundings = st.sampled_from(["floor", "ceil"])


def numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def agree(found: Array, expected: Any) -> None:
    expected = expected.numpy() if isinstance(expected, torch.Tensor) else np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def loop_conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair,
    padding: tuple[int, int, int, int],
    dilation: Pair,
    groups: int,
) -> Array:
    n, _, height, width = x.shape
    filters, seen, rows, columns = weight.shape
    top, bottom, left, right = padding
    out_h = (height + top + bottom - (rows - 1) * dilation[0] - 1) // stride[0] + 1
    out_w = (width + left + right - (columns - 1) * dilation[1] - 1) // stride[1] + 1
    out = np.zeros((n, filters, out_h, out_w))
    for image, o, i, j in itertools.product(range(n), range(filters), range(out_h), range(out_w)):
        total = 0.0 if bias is None else float(bias[o])
        first = o // (filters // groups) * seen
        for c, u, v in itertools.product(range(seen), range(rows), range(columns)):
            y = i * stride[0] + u * dilation[0] - top
            z = j * stride[1] + v * dilation[1] - left
            if 0 <= y < height and 0 <= z < width:
                total += float(x[image, first + c, y, z] * weight[o, c, u, v])
        out[image, o, i, j] = total
    return out


@thorough
@given(
    sizes,
    pairs,
    pairs,
    sides,
    pairs,
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(1, 2),
    st.booleans(),
)
def test_conv2d_is_the_sum_over_channels_and_kernel(
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: tuple[int, int, int, int],
    dilation: Pair,
    groups: int,
    seen: int,
    each: int,
    biased: bool,
) -> None:
    window = resolve(size, kernel, stride, padding, "floor", dilation)
    assume(min(window.output) >= 1)
    x, weight = numbers(2, groups * seen, *size), numbers(groups * each, seen, *kernel)
    bias = numbers(groups * each) if biased else None
    found = functions.conv2d(x, weight, bias, stride, padding, dilation, groups)
    assert found.shape[2:] == window.output
    agree(found, loop_conv2d(x, weight, bias, stride, padding, dilation, groups))


def loop_conv2d_transpose(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair,
    padding: tuple[int, int, int, int],
    output_padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """Each product goes to the one place that the convolution would have read it from."""
    n, channels, height, width = x.shape
    _, each, rows, columns = weight.shape
    top, bottom, left, right = padding
    out_h = (height - 1) * stride[0] - top - bottom + dilation[0] * (rows - 1) + 1
    out_w = (width - 1) * stride[1] - left - right + dilation[1] * (columns - 1) + 1
    size = (out_h + output_padding[0], out_w + output_padding[1])
    out = np.zeros((n, groups * each, *size))
    if bias is not None:
        out += bias[:, None, None]
    for image, c, i, j in itertools.product(range(n), range(channels), range(height), range(width)):
        first = c // (channels // groups) * each
        for o, u, v in itertools.product(range(each), range(rows), range(columns)):
            y = i * stride[0] + u * dilation[0] - top
            z = j * stride[1] + v * dilation[1] - left
            if 0 <= y < size[0] and 0 <= z < size[1]:
                out[image, first + o, y, z] += float(x[image, c, i, j] * weight[c, o, u, v])
    return out


@thorough
@given(
    sizes,
    pairs,
    pairs,
    sides,
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    pairs,
    st.integers(1, 3),
    st.booleans(),
)
def test_conv2d_transpose_is_the_scattered_sum_and_that_of_torch(
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: tuple[int, int, int, int],
    added: Pair,
    dilation: Pair,
    groups: int,
    biased: bool,
) -> None:
    added = tuple(min(a, max(s, d) - 1) for a, s, d in zip(added, stride, dilation, strict=True))
    fields = {
        "filters": groups,
        "kernel_size": list(kernel),
        "stride": list(stride),
        "padding": list(padding),
        "output_padding": list(added),
        "dilation": list(dilation),
        "groups": groups,
    }
    layer = layer_types()["conv2d_transpose"].model_validate(
        {"name": "up", "type": "conv2d_transpose", **fields}
    )
    x, weight = numbers(2, 2 * groups, *size), numbers(2 * groups, 1, *kernel)
    bias = numbers(groups) if biased else None
    try:
        inferred = layer.infer((x.shape[1:],))
    except ProblemsFound:
        assume(False)
    found = functions.conv2d_transpose(x, weight, bias, stride, padding, added, dilation, groups)
    assert found.shape[1:] == inferred.shape
    assert f"= {inferred.shape[1]}" in inferred.formula
    agree(found, loop_conv2d_transpose(x, weight, bias, stride, padding, added, dilation, groups))
    if padding[:1] + padding[2:3] == padding[1:2] + padding[3:]:
        expected = F.conv_transpose2d(
            torch.from_numpy(x),
            torch.from_numpy(weight),
            None if bias is None else torch.from_numpy(bias),
            stride,
            (padding[0], padding[2]),
            added,
            groups,
            dilation,
        )
        agree(found, expected)


@thorough
@given(sizes, pairs)
def test_upsample2d_is_that_of_torch(size: Pair, scale: Pair) -> None:
    x = numbers(2, 2, *size)
    for mode in ("nearest", "bilinear"):
        expected = F.interpolate(torch.from_numpy(x), scale_factor=scale, mode=mode)
        agree(functions.upsample2d(x, scale, mode), expected)


def loop_windows(size: Pair, kernel: Pair, stride: Pair, window: Any) -> Any:
    """For every output position, the coordinates of its window, those outside included."""
    top, _, left, _ = window.padding
    for i, j in itertools.product(range(window.output[0]), range(window.output[1])):
        yield (
            (i, j),
            [
                (i * stride[0] + u - top, j * stride[1] + v - left)
                for u in range(kernel[0])
                for v in range(kernel[1])
            ],
        )


def usable(window: Any, kernel: Pair) -> bool:
    """Whether a spec may have it: it fits, and no window holds padding only."""
    top, bottom, left, right = window.padding
    return (
        min(window.output) >= 1
        and max(top, bottom) < kernel[0]
        and max(left, right) < kernel[1]
        and all(overhang < k for overhang, k in zip(window.overhang, kernel, strict=True))
    )


@thorough
@given(sizes, pairs, pairs, sides, roundings)
def test_max_pool2d_is_the_largest_value_inside_the_map(
    size: Pair, kernel: Pair, stride: Pair, padding: tuple[int, int, int, int], rounding: Any
) -> None:
    window = resolve(size, kernel, stride, padding, rounding)
    assume(usable(window, kernel))
    x = numbers(1, 2, *size)
    found = functions.max_pool2d(x, kernel, stride, window.reach)
    expected = np.full((1, 2, *window.output), -np.inf)
    for (i, j), places in loop_windows(size, kernel, stride, window):
        inside = [(y, z) for y, z in places if 0 <= y < size[0] and 0 <= z < size[1]]
        for y, z in inside:
            expected[:, :, i, j] = np.maximum(expected[:, :, i, j], x[:, :, y, z])
    agree(found, expected)


@thorough
@given(sizes, pairs, pairs, sides, roundings, st.booleans())
def test_avg_pool2d_is_the_mean_of_what_counts(
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: tuple[int, int, int, int],
    rounding: Any,
    counted: bool,
) -> None:
    window = resolve(size, kernel, stride, padding, rounding)
    assume(usable(window, kernel))
    x = numbers(1, 2, *size)
    found = functions.avg_pool2d(x, kernel, stride, window.padding, window.overhang, counted)
    expected = np.zeros((1, 2, *window.output))
    top, bottom, left, right = padding
    for (i, j), places in loop_windows(size, kernel, stride, window):
        inside = [(y, z) for y, z in places if 0 <= y < size[0] and 0 <= z < size[1]]
        padded = [
            (y, z)
            for y, z in places
            if -top <= y < size[0] + bottom and -left <= z < size[1] + right
        ]
        total = sum(x[:, :, y, z] for y, z in inside)
        expected[:, :, i, j] = total / len(padded if counted else inside)
    agree(found, expected)


@thorough
@given(
    sizes, pairs, pairs, st.tuples(st.integers(0, 1), st.integers(0, 1)), st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_pools_are_those_of_torch_with_its_clipping(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, ceil: bool, counted: bool
) -> None:
    assume(all(2 * p <= k for p, k in zip(padding, kernel, strict=True)))
    four = (padding[0], padding[0], padding[1], padding[1])
    window = resolve(size, kernel, stride, four, "ceil" if ceil else "floor")
    assume(usable(window, kernel))
    x = numbers(2, 3, *size)
    tensor = torch.from_numpy(x)
    agree(
        functions.max_pool2d(x, kernel, stride, window.reach),
        F.max_pool2d(tensor, kernel, stride, padding, ceil_mode=ceil),
    )
    agree(
        functions.avg_pool2d(x, kernel, stride, window.padding, window.overhang, counted),
        F.avg_pool2d(tensor, kernel, stride, padding, ceil, counted),
    )


@thorough
@given(sizes, sizes)
def test_adaptive_avg_pool2d_is_that_of_torch(size: Pair, output: Pair) -> None:
    x = numbers(2, 2, *size)
    agree(
        functions.adaptive_avg_pool2d(x, output),
        F.adaptive_avg_pool2d(torch.from_numpy(x), output),
    )


@thorough
@given(
    st.integers(0, 4),
    st.integers(1, 3),
    st.integers(1, 4),
    st.floats(0, 2),
    st.floats(-1, 2),
    st.floats(0.5, 3),
)
def test_local_response_norm_is_the_formula(
    reach: int, groups: int, each: int, scale: float, beta: float, k: float
) -> None:
    x = numbers(1, groups * each, 2, 2)
    expected = np.empty_like(x)
    for i, y, z in itertools.product(range(groups * each), range(2), range(2)):
        first, end = i // each * each, (i // each + 1) * each
        near = range(max(first, i - reach), min(end, i + reach + 1))
        total = sum(float(x[0, j, y, z]) ** 2 for j in near)
        expected[0, i, y, z] = x[0, i, y, z] / (k + scale * total) ** beta
    agree(functions.local_response_norm(x, 2 * reach + 1, scale, beta, k, groups), expected)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4, 5)])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_is_the_formula(shape: tuple[int, ...], affine: bool) -> None:
    x, eps = numbers(*shape), 1e-3
    weight, bias = (numbers(3), numbers(3) + 1) if affine else (None, None)
    mean, var = numbers(3) - 1, np.abs(numbers(3)) + 0.1
    found = functions.batch_norm(x, weight, bias, mean, var, eps)
    for index in np.ndindex(*shape):
        c = index[1]
        expected = (x[index] - mean[c]) / math.sqrt(var[c] + eps)
        if weight is not None and bias is not None:
            expected = weight[c] * expected + bias[c]
        assert found[index] == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("shape", [(4, 6), (2, 6, 4, 5)])
@pytest.mark.parametrize("affine", [True, False])
def test_image_norms_are_their_formulas(shape: tuple[int, ...], affine: bool) -> None:
    x, eps = numbers(*shape), 1e-3
    weight, bias = (numbers(6), numbers(6) + 1) if affine else (None, None)

    def normalized(sets: Any) -> Array:
        expected = np.empty_like(x)
        for index in np.ndindex(*shape):
            values = [float(v) for v in sets(index)]
            mean = math.fsum(values) / len(values)
            var = math.fsum((v - mean) ** 2 for v in values) / len(values)
            expected[index] = (x[index] - mean) / math.sqrt(var + eps)
            if weight is not None and bias is not None:
                expected[index] = weight[index[1]] * expected[index] + bias[index[1]]
        return expected

    across = normalized(lambda at: x[(at[0], slice(None), *at[2:])].ravel())
    agree(functions.layer_norm(x, weight, bias, eps), across)
    grouped = normalized(lambda at: x[at[0], at[1] // 3 * 3 : at[1] // 3 * 3 + 3].ravel())
    agree(functions.group_norm(x, weight, bias, 2, eps), grouped)


def test_channel_shuffle_deals_the_groups_out() -> None:
    x = np.arange(6.0).reshape(1, 6, 1, 1)
    assert functions.channel_shuffle(x, 2).ravel().tolist() == [0, 3, 1, 4, 2, 5]
    assert functions.channel_shuffle(x, 3).ravel().tolist() == [0, 2, 4, 1, 3, 5]


ELEMENTWISE = {
    "relu": lambda v: max(v, 0.0),
    "relu6": lambda v: min(max(v, 0.0), 6.0),
    "sigmoid": lambda v: 1 / (1 + math.exp(-v)),
    "hard_sigmoid": lambda v: min(max(v + 3, 0.0), 6.0) / 6,
    "hard_swish": lambda v: v * min(max(v + 3, 0.0), 6.0) / 6,
    "silu": lambda v: v / (1 + math.exp(-v)),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_activation_is_its_formula(name: str) -> None:
    x = np.linspace(-8, 8, 97).reshape(1, 97)
    agree(getattr(functions, name)(x), [[ELEMENTWISE[name](float(v)) for v in x[0]]])


def test_leaky_relu_and_both_gelus_are_their_formulas() -> None:
    x = np.linspace(-8, 8, 97).reshape(1, 97)
    values = [float(v) for v in x[0]]
    agree(functions.leaky_relu(x, 0.2), [[v if v > 0 else 0.2 * v for v in values]])
    exact = [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in values]
    agree(functions.gelu(x, "none"), [exact])
    root = math.sqrt(2 / math.pi)
    tanh = [v * (1 + math.tanh(root * (v + 0.044715 * v**3))) / 2 for v in values]
    agree(functions.gelu(x, "tanh"), [tanh])


def test_sigmoid_and_softmax_do_not_overflow() -> None:
    with np.errstate(all="raise", under="ignore"):
        assert functions.sigmoid(np.array([[-1e4, 1e4]])).tolist() == [[0.0, 1.0]]
        assert functions.softmax(np.array([[1e4, 1e4]])).tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 2, 2)])
def test_softmax_is_a_share_along_the_channels(shape: tuple[int, ...]) -> None:
    x = numbers(*shape)
    found = functions.softmax(x)
    agree(found, np.exp(x) / np.exp(x).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-14)


def test_dense_is_a_sum_of_products() -> None:
    x, weight, bias = numbers(2, 3), numbers(4, 3), numbers(4)
    expected = [
        [sum(x[n, i] * weight[o, i] for i in range(3)) + bias[o] for o in range(4)]
        for n in range(2)
    ]
    agree(functions.dense(x, weight, bias), expected)
    agree(functions.dense(x, weight, None), np.array(expected) - bias)
