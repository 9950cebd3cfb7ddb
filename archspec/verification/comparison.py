"""Whether every installed backend builds the same network: outputs and gradients, layer by layer.

All backends get one set of weights and one batch. Each layer's output is compared with the
NumPy reference at inference; the gradient of every parameter is compared between frameworks in
training mode, with dropout and its like off (their masks are random in each framework). Auxiliary
outputs, and the layers that only lead to them, are compared as the others are.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.verification.checks import CHECKS, Check, Subject
from archspec.verification.errors import (
    GradientError,
    OutputError,
    error,
    finite,
    layer_of,
    layer_scales,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from archspec.backends.base import Array, Measured, TrainableBackend

# Largest relative errors that count as equal, (outputs, gradients). In float64 they are the
# project's promise. In float32 they leave room for the rounding of sums over some ten thousand
# products in another order: sqrt(10,000) x 2^-24 is 6e-6 a layer.
BOUNDS = {"float64": (1e-12, 1e-10), "float32": (1e-4, 1e-3)}


@dataclass(frozen=True)
class Verification:
    """The errors of every backend, and whether they are within the bounds."""

    graph: Graph
    dtype: str
    batch: int
    seed: int
    backends: tuple[str, ...]
    missing: dict[str, tuple[str, ...]]
    outputs: tuple[OutputError, ...]
    gradients: tuple[GradientError, ...]
    output_bound: float
    gradient_bound: float
    checks: tuple[Check, ...]

    @property
    def equal(self) -> bool:
        """Whether every output and gradient is within its bound, and every check finds the same."""
        return (
            all(e.relative <= self.output_bound for e in self.outputs)
            and all(e.relative <= self.gradient_bound for e in self.gradients)
            and all(check.equal for check in self.checks)
        )

    def to_json(self) -> dict[str, Any]:
        """The document of ``verify --format json``."""
        return {
            "schema_version": 1,
            "name": self.graph.name,
            "hash": self.graph.hash,
            "dtype": self.dtype,
            "batch": self.batch,
            "seed": self.seed,
            "backends": list(self.backends),
            "missing": {name: list(packages) for name, packages in self.missing.items()},
            "output_bound": self.output_bound,
            "gradient_bound": self.gradient_bound,
            "outputs": [finite(asdict(e)) for e in self.outputs],
            "gradients": [finite(asdict(e)) for e in self.gradients],
            **{check.key: check.to_json() for check in self.checks},
            "equal": self.equal,
        }


def verify(
    graph: Graph,
    *,
    backends: tuple[str, ...] | None = None,
    dtype: str = "float64",
    batch: int = 2,
    seed: int = 0,
    source: Path | None = None,
) -> Verification:
    """Build the network in every installed backend and compare.

    `backends` names those to compare instead of all that are installed; `source` is for the
    checks: an emitted file that was edited by hand. Raises ArchspecError when one of the backends,
    or every framework, is missing.
    """
    chosen, missing = _chosen(backends)

    import numpy as np

    from archspec.backends import get_backend
    from archspec.backends.numpy import BACKEND as REFERENCE
    from archspec.backends.numpy.initial import initial_weights

    numbers = np.random.default_rng(seed)
    initial = _uneven(initial_weights(graph, seed), numbers)
    weights = {name: weight.astype(dtype) for name, weight in initial.items()}
    images = numbers.standard_normal((batch, *graph.input_shape)).astype(dtype)
    model = REFERENCE.build(graph)
    REFERENCE.load_weights(graph, model, _in_float64(weights))
    reference = REFERENCE.activations(graph, model, images.astype("float64"))
    del model
    cotangents = [
        numbers.standard_normal(reference[name].shape).astype(dtype) for name in graph.outputs
    ]
    trained = _without_noise(graph)
    outputs: list[OutputError] = []
    gradients: list[GradientError] = []
    compared: list[TrainableBackend] = []
    measured: dict[str, Measured | None] = {}
    first: tuple[str, dict[str, Array]] | None = None
    for name in chosen:
        backend: TrainableBackend = get_backend(name)  # type: ignore[assignment]
        backend.require()
        compared.append(backend)
        model = backend.build_for_verification(graph, dtype)
        backend.load_weights(graph, model, weights)
        found = backend.activations(graph, model, images)
        for layer in graph.nodes:
            absolute, relative = error(found[layer.name], reference[layer.name])
            outputs.append(OutputError(layer.name, name, absolute, relative))
        measured[name] = backend.measure(graph, model)
        comparable = all(found[name].shape == reference[name].shape for name in graph.outputs)
        del model, found
        if not comparable:  # found wrong already, and its gradients are of something else
            continue
        model = backend.build_for_verification(trained, dtype)
        backend.load_weights(trained, model, weights)
        slopes = backend.gradients(trained, model, images, cotangents)
        del model
        if first is None:
            first = name, slopes
            continue
        scales = layer_scales(first[1])
        for parameter in first[1] | slopes:
            scale = scales.get(layer_of(parameter))
            pair = slopes.get(parameter), first[1].get(parameter)
            absolute, relative = error(*pair, scale)
            gradients.append(GradientError(parameter, name, first[0], absolute, relative))
    subject = Subject(graph, tuple(compared), dtype, batch, seed, source, measured)
    checks = [check(subject) for check in CHECKS]
    return Verification(
        graph,
        dtype,
        batch,
        seed,
        chosen,
        missing,
        tuple(outputs),
        tuple(gradients),
        *BOUNDS[dtype],
        tuple(check for check in checks if check is not None),
    )


def _chosen(
    wanted: tuple[str, ...] | None,
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """The backends to compare, and what those that were left out miss."""
    from archspec.backends import get_backend, trainable_backends
    from archspec.backends.base import TrainableBackend

    if wanted is not None:
        for name in wanted:
            backend = get_backend(name)
            backend.require()
            if not isinstance(backend, TrainableBackend):
                raise ArchspecError(f"{name} is the reference that the others are compared with")
        return wanted, {}
    every = trainable_backends()
    missing = {backend.name: backend.missing() for backend in every if backend.missing()}
    chosen = tuple(b.name for b in reversed(every) if b.name not in missing)
    if not chosen:
        raise ArchspecError(
            "there is no framework to compare with the reference: "
            "pip install 'archspec-nn[torch,keras]'"
        )
    return chosen, missing


def _without_noise(graph: Graph) -> Graph:
    """The same network with nothing random in training: every dropout rate is 0."""
    for node in graph.nodes:
        if node.layer.noise_off:
            graph = graph.with_layer(node.name, **node.layer.noise_off)
    return graph


def _uneven(weights: dict[str, Array], numbers: np.random.Generator) -> dict[str, Array]:
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


def _in_float64(weights: dict[str, Array]) -> dict[str, Array]:
    return {name: weight.astype("float64") for name, weight in weights.items()}
