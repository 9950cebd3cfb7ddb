"""From entries as written to layers: blocks, groups and repetitions unrolled, names resolved."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import Field

from archspec.diagnostics import (
    Problem,
    ProblemsFound,
    Span,
    did_you_mean,
    listing,
    shortened,
)
from archspec.expand.changes import Changes, with_fields
from archspec.expand.library import RESERVED_PARAMETERS, USE_KEYS, BlockDefinition, Module
from archspec.expand.scope import (
    UNUSABLE,
    Definition,
    Evaluator,
    Scope,
    Waiting,
    as_node,
    dynamic,
    substituted,
    unusable,
)
from archspec.expressions import WORDS, ExpressionError, Unusable, Value, written
from archspec.layers import layer_types
from archspec.layers.base import Layer, Shape
from archspec.source import Entry, Node, Problems
from archspec.spec.blocks import BlockUse, Group
from archspec.spec.fields import INPUT, MAX_LAYER_NAME, NAME_PATTERN, LayerName, SpecModel
from archspec.spec.foreign_names import suggest_layer_type
from archspec.spec.network import Defaults
from archspec.spec.reading import Model, read, shown

# A bound on what a few lines can unroll to. Set ARCHSPEC_MAX_LAYERS to raise it.
MAX_LAYERS = 100_000
LIMIT_VARIABLE = "ARCHSPEC_MAX_LAYERS"
MAX_LEVELS = 40
# Words that a claim uses for something that is no layer.
RESERVED = (INPUT, "network")
_REPETITION = ("repeat", "for_each", "in")
_INDEX = "index"
_WHEN = "when"


class _AnyLayer(SpecModel):
    """The keys of a layer whose type is missing or unknown."""

    name: LayerName
    type: Any
    inputs: Annotated[tuple[LayerName, ...] | None, Field(strict=False)] = None


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


@dataclass(slots=True, eq=False)
class Frame:
    """One list of layers that is being unrolled: the network's, a block's or a group's.

    `outer` is the list whose layers a group's own may read; a block's may not. Changes before
    number `first` do not reach what stands here.
    """

    prefix: str
    scope: Scope
    module: Module
    inputs: dict[str, Reference]
    previous: Reference
    unroller: Unroller
    outer: Frame | None = None
    uses: tuple[Span, ...] = ()
    blocks: tuple[BlockDefinition, ...] = ()
    first: int = 0
    level: int = 0
    targets: dict[str, Reference | Instance] = field(default_factory=dict)

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
        found = self.targets.get(name)
        if found is not None:
            return found.outputs[0] if isinstance(found, Instance) else found
        end = name.rfind(".")
        while end > 0:
            block = self.targets.get(name[:end])
            if isinstance(block, Instance):
                return block.frame.inside(name[end + 1 :])
            end = name.rfind(".", 0, end)
        # What would stand in a block, or be a repetition, that something is wrong with.
        head = name.partition(".")[0]
        above = self.targets.get(head) or self.targets.get(head.rstrip("0123456789"))
        return above if isinstance(above, str) and above in self.unroller.missing else None

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
        layer = self.unroller.resolve(found)
        shape = self.unroller.shape(layer) if layer is not None else None
        if shape is None:
            raise Unusable
        return shape[0]


@dataclass(frozen=True, slots=True)
class Written:
    """A layer of the unrolled list, or the place of one that something is wrong with.

    `name` is the layer's name; for one that has none of its own (it is missing, invalid or
    taken) a word that no layer can be called by, so that the layer behind it can read it.
    `references` are what it reads, in the order of its inputs.
    """

    node: Node
    name: str
    layer: Layer | None
    references: tuple[Reference, ...] = ()
    uses: tuple[Span, ...] = ()


@dataclass(slots=True, eq=False)
class _Entry:
    """An entry of a list of layers, looked at once however often it is unrolled.

    `body` are its keys without those that repeat it or leave it out, `leaves` the texts in
    there that expressions are filled into.
    """

    node: Node
    body: Node
    leaves: list[Node]
    number: int
    read: dict[tuple[Any, ...], tuple[Any, Node]] = field(default_factory=dict)

    @property
    def name(self) -> str | None:
        """The name as written, None where there is none or an expression gives it."""
        name = self.node.get("name")
        value = name.value if name is not None and not name.broken else None
        return value if isinstance(value, str) and "$" not in value else None


@dataclass(frozen=True, slots=True)
class _Step:
    """An entry to be unrolled with the changes of it from number `first` on.

    It is `changed` when those are made. One that is replaced only leaves its name, which then
    `stands_for` what is there instead.
    """

    node: Node
    number: int
    first: int
    changed: bool = False
    stands_for: str | None = None


class Unroller:
    """Unrolls the entries of one network."""

    def __init__(
        self,
        problems: Problems,
        defaults: Defaults,
        input_shape: Shape | None,
        changes: Changes,
    ) -> None:
        self.problems = problems
        self.evaluator = Evaluator(problems)
        self.defaults = {name: getattr(defaults, name) for name in Defaults.model_fields}
        self.changes = changes
        self.written: list[Written] = []
        self.missing: set[str] = set()
        self._entries: dict[int, _Entry] = {}
        self._names: dict[str, Span] = {}
        self._circles: set[frozenset[int]] = set()
        self._limit = _limit()
        self._count = 0
        self._pending: list[Pending] = []
        self._shapes: dict[str, Shape | None] = {INPUT: input_shape}
        self._shaped = 0

    def network(self, section: Node | None, module: Module) -> Frame:
        """Unroll the network's list of layers into `written`."""
        frame = Frame("", module.scope, module, {INPUT: INPUT}, INPUT, self)
        frame.scope = Scope(self.evaluator, {}, module.scope, frame)
        self._list(frame, (section.items if section else None) or [])
        return frame

    # Entries

    def _list(self, frame: Frame, entries: Iterable[Node]) -> None:
        self._steps(frame, [_Step(node, n, frame.first) for n, node in enumerate(entries, 1)])

    def _steps(self, frame: Frame, steps: list[_Step]) -> None:
        """Unroll entries one after another, and what changes put around each of them."""
        waiting = steps[::-1]  # no recursion: changes may change what changes bring in
        while waiting:
            step = waiting.pop()
            if step.stands_for is not None:
                frame.targets.setdefault(step.stands_for, frame.previous)
                continue
            if not step.changed:
                self._bound(step.node)
            entry = self._looked_at(step.node, step.number)
            if entry is None:
                self._missing(frame, step.node, f"layer {step.number}")
            elif entry.name is not None and self.changes and not step.changed:
                waiting += self._changed(frame, entry.name, step)[::-1]
            else:
                self._repeated(frame, entry, step.first)

    def _changed(self, frame: Frame, name: str, step: _Step) -> list[_Step]:
        """The entry called `name` as the changes of it want it, among what they put around it."""
        before: list[_Step] = []
        behind: list[_Step] = []
        node = step.node
        for change in self.changes.of(frame.prefix + name, step.first):
            change.used = True
            entries = [_Step(entry, step.number, change.order + 1) for entry in change.entries]
            if change.verb == "after":
                behind = entries + behind
            elif change.verb == "before":
                before += entries
            elif change.verb == "set":
                node = with_fields(node, change.fields)
            elif change.verb == "remove":
                out = Entry(change.place.span, Node(change.place.span, False))
                node = with_fields(node, {_WHEN: out})
                break
            else:
                handed_on = _Step(node, step.number, step.first, stands_for=name)
                return [*before, *entries, handed_on, *behind]
        return [*before, _Step(node, step.number, step.first, changed=True), *behind]

    def _bound(self, node: Node) -> None:
        self._count += 1
        if self._count > self._limit:
            self.problems.fail(
                Problem(
                    "limit-exceeded",
                    f"the blocks and repetitions unroll to more than {self._limit:,} layers",
                    f"if that many are meant, set the environment variable {LIMIT_VARIABLE} "
                    "to a larger number",
                    span=node.span,
                )
            )

    def _looked_at(self, node: Node, number: int) -> _Entry | None:
        """What is known of an entry before it is unrolled; None where it is no mapping."""
        known = self._entries.get(id(node))
        if known is not None:
            return known
        if node.entries is None:
            if not node.broken:
                message = f"layer {number} must be a mapping, not {shown(node)}"
                help_ = "write `{name: conv1, type: conv2d, ...}`"
                self.problems.add(Problem("wrong-type", message, help_, span=node.span))
            return None
        apart = (*_REPETITION, _WHEN)
        body = node
        if not node.entries.keys().isdisjoint(apart):
            body = replace(node, entries={k: e for k, e in node.entries.items() if k not in apart})
        section = node.entries.get("layers")
        if section is not None and section.value.items:
            # A group's own layers are filled in one by one; one stands for all of them here.
            some = replace(section.value, items=[Node(section.value.span, True)])
            body = replace(
                body, entries={**(body.entries or {}), "layers": Entry(section.key_span, some)}
            )
        entry = self._entries[id(node)] = _Entry(node, body, dynamic(body), number)
        return entry

    # Repetition

    def _repeated(self, frame: Frame, entry: _Entry, first: int) -> None:
        """Unroll an entry as often as it says."""
        node = entry.node
        try:
            rounds = self._rounds(frame, node)
        except Unusable:
            self._missing(frame, node, entry.name or f"layer {entry.number}")
            return
        if rounds is None:
            self._once(frame, entry, frame.scope, None, None, first)
            return
        before: Instance | Reference | None = None
        for number, names in enumerate(rounds, 1):
            self._bound(node)
            scope = Scope(self.evaluator, {**names, _INDEX: number}, frame.scope, frame)
            before = self._once(frame, entry, scope, number, before, first)
        name = entry.name
        if name is not None:
            if before is None:  # no round at all: the entry is left out
                before = self._references(frame, entry, frame.scope, name)[0]
                frame.previous = before
            self._taken(frame, name, node)
            frame.targets[name] = before

    def _rounds(self, frame: Frame, node: Node) -> list[dict[str, Definition]] | None:
        """The names of each round and their values; None for an entry without repetition."""
        repeat, names, rows = (node.get(key) for key in _REPETITION)
        if repeat is None and names is None and rows is None:
            return None
        if repeat is not None:
            if names is not None or rows is not None:
                message = "an entry has either `repeat` or `for_each`, not both"
                help_ = "put one of the two around the other as a group"
                raise self._reported(
                    Problem("wrong-value", message, help_, span=repeat.span), frame
                )
            count = self._whole(repeat, frame, "`repeat`")
            return [{} for _ in range(count)]
        if names is None or rows is None:
            given, lacking = ("for_each", "in") if rows is None else ("in", "for_each")
            message = f"an entry with `{given}` needs `{lacking}`"
            help_ = "write `for_each: [filters, stride]` and `in: [[64, 1], [128, 2]]`"
            raise self._reported(Problem("missing-key", message, help_, span=node.span), frame)
        return self._rows(self._loop_names(names, frame), rows, frame)

    def _whole(self, node: Node, frame: Frame, what: str) -> int:
        count = self._given(node, frame.scope, frame, f"{what} must be a whole number")
        if isinstance(count, bool) or not isinstance(count, int):
            message = f"{what} must be a whole number, not {_shown(count)}"
            raise self._reported(Problem("wrong-type", message, span=node.span), frame)
        if count < 0:
            message = f"{what} must be at least 0, not `{count}`"
            raise self._reported(Problem("wrong-value", message, span=node.span), frame)
        if count > self._limit:
            self._count = self._limit
            self._bound(node)
        return count

    def _given(self, node: Node, scope: Scope, frame: Frame, must: str) -> Value:
        """What a key of an entry is worth; `must` says in a message what it takes."""
        nothing = node.value is None and node.items is None
        if nothing and not node.broken:
            message = f"{must}, not {shown(node)}"
            raise self._reported(Problem("wrong-type", message, span=node.span), frame)
        return self.evaluator.value(node, scope, frame.uses)

    def _loop_names(self, node: Node, frame: Frame) -> list[str] | str:
        if node.broken:
            raise Unusable
        items = node.items if node.items is not None else [node]
        names: list[str] = []
        help_ = "write `for_each: [filters, stride]`"
        for item in items:
            name = item.value
            if item.broken:
                raise Unusable
            if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
                message = f"`for_each` takes names for the values of a row, not {shown(item)}"
                raise self._reported(Problem("wrong-value", message, help_, span=item.span), frame)
            if name in (*WORDS, _INDEX):
                message = f"`for_each` cannot use the name `{name}`: it has a meaning of its own"
                raise self._reported(Problem("invalid-name", message, span=item.span), frame)
            if name in names:
                message = f"`for_each` has the name `{name}` twice"
                raise self._reported(Problem("wrong-value", message, span=item.span), frame)
            names.append(name)
        if not names:
            message = "`for_each` takes names for the values of a row, not an empty list"
            raise self._reported(Problem("wrong-value", message, help_, span=node.span), frame)
        return names if node.items is not None else names[0]

    def _rows(
        self, names: list[str] | str, node: Node, frame: Frame
    ) -> list[dict[str, Definition]]:
        rows = self._given(node, frame.scope, frame, "`in` must be a list")
        if not isinstance(rows, tuple):
            message = f"`in` must be a list, not {_shown(rows)}"
            raise self._reported(Problem("wrong-type", message, span=node.span), frame)
        if isinstance(names, str):
            return [{names: row} for row in rows]
        found: list[dict[str, Definition]] = []
        for number, row in enumerate(rows):
            if not isinstance(row, tuple) or len(row) != len(names):
                wanted = f"a row of {len(names)} values ({', '.join(names)})"
                given = f"a row of {len(row)}" if isinstance(row, tuple) else _shown(row)
                message = f"row {number + 1} of `in` must be {wanted}, not {given}"
                span = node.locate((number,))
                self._add(Problem("wrong-value", message, span=span), frame)
            else:
                found.append(dict(zip(names, row, strict=True)))
        if len(found) < len(rows):
            raise Unusable
        return found

    # One round

    def _once(
        self,
        frame: Frame,
        entry: _Entry,
        scope: Scope,
        number: int | None,
        before: Instance | Reference | None,
        first: int,
    ) -> Instance | Reference:
        """Unroll an entry once. Returns what its name then stands for."""
        name = entry.name
        if number is None or name is None:
            return self._single(frame, entry, scope, None, before)
        numbered = f"{name}{number}"
        if not self.changes:
            return self._single(frame, entry, scope, numbered, before)

        for step in self._changed(frame, numbered, _Step(entry.node, entry.number, first)):
            changed = self._looked_at(step.node, step.number) if step.changed else None
            if changed is not None:
                self._single(frame, changed, scope, numbered, before)
            else:
                self._steps(frame, [step])
        found = frame.targets.get(numbered, frame.previous)
        # What is inserted behind a round stands between it and the next one.
        handed = found.outputs[0] if isinstance(found, Instance) else found
        return found if handed == frame.previous else frame.previous

    def _single(
        self,
        frame: Frame,
        entry: _Entry,
        scope: Scope,
        numbered: str | None,
        before: Instance | Reference | None,
    ) -> Instance | Reference:
        node = entry.node
        self.evaluator.place = node.span
        self.evaluator.spend(entry.body.size)
        kind = "block" if "block" in (node.entries or {}) else "layer"
        kind = "group" if kind == "layer" and "layers" in (node.entries or {}) else kind
        try:
            present = self._present(node, scope, frame)
        except Unusable:
            return self._missing(frame, node, numbered or entry.name or f"layer {entry.number}")
        if not present:
            return self._left_out(frame, entry, scope, numbered, before)
        if kind == "block":
            return self._use(frame, entry, scope, numbered, before)
        if kind == "group":
            return self._group(frame, entry, scope, numbered, before)
        return self._layer(frame, entry, scope, numbered, before)

    def _present(self, node: Node, scope: Scope, frame: Frame) -> bool:
        when = node.get(_WHEN)
        if when is None:
            return True
        value = self._given(when, scope, frame, "`when` must be true or false")
        if not isinstance(value, bool):
            message = f"`when` must be true or false, not {_shown(value)}"
            help_ = "compare: `when: $(stride > 1)`"
            raise self._reported(Problem("wrong-type", message, help_, span=when.span), frame)
        return value

    def _left_out(
        self,
        frame: Frame,
        entry: _Entry,
        scope: Scope,
        numbered: str | None,
        before: Instance | Reference | None,
    ) -> Reference:
        """An entry that is not there hands on what it would have read."""
        name = numbered or entry.name
        if name is None:
            name = self._name_value(entry, scope)
        found = self._references(frame, entry, scope, name or "it", before)[0]
        if name is not None:
            self._taken(frame, name, entry.node)
            frame.targets[name] = found
        frame.previous = found
        return found

    def _name_value(self, entry: _Entry, scope: Scope) -> str | None:
        node = entry.node.get("name")
        try:
            value = self.evaluator.value(node, scope) if node is not None else None
        except Unusable:
            return None
        return value if isinstance(value, str) else None

    def _references(
        self,
        frame: Frame,
        entry: _Entry,
        scope: Scope,
        reader: str,
        before: Instance | Reference | None = None,
    ) -> tuple[Reference, ...]:
        """What an entry reads that is not read as a layer: its inputs by name, or the one above."""
        inputs = entry.node.get("inputs")
        if inputs is None or inputs.items is None:
            return (frame.previous,)
        filled = self.evaluator.fill(inputs, scope)
        names = [
            item.value
            for item in filled.items or []
            if isinstance(item.value, str) and not item.broken
        ]
        return self._named(frame, names, inputs, reader, before) or (frame.previous,)

    def _named(
        self,
        frame: Frame,
        names: Sequence[str],
        inputs: Node | None,
        reader: str,
        before: Instance | Reference | None,
    ) -> tuple[Reference, ...]:
        """The references of names; from the second round on, the round before comes first."""
        found: list[Reference] = []
        for place, name in enumerate(names):
            span = inputs.locate((place,)) if inputs is not None else Span(1, 1, 1, 1)
            pending = Pending(frame, name, reader, span, frame.uses)
            self._pending.append(pending)
            found.append(pending)
        if before is not None:
            outputs = before.outputs if isinstance(before, Instance) else (before,)
            # Behind an insertion the round before is what was inserted.
            outputs = outputs if outputs[0] == frame.previous else (frame.previous,)
            found[: len(outputs)] = outputs[: len(found)]
        return tuple(found)

    # Layers

    def _read(
        self,
        model: type[Model],
        entry: _Entry,
        scope: Scope,
        frame: Frame,
        what: str,
        about: str | None,
        keys: tuple[str, ...] = (),
    ) -> tuple[Model | None, Node]:
        """An entry's body as a model, and the body with its expressions filled in.

        An entry that is unrolled again with the same values is not validated again.
        """
        values: list[Any] = []
        for leaf in entry.leaves:
            try:
                values.append(self.evaluator.value(leaf, scope, frame.uses))
            except Unusable:
                values.append(UNUSABLE)
        key = (model, *((type(v), v if not isinstance(v, tuple) else written(v)) for v in values))
        known = entry.read.get(key)
        if known is None:
            body = entry.body
            if values:
                filled = {
                    id(leaf): unusable(leaf) if value is UNUSABLE else as_node(value, leaf.span)
                    for leaf, value in zip(entry.leaves, values, strict=True)
                }
                body = substituted(body, filled)
            part = body
            if keys:
                part = replace(
                    body, entries={k: e for k, e in (body.entries or {}).items() if k in keys}
                )
            found, wrong = read(model, part, what)
            self.problems.extend(
                replace(problem, uses=frame.uses, layer=about) for problem in wrong
            )
            known = entry.read[key] = found, body
        return known

    def _layer(
        self,
        frame: Frame,
        entry: _Entry,
        scope: Scope,
        numbered: str | None,
        before: Instance | Reference | None,
    ) -> Reference:
        node = entry.node
        name = numbered or entry.name
        what, about = _what("layer", frame, name, entry)
        model = layer_types().get(self._type(node.get("type"), scope))
        if model is not None:
            layer, body = self._read(model, entry, scope, frame, what, about)
        else:
            layer, body = None, self._typeless(entry, scope, frame, what, about)
        name = self._free(frame, body, numbered, entry.number)
        if name is None or layer is None:
            return self._missing(frame, node, name or f"layer {entry.number}", taken=True)
        full = frame.prefix + name
        if layer.inputs is None:
            references: tuple[Reference, ...] = (frame.previous,)
        else:
            references = self._named(frame, layer.inputs, body.get("inputs"), full, before)
        return self._write(frame, name, body, layer, references)

    def _write(
        self,
        frame: Frame,
        name: str,
        body: Node,
        layer: Layer | None,
        references: tuple[Reference, ...],
    ) -> str:
        full = frame.prefix + name
        if layer is not None:
            update = {
                field: value
                for field, value in self.defaults.items()
                if field in type(layer).model_fields and getattr(layer, field) is None
            }
            update["name"] = full
            layer = layer.model_copy(update=update)
        self.written.append(Written(body, full, layer, references, frame.uses))
        frame.targets[name] = full
        frame.previous = full
        return full

    def _missing(self, frame: Frame, node: Node, name: str, *, taken: bool = False) -> str:
        """Something is wrong with an entry; what reads it is not to be called wrong."""
        if not taken and name in frame.targets:
            name = f"{name} of line {node.span.line}"
        full = frame.prefix + name
        self.missing.add(full)
        self.written.append(Written(node, full, None, (), frame.uses))
        frame.targets[name] = full
        frame.previous = full
        return full

    def _type(self, node: Node | None, scope: Scope) -> str:
        """The type of a layer, empty where it has none that can be used."""
        if node is None or node.broken or not isinstance(node.value, str):
            return ""
        if "$" not in node.value:
            return node.value
        try:
            return str(self.evaluator.value(node, scope))
        except Unusable:
            return ""

    def _typeless(
        self, entry: _Entry, scope: Scope, frame: Frame, what: str, about: str | None
    ) -> Node:
        """Check what can be checked of a layer whose type is missing or unknown."""
        _, body = self._read(
            _AnyLayer, entry, scope, frame, what, about, tuple(_AnyLayer.model_fields)
        )
        kind = body.get("type")
        if kind is not None and not kind.broken:
            self.problems.add(replace(_unknown_type(kind, what), uses=frame.uses, layer=about))
        return body

    def _free(self, frame: Frame, body: Node, numbered: str | None, number: int) -> str | None:
        """The name of an entry, or None where it has none of its own."""
        node = body.get("name")
        if node is None or node.broken or not isinstance(node.value, str):
            return None
        name = numbered or node.value
        if not self._taken(frame, name, body):
            return None
        full = frame.prefix + name
        if len(full) > MAX_LAYER_NAME:
            message = f"the full name of `{shortened(name)}` is longer than {MAX_LAYER_NAME} "
            message += "characters"
            help_ = "give the blocks around it shorter names"
            self._add(Problem("invalid-name", message, help_, span=node.span), frame, full)
            return None
        return name

    def _taken(self, frame: Frame, name: str, body: Node) -> bool:
        """Take a name; reports one that cannot be taken, and returns False."""
        node = body.get("name")
        span = node.span if node is not None else body.span
        full = frame.prefix + name
        if name in RESERVED or name in frame.inputs:
            message = f"a layer cannot be called `{name}`: the word has a meaning of its own"
            help_ = f"choose another name, such as `{name}_layer`"
            self._add(Problem("invalid-name", message, help_, span=span), frame)
            return False
        first = self._names.setdefault(full, span)
        if first is not span:
            place = f"on line {first.line}"
            if first.source is not span.source and first.source is not None:
                place += f" of {first.source.name}"
            message = f"a second layer is called `{shortened(name)}`; the first is {place}"
            help_ = "give each layer a name of its own"
            self._add(Problem("duplicate-layer", message, help_, span=span), frame, full)
            return False
        return True

    # Blocks and groups

    def _group(
        self,
        frame: Frame,
        entry: _Entry,
        scope: Scope,
        numbered: str | None,
        before: Instance | Reference | None,
    ) -> Instance | Reference:
        section = entry.node.get("layers")
        name = numbered or entry.name
        what, about = _what("group", frame, name, entry)
        group, body = self._read(Group, entry, scope, frame, what, about)
        found = self._free(frame, body, numbered, entry.number)
        if group is None or found is None or section is None or not self._deeper(frame, section):
            return self._missing(frame, entry.node, found or f"layer {entry.number}", taken=True)
        full = frame.prefix + found
        references: tuple[Reference, ...] = (frame.previous,)
        if group.inputs is not None:
            references = self._named(frame, group.inputs, body.get("inputs"), full, before)
        if len(references) != 1:
            message = f"{full}: a group reads 1 input, not {len(references)}"
            help_ = "its layers may read any layer that stands beside it by name"
            self._add(
                Problem("wrong-input-count", message, help_, span=body.locate(("inputs",))),
                frame,
                full,
            )
        inner = Frame(
            f"{full}.",
            scope,
            frame.module,
            {INPUT: references[0]},
            references[0],
            self,
            outer=frame,
            uses=frame.uses,
            blocks=frame.blocks,
            first=frame.first,
            level=frame.level + 1,
        )
        inner.scope = Scope(self.evaluator, {}, scope, inner)
        self._list(inner, section.items or [])
        return self._placed(frame, found, Instance(inner, (inner.previous,)))

    def _placed(self, frame: Frame, name: str, instance: Instance) -> Instance:
        frame.targets[name] = instance
        frame.previous = instance.outputs[0]
        return instance

    def _use(
        self,
        frame: Frame,
        entry: _Entry,
        scope: Scope,
        numbered: str | None,
        before: Instance | Reference | None,
    ) -> Instance | Reference:
        name = numbered or entry.name
        what, about = _what("layer", frame, name, entry)
        use, body = self._read(
            BlockUse, entry, scope, frame, what, about, tuple(BlockUse.model_fields)
        )
        found = self._free(frame, body, numbered, entry.number)
        definition = self._definition(frame, body, use)
        if use is None or found is None or definition is None:
            return self._missing(frame, entry.node, found or f"layer {entry.number}", taken=True)
        full = frame.prefix + found
        references: tuple[Reference, ...] = (frame.previous,)
        if use.inputs is not None:
            references = self._named(frame, use.inputs, body.get("inputs"), full, before)
        elif isinstance(before, Instance) and before.outputs[0] == frame.previous:
            references = before.outputs[: len(definition.block.inputs)]
        arguments = self._arguments(frame, body, definition, full)
        if len(references) != len(definition.block.inputs):
            message = (
                f"{full}: the block `{definition.name}` reads {_inputs(definition)}, "
                f"not {len(references)}"
            )
            help_ = f"name them in the block's order: {listing(definition.block.inputs)}"
            span = body.locate(("inputs",))
            self._add(Problem("wrong-input-count", message, help_, span=span), frame, full)
            arguments = None
        if arguments is None:
            return self._missing(frame, entry.node, found, taken=True)
        inner = Frame(
            f"{full}.",
            scope,
            definition.module,
            dict(zip(definition.block.inputs, references, strict=True)),
            references[0],
            self,
            uses=(body.locate(("block",)), *frame.uses),
            blocks=(*frame.blocks, definition),
            first=frame.first,
            level=frame.level + 1,
        )
        inner.scope = Scope(
            self.evaluator, arguments, definition.module.scope, inner, uses=inner.uses
        )
        self._list(inner, definition.entries)
        return self._placed(frame, found, Instance(inner, self._outputs(definition, inner)))

    def _outputs(self, definition: BlockDefinition, inner: Frame) -> tuple[Reference, ...]:
        names = definition.block.outputs
        if names is None:
            return (inner.previous,)
        found: list[Reference] = []
        for place, name in enumerate(names):
            known = inner.find(name)
            if known is None:
                message = f"the block `{definition.name}` hands on `{shortened(name)}`, "
                message += "which is no layer of it"
                help_ = inner.near(name) or "name one of its layers"
                span = definition.node.locate(("outputs", place))
                self._add(Problem("unknown-input", message, help_, span=span), inner)
                known = inner.prefix + name
                self.missing.add(known)
            found.append(known)
            inner.targets.setdefault(name, known)  # an input is read from outside, too
        return tuple(found)

    def _definition(self, frame: Frame, body: Node, use: BlockUse | None) -> BlockDefinition | None:
        """The block that an entry uses, or None where something is wrong with that."""
        node = body.get("block")
        if use is None or node is None:
            return None
        if "type" in (body.entries or {}) or "layers" in (body.entries or {}):
            other = "type" if "type" in (body.entries or {}) else "layers"
            message = f"an entry has either `block` or `{other}`, not both"
            span = body.locate((other,), key=True)
            self._add(Problem("wrong-value", message, "remove one of the two", span=span), frame)
            return None
        try:
            definition = frame.module.find(use.block)
        except KeyError as unknown:
            message = f"there is no block `{shortened(use.block)}`"
            self._add(Problem("unknown-block", message, unknown.args[0], span=node.span), frame)
            return None
        if definition is None:
            return None
        above = next((i for i, block in enumerate(frame.blocks) if block is definition), None)
        if above is not None:
            circle = frame.blocks[above:]
            known = frozenset(id(block) for block in circle)
            if known not in self._circles:  # it can be entered at any of its blocks
                self._circles.add(known)
                names = " -> ".join(block.name for block in (*circle, definition))
                message = f"the block `{definition.name}` uses itself: {names}"
                help_ = "repeat a block with `repeat: 3`"
                self._add(Problem("circular-reference", message, help_, span=node.span), frame)
            return None
        return definition if self._deeper(frame, node) else None

    def _deeper(self, frame: Frame, node: Node) -> bool:
        """Whether another block or group may be unrolled in a list of layers; reports if not."""
        if frame.level < MAX_LEVELS:
            return True
        message = f"blocks and groups stand in one another more than {MAX_LEVELS} deep"
        help_ = "write some of the blocks out"
        self._add(Problem("limit-exceeded", message, help_, span=node.span), frame)
        return False

    def _arguments(
        self, frame: Frame, body: Node, definition: BlockDefinition, full: str
    ) -> dict[str, Definition] | None:
        """The values of a block's parameters, or None where one is missing or unknown."""
        given = {k: e for k, e in (body.entries or {}).items() if k not in USE_KEYS}
        parameters = definition.block.parameters
        meant: list[str] = []
        fine = True
        for key, entry in given.items():
            if key not in parameters:
                message = (
                    f"{full}: the block `{definition.name}` has no parameter `{shortened(key)}`"
                )
                near = did_you_mean(key, [*parameters, *USE_KEYS])
                meant.append(near or "")
                help_ = near or (
                    f"its parameters are {listing(parameters)}" if parameters else "it has none"
                )
                self._add(Problem("unknown-key", message, help_, span=entry.key_span), frame, full)
                fine = False
        defaults = definition.defaults
        arguments: dict[str, Definition] = {}
        for name in parameters:
            if name in given:
                what = f"the parameter `{name}`"
                arguments[name] = self._argument(given[name].value, frame, what)
            elif name in defaults:
                arguments[name] = Waiting(defaults[name])
            else:
                fine = False
                if name in RESERVED_PARAMETERS or any(f"`{name}`" in near for near in meant):
                    continue
                message = f"{full}: the block `{definition.name}` needs the parameter `{name}`"
                help_ = f"write `{name}: ...` beside `block: {definition.name}`"
                self._add(Problem("missing-key", message, help_, span=body.span), frame, full)
        return arguments if fine and not body.broken else None

    def _argument(self, node: Node, frame: Frame, what: str) -> Definition:
        """The value of a parameter, whose expressions are filled in already."""
        if node.broken or any(leaf.broken for leaf in node.scalars()):
            return UNUSABLE
        if node.entries is None and (node.value is not None or node.items is not None):
            return _plain(node)
        message = f"{what} must be a number, text, `true`, `false` or a list, not {shown(node)}"
        self._add(Problem("wrong-type", message, span=node.span), frame)
        return UNUSABLE

    # Names and shapes

    def resolve(self, reference: Reference) -> str | None:
        """The layer that a reference leads to (or `input`); None where it leads nowhere."""
        seen: set[int] = set()
        found: Reference | None = reference
        while isinstance(found, Pending):
            if found.layer is not None:
                return found.layer
            if id(found) in seen:
                return None
            seen.add(id(found))
            found = found.frame.find(found.name)
        return found

    def report_unknown(self) -> None:
        """Report every name that leads nowhere, once all layers are there.

        A name may lead to others, where layers are left out; each is followed once.
        """
        followed: set[int] = set()
        for pending in self._pending:
            walk: dict[int, Pending] = {}
            at: Reference | None = pending
            while isinstance(at, Pending) and id(at) not in walk and id(at) not in followed:
                walk[id(at)] = at
                last, at = at, at.frame.find(at.name)
            if at is None:
                self.problems.add(_leads_nowhere(last))
            elif isinstance(at, Pending) and id(at) in walk:
                self.problems.add(_reads_itself(at))
            else:
                layer = at if isinstance(at, str) else at.layer
                for step in walk.values():
                    step.layer = layer
            followed.update(walk)

    def shape(self, layer: str) -> Shape | None:
        """The shape of a layer's output, None where it has none."""
        for entry in self.written[self._shaped :]:
            self._shapes[entry.name] = self._inferred(entry)
        self._shaped = len(self.written)
        return self._shapes.get(layer)

    def _inferred(self, entry: Written) -> Shape | None:
        if entry.layer is None:
            return None
        inputs = [self.resolve(reference) for reference in entry.references]
        shapes = tuple([self._shapes.get(name) if name else None for name in inputs])
        least, most = type(entry.layer).arity
        counted = least <= len(shapes) and (most is None or len(shapes) <= most)
        if not counted or any(shape is None for shape in shapes):
            return None
        try:
            return entry.layer.infer(shapes).shape  # type: ignore[arg-type]
        except ProblemsFound as found:
            for problem in found.problems:
                path = (problem.field,) if problem.field else ()
                span = problem.span or entry.node.locate(path)
                self.problems.add(replace(problem, span=span, uses=entry.uses))
            return None

    # Problems

    def _add(self, problem: Problem, frame: Frame, about: str | None = None) -> None:
        self.problems.add(replace(problem, uses=frame.uses, layer=about))

    def _reported(self, problem: Problem, frame: Frame) -> Unusable:
        self._add(problem, frame)
        return Unusable()


