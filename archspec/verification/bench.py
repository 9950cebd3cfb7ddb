"""The weights, the batch and the reference that every backend is put beside."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from archspec.backends.base import Execution
from archspec.backends.numpy import BACKEND
from archspec.backends.source import LayerContext, contexts
from archspec.graph import Graph
from archspec.layers.activations import Activation
from archspec.spec.fields import INPUT
from archspec.verification.errors import (
    GradientError,
    OutputError,
    error,
    gradient_scales,
    layer_of,
    over,
    reason,
)
from archspec.verification.rounding import LAMBDA, PROMISE, Roundings, bound, moved
from archspec.verification.steps import Entrants, Racer, recipe_of

if TYPE_CHECKING:
    import numpy as np

    from archspec.backends.base import Array, ComparableBackend, Measured, TrainableBackend, Weights

# It judges.
REFERENCE = BACKEND
# How often weights are moved to see how far rounding moves gradients.
DRAWS = 3
# An elementwise function is compared on so many numbers from -REACH to REACH.
RAMP = 2001
REACH = 10.0
# And may be so far off there: in float32, tanh and exp of libraries are some units of 2^-24 off.
CURVES = {"float64": PROMISE.outputs, "float32": 1e-5}


class Bench:
    """What all backends are given, and the errors of each.

    `silent` is the network with nothing random in training, `measured` what the backends say of the
    models whose outputs were compared, as far as they can. The weights and the images are drawn
    in float64 and rounded for backends that compute in float32; the reference is given what they
    are given.
    """

    def __init__(self, graph: Graph, batch: int, seed: int, dtype: str) -> None:
        import numpy as np

        from archspec.backends.initial import initial_weights

        numbers = np.random.default_rng(seed)
        self.silent = without_noise(graph)
        self.measured: dict[str, Measured | None] = {}
        self._graph, self._seed, self._dtype = graph, seed, dtype
        self._weights = uneven(initial_weights(graph, seed), numbers)
        self._images: Array = numbers.standard_normal((batch, *graph.input_shape))
        self._expected: dict[str, dict[str, Array]] = {}
        self._cotangents = [
            numbers.standard_normal(self._outputs(dtype)[name].shape) for name in graph.outputs
        ]
        self._roundings = Roundings(graph, batch)

    def precision(self, backend: ComparableBackend) -> str:
        """The one that was asked for, where the backend knows it."""
        return self._dtype if self._dtype in backend.dtypes else backend.dtypes[0]

    def outputs(self, backend: ComparableBackend) -> list[OutputError]:
        """The errors of every layer's output in one backend."""
        backend.require()
        dtype = self.precision(backend)
        images = self._images.astype(dtype)
        model = self._model(backend, self._graph, dtype)
        found = backend.activations(self._graph, model, images)
        self.measured[backend.name] = backend.measure(self._graph, model)
        found[INPUT] = images
        expected = self._outputs(dtype)
        right = _Layers(self._graph, lambda: self._model(REFERENCE, self._graph, dtype))
        curves = self._curves(backend, dtype)
        errors = []
        for node in self._graph.nodes:
            name = node.name
            one = OutputError(
                name,
                backend.name,
                *error(found.get(name), expected[name]),
                _allowed(self._roundings.outputs[name], dtype),
            )
            if not one.within:
                one = replace(
                    one,
                    own=right.error(name, found, {INPUT: images, **expected}),
                    own_bound=_allowed(self._roundings.own[name], dtype),
                    reason=None
                    if math.isfinite(one.absolute)
                    else reason(found.get(name), expected[name], dtype),
                )
            elif name in curves:
                absolute, relative = curves[name]
                allowed = CURVES[dtype]
                if relative > allowed:
                    one = OutputError(
                        name, backend.name, absolute, relative, allowed, relative, allowed
                    )
            errors.append(one)
        return errors

    def _curves(self, backend: ComparableBackend, dtype: str) -> dict[str, tuple[float, float]]:
        """The errors of elementwise functions by themselves, on the numbers of `ramp`.

        In a network that was just initialised, few numbers get to where a relu6 bends.
        """
        known: dict[str, tuple[float, float]] = {}
        found = {}
        for node in self._graph.nodes:
            if not isinstance(node.layer, Activation):
                continue
            function = node.layer.model_dump_json(exclude={"name"})
            if function not in known:
                images = ramp((1, 1, 1, RAMP)).astype(dtype)
                alone = replace(
                    self._graph,
                    input_shape=images.shape[1:],
                    nodes=(replace(node, inputs=(INPUT,)),),
                    output=node.name,
                    auxiliary=(),
                )
                model = backend.build_for_verification(alone, dtype)
                backend.load_weights(alone, model, {})
                mine = backend.activations(alone, model, images)
                right = REFERENCE.activations(
                    alone, REFERENCE.build(alone), images.astype("float64")
                )
                known[function] = error(mine.get(node.name), right[node.name])
            found[node.name] = known[function]
        return found

    def gradients(
        self, learners: Sequence[TrainableBackend]
    ) -> tuple[str | None, list[GradientError]]:
        """Who judges, and the errors of every gradient in the others."""
        judge = self._judge(self.silent, learners)
        if judge is None:
            return None, []
        known: dict[str, tuple[dict[str, Array], dict[str, float]]] = {}
        errors = []
        for backend in learners:
            if backend is judge:
                continue
            dtype = self.precision(backend)
            if dtype not in known:
                known[dtype] = self._judgement(judge, dtype)
            expected, bounds = known[dtype]
            scales = gradient_scales(expected, self._cotangents)
            found = self._slopes(backend, dtype)
            for name in expected | found:
                pair = error(found.get(name), expected.get(name), scales.get(layer_of(name)))
                allowed = bounds.get(name, 0.0)
                errors.append(GradientError(name, backend.name, judge.name, *pair, allowed))
        return judge.name, errors

    def entrants(self, network: Graph, learners: Sequence[TrainableBackend]) -> Entrants | None:
        """Who trains, and who judges; nothing where there is nobody to compare with."""
        judge = self._judge(network, learners)
        racers = [backend for backend in learners if backend is not judge]
        if judge is None or not racers:
            return None
        rough = any(self.precision(backend) == "float32" for backend in racers)
        rounded = self._dtype if not rough else "float32"
        weights = _as(rounded, self._weights)
        twin = None
        if rough and judge is REFERENCE:
            twin = self._racer(judge, network, self._moved("float32"), "float64")
        return Entrants(
            self._racer(judge, network, weights, self._judging(judge, rounded)),
            tuple(self._racer(b, network, weights, self.precision(b)) for b in racers),
            twin,
        )

    def _judge(self, graph: Graph, learners: Sequence[TrainableBackend]) -> Any:
        """The reference where it has every derivative, else the first of two frameworks."""
        if REFERENCE.differentiates(graph):
            return REFERENCE
        return learners[0] if len(learners) > 1 else None

    def _judging(self, judge: Any, dtype: str) -> str:
        """The precision that the judge computes in."""
        return "float64" if judge is REFERENCE else dtype

    def _racer(self, backend: Any, network: Graph, weights: Weights, dtype: str) -> Racer:
        start = _as(dtype, weights)
        execution = Execution("cpu", dtype)
        trainer = backend.trainer(network, recipe_of(network), start, execution)
        return Racer(backend.name, trainer, dtype)

    def _outputs(self, dtype: str) -> dict[str, Array]:
        """The reference's outputs of every layer, for weights and images as they are in `dtype`."""
        if dtype not in self._expected:
            images = self._images.astype(dtype).astype("float64")
            model = self._model(REFERENCE, self._graph, dtype)
            self._expected[dtype] = REFERENCE.activations(self._graph, model, images)
        return self._expected[dtype]

    def _judgement(self, judge: Any, dtype: str) -> tuple[dict[str, Array], dict[str, float]]:
        """The gradients to compare with, and how far off those in `dtype` may be."""
        expected = self._slopes(judge, dtype)
        if dtype == "float64":
            return expected, dict.fromkeys(expected, PROMISE.gradients)
        count = self._roundings.gradient
        bounds = {name: bound(count(name, slope.size)) for name, slope in expected.items()}
        if judge is not REFERENCE:  # it rounds too
            return expected, {name: 2 * allowed for name, allowed in bounds.items()}
        scales = gradient_scales(expected, self._cotangents)
        moves: dict[str, float] = {}
        for draw in range(DRAWS):
            for name, slope in self._slopes(judge, dtype, self._moved(dtype, draw)).items():
                layer = layer_of(name)
                move = over(float(abs(slope - expected[name]).max(initial=0.0)), scales[layer])
                moves[layer] = max(moves.get(layer, 0.0), move)
        return expected, {name: b + LAMBDA * moves[layer_of(name)] for name, b in bounds.items()}

    def _moved(self, dtype: str, draw: int = 0) -> dict[str, Array]:
        """The weights moved by their rounding; every draw moves them in other directions."""
        import numpy as np

        numbers = np.random.default_rng((self._seed, 2, draw))
        return moved(_as(dtype, self._weights), self._roundings.own_in_training, numbers)

    def _slopes(self, backend: Any, dtype: str, weights: Weights | None = None) -> dict[str, Array]:
        """The gradients in one backend; the reference's for numbers as they are in `dtype`."""
        model = self._model(backend, self.silent, dtype, weights)
        computed = self._judging(backend, dtype)
        images = self._images.astype(dtype).astype(computed)
        cotangents = [c.astype(dtype).astype(computed) for c in self._cotangents]
        found: dict[str, Array] = backend.gradients(self.silent, model, images, cotangents)
        return found

    def _model(self, backend: Any, graph: Graph, dtype: str, weights: Weights | None = None) -> Any:
        """The network with the weights as they are in `dtype`; the reference's in float64."""
        weights = _as(dtype, self._weights) if weights is None else weights
        if backend is REFERENCE:
            model = backend.build(graph)
            weights = _as("float64", weights)
        else:
            model = backend.build_for_verification(graph, dtype)
        backend.load_weights(graph, model, weights)
        return model


