"""The comparison itself: one set of weights, one batch, every backend against the reference.

Each layer's output is compared at inference; the gradients of every parameter and of the images in
training mode, with layers off that are random there (each framework draws other masks). The NumPy
reference in float64 judges both, and the steps of training too. A layer of a plug-in may have no
derivative in the reference: then the first framework judges the others. Auxiliary outputs, and the
layers that only lead to them, are compared as the others are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from archspec.backends import comparable_backends, get_backend
from archspec.backends.base import ComparableBackend, TrainableBackend
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.loading import require_batches
from archspec.verification.bench import REFERENCE, Bench, without_noise
from archspec.verification.checks import CHECKS, Check, Subject
from archspec.verification.errors import GradientError, OutputError, finite
from archspec.verification.steps import Training, compare, trained_network
from archspec.verification.verdict import Difference, differences

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Verification:
    """The errors of every backend, their bounds, and what to make of them.

    `dtypes` is the precision of each backend, which may know fewer than are asked for. `missing`
    has the packages of backends that are left out, `unable` why others cannot build it. `judge` is
    what gradients and training are compared with: the reference, a framework where the reference
    lacks a derivative, None where there was nothing to compare with. `silenced` are the layers that
    were off in training.
    """

    graph: Graph
    dtype: str
    batch: int
    seed: int
    backends: tuple[str, ...]
    dtypes: Mapping[str, str]
    missing: Mapping[str, tuple[str, ...]]
    unable: Mapping[str, str]
    judge: str | None
    silenced: tuple[str, ...]
    outputs: tuple[OutputError, ...]
    gradients: tuple[GradientError, ...]
    training: Training | None
    checks: tuple[Check, ...]

    @property
    def equal(self) -> bool:
        """Whether everything is within its bound, and every check finds the same."""
        return (
            all(e.within for e in (*self.outputs, *self.gradients))
            and (self.training is None or self.training.equal)
            and all(check.equal for check in self.checks)
        )

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """Where each backend first leaves a bound, and why; nothing where it never does."""
        return differences(self.graph, self.outputs, self.gradients, self.training)

    def to_json(self) -> dict[str, Any]:
        """The document of ``verify --format json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.graph.name,
            "hash": self.graph.hash,
            "dtype": self.dtype,
            "batch": self.batch,
            "seed": self.seed,
            "backends": [{"name": name, "dtype": self.dtypes[name]} for name in self.backends],
            "missing": {name: list(packages) for name, packages in self.missing.items()},
            "unable": dict(self.unable),
            "judge": self.judge,
            "silenced": list(self.silenced),
            "outputs": [finite(asdict(e)) for e in self.outputs],
            "gradients": [finite(asdict(e)) for e in self.gradients],
            "training": self.training.to_json() if self.training else None,
            **{check.key: check.to_json() for check in self.checks},
            "differences": [finite(asdict(difference)) for difference in self.differences],
            "equal": self.equal,
        }


def verify(
    graph: Graph,
    *,
    backends: tuple[str, ...] | None = None,
    dtype: str = "float64",
    batch: int = 2,
    seed: int = 0,
    steps: int = 0,
) -> Verification:
    """Build the network in every installed backend and compare.

    `backends` names those to compare instead of all that are installed, `steps` says how many steps
    of training to compare. Raises ArchspecError when one of the backends, or every framework, is
    missing, and where the network cannot be trained for `steps`, or on batches of that size.
    """
    chosen, missing, unable = _chosen(graph, backends)
    learners = [backend for backend in chosen if isinstance(backend, TrainableBackend)]
    if steps and not learners:
        raise ArchspecError(
            "--steps compares training, and none of these backends trains; add --backend torch"
        )
    if learners:
        require_batches(graph, batch)
    network, classes = trained_network(without_noise(graph)) if steps else (graph, 0)

    import numpy as np  # here, because what is chosen says what to install where it is missing

    # What overflows is found not to be finite; NumPy need not warn of it.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        bench = Bench(graph, batch, seed, dtype)
        outputs = [error for backend in chosen for error in bench.outputs(backend)]
        # What computes other shapes is found wrong already; its gradients are of something else.
        strange = {
            e.backend for e in outputs if e.layer in graph.outputs and math.isinf(e.absolute)
        }
        learners = [backend for backend in learners if backend.name not in strange]
        judge, gradients = bench.gradients(learners)
        entrants = bench.entrants(network, learners) if steps else None
        training = compare(network, classes, entrants, steps, batch, seed) if entrants else None
    subject = Subject(graph, tuple(chosen), dtype, batch, seed, bench.measured)
    checks = [check(subject) for check in CHECKS]
    return Verification(
        graph,
        dtype,
        batch,
        seed,
        tuple(backend.name for backend in chosen),
        {backend.name: bench.precision(backend) for backend in chosen},
        missing,
        unable,
        judge,
        tuple(node.name for node in graph.nodes if node.layer.noise_off),
        tuple(outputs),
        tuple(gradients),
        training,
        tuple(check for check in checks if check is not None),
    )


def _chosen(
    graph: Graph, wanted: tuple[str, ...] | None
) -> tuple[list[ComparableBackend], dict[str, tuple[str, ...]], dict[str, str]]:
    """The backends to compare, what those that were left out miss, and why others cannot be."""
    if wanted is not None:
        named = []
        for name in wanted:
            backend = get_backend(name)
            backend.require()
            if backend is REFERENCE:
                raise ArchspecError(f"{name} is the reference that the others are compared with")
            if not isinstance(backend, ComparableBackend):
                raise ArchspecError(
                    f"the {name} backend does not tell the outputs of layers, so there is nothing "
                    "to compare"
                )
            named.append(backend)
        return named, {}, {}
    every = comparable_backends()
    missing = {backend.name: backend.missing() for backend in every if backend.missing()}
    chosen, unable = [], {}
    for backend in every:
        if backend.name in missing:
            continue
        if not isinstance(backend, TrainableBackend):  # a judge more, which may know fewer layers
            try:
                backend.emit(graph)
            except ArchspecError as error:
                unable[backend.name] = str(error)
                continue
        chosen.append(backend)
    if not chosen:
        raise ArchspecError(
            "there is no framework to compare with the reference: "
            "pip install 'archspec-nn[torch,keras]'"
        )
    return chosen, missing, unable
