"""Keras' files, written by Keras itself from models as users write them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from models import images, keras, mixed, random_like, torch_outputs
from networks import branching, heads, layer, network

from archspec import weights
from archspec.backends.initial import initial_weights
from archspec.backends.keras import BACKEND as KERAS
from archspec.graph import Graph
from archspec.weights import readers

ENDINGS = [".weights.h5", ".keras", ".h5"]


@contextlib.contextmanager
def double() -> Iterator[None]:
    """Let Keras make layers in float64."""
    k = keras()
    before = k.config.dtype_policy(), k.config.floatx()
    k.config.set_dtype_policy("float64")
    k.config.set_floatx("float64")
    try:
        yield
    finally:
        k.config.set_dtype_policy(before[0])
        k.config.set_floatx(before[1])


def fill(model: Any) -> None:
    """Float32 numbers everywhere that saturate nothing; variances are positive."""
    numbers = np.random.default_rng(1)
    for variable in model.weights:
        scale = 0.7 / np.sqrt(np.prod(variable.shape[:-1]) or 1)
        value = scale * numbers.standard_normal(variable.shape)
        positive = "variance" in variable.path or "gamma" in variable.path
        variable.assign((0.5 + np.abs(value) if positive else value).astype("f4"))


def by_hand() -> Any:
    """The network `mixed`, under Keras' names and with its flatten: height, width, channels."""
    k = keras()
    x = inputs = k.Input((7, 8, 3))
    x = k.layers.Conv2D(8, 3, padding="same")(x)
    x = k.layers.BatchNormalization()(x)
    x = k.layers.ReLU()(x)
    x = k.layers.Conv2D(6, 3, groups=2, use_bias=False, name="a_grouped_one")(x)
    x = k.layers.BatchNormalization()(x)
    x = k.layers.DepthwiseConv2D((3, 2), depth_multiplier=2)(x)
    x = k.layers.Conv2DTranspose(5, 3, strides=2)(x)
    x = k.layers.Activation("tanh")(x)
    x = k.layers.Flatten()(x)
    x = k.layers.Dense(7, activation="relu", name="z")(x)
    x = k.layers.Dense(4, use_bias=False, name="head")(x)
    return k.Model(inputs, x)


def write(model: Any, path: Path) -> Path:
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)
    return path


