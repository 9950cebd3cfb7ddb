"""Which tensor goes where: published names, names of frameworks, shapes, and what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_files import everything, random_weights, same, small_alexnet
from networks import layer, network
from safetensors.numpy import save_file

import archspec
from archspec import weights
from archspec.backends.keras.emit import layer_names
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.weights import matching
from archspec.weights.foreign import CANONICAL, Foreign, Tensor
from archspec.weights.loaded import Loaded
from archspec.weights.state_dict import natural
from archspec.weights.store import tensor_shapes

Arrays = Mapping[str, np.ndarray]
FILE = Path("file.pth")


def match(graph: Graph, arrays: Arrays, *, ordered: bool = True, **options: Any) -> Loaded:
    """The arrays as a state dict; in the order of their names unless `ordered`."""
    names = list(arrays) if ordered else sorted(arrays, key=natural)
    tensors = tuple(
        Tensor(name, *name.rpartition(".")[::2], arrays[name], CANONICAL) for name in names
    )
    return matching.match(
        Foreign("test", tensors, "CHW", "RGB", ordered=ordered), graph, FILE, **options
    )


def refusal(graph: Graph, arrays: Arrays, **options: Any) -> str:
    with pytest.raises(ArchspecError) as caught:
        match(graph, arrays, **options).require_complete()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def renamed(arrays: Arrays, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The arrays with the names of layers replaced."""
    return {
        f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": array
        for name, array in arrays.items()
    }


def numbered(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """An array a name, all of whose numbers are the position of the name."""
    return {
        name: np.broadcast_to(np.float32(number), shape)
        for number, (name, shape) in enumerate(shapes.items())
    }


# Published names. What stands in the files of torchvision 0.21, by its own construction.


def torchvision_vgg(plan: Iterable[int | str], norm: bool) -> list[str]:
    """The layers with weights in `vgg*` of torchvision, in the order of its state dict."""
    names, position = [], 0
    for step in plan:
        if step == "M":
            position += 1
            continue
        names.append(f"features.{position}")
        names += [f"features.{position + 1}"] if norm else []
        position += 3 if norm else 2
    return [*names, "classifier.0", "classifier.3", "classifier.6"]


VGG = {
    "vgg11": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg16": [
        *[64, 64, "M", 128, 128, "M", 256, 256, 256, "M"],
        *[512, 512, 512, "M", 512, 512, 512, "M"],
    ],
}  # fmt: skip


def torchvision_resnet(blocks: tuple[int, ...], convs: int) -> list[str]:
    names = ["conv1", "bn1"]
    for stage, count in enumerate(blocks, 1):
        for block in range(count):
            prefix = f"layer{stage}.{block}"
            for conv in range(1, convs + 1):
                names += [f"{prefix}.conv{conv}", f"{prefix}.bn{conv}"]
            if block == 0 and (stage > 1 or convs == 3):
                names += [f"{prefix}.downsample.0", f"{prefix}.downsample.1"]
    return [*names, "fc"]


PUBLISHED = {
    "alexnet-torchvision": [
        *(f"features.{n}" for n in (0, 3, 6, 8, 10)),
        *(f"classifier.{n}" for n in (1, 4, 6)),
    ],
    "vgg11": torchvision_vgg(VGG["vgg11"], norm=False),
    "vgg16-bn": torchvision_vgg(VGG["vgg16"], norm=True),
    "resnet18": torchvision_resnet((2, 2, 2, 2), 2),
    "resnet50": torchvision_resnet((3, 4, 6, 3), 3),
}  # fmt: skip


@pytest.mark.parametrize("ordered", [True, False], ids=["state dict", "safetensors"])
@pytest.mark.parametrize("spec", PUBLISHED)
def test_names_of_torchvision(spec: str, ordered: bool) -> None:
    size = None if spec.startswith("alexnet") else "3x32x32"
    graph = archspec.load(spec, input=size, classes=10)
    shapes = tensor_shapes(graph)
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in shapes))
    expected = numbered(shapes)
    file = renamed(expected, dict(zip(layers, PUBLISHED[spec], strict=True)))
    found = match(graph, file, ordered=ordered)
    assert (found.missing, found.extra) == ((), ())
    for name, array in expected.items():
        assert found.weights[name].shape == array.shape
        assert found.weights[name].flat[0] == array.flat[0], name
    assert {m.how for m in found.matches} == {"order and shape" if ordered else "shape"}


# Names of frameworks.


