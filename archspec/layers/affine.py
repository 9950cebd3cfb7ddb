"""What normalisations share: eps, and a scale and shift of each channel behind them."""

from __future__ import annotations

from pydantic import Field

from archspec.layers.base import Layer, Shape, Weight
from archspec.spec.fields import Positive
from archspec.spec.initializers import Ones, Zeros


class AffineLayer(Layer):
    """A normalisation that ends in weight x + bias, a pair of numbers for each channel."""

    eps: Positive = Field(description="added to the variance before the root: 1e-5")
    affine: bool = Field(default=True, description="whether scale and shift are learned")
    trainable: bool = Field(default=True, description="false freezes scale and shift")

    def weights(self, inputs: tuple[Shape, ...]) -> tuple[Weight, ...]:
        if not self.affine:
            return ()
        shape = inputs[0][:1]
        return (
            Weight("weight", shape, Ones(), 1, 1, self.trainable),
            Weight("bias", shape, Zeros(), 1, 1, self.trainable),
        )

    def params_formula(self, inputs: tuple[Shape, ...]) -> str:
        return f"2*{inputs[0][0]}" if self.affine else ""
