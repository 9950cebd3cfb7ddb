"""`round_to` is the channel rounding of the MobileNet papers."""

from __future__ import annotations

from fractions import Fraction

import pytest
from environment import value
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.expressions.evaluation import round_to

# MobileNetV2 at the widths that its authors trained: the filters of stem, stages and head.
WIDTHS = (32, 16, 24, 32, 64, 96, 160, 320)
MOBILENET_V2 = {
    1.4: (48, 24, 32, 48, 88, 136, 224, 448),
    1.0: WIDTHS,
    0.75: (24, 16, 24, 24, 48, 72, 120, 240),
    0.5: (16, 8, 16, 16, 32, 48, 80, 160),
    0.35: (16, 8, 8, 16, 24, 32, 56, 112),
}


@pytest.mark.parametrize("multiplier", MOBILENET_V2)
def test_mobilenet_v2(multiplier: float) -> None:
    expected = MOBILENET_V2[multiplier]
    found = [value(f"round_to({width} * {multiplier}, 8)") for width in WIDTHS]
    assert found == list(expected)


@pytest.mark.parametrize(
    ("number", "divisor", "expected"),
    [
        (0, 8, 8),  # at least one multiple
        (1, 8, 8),
        (11, 8, 16),  # 8 would be less than nine tenths of 11
        (12, 8, 16),  # half up
        (20, 8, 24),
        (10, 10, 10),
        (19, 1, 19),
        (18.4, 8, 24),
        (100, 8, 104),
        (1280, 8, 1280),
        (3, 1000, 1000),
    ],
)
def test_known(number: float, divisor: int, expected: int) -> None:
    assert value(f"round_to({number}, {divisor})") == expected


def nearest_multiple(number: Fraction, divisor: int) -> int:
    """The rule in exact numbers, by trying every multiple around the number."""
    first = max(number // divisor, 1)
    multiples = [divisor * (first + step) for step in (0, 1, 2)]
    best = min(multiples, key=lambda m: (abs(m - number), -m))
    return best if best >= Fraction(9, 10) * number else best + divisor


@settings(derandomize=True, database=None, deadline=None, max_examples=500)
@given(st.integers(0, 100_000), st.integers(0, 7), st.integers(1, 512))
def test_agrees_with_the_rule(whole: int, eighths: int, divisor: int) -> None:
    number = whole + eighths / 8  # exact in binary
    found = round_to(number, divisor)
    exact = Fraction(number)
    if 10 * found == 9 * exact:
        return  # on the edge a float may fall to either side
    assert found == nearest_multiple(exact, divisor)
    assert found % divisor == 0
    assert found >= Fraction(9, 10) * exact - 1
