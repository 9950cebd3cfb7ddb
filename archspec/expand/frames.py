"""Where a layer stands while a network is unrolled, and what names mean there."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from archspec.diagnostics import Span, did_you_mean, shortened
from archspec.expand.blocks import BlockDefinition, Module
from archspec.expand.scope import Scope
from archspec.expressions import ExpressionError, Unusable
from archspec.layers.base import Layer, Shape
from archspec.source import Node
from archspec.spec.ignore import Ignore


@dataclass(slots=True, eq=False)
class Pending:
    """A name that is looked up when all layers are there."""

    frame: Frame
    name: str
    reader: str
    span: Span
    uses: tuple[Span, ...]
    layer: str | None = None  # what was found


# A layer's name in the network (or `input`), or what will lead to one.
Reference = str | Pending


@dataclass(slots=True, eq=False)
class Instance:
    """A block or group that is unrolled: its layers, and what it hands on."""

    frame: Frame
    outputs: tuple[Reference, ...]


Target = Reference | Instance


def handed_on(target: Target) -> Reference:
    """What a layer reads that names a layer, a block or a group: the first of its outputs."""
    return target.outputs[0] if isinstance(target, Instance) else target


@dataclass(slots=True, eq=False)
class Written:
    """A layer of the unrolled list, or the place of one that something is wrong with.

    `name` is the layer's name; for one that has none of its own (it is missing, invalid or
    taken) a word that no layer can be called by, so that the layer behind it can read it.
    `layer` may be shared with other entries: its own name and inputs are those of the first.
    `references` are what it reads, in the order of its inputs.
    """

    node: Node
    name: str
    layer: Layer | None
    references: tuple[Reference, ...] = ()
    uses: tuple[Span, ...] = ()


@dataclass(slots=True, eq=False)
class Expected:
    """An entry of `ignore` beside a layer or a block, and the layers it has become."""

    ignore: Ignore
    span: Span
    layers: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Frame:
    """One list of layers that is being unrolled: the network's, a block's or a group's.

    `outer` is the list whose layers a group's own may read; a block's may not. Changes before
    number `first` do not reach what stands here. `shape_of` infers the shape of a layer;
    `missing` are the full names of all entries that something is wrong with; `level` counts the
    lists that this one stands in; `ignored` is what the entries around it expect to be told.
    """

    prefix: str
    scope: Scope
    module: Module
    inputs: dict[str, Reference]
    previous: Reference
    shape_of: Callable[[Reference], Shape | None]
    missing: set[str]
    outer: Frame | None = None
    uses: tuple[Span, ...] = ()
    blocks: tuple[BlockDefinition, ...] = ()
    first: int = 0
    level: int = 0
    ignored: tuple[Expected, ...] = ()
    targets: dict[str, Target] = field(default_factory=dict)

    def find(self, name: str) -> Reference | None:
        """What a name means to a layer that stands here."""
        frame: Frame | None = self
        while frame is not None:
            if name in frame.inputs:
                return frame.inputs[name]
            found = frame.inside(name)
            if found is not None:
                return found
            frame = frame.outer
        return None

    def inside(self, name: str) -> Reference | None:
        """What a name means among the layers that stand here, dots leading into blocks."""
        found = self._target(name)
        return handed_on(found) if found is not None else None

    def _target(self, name: str) -> Target | None:
        found = self.targets.get(name)
        if found is not None:
            return found
        end = name.rfind(".")
        while end > 0:
            block = self.targets.get(name[:end])
            if isinstance(block, Instance):
                return block.frame._target(name[end + 1 :])
            end = name.rfind(".", 0, end)
        # What would stand in a block, or be a repetition, that something is wrong with.
        head = name.partition(".")[0]
        above = self.targets.get(head) or self.targets.get(head.rstrip("0123456789"))
        return above if isinstance(above, str) and above in self.missing else None

    def full_names(self, name: str) -> list[str]:
        """The layer or block that is called `name` here; all repetitions of a repeated one."""
        outer, dot, last = name.rpartition(".")
        block = self._target(outer) if dot else None
        frame = block.frame if isinstance(block, Instance) else self
        target = frame.targets.get(last)
        full = frame.prefix + last
        if target == full or (isinstance(target, Instance) and target.frame.prefix == f"{full}."):
            return [full]
        numbers = itertools.takewhile(
            lambda number: f"{last}{number}" in frame.targets, itertools.count(1)
        )
        return [f"{full}{number}" for number in numbers]

    def names(self) -> list[str]:
        """Every name that a layer here may read."""
        found: list[str] = []
        frame: Frame | None = self
        while frame is not None:
            found += [*frame.targets, *frame.inputs]
            frame = frame.outer
        return found

    def near(self, name: str, but: str | None = None) -> str | None:
        """A suggestion for a name that leads nowhere, from as far inside as its dots lead.

        The layer whose full name is `but` is not suggested: it is the one that reads.
        """
        frame, path, rest = self, "", name
        while "." in rest:
            head, _, inside = rest.partition(".")
            block = frame.targets.get(head)
            if not isinstance(block, Instance):
                break
            frame, path, rest = block.frame, f"{path}{head}.", inside
        known = [path + word for word in frame.targets] if path else self.names()
        return did_you_mean(name, [word for word in known if self.prefix + word != but])

    def channels(self, name: str, start: int, end: int) -> int:
        """The channels of a layer's output, for an expression."""
        found = self.find(name)
        if found is None:
            message = f"`{shortened(name)}` is no layer that stands above"
            help_ = self.near(name) or "name a layer above, or `input`"
            raise ExpressionError("unknown-input", message, start, end, help_)
        shape = self.shape_of(found)
        if shape is None:
            raise Unusable
        return shape[0]
