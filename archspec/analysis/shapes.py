"""Every shape of a network, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archspec.diagnostics import Problem, ProblemsFound
from archspec.graph import Graph, Node
from archspec.layers.base import Inferred, Shape
from archspec.spec.fields import INPUT


@dataclass(frozen=True, slots=True)
class Shapes:
    """What the shape rules found, by layer name; layers behind an impossible one are absent.

    `rounded` holds the layers whose non-integer output was rounded although the spec says
    `exact`: their shapes and those behind them (`uncertain`) are what frameworks would silently
    build.
    """

    input: Shape
    layers: Mapping[str, Inferred]
    rounded: tuple[str, ...]
    uncertain: frozenset[str]
    problems: tuple[Problem, ...]

    def of(self, name: str) -> Shape:
        """The shape of the input or of a layer's output."""
        return self.input if name == INPUT else self.layers[name].shape

    def inputs(self, node: Node) -> tuple[Shape, ...]:
        """The shapes that a layer reads."""
        return tuple(self.of(name) for name in node.inputs)


def infer_shapes(graph: Graph) -> Shapes:
    """Run every shape rule in order.

    A problem is reported where it arises and not again behind it: layers that read an
    impossible layer are left out, and so are quotients that only follow from a rounded one.
    """
    layers: dict[str, Inferred] = {}
    problems: list[Problem] = []
    rounded: list[str] = []
    tainted: set[str] = set()
    shapes: dict[str, Shape] = {INPUT: graph.input_shape}
    for node in graph.nodes:
        if any(name not in shapes for name in node.inputs):
            continue
        try:
            inferred = node.layer.infer(tuple(shapes[name] for name in node.inputs))
        except ProblemsFound as found:
            if not tainted.intersection(node.inputs):
                problems += found.problems
            continue
        layers[node.name] = inferred
        shapes[node.name] = inferred.shape
        follows = bool(tainted.intersection(node.inputs))
        if follows:
            tainted.add(node.name)
        if any(problem.severity is None for problem in inferred.problems):
            rounded.append(node.name)
            tainted.add(node.name)
        if not follows:
            problems += inferred.problems
    return Shapes(graph.input_shape, layers, tuple(rounded), frozenset(tainted), tuple(problems))
