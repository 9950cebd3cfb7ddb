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
    "a block of ConvNeXt": [
        layer("stem", "conv2d", filters=4, kernel_size=1),
        layer("depthwise", "conv2d", filters=4, kernel_size=3, padding=1, groups=4),
        layer("norm", "layer_norm", eps=1e-6),
        layer("wide", "conv2d", filters=16, kernel_size=1),
        layer("gelu", "gelu"),
        layer("narrow", "conv2d", filters=4, kernel_size=1),
        layer("factor", "scale", weight_init={"type": "constant", "value": 1e-6}),
        layer("drop", "stochastic_depth", rate=0.1),
        layer("sum", "add", "stem", "drop"),
        layer("mean", "global_avg_pool2d", keep_dims=True),
        layer("head_norm", "layer_norm", eps=1e-6),
        layer("flat", "flatten"),
    ],
    "a unit of ShuffleNet v2": [
        layer("stem", "conv2d", filters=6, kernel_size=1),
        layer("kept", "split", "stem", channels=[0, "$half"]),
        layer("other", "split", "stem", channels=["$half", 6]),
        layer("depthwise", "conv2d", filters=3, kernel_size=3, padding=1, groups=3),
        layer("joined", "concat", "kept", "depthwise"),
        layer("shuffled", "channel_shuffle", groups=2),
    ],
    "squeeze and excitation with a reshape": [
        layer("conv", "conv2d", **CONV),
        layer("squeeze", "global_avg_pool2d"),
        layer("excite", "dense", units=3),
        layer("gate", "sigmoid"),
        layer("column", "reshape", shape=[3, 1, 1]),
        layer("scaled", "multiply", "conv", "column"),
    ],
    "down and up again": [
        layer("conv", "conv2d", **CONV),
        layer("down", "max_pool2d", kernel_size=2),
        layer("up", "conv2d_transpose", filters=3, kernel_size=2, stride=2),
        layer("again", "upsample2d", "down", scale=2, mode="bilinear"),
        layer("joined", "concat", "conv", "up", "again"),
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
    found = verification.verify(network(NETWORKS[what], variables={"half": 3}))
    assert found.equal, (found.outputs, found.gradients)


OVERWRITABLE = [
    [layer("conv", "conv2d", **CONV)],
    [layer("conv", "conv2d", **CONV), layer("norm", "batch_norm", eps=1e-3, decay=0.9)],
    [layer("a", "conv2d", **CONV), layer("sum", "add", "a", "a")],
    [layer("a", "conv2d", **CONV), layer("both", "concat", "a", "a")],
    [layer("flat", "flatten"), layer("dense", "dense", units=4)],
    [layer("up", "conv2d_transpose", filters=2, kernel_size=2, stride=2)],
    [layer("up", "conv2d_transpose", filters=2, kernel_size=2, padding=[0, 1, 0, 0])],
    [layer("conv", "conv2d", **CONV), layer("norm", "layer_norm", eps=1e-3)],
    [layer("flat", "flatten"), layer("norm", "layer_norm", eps=1e-3)],
    [layer("conv", "conv2d", **CONV), layer("norm", "group_norm", eps=1e-3, groups=3)],
    [layer("conv", "conv2d", **CONV), layer("scale", "scale")],
    [layer("conv", "conv2d", **CONV), layer("scale", "scale", bias=True)],
]


def inplace(graph: Graph, name: str) -> bool:
    return bool(getattr(get_backend("torch").build(graph), name).inplace)


@pytest.mark.parametrize("before", OVERWRITABLE)
def test_relu_overwrites_what_it_alone_reads(before: Layers) -> None:
    graph = network([*before, layer("relu", "relu")])
    assert inplace(graph, "relu")
    assert verification.verify(graph).equal


@pytest.mark.parametrize("before", OVERWRITABLE)
def test_relu_leaves_what_another_layer_reads(before: Layers) -> None:
    source = before[-1]["name"]
    layers = [*before, layer("relu", "relu"), layer("joined", "concat", source, "relu")]
    graph = network(layers)
    assert not inplace(graph, "relu")
    found = verification.verify(graph, backends=("torch",))
    assert found.equal


LEFT: dict[str, dict[str, object]] = {
    "sigmoid": {},
    "tanh": {},
    "max_pool2d": {"kernel_size": 2},
    "softmax": {},
    "split": {"channels": [0, 2]},
    "flatten": {},
    "reshape": {"shape": [4, 6, 8]},
    "permute": {"order": ["width", "height", "channels"]},
    "stochastic_depth": {"rate": 0.5},
    "dropout": {"rate": 0.5},
}


@pytest.mark.parametrize("kind", LEFT)
def test_relu_leaves_what_a_gradient_needs_or_another_layer_owns(kind: str) -> None:
    before = [
        layer("conv", "conv2d", **CONV),
        layer("before", kind, **LEFT[kind]),
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
