"""The sizes of activations and gradients before training, against those of built models."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from networks import layer, parsed

import archspec
from archspec.analysis import signal
from archspec.analysis.shapes import infer_shapes
from archspec.analysis.signal import Signal, Signals, propagate
from archspec.backends import get_backend
from archspec.graph import Graph
from archspec.layers.base import WeightedLayer
from archspec.spec.initializers import Normal, Zeros
from archspec.spec.preprocessing import Preprocessing

WIDE = 64
CONV = {"filters": WIDE, "kernel_size": 3, "padding": 0}


def signals(graph: Graph, std: float = 1.0, mean: float = 0.0) -> Signals:
    found = propagate(graph, infer_shapes(graph), Signal(mean, mean**2 + std**2, mean**2))
    assert found is not None
    return found


def measured(
    graph: Graph, std: float = 1.0, mean: float = 0.0, seeds: int = 3, name: str = "numpy"
) -> dict[str, float]:
    """The root mean square of each layer's outputs for noise, over several draws of weights."""
    backend = get_backend(name)
    squares: dict[str, float] = {}
    for seed in range(seeds):
        model = archspec.build(graph, backend=name, seed=seed)
        if name == "torch":
            model.double().eval()
        x = np.random.default_rng(seed).normal(mean, std, size=(2, *graph.input_shape))
        for node, values in backend.activations(graph, model, x).items():
            squares[node] = squares.get(node, 0.0) + float(np.mean(np.square(values))) / seeds
    return {name: math.sqrt(square) for name, square in squares.items()}


ACTIVATIONS = ["relu", "relu6", "sigmoid", "tanh", "silu", "gelu", "hard_sigmoid", "hard_swish"]
INITIALIZERS: list[Any] = [
    "kaiming_normal",
    "xavier_uniform",
    {"type": "normal", "std": 0.03},
    {"type": "truncated_normal", "std": 0.1, "mean": 0.01},
    {"type": "uniform", "low": -0.05, "high": 0.08},
]


def net(kind: str, init: Any, bias: Any = "zeros") -> Graph:
    layers = [
        layer("conv1", "conv2d", **CONV),
        layer("act1", kind),
        layer("conv2", "conv2d", **CONV),
        layer("act2", kind),
        layer("flat", "flatten"),
        layer("fc", "dense", units=WIDE),
    ]
    return parsed(layers, (WIDE, 8, 8), defaults={"weight_init": init, "bias_init": bias})


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("std", [1.0, 3.0])
def test_activations_within_a_tenth(kind: str, std: float) -> None:
    graph = net(kind, "kaiming_normal")
    predicted, found = signals(graph, std), measured(graph, std)
    for node in graph.nodes:
        assert predicted.forward[node.name].rms == pytest.approx(found[node.name], rel=0.1)


@pytest.mark.parametrize("init", INITIALIZERS, ids=str)
@pytest.mark.parametrize("bias", ["zeros", "ones", {"type": "normal", "std": 0.5}], ids=str)
def test_initializers_and_biases_within_a_tenth(init: Any, bias: Any) -> None:
    graph = net("relu", init, bias)
    predicted, found = signals(graph, 1.0, 0.5), measured(graph, 1.0, 0.5)
    for node in graph.nodes:
        assert predicted.forward[node.name].rms == pytest.approx(found[node.name], rel=0.1)