def _what(kind: str, frame: Frame, name: str | None, entry: _Entry) -> tuple[str, str | None]:
    """An entry in the words of a message, and its full name where it has one."""
    if name is None:
        return f"layer {entry.number}", None
    return f"{kind} `{shortened(frame.prefix + name)}`", frame.prefix + name


def _leads_nowhere(pending: Pending) -> Problem:
    reader = pending.reader
    return Problem(
        "unknown-input",
        f"{reader} reads `{shortened(pending.name)}`, which is no layer",
        pending.frame.near(pending.name, but=reader)
        or "name a layer of this spec, or `input`, the image",
        span=pending.span,
        layer=reader,
        uses=pending.uses,
    )


def _reads_itself(pending: Pending) -> Problem:
    """A circle of layers that are all left out, each for another of them."""
    reader = pending.reader
    return Problem(
        "cycle",
        f"{reader} reads `{shortened(pending.name)}`, which is left out and reads it in turn",
        "change the `inputs` of one of them",
        span=pending.span,
        layer=reader,
        uses=pending.uses,
    )


def _limit() -> int:
    text = os.environ.get(LIMIT_VARIABLE, "")
    return int(text) if text.isdigit() and len(text) < 10 else MAX_LAYERS


def _inputs(definition: BlockDefinition) -> str:
    count = len(definition.block.inputs)
    return f"{count} input{'s' if count != 1 else ''}"


def _shown(value: Value) -> str:
    if isinstance(value, tuple):
        return f"a list of {len(value)}"
    return f"the text `{shortened(value)}`" if isinstance(value, str) else f"`{written(value)}`"


def _plain(node: Node) -> Value:
    if node.items is not None:
        return tuple([_plain(item) for item in node.items])
    value: Value = node.value
    return value


def _unknown_type(kind: Node, what: str) -> Problem:
    known = layer_types()
    span = kind.span
    if not isinstance(kind.value, str):
        message = f"`type` of {what} must be the name of a layer type, not {shown(kind)}"
        return Problem("wrong-type", message, f"the types are {listing(known)}", span=span)
    message = f"{what} has the type `{shortened(kind.value)}`, which does not exist"
    help_ = suggest_layer_type(kind.value, known) or f"the types are {listing(known)}"
    return Problem("unknown-layer-type", message, help_, span=span)
