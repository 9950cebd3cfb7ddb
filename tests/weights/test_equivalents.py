"""Layers that compute the same in another form, and files in another order than the network's."""

from __future__ import annotations

import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_files import random_weights, same
from models import images, keras, torch_outputs
from networks import layer, network
from torch import nn

import archspec
from archspec import weights
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.weights.aliases import alias
from archspec.weights.alignment import align

NORM = {"eps": 1e-5, "decay": 0.9}


def lively(net: nn.Module) -> nn.Module:
    """Batch normalisations that do something."""
    torch.manual_seed(4)
    for one in net.modules():
        if isinstance(one, nn.BatchNorm2d):
            nn.init.uniform_(one.running_var, 0.5, 1.5)
            nn.init.normal_(one.running_mean)
            if one.affine:
                nn.init.uniform_(one.weight, 0.5, 1.5)
                nn.init.normal_(one.bias)
    return net.eval()


def outputs(net: nn.Module, graph: Graph) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = net.double()(torch.from_numpy(images(graph))).numpy()
    net.float()
    return found


def folding(affine: bool = True) -> Graph:
    """Two convolutions without bias and what normalises them."""
    return network(
        [
            layer("conv1", "conv2d", filters=4, kernel_size=3, bias=False),
            layer("norm1", "batch_norm", affine=affine, **NORM),
            layer("relu", "relu"),
            layer("conv2", "conv2d", filters=5, kernel_size=1, bias=False),
            layer("norm2", "batch_norm", affine=affine, **NORM),
        ],
        (3, 6, 6),
        "folding",
    )


def written(bias: bool, affine: bool = True) -> nn.Module:
    """The same in PyTorch."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=bias),
        nn.BatchNorm2d(4, affine=affine),
        nn.ReLU(),
        nn.Conv2d(4, 5, 1, bias=bias),
        nn.BatchNorm2d(5, affine=affine),
    )


def test_biases_go_into_the_means_behind(tmp_path: Path) -> None:
    graph, net = folding(), lively(written(bias=True))
    torch.save(net.state_dict(), tmp_path / "net.pth")
    found, loaded = torch_outputs(graph, tmp_path / "net.pth")
    np.testing.assert_allclose(found, outputs(net, graph), rtol=1e-5, atol=1e-6)
    assert not loaded.extra
    assert "biases for `conv1`, `conv2`" in " ".join(loaded.notes)
    mean = net[1].running_mean - net[0].bias.detach()
    np.testing.assert_allclose(loaded.weights["norm1.running_mean"], mean, rtol=1e-6)


def test_a_bias_with_nowhere_to_go_is_not_dropped(tmp_path: Path) -> None:
    """A ReLU stands between: the bias cannot be told from the mean any more."""
    graph = network(
        [
            layer("conv", "conv2d", filters=4, kernel_size=3, bias=False),
            layer("relu", "relu"),
            layer("norm", "batch_norm", **NORM),
        ],
        (3, 6, 6),
    )
    net = lively(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)))
    torch.save(net.state_dict(), tmp_path / "net.pth")
    loaded = weights.load(tmp_path / "net.pth", graph)
    assert loaded.missing == ("conv.weight",)
    assert loaded.extra == ("0.weight", "0.bias")


@pytest.mark.parametrize("read", ["by another layer", "as an output"])
def test_a_bias_that_others_see_stays_what_it_is(tmp_path: Path, read: str) -> None:
    """The mean behind it can only take it where nothing else reads what it was added to."""
    layers = [layer("first", "dense", "flat", units=4, bias=False), layer("norm", "batch_norm")]
    if read == "by another layer":
        layers += [layer("sum", "add", "first", "norm")]
        sections: dict[str, Any] = {}
    else:
        layers += [layer("last", "dense", units=4)]
        sections = {"auxiliary": [{"layer": "first", "loss_weight": 0.3}]}
    for one in layers:
        if one["type"] == "batch_norm":
            one.update(NORM)
    graph = network([layer("flat", "flatten"), *layers], (3, 2, 2), **sections)
    arrays = random_weights(graph)
    np.savez(tmp_path / "net.npz", **arrays, **{"first.bias": np.ones(4, "f4")})
    loaded = weights.load(tmp_path / "net.npz", graph)
    assert loaded.extra == ("first.bias",)
    same(loaded.weights, arrays)


def exported(net: nn.Module, graph: Graph, path: Path) -> Path:
    """As PyTorch exports by itself: normalisations folded into the convolutions before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(1, *graph.input_shape),), path, dynamo=False)
    return path