OTHERS = {
    "max_pool2d": {"kernel_size": 2},
    "avg_pool2d": {"kernel_size": 3, "stride": 1},
    "local_response_norm": {"size": 5, "alpha": 0.1, "beta": 0.75, "k": 2, "alpha_mode": "sum"},
    "global_avg_pool2d": {"keep_dims": True},
    "layer_norm": {"eps": 1e-5},
    "group_norm": {"groups": 4, "eps": 1e-5},
    "scale": {"weight_init": {"type": "constant", "value": 0.3}, "bias": True, "bias_init": "ones"},
    "zero_pad2d": {"padding": 2},
    "upsample2d": {"scale": 2},
    "channel_shuffle": {"groups": 4},
    "leaky_relu": {"negative_slope": 0.2},
    "dropout": {"rate": 0.0},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_layers_within_a_fifth(kind: str) -> None:
    layers = [
        layer("conv1", "conv2d", **CONV),
        layer("relu1", "relu"),
        layer("layer", kind, **OTHERS[kind]),
        layer("conv2", "conv2d", **(CONV | {"kernel_size": 1})),
    ]
    graph = parsed(layers, (WIDE, 10, 10), defaults={"weight_init": "kaiming_normal"})
    predicted, found = signals(graph), measured(graph)
    for node in graph.nodes:
        assert predicted.forward[node.name].rms == pytest.approx(found[node.name], rel=0.2)


def test_joins_within_a_tenth() -> None:
    conv = CONV | {"padding": 1}
    layers = [
        layer("a", "conv2d", "input", **conv),
        layer("b", "conv2d", "input", **conv),
        layer("ra", "relu", "a"),
        layer("sum", "add", "ra", "b"),
        layer("product", "multiply", "ra", "b"),
        layer("both", "concat", "sum", "product"),
        layer("part", "split", channels=[0, WIDE]),
        layer("end", "conv2d", "both", **conv),
        layer("all", "add", "end", "part"),
    ]
    graph = parsed(layers, (WIDE, 16, 16), defaults={"weight_init": "kaiming_normal"})
    predicted, found = signals(graph), measured(graph)
    for name in ("sum", "product", "both", "end"):  # at the edge of a map, padding makes it less
        assert predicted.forward[name].rms == pytest.approx(found[name], rel=0.15)


def test_batch_norm_forgets_what_came_before() -> None:
    layers = [
        layer("conv1", "conv2d", **CONV),
        layer("norm", "batch_norm", eps=1e-5, decay=0.9),
        layer("relu", "relu"),
        layer("fc", "conv2d", **CONV),
    ]
    graph = parsed(layers, (WIDE, 8, 8), defaults={"weight_init": {"type": "normal", "std": 9.0}})
    found = signals(graph, 50.0)
    assert found.forward["norm"].rms == pytest.approx(1.0, rel=1e-3)
    assert found.forward["relu"].rms == pytest.approx(math.sqrt(0.5), rel=1e-3)


@pytest.mark.slow
def test_gradients_and_the_kernel_of_a_network_with_pools() -> None:
    import torch

    layers = [
        layer("conv1", "conv2d", **CONV),
        layer("relu1", "relu"),
        layer("pool1", "max_pool2d", kernel_size=2),
        layer("conv2", "conv2d", **CONV),
        layer("relu2", "relu"),
        layer("pool2", "global_avg_pool2d"),
        layer("fc1", "dense", units=256),
        layer("relu3", "relu"),
        layer("fc2", "dense", units=10),
    ]
    defaults = {"weight_init": "kaiming_normal", "bias_init": {"type": "normal", "std": 0.3}}
    graph = parsed(layers, (3, 14, 14), defaults=defaults)
    predicted = signals(graph)
    kernels, squares = [], []
    for seed in range(6):
        model = archspec.build(graph, backend="torch", seed=seed)
        x = torch.tensor(np.random.default_rng(seed).normal(size=(2, 3, 14, 14)).astype("float32"))
        images = x.requires_grad_()
        for logit in range(4):
            grads = []
            for image in range(2):
                model.zero_grad()
                images.grad = None
                model(images[image : image + 1])[0, logit].backward()
                grads.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
                squares.append(float(images.grad[image].square().mean()))
            kernels.append(float(grads[0] @ grads[1]))
    assert np.mean(squares) == pytest.approx(predicted.backward["input"], rel=0.5)
    assert np.mean(kernels) == pytest.approx(predicted.kernel, rel=0.5)


@pytest.mark.slow
def test_the_paper_s_alexnet_within_a_third() -> None:
    graph = archspec.load("alexnet")
    for node in graph.nodes:  # its dropout is that of training; here it is measured at inference
        if node.layer.type == "dropout":
            graph = graph.with_layer(node.name, rate=0.0)
    predicted, found = signals(graph, 57.6), measured(graph, 57.6, seeds=1, name="torch")
    for node in graph.nodes:
        if node.name != "fc8":  # behind two layers that are nearly the same for all images
            assert predicted.forward[node.name].rms == pytest.approx(found[node.name], rel=0.34)


def test_vgg_could_begin_with_eleven_layers_and_not_with_more() -> None:
    """Simonyan and Zisserman (2015), section 3.1: std 0.01, no biases, pixels without the mean."""
    apart = {}
    for name in ("vgg11", "vgg13", "vgg16", "vgg19"):
        graph = archspec.load(name)
        for node in graph.nodes:
            if isinstance(node.layer, WeightedLayer):
                init = {"weight_init": Normal(type="normal", std=0.01), "bias_init": Zeros()}
                graph = graph.with_layer(node.name, **init)
        logits = signals(graph, 57.6).forward["fc8"]
        apart[name] = math.sqrt(logits.second - logits.cross)
    assert apart["vgg11"] > 1e-3
    assert all(apart[name] < 1e-4 for name in ("vgg13", "vgg16", "vgg19"))


@pytest.mark.parametrize(
    ("written", "mean", "std"),
    [
        ({}, 0.0, 57.63),
        ({"std": "data"}, 0.0, 1.0),
        ({"rescale": 1 / 255}, 0.0, 0.226),
        ({"rescale": 1 / 255, "mean": [0.0, 0.0, 0.0]}, 0.449, 0.226),
        ({"rescale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}, -0.102, 0.452),
    ],
)
def test_pixels(written: dict[str, Any], mean: float, std: float) -> None:
    found = signal.pixels(Preprocessing.model_validate(written))
    assert found.mean == pytest.approx(mean)
    assert math.sqrt(found.second - found.mean**2) == pytest.approx(std)


def test_a_network_without_all_its_shapes_is_not_known() -> None:
    graph = parsed([layer("conv", "conv2d", filters=2, kernel_size=99), layer("end", "relu")])
    assert propagate(graph, infer_shapes(graph), Signal(0.0, 1.0, 0.0)) is None


def test_every_layer_type_is_known() -> None:
    """The way forward and the way back through each layer's own examples."""
    from networks import EXAMPLES, example_network

    for _, kind, example in EXAMPLES:
        graph = example_network(kind, example)
        found = propagate(graph, infer_shapes(graph), Signal(0.0, 1.0, 0.0))
        assert found is not None, kind
        assert all(math.isfinite(s.second) for s in found.forward.values()), kind
        assert found.backward["input"] >= 0, kind
        assert math.isfinite(found.kernel), kind
