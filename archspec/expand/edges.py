"""Edges: which layer reads which, and an order in which they can be computed."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence

from archspec.diagnostics import Problem, Span
from archspec.expand.frames import Reference, Written
from archspec.graph import Node as GraphNode
from archspec.layers.base import Layer
from archspec.source import Problems

_SHOWN_IN_CYCLE = 8


def connect(
    layers: Sequence[Written],
    resolve: Callable[[Reference], str | None],
    auxiliary: Sequence[str],
    problems: Problems,
) -> tuple[GraphNode, ...]:
    """The layers as graph nodes in topological order.

    `resolve` says which layer a reference leads to; one that leads nowhere is reported
    elsewhere. `auxiliary` names the layers that are outputs in training. Layers that are not
    valid count as there, so that what reads them is not called wrong; the order is only of use
    when there are no problems at all.
    """
    nodes: dict[str, GraphNode] = {}
    for written in layers:
        layer = written.layer
        if layer is not None:
            _check_count(written, layer, problems)
            found = [r if isinstance(r, str) else resolve(r) for r in written.references]
            inputs = tuple([name for name in found if name is not None])
            own = layer.called(written.name, inputs)
            nodes[written.name] = GraphNode(
                written.name, own, inputs, written.node, written.uses, layer
            )
    ordered = _sorted(nodes, problems)
    if not problems and len(nodes) == len(layers):
        problems.extend(_unused(nodes, set(auxiliary)))
    return ordered


def _check_count(written: Written, layer: Layer, problems: Problems) -> None:
    least, most = type(layer).arity
    count = len(written.references)
    if least <= count and (most is None or count <= most):
        return
    wanted = f"{least} input" if least == 1 == most else f"at least {least} inputs"
    help_ = "name the layers it joins: `inputs: [a, b]`" if least > 1 else None
    if not count:
        help_ = help_ or "leave `inputs` out to read the layer before it"
    elif least == 1:
        help_ = "join them first with `add`, `concat` or `multiply`"
    problems.add(
        Problem(
            "wrong-input-count",
            f"{written.name}: {layer.type} reads {wanted}, not {count}",
            help_,
            span=written.node.locate(("inputs",)),
            layer=written.name,
            uses=written.uses,
        )
    )


def _unused(nodes: Mapping[str, GraphNode], auxiliary: set[str]) -> Iterable[Problem]:
    """Every layer but the last and the auxiliary outputs that nothing reads."""
    read = {name for node in nodes.values() for name in node.inputs}
    for name in list(nodes)[:-1]:
        if name not in read and name not in auxiliary:
            yield Problem(
                "unused-layer",
                f"nothing reads {name}, and only the last layer is the network's output",
                f"name it in the `inputs` of the layer that should read `{name}`, or remove it",
                layer=name,
                span=nodes[name].source.locate(("name",)),
                uses=nodes[name].uses,
            )


def _sorted(nodes: Mapping[str, GraphNode], problems: Problems) -> tuple[GraphNode, ...]:
    """The nodes in topological order, the earliest in the file first (Kahn's algorithm)."""
    in_file = tuple(nodes.values())
    if _in_order(in_file, nodes):
        return in_file
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
            problems.add(_cycle_problem(cycle, nodes, position))
    return tuple(order)


def _in_order(in_file: Iterable[GraphNode], nodes: Mapping[str, GraphNode]) -> bool:
    """Whether each layer stands behind those that it reads, as nearly always."""
    above: set[str] = set()
    for node in in_file:
        if any(name not in above and name in nodes for name in node.inputs):
            return False
        above.add(node.name)
    return True


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
        span=_input_span(nodes[reader], cycle[-1]),
        layer=reader,
        uses=nodes[reader].uses,
    )


def _input_span(node: GraphNode, name: str) -> Span:
    return node.source.locate(("inputs", node.inputs.index(name)))
