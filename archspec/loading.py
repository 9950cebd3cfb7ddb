"""From a word on the command line to a graph and its analysis."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archspec import analysis, catalog, expand, rules, source
from archspec.analysis import Analysis
from archspec.analysis.batches import norms_of_one
from archspec.analysis.shapes import infer_shapes
from archspec.diagnostics import ArchspecError, Diagnostic, ProblemsFound, Silenced, SpecError
from archspec.expressions import Value
from archspec.files import SpecFiles
from archspec.graph import Graph
from archspec.layers.base import Shape
from archspec.source import Document
from archspec.spec.fields import MAX_SIZE, is_integer

Spec = str | Path | Graph


def load(
    spec: str | Path = catalog.DEFAULT,
    /,
    *,
    input: Sequence[int] | str | None = None,
    root: str | Path | None = None,
    **variables: Value | list[Any],
) -> Graph:
    """The network of a spec file or of a shipped spec, its variables replaced where given.

    `input` replaces the shape of its input. `root` is the folder in which the spec may name
    other files; without it that is the spec's own folder.

    Raises SpecError, whose `diagnostics` say what is wrong and where.
    """
    shape = None if input is None else parse_shape(input)
    files = SpecFiles(Path(root) if root is not None else None)
    document = _nothing(str(spec))
    try:
        path, shown = catalog.find(spec)
        document = _nothing(shown)
        document = files.open(path, shown)
        return expand.expand(document, variables, files=files, input_shape=shape)
    except ProblemsFound as found:
        raise SpecError(rules.diagnose(found.problems, document)) from None


@dataclass(frozen=True, slots=True)
class Examined:
    """What `check` finds in a spec: its diagnostics, its graph where there is one.

    `silenced` are the diagnostics that the spec calls meant. `name` is the file's name in messages,
    `path` where it lies, `text` what stands in it and `document` what was read from that, as far as
    it could be.
    """

    name: str
    diagnostics: tuple[Diagnostic, ...]
    silenced: tuple[Silenced, ...] = ()
    path: Path | None = None
    text: str = ""
    document: Document | None = None
    graph: Graph | None = None


def examine(spec: str | Path, root: Path | None = None) -> Examined:
    """Look for what is wrong with a spec, whatever it is."""
    try:
        path, name = catalog.find(spec)
        text = source.read_text(path, name)
    except ProblemsFound as found:
        name = str(spec)
        return Examined(name, rules.diagnose(found.problems, _nothing(name)))
    return examine_text(text, path, name, root)


def examine_text(text: str, path: Path, name: str, root: Path | None = None) -> Examined:
    """The same for a file as if it held `text`."""
    files = SpecFiles(root)
    document = None
    try:
        document = files.hold(path, name, text)
        graph = expand.expand(document, files=files)
    except ProblemsFound as found:
        diagnostics = rules.diagnose(found.problems, document or _nothing(name))
        return Examined(name, diagnostics, (), path, text, document)
    found_in = rules.run(analysis.compute(graph))
    return Examined(name, found_in.diagnostics, found_in.silenced, path, text, document, graph)


def _nothing(name: str) -> Document:
    return Document(source.SourceText(name, ()), source.Node(source.Span(1, 1, 1, 1)))


def analyze(
    spec: Spec = catalog.DEFAULT, *, input: Sequence[int] | str | None = None, batch: int = 1
) -> Analysis:
    """Shapes, costs, claims and diagnostics. `input` replaces the spec's input shape.

    In a spec, expressions see the new channels; the layers of a Graph stay what they are.

    A network with errors is analysed as far as it goes; `Analysis.has_errors` tells. Raises
    SpecError when there is no network to analyse.
    """
    shape = None if input is None else parse_shape(input)
    if not isinstance(spec, Graph):
        graph = load(spec, input=shape)
    else:
        graph = spec if shape is None else spec.with_input(shape)
    return rules.run(analysis.compute(graph, batch))


def buildable(spec: Spec) -> Graph:
    """The graph, if every layer has a shape; raises SpecError with the reasons otherwise."""
    found = analyze(spec)
    if found.has_errors:
        raise SpecError([d for d in found.diagnostics if d.severity == "error"])
    return found.graph


def has_trained_weights(graph: Graph) -> bool:
    """Whether any weight of the network learns."""
    shapes = infer_shapes(graph)
    return any(
        weight.trainable and not weight.buffer
        for node in graph.nodes
        for weight in node.layer.weights(shapes.inputs(node))
    )


def require_batches(graph: Graph, batch: int) -> None:
    """Raise ArchspecError where the network cannot be trained on batches of `batch` images."""
    alone = norms_of_one(graph, infer_shapes(graph), batch)
    if alone:
        raise ArchspecError(
            f"{alone[0]} normalises over the batch, and in batches of one image each of its "
            "channels has a single number, which PyTorch refuses to train; take at least two images"
        )


def parse_shape(given: str | Sequence[int]) -> Shape:
    """3x224x224, or those three numbers, as (3, 224, 224).

    Raises ArchspecError for anything else.
    """
    if isinstance(given, str):
        match = re.fullmatch(r"([0-9]{1,10})[xX]([0-9]{1,10})[xX]([0-9]{1,10})", given.strip())
        shape = tuple(int(part) for part in match.groups()) if match else ()
    else:
        shape = tuple(given)
    if len(shape) != 3 or not all(is_integer(size) and 1 <= size <= MAX_SIZE for size in shape):
        raise ArchspecError(
            f"an input is channels x height x width, such as 3x224x224, not `{given}`"
        )
    return shape
