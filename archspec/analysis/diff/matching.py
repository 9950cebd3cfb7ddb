"""From two analyses to what differs: layers matched, connections compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from archspec.analysis import Analysis
from archspec.analysis.diff.alignment import SHAPES, Profile, align
from archspec.analysis.diff.changes import Change, of_fields, of_recipes
from archspec.analysis.diff.comparison import Comparison, LayerPair, Side
from archspec.graph import Graph, Node
from archspec.layers.base import Layer, Shape, WeightedLayer
from archspec.layers.windowed import WindowedLayer
from archspec.spec.fields import INPUT

# Classes that say too little for layers to be of one family.
_TOO_WIDE = (Layer, WeightedLayer, WindowedLayer)


def compare(a: Analysis, b: Analysis) -> Comparison:
    """Match the layers of two networks and say what differs.

    A network with errors is compared as far as its analysis goes.
    """
    one, two = a.graph.nodes, b.graph.nodes
    alignment = align(_profiles(a), _profiles(b))
    partners = {one[i].name: two[j].name for i, j in alignment.pairs}
    moved = {one[i].name for i, _ in alignment.moved}
    edges = _Edges(a.graph, b.graph, partners, moved)
    pairs: dict[str, LayerPair] = {}
    for i, j in alignment.pairs:
        found = list(_changes(a, b, one[i], two[j]))
        moves = one[i].name in edges.moved
        if moves or not edges.equal(one[i], two[j]):
            read = list(one[i].inputs), list(two[j].inputs)
            found.append(Change("inputs", "edges", *read))
        pairs[one[i].name] = LayerPair(one[i].name, two[j].name, moves, tuple(found))
    borders = _borders(a, b, pairs)
    return Comparison(
        a,
        b,
        _in_order(a.graph, b.graph, pairs, borders),
        tuple(_of_networks(a.graph, b.graph, partners)),
        tuple(of_recipes(a.graph.spec.training, b.graph.spec.training)),
    )


def _profiles(analysis: Analysis) -> list[Profile]:
    """What every layer is, for the alignment."""
    shapes = analysis.shapes
    positions = {INPUT: -1, **{node.name: i for i, node in enumerate(analysis.graph.nodes)}}
    known: dict[Any, Any] = {}
    found = []
    for node in analysis.graph.nodes:
        reads = _reads(analysis, node)
        gives = shapes.layers[node.name].shape if reads is not None else None
        # Layers that differ in nothing but their name are looked at once.
        key = (id(node.pattern) if node.pattern is not None else node.name, reads)
        if key not in known:
            known[key] = _traits(node.layer, reads, gives)
        traits, family, weight = known[key]
        found.append(
            Profile(
                node.name,
                node.layer.type,
                family,
                traits,
                weight,
                tuple(positions[name] for name in node.inputs),
                node.layer.commutes,
            )
        )
    return found


def _traits(
    layer: Layer, reads: tuple[Shape, ...] | None, gives: Shape | None
) -> tuple[Mapping[str, Any], frozenset[str], int]:
    if reads is None:
        fields = {key: getattr(layer, key) for key in type(layer).model_fields}
        traits = {k: repr(v) for k, v in fields.items() if k not in ("name", "type", "inputs")}
        weighs = False
    else:
        traits = {key: repr(value) for key, value in layer.computed(reads).items()}
        weighs = bool(layer.weights(reads))
    if layer.commutes and reads is not None:
        reads = tuple(sorted(reads))
    traits |= dict(zip(SHAPES, (repr(reads), repr(gives)), strict=True))
    family = frozenset(
        kind.__name__
        for kind in type(layer).__mro__
        if issubclass(kind, Layer) and kind not in _TOO_WIDE
    )
    weight = 4 if layer.is_neurons else 1
    if weight == 1 and (weighs or len(traits) > len(SHAPES) or layer.arity != (1, 1)):
        weight = 2
    return traits, family, weight


def _reads(analysis: Analysis, node: Node) -> tuple[Shape, ...] | None:
    """The shapes that a layer reads, None where it has no output."""
    return analysis.shapes.inputs(node) if node.name in analysis.shapes.layers else None


def _changes(a: Analysis, b: Analysis, one: Node, two: Node) -> Sequence[Change]:
    """What differs between two layers that are one, but for what they are connected to."""
    found = list(of_fields(one.layer, two.layer, _reads(a, one), _reads(b, two)))
    gives = [analysis.shapes.layers.get(n.name) for analysis, n in ((a, one), (b, two))]
    before, after = (list(inferred.shape) if inferred else None for inferred in gives)
    if before != after:
        found.append(Change("output", "shape", before, after))
    return found


class _Edges:
    """What layers read, told in layers of both networks.

    Layers and blocks that have no partner, or stand elsewhere, are looked through: that they are
    put in between is said of them, and not of the layer that reads them.
    """

    def __init__(self, a: Graph, b: Graph, partners: Mapping[str, str], moved: set[str]) -> None:
        self.a, self.b, self.partners = a, b, partners
        self.moved = moved
        self._look()
        # A branch that only stands elsewhere in the file reads and is read by the same layers.
        elsewhere = {name for name in moved if not self._in_place(name)}
        if elsewhere != moved:
            self.moved = elsewhere
            self._look()

    def _look(self) -> None:
        self.keeps_a = self.partners.keys() - self.moved
        self.keeps_b = {self.partners[name] for name in self.keeps_a}
        names = {INPUT: INPUT, **self.partners}
        found = _sources(self.a, self.keeps_a)
        self.sources_a = {n: names.get(s, f"{s} of A") for n, s in found.items()}
        both = {INPUT, *self.partners.values()}
        found = _sources(self.b, self.keeps_b)
        self.sources_b = {n: s if s in both else f"{s} of B" for n, s in found.items()}

    def _in_place(self, name: str) -> bool:
        other = self.partners[name]
        if not self.equal(self.a.by_name[name], self.b.by_name[other]):
            return False
        readers = {self.partners[reader] for reader in _readers(self.a, name, self.keeps_a)}
        return readers == _readers(self.b, other, self.keeps_b)

    def equal(self, one: Node, two: Node) -> bool:
        """Whether a layer and its partner read the same."""
        read_a = [self.sources_a[name] for name in one.inputs]
        read_b = [self.sources_b[name] for name in two.inputs]
        if one.layer.commutes and two.layer.commutes:
            return sorted(read_a) == sorted(read_b)
        return read_a == read_b


def _readers(graph: Graph, name: str, keeps: Set[str]) -> set[str]:
    """The layers of both networks that read a layer, others looked through."""
    found: set[str] = set()
    seen: set[str] = set()
    pending = [name]
    while pending:
        for reader in graph.consumers[pending.pop()]:
            if reader in keeps:
                found.add(reader)
            elif reader not in seen:
                seen.add(reader)
                pending.append(reader)
    return found


def _sources(graph: Graph, keeps: Set[str]) -> dict[str, str]:
    """For the input and every layer: itself, or what it reads where it is looked through.

    A join is looked through where its branches come from one layer: it ends a block.
    """
    found = {INPUT: INPUT}
    for node in graph.nodes:
        found[node.name] = node.name
        if node.name not in keeps:
            read = {found[name] for name in node.inputs}
            if len(read) == 1:
                (found[node.name],) = read
    return found


def _borders(a: Analysis, b: Analysis, pairs: dict[str, LayerPair]) -> dict[tuple[Side, str], str]:
    """The layers of zeros that one network alone has, where the other pads as much by itself.

    Returns the layer of the other network by network and layer of zeros, and takes the padding
    out of what differs in `pairs`.
    """
    matched: dict[Side, set[str]] = {
        "a": set(pairs),
        "b": {pair.b for pair in pairs.values() if pair.b is not None},
    }
    found: dict[tuple[Side, str], str] = {}
    for name, pair in pairs.items():
        one, two = a.graph.by_name[name], b.graph.by_name[pair.b or ""]
        if one.layer.type != "conv2d" or two.layer.type != "conv2d":
            continue
        zeros_a = _zeros(a.graph, one, matched["a"])
        zeros_b = _zeros(b.graph, two, matched["b"])
        if not (zeros_a or zeros_b):
            continue
        if _border(a, one, zeros_a) == _border(b, two, zeros_b):
            found |= {("a", zero.name): two.name for zero in zeros_a}
            found |= {("b", zero.name): one.name for zero in zeros_b}
            pairs[name] = replace(
                pair,
                changes=tuple(
                    replace(change, kind="words")
                    if change.what in ("padding", "rounding")
                    else change
                    for change in pair.changes
                ),
            )
    return found


def _zeros(graph: Graph, node: Node, matched: set[str]) -> list[Node]:
    """The layers of zeros without a partner that stand directly before a layer and for it alone."""
    found: list[Node] = []
    (name,) = node.inputs
    while name != INPUT and name not in matched and graph.consumers[name] == (node.name,):
        before = graph.by_name[name]
        if before.layer.type != "zero_pad2d":
            break
        found.append(before)
        node, (name,) = before, before.inputs
    return found


def _border(analysis: Analysis, node: Node, zeros: Sequence[Node]) -> tuple[int, ...] | None:
    """The zeros that a convolution reads on each side, those of the layers before it included."""
    reads = _reads(analysis, node)
    if reads is None:
        return None
    # What zeros read does not matter to what they add.
    sides = [layer.computed(reads)["padding"] for layer in (node.layer, *(z.layer for z in zeros))]
    return tuple(map(sum, zip(*sides, strict=True)))


def _of_networks(a: Graph, b: Graph, partners: Mapping[str, str]) -> Sequence[Change]:
    """What differs in what goes in and what comes out."""
    found = []
    if a.input_shape != b.input_shape:
        found.append(Change("input", "shape", list(a.input_shape), list(b.input_shape)))
    if partners.get(a.output) != b.output:
        found.append(Change("output", "function", a.output, b.output))
    heads = [(partners.get(head.layer), head.loss_weight) for head in a.auxiliary]
    if heads != [(head.layer, head.loss_weight) for head in b.auxiliary]:
        before, after = (
            [f"{head.layer} x {head.loss_weight:g}" for head in graph.auxiliary] for graph in (a, b)
        )
        found.append(Change("auxiliary", "training", before, after))
    return found


def _in_order(
    a: Graph,
    b: Graph,
    pairs: Mapping[str, LayerPair],
    borders: Mapping[tuple[Side, str], str],
) -> tuple[LayerPair, ...]:
    """Every layer of both: those of A in their order, those that B alone has where B has them."""
    position = {pair.b: name for name, pair in pairs.items()}
    behind: dict[str, list[LayerPair]] = {}
    last = INPUT
    for node in b.nodes:
        if node.name in position:
            last = position[node.name]
        else:
            pad = borders.get(("b", node.name))
            behind.setdefault(last, []).append(LayerPair(None, node.name, pads=pad))
    found = [*behind.get(INPUT, ())]
    for node in a.nodes:
        pair = pairs.get(node.name)
        found.append(pair or LayerPair(node.name, None, pads=borders.get(("a", node.name))))
        found += behind.get(node.name, ())
    return tuple(found)
