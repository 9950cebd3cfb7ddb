"""Keras' `model.summary()`: the elements of all weights, and of those that are trained."""

from __future__ import annotations

from archspec.analysis.conventions.base import Quantity, Rule, Tool

STATISTICS = Rule(
    "running statistics of batch norm: counted as parameters", lambda use: use.buffers
)

TOOL = Tool(
    "Keras summary",
    "3.15.1",
    (
        Quantity("params", "params", "params", lambda use: (STATISTICS,)),
        Quantity("trainable", "params", "trainable_params"),
        Quantity("non-trainable", "params", "non_trainable_params"),
    ),
)
