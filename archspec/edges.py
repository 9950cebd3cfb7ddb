"""Edges: which layer reads which, and an order in which they can be computed."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from archspec.diagnostics import Problem, Span, did_you_mean, shortened
from archspec.graph import Node as GraphNode
from archspec.layers.base import Layer
from archspec.source import Node, Problems
from archspec.spec.fields import INPUT, MAX_NAME

# A misspelt input is looked for among the layers around the one that reads it: comparing it
# with every layer of a long list would take seconds for each mistake.
_NEIGHBOURS = 200
_SHOWN_IN_CYCLE = 8


@dataclass(frozen=True, slots=True)
class Written:
    """An entry of the list of layers: its place, and the layer unless something is wrong with it.

    `name` is the layer's name; for one that has none of its own (it is missing, invalid or
    taken) a word that no layer can be called by, so that the layer behind it can read it.
    """

    node: Node
    index: int
    name: str
    layer: Layer | None

    @property
    def path(self) -> tuple[str | int, ...]:
        """Where the entry stands in the document."""
        return ("layers", self.index)


def connect(
    layers: Sequence[Written], auxiliary: Sequence[str], root: Node, problems: Problems
) -> tuple[GraphNode, ...]:
    """The layers as graph nodes in topological order.

    `auxiliary` names the layers that are outputs in training, as `root` lists them.

    Layers that are not valid count as there, so that what reads them is not called wrong; the
    order is only of use when there are no problems at all.
    """
    before = len(problems.found)
    known = {INPUT, *(written.name for written in layers)}
    nodes: dict[str, GraphNode] = {}
    sources: dict[str, Node] = {}
    previous = INPUT
    for position, written in enumerate(layers):
        layer = written.layer
        if layer is not None:
            inputs = (previous,) if layer.inputs is None else layer.inputs
            _check_count(layer, inputs, written, problems)
            for place, name in enumerate(inputs):
                if name not in known:
                    problems.add(_unknown_input(layer, place, written, layers, position))
            layer = layer.model_copy(update={"inputs": inputs})
            line = written.node.span.line
            nodes[written.name] = GraphNode(written.name, layer, inputs, written.path, line)
            sources[written.name] = written.node
        previous = written.name
    problems.extend(_auxiliary_problems(auxiliary, [w.name for w in layers], root))
    ordered = _sorted(nodes, sources, problems)
    if len(problems.found) == before and len(nodes) == len(layers):
        problems.extend(_unused(nodes, sources, set(auxiliary)))
    return ordered


def _check_count(layer: Layer, inputs: Sequence[str], written: Written, problems: Problems) -> None:
    least, most = type(layer).arity
    if least <= len(inputs) and (most is None or len(inputs) <= most):
        return
    wanted = f"{least} input" if least == 1 == most else f"at least {least} inputs"
    help_ = "name the layers it joins: `inputs: [a, b]`" if least > 1 else None
    if not inputs:
        help_ = help_ or "leave `inputs` out to read the layer before it"
    elif least == 1:
        help_ = "join them first with `add`, `concat` or `multiply`"
    problems.add(
        Problem(
            "wrong-input-count",
            f"{layer.name}: {layer.type} reads {wanted}, not {len(inputs)}",
            help_,
            span=written.node.locate(("inputs",)),
            layer=layer.name,
        )
    )


def _unknown_input(
    layer: Layer, place: int, written: Written, layers: Sequence[Written], position: int
) -> Problem:
    name = (layer.inputs or ())[place]
    around = layers[max(position - _NEIGHBOURS, 0) : position + _NEIGHBOURS]
    near = [other.name for other in around if other is not written and len(other.name) <= MAX_NAME]
    return Problem(
        "unknown-input",
        f"{layer.name} reads `{shortened(name)}`, which is no layer",
        did_you_mean(name, [*near, INPUT]) or "name a layer of this spec, or `input`, the image",
        span=written.node.locate(("inputs", place)),
        layer=layer.name,
    )


def _auxiliary_problems(
    auxiliary: Sequence[str], layers: Sequence[str], root: Node
) -> Iterable[Problem]:
    """Auxiliary outputs that are no layer, the network's output, or there already."""
    known, seen = set(layers), set()
    for place, name in enumerate(auxiliary):
        what = f"the auxiliary output `{shortened(name)}`"
        span = root.locate(("auxiliary", place, "layer"))
        if name not in known:
            help_ = did_you_mean(name, layers) or "name the layer whose output it is"
            yield Problem("unknown-input", f"{what} is no layer", help_, span=span)
        elif name == layers[-1]:
            help_ = "name a layer before it, or the last one of a branch that leads to none"
            message = f"{what} is the network's output already"
            yield Problem("wrong-value", message, help_, span=span)
        elif name in seen:
            help_ = "name each layer once, with the `loss_weight` that it has in all"
            yield Problem("wrong-value", f"{what} is there already", help_, span=span)
        seen.add(name)


