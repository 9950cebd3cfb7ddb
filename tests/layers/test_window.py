"""Sliding windows against a count of their positions, one by one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archspec.diagnostics import ProblemsFound
from archspec.layers.conv2d import Conv2d
from archspec.layers.pool2d import AvgPool2d, MaxPool2d
from archspec.layers.window import decimal, resolve, resolve_axis

Rounding = Literal["exact", "floor", "ceil"]

sizes = st.integers(1, 40)
kernels = st.integers(1, 8)
strides = st.integers(1, 6)
dilations = st.integers(1, 3)
paddings = st.tuples(st.integers(0, 9), st.integers(0, 9))


def _positions(size: int, extent: int, stride: int, before: int, after: int) -> list[int]:
    """Where windows begin that lie wholly on the padded input, 0 being its first pixel."""
    padded = size + before + after
    return [start for start in range(0, padded, stride) if start + extent <= padded]


@given(sizes, kernels, strides, dilations, paddings, st.sampled_from(["exact", "floor"]))
def test_rounding_down_counts_the_windows_that_fit(
    size: int, kernel: int, stride: int, dilation: int, padding: tuple[int, int], rounding: Rounding
) -> None:
    axis = resolve_axis(size, kernel, stride, dilation, padding, rounding)
    starts = _positions(size, axis.extent, stride, *padding)
    assert max(axis.output, 0) == len(starts)
    if starts:
        end = starts[-1] + axis.extent
        assert axis.dropped == size + sum(padding) - end
        assert axis.overhang == 0
        assert axis.exact == (axis.dropped % stride == 0)


@given(sizes, kernels, strides, dilations, paddings)
def test_rounding_up_adds_a_window_that_begins_inside(
    size: int, kernel: int, stride: int, dilation: int, padding: tuple[int, int]
) -> None:
    axis = resolve_axis(size, kernel, stride, dilation, padding, "ceil")
    padded = size + sum(padding)
    whole = _positions(size, axis.extent, stride, *padding)
    assume(padded - axis.extent > -stride)  # otherwise even rounding up gives no window
    following = (whole[-1] + stride) if whole else 0
    unread = not whole or padded > whole[-1] + axis.extent
    exact = (padded - axis.extent) % stride == 0
    begins_inside = following < size + padding[0]
    assert axis.output == len(whole) + (unread and not exact and begins_inside)
    assert axis.clipped == (not exact and not (unread and begins_inside))
    last = (axis.output - 1) * stride + axis.extent
    assert axis.overhang == max(last - padded, 0)
    assert axis.dropped == max(padded - last, 0)


@given(sizes, kernels, strides, dilations)
def test_same_gives_one_output_for_each_stride(
    size: int, kernel: int, stride: int, dilation: int
) -> None:
    axis = resolve_axis(size, kernel, stride, dilation, "same", "exact")
    starts = _positions(size, axis.extent, stride, axis.before, axis.after)
    assert axis.exact
    assert axis.output == len(range(0, size, stride)) == len(starts)
    assert 0 <= axis.after - axis.before <= 1  # the odd pixel stands at the end
    less = _positions(size, axis.extent, stride, axis.before, axis.after - 1)
    assert axis.after == 0 or len(less) < axis.output  # and none is superfluous


@given(sizes, kernels, strides, dilations, paddings, st.sampled_from(["exact", "floor", "ceil"]))
def test_the_formula_is_true(
    size: int, kernel: int, stride: int, dilation: int, padding: tuple[int, int], rounding: Rounding
) -> None:
    """What the formula says, evaluated, is the output."""
    axis = resolve_axis(size, kernel, stride, dilation, padding, rounding)
    assume(axis.output >= 1)
    left, _, right = axis.formula.rpartition(" = ")
    value: Any = eval(_fractions(left), {"Fraction": Fraction, **_ROUNDINGS})
    if axis.exact or rounding != "exact":
        assert value == axis.output == int(right)
    else:
        assert decimal(value) == right
        assert value != axis.output


_ROUNDINGS = {"ceil": lambda x: -(-x // 1), "floor": lambda x: x // 1}


def _fractions(formula: str) -> str:
    head, _, tail = formula.rpartition(")/")
    return f"{head})*Fraction(1, {tail.replace(' ', ') ', 1)}"


def test_formulas_as_people_read_them() -> None:
    assert resolve_axis(224, 11, 4, 1, (0, 0), "exact").formula == (
        "(224 - 11 + 2*0)/4 + 1 = 54.25"
    )
    assert resolve_axis(224, 11, 4, 1, (1, 2), "exact").formula == ("(224 - 11 + 1 + 2)/4 + 1 = 55")
    assert resolve_axis(7, 3, 1, 2, (2, 2), "exact").formula == (
        "(7 - ((3 - 1)*2 + 1) + 2*2)/1 + 1 = 7"
    )
    assert resolve_axis(224, 11, 4, 1, "same", "exact").formula == "ceil(224/4) = 56"
    assert resolve_axis(6, 1, 4, 1, (0, 2), "ceil").formula == "ceil((6 - 1 + 0 + 2)/4 + 1) - 1 = 2"
    both = resolve((8, 6), (3, 3), (1, 1), (0, 0, 0, 0), "exact")
    assert both.formula == "(8 - 3 + 2*0)/1 + 1 = 6; (6 - 3 + 2*0)/1 + 1 = 4"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(217, 4), "54.25"),
        (Fraction(10, 3), "3.333..."),
        (Fraction(20, 3), "6.666..."),
        (Fraction(16001, 8000), "2.000..."),
        (Fraction(-1, 3), "-0.333..."),
        (Fraction(3), "3"),
    ],
)
def test_decimals_never_look_whole_when_they_are_not(value: Fraction, text: str) -> None:
    assert decimal(value) == text


@given(
    st.sampled_from([Conv2d, MaxPool2d, AvgPool2d]),
    st.tuples(sizes, sizes),
    st.tuples(kernels, kernels),
    st.tuples(strides, strides),
    st.sampled_from([(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 2, 0), "same", "valid"]),
    st.sampled_from(["exact", "floor", "ceil"]),
)
def test_layers_have_the_window_or_say_why_not(
    kind: Any, size: Any, kernel: Any, stride: Any, padding: Any, rounding: Rounding
) -> None:
    fields = {
        Conv2d: {"type": "conv2d", "filters": 5},
        MaxPool2d: {"type": "max_pool2d"},
        AvgPool2d: {"type": "avg_pool2d", "count_include_pad": False},
    }[kind]
    layer = kind(
        name="x", kernel_size=kernel, stride=stride, padding=padding, rounding=rounding, **fields
    )
    window = resolve(size, kernel, stride, padding, rounding)
    covered = kind is not Conv2d and any(
        max(a.before, a.after) >= a.extent for a in (window.height, window.width)
    )
    try:
        inferred = layer.infer(((2, *size),))
    except ProblemsFound as found:
        (problem,) = found.problems
        expected = "window-larger-than-input" if min(window.output) < 1 else "padding-covers-window"
        assert problem.rule == expected
        assert min(window.output) < 1 or covered
        return
    assert min(window.output) >= 1
    assert not covered
    assert inferred.shape == (5 if kind is Conv2d else 2, *window.output)
    whole = window.height.exact and window.width.exact
    assert len(inferred.problems) == (not whole and rounding == "exact")


def test_a_layer_that_is_inexact_on_both_axes_says_it_once() -> None:
    layer = Conv2d(name="c", type="conv2d", filters=1, kernel_size=11, stride=4)  # type: ignore[arg-type]
    (square,) = layer.infer(((3, 224, 224),)).problems
    assert square.message == "c: (224 - 11 + 2*0)/4 + 1 = 54.25 is not a whole number"
    (other,) = layer.infer(((3, 224, 225),)).problems
    assert other.message == (
        "c: (224 - 11 + 2*0)/4 + 1 = 54.25 is not a whole number, "
        "and neither is (225 - 11 + 2*0)/4 + 1 = 54.5"
    )
