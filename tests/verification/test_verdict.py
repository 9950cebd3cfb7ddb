"""What `archspec verify` says of a wrong operation: which one it is, and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from networks import layer, network

import archspec
from archspec import verification
from archspec.backends.base import ComparableBackend
from archspec.backends.numpy import BACKEND as NUMPY
from archspec.backends.source import LayerContext, call
from archspec.backends.torch import BACKEND as TORCH
from archspec.backends.torch import layers as torch_layers
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.verification import OutputError, comparison
from archspec.verification.verdict import differences

LRN = {"size": 3, "alpha": 0.5, "beta": 0.75, "k": 2, "alpha_mode": "sum"}


def chain() -> Graph:
    return network(
        [
            layer("conv1", "conv2d", filters=6, kernel_size=3),
            layer("norm1", "local_response_norm", **LRN),
            layer("pool1", "max_pool2d", kernel_size=2, stride=2),
            layer("conv2", "conv2d", filters=4, kernel_size=2),
            layer("norm2", "local_response_norm", **LRN),
            layer("flatten", "flatten"),
            layer("fc3", "dense", units=4),
        ]
    )


def verify(graph: Graph, **options: Any) -> verification.Verification:
    return verification.verify(graph, **{"backends": ("torch",), **options})


def wrong_scale(monkeypatch: pytest.MonkeyPatch, *names: str, factor: float = 1.001) -> None:
    """Let PyTorch have another alpha in these layers."""
    entry = torch_layers.LAYERS["local_response_norm"]

    def emit(context: LayerContext) -> Any:
        if context.node.name not in names:
            return entry(context)
        other = context.layer.model_copy(update={"alpha": context.layer.alpha * factor})
        return entry(replace(context, node=replace(context.node, layer=other)))

    monkeypatch.setitem(torch_layers.LAYERS, "local_response_norm", emit)


def hooked(monkeypatch: pytest.MonkeyPatch, hook: Callable[[Any], None]) -> None:
    """Do something to PyTorch's model once it is built."""
    original = type(TORCH).build

    def build(self: Any, graph: Graph) -> Any:
        model = original(self, graph)
        hook(model)
        return model

    monkeypatch.setattr(type(TORCH), "build", build)


def test_the_operation_that_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong_scale(monkeypatch, "norm1")
    found = verify(chain())
    output, gradient = found.differences
    assert (output.about, output.layer, output.type) == (
        "outputs",
        "norm1",
        "local_response_norm",
    )
    assert output.relative == next(e.relative for e in found.outputs if e.layer == "norm1")
    assert "norm1 (local_response_norm) is the first layer whose output differs" in output.message
    assert "The operation itself differs" in output.message
    assert "pool1, conv2, norm2 and 2 more only pass on what they are given" in output.message
    assert "So do outputs, from which gradients follow" in gradient.message


