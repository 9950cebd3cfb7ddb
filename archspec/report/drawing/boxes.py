"""Which layers share a box: a layer and what only rescales its output, or a whole block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from archspec.analysis import Analysis
from archspec.analysis.numbers import short_count
from archspec.graph import Graph, Node, blocks_around
from archspec.report.drawing import words
from archspec.spec.fields import INPUT

# Blocks of so many boxes are drawn as one, even where smaller ones are inside.
WHOLE = 24


@dataclass
class Box:
    """Layers that are drawn as one: the first does something, the others only follow.

    `section` is the block that it stands in, "" for none; `name` that of its first layer, or of
    a small block that is wholly in it. `reads` are names of layers, or `input`, outside of it.
    """

    nodes: list[Node]
    section: str
    name: str = ""

    @property
    def output(self) -> str:
        """The layer that others read."""
        return self.nodes[-1].name

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers, in order."""
        return tuple(node.name for node in self.nodes)

    @property
    def reads(self) -> tuple[str, ...]:
        """What the first layer reads, each once."""
        return tuple(dict.fromkeys(self.nodes[0].inputs))

    @property
    def kind(self) -> str:
        """The kind of its first layer."""
        return words.kind(self.nodes[0].layer)

    @property
    def signature(self) -> tuple[Any, ...]:
        """What two boxes share that are drawn alike but for names and numbers of channels."""
        return tuple(_pattern(node) for node in self.nodes)


@dataclass
class Block:
    """The boxes of one block of the spec."""

    name: str
    boxes: list[Box] = field(default_factory=list)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all its layers, in order."""
        return tuple(name for box in self.boxes for name in box.layers)

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """What its layers read from outside, each once."""
        inside = set(self.layers)
        return tuple(
            dict.fromkeys(name for box in self.boxes for name in box.reads if name not in inside)
        )

    @property
    def output(self) -> str:
        """Its last layer."""
        return self.boxes[-1].output

    @cached_property
    def signature(self) -> tuple[Any, ...]:
        """What two blocks share that are the same but for names and numbers of channels."""
        places: dict[str, int] = {name: -1 - i for i, name in enumerate(self.reads)}
        found = []
        for number, box in enumerate(self.boxes):
            found.append((box.signature, tuple(places[name] for name in box.reads)))
            places.update(dict.fromkeys(box.layers, number))
        return tuple(found)


@dataclass
class Run:
    """Blocks alike, one behind the other, drawn as one with a count."""

    blocks: list[Block]

    @property
    def name(self) -> str:
        """`conv2_2 … conv2_4`, `stage4.block1 … block6`."""
        first, last = self.blocks[0].name, self.blocks[-1].name
        around = f"{first.rpartition('.')[0]}."
        return first if first == last else f"{first} … {last.removeprefix(around)}"

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all its layers, in order."""
        return tuple(name for block in self.blocks for name in block.layers)

    @property
    def reads(self) -> tuple[str, ...]:
        """What its layers read from outside of the run, each once."""
        inside = {block.output for block in self.blocks}
        reads = (name for block in self.blocks for name in block.reads if name not in inside)
        return tuple(dict.fromkeys(reads))

    @property
    def output(self) -> str:
        """Its last layer."""
        return self.blocks[-1].output


Item = Box | Block | Run


def boxes_of(analysis: Analysis) -> list[Box | Block]:
    """The network as boxes and blocks of boxes, in order.

    A block that comes down to one box is that box. Linear in the layers and edges.
    """
    graph = analysis.graph
    sections, outputs = _blocks_of(graph), set(graph.outputs)
    boxes: dict[str, Box] = {}  # by the layer that others read
    order: list[Box] = []
    for node in graph.nodes:
        section = sections[node.name]
        before = boxes.get(node.inputs[0]) if _follows(node) else None
        if (
            before is not None
            and before.section == section
            and graph.consumers[before.output] == (node.name,)
            and before.output not in outputs
        ):
            del boxes[before.output]
            before.nodes.append(node)
            boxes[node.name] = before
        else:
            box = boxes[node.name] = Box([node], section)
            order.append(box)
    found = _outside(_grouped(order), analysis)
    _name(found, analysis)
    return found


def _name(items: Iterable[Box | Block], analysis: Analysis) -> None:
    sizes = Counter(block for node in analysis.graph.nodes for block in blocks_around(node.name))
    for item in items:
        for box in [item] if isinstance(item, Box) else item.boxes:
            first = box.nodes[0].name
            parent = first.rpartition(".")[0]
            inside = sum(name.startswith(f"{parent}.") for name in box.layers)
            whole = parent != box.section and inside == sizes[parent]
            box.name = parent if parent and whole else first


