"""How trainers compute: in 16 bits, compiled, channels last, deterministically."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from networks import (
    EXAMPLES,
    branching,
    example_network,
    layer,
    network,
    recipe,
    sgd_network,
)

from archspec import expand, source
from archspec.analysis.shapes import infer_shapes
from archspec.backends import get_backend
from archspec.backends.base import Alone, Execution, Trainer
from archspec.backends.initial import initial_weights
from archspec.backends.torch import execution as torch_execution
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.plain import plain_spec

FRAMEWORKS = ["torch", pytest.param("keras", marks=pytest.mark.xdist_group("keras"))]
HALVES = ["bfloat16", "float16"]
# The distance from 1 to the next number.
SPACING = {"bfloat16": 2**-7, "float16": 2**-10}
MAPS = [
    layer("conv", "conv2d", filters=4, kernel_size=3),
    layer("relu", "relu"),
    layer("flatten", "flatten"),
    layer("fc", "dense", units=5),
]


def made(name: str, graph: Graph, **options: Any) -> Trainer:
    backend: Any = get_backend(name)
    backend.require()
    found: Trainer = backend.trainer(
        graph, recipe(), initial_weights(graph, 0), Execution("cpu", **options)
    )
    return found


def batch(graph: Graph, count: int = 8) -> tuple[Any, Any]:
    numbers = np.random.default_rng(0)
    channels, height, width = graph.input_shape
    (classes,) = infer_shapes(graph).of(graph.output)
    images = numbers.standard_normal((count, height, width, channels)).astype("float32")
    return images, numbers.integers(0, classes, count)


def steps(trainer: Trainer, graph: Graph, count: int = 3) -> list[float]:
    found = []
    for number in range(count):
        trainer.reseed(number)
        found.append(float(trainer.step(*batch(graph), 0.02)))
    return found


@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize("precision", HALVES)
def test_sixteen_bits_are_near_float32(name: str, precision: str) -> None:
    graph = sgd_network()
    half, whole = made(name, graph, precision=precision), made(name, graph, precision="float32")
    assert half.execution.precision == precision
    images, _ = batch(graph)
    first, second = half.logits(images), whole.logits(images)
    assert first.dtype == second.dtype == "float32"
    error = np.abs(first - second).max() / np.abs(second).max()
    # It is computed in 16 bits (not equal), and rounds once or twice a layer.
    assert 0 < error < 8 * SPACING[precision]
    # Where the loss scale begins too high, steps are left out: let it begin low.
    half.load_optimizer_state(half.optimizer_state() | scale(64.0), 0.02)
    np.testing.assert_allclose(steps(half, graph), steps(whole, graph), rtol=0.05)
    after = half.weights()
    assert {tensor.dtype.name for tensor in after.values()} == {"float32"}
    assert {tensor.dtype.name for tensor in half.optimizer_state().values()} <= {
        "float32", "float64", "int32", "int64",
    }  # fmt: skip
    # What stays in float32 has digits that 16 bits could not hold.
    weight = torch.from_numpy(after["conv1.weight"])
    assert (weight.to(getattr(torch, precision)).float() != weight).any()


def scale(loss_scale: float, since: int = 0) -> dict[str, Any]:
    return {"loss_scale": np.array(loss_scale, "float32"), "loss_scale_steps": np.array(since)}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_step_with_infinite_gradients_is_left_out(name: str) -> None:
    """The loss of the batch is told all the same, and the loss scale halved."""
    graph = network(MAPS, (3, 9, 9))
    found = made(name, graph, precision="float16")
    assert float(found.optimizer_state()["loss_scale"]) >= 2**15
    found.load_optimizer_state(found.optimizer_state() | scale(2.0**40, 7), 0.02)
    before = found.weights()
    assert np.isfinite(steps(found, graph, 1)).all()
    state = found.optimizer_state()
    assert float(state["loss_scale"]) == 2.0**39
    assert int(state["loss_scale_steps"]) == 0
    assert all((found.weights()[key] == value).all() for key, value in before.items())
    assert all(not value.any() for key, value in state.items() if key.startswith("velocity."))


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_loss_scale_grows_and_goes_on(name: str) -> None:
    """It doubles after 2,000 steps without infinite gradients; a state carries both numbers."""
    graph = network(MAPS, (3, 9, 9))
    found = made(name, graph, precision="float16")
    found.load_optimizer_state(found.optimizer_state() | scale(32.0, 1998), 0.02)
    sizes = []
    for _ in range(3):
        steps(found, graph, 1)
        state = found.optimizer_state()
        sizes.append((float(state["loss_scale"]), int(state["loss_scale_steps"])))
    assert sizes == [(32.0, 1999), (64.0, 0), (64.0, 1)]


@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize("precision", ["float32", *HALVES])
def test_a_state_goes_on_to_the_bit(name: str, precision: str) -> None:
    graph = network([*MAPS[:3], layer("drop", "dropout", rate=0.5), MAPS[3]], (3, 9, 9))
    whole, resumed = (made(name, graph, precision=precision) for _ in range(2))
    whole.load_optimizer_state(whole.optimizer_state() | scale(128.0), 0.02)
    steps(whole, graph)
    weights, state = whole.weights(), whole.optimizer_state()
    backend: Any = get_backend(name)
    resumed = backend.trainer(graph, recipe(), weights, Execution("cpu", precision))
    resumed.load_optimizer_state(state, 0.02)
    assert steps(resumed, graph) == steps(whole, graph)
    for key, value in whole.weights().items():
        assert (resumed.weights()[key] == value).all()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_normalisation_across_channels_has_the_range_of_float32(name: str) -> None:
    """The square of 300 is beyond float16, whose largest number is 65,504."""
    lrn = {"size": 3, "alpha": 1.0e-4, "beta": 0.75, "k": 2, "alpha_mode": "sum"}
    layers = [layer("norm", "local_response_norm", **lrn), *MAPS[2:]]
    graph = network(layers, (4, 3, 3))
    images = np.full((2, 3, 3, 4), 300.0, "float32")
    expected = made(name, graph, precision="float32").logits(images)
    found = made(name, graph, precision="float16").logits(images)
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=0.01 * np.abs(expected).max())


@pytest.mark.parametrize("precision", HALVES)
def test_every_layer_trains_in_sixteen_bits(precision: str) -> None:
    firsts = {kind: example for _, kind, example in reversed(EXAMPLES)}
    for kind, example in sorted(firsts.items()):
        graph = example_network(kind, example)
        shape = infer_shapes(graph).of(graph.output)
        flat = [layer("flat_", "flatten")] if len(shape) == 3 else []
        graph = with_layers(graph, [*flat, layer("fc_", "dense", units=5)])
        for node in graph.nodes:
            if node.layer.noise_off:
                graph = graph.with_layer(node.name, **node.layer.noise_off)
        losses = []
        for chosen in (precision, "float32"):
            found = made("torch", graph, precision=chosen)
            losses.append(steps(found, graph, 1)[0])
        assert losses[0] == pytest.approx(losses[1], rel=0.05, abs=0.05), kind


def with_layers(graph: Graph, more: list[dict[str, Any]]) -> Graph:
    document = yaml.safe_load(plain_spec(graph, None))
    document["layers"] += more
    return expand.expand(source.parse(json.dumps(document), "more.yaml"))


def test_channels_last_are_the_same_numbers() -> None:
    graph = branching()
    last, first = (made("torch", graph, channels_last=way) for way in (True, False))
    assert (last.execution.channels_last, first.execution.channels_last) == (True, False)
    weight: Any = last._model.stem.weight  # type: ignore[attr-defined]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    images = np.random.default_rng(0).standard_normal((2, *graph.input_shape[1:], 3))
    images = images.astype("float32")
    np.testing.assert_allclose(last.logits(images), first.logits(images), rtol=1e-4, atol=1e-5)
    graph = sgd_network()
    last, first = (made("torch", graph, channels_last=way) for way in (True, False))
    np.testing.assert_allclose(steps(last, graph), steps(first, graph), rtol=1e-5)
    for key, value in first.weights().items():
        np.testing.assert_allclose(last.weights()[key], value, rtol=1e-4, atol=1e-5)
        assert last.weights()[key].flags.c_contiguous


@pytest.mark.slow
def test_compiled_code_computes_the_same() -> None:
    if shutil.which("g++") is None:
        pytest.skip("there is no compiler for PyTorch to find")
    graph = network(MAPS, (3, 9, 9))
    fast, plain = made("torch", graph, compile=True), made("torch", graph)
    assert (fast.execution.compile, plain.execution.compile) == (True, False)
    weights = fast.weights()
    assert all((value == plain.weights()[key]).all() for key, value in weights.items())
    np.testing.assert_allclose(steps(fast, graph), steps(plain, graph), rtol=1e-5)
    for key, value in plain.weights().items():
        np.testing.assert_allclose(fast.weights()[key], value, rtol=1e-4, atol=1e-6)
    images, _ = batch(graph, 3)
    np.testing.assert_allclose(fast.logits(images), plain.logits(images), rtol=1e-4, atol=1e-5)


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        def run(*_: Any) -> Any:
            raise RuntimeError("No working C++ compiler found in config.cpp.cxx: (None, 'g++')\n\n")

        return run

    monkeypatch.setattr(torch, "compile", failing)
    graph = network(MAPS, (3, 9, 9))
    with pytest.raises(
        ArchspecError,
        match=r"--compile: PyTorch cannot compile for this device: No working C\+\+ .*; use "
        "--no-compile",
    ):
        made("torch", graph, compile=True)
    assert made("torch", graph).execution.compile is False


class Beside(Alone):
    """A second process, in which everything takes so long."""

    size = 2

    def __init__(self, seconds: list[float]) -> None:
        self.seconds = seconds

    def sum(self, numbers: Any) -> Any:
        own = np.zeros_like(numbers)
        return own + np.array([self.seconds.pop(0) for _ in range(own.size)]).reshape(own.shape)


def test_what_is_left_open_is_measured() -> None:
    """As on a GPU: by the sums of all processes' times, so that all decide alike."""
    model: Any = get_backend("torch").build(network(MAPS, (3, 9, 9)))
    done: list[bool | None] = []

    def step(execution: Execution, _: Any) -> None:
        done.append(execution.channels_last)

    def settled(seconds: list[float]) -> tuple[Execution, tuple[str, ...]]:
        open = Execution("cpu", "float32", False, None, group=Beside(seconds))
        return torch_execution.fastest(open, model, step)

    chosen, said = settled([0.004, 0.006])
    assert chosen.channels_last is True
    assert said == ("channels last (2 ms a step, channels first 3 ms)",)
    assert model.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert done == [True] * 4 + [False] * 4
    chosen, said = settled([0.006, 0.004])
    assert chosen.channels_last is False
    assert said == ("channels first (2 ms a step, channels last 3 ms)",)
    assert model.conv.weight.is_contiguous()
    # A dense network has no maps to lay out: nothing is asked.
    dense: Any = get_backend("torch").build(network([MAPS[2], MAPS[3]], (3, 9, 9)))
    open = Execution("cpu", "float32", False, None, group=Beside([]))
    assert torch_execution.fastest(open, dense, step) == (
        dataclasses.replace(open, channels_last=False),
        (),
    )


