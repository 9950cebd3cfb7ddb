"""What archspec does, as functions; the command line only adds arguments and printing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec import analysis, catalog, expand, rules, source
from archspec.analysis import Analysis
from archspec.diagnostics import ArchspecError, ProblemsFound, SpecError
from archspec.graph import Graph
from archspec.layers.base import Shape
from archspec.spec.fields import MAX_SIZE

if TYPE_CHECKING:
    from archspec.training.options import RunOptions, RunSummary, Watcher
    from archspec.verification import Verification

Spec = str | Path | Graph


def load(spec: str | Path = catalog.DEFAULT, **variables: int | float | bool | str) -> Graph:
    """The network of a spec file or of a shipped spec, its variables replaced where given.

    Raises SpecError, whose `diagnostics` say what is wrong and where.
    """
    empty = source.Document(str(spec), (), source.Node(source.Span(1, 1, 1, 1)))
    document = empty
    try:
        path, shown = catalog.find(spec)
        document = source.Document(shown, (), empty.root)
        text = source.read_text(path, shown)
        document = source.Document(shown, source.split_lines(text), empty.root)
        document = source.parse(text, shown)
        return expand.expand(document, variables)
    except ProblemsFound as found:
        raise SpecError(rules.diagnose(found.problems, document)) from None


def analyze(
    spec: Spec = catalog.DEFAULT, *, input: Shape | str | None = None, batch: int = 1
) -> Analysis:
    """Shapes, costs, claims and diagnostics. `input` replaces the spec's input shape.

    A network with errors is analysed as far as it goes; `Analysis.has_errors` tells. Raises
    SpecError when there is no network to analyse.
    """
    graph = spec if isinstance(spec, Graph) else load(spec)
    if input is not None:
        graph = graph.with_input(parse_shape(input) if isinstance(input, str) else input)
    return rules.run(analysis.compute(graph, batch))


def buildable(spec: Spec) -> Graph:
    """The graph, if every layer has a shape; raises SpecError with the reasons otherwise."""
    found = analyze(spec)
    if found.has_errors:
        raise SpecError([d for d in found.diagnostics if d.severity == "error"])
    return found.graph


def emit(spec: Spec = catalog.DEFAULT, *, backend: str = "torch") -> str:
    """The source of the model, which needs the framework to run and nothing of archspec."""
    from archspec.backends import get_backend

    return get_backend(backend).emit(buildable(spec))


def build(spec: Spec = catalog.DEFAULT, *, backend: str = "torch", seed: int | None = None) -> Any:
    """The model, made by executing what `emit` returns.

    With `seed`, its weights are drawn by archspec and equal in every backend; without, the
    framework draws them. Raises ArchspecError when the framework is not installed.
    """
    from archspec.backends import get_backend
    from archspec.backends.numpy.initial import initial_weights

    graph = buildable(spec)
    chosen = get_backend(backend)
    chosen.require()
    model = chosen.build(graph)
    if seed is not None:
        chosen.load_weights(graph, model, initial_weights(graph, seed))
    return model


def verify(spec: Spec = catalog.DEFAULT, **options: Any) -> Verification:
    """Compare every installed backend with the NumPy reference; see `archspec.verification`."""
    from archspec import verification

    return verification.verify(buildable(spec), **options)


def train(
    spec: Spec = catalog.DEFAULT,
    options: RunOptions | None = None,
    watcher: Watcher | None = None,
) -> RunSummary:
    """Train a network with the recipe in its spec and leave a run folder.

    Raises SpecError or ArchspecError; see `archspec.training.loop.run`.
    """
    from archspec.training import RunOptions, run

    return run(spec, options or RunOptions(), watcher)


def parse_shape(text: str) -> Shape:
    """3x224x224 as (3, 224, 224). Raises ArchspecError for anything else."""
    match = re.fullmatch(r"([0-9]{1,10})[xX]([0-9]{1,10})[xX]([0-9]{1,10})", text.strip())
    shape = tuple(int(part) for part in match.groups()) if match else ()
    if not shape or not all(1 <= size <= MAX_SIZE for size in shape):
        raise ArchspecError(
            f"--input is channels x height x width, such as 3x224x224, not `{text}`"
        )
    return shape


def parse_assignments(assignments: Mapping[str, str] | list[str]) -> dict[str, Any]:
    """`name=value` texts as values, read as in a spec. Raises ArchspecError."""
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise ArchspecError(f"--set takes name=value, such as classes=10, not `{assignment}`")
        value = source.scalar(text.strip())
        if value is None:
            raise ArchspecError(f"--set {name}= needs a value, such as {name}=10")
        values[name.strip()] = value
    return values