@pytest.mark.parametrize(("bias", "affine"), list(product([True, False], repeat=2)))
def test_what_an_exporter_folded_computes_the_same(
    tmp_path: Path, bias: bool, affine: bool
) -> None:
    graph, net = folding(affine), lively(written(bias, affine))
    path = exported(net, graph, tmp_path / "net.onnx")
    found, loaded = torch_outputs(graph, path)
    np.testing.assert_allclose(found, outputs(net, graph), rtol=1e-4, atol=1e-5)
    assert not loaded.extra
    assert "`norm1`, `norm2` folded into the layers before" in " ".join(loaded.notes)
    names = {f"{n}.{w}" for n in ("norm1", "norm2") for w in ("running_mean", "running_var")}
    assert names <= {match.name for match in loaded.matches}


def test_skipped_normalisations_stay_as_they_are(tmp_path: Path) -> None:
    graph, net = folding(), lively(written(bias=False))
    path = exported(net, graph, tmp_path / "net.onnx")
    loaded = weights.load(path, graph, skip=["norm*"])
    assert loaded.weights.keys() == {"conv1.weight", "conv2.weight"}
    assert len(loaded.extra) == 2


def test_normalisations_that_are_in_the_file_are_not_made_up(tmp_path: Path) -> None:
    """One of another size is wrong, and nothing that was folded away."""
    graph, net = folding(), lively(written(bias=True))
    state = net.state_dict()
    for key in ("weight", "bias", "running_mean", "running_var"):
        state[f"4.{key}"] = torch.ones(7)
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ArchspecError, match=r"norm2.weight: the file has 7"):
        weights.load(tmp_path / "net.pth", graph)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_another_eps_is_said(tmp_path: Path, ending: str) -> None:
    k = keras()
    model = k.Sequential(
        [
            k.Input((4, 4, 3)),
            k.layers.BatchNormalization(),
            k.layers.BatchNormalization(epsilon=1e-5),
        ]
    )
    model.save(tmp_path / f"net{ending}")
    norms = [layer(name, "batch_norm", **NORM) for name in ("one", "two")]
    (note,) = [
        note
        for note in weights.load(tmp_path / f"net{ending}", network(norms, (3, 4, 4))).notes
        if note.startswith("eps")
    ]
    assert note.startswith("eps: 0.001 in the file and 1e-05 here, of `one`:")


def test_another_eps_of_onnx_is_said(tmp_path: Path) -> None:
    graph = network([layer("norm", "batch_norm", **NORM)], (3, 4, 4))
    for eps in (1e-5, 2e-3):
        path = exported(nn.BatchNorm2d(3, eps=eps).eval(), graph, tmp_path / "net.onnx")
        said = [
            n for n in weights.load(path, graph).notes if n.startswith("eps: 0.002 in the file")
        ]
        assert bool(said) is (eps == 2e-3)
        without = weights.load(path, graph, skip=["norm"]).notes
        assert not [note for note in without if note.startswith("eps")]


def test_a_scale_of_its_own_behind_a_batch_norm(tmp_path: Path) -> None:
    """A spec as Caffe has it: statistics in one layer, weight and bias in the next."""
    graph = network(
        [
            layer("conv1", "conv2d", filters=4, kernel_size=3, bias=False),
            layer("norm1", "batch_norm", affine=False, **NORM),
            layer("scale1", "scale", bias=True),
            layer("relu", "relu"),
            layer("conv2", "conv2d", filters=5, kernel_size=1, bias=False),
            layer("norm2", "batch_norm", affine=False, **NORM),
            layer("scale2", "scale", bias=True),
        ],
        (3, 6, 6),
    )
    net = lively(written(bias=False))
    torch.save(net.state_dict(), tmp_path / "net.pth")
    found, loaded = torch_outputs(graph, tmp_path / "net.pth")
    np.testing.assert_allclose(found, outputs(net, graph), rtol=1e-5, atol=1e-6)
    assert not loaded.extra


