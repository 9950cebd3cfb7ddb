"""The graph: every layer with its inputs named, in an order that can be computed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from archspec.diagnostics import Problem, Span
from archspec.expressions import Value
from archspec.layers.base import Layer, Shape
from archspec.source import Document
from archspec.source import Node as Written
from archspec.spec.fields import INPUT
from archspec.spec.network import Auxiliary, NetworkSpec

# Blocks of so many layers are read as a whole, even where they are made of smaller ones.
SECTION = 24


@dataclass(frozen=True, slots=True)
class Node:
    """One layer in the graph.

    `inputs` names the layers it reads (`input` is the image); `source` is what is written in
    the file, and `uses` where the blocks are used that it stands in, the nearest first. Nodes
    with the same `pattern` have layers that differ in nothing but name and inputs.
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    source: Written
    uses: tuple[Span, ...] = ()
    pattern: Layer | None = None

    @property
    def line(self) -> int:
        """The line of its file that it stands on."""
        return self.source.span.line


def blocks_around(name: str) -> list[str]:
    """The blocks that a layer stands in, the outermost first: a, a.b of a.b.conv."""
    ends = [index for index, char in enumerate(name) if char == "."]
    return [name[:end] for end in ends]


@dataclass(frozen=True, slots=True)
class Part:
    """The layers that the file calls by one name: a block, a group, or every repetition of one.

    `output` is the layer that others read by that name.
    """

    output: str
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ignored:
    """A diagnostic that the spec expects, and why; `span` is where it says so.

    `section` is the part of the file that says it: the `layers`, the list `ignore`, a claim, the
    recipe. The first two silence it in `layers` (None: everywhere), the others in themselves.
    """

    code: str
    reason: str
    span: Span
    section: tuple[str | int, ...]
    layers: frozenset[str] | None = None