@pytest.mark.parametrize(
    ("seconds", "compiled", "words"),
    [
        ([0.006, 0.004], True, "compiled (2 ms a step, not compiled 3 ms)"),
        ([0.004, 0.006], False, "not compiled (2 ms a step, compiled 3 ms)"),
        ([0.004, np.inf], False, "not compiled: another process cannot"),
    ],
)
def test_so_is_whether_to_compile(
    monkeypatch: pytest.MonkeyPatch, seconds: list[float], compiled: bool, words: str
) -> None:
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    model: Any = get_backend("torch").build(network(MAPS, (3, 9, 9)))
    open = Execution("cpu", "float32", None, False, group=Beside(seconds))
    chosen, said = torch_execution.fastest(open, model, lambda *_: None)
    assert (chosen.compile, said) == (compiled, (words,))


@pytest.mark.parametrize("factor", [0.0, 100.0, float("nan")])
def test_compiled_code_with_wrong_gradients_is_refused(
    monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    """As PyTorch compiles some networks: the loss is right, and nothing learns."""

    def compiled(model: Any, **_: Any) -> Any:
        def run(maps: Any) -> Any:
            found = model(maps)
            found.register_hook(lambda gradient: gradient * factor)
            return found

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    graph = network(MAPS, (3, 9, 9))
    with pytest.raises(ArchspecError, match="its gradients are not those of the network; use --no"):
        made("torch", graph, compile=True)


@pytest.mark.parametrize("precision", ["auto", "tf32", "float32"])
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_cpu_computes_in_float32(name: str, precision: str) -> None:
    found = made(name, network(MAPS, (3, 9, 9)), precision=precision).execution
    assert (found.device, found.precision, found.compile) == ("cpu", "float32", False)
    # Keras' models have channels last.
    assert found.channels_last == (name == "keras")


def test_deterministic_kernels_are_asked_for_in_steps_alone() -> None:
    graph = network(MAPS, (3, 9, 9))
    found: Any = made("torch", graph, deterministic=True)
    seen = []
    found._model.relu.register_forward_hook(
        lambda *_: seen.append(
            (
                torch.are_deterministic_algorithms_enabled(),
                torch.backends.cudnn.deterministic,
                torch.backends.cudnn.benchmark,
                torch.backends.cuda.matmul.allow_tf32,
            )
        )
    )
    steps(found, graph, 1)
    assert seen == [(True, True, False, False)]
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic


def test_an_operation_without_a_deterministic_kernel_is_named() -> None:
    graph = network(MAPS, (3, 9, 9))
    found: Any = made("torch", graph, deterministic=True)
    # One that PyTorch has no deterministic kernel for, on any device.
    found._model.relu.register_forward_hook(
        lambda *_: torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
    )
    with pytest.raises(
        ArchspecError, match=r"--deterministic: put_.* does not have a deterministic .*; leave"
    ):
        steps(found, graph, 1)
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_operation_without_a_kernel_in_sixteen_bits_is_named() -> None:
    graph = network(MAPS, (3, 9, 9))
    found: Any = made("torch", graph, precision="bfloat16")
    missing = torch.ones(2, 2, dtype=torch.bfloat16)
    found._model.relu.register_forward_hook(lambda *_: torch.linalg.lu_factor(missing))
    with pytest.raises(ArchspecError, match="--precision bfloat16: PyTorch on this device says "):
        steps(found, graph, 1)


@pytest.mark.xdist_group("keras")
def test_keras_names_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network(MAPS, (3, 9, 9))
    found: Any = made("keras", graph)
    found.execution = dataclasses.replace(found.execution, deterministic=True)
    said = "Determinism is not yet supported in GPU implementation of Some"

    def failing(*_: Any) -> Any:
        raise NotImplementedError(f"{said} with determinism\nmore")

    monkeypatch.setattr(type(found), "_scope", lambda self: contextlib.nullcontext())
    found._step = failing
    with pytest.raises(ArchspecError, match=f"^--deterministic: {said}.*; leave"):
        steps(found, graph, 1)


@pytest.mark.xdist_group("keras")
def test_what_keras_cannot_do_is_said() -> None:
    backend: Any = get_backend("keras")
    backend.require()
    from archspec.backends.keras import execution

    graph = network(MAPS, (3, 9, 9))
    with pytest.raises(ArchspecError, match="--no-channels-last: Keras models have channels last"):
        made("keras", graph, channels_last=False)
    with pytest.raises(ArchspecError, match="--compile: Keras does not compile on PyTorch"):
        execution._compiled(Execution(compile=True), "torch", "cpu")
    with pytest.raises(ArchspecError, match="--no-compile: JAX compiles every step"):
        execution._compiled(Execution(compile=False), "jax", "cpu")
    ways = {
        (engine, device): execution._compiled(Execution(), engine, device)
        for engine in ("tensorflow", "jax", "torch")
        for device in ("cpu", "cuda")
    }
    assert [way for way, compiled in ways.items() if compiled] == [
        ("tensorflow", "cuda"), ("jax", "cpu"), ("jax", "cuda"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "bfloat16"}, "--precision bfloat16"),
        ({"compile": True}, "--compile"),
        ({"channels_last": True}, "--channels-last"),
    ],
)
def test_what_the_reference_cannot_do_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ArchspecError, match=f"^{said}: the numpy backend computes in float64"):
        made("numpy", network(MAPS, (3, 9, 9)), **options)