def _unused(
    nodes: Mapping[str, GraphNode], sources: Mapping[str, Node], auxiliary: set[str]
) -> Iterable[Problem]:
    """Every layer but the last and the auxiliary outputs that nothing reads."""
    read = {name for node in nodes.values() for name in node.inputs}
    for name in list(nodes)[:-1]:
        if name not in read and name not in auxiliary:
            yield Problem(
                "unused-layer",
                f"nothing reads {name}, and only the last layer is the network's output",
                f"name it in the `inputs` of the layer that should read `{name}`, or remove it",
                layer=name,
                span=sources[name].locate(("name",)),
            )


def _sorted(
    nodes: Mapping[str, GraphNode], sources: Mapping[str, Node], problems: Problems
) -> tuple[GraphNode, ...]:
    """The nodes in topological order, the earliest in the file first (Kahn's algorithm)."""
    in_file = list(nodes.values())
    position = {name: index for index, name in enumerate(nodes)}
    missing = {name: len({i for i in node.inputs if i in nodes}) for name, node in nodes.items()}
    readers: dict[str, list[str]] = {}
    for node in in_file:
        for name in set(node.inputs):
            readers.setdefault(name, []).append(node.name)
    ready = [position[name] for name, count in missing.items() if not count]
    order: list[GraphNode] = []
    while ready:
        node = in_file[heapq.heappop(ready)]
        order.append(node)
        for reader in readers.get(node.name, ()):
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(ready, position[reader])
    if len(order) < len(nodes):
        stuck = {name: nodes[name] for name, count in missing.items() if count}
        for cycle in _cycles(stuck):
            problems.add(_cycle_problem(cycle, nodes, position, sources))
    return tuple(order)


def _cycles(stuck: Mapping[str, GraphNode]) -> Iterable[list[str]]:
    """Circles among layers that all wait for others of them, each in the order of the data.

    From every layer the first input that waits itself is followed. That finds every circle of
    a chain of layers, and at least one of any that share layers.
    """
    done: set[str] = set()
    for start in stuck:
        walk: dict[str, None] = {}  # keeps the order, and is searched at once
        name = start
        while name not in done and name not in walk:
            walk[name] = None
            name = next(i for i in stuck[name].inputs if i in stuck)
        if name in walk:
            steps = list(walk)
            yield steps[steps.index(name) :][::-1]
        done.update(walk)


def _cycle_problem(
    cycle: list[str],
    nodes: Mapping[str, GraphNode],
    position: Mapping[str, int],
    sources: Mapping[str, Node],
) -> Problem:
    """Points at the first input that names a layer further down: one of those must change."""
    first = min(range(len(cycle)), key=lambda i: position[cycle[i]])
    cycle = cycle[first:] + cycle[:first]
    reader = cycle[0]
    shown = [*cycle, reader]
    if len(shown) > _SHOWN_IN_CYCLE:
        shown = [*shown[: _SHOWN_IN_CYCLE - 2], "...", *shown[-2:]]
    return Problem(
        "cycle",
        f"{reader} reads its own output"
        if len(cycle) == 1
        else "these layers read one another in a circle: " + " -> ".join(shown),
        "a network is computed in one direction; change the `inputs` of one of them",
        span=_input_span(sources[reader], nodes[reader], cycle[-1]),
        layer=reader,
    )


def _input_span(source: Node, node: GraphNode, name: str) -> Span:
    return source.locate(("inputs", node.inputs.index(name)))
