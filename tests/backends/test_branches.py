"""Values that are read twice, later, or in another order than that of the file."""

from __future__ import annotations

import pytest
import torch
from networks import Layers, layer, network

from archspec import verification
from archspec.backends import get_backend
from archspec.graph import Graph

CONV = {"filters": 3, "kernel_size": 3, "padding": 1}

NETWORKS: dict[str, Layers] = {
    "a value read twice": [
        layer("conv", "conv2d", **CONV),
        layer("relu", "relu"),
        layer("sum", "add", "conv", "relu"),
    ],
    "a value read twice by one layer": [
        layer("conv", "conv2d", **CONV),
        layer("square", "multiply", "conv", "conv"),
        layer("double", "add", "square", "square", "square"),
    ],
    "a value read much later": [
        layer("conv", "conv2d", **CONV),
        layer("a", "tanh"),
        layer("b", "conv2d", **CONV),
        layer("c", "relu"),
        layer("sum", "add", "a", "c"),
        layer("again", "multiply", "sum", "conv"),
    ],
    "the input read twice": [
        layer("a", "conv2d", "input", **CONV),
        layer("b", "conv2d", "input", **CONV),
        layer("joined", "concat", "a", "b", "input"),
    ],
    "the input read twice by one layer": [
        layer("double", "add", "input", "input"),
        layer("conv", "conv2d", **CONV),
    ],
    "layers in another order": [
        layer("sum", "add", "late", "early"),
        layer("late", "conv2d", "early", **CONV),
        layer("early", "conv2d", "input", **CONV),
        layer("end", "relu", "sum"),
    ],
    "a layer before the one it reads": [
        layer("end", "tanh", "conv"),
        layer("conv", "conv2d", "input", **CONV),
        layer("out", "sigmoid", "end"),
    ],
    "one layer": [layer("conv", "conv2d", **CONV)],
    "nothing to train": [layer("pool", "max_pool2d", kernel_size=2), layer("relu", "relu")],
    "everything frozen": [
        layer("conv", "conv2d", trainable=False, **CONV),
        layer("norm", "batch_norm", eps=1e-3, decay=0.9, trainable=False),
    ],
    "a scale of channels first": [
        layer("conv", "conv2d", **CONV),
        layer("mean", "global_avg_pool2d", keep_dims=True),
        layer("scaled", "multiply", "mean", "conv", "mean"),
    ],
    "a map of one pixel": [
        layer("conv", "conv2d", filters=4, kernel_size=8),
        layer("relu", "relu"),
        layer("flat", "flatten"),
        layer("again", "flatten"),
        layer("dense", "dense", units=2),
    ],
}


@pytest.mark.parametrize("what", NETWORKS)
def test_the_backends_agree(what: str) -> None:
    found = verification.verify(network(NETWORKS[what]))
    assert found.equal, (found.outputs, found.gradients)


OVERWRITABLE = [
    [layer("conv", "conv2d", **CONV)],
    [layer("conv", "conv2d", **CONV), layer("norm", "batch_norm", eps=1e-3, decay=0.9)],
    [layer("a", "conv2d", **CONV), layer("sum", "add", "a", "a")],
    [layer("a", "conv2d", **CONV), layer("both", "concat", "a", "a")],
    [layer("flat", "flatten"), layer("dense", "dense", units=4)],
]


def inplace(graph: Graph, name: str) -> bool:
    return bool(getattr(get_backend("torch").build(graph), name).inplace)


@pytest.mark.parametrize("before", OVERWRITABLE)
def test_relu_overwrites_what_it_alone_reads(before: Layers) -> None:
    assert inplace(network([*before, layer("relu", "relu")]), "relu")


@pytest.mark.parametrize("before", OVERWRITABLE)
def test_relu_leaves_what_another_layer_reads(before: Layers) -> None:
    source = before[-1]["name"]
    layers = [*before, layer("relu", "relu"), layer("joined", "concat", source, "relu")]
    graph = network(layers)
    assert not inplace(graph, "relu")
    found = verification.verify(graph, backends=("torch",))
    assert found.equal


@pytest.mark.parametrize("kind", ["sigmoid", "tanh", "max_pool2d", "softmax", "split", "flatten"])
def test_relu_leaves_what_a_gradient_needs(kind: str) -> None:
    options = {"max_pool2d": {"kernel_size": 2}, "split": {"channels": [0, 2]}}
    before = [
        layer("conv", "conv2d", **CONV),
        layer("before", kind, **options.get(kind, {})),
        layer("relu", "relu"),
    ]
    assert not inplace(network(before), "relu")


def test_relu_leaves_the_image() -> None:
    graph = network([layer("relu", "relu"), layer("conv", "conv2d", **CONV)])
    model = get_backend("torch").build(graph)
    images = torch.randn(2, 3, 8, 8)
    before = images.clone()
    model(images)
    assert torch.equal(images, before)
