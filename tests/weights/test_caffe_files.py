"""Caffe's files, made of the same fields by the protobuf package, and by hand from bytes."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import images, torch_outputs
from networks import layer, network

import archspec
from archspec import weights
from archspec.analysis.shapes import infer_shapes
from archspec.backends.initial import initial_weights
from archspec.backends.numpy import BACKEND as REFERENCE
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.weights import readers
from archspec.weights.readers.caffe import messages

Blobs = Sequence[np.ndarray]

# The wire format, written out: a tag is the field's number and the kind of what follows.


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def chunk(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def blob(
    value: np.ndarray, *, old: bool = False, packed: bool = True, double: bool = False
) -> bytes:
    """A BlobProto: its shape, then its numbers."""
    if old:  # four axes, always
        axes = (1,) * (4 - value.ndim) + value.shape
        shape = b"".join(number(field, size) for field, size in enumerate(axes, 1))
    else:
        shape = chunk(7, chunk(1, b"".join(map(varint, value.shape))))
    code = "<f8" if double else "<f4"
    flat = value.astype(code).ravel()
    if packed:
        return shape + chunk(8 if double else 5, flat.tobytes())
    tag = varint(8 << 3 | 1 if double else 5 << 3 | 5)
    return shape + b"".join(tag + one.tobytes() for one in flat)


def modern(name: str, kind: str, blobs: Blobs, more: bytes = b"", **options: bool) -> bytes:
    content = b"".join(chunk(7, blob(value, **options)) for value in blobs)
    ends = chunk(3, "below") + chunk(4, name)  # bottom, top
    return chunk(100, chunk(1, name) + chunk(2, kind) + ends + content + more)


CODES = {"Convolution": 4, "InnerProduct": 14, "Deconvolution": 39}


def old(name: str, kind: str, blobs: Blobs, **options: bool) -> bytes:
    content = b"".join(chunk(6, blob(value, old=True, **options)) for value in blobs)
    return chunk(2, chunk(4, name) + number(5, CODES[kind]) + content)


def oldest(name: str, kind: str, blobs: Blobs) -> bytes:
    kind = {"Convolution": "conv", "InnerProduct": "innerproduct"}[kind]
    content = b"".join(chunk(50, blob(value, old=True)) for value in blobs)
    return chunk(2, chunk(1, chunk(1, name) + chunk(2, kind) + content))


def net(*layers: bytes) -> bytes:
    return chunk(1, "a net") + b"".join(layers)


def lenet(channels: int = 3) -> Graph:
    return network(
        [
            layer("conv1", "conv2d", filters=4, kernel_size=3),
            layer("relu1", "relu"),
            layer("conv2", "conv2d", filters=6, kernel_size=[2, 3], groups=2),
            layer("flatten", "flatten"),
            layer("fc", "dense", units=5),
        ],
        (channels, 6, 7),
        "lenet",
    )


def expected(graph: Graph) -> dict[str, np.ndarray]:
    numbers = np.random.default_rng(0)
    return {
        name: numbers.standard_normal(value.shape, "f4")
        for name, value in initial_weights(graph, 0).items()
    }


def blobs_of(
    graph: Graph, values: dict[str, np.ndarray], prefix: str = ""
) -> list[tuple[str, str, Blobs]]:
    """Name, type and blobs of each layer with weights, as Caffe has them: colours B,G,R."""
    kinds = {"conv2d": "Convolution", "dense": "InnerProduct", "conv2d_transpose": "Deconvolution"}
    found = []
    for node in graph.nodes:
        inputs = infer_shapes(graph).inputs(node)
        arrays = [values[f"{node.name}.{w.name}"] for w in node.layer.weights(inputs)]
        if arrays and node.inputs == ("input",):
            arrays[0] = arrays[0][:, ::-1]
        if arrays:
            found.append((f"{prefix}{node.name}", kinds[node.layer.type], arrays))
    return found


GENERATIONS = {
    "2014 on": modern,
    "not packed": lambda *a: modern(*a, packed=False),
    "double": lambda *a: modern(*a, double=True),
    "double, not packed": lambda *a: modern(*a, double=True, packed=False),
    "old": old,
    "old, not packed": lambda *a: old(*a, packed=False),
    "oldest": oldest,
}


@pytest.mark.parametrize("names", ["", "caffe_"])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_generation_of_the_format(tmp_path: Path, generation: str, names: str) -> None:
    graph = lenet()
    values = expected(graph)
    layers = [GENERATIONS[generation](*one) for one in blobs_of(graph, values, names)]
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net(*layers))
    loaded = weights.load(path, graph)
    assert loaded.format == "Caffe"
    assert not loaded.extra
    assert not loaded.missing
    assert {match.how for match in loaded.matches} == {"order and shape" if names else "name"}
    assert all((loaded.weights[name] == value).all() for name, value in values.items())
    assert any("blue, green, red" in note for note in loaded.notes)
    conv1 = next(match for match in loaded.matches if match.name == "conv1.weight")
    assert any("B,G,R" in change for change in conv1.changes)


def test_other_colours_may_be_said(tmp_path: Path) -> None:
    graph = lenet()
    values = expected(graph)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net(*(modern(*one) for one in blobs_of(graph, values))))
    found = weights.load(path, graph, colours="RGB").weights["conv1.weight"]
    assert (found == values["conv1.weight"][:, ::-1]).all()


def test_grey_images_have_no_order_of_colours(tmp_path: Path) -> None:
    graph = lenet(1)
    values = expected(graph)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net(*(old(*one) for one in blobs_of(graph, values))))
    found = weights.load(path, graph).weights
    assert all((found[name] == value).all() for name, value in values.items())


def test_what_is_not_weights_is_passed_over(tmp_path: Path) -> None:
    """Parameters of layers, gradients beside the data, data layers, unknown fields of any kind."""
    graph = lenet()
    values = expected(graph)
    layers = []
    for name, kind, arrays in blobs_of(graph, values):
        rest = chunk(106, number(1, 4) + number(5, 2))
        content = b"".join(
            chunk(7, blob(a) + chunk(6, np.ones(a.size, "f4").tobytes())) for a in arrays
        )
        layers.append(chunk(100, chunk(1, name) + chunk(2, kind) + rest + content + number(900, 1)))
    data = chunk(100, chunk(1, "data") + chunk(2, "Data") + chunk(4, "data"))
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net(data, *layers) + chunk(3, "data") + number(5, 1) + chunk(777, b"?"))
    found = weights.load(path, graph).weights
    assert all((found[name] == value).all() for name, value in values.items())


def test_a_transposed_inner_product(tmp_path: Path) -> None:
    graph = network([layer("flat", "flatten"), layer("fc", "dense", units=2)], (5, 1, 1))
    value = np.arange(10, dtype="f4").reshape(5, 2)
    transpose = chunk(117, number(1, 2) + number(6, 1))
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net(modern("fc", "InnerProduct", [value, np.zeros(2)], transpose)))
    assert (weights.load(path, graph).weights["fc.weight"] == value.T).all()


def test_batch_norm_and_scale_become_one(tmp_path: Path) -> None:
    norm = {"eps": 1e-5, "decay": 0.999}
    graph = network(
        [
            layer("conv", "conv2d", filters=4, kernel_size=1, bias=False),
            layer("first", "batch_norm", **norm),
            layer("relu", "relu"),
            layer("up", "conv2d_transpose", filters=4, kernel_size=2, groups=2),
            layer("second", "batch_norm", **norm),
        ],
        (3, 4, 4),
    )
    numbers = np.random.default_rng(1)
    conv, up = numbers.standard_normal((4, 3, 1, 1)), numbers.standard_normal((4, 2, 2, 2))
    sums, scales = numbers.uniform(1, 2, (4, 4)), numbers.standard_normal((4, 4))
    factors = [np.array([2.0]), np.array([999.982])]

    def pair(name: str, n: int) -> bytes:
        statistics = [sums[2 * n], sums[2 * n + 1], factors[n]]
        first = chunk(1, f"bn{name}") + chunk(2, "BatchNorm") + chunk(3, name) + chunk(4, name)
        second = chunk(1, f"scale{name}") + chunk(2, "Scale") + chunk(3, name) + chunk(4, name)
        return chunk(100, first + b"".join(chunk(7, blob(b)) for b in statistics)) + chunk(
            100, second + b"".join(chunk(7, blob(b)) for b in scales[2 * n : 2 * n + 2])
        )

    path = tmp_path / "net.caffemodel"
    path.write_bytes(
        net(
            modern("a", "Convolution", [conv]),
            pair("a", 0),
            modern("b", "Deconvolution", [up, np.arange(4)]),
            pair("b", 1),
        )
    )
    found, loaded = torch_outputs(graph, path)
    assert not loaded.extra

    # What Caffe computes, in NumPy.
    x = images(graph)[:, ::-1].astype(float)
    f4 = lambda value: value.astype("f4").astype(float)  # noqa: E731
    wide = (1, 4, 1, 1)
    x = np.einsum("nchw,oc->nohw", x, f4(conv)[:, :, 0, 0])

    def normalised(x: np.ndarray, n: int) -> np.ndarray:
        mean, variance = (f4(s) / f4(factors[n]) for s in sums[2 * n : 2 * n + 2])
        x = (x - mean.reshape(wide)) / np.sqrt(variance.reshape(wide) + 1e-5)
        return x * f4(scales[2 * n]).reshape(wide) + f4(scales[2 * n + 1]).reshape(wide)

    x = np.maximum(normalised(x, 0), 0)
    y = np.zeros((len(x), 4, 5, 5))
    for i in range(4):
        for j in range(4):
            for group in (0, 2):
                part = slice(group, group + 2)
                y[:, part, i : i + 2, j : j + 2] += np.einsum(
                    "nc,cohw->nohw", x[:, part, i, j], f4(up)[part]
                )
    y = normalised(y + np.arange(4).reshape(wide), 1)
    np.testing.assert_allclose(found, y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("eps", [None, 1e-5, 0.001])
def test_another_eps_is_said(tmp_path: Path, eps: float | None) -> None:
    graph = network([layer("bn", "batch_norm", eps=1e-5, decay=0.9, affine=False)], (3, 2, 2))
    said = b"" if eps is None else chunk(139, varint(3 << 3 | 5) + struct.pack("<f", eps))
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net(modern("bn", "BatchNorm", [np.ones(3), np.ones(3), np.ones(1)], said)))
    notes = [
        note
        for note in weights.load(path, graph).notes
        if note.startswith("eps: 0.001 in the file and 1e-05 here, of `bn`")
    ]
    assert bool(notes) is (eps == 0.001)


def test_statistics_of_no_batch_are_zero(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    blobs = [np.ones(3), np.ones(3), np.zeros(1)]
    path.write_bytes(net(modern("bn", "BatchNorm", blobs)))
    assert [tensor.value.tolist() for tensor in readers.read(path).tensors] == [[0, 0, 0]] * 2


def caffemodel(graph: Graph, values: dict[str, np.ndarray]) -> bytes:
    """The same by the messages that the reader has, which a real file has too."""
    kinds = messages()
    found = kinds["Net"]()
    for name, kind, arrays in blobs_of(graph, values):
        one = found.layer.add(name=name.encode(), type=kind.encode())
        for array in arrays:
            packed = kinds["Blob"](data=[np.ascontiguousarray(array, "<f4").tobytes()])
            packed.shape.dim.extend(array.shape)
            one.blobs.append(packed.SerializeToString())
    data: bytes = found.SerializeToString()
    return data


@pytest.mark.parametrize("name", ["caffenet", "alexnet-2012-code"])
def test_a_small_alexnet(tmp_path: Path, name: str) -> None:
    """The layers, groups and padding of the spec, a tenth as wide, through the reference."""
    graph = narrowed(name)
    values = expected(graph)
    path = tmp_path / f"{name}.caffemodel"
    path.write_bytes(caffemodel(graph, values))
    loaded = weights.load(path, graph)
    assert {match.how for match in loaded.matches} == {"name"}
    assert all((loaded.weights[key] == value).all() for key, value in values.items())
    found, _ = torch_outputs(graph, path)
    model = REFERENCE.build(graph)
    REFERENCE.load_weights(graph, model, {k: v.astype(float) for k, v in values.items()})
    reference = REFERENCE.activations(graph, model, images(graph))
    np.testing.assert_allclose(found, reference[graph.output], rtol=1e-10, atol=1e-12)


def narrowed(name: str) -> Graph:
    """A shipped spec with an eighth of the filters and units, on a smaller image."""
    full = archspec.load(name)
    layers: list[dict[str, Any]] = []
    for node in full.nodes:
        fields = {
            k: v for k, v in node.layer.model_dump(exclude_unset=True).items() if v is not None
        }
        for key in ("filters", "units"):
            if key in fields:
                fields[key] = max(8, fields[key] // 8)
        fields.pop("weight_init", None), fields.pop("bias_init", None)
        layers.append(fields | {"name": node.name, "inputs": list(node.inputs)})
    return network(layers, (3, 67, 67), name.replace("-", "_"))


# What must fail.


def refusal(tmp_path: Path, data: bytes, graph: Graph | None = None) -> str:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    with pytest.raises(ArchspecError) as caught:
        weights.load(path, graph or lenet())
    message = str(caught.value)
    assert "net.caffemodel" in message
    assert len(message) < 600
    return message


def raw(shape: Sequence[int], count: int) -> bytes:
    """A blob that says `shape` and has so many numbers."""
    dims = b"".join(map(varint, shape))
    return chunk(7, chunk(1, dims)) + chunk(5, np.ones(count, "f4").tobytes())


def conv1(content: bytes) -> bytes:
    return net(chunk(100, chunk(1, "conv1") + chunk(2, "Convolution") + chunk(7, content)))


@pytest.mark.parametrize(
    ("shape", "count", "message"),
    [
        ((4, 3, 3, 3), 107, "claims the shape 4 x 3 x 3 x 3, and the file has 107"),
        ((4, 3, 3, 3), 109, "has 109 numbers and the shape 4 x 3 x 3 x 3"),
        ((4, 3, -3, -3), 108, "has the impossible shape 4 x 3 x -3 x -3"),
        ((1 << 31, 1 << 31, 1 << 31, 1 << 31), 16, "claims the shape 2147483648 x 2147483648"),
        ((1 << 62, 4), 16, "claims the shape 4611686018427387904 x 4"),
        ((1,) * 40, 1, "has the impossible shape 1 x 1"),
        ((0, 3, 3, 3), 5, "has 5 numbers and the shape 0 x 3 x 3 x 3"),
    ],
)
def test_shapes_that_lie(tmp_path: Path, shape: Sequence[int], count: int, message: str) -> None:
    assert message in refusal(tmp_path, conv1(raw(shape, count)))


def test_numbers_that_are_cut_off(tmp_path: Path) -> None:
    content = chunk(7, chunk(1, b"\2")) + chunk(5, b"1234567")
    assert "the numbers of `conv1/0` are cut off" in refusal(tmp_path, conv1(content))


def test_another_shape_than_the_network_s(tmp_path: Path) -> None:
    graph = lenet()
    layers = [modern(*one) for one in blobs_of(graph, expected(graph))]
    layers[-1] = modern("fc", "InnerProduct", [np.ones((7, 96)), np.ones(7)])
    message = refusal(tmp_path, net(*layers), graph)
    assert "fc.weight: the file has 7" in message
    assert "--skip fc" in message


def test_numbers_that_are_none(tmp_path: Path) -> None:
    graph = lenet()
    values = expected(graph)
    values["fc.bias"][2] = math.nan
    layers = [modern(*one) for one in blobs_of(graph, values)]
    assert "1 of the 5 numbers of fc/1 are NaN" in refusal(tmp_path, net(*layers))


def test_a_batch_norm_with_other_blobs(tmp_path: Path) -> None:
    data = net(modern("bn", "BatchNorm", [np.ones(3), np.ones(3)]))
    assert "`bn` is a BatchNorm without its three blobs" in refusal(tmp_path, data)


def test_groups_in_groups(tmp_path: Path) -> None:
    """A field of the old kind that holds itself a million times over: no stack is used up."""
    deep = chunk(100, b"\x1b" * 1_000_000)
    assert "it is no Net of Caffe, or is cut off" in refusal(tmp_path, net(deep))


def test_messages_in_messages(tmp_path: Path) -> None:
    content = b""
    for _ in range(2000):
        content = chunk(1, content)
    assert "has no weights" in refusal(tmp_path, net(chunk(2, content)))


def test_a_net_without_weights(tmp_path: Path) -> None:
    data = net(chunk(100, chunk(1, "data") + chunk(2, "Data")))
    assert "has no weights; give the .caffemodel of a trained network" in refusal(tmp_path, data)


def test_too_many_layers(tmp_path: Path) -> None:
    assert "more layers than any network" in refusal(tmp_path, net() + chunk(100, b"") * 100_001)


@pytest.mark.parametrize("data", [b"layer {\n  name: 'conv1'\n}\n", b"\x0a", b"\nlayers"])
def test_something_else_under_the_ending(tmp_path: Path, data: bytes) -> None:
    assert "is no file of weights that archspec knows" in refusal(tmp_path, data)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_ends_early(tmp_path: Path, share: float) -> None:
    graph = lenet()
    data = net(*(modern(*one) for one in blobs_of(graph, expected(graph))))
    assert "is damaged: it is no Net" in refusal(tmp_path, data[: int(len(data) * share)])


def test_any_bytes_give_weights_or_a_message(tmp_path: Path) -> None:
    graph = lenet()
    data = net(*(modern(*one) for one in blobs_of(graph, expected(graph))))
    path, refused = tmp_path / "net.caffemodel", 0
    for seed in range(400):
        numbers, changed = random.Random(seed), bytearray(data)
        for _ in range(numbers.choice([1, 2, 5, 20])):
            changed[numbers.randrange(200 if seed % 2 else len(data))] = numbers.randrange(256)
        path.write_bytes(changed)
        try:
            weights.load(path, graph)
        except ArchspecError:
            refused += 1
    assert 50 < refused < 400


def test_the_bytes_by_hand_are_those_of_the_package() -> None:
    """The two ways of these tests to write a blob agree."""
    value = np.arange(6, dtype="f4").reshape(2, 3)
    parsed = messages()["Blob"].FromString(blob(value))
    assert list(parsed.shape.dim) == [2, 3]
    assert b"".join(parsed.data) == value.tobytes()
    assert struct.unpack("<6f", parsed.data[0]) == tuple(range(6))