@dataclass(frozen=True)
class Graph:
    """A network whose variables are filled in and whose every edge is explicit.

    `nodes` are in topological order, which is the order of the file wherever that is one.
    The last layer of the file is the network's output; `auxiliary` are the outputs that it has
    in training alone. `parts` has what the claims are about that is more than one layer,
    `ignored` the diagnostics that are silenced, `problems` what was found on the way here and
    leaves a network. It is `as_written` where neither its input nor a variable was replaced.
    """

    spec: NetworkSpec
    input_shape: Shape
    nodes: tuple[Node, ...]
    output: str
    document: Document
    variables: Mapping[str, Value] = field(default_factory=dict)
    auxiliary: tuple[Auxiliary, ...] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)
    ignored: tuple[Ignored, ...] = ()
    problems: tuple[Problem, ...] = ()
    as_written: bool = True

    @property
    def name(self) -> str:
        """The network's name, as in the spec."""
        return self.spec.name

    @property
    def title(self) -> str:
        """One line for people; the name where the spec has no title."""
        return self.spec.title or self.spec.name

    @property
    def outputs(self) -> tuple[str, ...]:
        """The layers whose outputs the network has in training: its output comes first."""
        return (self.output, *(auxiliary.layer for auxiliary in self.auxiliary))

    @cached_property
    def training_only(self) -> frozenset[str]:
        """The layers that the output does not depend on: they lead to an auxiliary output."""
        if not self.auxiliary:
            return frozenset()
        needed = {self.output}
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
        return frozenset(node.name for node in self.nodes if node.name not in needed)

    @cached_property
    def sections(self) -> Mapping[str, str]:
        """For each layer the block that it is listed under, "" for one outside of any.

        That is the outermost block around it that is short enough to be read as a whole
        (`SECTION` layers), or that is not made of blocks itself.
        """
        sizes: dict[str, int] = {}
        made_of_blocks = set()
        for node in self.nodes:
            around = blocks_around(node.name)
            made_of_blocks.update(around[:-1])
            for block in around:
                sizes[block] = sizes.get(block, 0) + 1
        whole = {b for b in sizes if b not in made_of_blocks or sizes[b] <= SECTION}
        found = {}
        for node in self.nodes:
            around = blocks_around(node.name)
            innermost = around[-1] if around else ""
            found[node.name] = next((block for block in around if block in whole), innermost)
        return found

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """The nodes by the names of their layers."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def by_class(self) -> dict[type[Layer], list[Node]]:
        """The nodes by the class of their layer, in the order of the classes' first nodes."""
        found: dict[type[Layer], list[Node]] = {}
        for node in self.nodes:
            found.setdefault(type(node.layer), []).append(node)
        return found

    @cached_property
    def consumers(self) -> dict[str, tuple[str, ...]]:
        """For the input and each layer, the names of the layers that read it."""
        readers: dict[str, list[str]] = {INPUT: [], **{node.name: [] for node in self.nodes}}
        for node in self.nodes:
            for name in node.inputs:
                readers[name].append(node.name)
        return {name: tuple(names) for name, names in readers.items()}

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what the network computes: input, layers and edges, not its comments."""
        import hashlib  # here, because most analyses never ask for it
        import json

        fields: dict[int, dict[str, Any]] = {}  # layers of one pattern have the same
        for node in self.nodes:
            layer = node.pattern or node.layer
            if id(layer) not in fields:
                fields[id(layer)] = layer.model_dump(mode="json")
        content: dict[str, Any] = {
            "input": self.input_shape,
            "layers": [
                {**fields[id(node.pattern or node.layer)], "name": node.name, "inputs": node.inputs}
                for node in self.nodes
            ],
            "output": self.output,
            **(
                {"auxiliary": [[a.layer, a.loss_weight] for a in self.auxiliary]}
                if self.auxiliary
                else {}
            ),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def overwrites(self, node: Node) -> bool:
        """Whether a layer is a ReLU that writes over its input, which nothing else needs."""
        if node.layer.type != "relu":
            return False
        (source,) = node.inputs
        before = self.by_name.get(source)
        alone = self.consumers[source] == (node.name,) and source not in self.outputs
        return before is not None and alone and before.layer.overwritable

    def with_input(self, shape: Shape) -> Graph:
        """The same network for another input shape (channels, height, width)."""
        return replace(self, input_shape=shape, as_written=False)

    def with_layer(self, name: str, **fields: Any) -> Graph:
        """The same network with some fields of one layer changed (not validated again)."""
        return self.with_layers((name,), **fields)

    def with_layers(self, names: Collection[str], **fields: Any) -> Graph:
        """The same network with some fields of several layers changed (not validated again)."""
        changed = frozenset(names)
        nodes = tuple(
            replace(node, layer=node.layer.model_copy(update=fields), pattern=None)
            if node.name in changed
            else node
            for node in self.nodes
        )
        return replace(self, nodes=nodes)

    def without(self, name: str) -> Graph:
        """The same network without a layer that has one input; its readers read that input."""
        removed = self.by_name[name]
        (source,) = removed.inputs
        nodes = tuple(
            replace(node, inputs=tuple(source if i == name else i for i in node.inputs))
            for node in self.nodes
            if node.name != name
        )
        auxiliary = tuple(
            a.model_copy(update={"layer": source}) if a.layer == name else a for a in self.auxiliary
        )
        if self.output == name:
            nodes = _output_late(nodes, source)
        output = source if self.output == name else self.output
        return replace(self, nodes=nodes, output=output, auxiliary=auxiliary)


def _output_late(nodes: tuple[Node, ...], output: str) -> tuple[Node, ...]:
    """The nodes in the order of a file whose last layer is the output.

    Before it stands every layer that does not depend on it.
    """
    behind = {output}
    for node in nodes:
        if not behind.isdisjoint(node.inputs):
            behind.add(node.name)
    first = [node for node in nodes if node.name not in behind]
    return (*first, *(node for node in nodes if node.name in behind))