class _Layers:
    """The layers of the reference one by one, built when the first is asked for."""

    def __init__(self, graph: Graph, build: Callable[[], Any]) -> None:
        self._graph, self._build = graph, build

    @cached_property
    def _model(self) -> Any:
        return self._build()

    @cached_property
    def _contexts(self) -> dict[str, LayerContext]:
        return {context.node.name: context for context in contexts(self._graph)}

    def error(
        self, name: str, found: Mapping[str, Array], expected: Mapping[str, Array]
    ) -> float | None:
        """The relative error that a layer adds to those of its inputs.

        None where one of them has another shape than it should.
        """
        inputs = []
        for source in self._graph.by_name[name].inputs:
            if source not in found or found[source].shape != expected[source].shape:
                return None
            inputs.append(found[source].astype("float64"))
        right = REFERENCE.layer_output(self._model, self._contexts[name], inputs)
        return error(found.get(name), right)[1]


def ramp(shape: tuple[int, ...]) -> Array:
    """Numbers from -REACH to REACH in equal steps, shifted so that none is where a slope jumps."""
    import numpy as np

    return np.linspace(-REACH, REACH, math.prod(shape)).reshape(shape) + math.pi / 1000


def without_noise(graph: Graph) -> Graph:
    """The same network with nothing random in training: every dropout rate is 0."""
    for node in graph.nodes:
        if node.layer.noise_off:
            graph = graph.with_layer(node.name, **node.layer.noise_off)
    return graph


def uneven(weights: dict[str, Array], numbers: np.random.Generator) -> dict[str, Array]:
    """The same weights, with noise added to those whose elements are all equal.

    A bias of zeros that a backend drops would not show, nor would two tensors of ones (a scale
    and a running variance) that it takes for each other.
    """
    return {
        name: weight + numbers.uniform(0.0, 0.5, weight.shape)
        if (weight == weight.flat[0]).all()
        else weight
        for name, weight in weights.items()
    }


def _as(dtype: str, weights: Weights) -> dict[str, Array]:
    return {name: weight.astype(dtype, copy=False) for name, weight in weights.items()}


def _allowed(roundings: int, dtype: str) -> float:
    return PROMISE.outputs if dtype == "float64" else bound(roundings)
