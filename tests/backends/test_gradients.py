"""The derivatives of the NumPy reference, against differences, PyTorch and their conventions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import (
    CORNERS,
    EXAMPLES,
    branching,
    corner_slopes,
    example_network,
    heads,
    layer,
    network,
    sgd_network,
    unet,
)

from archspec.backends import get_backend
from archspec.backends.initial import initial_weights
from archspec.backends.numpy import BACKEND as NUMPY
from archspec.backends.numpy import functions, gradients
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.layers import layer_types
from archspec.layers.window import resolve

Array = npt.NDArray[np.float64]
Pair = tuple[int, int]

NETWORKS = {
    **{id: (lambda k=kind, e=example: example_network(k, e)) for id, kind, example in EXAMPLES},
    "branching": branching,
    "heads": heads,
    "sgd": sgd_network,
    "unet": unet,
}


def owner(parameter: str) -> str:
    """Its layer; nothing for the images."""
    return parameter.rpartition(".")[0]


def quiet(graph: Graph) -> Graph:
    """The same with nothing random in training."""
    for node in graph.nodes:
        if node.layer.noise_off:
            graph = graph.with_layer(node.name, **node.layer.noise_off)
    return graph


class Case:
    """A network with weights that are all different, a batch of two images, and cotangents."""

    def __init__(self, graph: Graph) -> None:
        self.graph, numbers = quiet(graph), np.random.default_rng(0)
        self.weights = {
            name: weight + numbers.uniform(0.1, 0.5, weight.shape)
            for name, weight in initial_weights(graph, 0).items()
        }
        self.images = numbers.standard_normal((2, *graph.input_shape))
        self.model = NUMPY.build(self.graph)
        outputs = self.forward({})
        self.cotangents = [numbers.standard_normal(outputs[n].shape) for n in graph.outputs]

    def forward(self, change: dict[str, Array]) -> Any:
        weights = {name: w + change.get(name, 0.0) for name, w in self.weights.items()}
        NUMPY.load_weights(self.graph, self.model, weights)
        images = self.images + change.get("input", 0.0)
        return NUMPY.record(self.graph, self.model, images).outputs

    def scalar(self, change: dict[str, Array]) -> float:
        outputs = self.forward(change)
        pairs = zip(self.graph.outputs, self.cotangents, strict=True)
        return sum(float((outputs[name].value * c).sum()) for name, c in pairs) / 2

    def gradients(self, name: str = "numpy") -> dict[str, Array]:
        backend: Any = get_backend(name)
        model = (
            NUMPY.build(self.graph)
            if backend is NUMPY
            else backend.build_for_verification(self.graph, "float64")
        )
        backend.load_weights(self.graph, model, self.weights)
        found: dict[str, Array] = backend.gradients(self.graph, model, self.images, self.cotangents)
        return found


@pytest.mark.parametrize("what", NETWORKS)
def test_the_gradients_are_differences_along_a_direction(what: str) -> None:
    """(F(w + h d) - F(w - h d)) / 2h for a direction d of each tensor by itself."""
    case, numbers = Case(NETWORKS[what]()), np.random.default_rng(1)
    found = case.gradients()
    largest = max(float(np.abs(slope).sum()) for slope in found.values())
    for name, slope in found.items():
        d = numbers.standard_normal(slope.shape)
        ahead, behind = (case.scalar({name: h * d}) for h in (1e-6, -1e-6))
        expected = (ahead - behind) / 2e-6
        assert float((slope * d).sum()) == pytest.approx(expected, rel=1e-6, abs=1e-8 * largest)


@pytest.mark.parametrize("what", NETWORKS)
def test_the_gradients_are_those_of_torch(what: str) -> None:
    case = Case(NETWORKS[what]())
    found, expected = case.gradients(), case.gradients("torch")
    assert found.keys() == expected.keys()
    assert "input" in found
    for name, slope in expected.items():
        # A bias before batch normalisation has the gradient 0, and everyone other crumbs of it.
        scale = max(float(np.abs(s).max()) for n, s in expected.items() if owner(n) == owner(name))
        np.testing.assert_allclose(found[name], slope, rtol=0, atol=1e-12 * scale, err_msg=name)


def test_every_layer_type_has_a_derivative() -> None:
    checked = {kind for _, kind, example in EXAMPLES if case_is_differentiated(kind, example)}
    assert checked == set(layer_types())


def case_is_differentiated(kind: str, example: Any) -> bool:
    return NUMPY.differentiates(example_network(kind, example))


def test_a_missing_derivative_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(network([layer("conv", "conv2d", filters=2, kernel_size=1), layer("act", "silu")]))
    for name in ("silu", ".take"):
        monkeypatch.delitem(gradients.DERIVATIVES, name)
    assert not NUMPY.differentiates(case.graph)
    with pytest.raises(ArchspecError, match="no derivative of `silu`"):
        case.gradients()
    split = network([layer("left", "split", channels=[0, 2])])
    assert not NUMPY.differentiates(split)
    assert NUMPY.differentiates(network([layer("relu", "relu")]))


def test_a_network_that_is_random_in_training_is_refused() -> None:
    graph = network([layer("drop", "dropout", rate=0.5)])
    model = NUMPY.build(graph)
    images = np.ones((1, 3, 8, 8))
    with pytest.raises(ArchspecError, match=r"drop \(dropout\) is random.*with rate 0.0"):
        NUMPY.gradients(graph, model, images, [images])
    found = NUMPY.gradients(quiet(graph), model, images, [images])
    assert (found["input"] == 1).all()


def test_what_a_model_does_not_use_has_the_gradient_zero() -> None:
    """A graph uses all that it has; a file that somebody edited may not."""
    graph = network([layer("conv", "conv2d", filters=3, kernel_size=1), layer("relu", "relu")])
    namespace: dict[str, Any] = {}
    exec(NUMPY.emit(graph).replace('relu(out["conv"])', 'relu(out["input"])'), namespace)
    ones = np.ones((1, 3, 8, 8))
    found = NUMPY.gradients(graph, namespace["Net"](), ones, [ones])
    assert not found["conv.weight"].any()
    assert (found["input"] == 1).all()


def test_the_model_itself_is_left_as_it_was() -> None:
    case = Case(sgd_network())
    model = NUMPY.build(case.graph)
    NUMPY.load_weights(case.graph, model, case.weights)
    before = model(case.images)
    NUMPY.gradients(case.graph, model, case.images, case.cotangents)
    assert (model(case.images) == before).all()
    weights = NUMPY.save_weights(case.graph, model)
    assert all((weights[name] == w).all() for name, w in case.weights.items())


thorough = settings(max_examples=40, derandomize=True, deadline=None)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
sizes = st.tuples(st.integers(1, 8), st.integers(1, 8))
sides = st.tuples(*[st.integers(0, 2)] * 4)


def adjoint(
    operation: Callable[[Array], Array], derivative: Callable[[Array, Array], Array], x: Array
) -> None:
    """<g, A d> = <A' g, d> for a linear operation A, for all unit vectors d at once."""
    numbers = np.random.default_rng(0)
    y = operation(x)
    g = numbers.standard_normal(y.shape)
    found = derivative(g, y)
    assert found.shape == x.shape
    for index in np.ndindex(*x.shape):
        unit = np.zeros_like(x)
        unit[index] = 1.0
        expected = float((g * (operation(unit) - operation(np.zeros_like(x)))).sum())
        assert found[index] == pytest.approx(expected, rel=1e-12, abs=1e-12)