def outputs(model: Any, graph: Graph) -> np.ndarray:
    return np.asarray(model.predict_on_batch(images(graph).transpose(0, 2, 3, 1)))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A file of each kind of one model in float64, and what the model gives."""
    folder = tmp_path_factory.mktemp("keras")
    with double():
        model = by_hand()
        fill(model)
        found: dict[str, Any] = {e: write(model, folder / f"user{e}") for e in ENDINGS}
        found["outputs"] = outputs(model, mixed())
    return found


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_model_of_keras_gives_the_same_in_pytorch(written: dict[str, Any], ending: str) -> None:
    found, loaded = torch_outputs(mixed(), written[ending])
    np.testing.assert_allclose(found, written["outputs"], rtol=1e-12, atol=1e-12)
    assert not loaded.extra
    assert {match.how for match in loaded.matches} == {"order and shape"}
    fc1 = next(match for match in loaded.matches if match.name == "fc1.weight")
    assert fc1.source == "z/kernel"
    assert any("H,W,C" in change for change in fc1.changes)


def test_the_wrong_order_of_features_gives_something_else(written: dict[str, Any]) -> None:
    found, _ = torch_outputs(mixed(), written[".keras"], flatten="CHW")
    assert np.abs(found - written["outputs"]).max() > 1e-3


@pytest.mark.parametrize("ending", [".weights.h5", ".keras", ".Weights.H5"])
@pytest.mark.parametrize("graph", [branching(), heads(), mixed()], ids=lambda g: g.name)
def test_what_archspec_writes_keras_and_archspec_read_bit_for_bit(
    tmp_path: Path, graph: Graph, ending: str
) -> None:
    expected = random_like(initial_weights(graph, 0))
    path = tmp_path / f"net{ending}"
    weights.save(path, graph, expected)
    model = KERAS.build(graph)
    lower = path.rename(tmp_path / path.name.lower())  # Keras reads no other ending
    model.load_weights(lower)
    path = lower.rename(path)
    loaded = weights.load(path, graph)
    assert {match.how for match in loaded.matches} == {"name"}
    assert not loaded.extra
    assert not loaded.missing
    for found in (KERAS.save_weights(graph, model), loaded.weights):
        assert found.keys() == expected.keys()
        assert all(found[name].tobytes() == value.tobytes() for name, value in expected.items())


def test_layers_alike_keep_their_order_past_ten(tmp_path: Path) -> None:
    # In the file they stand as conv2d, conv2d_1, conv2d_10, conv2d_11, conv2d_2.
    k = keras()
    x = inputs = k.Input((5, 5, 4))
    for _ in range(13):
        x = k.layers.Conv2D(4, 3, padding="same")(x)
    model = k.Model(inputs, x)
    for number, one in enumerate(model.layers[1:]):
        one.set_weights([np.full(w.shape, number, "f4") for w in one.get_weights()])
    model.save_weights(tmp_path / "a.weights.h5")
    graph = network(
        [layer(f"c{n}", "conv2d", filters=4, kernel_size=3, padding=1) for n in range(13)],
        (4, 5, 5),
    )
    loaded = weights.load(tmp_path / "a.weights.h5", graph)
    assert [loaded.weights[f"c{n}.weight"][0, 0, 0, 0] for n in range(13)] == list(range(13))


def copied(old: h5py.Group, new: h5py.Group) -> None:
    """Every group and array, made anew."""
    new.attrs.update(old.attrs)
    for key, value in old.items():
        if isinstance(value, h5py.Group):
            copied(value, new.create_group(key))
        else:
            new.create_dataset(key, data=value[()])


@pytest.mark.parametrize("libver", [None, "latest"])
def test_the_order_is_that_of_the_model_and_not_of_the_names(
    tmp_path: Path, libver: str | None
) -> None:
    """Depthwise and pointwise convolutions of one shape: only the order tells them apart."""
    k = keras()
    names = ["z", "b", "y", "a", "x"]
    x = inputs = k.Input((5, 5, 1))
    for name in names:
        kind = k.layers.DepthwiseConv2D if name in "by" else k.layers.Conv2D
        x = kind(*(() if name in "by" else (1,)), kernel_size=3, padding="same", name=name)(x)
    model = k.Model(inputs, x)
    path = tmp_path / "a.weights.h5"
    model.save_weights(path)
    if libver:  # the newer layout of HDF5, without the order in which groups were made
        with h5py.File(path) as old, h5py.File(tmp_path / "b.h5", "w", libver=libver) as new:
            copied(old, new)
        path = tmp_path / "b.h5"
    found = readers.read(path)
    assert found.ordered is (libver is None)
    if found.ordered:
        assert list(dict.fromkeys(tensor.layer for tensor in found.tensors)) == names
    else:
        assert "order" in found.notes[0]


def test_a_model_in_a_model_and_a_separable_convolution(tmp_path: Path) -> None:
    k = keras()
    inner = k.Sequential([k.Input((6, 6, 4)), k.layers.SeparableConv2D(5, 3), k.layers.ReLU()])
    model = k.Sequential(
        [
            k.Input((8, 8, 3)),
            k.layers.Conv2D(4, 3, name="stem"),
            inner,
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dropout(0.5),
            k.layers.Dense(2),
        ]
    )
    fill(model)
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 8, 8, 3)), np.ones((2, 2)))  # the optimiser has variables now
    graph = network(
        [
            layer("one", "conv2d", filters=4, kernel_size=3),
            layer("two", "conv2d", filters=4, kernel_size=3, groups=4, bias=False),
            layer("three", "conv2d", filters=5, kernel_size=1),
            layer("relu", "relu"),
            layer("pool", "global_avg_pool2d"),
            layer("four", "dense", units=2),
        ],
        (3, 8, 8),
    )
    expected = outputs(model, graph)
    for ending in ENDINGS:
        found, loaded = torch_outputs(graph, write(model, tmp_path / f"a{ending}"), "float32")
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert not loaded.extra


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}])
def test_a_normalisation_without_one_of_its_factors(
    tmp_path: Path, ending: str, options: dict[str, bool]
) -> None:
    k = keras()
    model = k.Sequential([k.Input((4, 4, 3)), k.layers.BatchNormalization(**options)])
    fill(model)
    path = write(model, tmp_path / f"a{ending}")
    graph = network([layer("norm", "batch_norm", eps=1e-3, decay=0.99)], (3, 4, 4))
    if ending == ".weights.h5":  # which has no configuration
        assert "three arrays" in " ".join(readers.read(path).notes)
        if "center" in options:
            return
    found, loaded = torch_outputs(graph, path, "float32")
    expected = outputs(model, graph).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert not loaded.extra


def test_layers_that_are_attributes_of_a_class_are_found_by_name(tmp_path: Path) -> None:
    k = keras()

    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.zeta = k.layers.Conv2D(3, 3, name="first")
            self.alpha = [k.layers.Conv2D(3, 3, name="second")]
            self.beta = k.layers.Dense(2, name="last")

        def call(self, x: Any) -> Any:
            x = self.alpha[0](self.zeta(x))
            return self.beta(k.ops.mean(x, axis=(1, 2)))

    model = Net()
    expected_shape = model(np.zeros((1, 8, 8, 3), "f4")).shape
    assert tuple(expected_shape) == (1, 2)
    fill(model)
    graph = network(
        [
            layer("first", "conv2d", filters=3, kernel_size=3),
            layer("second", "conv2d", filters=3, kernel_size=3),
            layer("pool", "global_avg_pool2d"),
            layer("last", "dense", units=2),
        ],
        (3, 8, 8),
    )
    for ending in ENDINGS[:2]:
        path = write(model, tmp_path / f"a{ending}")
        assert not readers.read(path).ordered
        found, loaded = torch_outputs(graph, path, "float32")
        np.testing.assert_allclose(found, outputs(model, graph), rtol=1e-5)
        assert {match.how for match in loaded.matches} == {"name"}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_the_width(tmp_path: Path, dtype: str) -> None:
    k = keras()
    model = k.Sequential([k.Input((6,)), k.layers.Dense(2, dtype=dtype)])
    fill(model)
    model.save_weights(tmp_path / "a.weights.h5")
    graph = network([layer("flat", "flatten"), layer("fc", "dense", units=2)], (6, 1, 1))
    found = weights.load(tmp_path / "a.weights.h5", graph).weights["fc.weight"]
    kept = np.asarray(k.ops.convert_to_numpy(k.ops.cast(model.layers[0].kernel, "float32"))).T
    assert found.tobytes() == np.ascontiguousarray(kept).tobytes()


def test_a_model_that_permutes_before_it_flattens(tmp_path: Path) -> None:
    k = keras()
    model = k.Sequential(
        [k.Input((3, 4, 5)), k.layers.Permute((3, 1, 2)), k.layers.Flatten(), k.layers.Dense(2)]
    )
    fill(model)
    graph = network([layer("flat", "flatten"), layer("fc", "dense", units=2)], (5, 3, 4))
    for ending in ENDINGS:
        path = write(model, tmp_path / f"a{ending}")
        found, _ = torch_outputs(graph, path, "float32")
        np.testing.assert_allclose(found, outputs(model, graph), rtol=1e-5)
        assert readers.read(path).flatten == "CHW"


def old_file(path: Path, layers: dict[str, dict[str, np.ndarray]], chunks: bool = False) -> Path:
    """A file as Keras 1 and 2 wrote it, by h5py: names of layers and weights are attributes."""
    with h5py.File(path, "w") as file:
        names = np.array([name.encode() for name in layers])
        if chunks:  # what Keras does with more names than fit into an attribute
            for number, piece in enumerate(np.array_split(names, 3)):
                file.attrs[f"layer_names{number}"] = piece
        else:
            file.attrs["layer_names"] = names
        file.attrs["backend"] = b"tensorflow"
        for name, arrays in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [weight.encode() for weight in arrays]
            for weight, value in arrays.items():
                group.create_dataset(weight, data=value)
    return path


@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize(
    ("kernel", "bias"),
    [
        ("{0}/kernel:0", "{0}/bias:0"),
        ("{0}_W_1:0", "{0}_b_1:0"),
        ("{0}_1/kernel:0", "{0}_1/bias:0"),
    ],
)
def test_names_of_keras_applications(tmp_path: Path, kernel: str, bias: str, chunks: bool) -> None:
    """VGG16's file, made small: block1_conv1 and so on, flatten, fc1, fc2, predictions."""
    numbers = np.random.default_rng(2)
    shapes = {
        "block1_conv1": (3, 3, 3, 4),
        "block1_conv2": (3, 3, 4, 4),
        "block1_pool": None,
        "block2_conv1": (3, 3, 4, 4),
        "flatten": None,
        "fc1": (16, 6),
        "fc2": (6, 6),
        "predictions": (6, 2),
    }
    layers = {
        name: {
            kernel.format(name): numbers.random(shape, "f4"),
            bias.format(name): numbers.random(shape[-1], "f4"),
        }
        if shape
        else {}
        for name, shape in shapes.items()
    }
    path = old_file(tmp_path / "vgg16_weights.h5", layers, chunks)
    graph = network(
        [
            *(
                layer(f"conv{n}", "conv2d", filters=4, kernel_size=3, padding=1)
                for n in ("1_1", "1_2", "2_1")
            ),
            layer("pool", "max_pool2d", kernel_size=2),
            layer("flatten", "flatten"),
            layer("fc6", "dense", units=6),
            layer("fc7", "dense", units=6),
            layer("fc8", "dense", units=2),
        ],
        (3, 4, 4),
    )
    loaded = weights.load(path, graph)
    conv = layers["block1_conv2"][kernel.format("block1_conv2")]
    assert (loaded.weights["conv1_2.weight"] == conv.transpose(3, 2, 0, 1)).all()
    fc1 = layers["fc1"][kernel.format("fc1")].reshape(2, 2, 4, 6)
    expected = fc1.transpose(3, 2, 0, 1).reshape(6, 16)
    assert (loaded.weights["fc6.weight"] == expected).all()
    assert not loaded.extra
    assert not loaded.missing


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    k = keras()
    model = k.Sequential([k.Input((8,)), k.layers.Dense(4, name="head")])
    model.layers[0].quantize("int8")
    model.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(Exception, match=r"quantised: `head` has the number format int8"):
        readers.read(tmp_path / "a.weights.h5")


def test_what_standardises_images_is_left_out_and_said(tmp_path: Path) -> None:
    k = keras()
    model = k.Sequential([k.Input((4, 4, 3)), k.layers.Normalization(name="standard")])
    model.save_weights(tmp_path / "a.weights.h5")
    found = readers.read(tmp_path / "a.weights.h5")
    assert not found.tensors
    assert "`standard` standardises images" in found.notes[0]
