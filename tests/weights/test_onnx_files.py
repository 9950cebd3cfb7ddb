"""ONNX models, exported by PyTorch, and made by hand as other exporters write them."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from models import images, mixed, random_like, torch_outputs
from networks import layer, network
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from archspec import weights
from archspec.backends.initial import initial_weights
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.weights import readers


class Mixed(nn.Module):
    """The network `mixed` as a user of PyTorch writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8, eps=1e-3),
            nn.ReLU(),
            nn.Conv2d(8, 6, 3, groups=2, bias=False),
            nn.BatchNorm2d(6, eps=1e-3),
            nn.Conv2d(6, 12, (3, 2), groups=6),
            nn.ConvTranspose2d(12, 5, 3, stride=2),
            nn.Tanh(),
        )
        self.classifier = nn.Sequential(
            nn.Linear(5 * 7 * 11, 7), nn.ReLU(), nn.Linear(7, 4, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))


def model() -> Mixed:
    torch.manual_seed(0)
    found = Mixed().double()
    for one in found.modules():
        if isinstance(one, nn.BatchNorm2d):
            nn.init.uniform_(one.weight)
            nn.init.uniform_(one.running_var)
            nn.init.normal_(one.bias)
            nn.init.normal_(one.running_mean)
    return found.float().double().eval()


def exported(path: Path, net: nn.Module, graph: Graph, *, fold: bool = False) -> Path:
    """By PyTorch's own exporter. It folds batch normalisation into convolutions, or does not."""
    mode = torch.onnx.TrainingMode
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(1, *graph.input_shape, dtype=next(net.parameters()).dtype),),
            path,
            dynamo=False,
            training=mode.EVAL if fold else mode.PRESERVE,
            do_constant_folding=fold,
        )
    return path


def test_a_model_of_pytorch_gives_the_same(tmp_path: Path) -> None:
    graph, net = mixed(), model()
    expected = net(torch.from_numpy(images(graph))).detach().numpy()
    found, loaded = torch_outputs(graph, exported(tmp_path / "net.onnx", net, graph))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert loaded.format == "ONNX"
    assert not loaded.extra
    assert {match.how for match in loaded.matches} == {"order and shape"}
    sources = {match.name: match.source for match in loaded.matches}
    assert sources["up.weight"] == "features.6.weight"
    assert sources["fc2.weight"] == "classifier.2.weight"


def test_what_constant_folding_leaves(tmp_path: Path) -> None:
    """Names such as onnx::Conv_33, and matrices that are transposed beforehand."""
    layers = [
        layer("a", "conv2d", filters=4, kernel_size=3),
        layer("b", "conv2d", filters=4, kernel_size=1),
        layer("flat", "flatten"),
        layer("c", "dense", units=3, bias=False),
    ]
    graph = network(layers, (3, 5, 6))
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 1),
        nn.Flatten(),
        nn.Linear(48, 3, bias=False),
    ).eval()
    nn.init.uniform_(net[1].running_var)
    expected = net(torch.from_numpy(images(graph)).float()).detach().numpy()
    path = exported(tmp_path / "net.onnx", net, graph, fold=True)
    found, loaded = torch_outputs(graph, path, "float32")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert any("folded batch normalisations" in note for note in loaded.notes)
    assert any(match.source.startswith("onnx::Conv") for match in loaded.matches)


def test_equal_tensors_that_the_exporter_keeps_once(tmp_path: Path) -> None:
    """Two fresh batch normalisations are one set of tensors and a row of Identity nodes."""
    norm = {"eps": 1e-5, "decay": 0.9}
    graph = network(
        [
            layer("one", "batch_norm", **norm),
            layer("relu", "relu"),
            layer("two", "batch_norm", **norm),
        ],
        (3, 4, 4),
    )
    net = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.BatchNorm2d(3)).eval()
    path = exported(tmp_path / "net.onnx", net, graph, fold=True)
    assert any(node.op_type == "Identity" for node in onnx.load(path).graph.node)
    _, loaded = torch_outputs(graph, path)
    assert len(loaded.matches) == 8


def test_names_that_are_canonical(tmp_path: Path) -> None:
    """A state dict's names that are the spec's: names are matched, whatever the order."""
    graph = network(
        [
            layer("a", "conv2d", filters=3, kernel_size=1),
            layer("b", "conv2d", filters=3, kernel_size=1),
        ]
    )

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.b, self.a = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x))

    net = Net()
    loaded = weights.load(exported(tmp_path / "net.onnx", net, graph), graph)
    assert {match.how for match in loaded.matches} == {"name"}
    assert (loaded.weights["b.weight"] == net.b.weight.detach().numpy()).all()


