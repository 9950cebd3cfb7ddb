"""What is kept for the backward pass, against the tensors that PyTorch's hooks are given.

Every storage counts once, however many layers keep a tensor in it; parameters and buffers do not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import EXAMPLES, branching, example_network, heads, layer, network
from networks import sgd_network as sgd

import archspec
from archspec import catalog
from archspec.backends.torch.emit import attributes
from archspec.graph import Graph
from archspec.layers.base import Example

DATA = Path(__file__).parents[1] / "data"
ZOO: dict[str, Any] = json.loads((DATA / "zoo.json").read_text())
SMALL = {name: row for name, row in ZOO.items() if name != "_note" and "verify" in row}
# A spec that has errors is not built: the paper's own input of 224.
BUILT = [name for name in catalog.shipped() if name != "alexnet-224"]


def measured(graph: Graph, batch: int, device: str = "cpu") -> Mapping[str, int]:
    """The bytes that each layer keeps and no layer before it, while the model is in training."""
    with torch.device(device):
        model = archspec.build(graph, backend="torch").train()
        images = torch.zeros(batch, *graph.input_shape)
    kept: dict[str, int] = {}
    # The tensors stay alive, so that no two storages have the same number.
    tensors = [*model.parameters(), *model.buffers()]
    seen = {tensor.untyped_storage()._cdata for tensor in tensors}
    now = ""

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        tensors.append(tensor)
        if storage._cdata not in seen and storage.nbytes():
            seen.add(storage._cdata)
            kept[now] = kept.get(now, 0) + storage.nbytes()
        return tensor

    def begin(name: str) -> Callable[..., None]:
        def hook(module: Any, inputs: Any) -> None:
            nonlocal now
            now = name

        return hook

    for name, path in attributes(graph).items():
        model.get_submodule(path).register_forward_pre_hook(begin(name))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(images)
    return kept


def computed(graph: Graph, batch: int) -> Mapping[str, int]:
    found = archspec.analyze(graph, batch=batch).memory
    assert sum(x.saved_bytes for x in found.layers) == found.saved
    return {x.name: x.saved_bytes for x in found.layers if x.saved_bytes}


def test_alexnet_of_torchvision() -> None:
    known = json.loads((DATA / "alexnet.json").read_text())["saved_for_backward"]
    assert known["network"].startswith("torchvision alexnet @224, batch 16")
    graph = archspec.load("alexnet-torchvision")
    assert graph.input_shape == (3, 224, 224)
    assert archspec.analyze(graph, batch=16).memory.saved == known["bytes"]
    assert sum(measured(graph, 16, "meta").values()) == known["bytes"]


@pytest.mark.parametrize(
    ("kind", "example"), [x[1:] for x in EXAMPLES], ids=[x[0] for x in EXAMPLES]
)
def test_every_example_of_every_layer(kind: str, example: Example) -> None:
    graph = example_network(kind, example)
    assert computed(graph, 2) == measured(graph, 2)


@pytest.mark.parametrize("name", SMALL)
def test_one_of_each_family_at_a_small_size(name: str) -> None:
    row = SMALL[name]
    graph = archspec.load(name, input=tuple(row["verify"]), **row.get("variables", {}))
    assert computed(graph, 2) == measured(graph, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT)
def test_every_shipped_spec_at_full_size(name: str) -> None:
    """On PyTorch's meta device, which has shapes and storages alone: no memory, and little time."""
    graph = archspec.load(name)
    assert computed(graph, 3) == measured(graph, 3, "meta")


@pytest.mark.parametrize("make", [branching, heads, sgd])
def test_branches_joins_heads_and_frozen_layers(make: Callable[[], Graph]) -> None:
    graph = make()
    assert computed(graph, 3) == measured(graph, 3)


AFFINE = {"eps": 1.0e-3}
LRN = {"size": 3, "alpha": 0.1, "beta": 0.75, "k": 1, "alpha_mode": "sum"}
WINDOW = {"kernel_size": 3, "stride": 1, "padding": 1}
# Layers that read any map, and give one whose sides 3 divides.
STEPS: list[tuple[str, dict[str, Any]]] = [
    ("conv2d", {"filters": 6, "kernel_size": 1}),
    ("conv2d", {"filters": 3, "kernel_size": 2, "padding": "same"}),
    ("conv2d", {"filters": 6, "kernel_size": 1, "trainable": False}),
    ("conv2d_transpose", {"filters": 6, **WINDOW}),
    ("relu", {}),
    ("relu6", {}),
    ("sigmoid", {}),
    ("hard_sigmoid", {}),
    ("gelu", {}),
    ("softmax", {}),
    ("batch_norm", {**AFFINE, "decay": 0.9}),
    ("batch_norm", {**AFFINE, "decay": 0.9, "running_variance": "biased", "affine": False}),
    ("batch_norm", {**AFFINE, "decay": 0.9, "trainable": False}),
    ("layer_norm", AFFINE),
    ("group_norm", {**AFFINE, "groups": 3}),
    ("local_response_norm", LRN),
    ("local_response_norm", {**LRN, "groups": 3}),
    ("channel_shuffle", {"groups": 3}),
    ("scale", {"bias": True}),
    ("scale", {"trainable": False}),
    ("dropout", {"rate": 0.5}),
    ("dropout", {"rate": 0.0}),
    ("dropout", {"rate": 0.0, "scaling": "at_inference"}),
    ("stochastic_depth", {"rate": 0.5}),
    ("max_pool2d", WINDOW),
    ("avg_pool2d", {**WINDOW, "count_include_pad": True}),
    ("avg_pool2d", {**WINDOW, "padding": [2, 0, 1, 1], "count_include_pad": False}),
    ("adaptive_avg_pool2d", {"output_size": 3}),
    ("adaptive_avg_pool2d", {"output_size": 1}),
    ("upsample2d", {"scale": 3}),
    ("zero_pad2d", {"padding": [1, 2, 0, 0]}),
    ("split", {"channels": [0, 3]}),
    ("permute", {"order": ["height", "width", "channels"]}),
    ("permute", {"order": ["width", "channels", "height"]}),
    ("permute", {"order": ["channels", "width", "height"]}),
    ("add", {}),
    ("multiply", {}),
    ("concat", {}),
    ("reshape", {}),
]


@settings(max_examples=150, deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 99)), min_size=1, max_size=7),
)
def test_random_networks(trained: bool, steps: list[tuple[tuple[str, Any], int]]) -> None:
    """Branches, joins, views, frozen layers and layouts in any order."""
    layers = [layer("l0", "conv2d", "input", filters=6, kernel_size=1, trainable=trained)]
    shapes: list[tuple[int, ...]] = [(6, 6, 6)]
    for (kind, fields), draw in steps:
        source, shape = f"l{len(layers) - 1}", shapes[-1]
        if max(shape) > 54:
            break
        reads = [source]
        if kind in ("add", "multiply", "concat"):
            alike = [i for i, other in enumerate(shapes) if other == shape]
            reads.append(f"l{alike[draw % len(alike)]}")
        if kind == "reshape":
            fields = {"shape": [shape[1], shape[2], shape[0]]}
        if shape[0] % fields.get("groups", 1) or (kind == "split" and shape[0] < 3):
            continue
        layers.append(layer(f"l{len(layers)}", kind, *reads, **fields))
        found = archspec.analyze(network(layers, (2, 6, 6)))
        shapes.append(found.by_name[f"l{len(layers) - 1}"].output_shape)
    layers += [layer("flat", "flatten"), layer("fc", "dense", units=2)]
    graph = network(layers, (2, 6, 6))
    assert computed(graph, 2) == measured(graph, 2)
