"""How far two arrays are apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archspec.backends.base import Array


@dataclass(frozen=True, slots=True)
class OutputError:
    """How far one layer's output in one backend is from the reference.

    `relative` is the largest absolute error over the largest absolute value of the layer.
    """

    layer: str
    backend: str
    absolute: float
    relative: float


@dataclass(frozen=True, slots=True)
class GradientError:
    """How far the gradient of one parameter in `backend` is from that in `against`.

    `relative` is the largest absolute error over the largest absolute gradient of the layer: a
    bias before batch normalisation has the gradient 0, and each framework other crumbs of it.
    """

    parameter: str
    backend: str
    against: str
    absolute: float
    relative: float


def layer_of(parameter: str) -> str:
    """The layer of a parameter: a.b of `a.b.weight`."""
    return parameter.rpartition(".")[0]


def layer_scales(gradients: dict[str, Array]) -> dict[str, float]:
    """The largest absolute gradient of each layer."""
    scales: dict[str, float] = {}
    for parameter, gradient in gradients.items():
        layer = layer_of(parameter)
        largest = float(abs(gradient).max(initial=0.0))
        scales[layer] = max(scales.get(layer, 0.0), largest)
    return scales


def error(
    found: Array | None, expected: Array | None, scale: float | None = None
) -> tuple[float, float]:
    """The largest absolute error, and that over `scale`, the largest absolute value expected.

    What one side lacks is an infinite error. So are NaN and infinity, also where both sides have
    them: a network that overflows proves nothing.
    """
    import numpy as np

    if found is None or expected is None or found.shape != expected.shape:
        return math.inf, math.inf
    difference = np.abs(found.astype("float64") - expected)
    absolute = float(difference.max(initial=0.0))
    if not math.isfinite(absolute):
        return math.inf, math.inf
    if scale is None:
        scale = float(np.abs(expected).max(initial=0.0))
    if scale == 0.0:
        return absolute, 0.0 if absolute == 0.0 else math.inf
    return absolute, absolute / scale


def finite(values: dict[str, Any]) -> dict[str, Any]:
    """The same with null for an infinite error, which JSON has no number for."""
    return {
        key: None if isinstance(value, float) and math.isinf(value) else value
        for key, value in values.items()
    }
