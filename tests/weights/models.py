"""What the tests of file formats share: a network and models of it as users write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from networks import layer, network

from archspec import weights
from archspec.backends import get_backend
from archspec.backends.torch import BACKEND as TORCH
from archspec.graph import Graph


def keras() -> Any:
    """Keras, on the engine that archspec chooses."""
    get_backend("keras").require()
    import keras

    return keras


def mixed() -> Graph:
    """Convolutions of every kind, two normalisations, a flattened map, two dense layers."""
    norm = {"eps": 1e-3, "decay": 0.9}
    return network(
        [
            layer("conv1", "conv2d", filters=8, kernel_size=3, padding="same"),
            layer("norm1", "batch_norm", **norm),
            layer("relu1", "relu"),
            layer("conv2", "conv2d", filters=6, kernel_size=3, groups=2, bias=False),
            layer("norm2", "batch_norm", **norm),
            layer("depthwise", "conv2d", filters=12, kernel_size=[3, 2], groups=6),
            layer("up", "conv2d_transpose", filters=5, kernel_size=3, stride=2),
            layer("active", "tanh"),
            layer("flatten", "flatten"),
            layer("fc1", "dense", units=7),
            layer("relu2", "relu"),
            layer("fc2", "dense", units=4, bias=False),
        ],
        (3, 7, 8),
        "mixed",
    )


def images(graph: Graph, count: int = 3) -> np.ndarray:
    """N,C,H,W in float64."""
    return np.random.default_rng(5).standard_normal((count, *graph.input_shape))


def torch_outputs(
    graph: Graph, path: Path, dtype: str = "float64", **options: Any
) -> tuple[np.ndarray, weights.Loaded]:
    """What archspec's PyTorch model gives with the weights of a file, and how they were found."""
    loaded = weights.load(path, graph, **options)
    assert not loaded.missing
    model = TORCH.build_for_verification(graph, dtype)
    TORCH.load_weights(graph, model, loaded.weights)
    found = TORCH.activations(graph, model, images(graph).astype(dtype))
    return found[graph.output], loaded


def random_like(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Other numbers of these shapes, positive, so that they are variances too."""
    numbers = np.random.default_rng(3)
    return {
        name: numbers.uniform(0.1, 0.9, a.shape).astype("float32") for name, a in arrays.items()
    }
