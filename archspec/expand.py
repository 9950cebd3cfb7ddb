"""From a parsed document to a graph: variables filled in, layers validated, edges explicit."""

from __future__ import annotations

import heapq
import re
from collections.abc import Mapping, Sequence

from archspec.diagnostics import Problem, ProblemsFound, Span, did_you_mean, listing, shortened
from archspec.graph import Graph
from archspec.graph import Node as GraphNode
from archspec.layers import layer_types
from archspec.layers.base import Layer
from archspec.source import Document, Entry, Node
from archspec.spec.fields import INPUT
from archspec.spec.network import Defaults, NetworkSpec
from archspec.spec.reading import read

Value = int | float | bool | str

# Words that a claim uses for something that is no layer.
RESERVED = (INPUT, "network")

# What other libraries call the layer types, for suggestions only.
FOREIGN_NAMES = {
    "conv": "conv2d",
    "convolution": "conv2d",
    "linear": "dense",
    "fc": "dense",
    "fully_connected": "dense",
    "inner_product": "dense",
    "innerproduct": "dense",
    "lrn": "local_response_norm",
    "localresponsenorm": "local_response_norm",
    "batchnorm": "batch_norm",
    "batchnorm2d": "batch_norm",
    "batchnormalization": "batch_norm",
    "maxpool": "max_pool2d",
    "maxpool2d": "max_pool2d",
    "maxpooling2d": "max_pool2d",
    "avgpool": "avg_pool2d",
    "avgpool2d": "avg_pool2d",
    "averagepooling2d": "avg_pool2d",
    "globalaveragepooling2d": "global_avg_pool2d",
    "adaptiveavgpool2d": "adaptive_avg_pool2d",
    "zeropadding2d": "zero_pad2d",
    "swish": "silu",
    "hardswish": "hard_swish",
    "hardsigmoid": "hard_sigmoid",
    "leakyrelu": "leaky_relu",
    "concatenate": "concat",
    "cat": "concat",
    "mul": "multiply",
}

_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")


def expand(document: Document, overrides: Mapping[str, Value] | None = None) -> Graph:
    """The graph that a document describes; `overrides` replace the values of its variables.

    Raises ProblemsFound with every problem of the document as a whole or, where that is sound,
    with every problem of its layers and edges.
    """
    problems: list[Problem] = []
    variables = _variables(document.root, overrides or {}, problems)
    root = _fill(document.root, variables, problems) if variables is not None else document.root
    spec, found = read(NetworkSpec, root, "the spec")
    problems += found
    layers_node = root.get("layers")
    layers = _layers(layers_node, spec.defaults if spec else Defaults(), problems)
    if spec is None or layers_node is None or problems:
        raise ProblemsFound(problems)
    nodes = _connect(layers, problems)
    if problems:
        raise ProblemsFound(problems)
    shape = (spec.input.channels, spec.input.height, spec.input.width)
    document = Document(document.file, document.lines, root)
    return Graph(spec, shape, nodes, layers[-1][0].name, document, variables or {})


def _variables(
    root: Node, overrides: Mapping[str, Value], problems: list[Problem]
) -> dict[str, Value] | None:
    """The variables with their values, or None where the section itself is not sound."""
    section = root.get("variables")
    declared: dict[str, Value] = {}
    if section is not None and section.entries is None:
        return None  # reported when the spec is validated
    for name, entry in ((section.entries if section else None) or {}).items():
        if not isinstance(entry.value.value, (int, float, bool, str)):
            return None
        declared[name] = entry.value.value
    for name, value in overrides.items():
        if name not in declared:
            problems.append(
                Problem(
                    "unknown-variable",
                    f"the spec has no variable `{shortened(name)}` to set",
                    did_you_mean(name, declared)
                    or (f"its variables are {listing(declared)}" if declared else None),
                    span=section.span if section else root.span,
                )
            )
        else:
            declared[name] = value
    return declared


def _fill(node: Node, variables: Mapping[str, Value], problems: list[Problem]) -> Node:
    """The same tree with `$name` replaced; what does not change is shared, not copied."""
    if node.entries is not None:
        entries = {
            key: Entry(entry.key_span, _fill(entry.value, variables, problems))
            if key != "variables"
            else entry
            for key, entry in node.entries.items()
        }
        same = all(entries[key].value is entry.value for key, entry in node.entries.items())
        return node if same else Node(node.span, entries=entries, size=node.size)
    if node.items is not None:
        items = [_fill(item, variables, problems) for item in node.items]
        same = all(new is old for new, old in zip(items, node.items, strict=True))
        return node if same else Node(node.span, items=items, size=node.size)
    match = _VARIABLE.fullmatch(node.value) if isinstance(node.value, str) else None
    if match is None:
        return node
    name = match[1]
    if name not in variables:
        problems.append(
            Problem(
                "unknown-variable",
                f"`${shortened(name)}` names no variable",
                did_you_mean(name, variables)
                or f"declare it under `variables:`, for example `{shortened(name)}: 10`",
                span=node.span,
            )
        )
        return node
    return Node(node.span, value=variables[name])


_Layers = list[tuple[Layer, Node, int]]


def _layers(section: Node | None, defaults: Defaults, problems: list[Problem]) -> _Layers:
    """Every layer of the list that is valid on its own, with its place."""
    layers: _Layers = []
    names: dict[str, int] = {}
    for index, node in enumerate((section.items if section else None) or []):
        layer = _layer(node, index, defaults, problems)
        name_node = node.get("name")
        name = name_node.value if name_node else None
        if isinstance(name, str) and name_node is not None:
            if name in RESERVED:
                problems.append(
                    Problem(
                        "invalid-name",
                        f"a layer cannot be called `{name}`: the word has a meaning of its own",
                        "choose another name",
                        span=name_node.span,
                    )
                )
            elif name in names:
                problems.append(
                    Problem(
                        "duplicate-layer",
                        f"a second layer is called `{shortened(name)}`; the first stands on line "
                        f"{names[name]}",
                        "give each layer a name of its own",
                        span=name_node.span,
                    )
                )
                continue
            else:
                names[name] = name_node.span.line
        if layer is not None:
            layers.append((layer, node, index))
    return layers


