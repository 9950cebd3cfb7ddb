"""The ways through a graph that several rules look along. All are linear in the layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from archspec.analysis import Analysis
from archspec.graph import Graph, Node
from archspec.layers.activations import Activation, Softmax
from archspec.layers.affine import AffineLayer
from archspec.layers.base import Layer
from archspec.layers.dropout import Dropout
from archspec.layers.flatten import Flatten
from archspec.layers.local_response_norm import LocalResponseNorm
from archspec.layers.rearrange import Reshape
from archspec.layers.scale import Scale
from archspec.layers.window import Window
from archspec.layers.windowed import WindowedLayer
from archspec.spec.fields import INPUT

Kind = TypeVar("Kind", bound=Layer)

# What does nothing to the features of a vector but scale, drop, bend or reorder them.
_TAIL = (Activation, Softmax, Dropout, AffineLayer, LocalResponseNorm, Scale, Flatten, Reshape)


def layers(graph: Graph, kind: type[Kind]) -> Iterator[tuple[Node, Kind]]:
    """The nodes whose layer is of a class (or one derived from it), with that layer."""
    for found, nodes in graph.by_class.items():
        if issubclass(found, kind):
            for node in nodes:
                yield node, node.layer  # type: ignore[misc]


def windows(
    analysis: Analysis,
    kind: type[Kind] = WindowedLayer,  # type: ignore[assignment]
) -> Iterator[tuple[Node, Kind, Window]]:
    """The layers that slide a window, with it; without those whose size is only a guess."""
    shapes, uncertain = analysis.shapes.layers, analysis.shapes.uncertain
    for node, layer in layers(analysis.graph, kind):
        inferred = shapes.get(node.name)
        if inferred is not None and inferred.window is not None and node.name not in uncertain:
            yield node, layer, inferred.window


def only_reader(graph: Graph, name: str) -> Node | None:
    """The one layer that reads a layer; None where several do, or where it is an output."""
    readers = graph.consumers[name]
    return graph.by_name[readers[0]] if len(readers) == 1 and name not in graph.outputs else None


def read_by(graph: Graph, node: Node) -> Node | None:
    """The layer that a node with one input reads; None for the image, and for joins."""
    if len(node.inputs) != 1 or node.inputs[0] == INPUT:
        return None
    return graph.by_name[node.inputs[0]]


def written(node: Node, field: str) -> str:
    """What stands in the file where a field has its value, empty where it has none there."""
    value = node.source.get(field)
    if value is None or value.span.source is None:
        return ""
    line = value.span.source.line(value.span.line) or ""
    return line[value.span.column - 1 : value.span.end_column - 1]


@dataclass(frozen=True, slots=True)
class Tail:
    """What stands between the layer that gives the logits and an output, in the order of data."""

    output: str
    logits: str
    nodes: tuple[Node, ...]
    classes: int


def tails(analysis: Analysis) -> list[Tail]:
    """The ends of a classifier, one for each output: a vector, trained or said to be classes.

    Empty where nothing says that the outputs are classes: a recipe (its loss takes logits), a
    softmax at the end, or a variable `classes`.
    """
    graph = analysis.graph
    found = []
    for output in graph.outputs:
        inferred = analysis.shapes.layers.get(output)
        if inferred is None or len(inferred.shape) != 1:
            continue
        nodes: list[Node] = []
        node: Node | None = graph.by_name[output]
        while node is not None and isinstance(node.layer, _TAIL):
            if nodes and only_reader(graph, node.name) is not nodes[-1]:
                break
            nodes.append(node)
            node = read_by(graph, node)
        if node is None:
            continue
        classifies = graph.spec.training is not None or "classes" in graph.variables
        if classifies or any(isinstance(n.layer, Softmax) for n in nodes):
            found.append(Tail(output, node.name, tuple(reversed(nodes)), inferred.shape[0]))
    return found


def on_the_logits(analysis: Analysis, *kinds: type[Layer]) -> Iterator[tuple[Node, Tail]]:
    """The layers of some classes that stand between the logits and an output."""
    for tail in tails(analysis):
        for node in tail.nodes:
            if isinstance(node.layer, kinds):
                yield node, tail
