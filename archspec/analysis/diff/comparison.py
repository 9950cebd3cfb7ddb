"""Two networks beside one another: which layers are one, and what explains every total."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from archspec.analysis import Analysis, LayerAnalysis
from archspec.analysis.diff.changes import Change

SCHEMA_VERSION = 1

# The totals that are sums over layers.
QUANTITIES = (
    "params",
    "trainable_params",
    "non_trainable_params",
    "macs",
    "flops",
    "backward_flops",
    "neurons",
    "connections",
    "weight_bytes",
    "activation_bytes",
)
# Of these, layers that are used in training alone have no part (see `Totals`).
_AT_INFERENCE = ("macs", "flops", "neurons", "connections", "activation_bytes")

Side = Literal["a", "b"]
SIDES: tuple[Side, Side] = ("a", "b")


@dataclass(frozen=True, slots=True)
class LayerPair:
    """A layer of the first network and the same layer of the second, by their names.

    One of them is None for a layer that only the other network has. `moved`: it stands elsewhere
    among the others. `pads` is the layer of the other network that has the border itself which
    this layer of zeros adds.
    """

    a: str | None
    b: str | None
    moved: bool = False
    changes: tuple[Change, ...] = ()
    pads: str | None = None

    @property
    def label(self) -> str:
        """Its name; both where they differ."""
        if self.a is None or self.b is None or self.a == self.b:
            return self.a or self.b or ""
        return f"{self.a} = {self.b}"

    @property
    def only(self) -> Side | None:
        """The network that alone has it, None where both do."""
        return "b" if self.a is None else "a" if self.b is None else None


@dataclass(frozen=True, slots=True)
class Term:
    """What a layer contributes to the difference of a total: its figure in B less that in A."""

    layer: LayerPair
    difference: int


@dataclass(frozen=True)
class Comparison:
    """What differs between networks A and B.

    `layers` has every layer of both, in an order of both as far as there is one. `network` are
    differences in input, output and auxiliary outputs, `recipe` those in how it is trained.
    """

    a: Analysis
    b: Analysis
    layers: tuple[LayerPair, ...]
    network: tuple[Change, ...]
    recipe: tuple[Change, ...]

    def side(self, side: Side) -> Analysis:
        """One of the two analyses."""
        return self.a if side == "a" else self.b

    def found(self, pair: LayerPair, side: Side) -> LayerAnalysis | None:
        """A layer's analysis, None where the network has no such layer or it has no output."""
        name = pair.a if side == "a" else pair.b
        return self.side(side).by_name.get(name) if name is not None else None

    def only(self, side: Side) -> tuple[LayerPair, ...]:
        """The layers that one network alone has."""
        return tuple(pair for pair in self.layers if pair.only == side)

    @cached_property
    def matched(self) -> tuple[LayerPair, ...]:
        """The layers of both."""
        return tuple(pair for pair in self.layers if pair.only is None)

    @cached_property
    def renamed(self) -> tuple[LayerPair, ...]:
        """The layers of both that have two names."""
        return tuple(pair for pair in self.matched if pair.a != pair.b)

    def changed(self, *kinds: str) -> tuple[tuple[LayerPair, Change], ...]:
        """The changes of these kinds, each with its layer."""
        return tuple(
            (pair, change)
            for pair in self.layers
            for change in pair.changes
            if change.kind in kinds
        )

    @cached_property
    def function_equal(self) -> bool:
        """Whether both compute the same at inference, given the same weights and input.

        Layers that are used in training alone have no part in it.
        """
        return not any(self._differs(pair, training=False) for pair in self.layers) and not any(
            change.kind == "function" for change in self.network
        )

    @cached_property
    def structure_equal(self) -> bool:
        """Whether both have the same layers, connected alike, those of training included."""
        return self.function_equal and not any(
            self._differs(pair, training=True) for pair in self.layers
        )

    def _differs(self, pair: LayerPair, *, training: bool) -> bool:
        """Whether a layer makes the networks different ones, in training or at inference."""
        apart = all(
            layer is not None and layer.training_only
            for layer, name in ((self.found(pair, "a"), pair.a), (self.found(pair, "b"), pair.b))
            if name is not None
        )
        if apart is not training:
            return False
        if pair.only:
            return pair.pads is None
        return pair.moved or any(change.kind in ("edges", "function") for change in pair.changes)

    @cached_property
    def equal(self) -> bool:
        """Whether nothing differs, names, training and recipe included."""
        return (
            self.structure_equal
            and not self.network
            and not self.recipe
            and not self.renamed
            and not any(pair.changes or pair.only for pair in self.layers)
        )

    def total(self, quantity: str, side: Side) -> int:
        """A total of one network."""
        value: int = getattr(self.side(side).totals, quantity)
        return value

    def difference(self, quantity: str) -> int:
        """A total of B less that of A."""
        return self.total(quantity, "b") - self.total(quantity, "a")

    def terms(self, quantity: str) -> tuple[Term, ...]:
        """The contributions to a total's difference, the largest first; they add up to it."""
        found = [
            Term(pair, self.share(pair, quantity, "b") - self.share(pair, quantity, "a"))
            for pair in self.layers
        ]
        return tuple(sorted((t for t in found if t.difference), key=lambda t: -abs(t.difference)))

    def share(self, pair: LayerPair, quantity: str, side: Side) -> int:
        """What a layer contributes to a total of one network."""
        layer = self.found(pair, side)
        if layer is None or (layer.training_only and quantity in _AT_INFERENCE):
            return 0
        if quantity == "neurons" and not layer.node.layer.is_neurons:
            return 0
        value: int = getattr(layer.costs, quantity)
        return value

    @property
    def verdict(self) -> str:
        """The difference in one or two sentences."""
        recipes = " The recipes differ." if self.recipe else ""
        if not self.function_equal:
            return f"Different networks: {self._counts()}.{recipes}"
        head = "The same network"
        remarks = [f"{self._counts()}"] if not self.structure_equal else []
        if any(change.what == "input" for change in self.network):
            head = "The same layers on another input"
        elif not self.structure_equal:
            head += " at inference"
        if self.renamed:
            head += ", under other names"
        if any(pair.pads for pair in self.layers):
            remarks.append("some borders of zeros are layers of their own")
        if self.changed("training") or any(c.kind == "training" for c in self.network):
            remarks.append("training differs")
        if self.changed("start"):
            remarks.append("weights start otherwise")
        return f"{head}{': ' if remarks else ''}{', '.join(remarks)}.{recipes}"

    def _counts(self) -> str:
        """23 layers in both (12 changed, 20 under other names), 8 only in B."""
        changed = sum(any(c.kind != "words" for c in pair.changes) for pair in self.matched)
        moved = sum(pair.moved for pair in self.matched)
        inside = ((changed, "changed"), (moved, "moved"), (len(self.renamed), "under other names"))
        told = ", ".join(f"{count} {word}" for count, word in inside if count)
        both = len(self.matched)
        parts = [f"{both} layer{'s' if both != 1 else ''} in both{f' ({told})' if told else ''}"]
        for side in SIDES:
            alone = len(self.only(side))
            parts += [f"{alone} only in {side.upper()}"] if alone else []
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """The document of ``diff --format json``, schema version 1."""
        return {
            "schema_version": SCHEMA_VERSION,
            "verdict": self.verdict,
            "equal": self.equal,
            "function_equal": self.function_equal,
            "a": _network(self.a),
            "b": _network(self.b),
            "totals": {
                quantity: {
                    "a": self.total(quantity, "a"),
                    "b": self.total(quantity, "b"),
                    "difference": self.difference(quantity),
                    "terms": [
                        {"a": term.layer.a, "b": term.layer.b, "difference": term.difference}
                        for term in self.terms(quantity)
                    ],
                }
                for quantity in QUANTITIES
            },
            "layers": [self._layer(pair) for pair in self.layers],
            "network": [change.to_json() for change in self.network],
            "recipe": [change.to_json() for change in self.recipe],
        }

    def _layer(self, pair: LayerPair) -> dict[str, Any]:
        shapes: dict[str, Any] = {}
        types: dict[str, Any] = {}
        for side, name in zip(SIDES, (pair.a, pair.b), strict=True):
            layer = self.found(pair, side)
            shapes[side] = list(layer.output_shape) if layer else None
            known = self.side(side).graph.by_name
            types[side] = known[name].layer.type if name is not None else None
        return {
            "a": pair.a,
            "b": pair.b,
            "type": types,
            "output_shape": shapes,
            "moved": pair.moved,
            "pads": pair.pads,
            "changes": [change.to_json() for change in pair.changes],
        }


def _network(analysis: Analysis) -> dict[str, Any]:
    graph = analysis.graph
    return {
        "name": graph.name,
        "title": graph.title,
        "file": graph.document.file,
        "hash": graph.hash,
        "input": list(graph.input_shape),
        "layers": len(graph.nodes),
        "totals": asdict(analysis.totals),
    }