@thorough
@given(sizes, pairs, pairs, sides, pairs, st.integers(1, 2), st.integers(1, 2), st.integers(1, 2))
def test_the_derivative_of_a_convolution_is_its_adjoint(
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: tuple[int, int, int, int],
    dilation: Pair,
    groups: int,
    seen: int,
    each: int,
) -> None:
    window = resolve(size, kernel, stride, padding, "floor", dilation)
    assume(min(window.output) >= 1)
    numbers = np.random.default_rng(sum(size))
    x = numbers.standard_normal((1, groups * seen, *size))
    w = numbers.standard_normal((groups * each, seen, *kernel))
    rest = (stride, padding, dilation, groups)
    adjoint(
        lambda x: functions.conv2d(x, w, None, *rest),
        lambda g, y: gradients.conv2d(g, y, x, w, None, *rest)[0],
        x,
    )
    adjoint(
        lambda w: functions.conv2d(x, w, None, *rest),
        lambda g, y: gradients.conv2d(g, y, x, w, None, *rest)[1],
        w,
    )


@thorough
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)), pairs, pairs, sides,
    st.tuples(st.integers(0, 2), st.integers(0, 2)), pairs, st.integers(1, 2),
)  # fmt: skip
def test_the_derivative_of_a_transposed_convolution_is_its_adjoint(
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: tuple[int, int, int, int],
    added: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    added = tuple(min(a, max(s, d) - 1) for a, s, d in zip(added, stride, dilation, strict=True))
    numbers = np.random.default_rng(sum(size))
    x = numbers.standard_normal((1, 2 * groups, *size))
    w = numbers.standard_normal((2 * groups, 1, *kernel))
    rest = (stride, padding, added, dilation, groups)
    assume(min(functions.conv2d_transpose(x, w, None, *rest).shape) >= 1)
    adjoint(
        lambda x: functions.conv2d_transpose(x, w, None, *rest),
        lambda g, y: gradients.conv2d_transpose(g, y, x, w, None, *rest)[0],
        x,
    )
    adjoint(
        lambda w: functions.conv2d_transpose(x, w, None, *rest),
        lambda g, y: gradients.conv2d_transpose(g, y, x, w, None, *rest)[1],
        w,
    )


@thorough
@given(sizes, pairs, pairs, sides, st.sampled_from(["floor", "ceil"]), st.booleans())
def test_the_derivatives_of_pools_are_right_at_every_padding_and_rounding(
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: tuple[int, int, int, int],
    rounding: Any,
    counted: bool,
) -> None:
    window = resolve(size, kernel, stride, padding, rounding)
    top, bottom, left, right = padding
    assume(
        min(window.output) >= 1 and max(top, bottom) < kernel[0] and max(left, right) < kernel[1]
    )
    assume(all(overhang < k for overhang, k in zip(window.overhang, kernel, strict=True)))
    numbers = np.random.default_rng(sum(size))
    x = numbers.permutation(np.arange(2.0 * size[0] * size[1])).reshape(1, 2, *size)
    rest = (kernel, stride, window.padding, window.overhang, counted)
    adjoint(
        lambda x: functions.avg_pool2d(x, *rest),
        lambda g, y: gradients.avg_pool2d(g, y, x, *rest)[0],
        x,
    )
    y = functions.max_pool2d(x, kernel, stride, window.reach)
    g = numbers.standard_normal(y.shape)
    (found,) = gradients.max_pool2d(g, y, x, kernel, stride, window.reach)
    expected = np.zeros_like(x)
    for place in itertools.product(*map(range, y.shape)):  # no two values are equal
        expected[x == y[place]] += g[place]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def slopes(function: Callable[..., Any], x: Array, *rest: Any) -> Any:
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    output = function(tensor, *rest)
    output.backward(torch.ones_like(output))
    return tensor.grad.numpy()


@thorough
@given(st.lists(st.integers(0, 2), min_size=25, max_size=25), pairs, pairs, st.integers(0, 1))
def test_the_first_of_equal_maxima_has_the_gradient(
    values: list[int], kernel: Pair, stride: Pair, padding: int
) -> None:
    """As in PyTorch, and in Keras on every engine."""
    assume(2 * padding <= min(kernel))
    x = np.array(values, dtype="float64").reshape(1, 1, 5, 5)
    sides = (padding,) * 4
    y = functions.max_pool2d(x, kernel, stride, sides)
    (found,) = gradients.max_pool2d(np.ones_like(y), y, x, kernel, stride, sides)
    assert (found == slopes(F.max_pool2d, x, kernel, stride, padding)).all()


def test_slopes_at_corners_are_those_of_every_framework() -> None:
    found = corner_slopes(NUMPY)
    for name in ("torch", "keras"):
        get_backend(name).require()
        for kind, slopes in corner_slopes(get_backend(name)).items():
            np.testing.assert_allclose(slopes, found[kind], rtol=1e-15, err_msg=f"{name}: {kind}")
    four = np.resize(CORNERS, 36)
    assert found["relu"].tolist() == [value > 0 for value in four]
    assert found["relu6"].tolist() == [0 < value < 6 for value in four]
    assert found["leaky"].tolist() == [1 if value > 0 else 0.25 for value in four]
    assert found["sigmoid"].tolist() == [1 / 6 if -3 < value < 3 else 0 for value in four]


def test_a_window_gives_its_whole_gradient_to_one_place() -> None:
    x = np.zeros((1, 1, 3, 3))
    y = functions.max_pool2d(x, (2, 2), (1, 1), (0, 0, 0, 0))
    (found,) = gradients.max_pool2d(np.ones_like(y), y, x, (2, 2), (1, 1), (0, 0, 0, 0))
    assert found[0, 0].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
