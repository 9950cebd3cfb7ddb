"""Stochastic depth in training: whole images, the rate, and the seed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from networks import layer, network, recipe

from archspec.backends import get_backend
from archspec.backends.base import Execution
from archspec.backends.initial import initial_weights

RATE, IMAGES = 0.25, 4000


def outputs(backend: str, training: bool) -> np.ndarray:
    """What becomes of images of ones, N x elements."""
    graph = network([layer("drop", "stochastic_depth", rate=RATE)], (3, 2, 2))
    chosen = get_backend(backend)
    chosen.require()
    model: Any = chosen.build(graph)
    if backend == "torch":
        torch.manual_seed(0)
        found = model.train(training)(torch.ones(IMAGES, 3, 2, 2)).numpy()
    else:
        import keras

        images = np.ones((IMAGES, 2, 2, 3), "float32")
        found = keras.ops.convert_to_numpy(model(images, training=training))
    return np.asarray(found).reshape(IMAGES, -1)


@pytest.mark.parametrize("backend", ["torch", "keras"])
def test_whole_images_are_dropped_and_the_others_divided_by_what_is_kept(backend: str) -> None:
    found = outputs(backend, training=True)
    assert (found == found[:, :1]).all()
    values = Counter(round(float(value), 5) for value in found[:, 0])
    assert values.keys() == {0.0, round(1 / (1 - RATE), 5)}
    # Within five standard deviations of a binomial distribution.
    assert abs(values[0.0] - RATE * IMAGES) < 5 * (RATE * (1 - RATE) * IMAGES) ** 0.5


@pytest.mark.parametrize("backend", ["torch", "keras"])
def test_inference_is_the_identity(backend: str) -> None:
    assert (outputs(backend, training=False) == 1).all()


@pytest.mark.parametrize("backend", ["torch", "keras"])
def test_training_depends_on_the_seed_alone(backend: str) -> None:
    layers = [
        layer("conv", "conv2d", filters=4, kernel_size=1),
        layer("branch", "stochastic_depth", rate=0.5),
        layer("sum", "add", "conv", "branch"),
        layer("pool", "global_avg_pool2d"),
        layer("drop", "stochastic_depth", rate=0.5),
        layer("logits", "dense", units=5),
    ]
    graph = network(layers, (3, 4, 4))
    chosen: Any = get_backend(backend)
    chosen.require()
    numbers = np.random.default_rng(0)
    images = numbers.standard_normal((16, 4, 4, 3)).astype("float32")
    labels = numbers.integers(0, 5, 16)
    weights = initial_weights(graph, 0)
    losses = []
    for seed in (1, 1, 2):
        trainer = chosen.trainer(graph, recipe(), weights, Execution("cpu"))
        trainer.reseed(seed)
        losses.append([float(trainer.step(images, labels, 0.05)) for _ in range(2)])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