def test_a_second_operation_that_differs_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong_scale(monkeypatch, "norm1", "norm2")
    outputs = [d for d in verify(chain()).differences if d.about == "outputs"]
    assert [d.layer for d in outputs] == ["norm1", "norm2"]
    assert "the output of norm2 (local_response_norm) differs too" in outputs[1].message


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_thousandth_is_found_in_either_precision(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scaled(model: Any) -> None:
        model.fc3.register_forward_hook(lambda module, args, output: output * 1.001)

    hooked(monkeypatch, scaled)
    found = verify(chain(), dtype=dtype)
    assert found.differences[0].layer == "fc3"
    assert [e.layer for e in found.outputs if not e.within] == ["fc3"]


def test_a_wrong_derivative_of_a_layer_without_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def steeper(model: Any) -> None:
        model.norm2.register_full_backward_hook(lambda module, before, behind: (before[0] * 1.001,))

    hooked(monkeypatch, steeper)
    found = verify(chain())
    assert all(error.within for error in found.outputs)
    wrong = {error.parameter for error in found.gradients if not error.within}
    assert wrong == {"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "input"}
    (difference,) = found.differences
    assert (difference.about, difference.layer) == ("gradients", "conv2")
    assert "it is the derivative of conv2 or of norm2 and flatten" in difference.message
    assert "3 more differ, of layers before it" in difference.message


def test_a_wrong_derivative_of_one_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    hooked(monkeypatch, lambda model: model.conv1.bias.register_hook(lambda slope: slope * 1.001))
    (difference,) = verify(chain()).differences
    assert "the gradient of conv1.bias (conv2d) differs" in difference.message
    assert "conv1.weight of the same layer agrees" in difference.message


def test_what_computes_otherwise_in_training_is_suspected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The gradient of a weight has the layer's inputs in it, and that of a bias has not."""
    graph = network(
        [
            layer("conv1", "conv2d", filters=4, kernel_size=3),
            layer("norm1", "batch_norm", eps=1e-3, decay=0.9),
            layer("flatten", "flatten"),
            layer("drop1", "dropout", rate=0.5),
            layer("fc2", "dense", units=4),
        ]
    )
    monkeypatch.setitem(torch_layers.LAYERS, "dropout", lambda context: call("nn.Dropout", 0.9))
    (difference,) = verify(graph).differences
    assert (difference.about, difference.layer) == ("gradients", "fc2")
    assert (
        "fc2.bias of the same layer agrees, so it is how this one is derived, or what the layer "
        "reads in training, where norm1 and drop1 before it compute otherwise than at inference."
    ) in difference.message


def test_a_wrong_gradient_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    def steeper(model: Any) -> None:
        model.conv1.register_full_backward_hook(lambda module, before, behind: (before[0] * 1.001,))

    hooked(monkeypatch, steeper)
    found = verify(chain())
    (difference,) = found.differences
    assert (difference.layer, difference.type) == ("input", None)
    assert "the gradient of the images differs" in difference.message
    # In float32 the same is found.
    assert [d.layer for d in verify(chain(), dtype="float32").differences] == ["input"]


def error(layer: str, relative: float, own: float | None, reason: str | None = None) -> OutputError:
    return OutputError(layer, "torch", relative, relative, 1e-12, own, 1e-12, reason)


def test_a_layer_that_only_magnifies_is_not_blamed() -> None:
    (found,) = differences(chain(), [error("norm1", 1e-9, 1e-15)], [], None)
    assert "The operation itself is right" in found.message


def test_a_layer_behind_other_shapes_is_not_judged() -> None:
    errors = [error("pool1", math.inf, 1e-15, "has another shape"), error("conv2", math.inf, None)]
    found = differences(chain(), errors, [], None)
    assert [d.layer for d in found] == ["pool1", "conv2"]
    assert "It has another shape." in found[0].message
    assert "Its inputs have other shapes already." in found[1].message


def test_a_framework_judges_where_the_reference_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(NUMPY), "differentiates", lambda self, graph: False)
    graph = network([layer("flatten", "flatten"), layer("fc", "dense", units=3)])
    found = verification.verify(graph, backends=("torch", "keras"), steps=2)
    assert found.equal
    assert found.judge == "torch"
    assert {(e.backend, e.against) for e in found.gradients} == {("keras", "torch")}
    assert found.training is not None
    assert {(e.backend, e.against) for e in found.training.losses} == {("keras", "torch")}
    alone = verify(graph, steps=2)
    assert (alone.judge, alone.gradients, alone.training) == (None, (), None)
    rough = verification.verify(graph, backends=("torch", "keras"), steps=2, dtype="float32")
    assert rough.equal
    assert rough.judge == "torch"


class Judge(ComparableBackend):
    """A backend that tells outputs in float32 alone, as onnxruntime does."""

    name, extra, packages, dtypes = "judge", "judge", ("numpy",), ("float32",)
    reads: Mapping[str, float] = {}

    def emit(self, graph: Graph) -> str:
        if any(node.layer.type == "gelu" for node in graph.nodes):
            raise ArchspecError("the judge has no gelu")
        return ""

    def class_name(self, graph: Graph) -> str:
        return "Judge"

    def load_weights(self, graph: Graph, model: Any, weights: Any) -> None:
        TORCH.load_weights(graph, model, weights)

    def save_weights(self, graph: Graph, model: Any) -> Any:
        return TORCH.save_weights(graph, model)

    def build_for_verification(self, graph: Graph, dtype: str) -> Any:
        assert dtype == "float32"
        return TORCH.build_for_verification(graph, dtype)

    def activations(self, graph: Graph, model: Any, images: Any) -> Any:
        assert images.dtype == "float32"
        return TORCH.activations(graph, model, images)


def test_a_judge_in_float32_has_its_own_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "comparable_backends", lambda: (TORCH, Judge()))
    found = verification.verify(chain())
    assert found.equal
    assert found.dtypes == {"torch": "float64", "judge": "float32"}
    for one in found.outputs:
        assert (one.bound == 1e-12) == (one.backend == "torch")
        assert (one.relative > 1e-12) == (one.backend == "judge")
    assert {e.backend for e in found.gradients} == {"torch"}


def test_a_judge_that_cannot_build_the_network_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparison, "comparable_backends", lambda: (TORCH, Judge()))
    found = verification.verify(network([layer("gelu", "gelu")]))
    assert found.backends == ("torch",)
    assert found.unable == {"judge": "the judge has no gelu"}


def test_training_needs_a_framework() -> None:
    with pytest.raises(ArchspecError, match="none of these backends trains; add --backend torch"):
        verification.verify(archspec.load("lenet-5"), backends=(), steps=2)


def test_what_cancels_is_called_rounding() -> None:
    """Each of two numbers becomes 1 or -1, whatever the weights are: their gradient is 0."""
    graph = network(
        [
            layer("conv1", "conv2d", filters=16, kernel_size=8),
            layer("norm1", "batch_norm", eps=1e-12, decay=0.9),
            layer("flatten", "flatten"),
            layer("fc2", "dense", units=4),
        ]
    )
    (difference,) = verify(graph).differences
    assert difference.layer == "conv1"
    assert "It is the rest of what almost cancels" in difference.message
    assert "try a larger --batch" in difference.message
    assert verify(graph, batch=5).differences == ()
