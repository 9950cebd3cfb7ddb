"""Initial weights, drawn once and equal in every backend.

Each tensor has a generator of its own, seeded by the run's seed and the tensor's name, so that
a change to one layer leaves the others' weights as they were.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection

import numpy as np

from archspec.analysis.shapes import infer_shapes
from archspec.graph import Graph


def initial_weights(
    graph: Graph, seed: int, names: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """Every weight and buffer of the network in float64, by canonical name.

    With `names` those alone are drawn, as they would be among all.
    """
    shapes = infer_shapes(graph)
    weights = {}
    for node in graph.nodes:
        for weight in node.layer.weights(shapes.inputs(node)):
            name = f"{node.name}.{weight.name}"
            if names is not None and name not in names:
                continue
            function, numbers = weight.drawing
            weights[name] = DRAW[function](seed, name, weight.shape, **numbers)
    return weights


def generator(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one tensor."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def constant(seed: int, name: str, shape: tuple[int, ...], value: float) -> np.ndarray:
    """One number everywhere."""
    return np.full(shape, value)


def normal(
    seed: int, name: str, shape: tuple[int, ...], mean: float, std: float
) -> np.ndarray:
    """Gaussian numbers."""
    return generator(seed, name).normal(mean, std, shape)


def uniform(
    seed: int, name: str, shape: tuple[int, ...], low: float, high: float
) -> np.ndarray:
    """Uniform numbers from `low` to just below `high`."""
    return generator(seed, name).uniform(low, high, shape)


def truncated_normal(
    seed: int, name: str, shape: tuple[int, ...], mean: float, std: float
) -> np.ndarray:
    """Gaussian numbers, drawn again where they lie beyond two standard deviations."""
    numbers = generator(seed, name)
    values = numbers.normal(size=shape)
    beyond = np.abs(values) > 2
    while beyond.any():
        values[beyond] = numbers.normal(size=int(beyond.sum()))
        beyond = np.abs(values) > 2
    return mean + std * values


DRAW: dict[str, Callable[..., np.ndarray]] = {
    "constant": constant,
    "normal": normal,
    "truncated_normal": truncated_normal,
    "uniform": uniform,
}