def _blocks_of(graph: Graph) -> dict[str, str]:
    """For each layer the block that it is drawn in, "" for none.

    That is the outermost one around it that is not a row of blocks and has at most `WHOLE` layers
    that do something. A row of blocks holds two or more that are more than one box.
    """
    heads: Counter[str] = Counter()
    for node in graph.nodes:
        around = blocks_around(node.name)
        heads.update(dict.fromkeys(around, int(not _follows(node))))
    inner: Counter[str] = Counter()
    rows: set[str] = set()
    # The innermost first, so that what holds a row is known for one too.
    for block in sorted(heads, key=lambda block: -block.count(".")):
        if inner[block] > 1:
            rows.add(block)
        parent = block.rpartition(".")[0]
        if heads[block] > 1:
            inner[parent] += 2 if block in rows else 1
    found = {}
    for node in graph.nodes:
        around = blocks_around(node.name)
        whole = (block for block in around if block not in rows and heads[block] <= WHOLE)
        found[node.name] = next(whole, around[-1] if around else "")
    return found


def _grouped(boxes: Iterable[Box]) -> list[Box | Block]:
    """Boxes of a section under its block, where the section's first box stands."""
    found: list[Box | Block] = []
    blocks: dict[str, Block] = {}
    for box in boxes:
        if not box.section:
            found.append(box)
        elif box.section in blocks:
            blocks[box.section].boxes.append(box)
        else:
            block = blocks[box.section] = Block(box.section, [box])
            found.append(block)
    return found


def _outside(items: Sequence[Box | Block], analysis: Analysis) -> list[Box | Block]:
    """Blocks of one box as that box, and what follows such a box alone in it."""
    graph = analysis.graph
    found: list[Box | Block] = []
    by_output: dict[str, Box] = {}
    for item in items:
        if isinstance(item, Block) and len(item.boxes) > 1:
            found.append(item)
            continue
        box = item if isinstance(item, Box) else item.boxes[0]
        first = box.nodes[0]
        before = by_output.get(first.inputs[0]) if _follows(first) else None
        if before is not None and graph.consumers[before.output] == (first.name,):
            del by_output[before.output]
            before.nodes += box.nodes
            by_output[before.output] = before
        else:
            box.section = ""
            by_output[box.output] = box
            found.append(box)
    return _in_order(found, analysis)


def _in_order(items: list[Box | Block], analysis: Analysis) -> list[Box | Block]:
    """The items so that each stands behind what it reads.

    A layer may stand between the layers of a block and read one of them. Where a block and
    something outside of it each read the other, the block comes apart into its boxes.
    """
    at = {node.name: number for number, node in enumerate(analysis.graph.nodes)}
    last = {name: at[item.output] for item in items for name in item.layers}
    found: list[Box | Block] = []
    for item in items:
        start = at[item.layers[0]]
        whole = isinstance(item, Box) or all(
            last.get(name, -1) < start or name == INPUT for name in item.reads
        )
        found += [item] if whole or isinstance(item, Box) else item.boxes
    return sorted(found, key=lambda item: at[item.layers[0]])


def runs_of(items: Sequence[Box | Block], analysis: Analysis) -> list[Box | Run]:
    """The items with blocks that are alike and follow one another drawn as one."""
    graph = analysis.graph
    found: list[Box | Run] = []
    for item in items:
        if isinstance(item, Box):
            found.append(item)
            continue
        before = found[-1] if found else None
        if (
            isinstance(before, Run)
            and before.blocks[0].signature == item.signature
            and item.reads == (before.output,)
            and set(graph.consumers[before.output]) <= set(item.layers)
        ):
            before.blocks.append(item)
        else:
            found.append(Run([item]))
    return found


def kinds_of_blocks(items: Sequence[Box | Block]) -> list[list[Block]]:
    """The blocks by their structure, in the order in which each structure comes first."""
    kinds: dict[tuple[Any, ...], list[Block]] = {}
    for item in items:
        if isinstance(item, Block):
            kinds.setdefault(item.signature, []).append(item)
    return list(kinds.values())


def figures(item: Item, analysis: Analysis) -> str:
    """`9 layers, 230 k params`: what a box that hides its layers holds."""
    names = item.layers
    params = sum(analysis.by_name[name].costs.params for name in names if name in analysis.by_name)
    layers = f"{len(names)} layer{'s' if len(names) != 1 else ''}"
    return f"{layers}, {short_count(params)} params" if params else layers


def _follows(node: Node) -> bool:
    """Whether the layer is drawn in the box of the layer that it reads."""
    return words.kind(node.layer) == "plain" and node.layer.type != "split" and _one_input(node)


def _one_input(node: Node) -> bool:
    return len(node.inputs) == 1 and node.inputs[0] != INPUT


def _pattern(node: Node) -> tuple[Any, ...]:
    layer = node.layer
    fields = ("kernel_size", "stride", "dilation", "scale")
    return (layer.type, *(getattr(layer, name, None) for name in fields))