def a_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")


@pytest.mark.parametrize(
    ("capability", "wanted", "precision"),
    [
        ((9, 0), {}, "bfloat16"),
        ((8, 0), {}, "bfloat16"),
        ((7, 0), {}, "float16"),
        ((6, 1), {}, "float32"),
        ((9, 0), {"deterministic": True}, "float32"),
        ((9, 0), {"precision": "tf32"}, "tf32"),
        ((7, 0), {"precision": "float16", "deterministic": True}, "float16"),
    ],
)
def test_what_a_gpu_computes_in(
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    wanted: dict[str, Any],
    precision: str,
) -> None:
    a_gpu(monkeypatch, capability)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    found = torch_execution.settled(Execution(**wanted))
    assert (found.device, found.precision) == ("cuda", precision)
    # What is measured is not determined.
    open = None if not wanted.get("deterministic") else False
    assert (found.compile, found.channels_last) == (open, open)


def test_a_gpu_without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    a_gpu(monkeypatch, (7, 5))
    with pytest.raises(ArchspecError, match="--precision bfloat16: Some GPU has none; use float16"):
        torch_execution.settled(Execution(precision="bfloat16"))


gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("options", [{}, {"precision": "float16"}, {"precision": "tf32"}])
def test_on_a_gpu(options: dict[str, Any]) -> None:
    graph = sgd_network()
    backend: Any = get_backend("torch")
    start = initial_weights(graph, 0)
    found = backend.trainer(graph, recipe(), start, Execution("cuda", **options))
    assert None not in (found.execution.compile, found.execution.channels_last)
    whole = made("torch", graph, precision="float32")
    found.load_optimizer_state(found.optimizer_state() | scale(64.0), 0.02)
    np.testing.assert_allclose(steps(found, graph), steps(whole, graph), rtol=0.05)


@pytest.mark.gpu
@gpu
def test_equal_runs_on_a_gpu() -> None:
    graph = sgd_network()
    backend: Any = get_backend("torch")

    def run() -> dict[str, Any]:
        exact = Execution("cuda", deterministic=True)
        found = backend.trainer(graph, recipe(), initial_weights(graph, 0), exact)
        steps(found, graph)
        weights: dict[str, Any] = found.weights()
        return weights

    first, second = run(), run()
    assert all((second[key] == value).all() for key, value in first.items())
