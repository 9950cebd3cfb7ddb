"""Batch normalisation (Ioffe and Szegedy, 2015)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from archspec.layers.affine import AffineLayer
from archspec.layers.base import Cost, Example, Inferred, Shape, Weight
from archspec.layers.saved import Extra, Saved
from archspec.spec.initializers import Ones, Zeros


class BatchNorm(AffineLayer):
    """Each channel to mean 0 and variance 1 over the batch, then scale and shift.

    `decay` is the share of the old running statistics that stays (Keras' `momentum`, one minus
    PyTorch's). `running_variance` says which variance is remembered: `unbiased` divides by
    n - 1 (PyTorch), `biased` by n (Keras). FLOPs: 2 an element, as at inference, where mean and
    variance are folded into one multiplication and one addition.
    """

    type: Literal["batch_norm"]
    overwritable = True
    arranges = "usual"
    decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="share of the old running statistics that stays: Keras' momentum, 1 - PyTorch's"
    )
    running_variance: Literal["unbiased", "biased"] = Field(
        default="unbiased",
        description="the variance that is remembered: divided by n - 1 (`unbiased`, as in PyTorch) "
        "or by n (`biased`, as in Keras)",
    )
    trainable: bool = Field(
        default=True,
        description="false freezes scale, shift and running statistics, in training too",
    )

    examples = (
        Example({"eps": 1e-3, "decay": 0.9}, ((4, 3, 2),)),
        Example({"eps": 1e-5, "decay": 0.99, "running_variance": "biased"}, ((4, 3, 2),)),
        Example({"eps": 1e-3, "decay": 0.9, "affine": False}, ((4, 3, 2),)),
        Example({"eps": 1e-3, "decay": 0.9}, ((5,),)),
        Example({"eps": 1e-3, "decay": 0.9, "running_variance": "biased"}, ((5,),)),
    )

    @property
    def training_fields(self) -> frozenset[str]:
        return super().training_fields | {"decay", "running_variance"}

    def weights(self, inputs: tuple[Shape, ...]) -> tuple[Weight, ...]:
        shape = inputs[0][:1]
        return (
            *super().weights(inputs),
            Weight("running_mean", shape, Zeros(), 1, 1, trainable=False, buffer=True),
            Weight("running_var", shape, Ones(), 1, 1, trainable=False, buffer=True),
        )

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost(other_flops=2 * math.prod(output))

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        # Frozen, it normalises by its running statistics, which are buffers.
        statistics = Extra("mean and 1/deviation of each channel", 2 * inputs[0][0], per="batch")
        return Saved((0,), extra=(statistics,) if self.trainable else ())
