"""Weights into and out of each backend, and layers that are frozen."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from networks import branching, layer, network

from archspec import verification
from archspec.backends import get_backend
from archspec.backends.base import Backend, TrainableBackend
from archspec.backends.initial import initial_weights
from archspec.graph import Graph

BACKENDS = [
    "numpy",
    "torch",
    "keras",
    "onnx",
]
TRAINABLE = ["torch", "keras"]


def backend(name: str) -> Any:
    found: Backend = get_backend(name)
    found.require()
    return found


def random_weights(graph: Graph) -> dict[str, np.ndarray]:
    numbers = np.random.default_rng(0)
    return {
        name: numbers.random(weight.shape, dtype="float32") + np.float32(0.1)
        for name, weight in initial_weights(graph, 0).items()
    }


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        assert found[name].dtype == weight.dtype
        assert found[name].shape == weight.shape
        assert found[name].tobytes() == weight.tobytes(), name


@pytest.mark.parametrize("name", BACKENDS)
def test_weights_come_back_bit_for_bit(name: str) -> None:
    graph = branching()
    weights = random_weights(graph)
    assert {n.rpartition(".")[2] for n in weights} == {
        "weight",
        "bias",
        "running_mean",
        "running_var",
    }
    model = backend(name).build(graph)
    backend(name).load_weights(graph, model, weights)
    same(backend(name).save_weights(graph, model), weights)


def test_weights_go_from_framework_to_framework_bit_for_bit() -> None:
    graph = branching()
    weights = random_weights(graph)
    for source, target in pairwise(["torch", "keras", "onnx", "torch", "onnx", "keras"]):
        first, second = backend(source), backend(target)
        models = first.build(graph), second.build(graph)
        first.load_weights(graph, models[0], weights)
        second.load_weights(graph, models[1], first.save_weights(graph, models[0]))
        same(second.save_weights(graph, models[1]), weights)


@pytest.mark.parametrize("name", BACKENDS)
def test_saved_weights_are_copies(name: str) -> None:
    graph = network([layer("conv", "conv2d", filters=2, kernel_size=3)])
    model = backend(name).build(graph)
    saved = backend(name).save_weights(graph, model)
    before = {key: value.copy() for key, value in saved.items()}
    backend(name).load_weights(graph, model, {key: value + 1 for key, value in saved.items()})
    same(saved, before)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_missing_weight_is_an_error(name: str) -> None:
    graph = network([layer("conv", "conv2d", filters=2, kernel_size=3)])
    weights = random_weights(graph)
    del weights["conv.bias"]
    with pytest.raises(KeyError, match=r"conv\.bias"):
        backend(name).load_weights(graph, backend(name).build(graph), weights)


def frozen() -> Graph:
    norm = {"eps": 1e-3, "decay": 0.5}
    return network(
        [
            layer("first", "conv2d", filters=4, kernel_size=3),
            layer("still", "conv2d", filters=4, kernel_size=3, trainable=False),
            layer("fixed", "batch_norm", trainable=False, **norm),
            layer("plain", "batch_norm", trainable=False, affine=False, **norm),
            layer("moving", "batch_norm", affine=False, **norm),
            layer("pool", "global_avg_pool2d"),
            layer("fixed_vector", "batch_norm", trainable=False, running_variance="biased", **norm),
            layer("logits", "dense", units=3, trainable=False),
        ]
    )


@pytest.mark.parametrize("name", TRAINABLE)
def test_frozen_layers_have_no_gradient_and_keep_their_statistics(name: str) -> None:
    graph = frozen()
    chosen: TrainableBackend = backend(name)
    weights = random_weights(graph)
    model = chosen.build_for_verification(graph, "float32")
    chosen.load_weights(graph, model, weights)
    images = np.random.default_rng(1).standard_normal((4, 3, 8, 8), dtype="float32")
    gradients = chosen.gradients(graph, model, images, [np.ones((4, 3), "float32")])
    assert sorted(gradients) == ["first.bias", "first.weight"]
    assert all(gradient.any() for gradient in gradients.values())
    after = chosen.save_weights(graph, model)
    changed = {key for key, weight in weights.items() if (after[key] != weight).any()}
    changed -= set(gradients)  # which are undefined
    assert changed == {"moving.running_mean", "moving.running_var"}


def test_frozen_layers_agree() -> None:
    found = verification.verify(frozen(), batch=4)
    assert found.equal, (found.outputs, found.gradients)


def test_keras_and_torch_call_the_same_weights_frozen() -> None:
    graph = frozen()
    model = backend("torch").build(graph)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained == ["first.weight", "first.bias"]
    model = backend("keras").build(graph)
    assert [v.path.rpartition("/")[0] for v in model.trainable_variables] == ["first", "first"]


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("scaling", ["inverted", "at_inference"])
def test_dropout_scales_where_the_spec_says(name: str, scaling: str) -> None:
    rate = 0.3
    layers = [layer("flat", "flatten"), layer("drop", "dropout", rate=rate, scaling=scaling)]
    graph = network(layers, (100, 10, 10))
    model = backend(name).build(graph)
    ones = np.ones((2, 100, 10, 10), "float32")
    if name == "torch":
        import torch

        training = model.train()(torch.from_numpy(ones)).numpy()
        inference = model.eval()(torch.from_numpy(ones)).numpy()
    else:
        images = ones.transpose(0, 2, 3, 1)
        training = np.asarray(model(images, training=True))
        inference = np.asarray(model(images, training=False))
    kept = np.float32(1 / (1 - rate) if scaling == "inverted" else 1)
    np.testing.assert_allclose(np.unique(training), [0, kept], rtol=1e-6)
    assert abs((training == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / training.size)
    np.testing.assert_allclose(inference, 1 if scaling == "inverted" else 1 - rate, rtol=1e-6)