@pytest.mark.parametrize("graph", [small_alexnet(), everything()], ids=["alexnet", "everything"])
def test_canonical_names_in_any_order(graph: Graph) -> None:
    arrays = random_weights(graph)
    backwards = dict(reversed(arrays.items()))
    found = match(graph, backwards)
    same(found.weights, arrays)
    assert list(found.weights) == list(arrays)
    assert {m.how for m in found.matches} == {"name"}


def test_names_of_keras_layers() -> None:
    graph = everything()
    arrays = random_weights(graph)
    found = match(graph, renamed(arrays, layer_names(graph)))
    same(found.weights, arrays)
    assert {m.how for m in found.matches} == {"name"}


def test_paths_of_the_emitted_module() -> None:
    """A layer called as one of nn.Module's own attributes has another name there."""
    from archspec.backends.torch.emit import attributes

    graph = network([layer("train", "conv2d", filters=4, kernel_size=3), layer("relu", "relu")])
    arrays = random_weights(graph)
    (path,) = {attributes(graph)["train"]}
    assert path != "train"
    same(match(graph, renamed(arrays, {"train": path})).weights, arrays)


@pytest.mark.parametrize(
    "names", [("model.first", "model.second"), ("ema.first", "ema.second"), ("net",)]
)
def test_a_network_whose_names_look_like_others(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Neither a block nor a layer is taken for what wraps the names, or for averaged copies."""
    graph = network([layer(name, "conv2d", filters=4, kernel_size=3) for name in names])
    arrays = random_weights(graph)
    save_file(arrays, tmp_path / "net.safetensors")
    found = weights.load(tmp_path / "net.safetensors", graph)
    same(found.weights, arrays)
    assert not [n for n in found.notes if "Left out" in n]
    assert bool([n for n in found.notes if "taken off" in n]) is (names[0] == "model.first")


# By order and shape.


def strange(graph: Graph) -> dict[str, str]:
    layers = dict.fromkeys(name.rpartition(".")[0] for name in tensor_shapes(graph))
    return {name: f"x{number}" for number, name in enumerate(layers)}


def test_equally_shaped_layers_are_said() -> None:
    graph = network(
        [layer(f"conv{i}", "conv2d", filters=3, kernel_size=3, padding=1) for i in range(3)]
    )
    arrays = random_weights(graph)
    found = match(graph, renamed(arrays, strange(graph)))
    same(found.weights, arrays)
    assert found.notes == (
        "Equally shaped, so that their order in the file decided: `conv0`, `conv1`, `conv2`.",
    )


def test_an_equally_shaped_layer_too_many_is_refused() -> None:
    graph = network(
        [layer(f"conv{i}", "conv2d", filters=3, kernel_size=3, padding=1) for i in range(2)]
    )
    arrays = renamed(random_weights(graph), strange(graph))
    extra = {f"y.{role}": arrays[f"x0.{role}"] for role in ("weight", "bias")}
    for ordered in (True, False):
        message = refusal(graph, arrays | extra, ordered=ordered)
        assert "`x0`, `x1`, `y` may be `conv0`, `conv1`, and names and order do not tell" in message
    del arrays["x1.weight"], arrays["x1.bias"]
    assert "may be `conv0`, `conv1`" in refusal(graph, arrays)


def test_a_layer_between_that_the_network_has_not() -> None:
    graph = small_alexnet()
    arrays = renamed(random_weights(graph), strange(graph))
    extra = {"norm.weight": np.zeros(3, "f4"), "norm.bias": np.zeros(3, "f4")}
    items = list(arrays.items())
    found = match(graph, dict([*items[:4], *extra.items(), *items[4:]]))
    assert found.extra == ("norm.weight", "norm.bias")
    same(found.weights, random_weights(graph))


def test_layers_in_another_order_are_found_by_shape() -> None:
    graph = network(
        [
            layer("first", "conv2d", filters=4, kernel_size=3),
            layer("second", "conv2d", filters=5, kernel_size=3),
            layer("third", "conv2d", filters=6, kernel_size=3),
        ]
    )
    arrays = renamed(random_weights(graph), strange(graph))
    found = match(graph, dict(reversed(arrays.items())))
    same(found.weights, random_weights(graph))
    assert {m.how for m in found.matches} == {"shape"}


def test_names_help_where_only_some_are_known() -> None:
    """A head under another name is found between layers that have their names."""
    graph = small_alexnet()
    arrays = random_weights(graph)
    file = {name.replace("fc8.", "head."): array for name, array in arrays.items()}
    found = match(graph, file)
    same(found.weights, arrays)
    assert {m.name: m.how for m in found.matches}["fc8.weight"] == "order and shape"


def test_names_that_agree_by_accident_are_not_trusted() -> None:
    graph = small_alexnet()
    layers = list(strange(graph))
    shifted = dict(zip(layers, ["a", "conv1", "b", "c", "d"], strict=True))
    arrays = random_weights(graph)
    same(match(graph, renamed(arrays, shifted)).weights, arrays)


# What does not fit.


def test_another_number_of_classes() -> None:
    graph, arrays = small_alexnet(classes=4), random_weights(small_alexnet(classes=7))
    expected = (
        "file.pth does not fit small: fc8.weight: the file has 7 x 10, the network 4 x 10; "
        "--skip fc8 leaves it as the spec initialises it, --set classes=7 fits"
    )
    assert refusal(graph, arrays) == expected
    strange_names = renamed(arrays, strange(graph))
    as_x4 = expected.replace("7 x 10,", "7 x 10 (as x4.weight),")
    for ordered in (True, False):
        assert refusal(graph, strange_names, ordered=ordered) == as_x4
        found = match(graph, strange_names, ordered=ordered, skip=["fc8"])
        assert found.skipped == ("fc8.weight", "fc8.bias")
        assert (found.missing, len(found.weights)) == ((), 8)
    assert match(graph, arrays, skip=["fc8"]).extra == ()


def test_a_wrong_shape_in_the_middle() -> None:
    arrays = random_weights(small_alexnet())
    arrays["conv2.weight"] = arrays["conv2.weight"][:, :, :2]
    message = refusal(small_alexnet(), arrays)
    assert "conv2.weight: the file has 6 x 4 x 2 x 3, the network 6 x 4 x 3 x 3" in message
    assert "--skip conv2" in message
    assert "--set" not in message


def test_missing_layers_are_listed_with_what_to_do() -> None:
    arrays = random_weights(small_alexnet())
    del arrays["fc7.weight"], arrays["fc7.bias"], arrays["conv1.bias"]
    found = match(small_alexnet(), arrays)
    assert found.missing == ("conv1.bias", "fc7.weight", "fc7.bias")
    assert refusal(small_alexnet(), arrays) == (
        "file.pth has no `conv1.bias`, `fc7.weight`, `fc7.bias`; --skip conv1 --skip fc7 leaves "
        "them as the spec initialises them"
    )


def test_a_bias_that_the_network_has_not_is_left_over() -> None:
    graph = small_alexnet(bias=False)
    arrays = random_weights(small_alexnet())
    found = match(graph, arrays)
    assert (found.missing, found.extra) == ((), ("conv1.bias",))


def test_weights_of_another_network() -> None:
    message = refusal(small_alexnet(), random_weights(everything()))
    assert "has no layer that fits small: it begins with stem.conv.weight 6 x 3 x 3 x 3" in message
    assert "`archspec weights inspect file.pth`" in message
    half = numbered(
        {"a.weight": (8, 3, 3, 3), "a.bias": (8,), "b.weight": (2, 2), "c.weight": (9,)}
    )
    assert "has 1 layers that fit the 5 of small" in refusal(small_alexnet(), half)


def test_a_network_without_weights() -> None:
    graph = network([layer("pool", "max_pool2d", kernel_size=2)])
    assert "has no weights, so that no file fits" in refusal(graph, numbered({"a.weight": (1,)}))


# What is skipped.


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["fc8"], ["fc8.weight", "fc8.bias"]),
        (["fc?.bias"], ["fc6.bias", "fc7.bias", "fc8.bias"]),
        (["conv*"], ["conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"]),
        (["fc8", "fc8.weight"], ["fc8.weight", "fc8.bias"]),
    ],
)
def test_patterns_of_skip(patterns: list[str], expected: list[str]) -> None:
    graph = small_alexnet()
    found = match(graph, random_weights(graph), skip=patterns)
    assert list(found.skipped) == expected
    assert set(found.weights) == set(tensor_shapes(graph)) - set(expected)
    assert found.missing == ()


def test_a_block_is_skipped() -> None:
    graph = everything()
    found = match(graph, random_weights(graph), skip=["stem"])
    assert found.skipped[:2] == ("stem.conv.weight", "stem.norm.weight")
    assert len(found.skipped) == 5


def test_a_pattern_that_means_nothing() -> None:
    graph = small_alexnet()
    message = refusal(graph, random_weights(graph), skip=["fc88"])
    assert message == "--skip fc88: small has no weights of that name; did you mean `fc8`?"
    assert "the layers with weights are `conv1`, `conv2`" in refusal(
        graph, random_weights(graph), skip=["relu1x"]
    )


def test_everything_is_skipped() -> None:
    graph = small_alexnet()
    found = match(graph, random_weights(graph), skip=["*"])
    assert (found.weights, found.matches, found.missing) == ({}, (), ())
