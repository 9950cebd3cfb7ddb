"""Networks for the tests of the backends, and how to compare what they compute."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import archspec
from archspec import catalog, expand, source
from archspec.analysis.shapes import infer_shapes
from archspec.backends.initial import initial_weights
from archspec.graph import Graph
from archspec.layers import layer_types
from archspec.layers.base import Example
from archspec.spec.recipe import Recipe

# Weights that leave nothing at zero, so that every path carries a signal and a gradient.
LIVELY = {
    "weight_init": {"type": "normal", "std": 0.5},
    "bias_init": {"type": "normal", "std": 0.5},
}

# Seconds within which everything ends, on any machine: what takes longer grows too fast, or hangs.
# How fast things are, `make bench` measures.
SOON = 60.0

Layers = Sequence[Mapping[str, Any]]

EXAMPLES = [
    (f"{kind}-{number}", kind, example)
    for kind, layer in layer_types().items()
    for number, example in enumerate(layer.examples)
]


def family_heads() -> list[str]:
    """The shipped specs that extend none: in a variant the same blocks come again."""
    return [name for name in catalog.shipped() if not archspec.load(name).spec.extends]


def layer(name: str, type: str, *inputs: str, **fields: Any) -> dict[str, Any]:
    """One entry of a spec's list of layers."""
    return {"name": name, "type": type, **({"inputs": inputs} if inputs else {}), **fields}


def network(
    layers: Layers,
    input: tuple[int, int, int] = (3, 8, 8),
    name: str = "net",
    **sections: Any,
) -> Graph:
    """The graph of a spec with these layers, which must be free of errors."""
    graph = parsed(layers, input, name, **sections)
    found = archspec.analyze(graph)
    assert not found.has_errors, [diagnostic.message for diagnostic in found.diagnostics]
    return graph


def parsed(
    layers: Layers,
    input: tuple[int, int, int] = (3, 8, 8),
    name: str = "net",
    **sections: Any,
) -> Graph:
    """The same without looking for errors in the shapes."""
    spec = {
        "archspec": 1,
        "name": name,
        "input": dict(zip(("channels", "height", "width"), input, strict=True)),
        "defaults": LIVELY,
        "layers": layers,
        **sections,
    }
    return expand.expand(source.parse(json.dumps(spec, ensure_ascii=False), f"{name}.yaml"))


def example_network(kind: str, example: Example) -> Graph:
    """A small network around one layer's example; the layer is called `layer`.

    A 1 x 1 convolution (or a dense layer) comes first, so that gradients flow through the
    layer, and gives each of its inputs some of the channels.
    """
    channels = sum(shape[0] for shape in example.inputs)
    input: tuple[int, int, int]
    if len(example.inputs[0]) == 3:
        size = max(shape[1:] for shape in example.inputs)
        input = (channels, *size)
        layers = [layer("stem", "conv2d", "input", filters=channels, kernel_size=1)]
    else:
        size, input = (), (1, 2, 3)
        layers = [layer("flat", "flatten", "input"), layer("stem", "dense", units=channels)]
    names, first = [], 0
    for number, shape in enumerate(example.inputs):
        end = first + shape[0]
        layers.append(layer(f"part{number}", "split", "stem", channels=[first, end]))
        names.append(f"part{number}")
        first = end
        if shape[1:] != size:
            assert shape[1:] == (1, 1)
            names[-1] = f"mean{number}"
            layers.append(layer(names[-1], "global_avg_pool2d", keep_dims=True))
    layers.append(layer("layer", kind, *names, **example.fields))
    return network(layers, input, "example")


def branching() -> Graph:
    """Branches, joins, odd windows, every kind of normalisation and a frozen layer."""
    lrn = {"alpha": 0.1, "beta": 0.75, "k": 2}
    norm = {"eps": 1.0e-3, "decay": 0.9}
    ceil = {"kernel_size": 3, "stride": 2, "rounding": "ceil"}
    layers = [
        layer("stem", "conv2d", filters=8, kernel_size=3, padding=[0, 1, 1, 2], trainable=False),
        layer("norm", "batch_norm", **norm),
        layer("relu", "relu"),
        layer("left", "split", "relu", channels=[0, 4]),
        layer("right", "split", "relu", channels=[4, 8]),
        layer("towers", "conv2d", "relu", filters=8, kernel_size=5, padding="same", groups=2),
        layer("response", "local_response_norm", size=5, alpha_mode="mean", groups=2, **lrn),
        layer("left_norm", "batch_norm", "left", running_variance="biased", **norm),
        layer("right_norm", "batch_norm", "right", trainable=False, affine=False, **norm),
        layer("product", "multiply", "left_norm", "right_norm"),
        layer("joined", "concat", "product", "left"),
        layer("sum", "add", "joined", "response", "norm"),
        layer("active", "relu"),
        layer("pool_max", "max_pool2d", "active", padding=1, **ceil),
        layer("pool_avg", "avg_pool2d", "active", count_include_pad=False, padding=1, **ceil),
        layer("squeeze", "global_avg_pool2d", "active", keep_dims=True),
        layer("excite", "conv2d", filters=8, kernel_size=1),
        layer("gate", "hard_sigmoid"),
        layer("pools", "add", "pool_max", "pool_avg"),
        layer("scaled", "multiply", "gate", "pools"),
        layer("dilated", "conv2d", filters=6, kernel_size=2, dilation=2, stride=2, padding="same"),
        layer("leaky", "leaky_relu", negative_slope=0.1),
        layer("drop", "dropout", rate=0.5, scaling="at_inference"),
        layer("flatten", "flatten"),
        layer("logits", "dense", units=5, bias_init="zeros", weight_init="xavier_uniform"),
    ]
    return network(layers, (3, 11, 12), "branching", title="A network with branches")