class Pixel(nn.Module):
    """Global pooling, then a layer that is a convolution of one pixel, or dense."""

    def __init__(self, conv: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.last = nn.Conv2d(4, 5, 1) if conv else nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).mean((2, 3), keepdim=True)
        return (
            torch.flatten(self.last(x), 1)
            if hasattr(self.last, "stride")
            else self.last(torch.flatten(x, 1))
        )


def pixel(conv: bool) -> Graph:
    layers: list[dict[str, Any]] = [
        layer("a", "conv2d", filters=4, kernel_size=3),
        layer("pool", "global_avg_pool2d", keep_dims=True),
    ]
    if conv:
        layers += [layer("b", "conv2d", filters=5, kernel_size=1), layer("flat", "flatten")]
    else:
        layers += [layer("flat", "flatten"), layer("b", "dense", units=5)]
    return network(layers, (3, 6, 6), "pixel")


@pytest.mark.parametrize("ending", [".pth", ".onnx"])
@pytest.mark.parametrize("conv", [True, False])
def test_a_convolution_of_one_pixel_is_a_dense_layer(
    tmp_path: Path, conv: bool, ending: str
) -> None:
    torch.manual_seed(2)
    net, graph, path = Pixel(conv).eval(), pixel(not conv), tmp_path / f"net{ending}"
    if ending == ".pth":
        torch.save(net.state_dict(), path)
    else:
        exported(net, graph, path)
    found, loaded = torch_outputs(graph, path)
    np.testing.assert_allclose(found, outputs(net, graph), rtol=1e-5, atol=1e-6)
    (last,) = (match for match in loaded.matches if match.name == "b.weight")
    assert last.found == ((5, 4, 1, 1) if conv else (5, 4))


@pytest.mark.parametrize("conv", [True, False])
def test_so_it_is_in_keras(tmp_path: Path, conv: bool) -> None:
    k = keras()
    last = k.layers.Conv2D(5, 1) if conv else k.layers.Dense(5)
    pool = k.layers.GlobalAveragePooling2D(keepdims=True)
    model = k.Sequential([k.Input((6, 6, 3)), k.layers.Conv2D(4, 3), pool, last])
    model.save_weights(tmp_path / "net.weights.h5")
    found, _ = torch_outputs(pixel(not conv), tmp_path / "net.weights.h5")
    x = images(pixel(conv)).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(found, np.asarray(model(x)).reshape(3, 5), rtol=1e-4, atol=1e-5)


# Orders.


def branched() -> Graph:
    """Two branches with layers of the same shapes."""
    small, wide = {"filters": 4, "kernel_size": 1}, {"filters": 4, "kernel_size": 3, "padding": 1}
    return network(
        [
            layer("stem", "conv2d", **small),
            layer("left1", "conv2d", "stem", **small),
            layer("left2", "conv2d", **wide),
            layer("right1", "conv2d", "stem", **small),
            layer("right2", "conv2d", **wide),
            layer("join", "concat", "left2", "right2"),
            layer("last", "conv2d", filters=5, kernel_size=1),
        ],
        (3, 5, 5),
        "branched",
    )


def branches(named: bool) -> Any:
    k = keras()
    k.utils.clear_session()
    names = iter("gfedcb")

    def conv(x: Any, filters: int, size: int) -> Any:
        name = {"name": next(names)} if named else {}
        return k.layers.Conv2D(filters, size, padding="same", **name)(x)

    inputs = k.Input((5, 5, 3))
    stem = conv(inputs, 4, 1)
    left = conv(conv(stem, 4, 1), 4, 3)
    right = conv(conv(stem, 4, 1), 4, 3)
    return k.Model(inputs, conv(k.layers.Concatenate()([left, right]), 5, 1))


