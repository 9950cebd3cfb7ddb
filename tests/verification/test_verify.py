"""`archspec verify`: what counts as equal, what it prints, and what a wrong backend looks like."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import branching, layer, network

import archspec
from archspec import cli, verification
from archspec.backends import get_backend
from archspec.backends.keras import layers as keras_layers
from archspec.backends.numpy import BACKEND as NUMPY
from archspec.backends.source import LayerContext, call
from archspec.backends.torch import layers as torch_layers
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.report import verification as report
from archspec.verification import bench, errors

SMALL = """
archspec: 1
name: small
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
    monkeypatch.setenv("COLUMNS", "120")

    def call_main(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["archspec", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call_main


def test_equal_backends_exit_with_zero(run: Run) -> None:
    status, out, err = run("verify", "small.yaml")
    assert (status, err) == (0, "")
    for name in ("conv1", "norm1", "flatten", "fc2"):
        assert name in out
    for backend in ("torch", "keras"):
        assert f"{backend} outputs against the reference: largest error" in out
        assert f"{backend} gradients against the reference: largest error" in out
    assert out.count(", equal") >= 4
    assert "NOT EQUAL" not in out


def test_json_is_one_document(run: Run) -> None:
    status, out, err = run("verify", "small.yaml", "--format", "json", "--dtype", "float32")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["equal"] is True
    assert found["dtype"] == "float32"
    assert found["schema_version"] == 2
    assert found["backends"][:2] == [
        {"name": "torch", "dtype": "float32"},
        {"name": "keras", "dtype": "float32"},
    ]
    assert len(found["outputs"]) == 4 * len(found["backends"])
    assert found["differences"] == []
    assert found["training"] is None
    assert {error["parameter"] for error in found["gradients"]} == {
        "conv1.weight",
        "conv1.bias",
        "fc2.weight",
        "fc2.bias",
        "input",
    }


def test_one_backend_alone(run: Run) -> None:
    status, out, _ = run("verify", "small.yaml", "--backend", "torch")
    assert status == 0
    assert "keras" not in out
    assert "torch gradients against the reference: largest error" in out


def test_the_reference_is_not_compared_with_itself(run: Run) -> None:
    status, out, err = run("verify", "small.yaml", "--backend", "numpy")
    assert (status, out) == (2, "")
    assert err == "archspec: numpy is the reference that the others are compared with\n"


def test_another_input_and_batch(run: Run) -> None:
    status, out, _ = run(
        "verify", "small.yaml", "--input", "3x15x11", "--batch", "3", "--backend", "torch"
    )
    assert status == 0
    assert "batch 3" in out


def wrong_scale(table: dict[str, Any]) -> Callable[[LayerContext], Any]:
    entry = table["local_response_norm"]

    def emit(context: LayerContext) -> Any:
        layer = context.layer.model_copy(update={"alpha": context.layer.alpha * 1.001})
        return entry(replace(context, node=replace(context.node, layer=layer)))

    return emit


@pytest.mark.parametrize(("backend", "module"), [("torch", torch_layers), ("keras", keras_layers)])
def test_a_wrong_constant_is_found(
    backend: str, module: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.LAYERS, "local_response_norm", wrong_scale(module.LAYERS))
    status, out, _ = run("verify", "small.yaml")
    assert status == 1
    assert "NOT EQUAL" in out
    status, out, _ = run("verify", "small.yaml", "--format", "json")
    assert status == 1
    found = json.loads(out)
    assert found["equal"] is False
    wrong = [e for e in found["outputs"] if e["relative"] > e["bound"]]
    assert {error["backend"] for error in wrong} == {backend}
    assert [error["layer"] for error in wrong] == ["norm1", "flatten", "fc2"]
    # Only norm1 is wrong by itself: the others compute rightly from what it gives them.
    assert [e["own"] > e["own_bound"] for e in wrong] == [True, False, False]


def test_the_padding_of_another_framework_is_found(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Padding 1 on each side has the shape of SAME and other numbers.
    wrong = call("nn.Conv2d", 3, 6, kernel_size=3, stride=2, padding=1)
    monkeypatch.setitem(torch_layers.LAYERS, "conv2d", lambda context: wrong)
    graph = archspec.load("small.yaml").with_input((3, 8, 8))
    found = verification.verify(graph, backends=("torch",))
    assert not found.equal
    assert next(e for e in found.outputs if e.relative > 1e-3).layer == "conv1"


def test_another_shape_is_found(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(torch_layers.LAYERS, "relu", lambda context: call("nn.Flatten"))
    graph = network([layer("conv", "conv2d", filters=2, kernel_size=3), layer("relu", "relu")])
    found = verification.verify(graph, backends=("torch",))
    assert [error.relative for error in found.outputs][1] == math.inf
    assert json.loads(json.dumps(found.to_json()))["outputs"][1]["relative"] is None


def test_a_bias_that_is_left_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # The spec starts biases at zero, where the outputs alone would not tell.
    graph = network(
        [layer("conv", "conv2d", filters=2, kernel_size=3)], defaults={"bias_init": "zeros"}
    )
    wrong = call("nn.Conv2d", 3, 2, kernel_size=3, bias=False)
    emit = importlib.import_module("archspec.backends.torch.emit")
    monkeypatch.setattr(emit, "_reset", lambda *arguments: [])
    monkeypatch.setitem(torch_layers.LAYERS, "conv2d", lambda context: wrong)
    found = verification.verify(graph)
    assert not found.equal
    assert [e.layer for e in found.outputs if e.relative > 1e-3] == ["conv"]
    assert {(e.backend, e.parameter) for e in found.gradients if math.isinf(e.relative)} == {
        ("torch", "conv.bias")
    }


@pytest.mark.parametrize("parameter", ["norm.weight", "norm.running_var"])
def test_batch_norm_tensors_that_are_swapped_are_found(
    parameter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archspec.backends.torch import BACKEND

    original = type(BACKEND).load_weights

    def swapped(self: Any, graph: Graph, model: Any, weights: dict[str, Any]) -> None:
        other = {"norm.weight": "norm.running_var", "norm.running_var": "norm.bias"}[parameter]
        pair = {parameter: weights[other], other: weights[parameter]}
        original(self, graph, model, {**weights, **pair})

    monkeypatch.setattr(type(BACKEND), "load_weights", swapped)
    graph = network([layer("norm", "batch_norm", eps=1e-3, decay=0.9)])
    assert not verification.verify(graph, backends=("torch",)).equal


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_and_infinity_are_unequal(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network([layer("conv", "conv2d", filters=2, kernel_size=3)])
    spoiled = {"conv.weight": np.full((2, 3, 3, 3), value), "conv.bias": np.zeros(2)}
    monkeypatch.setattr(bench, "uneven", lambda weights, numbers: spoiled)
    found = verification.verify(graph, backends=("torch",))
    assert not found.equal
    assert found.outputs[0].relative == math.inf


def overflowing(std: float) -> Graph:
    wild = {"weight_init": {"type": "normal", "std": std}}
    layers = [layer("flatten", "flatten"), layer("fc1", "dense", units=4, **wild)]
    return network([*layers, layer("fc2", "dense", units=4, **wild)])


@pytest.mark.filterwarnings("error")
def test_what_overflows_is_told_and_not_warned_of() -> None:
    nowhere = verification.verify(overflowing(1e200), backends=("torch",))
    assert not nowhere.equal
    (difference,) = nowhere.differences
    assert difference.layer == "fc2"
    assert "is not finite in the reference either" in difference.message
    assert "`weight_init`" in difference.message
    json.dumps(nowhere.to_json(), allow_nan=False)

    assert verification.verify(overflowing(1e30), backends=("torch",)).equal
    single = verification.verify(overflowing(1e30), backends=("torch",), dtype="float32")
    assert single.differences[0].layer == "fc2"
    assert "which are beyond float32" in single.differences[0].message
    assert (single.outputs[-1].reason or "").startswith("has numbers of up to")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_bend_that_no_number_gets_to_is_compared(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = network(
        [
            layer("conv", "conv2d", filters=4, kernel_size=3),
            layer("clip", "relu6"),
            layer("flatten", "flatten"),
        ],
        defaults={"weight_init": {"type": "uniform", "low": -0.1, "high": 0.1}},
    )
    assert verification.verify(graph, backends=("torch", "keras"), dtype=dtype).equal
    monkeypatch.setitem(torch_layers.LAYERS, "relu6", lambda context: call("nn.ReLU"))
    found = verification.verify(graph, backends=("torch",), dtype=dtype)
    assert not found.equal
    (difference,) = found.differences
    assert (difference.about, difference.layer) == ("outputs", "clip")
    # At 10, where a relu6 is 6.
    assert difference.relative == pytest.approx(4 / 6, rel=1e-3)


def test_elementwise_functions_are_equal_from_end_to_end() -> None:
    kinds = [
        *({"type": kind} for kind in ("tanh", "sigmoid", "silu", "relu6", "hard_swish")),
        *({"type": "hard_sigmoid"}, {"type": "leaky_relu", "negative_slope": 0.3}),
        *({"type": "gelu"}, {"type": "gelu", "approximate": "tanh"}),
    ]
    graph = network([{"name": f"act{number}", **kind} for number, kind in enumerate(kinds)])
    for dtype in ("float64", "float32"):
        assert verification.verify(graph, dtype=dtype).equal


def test_errors_are_relative_to_the_largest_value() -> None:
    expected = np.array([0.0, -2.0, 1.0])
    found = np.array([0.5, -2.0, 1.0])
    assert errors.error(found, expected) == (0.5, 0.25)
    assert errors.error(found, expected, 10.0) == (0.5, 0.05)
    assert errors.error(expected, expected) == (0.0, 0.0)
    assert errors.error(np.zeros(3), np.zeros(3)) == (0.0, 0.0)
    assert errors.error(found, np.zeros(3)) == (2.0, math.inf)
    assert errors.error(found[:2], expected) == (math.inf, math.inf)
    assert errors.error(None, expected) == (math.inf, math.inf)
    assert errors.error(expected, None) == (math.inf, math.inf)
    assert errors.error(np.array([math.nan]), np.array([math.nan])) == (math.inf, math.inf)


def test_the_seed_decides_weights_and_images() -> None:
    graph = branching()
    first, again, other = (
        verification.verify(graph, backends=("torch",), dtype="float32", seed=seed).outputs
        for seed in (1, 1, 2)
    )
    assert [e.layer for e in first] == [e.layer for e in again]
    assert [e.absolute for e in first] == pytest.approx([e.absolute for e in again], abs=1e-6)
    assert [e.absolute for e in first] != [e.absolute for e in other]


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    find = importlib.util.find_spec

    def without(name: str, *arguments: Any) -> Any:
        return None if name in packages else find(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", without)


@pytest.mark.parametrize(
    ("backend", "hidden", "needs"),
    [
        ("keras", ("keras",), "keras"),
        ("keras", ("tensorflow", "jax", "torch"), "tensorflow"),
        ("torch", ("torch",), "torch"),
        ("torch", ("torch", "numpy"), "torch and numpy"),
    ],
)
@pytest.mark.parametrize("command", ["build", "verify"])
def test_a_missing_framework_is_one_line(
    command: str,
    backend: str,
    hidden: tuple[str, ...],
    needs: str,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    hide(monkeypatch, *hidden)
    status, out, err = run(command, "small.yaml", "--backend", backend)
    assert (status, out) == (2, "")
    assert err == (
        f"archspec: the {backend} backend needs {needs}: pip install 'archspec-nn[{backend}]'\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_source_needs_no_framework(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "keras", "torch", "tensorflow", "jax")
    status, out, err = run("build", "small.yaml", "--backend", "keras", "--source-only")
    assert (status, err) == (0, "")
    assert out.startswith("wrote small_keras.py: class Small, ")
    assert Path("small_keras.py").read_text() == archspec.emit("small.yaml", backend="keras")


def test_what_is_not_installed_is_left_out_and_said(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "keras")
    status, out, _ = run("verify", "small.yaml")
    assert status == 0
    assert "keras is left out: keras not installed" in out
    hide(monkeypatch, "torch", "onnxruntime")
    hide(monkeypatch, "onnx")
    status, out, err = run("verify", "small.yaml")
    assert (status, out) == (2, "")
    assert "pip install 'archspec-nn[torch,keras]'" in err


def test_an_unknown_engine_of_keras_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    status, out, err = run("verify", "small.yaml", "--backend", "keras")
    assert (status, out) == (2, "")
    assert "KERAS_BACKEND is 'theano'" in err


def test_an_unknown_backend_is_one_line(run: Run) -> None:
    status, out, err = run("build", "small.yaml", "--backend", "torhc")
    assert (status, out) == (2, "")
    assert err.startswith("archspec: there is no backend `torhc`; did you mean `torch`?")
    with pytest.raises(ArchspecError):
        get_backend("tf")


def test_build_counts_what_it_built(run: Run) -> None:
    status, out, err = run("build", "small.yaml", "--backend", "torch")
    assert (status, err) == (0, "")
    params = archspec.analyze("small.yaml").totals.params
    assert f"built it: {params} numbers in weights and buffers, as the analysis says" in out


def test_the_small_alexnet_agrees_in_float32() -> None:
    found = verification.verify(archspec.load("alexnet-small"), dtype="float32")
    assert found.equal
    assert max(error.relative for error in found.outputs) < 1e-5


@pytest.mark.slow
def test_alexnet_itself_agrees_in_float64() -> None:
    found = verification.verify(archspec.load("alexnet"), backends=("torch", "keras"), batch=1)
    assert found.equal
    assert max(error.relative for error in found.outputs) <= 1e-12
    assert max(error.relative for error in found.gradients) <= 1e-10
    assert len(found.gradients) == 2 * 17


def test_a_gradient_that_is_zero_is_compared_with_the_others() -> None:
    """Behind the normalisation of one number frameworks find crumbs, each another of them."""
    layers = [
        layer("conv", "conv2d", filters=4, kernel_size=3),
        layer("pool", "global_avg_pool2d"),
        layer("norm", "group_norm", groups=4, eps=1.0e-3),
        layer("fc", "dense", units=3),
    ]
    for batch in (1, 2):
        assert verification.verify(network(layers, (2, 6, 6)), batch=batch).equal
    zero, one = np.full(2, 1e-17), np.array([[1.0, 0.5]])
    scales = errors.gradient_scales({"a.weight": zero, "b.weight": 0.1 * one}, [one])
    assert scales == {"a": 1.0, "b": 0.1}


def test_another_recipe_than_the_spec_s(run: Run) -> None:
    options = ("--steps", "4", "--backend", "torch", "--recipe", "label_smoothing=0.1")
    adam = ("--recipe", "optimizer.type=adam", "--recipe", "schedule.type=cosine")
    status, out, err = run("verify", "small.yaml", *options, *adam)
    assert (status, err) == (0, "")
    assert "4 steps of the spec's recipe (adam, learning rate 0.01" in out
    assert "over its whole schedule" in " ".join(out.split())
    for wrong, message in (
        (("--recipe", "optimizer.momentm=1"), "did you mean `momentum`?"),
        (("--steps", "0", "--recipe", "epochs=2"), "say how many --steps"),
    ):
        status, out, err = run("verify", "small.yaml", "--steps", "2", *wrong)
        assert (status, out) == (2, "")
        assert message in " ".join(err.split())


def test_steps_are_printed_within_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    options = ("--dtype", "float32", "--steps", "20", "--backend", "torch", "--backend", "keras")
    status, out, err = run("verify", "small.yaml", *options)
    assert (status, err) == (0, "")
    table = out[: out.index("torch outputs against")]
    assert max(map(len, table.splitlines())) <= 80
    assert "20 steps of archspec's own recipe (sgd, learning rate 0.01, momentum 0.9" in table
    assert "divided by 10 before step 11" in table
    lines = table.splitlines()
    heading = next(line for line in lines if line.lstrip().startswith("step "))
    assert heading.split().count("bound") == 2
    rows = lines[lines.index(heading) + 2 :]
    shown = [int(row.split()[0]) for row in rows[: rows.index("")]]
    assert {1, 2, 10, 11, 20} <= set(shown)
    for what in ("losses", "weights"):
        assert f"torch {what} against the reference" in out


def test_what_is_judged_otherwise_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(NUMPY), "differentiates", lambda self, graph: False)
    _, out, _ = run("verify", "small.yaml", "--backend", "torch")
    assert "gradients are not compared: they need a second framework" in out
    _, out, _ = run("verify", "small.yaml", "--backend", "torch", "--backend", "keras")
    assert "torch judges gradients and training: the reference lacks the derivative" in out
    assert "keras gradients against torch: largest error" in out


def test_gradients_that_float32_does_not_determine_are_said(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "LOOSE", 1e-6)
    _, out, _ = run("verify", "small.yaml", "--dtype", "float32", "--backend", "torch")
    assert "rounding alone moves 5 of these gradients by more than" in out
    _, out, _ = run("verify", "small.yaml", "--backend", "torch")
    assert "rounding alone" not in out


@pytest.mark.parametrize("steps", ["-1", "many"])
def test_wrong_steps_are_refused(steps: str, run: Run) -> None:
    status, out, err = run("verify", "small.yaml", "--steps", steps)
    assert (status, out) == (2, "")
    assert "--steps" in err