# By hand, as other exporters write.


def tensor(name: str, value: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(value), name)


def saved(
    path: Path, nodes: list[Any], tensors: list[TensorProto], shape: tuple[int, ...], **more: Any
) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (None, *shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        tensors,
        **more,
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    path.write_bytes(built.SerializeToString())
    return path


def head() -> Graph:
    return network(
        [
            layer("conv", "conv2d", filters=4, kernel_size=2),
            layer("flat", "flatten"),
            layer("fc", "dense", units=3),
        ],
        (3, 4, 5),
        "head",
    )


def values() -> dict[str, np.ndarray]:
    return random_like(initial_weights(head(), 0))


def node(kind: str, inputs: str, output: str, **options: Any) -> Any:
    return helper.make_node(kind, inputs.split(), [output], **options)


def test_as_tensorflow_s_exporter_writes_it(tmp_path: Path) -> None:
    """Channels first inside, height x width x channels before the matrix, biases that are added."""
    w = values()
    fc = w["fc.weight"].reshape(3, 4, 3, 4).transpose(2, 3, 1, 0).reshape(48, 3)
    nodes = [
        node("Conv", "x kernel", "c"),
        node("Add", "c model/conv/Bias", "d"),
        node("Transpose", "d", "t", perm=[0, 2, 3, 1]),
        node("Reshape", "t shape", "r"),
        node("MatMul", "r model/fc/MatMul/ReadVariableOp:0", "m"),
        node("Add", "m model/fc/BiasAdd", "y"),
    ]
    tensors = [
        tensor("kernel", w["conv.weight"]),
        tensor("model/conv/Bias", w["conv.bias"].reshape(1, 4, 1, 1)),
        tensor("shape", np.array([-1, 48])),
        tensor("model/fc/MatMul/ReadVariableOp:0", fc),
        tensor("model/fc/BiasAdd", w["fc.bias"]),
    ]
    path = saved(tmp_path / "net.onnx", nodes, tensors, (3, 4, 5))
    loaded = weights.load(path, head())
    assert all((loaded.weights[name] == value).all() for name, value in w.items())
    assert not loaded.extra
    found, _ = torch_outputs(head(), path)
    run = onnx_outputs(path, images(head()).astype("f4"))
    np.testing.assert_allclose(found, run, rtol=1e-5, atol=1e-5)


def onnx_outputs(path: Path, x: np.ndarray) -> np.ndarray:
    """What onnxruntime computes, or ONNX's own reference where it is not installed."""
    try:
        from onnxruntime import InferenceSession
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        return np.asarray(ReferenceEvaluator(path).run(None, {"x": x})[0])
    session = InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [(3,), (1, 3), (1,), ()])
def test_gemm_in_every_way(tmp_path: Path, transposed: int, bias: tuple[int, ...]) -> None:
    w = values()
    numbers = np.random.default_rng(0).standard_normal(bias).astype("f4")
    matrix = w["fc.weight"] if transposed else w["fc.weight"].T
    nodes = [
        node("Conv", "x w b", "c"),
        node("Flatten", "c", "f"),
        node("Gemm", "f m n", "y", alpha=0.5, beta=-3.0, transB=transposed),
    ]
    tensors = [
        tensor("w", w["conv.weight"]),
        tensor("b", w["conv.bias"]),
        tensor("m", matrix),
        tensor("n", numbers),
    ]
    path = saved(tmp_path / "net.onnx", nodes, tensors, (3, 4, 5))
    found, _ = torch_outputs(head(), path)
    run = onnx_outputs(path, images(head()).astype("f4"))
    np.testing.assert_allclose(found, run, rtol=1e-5, atol=1e-5)


def test_constants_in_nodes(tmp_path: Path) -> None:
    """Weights that come out of Constant, Identity, Cast and Transpose nodes."""
    w = values()
    nodes = [
        helper.make_node("Constant", [], ["w0"], value=tensor("", w["conv.weight"])),
        node("Identity", "w0", "conv.weight"),
        node("Transpose", "fc.kernel", "fc.weight", perm=[1, 0]),
        node("Cast", "half", "fc.bias", to=TensorProto.FLOAT),
        node("Conv", "x conv.weight conv.bias", "c"),
        node("Flatten", "c", "f"),
        node("Gemm", "f fc.weight fc.bias", "y"),
    ]
    half = w["fc.bias"].astype("f2")
    tensors = [
        tensor("conv.bias", w["conv.bias"]),
        tensor("fc.kernel", w["fc.weight"]),
        tensor("half", half),
    ]
    loaded = weights.load(saved(tmp_path / "net.onnx", nodes, tensors, (3, 4, 5)), head())
    assert (loaded.weights["conv.weight"] == w["conv.weight"]).all()
    assert (loaded.weights["fc.weight"] == w["fc.weight"]).all()
    assert (loaded.weights["fc.bias"] == half.astype("f4")).all()
    assert not loaded.extra


