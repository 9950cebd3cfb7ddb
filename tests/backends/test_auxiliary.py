"""Auxiliary outputs are there in training and cost nothing at inference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from networks import Layers, heads, layer, network

import archspec
from archspec import verification
from archspec.backends import get_backend
from archspec.backends.initial import initial_weights
from archspec.graph import Graph

HEADS = {"aux1.pool", "aux1.fc", "aux2.conv", "aux2.norm", "aux2.relu", "aux2.flatten", "aux2.fc"}


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((4, 3, 9, 9)).astype("float32")


def built(name: str, graph: Graph) -> Any:
    backend = get_backend(name)
    backend.require()
    model = backend.build(graph)
    backend.load_weights(graph, model, initial_weights(graph, 0))
    return model


def test_the_heads_are_what_the_output_does_not_need() -> None:
    assert heads().training_only == HEADS


def test_torch_returns_them_in_training(images: np.ndarray) -> None:
    graph = heads(norms=False)
    model, batch = built("torch", graph), torch.from_numpy(images)
    ran = []
    for head in (model.aux1, model.aux2):
        for module in head.children():
            module.register_forward_hook(lambda module, args, output: ran.append(module))
    output = model.eval()(batch)
    assert ran == []
    found = model.train()(batch)
    assert len(ran) == 6
    expected = built("numpy", graph).outputs(images)
    assert isinstance(found, tuple)
    for value, name in zip(found, ("fc", "aux1.fc", "aux2.fc", "early"), strict=True):
        np.testing.assert_allclose(value.detach(), expected[name], rtol=1e-4, atol=1e-5)
    assert torch.equal(output, found[0])


def test_keras_returns_them_in_training(images: np.ndarray) -> None:
    graph = heads(norms=False)
    model, batch = built("keras", graph), images.transpose(0, 2, 3, 1)
    output = np.asarray(model(batch))
    assert (output == np.asarray(model(batch, training=False))).all()
    found = [np.asarray(value) for value in model(batch, training=True)]
    expected = built("numpy", graph).outputs(images)
    for value, name in zip(found, ("fc", "aux1.fc", "aux2.fc", "early"), strict=True):
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(output, found[0], rtol=1e-6)
    np.testing.assert_allclose(model.predict(batch, verbose=0), output, rtol=1e-5, atol=1e-6)
    computed = {layer.name for layer in model.inference.layers}
    assert not [name for name in computed if name.startswith("aux")]


def test_the_keras_file_is_trained_by_compile_and_fit(images: np.ndarray) -> None:
    import keras

    model, batch = built("keras", heads()), images.transpose(0, 2, 3, 1)
    labels = np.array([0, 1, 2, 3])
    before = [np.asarray(variable) for variable in model.trainable_variables]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="sgd", loss=loss, metrics=["accuracy"])
    untrained = model.evaluate(batch, labels, verbose=0, return_dict=True)
    logits = np.asarray(model(batch))
    assert untrained["loss"] == pytest.approx(float(loss(labels, logits)), rel=1e-5)
    history = model.fit(batch, labels, epochs=1, verbose=0).history
    assert history.keys() == {"loss", "accuracy"}
    after = [np.asarray(variable) for variable in model.trainable_variables]
    assert all((old != new).any() for old, new in zip(before, after, strict=True))


def test_weights_are_saved_and_loaded(images: np.ndarray, tmp_path: Any) -> None:
    batch = images.transpose(0, 2, 3, 1)
    first, second = built("keras", heads()), get_backend("keras").build(heads())
    first.save_weights(tmp_path / "net.weights.h5")
    second.load_weights(tmp_path / "net.weights.h5")
    assert (np.asarray(first(batch)) == np.asarray(second(batch))).all()
    assert len(second.variables) == len({id(variable) for variable in second.variables})


CONV = {"filters": 3, "kernel_size": 3, "padding": 1}
NETWORKS: dict[str, tuple[Layers, list[str]]] = {
    "an output that a ReLU behind it would overwrite": (
        [
            layer("conv", "conv2d", **CONV),
            layer("relu", "relu"),
            layer("pool", "global_avg_pool2d"),
        ],
        ["conv"],
    ),
    "a head on the output": (
        [
            layer("late", "dense", "fc", units=3),
            layer("later", "relu"),
            layer("flatten", "flatten", "input"),
            layer("fc", "dense", units=4),
        ],
        ["later"],
    ),
    "a head on the image": (
        [
            layer("aux.pool", "global_avg_pool2d"),
            layer("aux.fc", "dense", units=4),
            layer("conv", "conv2d", "input", **CONV),
        ],
        ["aux.fc"],
    ),
    "heads that share layers": (
        [
            layer("conv", "conv2d", **CONV),
            layer("aux", "conv2d", **CONV),
            layer("left", "relu"),
            layer("right", "tanh", "aux"),
            layer("relu", "relu", "conv"),
        ],
        ["left", "right"],
    ),
    "an output within a head": (
        [
            layer("conv", "conv2d", **CONV),
            layer("aux.first", "conv2d", **CONV),
            layer("aux.second", "conv2d", **CONV),
            layer("tanh", "tanh", "conv"),
        ],
        ["aux.second", "aux.first"],
    ),
    "nothing else to train": (
        [
            layer("pool", "global_avg_pool2d"),
            layer("aux", "dense", units=2),
            layer("relu", "relu", "pool"),
        ],
        ["aux"],
    ),
}


@pytest.mark.parametrize("what", NETWORKS)
def test_the_backends_agree(what: str) -> None:
    layers, outputs = NETWORKS[what]
    graph = network(layers, auxiliary=[{"layer": name} for name in outputs])
    found = verification.verify(graph)
    assert found.equal, (found.outputs, found.gradients)
    assert len(found.outputs) == len(found.backends) * len(layers)
    parameters = {error.parameter for error in found.gradients}
    assert any(name.startswith(("aux", "late", "conv")) for name in parameters)


def test_a_wrong_head_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradients of heads are compared, and so are the outputs."""
    from archspec.backends.torch import layers as torch_layers

    relu = torch_layers.LAYERS["relu"]
    graph = heads()

    def leaky(context: Any) -> Any:
        if context.node.name == "aux2.relu":
            return archspec.backends.source.call("nn.LeakyReLU", 0.1)
        return relu(context)

    monkeypatch.setitem(torch_layers.LAYERS, "relu", leaky)
    found = verification.verify(graph)
    wrong = {e.layer for e in found.outputs if not e.within}
    assert wrong == {"aux2.relu", "aux2.flatten", "aux2.fc"}
    wrong = {e.parameter for e in found.gradients if not e.within}
    assert {"aux2.conv.weight", "aux2.fc.weight", "stem.conv.weight"} <= wrong
    assert "fc.weight" not in wrong
