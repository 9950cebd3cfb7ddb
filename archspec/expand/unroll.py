"""From entries as written to layers: blocks, groups and repetitions unrolled, names resolved."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field

from archspec.diagnostics import Problem, Span, listing, shortened
from archspec.expand.arguments import arguments
from archspec.expand.blocks import BlockDefinition, Module
from archspec.expand.changes import Changes, with_fields
from archspec.expand.entries import (
    INDEX,
    Entry,
    given,
    looked_at,
    loop_names,
    rounds,
    said,
)
from archspec.expand.frames import (
    Expected,
    Frame,
    Instance,
    Pending,
    Reference,
    Target,
    Written,
    handed_on,
)
from archspec.expand.scope import UNUSABLE, Definition, Evaluator, Scope
from archspec.expand.unrolled import Unrolled
from archspec.expressions import Unusable
from archspec.layers import layer_type, layer_type_names
from archspec.layers.base import Layer, Shape
from archspec.source import Entry as Keyed
from archspec.source import Node, Problems
from archspec.spec.blocks import BlockUse, Group
from archspec.spec.claims import NETWORK, TRAINING
from archspec.spec.fields import INPUT, MAX_LAYER_NAME, LayerName, SpecModel, is_layer_name
from archspec.spec.foreign_names import suggest_layer_type
from archspec.spec.ignore import IgnoringEntry
from archspec.spec.network import Defaults
from archspec.spec.reading import read, shown

# A bound on what a few lines can unroll to.
MAX_LAYERS = 100_000
LIMIT_VARIABLE = "ARCHSPEC_MAX_LAYERS"
MAX_LEVELS = 40
# Words that a claim uses for something that is no layer.
RESERVED = frozenset((INPUT, NETWORK, TRAINING))


class _AnyLayer(SpecModel):
    """The keys of a layer whose type is missing or unknown."""

    name: LayerName
    type: Any
    inputs: Annotated[tuple[LayerName, ...] | None, Field(strict=False)] = None


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
    """Unrolls the entries of one network into `unrolled`.

    Without `values` it looks at blocks whose parameters nobody gives: what depends on them is
    left open, and everything is there once.
    """

    def __init__(
        self,
        problems: Problems,
        defaults: Defaults,
        input_shape: Shape | None,
        changes: Changes,
        *,
        values: bool = True,
    ) -> None:
        self.problems = problems
        self._with_values = values
        self._used: set[int] = set()
        self.evaluator = Evaluator(problems)
        self.changes = changes
        self.unrolled = Unrolled(problems, input_shape)
        self._defaults = {name: getattr(defaults, name) for name in Defaults.model_fields}
        self._entries: dict[int, Entry] = {}
        self._names: dict[str, Span] = {}
        self._wrong: set[str] = set()
        self._circles: set[frozenset[int]] = set()
        self._limit = _limit()
        self._count = 0
        self._complete: dict[int, tuple[Layer, Layer]] = {}
        self._expected: dict[int, tuple[Expected, ...]] = {}
        self._alike: dict[tuple[Any, ...], Layer] = {}

    def network(self, section: Node | None, module: Module) -> Frame:
        """Unroll the network's list of layers."""
        frame = Frame(
            "", module.scope, module, {INPUT: INPUT}, INPUT, self.unrolled.shape, self._wrong
        )
        frame.scope = Scope(self.evaluator, {}, module.scope, frame)
        self._list(frame, (section.items if section else None) or [])
        return frame

    def look_at(self, definition: BlockDefinition) -> None:
        """Report the mistakes in a block that nothing uses, as far as they show without values."""
        inputs = definition.block.inputs
        frame = Frame(
            f"{definition.name}.",
            definition.module.scope,
            definition.module,
            dict.fromkeys(inputs, INPUT),
            INPUT,
            self.unrolled.shape,
            self._wrong,
            blocks=(definition,),
        )
        unknown: dict[str, Definition] = dict.fromkeys(definition.block.parameters, UNUSABLE)
        frame.scope = Scope(self.evaluator, unknown, definition.module.scope, frame)
        self._list(frame, definition.entries)
        self._outputs(definition, frame)

    def uses(self, definition: BlockDefinition) -> bool:
        """Whether a block was unrolled."""
        return id(definition) in self._used

    # Entries, and what a variant changes in them

    def _list(self, frame: Frame, nodes: Iterable[Node]) -> None:
        if not self.changes:
            for number, node in enumerate(nodes, 1):
                self._entry(frame, node, number)
            return
        self._steps(frame, [_Step(node, n, frame.first) for n, node in enumerate(nodes, 1)])

    def _steps(self, frame: Frame, steps: list[_Step]) -> None:
        """Unroll entries one after another, and what changes put around each of them."""
        waiting = steps[::-1]  # no recursion: changes may change what changes bring in
        first = frame.first
        while waiting:
            step = waiting.pop()
            frame.first = step.first  # for what stands inside of it, too
            if step.stands_for is not None:
                frame.targets.setdefault(step.stands_for, frame.previous)
                continue
            entry = self._looked_at(step.node, step.number)
            if entry is not None and entry.name is not None and not step.changed:
                waiting += self._changed(frame, entry.name, step)[::-1]
            else:
                self._entry(frame, step.node, step.number)
        frame.first = first

    def _entry(self, frame: Frame, node: Node, number: int) -> None:
        """Unroll one entry that nothing changes any more."""
        self._bound(1, node)
        entry = self._looked_at(node, number)
        if entry is None:
            self._missing(frame, node, f"layer {number}")
        else:
            self._repeated(frame, entry)

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
                out = Keyed(change.place.span, Node(change.place.span, False))
                node = with_fields(node, {"when": out})
                break
            else:
                handed_over = _Step(node, step.number, step.first, stands_for=name)
                return [*before, *entries, handed_over, *behind]
        return [*before, _Step(node, step.number, step.first, changed=True), *behind]

    def _looked_at(self, node: Node, number: int) -> Entry | None:
        """What is known of an entry; None where it is no mapping."""
        known = self._entries.get(id(node))
        if known is None:
            found = looked_at(node, number)
            if not isinstance(found, Entry):
                self.problems.extend([found] if found else [])
                return None
            known = self._entries[id(node)] = found
        return known

    def _bound(self, count: int, node: Node) -> None:
        """Count entries before they are unrolled; ends the work at the limit."""
        self._count += count
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

    # Repetition

    def _repeated(self, frame: Frame, entry: Entry) -> None:
        """Unroll an entry as often as it says."""
        if not entry.repeated:
            self._single(frame, entry, frame.scope, entry.name, None)
            return
        try:
            every = rounds(entry, frame, self.evaluator, self._bound)
        except Unusable:
            if self._with_values:
                self._missing(frame, entry.node, entry.name or f"layer {entry.number}")
                return
            every = [loop_names(entry)]
        before: Target | None = None
        for number, names in enumerate(every, 1):
            scope = Scope(self.evaluator, {INDEX: number, **names}, frame.scope, frame)
            before = self._round(frame, entry, scope, number, before)
        if entry.name is None:
            return
        if before is None:  # no round at all: the entry is left out
            before = frame.previous = self._references(frame, entry, frame.scope, entry.name)[0]
        if self._taken(frame, entry.name, entry.node.locate(("name",))):
            frame.targets[entry.name] = before

    def _round(
        self, frame: Frame, entry: Entry, scope: Scope, number: int, before: Target | None
    ) -> Target:
        """Unroll one round of a repeated entry. Returns what the next one reads."""
        if entry.name is None:
            return self._single(frame, entry, scope, None, before)
        name = f"{entry.name}{number}"
        if not self.changes:
            return self._single(frame, entry, scope, name, before)
        for step in self._changed(frame, name, _Step(entry.node, entry.number, frame.first)):
            changed = self._looked_at(step.node, step.number) if step.changed else None
            if changed is not None:
                self._single(frame, changed, scope, name, before)
            else:
                self._steps(frame, [step])
        # What is inserted behind a round, or in its place, stands between it and the next one.
        found = frame.targets.get(name, frame.previous)
        return found if handed_on(found) == frame.previous else frame.previous

    def _single(
        self,
        frame: Frame,
        entry: Entry,
        scope: Scope,
        name: str | None,
        before: Target | None,
    ) -> Target:
        """Unroll an entry once, as `name`. Returns what the name then stands for.

        `before` is the round before this one.
        """
        self.evaluator.place = entry.node.span
        self.evaluator.spend(entry.body.size)
        try:
            present = entry.when is None or self._present(entry, entry.when, scope, frame)
        except Unusable:
            if self._with_values:
                return self._missing(frame, entry.node, name or f"layer {entry.number}")
            present = True
        if not present:
            return self._left_out(frame, entry, scope, name, before)
        if entry.kind == "block":
            return self._use(frame, entry, scope, name, before)
        if entry.kind == "group":
            return self._group(frame, entry, scope, name, before)
        return self._layer(frame, entry, scope, name, before)

    def _present(self, entry: Entry, when: Node, scope: Scope, frame: Frame) -> bool:
        value = scope.known(entry.condition) if entry.condition is not None else None
        if value is None:
            value = given(when, scope, frame, "`when` must be true or false")
        if not isinstance(value, bool):
            message = f"`when` must be true or false, not {said(value)}"
            help_ = "compare: `when: $(stride > 1)`"
            self._add(Problem("wrong-type", message, help_, span=when.span), frame)
            raise Unusable
        return value

    def _left_out(
        self, frame: Frame, entry: Entry, scope: Scope, name: str | None, before: Target | None
    ) -> Reference:
        """An entry that is not there hands on what it would have read."""
        node = entry.node.get("name")
        if name is None and node is not None:
            try:
                value = self.evaluator.value(node, scope, frame.uses)
                name = value if isinstance(value, str) else None
            except Unusable:
                pass
        found = self._references(frame, entry, scope, name or f"layer {entry.number}", before)[0]
        if name is not None and self._taken(frame, name, entry.node.locate(("name",))):
            frame.targets[name] = found
        frame.previous = found
        return found

    # What an entry reads

    def _references(
        self,
        frame: Frame,
        entry: Entry,
        scope: Scope,
        reader: str,
        before: Target | None = None,
    ) -> tuple[Reference, ...]:
        """What an entry that is left out would have read."""
        inputs = entry.node.get("inputs")
        if inputs is None or not inputs.items:
            return (frame.previous,)
        filled = self.evaluator.fill(inputs, scope)
        names = [
            item.value
            for item in filled.items or []
            if isinstance(item.value, str) and not item.broken
        ]
        found = self._named(frame, names, inputs, frame.prefix + reader, before)
        return found or (frame.previous,)

    def _named(
        self,
        frame: Frame,
        names: Sequence[str],
        inputs: Node | None,
        reader: str,
        before: Target | None,
    ) -> tuple[Reference, ...]:
        """The references of names; from the second round on, the round before comes first."""
        found: list[Reference] = []
        for place, name in enumerate(names):
            span = inputs.locate((place,)) if inputs is not None else Span(1, 1, 1, 1)
            pending = Pending(frame, name, reader, span, frame.uses)
            self.unrolled.pending.append(pending)
            found.append(pending)
        if before is not None:
            outputs = before.outputs if isinstance(before, Instance) else (before,)
            found[: len(outputs)] = outputs[: len(found)]
        return tuple(found)

    # Layers

    def _layer(
        self, frame: Frame, entry: Entry, scope: Scope, name: str | None, before: Target | None
    ) -> Reference:
        layer, body = self._read(frame, entry, scope, name)
        own = self._free(frame, body, name)
        if own is None or layer is None:
            return self._missing(frame, entry.node, own or f"layer {entry.number}", taken=True)
        full = frame.prefix + own
        references: tuple[Reference, ...] = (frame.previous,)
        if layer.inputs is not None:
            inputs = body.get("inputs")
            names = [item.value for item in (inputs.items if inputs else None) or ()]
            references = self._named(frame, names, inputs, full, before)
        layer = self._with_defaults(layer)
        self.unrolled.layers.append(Written(body, full, layer, references, frame.uses))
        for expected in self._ignored(frame, entry, scope, name):
            expected.layers.append(full)
        frame.targets[own] = frame.previous = full
        return full

    def _ignored(
        self, frame: Frame, entry: Entry, scope: Scope, name: str | None
    ) -> tuple[Expected, ...]:
        """What an entry and those around it expect to be told."""
        node = entry.ignore
        if node is None:
            return frame.ignored
        known = self._expected.get(id(node))
        if known is None:
            filled = self.evaluator.fill(node, scope)
            own = Node(node.span, entries={"ignore": Keyed(node.span, filled)})
            found, wrong = read(IgnoringEntry, own, entry.words(frame, name))
            self.problems.extend(replace(problem, uses=frame.uses) for problem in wrong)
            known = tuple(
                Expected(ignore, node.locate((place,)))
                for place, ignore in enumerate(found.ignore if found else ())
            )
            self._expected[id(node)] = known
            self.unrolled.expected += known
        return (*frame.ignored, *known)

    def _read(
        self, frame: Frame, entry: Entry, scope: Scope, name: str | None
    ) -> tuple[Layer | None, Node]:
        """The layer that an entry describes, None where it is wrong, and its body filled in.

        A layer that differs from one read before in nothing but its name and inputs is that
        one: a long list has few that differ in more, and validating takes the most time.
        """
        content = entry.content
        if content is not None:
            known = self._alike.get(content)
            if known is not None and _names_are_valid(entry.body):
                return known, entry.body
        model = layer_type(self._type(entry.node.get("type"), scope))
        if model is None:
            return None, self._typeless(entry, scope, frame, name)
        layer, body = entry.read(model, scope, frame, name)
        if content is not None and layer is not None:
            self._alike[content] = layer
        return layer, body

    def _with_defaults(self, layer: Layer) -> Layer:
        """The layer with the network's defaults for the fields that it leaves open."""
        known = self._complete.get(id(layer))
        if known is None:
            update = {
                field: value
                for field, value in self._defaults.items()
                if field in type(layer).model_fields and getattr(layer, field) is None
            }
            complete = layer.model_copy(update=update) if update else layer
            known = self._complete[id(layer)] = layer, complete
        return known[1]

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

    def _typeless(self, entry: Entry, scope: Scope, frame: Frame, name: str | None) -> Node:
        """Check what can be checked of a layer whose type is missing or unknown."""
        _, body = entry.read(_AnyLayer, scope, frame, name, _AnyLayer.model_fields)
        kind = body.get("type")
        if kind is not None and not kind.broken:
            problem = _unknown_type(kind, entry.words(frame, name))
            self._add(problem, frame, frame.prefix + name if name else None)
        return body

    def _missing(self, frame: Frame, node: Node, name: str, *, taken: bool = False) -> str:
        """Something is wrong with an entry; what reads it is not to be called wrong."""
        if not taken and name in frame.targets:
            name = f"{name} of line {node.span.line}"
        full = frame.prefix + name
        self._wrong.add(full)
        self.unrolled.layers.append(Written(node, full, None, (), frame.uses))
        frame.targets[name] = frame.previous = full
        return full

    def _free(self, frame: Frame, body: Node, name: str | None) -> str | None:
        """The name of an entry, or None where it has none of its own.

        `name` is that of the round where the entry is repeated.
        """
        node = body.get("name")
        if node is None or node.broken or not isinstance(node.value, str):
            return None
        name = name or node.value
        if not self._taken(frame, name, node.span):
            return None
        full = frame.prefix + name
        if len(full) > MAX_LAYER_NAME:
            message = f"the full name of `{shortened(name)}` is longer than {MAX_LAYER_NAME} "
            message += "characters"
            help_ = "give the blocks around it shorter names"
            self._add(Problem("invalid-name", message, help_, span=node.span), frame, full)
            return None
        return name

    def _taken(self, frame: Frame, name: str, span: Span) -> bool:
        """Take a name; reports one that cannot be taken, and returns False."""
        full = frame.prefix + name
        if name in RESERVED or name in frame.inputs:
            message = f"a layer cannot be called `{name}`: the word has a meaning of its own"
            help_ = f"choose another name, such as `{name}_layer`"
            self._add(Problem("invalid-name", message, help_, span=span), frame)
            return False
        first = self._names.get(full)
        if first is not None:
            place = f"on line {first.line}"
            if first.source is not span.source and first.source is not None:
                place += f" of {first.source.name}"
            message = f"a second layer is called `{shortened(name)}`; the first is {place}"
            help_ = "give each layer a name of its own"
            self._add(Problem("duplicate-layer", message, help_, span=span), frame, full)
            return False
        self._names[full] = span
        return True

    # Blocks and groups

    def _group(
        self, frame: Frame, entry: Entry, scope: Scope, name: str | None, before: Target | None
    ) -> Target:
        section = entry.node.get("layers")
        group, body = entry.read(Group, scope, frame, name)
        own = self._free(frame, body, name)
        usable = group is not None and section is not None and self._deeper(frame, section)
        if group is None or own is None or section is None or not usable:
            return self._missing(frame, entry.node, own or f"layer {entry.number}", taken=True)
        full = frame.prefix + own
        references: tuple[Reference, ...] = (frame.previous,)
        if group.inputs is not None:
            references = self._named(frame, group.inputs, body.get("inputs"), full, before)
        if len(references) != 1:
            message = f"{full}: a group reads 1 input, not {len(references)}"
            help_ = "its layers may read any layer that stands beside it by name"
            span = body.locate(("inputs",))
            self._add(Problem("wrong-input-count", message, help_, span=span), frame, full)
            return self._missing(frame, entry.node, own, taken=True)
        inner = Frame(
            f"{full}.",
            scope,
            frame.module,
            {INPUT: references[0]},
            references[0],
            self.unrolled.shape,
            self._wrong,
            outer=frame,
            uses=frame.uses,
            blocks=frame.blocks,
            first=frame.first,
            level=frame.level + 1,
            ignored=self._ignored(frame, entry, scope, name),
        )
        inner.scope = Scope(self.evaluator, {}, scope, inner)
        self._list(inner, section.items or [])
        return self._placed(frame, own, Instance(inner, (inner.previous,)))

    def _placed(self, frame: Frame, name: str, instance: Instance) -> Instance:
        frame.targets[name] = instance
        frame.previous = instance.outputs[0]
        return instance

    def _use(
        self, frame: Frame, entry: Entry, scope: Scope, name: str | None, before: Target | None
    ) -> Target:
        use, body = entry.read(BlockUse, scope, frame, name, BlockUse.model_fields)
        own = self._free(frame, body, name)
        definition = self._definition(frame, body, use)
        if use is None or own is None or definition is None:
            return self._missing(frame, entry.node, own or f"layer {entry.number}", taken=True)
        full = frame.prefix + own
        wanted = definition.block.inputs
        references: tuple[Reference, ...] = (frame.previous,)
        if use.inputs is not None:
            references = self._named(frame, use.inputs, body.get("inputs"), full, before)
        elif isinstance(before, Instance):
            references = before.outputs[: len(wanted)]
        given_to = arguments(frame, entry, scope, definition, full)
        if len(references) != len(wanted):
            reads = f"{len(wanted)} input{'s' if len(wanted) != 1 else ''}"
            message = f"{full}: the block `{definition.name}` reads {reads}, not {len(references)}"
            help_ = f"name them in the block's order: {listing(wanted)}"
            span = body.locate(("inputs",))
            self._add(Problem("wrong-input-count", message, help_, span=span), frame, full)
            given_to = None
        if given_to is None:
            return self._missing(frame, entry.node, own, taken=True)
        self._used.add(id(definition))
        inner = Frame(
            f"{full}.",
            scope,
            definition.module,
            dict(zip(wanted, references, strict=True)),
            references[0],
            self.unrolled.shape,
            self._wrong,
            uses=(body.locate(("block",)), *frame.uses),
            blocks=(*frame.blocks, definition),
            first=frame.first,
            level=frame.level + 1,
            ignored=self._ignored(frame, entry, scope, name),
        )
        inner.scope = Scope(
            self.evaluator, given_to, definition.module.scope, inner, uses=inner.uses
        )
        self._list(inner, definition.entries)
        return self._placed(frame, own, Instance(inner, self._outputs(definition, inner)))

    def _outputs(self, definition: BlockDefinition, inner: Frame) -> tuple[Reference, ...]:
        """What a block hands on: the layers that it names, or its last one."""
        found: list[Reference] = []
        for place, name in enumerate(definition.block.outputs or ()):
            known = inner.find(name)
            if known is None:
                message = f"the block `{definition.name}` hands on `{shortened(name)}`, "
                message += "which is no layer of it"
                help_ = inner.near(name) or "name one of its layers"
                span = definition.node.locate(("outputs", place))
                self._add(Problem("unknown-input", message, help_, span=span), inner)
                known = inner.prefix + name
                inner.missing.add(known)
            found.append(known)
            inner.targets.setdefault(name, known)  # an input is read from outside, too
        return tuple(found) or (inner.previous,)

    def _definition(self, frame: Frame, body: Node, use: BlockUse | None) -> BlockDefinition | None:
        """The block that an entry uses, or None where something is wrong with that."""
        node = body.get("block")
        if use is None or node is None:
            return None
        for other in ("type", "layers"):
            if other in (body.entries or {}):
                message = f"an entry has either `block` or `{other}`, not both"
                span = body.locate((other,), key=True)
                help_ = "remove one of the two"
                self._add(Problem("wrong-value", message, help_, span=span), frame)
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

    def _add(self, problem: Problem, frame: Frame, layer: str | None = None) -> None:
        self.problems.add(replace(problem, uses=frame.uses, layer=layer))


def _limit() -> int:
    text = os.environ.get(LIMIT_VARIABLE, "")
    return int(text) if text.isdigit() and len(text) < 10 else MAX_LAYERS


def _names_are_valid(body: Node) -> bool:
    """Whether an entry's own name and those of its inputs are names."""
    name, inputs = body.get("name"), body.get("inputs")
    if name is None or not is_layer_name(name.value):
        return False
    if inputs is None:
        return True
    items = inputs.items
    return items is not None and all(is_layer_name(item.value) for item in items)


def _unknown_type(kind: Node, what: str) -> Problem:
    known = layer_type_names()
    span = kind.span
    if not isinstance(kind.value, str):
        message = f"`type` of {what} must be the name of a layer type, not {shown(kind)}"
        return Problem("wrong-type", message, f"the types are {listing(known)}", span=span)
    message = f"{what} has the type `{shortened(kind.value)}`, which does not exist"
    help_ = suggest_layer_type(kind.value, known) or f"the types are {listing(known)}"
    return Problem("unknown-layer-type", message, help_, span=span)