# Where the slope of an activation jumps, and one place on each side.
CORNERS = (-7.0, -3.0, -1.0, 0.0, 2.0, 3.0, 5.0, 6.0, 7.0)


def corners() -> Graph:
    """What has corners, side by side, on an image of `CORNERS`, four times each.

    The gradient of `relu_in.bias` are the slopes of the ReLU there, and so on. The values come to
    the pools in windows where several are equal.
    """
    branches: dict[str, dict[str, Any]] = {
        "relu": {"type": "relu"},
        "relu6": {"type": "relu6"},
        "leaky": {"type": "leaky_relu", "negative_slope": 0.25},
        "sigmoid": {"type": "hard_sigmoid"},
        "swish": {"type": "hard_swish"},
        "pool": {"type": "max_pool2d", "kernel_size": 3, "stride": 2, "rounding": "ceil"},
        "padded": {"type": "max_pool2d", "kernel_size": 3, "stride": 2, "padding": [0, 1, 1, 0]},
    }
    layers = []
    for name, fields in branches.items():
        layers += [
            layer(f"{name}_in", "scale", "input", bias=True, bias_init="zeros"),
            layer(f"{name}_map", "reshape", shape=[1, 6, 6]),
            layer(name, **fields),
            layer(f"{name}_out", "flatten"),
        ]
    layers.append(layer("all", "concat", *(f"{name}_out" for name in branches)))
    return network(layers, (4 * len(CORNERS), 1, 1), "corners")


def corner_slopes(backend: Any) -> dict[str, np.ndarray]:
    """The slopes at corners in float64, by branch."""
    graph = corners()
    build = getattr(backend, "build_for_verification", lambda graph, dtype: backend.build(graph))
    model = build(graph, "float64")
    backend.load_weights(graph, model, initial_weights(graph, 0))
    images = np.resize(CORNERS, (1, *graph.input_shape))
    shape = infer_shapes(graph).of(graph.output)
    found = backend.gradients(graph, model, images, [np.ones((1, *shape))])
    return {
        name.removesuffix("_in.bias"): slopes
        for name, slopes in found.items()
        if name.endswith("_in.bias")
    }


def unet(depth: int = 3) -> Graph:
    """An encoder and a decoder with lines across: nested branches over many ranks."""
    layers = []
    for level in range(depth):
        layers += [
            layer(f"down{level}.conv", "conv2d", filters=8 << level, kernel_size=3, padding=1),
            layer(f"down{level}.relu", "relu"),
            layer(f"pool{level}", "max_pool2d", kernel_size=2),
        ]
    layers.append(layer("bottom", "conv2d", filters=8 << depth, kernel_size=3, padding=1))
    for level in reversed(range(depth)):
        layers += [
            layer(f"up{level}.up", "conv2d_transpose", filters=8 << level, kernel_size=2, stride=2),
            layer(f"up{level}.join", "concat", f"up{level}.up", f"down{level}.relu"),
            layer(f"up{level}.conv", "conv2d", filters=8 << level, kernel_size=3, padding=1),
            layer(f"up{level}.relu", "relu"),
        ]
    layers.append(layer("logits", "conv2d", filters=2, kernel_size=1))
    return network(layers, (3, 32, 32), "unet", title="A small U-Net")


