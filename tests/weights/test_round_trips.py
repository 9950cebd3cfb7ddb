"""Weights that go from backend to backend and from file to file come back bit for bit."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_files import everything, random_weights, same, small_alexnet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import layer, network

import archspec
from archspec import weights
from archspec.backends import backend_names, get_backend
from archspec.backends.initial import initial_weights
from archspec.diagnostics import ArchspecError
from archspec.weights import readers

GRAPH = everything()
WEIGHTS = random_weights(GRAPH)
Arrays = dict[str, np.ndarray]


def installed() -> list[str]:
    return [name for name in backend_names() if not get_backend(name).missing()]


def endings() -> list[str]:
    """Every ending that weights are written under and read again."""
    written = [".safetensors", ".npy"]
    for name in installed():
        written += get_backend(name).weight_files
    read = {suffix for format in readers.formats() for suffix in format.suffixes}
    return [ending for ending in written if ending in read]


@cache
def model(backend: str) -> Any:
    chosen = get_backend(backend)
    chosen.require()
    return chosen.build(GRAPH)


def through_model(backend: str) -> Callable[[Path, Arrays], Arrays]:
    def step(folder: Path, arrays: Arrays) -> Arrays:
        get_backend(backend).load_weights(GRAPH, model(backend), arrays)
        return get_backend(backend).save_weights(GRAPH, model(backend))

    return step


def through_file(ending: str) -> Callable[[Path, Arrays], Arrays]:
    def step(folder: Path, arrays: Arrays) -> Arrays:
        path = folder / f"net{ending}"
        weights.save(path, GRAPH, arrays)
        found = weights.load(path, GRAPH)
        assert (found.missing, found.extra) == ((), ())
        return found.weights

    return step


STEPS = {name: through_model(name) for name in installed()}
STEPS |= {ending: through_file(ending) for ending in endings()}


@pytest.mark.parametrize(("one", "other"), list(itertools.product(STEPS, STEPS)))
def test_every_pair(tmp_path: Path, one: str, other: str) -> None:
    same(STEPS[other](tmp_path, STEPS[one](tmp_path, WEIGHTS)), WEIGHTS)


@given(
    steps=st.lists(st.sampled_from(sorted(STEPS)), min_size=3, max_size=6),
    seed=st.integers(1, 1000),
)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_chains(tmp_path: Path, steps: list[str], seed: int) -> None:
    arrays = start = random_weights(GRAPH, seed)
    for step in steps:
        arrays = STEPS[step](tmp_path, arrays)
    same(arrays, start)


@pytest.mark.parametrize("ending", endings())
def test_numbers_at_the_edge(tmp_path: Path, ending: str) -> None:
    """Zeros of both signs, denormals and the largest numbers."""
    info = np.finfo(np.float32)
    edge = [0.0, -0.0, info.smallest_subnormal, -info.tiny, info.max, info.min, info.eps, 1 / 3]
    arrays = {
        name: np.resize(np.array(edge, "float32"), weight.shape) for name, weight in WEIGHTS.items()
    }
    same(STEPS[ending](tmp_path, arrays), arrays)


@pytest.mark.parametrize("ending", endings())
def test_equal_weights_give_equal_files(tmp_path: Path, ending: str) -> None:
    if ending in (".weights.h5", ".keras"):
        pytest.skip("HDF5 and zip archives of Keras hold the time")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        weights.save(tmp_path / name / f"{name}{ending}", GRAPH, WEIGHTS)
    one, two = (tmp_path / n / f"{n}{ending}" for n in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


# The store.


def test_the_store_is_a_plain_safetensors_file(tmp_path: Path) -> None:
    from safetensors import safe_open

    path = tmp_path / "net.safetensors"
    before = os.umask(0o022)
    try:
        weights.save(path, GRAPH, WEIGHTS)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]
    with safe_open(path, framework="numpy") as found:
        assert found.metadata() == {
            "archspec.format": "1",
            "archspec.network": "everything",
            "archspec.hash": GRAPH.hash,
            "archspec.version": archspec.__version__,
            "archspec.holds": "weights",
        }
        same({name: found.get_tensor(name) for name in found.keys()}, WEIGHTS)  # noqa: SIM118


def test_another_network_of_the_same_shapes_is_said(tmp_path: Path) -> None:
    weights.save(tmp_path / "net.safetensors", GRAPH, WEIGHTS)
    other = GRAPH.with_layer("across", eps=0.5)
    assert other.hash != GRAPH.hash
    assert weights.load(tmp_path / "net.safetensors", GRAPH).notes == ()
    found = weights.load(tmp_path / "net.safetensors", other)
    same(found.weights, WEIGHTS)
    (note,) = found.notes
    assert note.startswith("The file was written for `everything` with the hash ")
    assert GRAPH.hash[:12] in note
    assert other.hash[:12] in note


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    for path, expected in {
        tmp_path / "no" / "net.safetensors": "there is no folder .*/no; make it first",
        tmp_path / "net.what": r"no ending .* use one of \.safetensors, \.npy",
        tmp_path: "no ending",
    }.items():
        with pytest.raises(ArchspecError, match=expected):
            weights.save(path, GRAPH, WEIGHTS)
    (tmp_path / "circle.npy").symlink_to(tmp_path / "circle.npy")
    for path in (tmp_path / "circle.npy", Path("a\0b.npy")):
        with pytest.raises(ArchspecError, match="cannot write"):
            weights.save(path, GRAPH, WEIGHTS)
    (tmp_path / "net.npy").mkdir()
    with pytest.raises(ArchspecError, match="it is no regular file"):
        weights.save(tmp_path / "net.npy", GRAPH, WEIGHTS)


def test_a_file_stays_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.safetensors"
    weights.save(path, GRAPH, WEIGHTS)
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as stream:
            stream.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ArchspecError, match=r"cannot write .*net\.safetensors: No space left"):
        weights.save(path, GRAPH, {name: weight + 1 for name, weight in WEIGHTS.items()})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "real.safetensors")
    weights.save(tmp_path / "link.safetensors", GRAPH, WEIGHTS)
    assert (tmp_path / "link.safetensors").is_symlink()
    same(weights.load(tmp_path / "real.safetensors", GRAPH).weights, WEIGHTS)


def test_only_the_weights_of_the_network_are_written(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    less = {name: weight for name, weight in WEIGHTS.items() if name != "fc3.bias"}
    for arrays, expected in (
        (less, "there is no fc3.bias to write"),
        (WEIGHTS | {"fc9.bias": WEIGHTS["fc3.bias"]}, "everything has no fc9.bias"),
        (WEIGHTS | {"fc3.bias": np.zeros(4, "f4")}, "fc3.bias is 4, and in everything it is 3"),
    ):
        with pytest.raises(ArchspecError, match=expected):
            weights.save(path, GRAPH, arrays)
    assert not path.exists()


# What conversions compute, worked out with loops over channels-last images.


def channels_last_logits(images: np.ndarray, dictionary: Any) -> np.ndarray:
    """`small_alexnet` as a program in TensorFlow's layout computes it, on B,G,R images."""

    def conv(x: np.ndarray, w: np.ndarray, b: np.ndarray, pad: int, groups: int) -> np.ndarray:
        x = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
        rows, columns = x.shape[0] - w.shape[0] + 1, x.shape[1] - w.shape[1] + 1
        out = np.zeros((rows, columns, w.shape[3]))
        reads, gives = x.shape[2] // groups, w.shape[3] // groups
        for row, column, o in np.ndindex(*out.shape):
            first = o // gives * reads
            window = x[row : row + w.shape[0], column : column + w.shape[1]]
            out[row, column, o] = (window[:, :, first : first + reads] * w[..., o]).sum() + b[o]
        return out

    found = []
    for image in images:
        x = np.maximum(conv(image, *dictionary["conv1"], 0, 1), 0)
        x = conv(x, *dictionary["conv2"], 1, 2)
        x = x.reshape(3, 2, 4, 2, 6).max(axis=(1, 3)).reshape(-1)
        x = np.maximum(x @ dictionary["fc6"][0] + dictionary["fc6"][1], 0)
        x = x @ dictionary["fc7"][0] + dictionary["fc7"][1]
        found.append(x @ dictionary["fc8"][0] + dictionary["fc8"][1])
    return np.array(found)