def test_keras_numbers_tell_branches_apart(tmp_path: Path) -> None:
    """In the file, the layers that are equally far from the output stand side by side."""
    model, path = branches(named=False), tmp_path / "net.weights.h5"
    model.save_weights(path)
    convs = [one.name for one in model.layers if "conv" in one.name]
    assert convs.index("conv2d_3") < convs.index("conv2d_2")
    found, _ = torch_outputs(branched(), path)
    expected = np.asarray(model(images(branched()).transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(found, expected.transpose(0, 3, 1, 2), rtol=1e-4, atol=1e-5)


def test_without_those_numbers_branches_alike_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.weights.h5"
    branches(named=True).save_weights(path)
    with pytest.raises(ArchspecError, match="leaves open which of its layers is which"):
        weights.load(path, branched())


def test_an_order_that_contradicts_the_network_s_tells_nothing() -> None:
    """Layers of the kinds a b c a, where the network has a a b c: the two a may be either."""

    def aligned(file: str, network: str, types: str) -> Any:
        return align(
            list(file),
            list(network),
            lambda i, j: file[i] == network[j],
            lambda i, j: False,
            ordered=True,
            types=list(types),
        )

    assert aligned("abca", "aabc", "xxxx").unsure == [(0, 0), (3, 1)]
    # All convolutions before all normalisations: each type keeps its own order.
    assert aligned("abamnm", "ambnam", "xyxyxy").unsure == []


def test_names_of_keras_and_caffe_are_those_of_the_shipped_resnets() -> None:
    for name, depths in (("resnet50-v1", (3, 4, 6, 3)), ("resnet101", (3, 4, 23, 3))):
        graph = archspec.load(name)
        wanted = {
            node.name
            for node in graph.nodes
            if node.layer.type in ("conv2d", "batch_norm") and node.name.startswith("conv")
        }
        theirs, caffes = ["conv1_conv", "conv1_bn"], ["conv1", "bn_conv1"]
        for stage, depth in enumerate(depths, 2):
            for block in range(1, depth + 1):
                parts = range(block > 1, 4)
                letters = (
                    "abcdefgh"[block - 1] if depth < 7 else f"b{block - 1}" if block > 1 else "a"
                )
                for part in parts:
                    keras_name = f"conv{stage}_block{block}_{part}"
                    theirs += [f"{keras_name}_conv", f"{keras_name}_bn"]
                    branch = ("1", "2a", "2b", "2c")[part]
                    caffe_name = f"{stage}{letters}_branch{branch}"
                    caffes += [f"res{caffe_name}", f"bn{caffe_name}"]
        for names in (theirs, caffes):
            assert {alias(one) for one in names} == wanted
            assert len(names) == len(wanted)
    assert alias("conv2d_1") == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("app", "spec"), [("MobileNet", "mobilenet-v1"), ("ResNet50", "resnet50-v1")]
)
def test_a_model_of_keras_applications(tmp_path: Path, app: str, spec: str) -> None:
    """The real ones, with random weights and statistics: there is no file to fetch here."""
    k = keras()
    graph = archspec.load(spec)
    model = getattr(k.applications, app)(weights=None, classifier_activation=None)
    numbers = np.random.default_rng(0)
    for variable in model.weights:
        value = numbers.standard_normal(variable.shape) / np.sqrt(np.prod(variable.shape[:-1]) or 9)
        value = 1 + 0.2 * np.abs(value) if "variance" in variable.path else value
        variable.assign(1 + 0.2 * value if "gamma" in variable.path else value)
    model.save_weights(tmp_path / "net.weights.h5")
    found, loaded = torch_outputs(graph, tmp_path / "net.weights.h5", "float32")
    assert not loaded.extra
    x = images(graph).astype("f4").transpose(0, 2, 3, 1)
    expected = np.asarray(model.predict_on_batch(x))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