def plain(w: dict[str, np.ndarray], **replaced: TensorProto) -> tuple[list[Any], list[TensorProto]]:
    """The network `head`, with some of its tensors replaced."""
    nodes = [
        node("Conv", "x conv.weight conv.bias", "c"),
        node("Flatten", "c", "f"),
        node("Gemm", "f fc.weight fc.bias", "y", transB=1),
    ]
    tensors = {name: tensor(name, value) for name, value in w.items()}
    for name, other in replaced.items():
        other.name = name.replace("_", ".")
        tensors[other.name] = other
    return nodes, list(tensors.values())


def typed(value: np.ndarray, kind: int) -> TensorProto:
    """Numbers in the field of their type, not as bytes."""
    return helper.make_tensor("", kind, value.shape, value.ravel())


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (TensorProto.FLOAT, "f4"),
        (TensorProto.DOUBLE, "f8"),
        (TensorProto.FLOAT16, "f2"),
        (TensorProto.BFLOAT16, "bfloat16"),
    ],
)
def test_number_formats(tmp_path: Path, kind: int, dtype: str, raw: bool) -> None:
    w = values()
    if raw:
        width = helper.tensor_dtype_to_np_dtype(kind)
        value = numpy_helper.from_array(w["fc.weight"].astype(width))
        assert value.data_type == kind
    else:
        value = typed(w["fc.weight"], kind)
        assert not value.raw_data
    expected = numpy_helper.to_array(value).astype("f4")
    path = saved(tmp_path / "net.onnx", *plain(w, fc_weight=value), (3, 4, 5))
    loaded = weights.load(path, head())
    assert (loaded.weights["fc.weight"] == expected).all()
    changes = next(m.changes for m in loaded.matches if m.name == "fc.weight")
    assert bool(changes) is (kind != TensorProto.FLOAT)


