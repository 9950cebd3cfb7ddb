"""From a word on the command line to a graph and its analysis."""

from __future__ import annotations

import re
from pathlib import Path

from archspec import analysis, catalog, expand, rules, source
from archspec.analysis import Analysis
from archspec.diagnostics import ArchspecError, ProblemsFound, SpecError
from archspec.graph import Graph
from archspec.layers.base import Shape
from archspec.spec.fields import MAX_SIZE

Spec = str | Path | Graph


def load(spec: str | Path = catalog.DEFAULT, /, **variables: int | float | bool | str) -> Graph:
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


def parse_shape(text: str) -> Shape:
    """3x224x224 as (3, 224, 224). Raises ArchspecError for anything else."""
    match = re.fullmatch(r"([0-9]{1,10})[xX]([0-9]{1,10})[xX]([0-9]{1,10})", text.strip())
    shape = tuple(int(part) for part in match.groups()) if match else ()
    if not shape or not all(1 <= size <= MAX_SIZE for size in shape):
        raise ArchspecError(
            f"--input is channels x height x width, such as 3x224x224, not `{text}`"
        )
    return shape