def test_the_dictionary_computes_the_same_in_both_layouts(tmp_path: Path) -> None:
    graph = small_alexnet()
    numbers = np.random.default_rng(3)
    arrays = {
        name: numbers.standard_normal(weight.shape).astype("float32")
        for name, weight in initial_weights(graph, 0).items()
    }
    path = tmp_path / "net.npy"
    weights.save(path, graph, arrays)
    images = numbers.standard_normal((2, 3, 8, 10))
    reference = get_backend("numpy")
    built = reference.build(graph)
    reference.load_weights(graph, built, {k: v.astype("float64") for k, v in arrays.items()})
    blue_first = images.transpose(0, 2, 3, 1)[..., ::-1]
    dictionary = np.load(path, allow_pickle=True).item()
    np.testing.assert_allclose(
        channels_last_logits(blue_first, dictionary), built(images), rtol=1e-10, atol=1e-10
    )


def test_features_are_followed_to_what_reads_them(tmp_path: Path) -> None:
    """A concatenation of flattened maps, a slice of it, and normalisations on the way."""
    norm = {"eps": 1e-3, "decay": 0.9}
    graph = network(
        [
            layer("image_norm", "batch_norm", **norm),
            layer("left", "conv2d", filters=4, kernel_size=3),
            layer("right", "conv2d", "image_norm", filters=5, kernel_size=5),
            layer("left_flat", "flatten", "left"),
            layer("right_flat", "flatten", "right"),
            layer("both", "concat", "left_flat", "right_flat"),
            layer("factor", "scale"),
            layer("part", "split", channels=[0, 72]),
            layer("fc", "dense", units=3),
        ],
        (3, 5, 8),
    )
    arrays = random_weights(graph)
    weights.save(tmp_path / "net.npy", graph, arrays)
    same(weights.load(tmp_path / "net.npy", graph).weights, arrays)
    found = np.load(tmp_path / "net.npy", allow_pickle=True).item()
    np.testing.assert_array_equal(found["image_norm"]["scale"], arrays["image_norm.weight"][::-1])
    factors = arrays["factor.weight"]
    maps = [factors[:72].reshape(4, 3, 6), factors[72:].reshape(5, 1, 4)]
    there = np.concatenate([m.transpose(1, 2, 0).ravel() for m in maps])
    np.testing.assert_array_equal(found["factor"]["scale"], there)


