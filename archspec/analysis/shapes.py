"""Every shape of a network, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from archspec.diagnostics import Problem, ProblemsFound
from archspec.graph import Graph, Node
from archspec.layers.base import Inferred, Shape
from archspec.spec.fields import INPUT, MAX_SIZE, Pair

# How far from the given input size a size is looked for at which every layer is whole.
SEARCH_PIXELS = 64
# A bound on the shape rules that are run for one suggestion, so that a network of thousands of
# layers is answered at once too.
MAX_RULES = 50_000


@dataclass(frozen=True, eq=False)
class Shapes:
    """What the shape rules found, by layer name; layers behind an impossible one are absent.

    `rounded` holds the layers whose non-integer output was rounded although the spec says
    `exact`: their shapes and those behind them (`uncertain`) are what frameworks would silently
    build.
    """

    graph: Graph
    layers: Mapping[str, Inferred]
    rounded: tuple[str, ...]
    uncertain: frozenset[str]
    problems: tuple[Problem, ...]

    @property
    def input(self) -> Shape:
        """The shape of one image."""
        return self.graph.input_shape

    @property
    def missing(self) -> tuple[str, ...]:
        """The layers without a shape: impossible ones, and those that read one without."""
        return tuple(n.name for n in self.graph.nodes if n.name not in self.layers)

    def of(self, name: str) -> Shape:
        """The shape of the input or of a layer's output."""
        return self.graph.input_shape if name == INPUT else self.layers[name].shape

    def inputs(self, node: Node) -> tuple[Shape, ...]:
        """The shapes that a layer reads."""
        return tuple([self.of(name) for name in node.inputs])

    @cached_property
    def whole_input(self) -> Pair | None:
        """The nearest input size (height, width) at which every layer is whole.

        Of two equally near the larger; None where there is none within SEARCH_PIXELS. An axis
        that is whole already stays as it is.
        """
        _, height, width = self.input
        windows = [self.layers[name].window for name in self.rounded]
        tall = None if any(w and not w.height.exact for w in windows) else height
        wide = None if any(w and not w.width.exact for w in windows) else width
        steps = [sign * pixels for pixels in range(1, SEARCH_PIXELS + 1) for sign in (1, -1)]
        for step in steps[: MAX_RULES // len(self.graph.nodes)]:
            size = (tall or height + step, wide or width + step)
            if not all(1 <= side <= MAX_SIZE for side in size):
                continue
            whole = _whole_axes(self.graph, size, (tall is None, wide is None))
            tall = tall or (size[0] if whole[0] else None)
            wide = wide or (size[1] if whole[1] else None)
            if tall and wide:
                found = (tall, wide)
                return (
                    found if _whole_axes(self.graph, found, (True, True)) == (True, True) else None
                )
        return None


def infer_shapes(
    graph: Graph,
    *,
    before: Shapes | None = None,
    changed: str = "",
    until_rounded: bool = False,
) -> Shapes:
    """Run every shape rule in order.

    A problem is reported where it arises and not again behind it: layers that read an
    impossible layer are left out, and so are quotients that only follow from a rounded one.

    With `before`, the shapes of the same graph before its layer `changed` was changed, only the
    rules behind that layer run again, and only their problems are reported. With
    `until_rounded`, nothing behind the first layer that is not whole is looked at.
    """
    layers: dict[str, Inferred] = {}
    problems: list[Problem] = []
    rounded: list[str] = []
    tainted: set[str] = set()
    again = {changed}
    shapes: dict[str, Shape] = {INPUT: graph.input_shape}
    known: _Known = {}
    for node in graph.nodes:
        name, inputs = node.name, node.inputs
        if before is not None and name not in again and again.isdisjoint(inputs):
            if name not in before.layers:
                continue
            inferred = before.layers[name]
        else:
            if before is not None:
                again.add(name)
            read = tuple([shapes[i] for i in inputs if i in shapes])
            if len(read) < len(inputs):
                continue
            try:
                inferred = _infer(node, read, known)
            except ProblemsFound as found:
                if tainted.isdisjoint(inputs):
                    problems += found.problems
                continue
        layers[name] = inferred
        shapes[name] = inferred.shape
        follows = not tainted.isdisjoint(inputs)
        if follows:
            tainted.add(name)
        if inferred.problems:
            if not follows:
                problems += inferred.problems
            rounded.append(name)
            tainted.add(name)
            if until_rounded:
                break
    return Shapes(graph, layers, tuple(rounded), frozenset(tainted), tuple(problems))


_Known = dict[tuple[int, tuple[Shape, ...]], Inferred]


def _infer(node: Node, inputs: tuple[Shape, ...], known: _Known) -> Inferred:
    """Run a shape rule, or take what it gave for the same layer under another name."""
    if node.pattern is None:
        return node.layer.infer(inputs)
    key = (id(node.pattern), inputs)
    found = known.get(key)
    if found is None:
        found = node.layer.infer(inputs)
        if not found.problems:  # they name the layer
            known[key] = found
    return found


def _whole_axes(graph: Graph, size: Pair, wanted: tuple[bool, bool]) -> tuple[bool, bool]:
    """Whether every layer is whole in height and in width for an input of `size`.

    Stops at the first layer that settles the `wanted` axes.
    """
    shapes: dict[str, Shape] = {INPUT: (graph.input_shape[0], *size)}
    whole = (True, True)
    for node in graph.nodes:
        try:
            inferred = node.layer.infer(tuple([shapes[i] for i in node.inputs]))
        except ProblemsFound:
            return (False, False)
        shapes[node.name] = inferred.shape
        if inferred.window and inferred.problems:
            height, width = inferred.window.height, inferred.window.width
            whole = (whole[0] and height.exact, whole[1] and width.exact)
            if not any(is_whole and asked for is_whole, asked in zip(whole, wanted, strict=True)):
                return whole
    return whole
