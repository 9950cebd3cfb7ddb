"""ONNX: its checker and its shape inference, and onnxruntime against the NumPy reference.

Errors are relative to the largest value of a layer, in float32: a layer rounds each of its sums and
products by 2^-24 (6e-8) at most, and hands on what it was given. One layer behind the stem of the
examples stays within 1e-6, networks of some hundred layers within 1e-5.
"""

from __future__ import annotations

import errno
import importlib.util
import itertools
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx.printer
import onnxruntime
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from networks import (
    EXAMPLES,
    SOON,
    branching,
    example_network,
    heads,
    layer,
    network,
    parsed,
    unet,
)
from onnx.reference import ReferenceEvaluator

import archspec
from archspec import cli
from archspec import weights as weights_file
from archspec.analysis.shapes import infer_shapes
from archspec.backends import get_backend
from archspec.backends.base import ComparableBackend
from archspec.backends.initial import initial_weights
from archspec.backends.numpy import BACKEND as NUMPY
from archspec.backends.onnx import BACKEND
from archspec.backends.onnx import layers as table
from archspec.backends.onnx import model as models
from archspec.backends.onnx.emit import values
from archspec.backends.onnx.model import session
from archspec.backends.onnx.text import Constant, Part, Tensor, nodes, op
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.layers.base import Example

ONE_LAYER, MANY_LAYERS = 1e-6, 1e-5

DATA = Path(__file__).parents[1] / "data"
ZOO: dict[str, dict[str, Any]] = json.loads((DATA / "zoo.json").read_text())
del ZOO["_note"]
VERIFIED = [name for name, row in ZOO.items() if "verify" in row]

Arrays = dict[str, np.ndarray]
Judge = Callable[[Graph, Arrays, np.ndarray], Arrays]


def uneven_weights(graph: Graph) -> Arrays:
    """Weights without two tensors that could be taken for each other, in float32."""
    numbers = np.random.default_rng(0)
    return {
        name: (array + numbers.uniform(0.0, 0.5, array.shape) * (np.ptp(array) == 0)).astype("f4")
        for name, array in initial_weights(graph, 0).items()
    }


def images_for(graph: Graph, count: int = 2) -> np.ndarray:
    numbers = np.random.default_rng(1)
    return numbers.standard_normal((count, *graph.input_shape)).astype("float32")


def reference(graph: Graph, weights: Arrays, images: np.ndarray) -> Arrays:
    model = NUMPY.build(graph)
    NUMPY.load_weights(graph, model, {name: w.astype("float64") for name, w in weights.items()})
    return NUMPY.activations(graph, model, images.astype("float64"))


