"""Figures of claims: how they are compared and how people read them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeGuard

from archspec.layers.base import show
from archspec.layers.window import decimal
from archspec.spec.claims import Claim, Stated

# A count, a shape or size, what arithmetic gives, or the value of a key.
Figure = int | float | Fraction | str | tuple[Any, ...]

# So near are two floats that are written differently and mean the same.
SAME = Fraction(1, 10**9)


def figure(value: Figure) -> str:
    """253,440, or 3 x 224 x 224 (96x3x11x11 of a weight), or 54.25."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return f"{int(value):,}"
    if isinstance(value, Fraction):
        return decimal(value)
    if isinstance(value, tuple):
        return show(value) if len(value) < 4 else show(value).replace(" ", "")
    return f"{value:,}" if isinstance(value, int) else str(value)


def exact(value: float | Fraction) -> Fraction:
    """A number as the digits say that it is written with."""
    return Fraction(str(value)) if isinstance(value, float) else Fraction(value)


def is_number(value: object) -> TypeGuard[int | float | Fraction]:
    """Whether a figure has a size; to Python a truth value has one too."""
    return isinstance(value, (int, float, Fraction)) and not isinstance(value, bool)


def holds(claim: Claim, stated: Stated, computed: Figure) -> bool:
    """Whether the network has what is claimed, within the claim's tolerance and bound."""
    claimed = stated.figure
    if not (is_number(claimed) and is_number(computed)):
        return type(claimed) is type(computed) and bool(claimed == computed)
    if claimed == computed:
        return True  # at once: fractions take longer than all the rest
    difference = exact(computed) - exact(claimed)
    allowed = exact(claim.tolerance)
    if isinstance(computed, float):
        allowed = max(allowed, SAME)
    margin = allowed * abs(exact(claimed))
    if claim.bound == "at_least":
        return difference >= -margin
    if claim.bound == "at_most":
        return difference <= margin
    return abs(difference) <= margin
