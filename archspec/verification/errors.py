"""How far two arrays are apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.spec.fields import INPUT

if TYPE_CHECKING:
    from archspec.backends.base import Array


# A gradient that is smaller than this beside the largest of a network is zero. Rounding leaves some
# 1e-16 of each of the terms that cancel.
NOTHING = 1e-12


class Bounded:
    """An absolute error, and the relative one, which has a bound."""

    __slots__ = ()
    absolute: float
    relative: float
    bound: float

    @property
    def within(self) -> bool:
        """Whether it is as small as it has to be."""
        return self.relative <= self.bound


@dataclass(frozen=True, slots=True)
class OutputError(Bounded):
    """How far one layer's output in one backend is from the reference.

    `relative` is the largest absolute error over the largest absolute value of the layer; it may be
    `bound`. Where it is more, `own` is the part that the layer adds: its distance from what the
    reference computes from the inputs that the layer had in this backend, which may be `own_bound`.
    It is None where nothing can be computed from those. `reason` says why an error is infinite.
    """

    layer: str
    backend: str
    absolute: float
    relative: float
    bound: float
    own: float | None = None
    own_bound: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class GradientError(Bounded):
    """How far the gradient of one parameter in `backend` is from that in `against`.

    `parameter` is "input" for the images. `relative` is the largest absolute error over the largest
    absolute gradient of the layer (see `gradient_scales`): a bias before batch normalisation has
    the gradient 0, and each framework other crumbs of it.
    """

    parameter: str
    backend: str
    against: str
    absolute: float
    relative: float
    bound: float


def layer_of(parameter: str) -> str:
    """The layer of a parameter: a.b of `a.b.weight`; the images are one of their own."""
    return INPUT if parameter == INPUT else parameter.rpartition(".")[0]


def layer_scales(tensors: Mapping[str, Array]) -> dict[str, float]:
    """The largest absolute value in the tensors of each layer."""
    scales: dict[str, float] = {}
    for name, tensor in tensors.items():
        layer = layer_of(name)
        largest = float(abs(tensor).max(initial=0.0))
        scales[layer] = max(scales.get(layer, 0.0), largest)
    return scales


def gradient_scales(
    gradients: Mapping[str, Array], cotangents: Sequence[Array]
) -> dict[str, float]:
    """What the errors of the gradients of each layer are relative to: the largest of the layer.

    Where that is nothing beside the largest gradient of the network, it is zero and its digits are
    what rounding leaves, as behind the normalisation of a single number: there it is the latter.
    """
    scales = layer_scales(gradients)
    tops = [float(abs(one).max(initial=0.0)) / len(one) for one in cotangents]
    largest = max([*tops, *scales.values()])
    return {k: scale if scale > NOTHING * largest else largest for k, scale in scales.items()}


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
    with np.errstate(invalid="ignore"):
        difference = np.abs(found.astype("float64") - expected)
    absolute = float(difference.max(initial=0.0))
    if not math.isfinite(absolute):
        return math.inf, math.inf
    if scale is None:
        scale = float(np.abs(expected).max(initial=0.0))
    return absolute, over(absolute, scale)


def reason(found: Array | None, expected: Array, dtype: str) -> str:
    """Why the error of what a backend computes in `dtype` is infinite."""
    import numpy as np

    if found is None or found.shape != expected.shape:
        return "has another shape"
    if not np.isfinite(expected).all():
        return (
            "is not finite in the reference either, so that nothing can be compared: numbers "
            "overflow, and smaller ones in `weight_init` would not"
        )
    largest = float(np.abs(expected).max(initial=0.0))
    if largest > np.finfo(dtype).max:
        return f"has numbers of up to {largest:.1e}, which are beyond {dtype}"
    return "has numbers that are not finite"


def over(absolute: float, scale: float) -> float:
    """An absolute error relative to a scale; anything is infinitely much of nothing."""
    if not math.isfinite(absolute):
        return math.inf
    if scale == 0.0:
        return 0.0 if absolute == 0.0 else math.inf
    return absolute / scale


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with null for what is not finite, which JSON has no number for."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