def chain(count: int) -> Graph:
    """So many layers in blocks of six: convolutions with ReLUs behind them."""
    conv = {"filters": 4, "kernel_size": 3, "padding": 1}
    pairs = [
        (
            layer(f"block{i // 3}.conv{i}", "conv2d", **conv),
            layer(f"block{i // 3}.relu{i}", "relu"),
        )
        for i in range(count // 2)
    ]
    return parsed([one for pair in pairs for one in pair])


def heads(norms: bool = True) -> Graph:
    """Blocks, two auxiliary heads and a third auxiliary output on a layer that others read."""
    norm = [("norm", {"type": "batch_norm", "eps": 1.0e-3, "decay": 0.9})] if norms else []
    conv = {"type": "conv2d", "kernel_size": 3, "padding": 1, "filters": 6, "bias": not norms}

    def block(name: str, source: str) -> list[dict[str, Any]]:
        inside = [("conv", conv), *norm, ("relu", {"type": "relu"})]
        layers = [
            layer(f"{name}.{part}.{inner}", **fields)
            for part in ("first", "second")
            for inner, fields in inside
        ]
        layers[0]["inputs"] = [source]
        return [*layers, layer(f"{name}.add", "add", layers[-1]["name"], source)]

    layers = [
        layer("stem.conv", **conv),
        layer("stem.relu", "relu"),
        *block("body.block1", "stem.relu"),
        layer("aux1.pool", "global_avg_pool2d", "body.block1.add"),
        layer("aux1.fc", "dense", units=5),
        *block("body.block2", "body.block1.add"),
        layer("aux2.conv", "conv2d", "body.block2.add", filters=4, kernel_size=1, bias=not norms),
        *(layer(f"aux2.{name}", **fields) for name, fields in norm),
        layer("aux2.relu", "relu"),
        layer("aux2.flatten", "flatten"),
        layer("aux2.fc", "dense", units=5),
        *block("body.block3", "body.block2.add"),
        *block("body.block4", "body.block3.add"),
        layer("pool", "global_avg_pool2d"),
        layer("early", "dense", units=5),
        layer("relu", "relu"),
        layer("fc", "dense", units=5),
    ]
    auxiliary = [
        {"layer": "aux1.fc", "loss_weight": 0.3},
        {"layer": "aux2.fc", "loss_weight": 0.5},
        {"layer": "early"},
    ]
    defaults = {"weight_init": "kaiming_normal", "bias_init": LIVELY["bias_init"]}
    return network(layers, (3, 9, 9), "heads", auxiliary=auxiliary, defaults=defaults)


def ruff(folder: Path, sources: Mapping[str, str]) -> str:
    """What ruff's formatter and linter, without any configuration, find in sources by name."""
    for name, text in sources.items():
        file = folder / f"net_{name.replace('-', '_')}.py"  # no module of that name exists
        file.write_text(text, encoding="utf-8")
    for command in (["format", "--diff"], ["check", "--extend-select=I"]):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", "."],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if run.returncode != 0:
            return run.stdout + run.stderr
    return ""


def sgd_network() -> Graph:
    """What five steps of SGD are compared on: normalisations, groups, pools and no dropout."""
    lrn = {"alpha": 0.1, "beta": 0.75, "k": 2, "alpha_mode": "sum"}
    layers = [
        layer("conv1", "conv2d", filters=8, kernel_size=3),
        layer("norm1", "batch_norm", eps=1.0e-3, decay=0.9),
        layer("relu1", "relu"),
        layer("response1", "local_response_norm", size=5, **lrn),
        layer("pool1", "max_pool2d", kernel_size=3, stride=2),
        layer("conv2", "conv2d", filters=6, kernel_size=3, padding=1, groups=2),
        layer("norm2", "batch_norm", eps=1.0e-3, decay=0.9, running_variance="biased"),
        layer("relu2", "relu"),
        layer("still", "conv2d", filters=6, kernel_size=1, trainable=False),
        layer("norm3", "group_norm", groups=2, eps=1.0e-3),
        layer("up", "conv2d_transpose", filters=4, kernel_size=3, stride=2, groups=2, padding=1),
        layer("norm4", "layer_norm", eps=1.0e-3),
        layer("factor", "scale"),
        layer("larger", "upsample2d", scale=2, mode="bilinear"),
        layer("active", "gelu"),
        layer("pool2", "global_avg_pool2d"),
        layer("logits", "dense", units=5),
    ]
    return network(layers, (3, 9, 9), "sgd", defaults={"weight_init": "kaiming_normal"})


def recipe(momentum: float = 0.9) -> Recipe:
    """Momentum, coupled decay, and multipliers as Caffe's: biases twice as fast, no decay."""
    return Recipe.model_validate(
        {
            "epochs": 1,
            "batch_size": 8,
            "optimizer": {
                "type": "sgd",
                "learning_rate": 0.05,
                "momentum": momentum,
                "weight_decay": 0.01,
            },
            "parameters": [
                {"match": "*.bias", "learning_rate": 2.0, "weight_decay": 0.0},
                {"match": "norm*.weight", "weight_decay": 0.0},
                {"match": "conv2.*", "learning_rate": 0.5},
            ],
        }
    )
