"""Layers, networks and titles called whatever a spec may call them."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import heads, layer, network, ruff

from archspec import verification
from archspec.backends import get_backend
from archspec.backends.keras.emit import MODULES as KERAS_MODULES
from archspec.backends.source import definitions
from archspec.backends.torch.emit import MODULES as TORCH_MODULES
from archspec.backends.torch.emit import RESERVED, attributes
from archspec.graph import Graph

BACKENDS = ("keras", "numpy", "torch")

AWKWARD = """
forward type train x self layer layers ops torch nn keras inputs image main data_dir weight
bias name math kwargs super print output model F np w out super_ _ _x _modules _parameters _apply
_modules_ forward_ forward__ state_dict reset_parameters named_parameters call build match case soft
Sides initializers trainable dtype losses metrics conv1_pad
"""


def kept(names: list[str], kinds: dict[str, dict[str, Any]] | None = None) -> Graph:
    """A chain of layers with these names, each of which another layer reads once more."""
    kinds = kinds or {}
    layers = [
        layer(name, **kinds.get(name, {"type": "conv2d", "filters": 3, "kernel_size": 1}))
        for name in names
    ]
    return network([*layers, layer("every", "concat", *names)])


def test_layers_may_be_called_what_the_source_uses_itself(tmp_path: Path) -> None:
    graph = kept([*AWKWARD.split(), "a" * 50])
    found = verification.verify(graph)
    assert found.equal, (found.outputs, found.gradients)
    assert ruff(tmp_path, {b: get_backend(b).emit(graph) for b in BACKENDS}) == ""


def test_layers_may_be_called_as_helpers_and_builtins(tmp_path: Path) -> None:
    helpers = {*definitions(TORCH_MODULES), *definitions(KERAS_MODULES)}
    names = sorted(helpers | {name for name in dir(builtins) if name[0].isalpha()})
    names = [name for name in names if name not in ("True", "False", "None", "input")]
    lrn = {"type": "local_response_norm", "size": 3, "alpha": 1, "beta": 1, "k": 1}
    kinds = {
        "gelu": {"type": "gelu"},
        "gelu_tanh": {"type": "gelu", "approximate": "tanh"},
        "hard_sigmoid": {"type": "hard_sigmoid"},
        "LeakyReLU": {"type": "leaky_relu", "negative_slope": 0.1},
        "LocalResponseNorm": {**lrn, "alpha_mode": "sum"},
        "Split": {"type": "split", "channels": [0, 3]},
        "DropoutAtInference": {"type": "dropout", "rate": 0.5, "scaling": "at_inference"},
        "TowerConv2D": {"type": "conv2d", "filters": 3, "kernel_size": 1, "groups": 3},
    }
    others = {name: {"type": "tanh"} for name in names if name not in kinds}
    graph = kept(names, {**others, **kinds})
    found = verification.verify(graph)
    assert found.equal, (found.outputs, found.gradients)
    assert ruff(tmp_path, {b: get_backend(b).emit(graph) for b in BACKENDS}) == ""


def test_attributes_of_modules_are_reserved() -> None:
    public = {name for name in dir(torch.nn.Module()) if not name.startswith("_")}
    assert public <= RESERVED, sorted(public - RESERVED)


def test_a_layer_keeps_its_name_where_it_can() -> None:
    names = ["conv1", "forward", "forward_", "_modules", "x"]
    assert attributes(kept(names)) == {
        "conv1": "conv1",
        "forward": "forward_",
        "forward_": "forward__",
        "_modules": "_modules_",
        "x": "x",
        "every": "every",
    }


DOTTED = """
a a.b a.b_c a_b.c a.b.c a_b_c a.weight a.b.bias forward.x train.forward.conv block block.block
_x.y x.self input_.image modules.type a.b.c.d.e.f stage1.block1.conv1 stage1_block1.conv1
"""


def test_names_with_dots_never_meet(tmp_path: Path) -> None:
    graph = kept(DOTTED.split())
    found = verification.verify(graph)
    assert found.equal, (found.outputs, found.gradients)
    sources = {b: get_backend(b).emit(graph) for b in BACKENDS}
    for length in (20, 40, 60, 80, 99):
        long = kept([f"{letter * length}.{letter * length}.conv" for letter in "ab"])
        sources |= {f"{b}_{length}": get_backend(b).emit(long) for b in ("keras", "torch")}
    assert ruff(tmp_path, sources) == ""


def test_modules_have_the_paths_that_their_names_are() -> None:
    found = attributes(kept(["a.b_c", "a_b.c", "stage1.block1.conv1", "a.b", "a.b.c", "x.train.y"]))
    assert found == {
        "a.b_c": "a.b_c",
        "a_b.c": "a_b.c",
        "stage1.block1.conv1": "stage1.block1.conv1",
        "a.b": "a.b",
        "a.b.c": "a.b_.c",
        "x.train.y": "x.train_.y",
        "every": "every",
    }
    graph = heads()
    model = get_backend("torch").build(graph)
    keys = {key for key in model.state_dict() if not key.endswith("num_batches_tracked")}
    assert keys == get_backend("torch").save_weights(graph, model).keys()
    assert "body.block1.first.conv.weight" in keys


@pytest.mark.parametrize("backend", ["keras", "torch"])
def test_the_longest_names_are_laid_out_as_the_formatter_does(backend: str, tmp_path: Path) -> None:
    sources = {}
    for length in (20, 30, 36, 40, 50, 60, 66, 75, 100):
        names = [letter * length for letter in "ab"]
        graph = kept(names, {names[1]: {"type": "gelu"}})
        sources[f"length_{length}"] = get_backend(backend).emit(graph)
    assert ruff(tmp_path, sources) == ""


TITLES = {
    "quotes": "The \"best\" 'net'",
    "triple": '"""\nimport os\nos.abort()\n"""',
    "backslash": "ends in a backslash \\",
    "escapes": "\\n \\x41 \\N{BULLET} {braces} %s {0!r}",
    "newlines": "one\ntwo\r\nthree\u2028four\x0bfive",
    "unicode": "Neuronale Netze für Ökonomen: 神经网络 \U0001f9e0 e\u0301",
    "invisible": "\u202eright to left\u200b\u0007",
    "blank": "  ",
    "edges": "  spaced  ",
    "long": "A " + "very " * 40 + "long title",
    "wide": "x" * 300,
    "code": "__import__('os').abort()",
    "comment": "# noqa: F401",
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_titles_are_only_text(backend: str, tmp_path: Path) -> None:
    layers = [layer("conv1", "conv2d", filters=2, kernel_size=3), layer("relu1", "relu")]
    sources = {}
    for name, title in TITLES.items():
        graph = network(layers, name=name, title=title)
        source = get_backend(backend).emit(graph)
        sources[name] = source
        plain = get_backend(backend).emit(network(layers, name=name))
        # The code is the same: the title is in nothing but the docstring and the class's name.
        assert ast.dump(stripped(source)) == ast.dump(stripped(plain)), name
        assert all(len(line) <= 120 for line in source.splitlines())
    assert ruff(tmp_path, sources) == ""
    built = get_backend(backend)
    built.require()
    assert built.build(network(layers, name="triple", title=TITLES["triple"])) is not None


def stripped(source: str) -> ast.Module:
    """The module without its docstring, every class of the network called the same."""
    tree = ast.parse(source)
    assert ast.get_docstring(tree)
    tree.body.pop(0)
    last = [node for node in tree.body if isinstance(node, ast.ClassDef)][-1].name
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == last:
            node.name = "Network"
        elif isinstance(node, ast.Name) and node.id == last:
            node.id = "Network"
    return tree


NETWORKS = {
    "print": "Print",
    "conv2d": "Conv2d",
    "local-response-norm": "LocalResponseNormNetwork",
    "local_response_norm": "LocalResponseNormNetwork",
    "alexnet-224": "Alexnet224",
    "exception": "ExceptionNetwork",
    "none": "NoneNetwork",
    "true": "TrueNetwork",
    "keras": "Keras",
    "torch": "Torch",
    "A-1": "A1",
    "x_": "X",
}


TAKEN = """
f F nn np callable sides ops layers main network self super math zlib padded-conv2d PaddedMaxPool2D
generator normal Array object type
"""


def everything(name: str, title: str) -> Graph:
    lrn = {"size": 3, "alpha": 0.1, "beta": 0.75, "k": 2, "alpha_mode": "sum"}
    layers = [
        layer("conv", "conv2d", filters=4, kernel_size=3, padding=[0, 1, 1, 2]),
        layer("norm", "local_response_norm", **lrn),
        layer("pool", "max_pool2d", kernel_size=3, stride=2, padding=[0, 1, 2, 0]),
        layer("gelu", "gelu"),
    ]
    return network(layers, name=name, title=title, defaults={"rounding": "floor"})


@pytest.mark.parametrize(("name", "expected"), NETWORKS.items())
def test_the_class_is_named_after_the_network(name: str, expected: str) -> None:
    graph = everything(name, "a title")
    assert get_backend("torch").class_name(graph) == expected


def test_the_class_takes_its_capitals_from_the_title() -> None:
    names = {"alexnet-224": "AlexNet with 224 pixels", "resnet_50": "A RESNET", "vgg": "the VGG"}
    found = [get_backend("keras").class_name(everything(*pair)) for pair in names.items()]
    assert found == ["AlexNet224", "RESNET50", "VGG"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_networks_may_be_called_what_the_source_uses_itself(backend: str, tmp_path: Path) -> None:
    target = get_backend(backend)
    target.require()
    sources = {}
    for name in [*NETWORKS, *TAKEN.split()]:
        graph = everything(name, f"{name.upper()} {name} Callable Sides F LocalResponseNorm")
        sources[name] = target.emit(graph)
        model = target.build(graph)
        assert type(model).__name__ == target.class_name(graph)
    assert ruff(tmp_path, sources) == ""