def test_a_layer_that_is_used_twice_is_one_layer(tmp_path: Path) -> None:
    w = np.ones((3, 3, 1, 1), "f4")
    nodes = [node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Conv", "b w", "y")]
    found = readers.read(saved(tmp_path / "net.onnx", nodes, [tensor("w", w)], (3, 2, 2)))
    assert [t.name for t in found.tensors] == ["w"]


def test_a_factor_and_a_layer_norm(tmp_path: Path) -> None:
    graph = network([layer("norm", "layer_norm", eps=1e-5), layer("gamma", "scale")], (4, 3, 3))
    numbers = np.random.default_rng(0).random((3, 4), "f4")
    nodes = [
        node("Transpose", "x", "t", perm=[0, 2, 3, 1]),
        node("LayerNormalization", "t a b", "n"),
        node("Mul", "n g", "m"),
        node("Transpose", "m", "y", perm=[0, 3, 1, 2]),
    ]
    tensors = [tensor(name, value) for name, value in zip("abg", numbers, strict=True)]
    loaded = weights.load(saved(tmp_path / "net.onnx", nodes, tensors, (4, 3, 3)), graph)
    found = [loaded.weights[name] for name in ("norm.weight", "norm.bias", "gamma.weight")]
    assert (np.array(found) == numbers).all()


def test_other_tensors_are_left_over(tmp_path: Path) -> None:
    nodes, tensors = plain(values())
    nodes.append(node("PRelu", "y slope", "z"))
    tensors.append(tensor("slope", np.ones(3, "f4")))
    tensors.append(tensor("steps", np.arange(4)))  # whole numbers are no weights
    loaded = weights.load(saved(tmp_path / "net.onnx", nodes, tensors, (3, 4, 5)), head())
    assert loaded.extra == ("slope",)


# What must fail.


def refusal(path: Path, graph: Graph | None = None) -> str:
    with pytest.raises(ArchspecError) as caught:
        weights.load(path, graph or head())
    message = str(caught.value)
    assert path.name in message
    assert len(message) < 600
    return message


def outside(location: str, offset: int | None = 0, length: int | None = None) -> TensorProto:
    """The weight of `fc` in a file beside the model."""
    found = TensorProto(data_type=TensorProto.FLOAT, dims=(3, 48))
    found.data_location = TensorProto.EXTERNAL
    said = {"location": location, "offset": offset, "length": length}
    for key, value in said.items():
        if value is not None:
            found.external_data.add(key=key, value=str(value))
    return found


def with_outside(folder: Path, *args: Any) -> Path:
    return saved(folder / "net.onnx", *plain(values(), fc_weight=outside(*args)), (3, 4, 5))


@pytest.mark.parametrize("place", ["net.data", "folder/net.data", "./net.data"])
@pytest.mark.parametrize(("offset", "length"), [(0, 576), (64, 576), (64, None), (None, None)])
def test_data_beside_the_model(
    tmp_path: Path, place: str, offset: int | None, length: int | None
) -> None:
    w = values()["fc.weight"]
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(bytes(offset or 0) + w.tobytes() + b"more")
    loaded = weights.load(with_outside(tmp_path, place, offset, length), head())
    assert (loaded.weights["fc.weight"] == w).all()


def test_data_as_the_package_puts_it_beside_the_model(tmp_path: Path) -> None:
    w = values()
    path = saved(tmp_path / "one.onnx", *plain(w), (3, 4, 5))
    onnx.save(
        onnx.load(path),
        tmp_path / "net.onnx",
        save_as_external_data=True,
        location="net.data",
        size_threshold=0,
    )
    assert (tmp_path / "net.data").exists()
    loaded = weights.load(tmp_path / "net.onnx", head())
    assert all((loaded.weights[name] == value).all() for name, value in w.items())


@pytest.mark.parametrize(
    "place", ["/etc/passwd", "../net.data", "a/../../net.data", "..\\net.data", "C:\\x", "", "."]
)
def test_data_outside_of_the_folder(tmp_path: Path, place: str) -> None:
    (tmp_path / "net.data").write_bytes(bytes(576))
    folder = tmp_path / "model"
    folder.mkdir()
    message = refusal(with_outside(folder, place))
    assert "outside of the model's own folder" in message or "is a folder" in message


def test_a_link_that_leads_out(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(576))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "net.data").symlink_to(tmp_path / "secret")
    assert "is a link that leads out of the model's folder" in refusal(
        with_outside(folder, "net.data")
    )
    (folder / "inner").symlink_to(tmp_path)
    assert "leads out" in refusal(with_outside(folder, "inner/secret"))


@pytest.mark.parametrize(
    ("offset", "length", "message"),
    [
        (0, 577, "would be 577 bytes from 0 on"),
        (0, 100, "its shape takes 576"),
        (200, 576, "which has 600"),
        (-8, 576, "from -8 on"),
        (10**30, 576, "from 1,000,000"),
    ],
)
def test_places_that_lie(tmp_path: Path, offset: int, length: int, message: str) -> None:
    (tmp_path / "net.data").write_bytes(bytes(600))
    assert message in refusal(with_outside(tmp_path, "net.data", offset, length))


def test_a_place_that_is_no_number(tmp_path: Path) -> None:
    (tmp_path / "net.data").write_bytes(bytes(600))
    assert "is no number" in refusal(with_outside(tmp_path, "net.data", "eight"))


def test_data_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ArchspecError, match=r"net\.data does not exist"):
        weights.load(with_outside(tmp_path, "net.data"), head())


def test_one_file_for_thousands_of_tensors(tmp_path: Path) -> None:
    """Each tensor is the same megabyte again."""
    (tmp_path / "net.data").write_bytes(bytes(1 << 20))
    nodes, tensors = plain(values())
    for index in range(100):
        more = TensorProto(name=f"t{index}", data_type=TensorProto.FLOAT, dims=(1 << 18,))
        more.data_location = TensorProto.EXTERNAL
        more.external_data.add(key="location", value="net.data")
        tensors.append(more)
    path = saved(tmp_path / "net.onnx", nodes, tensors, (3, 4, 5))
    with pytest.raises(ArchspecError, match="would unpack to"):
        weights.load(path, head())