def _layer(node: Node, index: int, defaults: Defaults, problems: list[Problem]) -> Layer | None:
    if node.entries is None:
        problems.append(
            Problem(
                "wrong-type",
                f"layer {index + 1} must be a mapping such as {{name: conv1, type: conv2d, ...}}",
                span=node.span,
            )
        )
        return None
    name_node, type_node = node.get("name"), node.get("type")
    what = f"layer {index + 1}"
    if name_node is not None and isinstance(name_node.value, str):
        what = f"layer `{shortened(name_node.value)}`"
    if type_node is None:
        problems.append(Problem("missing-key", f"{what} needs the key `type`", span=node.span))
        return None
    known = layer_types()
    if not isinstance(type_node.value, str) or type_node.value not in known:
        word = type_node.value if isinstance(type_node.value, str) else str(type_node.data())
        foreign = FOREIGN_NAMES.get(word.lower())
        suggestion = f"did you mean `{foreign}`?" if foreign else did_you_mean(word, known)
        problems.append(
            Problem(
                "unknown-layer-type",
                f"{what} has the type `{shortened(word)}`, which does not exist",
                suggestion or f"the types are {listing(known)}",
                span=type_node.span,
            )
        )
        return None
    layer, found = read(known[type_node.value], node, what)
    problems += found
    if layer is None:
        return None
    inherited = {
        name: getattr(defaults, name)
        for name in Defaults.model_fields
        if name in type(layer).model_fields and getattr(layer, name) is None
    }
    return layer.model_copy(update=inherited) if inherited else layer


def _connect(layers: _Layers, problems: list[Problem]) -> tuple[GraphNode, ...]:
    """The layers as graph nodes in topological order; problems where that cannot be."""
    names = {layer.name for layer, _, _ in layers}
    nodes: list[GraphNode] = []
    previous = INPUT
    for layer, node, index in layers:
        path: tuple[str | int, ...] = ("layers", index)
        inputs = (previous,) if layer.inputs is None else layer.inputs
        previous = layer.name
        for position, name in enumerate(inputs):
            if name not in names and name != INPUT:
                problems.append(
                    Problem(
                        "unknown-input",
                        f"{layer.name} reads `{name}`, which is no layer",
                        did_you_mean(name, [*names, INPUT]),
                        span=node.locate(("inputs", position)),
                        layer=layer.name,
                    )
                )
        least, most = type(layer).arity
        if len(inputs) < least or (most is not None and len(inputs) > most):
            wanted = f"{least} input" if least == 1 == most else f"at least {least} inputs"
            problems.append(
                Problem(
                    "wrong-input-count",
                    f"{layer.name}: {layer.type} reads {wanted}, not {len(inputs)}",
                    "name the layers it joins: `inputs: [a, b]`" if least > 1 else None,
                    span=node.locate(("inputs",)),
                    layer=layer.name,
                )
            )
        layer = layer.model_copy(update={"inputs": inputs})
        nodes.append(GraphNode(layer.name, layer, inputs, path, node.span.line))
    if problems:
        return ()
    spans = {layer.name: node for layer, node, _ in layers}
    ordered = _sorted(nodes, {name: node.locate(("inputs",)) for name, node in spans.items()}, problems)
    read = {name for node in nodes for name in node.inputs}
    for node in nodes[:-1]:
        if node.name not in read:
            problems.append(
                Problem(
                    "unused-layer",
                    f"nothing reads {node.name}, and only the last layer is the network's output",
                    f"name it in the `inputs` of the layer that should read `{node.name}`, or "
                    "remove it",
                    layer=node.name,
                    span=spans[node.name].locate(("name",)),
                )
            )
    return ordered


def _sorted(
    nodes: Sequence[GraphNode], spans: Mapping[str, Span], problems: list[Problem]
) -> tuple[GraphNode, ...]:
    """The nodes in topological order, the earliest in the file first (Kahn's algorithm)."""
    position = {node.name: index for index, node in enumerate(nodes)}
    missing = {node.name: len(set(node.inputs) - {INPUT}) for node in nodes}
    readers: dict[str, list[str]] = {}
    for node in nodes:
        for name in set(node.inputs):
            readers.setdefault(name, []).append(node.name)
    ready = [position[name] for name, count in missing.items() if not count]
    heapq.heapify(ready)
    order: list[GraphNode] = []
    while ready:
        node = nodes[heapq.heappop(ready)]
        order.append(node)
        for reader in readers.get(node.name, ()):
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(ready, position[reader])
    if len(order) < len(nodes):
        cycle = _cycle({node.name: node for node in nodes if missing[node.name]})
        first = min((position[name] for name in cycle))
        problems.append(
            Problem(
                "cycle",
                "these layers read one another in a circle: " + " -> ".join([*cycle, cycle[0]]),
                "a network is computed in one direction; change the `inputs` of one of them",
                span=spans[nodes[first].name],
                layer=nodes[first].name,
            )
        )
    return tuple(order)


def _cycle(stuck: Mapping[str, GraphNode]) -> list[str]:
    """One circle among nodes that all wait for one another, in the order of the data."""
    name = next(iter(stuck))
    seen: list[str] = []
    while name not in seen:
        seen.append(name)
        name = next(i for i in stuck[name].inputs if i in stuck)
    return seen[seen.index(name) :][::-1]
