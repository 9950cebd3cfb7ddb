"""Local response normalisation across channels (Krizhevsky et al., 2012, section 3.3)."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field

from archspec.layers.base import Cost, Example, Inferred, Layer, Shape, show
from archspec.layers.saved import Extra, Saved
from archspec.spec.fields import Count, Finite, NonNegative, Positive


class LocalResponseNorm(Layer):
    """b_i = a_i / (k + alpha sum_j a_j^2)^beta over the `size` channels around i.

    `alpha_mode` says what alpha multiplies, because the sources disagree: `sum` is the formula
    in the paper (and TensorFlow), `mean` divides by `size` (the authors' code, Caffe, PyTorch,
    ONNX). Channels outside the map count as zero. With `groups`, no window crosses from one
    group of channels to the next (the two towers of the 2012 code). FLOPs an element, the
    windows at the edge counted as whole ones: a square, size - 1 additions, the product with
    alpha, the addition of k, the power and the division, together size + 4.
    """

    type: Literal["local_response_norm"]
    elementary = 1
    size: Annotated[int, Field(ge=1, le=4095)] = Field(description="channels in the window, odd")
    alpha: NonNegative = Field(
        description="the factor of the squares: 1e-4 in AlexNet; `alpha_mode` says of what"
    )
    beta: Finite = Field(description="the exponent: 0.75 in AlexNet")
    k: Positive = Field(description="what is added to the squares: 2 in AlexNet, 1 in Caffe")
    alpha_mode: Literal["sum", "mean"] = Field(
        description="`sum`: the paper's formula; `mean`: alpha divided by size, as in Caffe"
    )
    groups: Count = Field(
        default=1,
        description="the channels are divided by it; no window crosses from one group to the next",
    )
    computed_from = {"alpha_of_the_sum": ("alpha", "alpha_mode", "size")}

    examples = (
        Example({"size": 5, "alpha": 0.1, "beta": 0.75, "k": 2, "alpha_mode": "sum"}, ((8, 4, 3),)),
        Example(
            {"size": 3, "alpha": 0.5, "beta": 0.75, "k": 1, "alpha_mode": "mean"}, ((7, 3, 4),)
        ),
        Example(
            {"size": 3, "alpha": 0.5, "beta": 0.6, "k": 1, "alpha_mode": "mean", "groups": 2},
            ((6, 3, 4),),
        ),
        Example({"size": 1, "alpha": 0.5, "beta": 0.5, "k": 1, "alpha_mode": "sum"}, ((3, 2, 2),)),
        Example(
            {"size": 11, "alpha": 0.1, "beta": 0.75, "k": 2, "alpha_mode": "sum"}, ((4, 3, 3),)
        ),
    )

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        channels, _, _ = self.require_map(inputs[0])
        if self.size % 2 == 0:
            raise self.fail(
                "even-window",
                f"a window of {self.size} channels has no centre; the frameworks place it "
                "differently",
                f"`size` counts channels and is odd: {self.size - 1} or {self.size + 1} "
                f"(a TensorFlow depth_radius of {self.size} is a size of {2 * self.size + 1})",
                field="size",
            )
        self.divide({"channels": channels}, self.groups)
        return Inferred(inputs[0], show(inputs[0]))

    @property
    def scale(self) -> float:
        """What the sum of squares is multiplied with."""
        return self.alpha if self.alpha_mode == "sum" else self.alpha / self.size

    def computed(self, inputs: tuple[Shape, ...]) -> dict[str, Any]:
        """With the channels that the window finds in its group, and alpha as it acts on their sum.

        A window of one channel knows no groups.
        """
        found = super().computed(inputs)
        del found["alpha"], found["alpha_mode"]
        found["size"] = min(self.size, 2 * (inputs[0][0] // self.groups) - 1)
        found["groups"] = self.groups if found["size"] > 1 else 1
        # Twelve digits: 0.0001/5 and 0.00002 are one number, which a division must not tell apart.
        return {**found, "alpha_of_the_sum": float(f"{self.scale:.12g}")}

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost(other_flops=math.prod(output) * (self.size + 4))

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        size = math.prod(inferred.shape)
        sums, powers = Extra("k + alpha sum", size), Extra("(k + alpha sum)^-beta", size)
        return Saved((0,), extra=(sums, powers))