def lying(dims: tuple[int, ...], count: int) -> TensorProto:
    return TensorProto(data_type=TensorProto.FLOAT, dims=dims, raw_data=bytes(4 * count))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lying((3, 48), 143), "claims the shape 3 x 48, and the file has 143"),
        (lying((3, 48), 145), "has 145 numbers and the shape 3 x 48"),
        (lying((-3, -48), 144), "has the impossible shape -3 x -48"),
        (lying((1 << 40, 1 << 40), 4), "claims the shape 1099511627776 x 1099511627776"),
        (lying((1 << 62, 4), 0), "claims the shape 4611686018427387904 x 4"),
        (lying((1,) * 40, 1), "has the impossible shape 1 x 1"),
        (
            TensorProto(data_type=TensorProto.FLOAT, dims=(3, 48), raw_data=bytes(575)),
            "the numbers of `fc.weight` are cut off",
        ),
        (lying((5, 48), 240), "fc.weight: the file has 5"),
        (lying((3, 40), 120), "fc.weight: the file has 3"),
    ],
)
def test_shapes_that_lie(tmp_path: Path, other: TensorProto, message: str) -> None:
    path = saved(tmp_path / "net.onnx", *plain(values(), fc_weight=other), (3, 4, 5))
    assert message in refusal(path)


def test_numbers_that_are_none(tmp_path: Path) -> None:
    w = values()
    w["conv.bias"][0] = np.nan
    path = saved(tmp_path / "net.onnx", *plain(w), (3, 4, 5))
    assert "1 of the 4 numbers of conv.bias are NaN" in refusal(path)


@pytest.mark.parametrize(
    "kind", ["QLinearConv", "ConvInteger", "DequantizeLinear", "QuantizeLinear"]
)
def test_quantised_models(tmp_path: Path, kind: str) -> None:
    nodes, tensors = plain(values())
    path = saved(tmp_path / "net.onnx", [node(kind, "x s z", "q"), *nodes], tensors, (3, 4, 5))
    assert f"is quantised: its node `q` is a {kind}" in refusal(path)


def test_sparse_weights(tmp_path: Path) -> None:
    nodes, tensors = plain(values())
    sparse = helper.make_sparse_tensor(
        tensor("fc.weight", np.ones(2, "f4")), tensor("i", np.array([0, 5])), [3, 48]
    )
    tensors = [t for t in tensors if t.name != "fc.weight"]
    path = saved(tmp_path / "net.onnx", nodes, tensors, (3, 4, 5), sparse_initializer=[sparse])
    assert "has `fc.weight` as a sparse tensor" in refusal(path)


def test_constants_in_a_circle(tmp_path: Path) -> None:
    nodes = [
        node("Identity", "b", "a"),
        node("Identity", "a", "b"),
        node("Conv", "x a", "y"),
    ]
    path = saved(tmp_path / "net.onnx", nodes, [], (3, 4, 5))
    assert "has no tensors in it" in refusal(path)


def test_axes_that_are_none(tmp_path: Path) -> None:
    nodes, tensors = plain(values())
    nodes = [node("Transpose", "fc.weight", "t", perm=[0, 7]), *nodes[:2], node("Gemm", "f t", "y")]
    path = saved(tmp_path / "net.onnx", nodes, tensors, (3, 4, 5))
    assert "transposes other axes" in refusal(path)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_file_that_ends_early(tmp_path: Path, share: float) -> None:
    data = saved(tmp_path / "net.onnx", *plain(values()), (3, 4, 5)).read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(len(data) * share)])
    assert "is damaged: it is no model of ONNX" in refusal(path)


@pytest.mark.parametrize("data", [b"\x08", b"\x08\x07\x12\x01a", b"onnx", b"{}"])
def test_something_else_under_the_ending(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    assert "is no file of weights that archspec knows" in refusal(path)


def nested(depth: int) -> bytes:
    """An attribute that is a graph with a node with an attribute that is a graph, and so on."""
    content = b""

    def chunk(field: int, inside: bytes) -> bytes:
        size, found = len(inside), bytearray([field << 3 | 2])
        while size > 127:
            found.append(size & 127 | 128)
            size >>= 7
        return bytes([*found, size]) + inside

    for _ in range(depth):
        content = chunk(1, chunk(5, chunk(6, content)))  # node, attribute, graph
    return b"\x08\x08" + chunk(7, content)


def test_graphs_in_graphs(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(nested(2000))
    assert "is damaged: it is no model of ONNX" in refusal(path)


def test_any_bytes_give_weights_or_a_message(tmp_path: Path) -> None:
    data = saved(tmp_path / "good.onnx", *plain(values()), (3, 4, 5)).read_bytes()
    path, refused = tmp_path / "net.onnx", 0
    for seed in range(400):
        numbers, changed = random.Random(seed), bytearray(data)
        for _ in range(numbers.choice([1, 2, 5, 20])):
            changed[numbers.randrange(len(data))] = numbers.randrange(256)
        path.write_bytes(changed)
        try:
            weights.load(path, head())
        except ArchspecError:
            refused += 1
    assert 50 < refused < 400