def error(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    largest = np.abs(expected).max()
    return float(np.abs(found - expected).max() / largest) if largest else np.abs(found).max()


def dims(value: Any) -> list[int | str]:
    return [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]


def inferred_shapes(model: Any) -> dict[str, list[int | str]]:
    """What ONNX infers by itself, from the shapes of the image and the weights alone."""
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    found = onnx.shape_inference.infer_shapes(model, True, strict_mode=True, data_prop=True)
    return {v.name: dims(v) for v in (*found.graph.value_info, *found.graph.output)}


def by_torch(graph: Graph, weights: Arrays, images: np.ndarray) -> Arrays:
    """What PyTorch computes in float64: faster, and `test_zoo` compares it with the reference."""
    torch = get_backend("torch")
    assert isinstance(torch, ComparableBackend)
    model = torch.build_for_verification(graph, "float64")
    torch.load_weights(graph, model, weights)
    return torch.activations(graph, model, images.astype("float64"))


def check(graph: Graph, bound: float, judge: Judge = reference) -> None:
    """Valid, of the shapes that the analysis has, and equal to the reference in every layer.

    The output also with all optimisations of onnxruntime, as users run it.
    """
    weights, images = uneven_weights(graph), images_for(graph)
    text = onnx.parser.parse_model(BACKEND.emit(graph))
    onnx.checker.check_model(text, full_check=True)
    model = BACKEND.build_for_verification(graph, "float32")
    BACKEND.load_weights(graph, model, weights)
    onnx.checker.check_model(model)
    assert [i.name for i in model.graph.input] == ["input"]
    assert [o.name for o in model.graph.output] == [values(graph)[graph.output]]
    declared = {v.name: dims(v) for v in (*model.graph.value_info, *model.graph.output)}
    inferred, shapes = inferred_shapes(text), infer_shapes(graph)
    for node in graph.nodes:
        name, shape = values(graph)[node.name], list(shapes.of(node.name))
        assert declared[name] == ["N", *shape]
        assert inferred[name][1:] == shape
    found = BACKEND.activations(graph, model, images)
    expected = judge(graph, weights, images)
    assert found.keys() == {node.name for node in graph.nodes}
    assert {array.dtype for array in found.values()} == {np.dtype("float32")}
    errors = {name: error(array, expected[name]) for name, array in found.items()}
    assert {name: e for name, e in errors.items() if e > bound} == {}
    (optimised,) = session(model).run(None, {"input": images})
    assert error(optimised, expected[graph.output]) <= bound


@pytest.mark.parametrize(
    ("kind", "example"), [e[1:] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_every_example_is_valid_and_equal(kind: str, example: Example) -> None:
    check(example_network(kind, example), ONE_LAYER)


@pytest.mark.parametrize("graph", [branching(), heads(), unet()], ids=lambda graph: graph.name)
def test_networks_are_valid_and_equal(graph: Graph) -> None:
    check(graph, MANY_LAYERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", VERIFIED)
def test_one_of_each_family_is_valid_and_equal(name: str) -> None:
    row = ZOO[name]
    graph = archspec.load(name, input=tuple(row["verify"]), **row.get("variables", {}))
    check(graph, MANY_LAYERS, by_torch)


# Where onnx's own reference (1.23) is no reference: its LRN runs over the images instead of the
# channels, its ConvTranspose mixes groups up and its MaxPool cannot pad one side alone.
NOT_IN_ONNX = {"local_response_norm", "conv2d_transpose-7", "conv2d_transpose-8", "max_pool2d-8"}


@pytest.mark.parametrize(
    ("kind", "example"),
    [e[1:] for e in EXAMPLES if NOT_IN_ONNX.isdisjoint(e[:2])],
    ids=[e[0] for e in EXAMPLES if NOT_IN_ONNX.isdisjoint(e[:2])],
)
def test_the_operators_mean_the_same_in_float64(kind: str, example: Example) -> None:
    """By the definition of the operators, without onnxruntime.

    Attributes are float32 in ONNX, whatever the tensors are: an eps is 1e-5 to seven digits.
    """
    graph = example_network(kind, example)
    text = BACKEND.emit(graph).replace("float[", "double[").replace("float {", "double {")
    weights, images = uneven_weights(graph), images_for(graph).astype("float64")
    feed = {"input": images, **{name: w.astype("float64") for name, w in weights.items()}}
    (found,) = ReferenceEvaluator(onnx.parser.parse_model(text)).run(None, feed)
    assert found.dtype == np.dtype("float64")
    assert error(found, reference(graph, weights, images)[graph.output]) < 3e-8


def test_torch_and_onnx_compute_the_same() -> None:
    graph = branching()
    weights, images = uneven_weights(graph), images_for(graph)
    outputs = []
    for one in (BACKEND, get_backend("torch")):
        model = one.build_for_verification(graph, "float32")
        one.load_weights(graph, model, weights)
        outputs.append(one.activations(graph, model, images))
    for name, found in outputs[0].items():
        assert error(found, outputs[1][name]) < MANY_LAYERS, name


quick = settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


def pair(most: int, least: int = 1) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(least, most), min_size=2, max_size=2)


sides = st.lists(st.integers(0, 3), min_size=4, max_size=4)
windows = st.fixed_dictionaries(
    {
        "kernel_size": pair(4),
        "stride": pair(3),
        "padding": st.one_of(st.just("same"), sides),
        "rounding": st.sampled_from(["floor", "ceil"]),
    }
)


def check_layer(maps: list[int], kind: str, **fields: Any) -> None:
    stem = layer("stem", "conv2d", "input", filters=4, kernel_size=1)
    graph = parsed([stem, layer("layer", kind, **fields)], (2, *maps))
    assume(not archspec.analyze(graph).has_errors)
    check(graph, ONE_LAYER)


@quick
@given(pair(9), windows, pair(3), st.sampled_from([1, 2, 4]), st.booleans())
def test_convolutions_with_any_window(
    size: list[int], window: dict[str, Any], dilation: list[int], groups: int, bias: bool
) -> None:
    check_layer(size, "conv2d", filters=4, dilation=dilation, groups=groups, bias=bias, **window)


@quick
@given(pair(9), windows)
def test_max_pools_with_any_window(size: list[int], window: dict[str, Any]) -> None:
    check_layer(size, "max_pool2d", **window)


@quick
@given(pair(9), windows, st.booleans())
def test_average_pools_with_any_window(
    size: list[int], window: dict[str, Any], counted: bool
) -> None:
    check_layer(size, "avg_pool2d", count_include_pad=counted, **window)


@quick
@given(pair(9), pair(9))
def test_adaptive_pools_of_any_size(size: list[int], output: list[int]) -> None:
    check_layer(size, "adaptive_avg_pool2d", output_size=output)


@quick
@given(pair(7), pair(7), st.sampled_from(["nearest", "bilinear"]))
def test_upsampling_by_any_factor(size: list[int], scale: list[int], mode: str) -> None:
    check_layer(size, "upsample2d", scale=scale, mode=mode)


@quick
@given(pair(5), pair(4), pair(3), pair(4), pair(3, 0), sides, st.sampled_from([1, 2, 4]))
def test_transposed_convolutions_of_any_kind(
    size: list[int],
    kernel: list[int],
    stride: list[int],
    dilation: list[int],
    added: list[int],
    padding: list[int],
    groups: int,
) -> None:
    limits = (max(pair) - 1 for pair in zip(stride, dilation, strict=True))
    fields = {
        "kernel_size": kernel,
        "stride": stride,
        "dilation": dilation,
        "output_padding": [min(pair) for pair in zip(added, limits, strict=True)],
        "padding": padding,
        "groups": groups,
    }
    check_layer(size, "conv2d_transpose", filters=4, **fields)


@quick
@given(
    st.sampled_from([1, 3, 5, 15]),
    st.sampled_from([0.0, 1e-50, 0.5, 2.0]),
    st.sampled_from([-1.5, 0.0, 0.75, 2.0]),
    st.sampled_from([0.5, 2.0]),
    st.sampled_from(["sum", "mean"]),
    st.sampled_from([1, 2, 4]),
)
def test_local_response_norms_of_any_kind(
    size: int, alpha: float, beta: float, k: float, mode: str, groups: int
) -> None:
    fields = {"size": size, "alpha": alpha, "beta": beta, "k": k, "groups": groups}
    check_layer([3, 4], "local_response_norm", alpha_mode=mode, **fields)


@pytest.mark.parametrize("kind", ["max_pool2d", "avg_pool2d", "conv2d", "conv2d_transpose"])
@pytest.mark.parametrize("padding", [[1, 1, 1, 1], [0, 2, 1, 0], [3, 4, 3, 5]])
def test_a_border_of_zeros_stays_one_before_any_window(kind: str, padding: list[int]) -> None:
    """Optimisers that fuse it with a pool make padding of it, which does not count."""
    filters = {"filters": 3} if kind.startswith("conv") else {}
    layers = [
        layer("stem", "conv2d", filters=4, kernel_size=1),
        layer("border", "zero_pad2d", padding=padding),
        layer("window", kind, kernel_size=3, stride=1, **filters),
    ]
    graph = network(layers, (2, 5, 6))
    check(graph, ONE_LAYER)
    (pad,) = (node for node in BACKEND.parse(graph).graph.node if node.op_type == "Pad")
    assert len(pad.input) == 4  # onnxruntime leaves one alone that names its axes


LRN = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2}


def operators(**fields: Any) -> list[str]:
    graph = parsed([layer("norm", "local_response_norm", **{**LRN, **fields})], (8, 4, 4))
    return [node.op_type for node in BACKEND.parse(graph).graph.node]


def test_local_response_norm_is_onnx_s_own_where_it_can_be() -> None:
    assert operators(alpha_mode="mean") == ["LRN"]
    assert operators(alpha_mode="sum", groups=2) == ["Split", "LRN", "LRN", "Concat"]
    assert "LRN" not in operators(alpha_mode="sum", beta=-0.75)
    graph = archspec.load("alexnet")
    assert "<size = 5, alpha = 0.0005, beta = 0.75, bias = 2.0>" in BACKEND.emit(graph)


@pytest.mark.parametrize("kind", ["group_norm", "layer_norm"])
def test_norms_of_values_far_from_zero_keep_their_digits(kind: str) -> None:
    """The mean of the squares less the square of the mean would keep three of them."""
    fields = {"group_norm": {"groups": 2, "eps": 1e-5}, "layer_norm": {"eps": 1e-5}}[kind]
    graph = parsed([layer("norm", kind, **fields)], (8, 6, 5))
    weights = {"norm.weight": np.ones(8, "float32"), "norm.bias": np.zeros(8, "float32")}
    images = images_for(graph) + np.float32(100)
    model = BACKEND.build(graph)
    BACKEND.load_weights(graph, model, weights)
    found = BACKEND.activations(graph, model, images)["norm"]
    assert error(found, reference(graph, weights, images)["norm"]) < 2e-5


# Files


def test_the_model_of_the_file_runs_with_any_batch(tmp_path: Path) -> None:
    """As a user runs it: optimised, from the file, and without the auxiliary heads."""
    graph = heads()
    weights = uneven_weights(graph)
    model = BACKEND.build(graph)
    BACKEND.load_weights(graph, model, weights)
    path = tmp_path / "heads.onnx"
    words = BACKEND.write_model(graph, model, path)
    assert words.endswith("without 7 layers of training alone")
    onnx.checker.check_model(str(path), full_check=True)
    kept = {tensor.name for tensor in onnx.load(path).graph.initializer}
    assert kept == {n for n in weights if n.rpartition(".")[0] not in graph.training_only}
    layers = {node.name.partition("/")[0] for node in onnx.load(path).graph.node}
    assert layers == {node.name for node in graph.nodes} - graph.training_only
    run = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        images = images_for(graph, count)
        (found,) = run.run(None, {"input": images})
        assert error(found, reference(graph, weights, images)["fc"]) < MANY_LAYERS
    assert {tensor.name for tensor in model.graph.initializer} == weights.keys()


def test_a_predictor_runs_the_optimised_model() -> None:
    graph = heads()
    weights, images = uneven_weights(graph), images_for(graph, 3)
    predictor = BACKEND.predictor(graph, weights, "auto")
    assert (predictor.device, predictor.engine) == ("cpu", f"onnxruntime {onnxruntime.__version__}")
    found = predictor.logits(images.transpose(0, 2, 3, 1))
    assert error(found, reference(graph, weights, images)["fc"]) < MANY_LAYERS
    with pytest.raises(ArchspecError, match="use --device cpu"):
        BACKEND.predictor(graph, weights, "cuda")


def test_a_model_says_where_it_comes_from() -> None:
    graph = branching()
    model = BACKEND.build(graph)
    assert model.producer_name == "archspec"
    assert model.producer_version == archspec.__version__
    assert model.doc_string == "A network with branches"
    assert {p.key: p.value for p in model.metadata_props} == {
        "archspec.network": "branching",
        "archspec.hash": graph.hash,
    }
    meta = session(model).get_modelmeta()
    assert meta.graph_name == "branching"
    assert meta.custom_metadata_map["archspec.hash"] == graph.hash
    called = [node.name for node in model.graph.node]
    assert len(set(called)) == len(called)
    assert {node.name for node in graph.nodes} <= set(called)


def test_building_is_deterministic() -> None:
    first, second = (BACKEND.build(branching()) for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )


def test_onnx_s_printer_and_parser_keep_the_model() -> None:
    model = BACKEND.parse(heads())
    again = onnx.parser.parse_model(onnx.printer.to_text(model))
    assert [(n.op_type, *n.input, *n.output) for n in again.graph.node] == [
        (n.op_type, *n.input, *n.output) for n in model.graph.node
    ]


def test_weights_come_back_from_a_file_bit_for_bit(tmp_path: Path) -> None:
    graph = heads()
    weights, path = uneven_weights(graph), tmp_path / "net.onnx"
    assert BACKEND.weight_files == (".onnx",)
    BACKEND.write_weights(graph, weights, path)
    found = BACKEND.save_weights(graph, onnx.load(path))
    assert found.keys() == weights.keys()  # those of the auxiliary heads too
    assert all(found[name].tobytes() == weight.tobytes() for name, weight in weights.items())


@pytest.mark.parametrize(
    ("kind", "example"), [e[1:] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_the_reader_of_weight_files_finds_the_weights_of_every_layer(
    kind: str, example: Example, tmp_path: Path
) -> None:
    graph = example_network(kind, example)
    weights = uneven_weights(graph)
    weights_file.save(tmp_path / "net.onnx", graph, weights)
    found = weights_file.load(tmp_path / "net.onnx", graph)
    assert not found.missing
    assert not found.notes  # nothing had to be assumed
    assert all(found.weights[name].tobytes() == array.tobytes() for name, array in weights.items())


def test_the_weights_of_another_network_are_said(tmp_path: Path) -> None:
    conv = {"filters": 2, "kernel_size": 3}
    one = network([layer("conv", "conv2d", **conv)], name="one")
    other = network([layer("conv", "conv2d", padding=1, **conv)], name="other")
    weights_file.save(tmp_path / "one.onnx", one, uneven_weights(one))
    (note,) = weights_file.load(tmp_path / "one.onnx", other).notes
    assert "was written for `one`" in note


def test_weights_in_float64_are_rounded_once() -> None:
    graph = network([layer("fc", "flatten"), layer("logits", "dense", units=2)], (1, 1, 3))
    model = BACKEND.build(graph)
    drawn = initial_weights(graph, 0)
    for name, found in BACKEND.save_weights(graph, model).items():
        assert found.tobytes() == drawn[name].astype("float32").tobytes()
    with pytest.raises(KeyError, match=r"logits\.bias"):
        BACKEND.load_weights(graph, model, {"logits.weight": drawn["logits.weight"]})
    with pytest.raises(ValueError, match=r"logits\.weight is \(2, 3\), not \(3, 2\)"):
        BACKEND.load_weights(graph, model, {**drawn, "logits.weight": drawn["logits.weight"].T})
    assert BACKEND.save_weights(graph, model).keys() == drawn.keys()  # as it was


def test_too_many_weights_for_one_file_are_put_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = branching()
    weights, images = uneven_weights(graph), images_for(graph)
    model = BACKEND.build(graph)
    BACKEND.load_weights(graph, model, weights)
    expected = BACKEND.activations(graph, model, images)
    monkeypatch.setattr(models, "LIMIT", 1000)
    found = BACKEND.activations(graph, model, images)
    assert all((found[name] == expected[name]).all() for name in expected)
    path = tmp_path / "net.onnx"
    for _ in range(2):  # the second replaces the first
        words = BACKEND.write_model(graph, model, path)
        assert "the weights in net.onnx.data beside it" in words
        assert sorted(file.name for file in tmp_path.iterdir()) == ["net.onnx", "net.onnx.data"]
        assert path.with_name("net.onnx.data").stat().st_size < 2 * 4 * sum(
            w.size for w in weights.values()
        )
    assert all(len(tensor.raw_data) for tensor in model.graph.initializer)
    loaded = weights_file.load(path, graph).weights
    assert all(loaded[name].tobytes() == weight.tobytes() for name, weight in weights.items())
    run = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert error(run.run(None, {"input": images})[0], expected["logits"]) < ONE_LAYER


# The text


@pytest.mark.parametrize("name", ["alexnet", "branching", "heads"])
def test_the_text_is_the_golden_one(name: str) -> None:
    graph = {"branching": branching, "heads": heads}.get(name, lambda: archspec.load(name))()
    text = re.sub(rf"\b{re.escape(archspec.__version__)}\b", "VERSION", BACKEND.emit(graph))
    file = DATA / "golden" / f"{name}.onnxtxt"
    if os.environ.get("ARCHSPEC_UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
    assert all(len(line) <= 100 for line in text.splitlines())


AWKWARD = """
float double int64 string bool seq map optional sparse_tensor ir_version opset_import producer_name
doc_string domain model_version metadata_props overload N unk__0 output Conv Constant agraph true
inf nan e1 _ x_ image a.weight a.bias a.weight_ a a.b_c a_b.c float.float If.Loop input_.image
"""


def test_layers_and_networks_may_be_called_anything() -> None:
    names = AWKWARD.split()
    conv = {"filters": 3, "kernel_size": 1}
    layers = [
        *(layer(name, "conv2d", **conv) for name in names),
        layer("every", "concat", *names),
    ]
    graph = network(layers, name="float")
    assert values(graph)["a.weight"] == "a.weight__"  # `a.weight` and `a.weight_` are taken
    check(graph, MANY_LAYERS)
    for name in ("a-b-c", "N", "ir_version", "int64", "E5"):
        assert BACKEND.parse(network(layers[:2], name=name)).graph.name == name


@pytest.mark.parametrize(
    "title",
    [
        "The \"best\" 'net' \\ of all \\n \\x41",
        '"> }\nimport os # <',
        "Neuronale Netze für Ökonomen: 神经网络 \U0001f9e0 e\u0301",
        "one\ntwo\r\nthree\u2028four\x0bfive\u202e",
        "  ",
        "very " * 60,
    ],
)
def test_titles_are_only_text(title: str) -> None:
    graph = network([layer("relu", "relu")], name="net", title=title)
    model = BACKEND.parse(graph)
    plain = BACKEND.parse(network([layer("relu", "relu")], name="net"))
    model.doc_string = plain.doc_string = ""
    assert model == plain


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("batch_norm", {"eps": 1e39, "decay": 0.9}),
        ("leaky_relu", {"negative_slope": 1e300}),
        ("local_response_norm", {**LRN, "alpha_mode": "sum", "alpha": 1e38}),
    ],
)
def test_a_number_that_float32_cannot_hold_is_said(kind: str, fields: dict[str, Any]) -> None:
    graph = parsed([layer("layer", kind, **fields)], (4, 3, 3))
    with pytest.raises(ArchspecError, match="and the spec has"):
        BACKEND.emit(graph)


def test_a_node_that_several_read_stands_once() -> None:
    parts = op("Split", Tensor("x"), outputs=2, num_outputs=2)
    one = Constant("one", (1.0,))
    both = op("Add", op("Mul", Part(parts, 0), one), op("Mul", Part(parts, 1), one))
    assert nodes("y", op("Add", both, both), "note") == [
        '   "y/Split_0", "y/Split_1" = Split <num_outputs = 2> (x)',
        '   "y/one" = Constant <value = float[1] {1.0}> ()',
        '   "y/Mul" = Mul ("y/Split_0", "y/one")',
        '   "y/Mul_2" = Mul ("y/Split_1", "y/one")',
        '   "y/Add" = Add ("y/Mul", "y/Mul_2")',
        '   y = Add ("y/Add", "y/Add")  # note',
    ]


def test_a_thousand_layers_are_written_and_read_in_a_moment() -> None:
    conv = {"filters": 4, "kernel_size": 3, "padding": 1}
    pairs = (
        (layer(f"stage{i}.conv", "conv2d", **conv), layer(f"stage{i}.relu", "relu"))
        for i in range(500)
    )
    graph = parsed(list(itertools.chain(*pairs)))
    began = time.perf_counter()
    assert len(BACKEND.parse(graph).graph.node) == 1000
    assert time.perf_counter() - began < SOON


def test_onnx_refuses_a_model_whose_shapes_are_not_the_analysis_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(table.LAYERS, "relu", lambda c, x: op("Flatten", *x))
    graph = network([layer("relu", "relu"), layer("conv", "conv2d", filters=2, kernel_size=1)])
    with pytest.raises(onnx.shape_inference.InferenceError):
        BACKEND.parse(graph)


# The command

SMALL = """
archspec: 1
name: small-net
input: {channels: 3, height: 9, width: 9}
layers:
  - {name: conv1, type: conv2d, filters: 6, kernel_size: 3, padding: same, stride: 2}
  - {name: norm1, type: local_response_norm, size: 3, alpha: 0.5, beta: 0.75, k: 2, alpha_mode: sum}
  - {name: flatten, type: flatten}
  - {name: fc2, type: dense, units: 4}
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command in an empty folder with the spec above in `small.yaml`."""
    (tmp_path / "small.yaml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)

    def call_main(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["archspec", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call_main


def test_build_writes_a_model_that_runs(run: Run, tmp_path: Path) -> None:
    status, out, err = run("build", "small.yaml", "--backend", "onnx")
    assert (status, err) == (0, "")
    assert re.sub(r"3\.\d kB", "3.x kB", out) == (
        "wrote small-net.onnx: opset 18, 4 nodes, 772 weights, 3.x kB\n"
        "built it: 772 numbers in weights and buffers, as the analysis says\n"
        'run it: onnxruntime.InferenceSession("small-net.onnx").run(None, {"input": images}), '
        "images in float32, N x 3 x 9 x 9\n"
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["small-net.onnx", "small.yaml"]
    found = onnxruntime.InferenceSession("small-net.onnx").run(
        None, {"input": np.zeros((5, 3, 9, 9), "float32")}
    )
    assert found[0].shape == (5, 4)


def test_a_full_disk_leaves_the_model_before(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("small-net.onnx").write_text("the one before")

    def cut_off(self: Path, data: bytes) -> int:
        with self.open("wb") as stream:
            stream.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", cut_off)
    status, _, err = run("build", "small.yaml", "--backend", "onnx")
    assert (status, err) == (
        2,
        "archspec: cannot write small-net.onnx: No space left on device\n",
    )
    assert Path("small-net.onnx").read_text() == "the one before"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["small-net.onnx", "small.yaml"]


def test_build_writes_the_text(run: Run) -> None:
    status, out, err = run("build", "small.yaml", "--backend", "onnx", "--source-only")
    assert (status, err) == (0, "")
    assert re.fullmatch(r"wrote small-net.onnxtxt: ONNX text, opset 18, \d+ lines\n", out)
    text = Path("small-net.onnxtxt").read_text()
    assert text == archspec.emit("small.yaml", backend="onnx")
    onnx.checker.check_model(onnx.parser.parse_model(text), full_check=True)


@pytest.mark.parametrize(
    ("hidden", "needs"),
    [(("onnxruntime",), "onnxruntime"), (("onnx", "onnxruntime"), "onnx and onnxruntime")],
)
def test_build_says_what_is_missing(
    hidden: tuple[str, ...], needs: str, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name in hidden else find(name, *a)
    )
    status, out, err = run("build", "small.yaml", "--backend", "onnx")
    assert (status, out) == (2, "")
    assert err == f"archspec: the onnx backend needs {needs}: pip install 'archspec-nn[onnx]'\n"
    assert [file.name for file in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("a/b.onnx", "cannot write a/b.onnx: there is no folder a; make it first"),
        ("b.onnxtxt", "b.onnxtxt is a name for ONNX's text: add --source-only, or call it b.onnx"),
    ],
)
def test_build_says_why_it_cannot_write(
    output: str, message: str, run: Run, tmp_path: Path
) -> None:
    status, out, err = run("build", "small.yaml", "--backend", "onnx", "--output", output)
    assert (status, out, err) == (2, "", f"archspec: {message}\n")
    assert [file.name for file in tmp_path.iterdir()] == ["small.yaml"]