def test_features_that_cannot_be_followed_are_refused(tmp_path: Path) -> None:
    """A slice through a flattened map holds other features in another order."""
    graph = network(
        [
            layer("flat", "flatten"),
            layer("part", "split", channels=[0, 10]),
            layer("fc", "dense", units=3),
        ]
    )
    arrays = random_weights(graph)
    with pytest.raises(ArchspecError, match=r"fc\.weight cannot be written as in bvlc_alexnet"):
        weights.save(tmp_path / "net.npy", graph, arrays)
    weights.save(tmp_path / "net.safetensors", graph, arrays)
    with pytest.raises(ArchspecError, match=r"fc\.weight reads features whose order \(flatten\)"):
        weights.load(tmp_path / "net.safetensors", graph, flatten="HWC")
    grouped = network(
        [
            layer("one", "conv2d", filters=1, kernel_size=1),
            layer("both", "concat", "input", "one"),
            layer("mixed", "conv2d", filters=4, kernel_size=3, groups=2),
        ]
    )
    weights.save(tmp_path / "net.safetensors", grouped, random_weights(grouped))
    match = r"mixed\.weight reads features whose order \(colours\)"
    with pytest.raises(ArchspecError, match=match):
        weights.load(tmp_path / "net.safetensors", grouped, colours="BGR")


def test_colours_are_followed_through_every_layer(tmp_path: Path) -> None:
    """The network of the file gives on B,G,R images what the converted one gives on R,G,B."""
    norm = {"eps": 1e-3, "decay": 0.9}
    graph = network(
        [
            layer("scaled", "scale", bias=True),
            layer("each", "conv2d", filters=6, kernel_size=3, groups=3),
            layer("norm", "batch_norm", **norm),
            layer("relu", "relu"),
            layer("larger", "conv2d_transpose", filters=9, kernel_size=2, stride=2, groups=3),
            layer("pool", "max_pool2d", kernel_size=2),
            layer("twice", "concat", "pool", "relu"),
            layer("means", "global_avg_pool2d"),
            layer("norm2", "batch_norm", **norm),
            layer("fc", "dense", units=4),
        ],
        (3, 6, 6),
    )
    arrays = random_weights(graph)
    path = tmp_path / "net.npy"
    weights.save(path, graph, arrays)
    same(weights.load(path, graph).weights, arrays)
    theirs = weights.load(path, graph, colours="RGB").weights
    assert any((theirs[name] != arrays[name]).any() for name in ("each.bias", "larger.bias"))
    reference = get_backend("numpy")
    images = np.random.default_rng(0).random((2, 3, 6, 6))
    found = []
    for some, seen in ((arrays, images), (theirs, images[:, ::-1])):
        built = reference.build(graph)
        reference.load_weights(graph, built, {k: v.astype("float64") for k, v in some.items()})
        found.append(built(seen))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


@pytest.mark.slow
def test_a_full_alexnet_of_torch(tmp_path: Path) -> None:
    """61 million numbers: torchvision's names, by torch.save, and back through every file."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    model = nn.Module()
    model.features = nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    model.classifier = nn.Sequential(
        nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU(),
        nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000),
    )  # fmt: skip
    torch.save(model.state_dict(), tmp_path / "alexnet.pth")
    graph = archspec.load("alexnet-torchvision")
    loaded = archspec.load_weights(tmp_path / "alexnet.pth", graph)
    for found in loaded.matches:
        expected = model.state_dict()[found.source].numpy()
        np.testing.assert_array_equal(loaded.weights[found.name], expected)
    images = np.random.default_rng(0).random((1, 3, 224, 224), dtype="float32")
    backend = get_backend("torch")
    built = backend.build(graph).eval()
    backend.load_weights(graph, built, loaded.weights)
    with torch.no_grad():
        features = model.eval().features(torch.from_numpy(images))
        expected = model.classifier(features.flatten(1)).numpy()
        np.testing.assert_allclose(built(torch.from_numpy(images)).numpy(), expected, rtol=1e-5)
    current = loaded.weights
    for ending in (".npy", ".safetensors"):
        archspec.save_weights(tmp_path / f"net{ending}", current, graph)
        current = weights.load(tmp_path / f"net{ending}", graph).weights
    same(current, loaded.weights)
