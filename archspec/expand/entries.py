"""The entries of lists of layers, each looked at once however often it is unrolled."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from archspec.diagnostics import Problem, Span, shortened
from archspec.expand.frames import Frame
from archspec.expand.scope import (
    UNUSABLE,
    Definition,
    Evaluator,
    Scope,
    as_node,
    dynamic,
    is_cut,
    substituted,
    unusable,
)
from archspec.expressions import WORDS, Unusable, Value, variable_in, written
from archspec.source import Entry as Keyed
from archspec.source import Node
from archspec.spec.blocks import ENTRY_KEYS
from archspec.spec.fields import NAME_PATTERN
from archspec.spec.reading import Model, read, shown

Kind = Literal["layer", "block", "group"]
# The number of the round, in whatever is repeated.
INDEX = "index"
# The keys of a use of a block that are no arguments; the last two are there by mistake.
OWN_KEYS = ("name", "block", "inputs", "type", "layers")


@dataclass(frozen=True, slots=True)
class Argument:
    """What is given to a parameter of a block: where, what, and the variable that it is."""

    key_span: Span
    node: Node
    variable: str | None


@dataclass(slots=True, eq=False)
class Entry:
    """An entry of a list of layers.

    `body` are its keys without those that repeat it or leave it out, `leaves` the texts in
    there that expressions are filled into, each with the name of the variable that most of them
    are. The parameters of a block are not in the body; they are its `arguments`. `condition` is
    the variable that `when` is, if it is one. `ignore` are the diagnostics that are meant in it.
    `name` is None where there is none, or where an expression gives it. `number` counts the entries
    of its list.
    """

    node: Node
    number: int
    kind: Kind
    name: str | None
    when: Node | None
    repeat: Node | None
    names: Node | None
    rows: Node | None
    body: Node
    leaves: list[tuple[Node, str | None]]
    arguments: dict[str, Argument]
    condition: str | None
    ignore: Node | None
    _read: dict[tuple[Any, ...], tuple[Any, Node]] = field(default_factory=dict)

    @property
    def cut(self) -> bool:
        """Whether a comma has ended an argument inside an expression.

        What stands behind it is there as arguments that nobody wrote.
        """
        return any(
            is_cut(leaf) for argument in self.arguments.values() for leaf in dynamic(argument.node)
        )

    @property
    def content(self) -> tuple[Any, ...] | None:
        """What it says besides its name and inputs, and whether it has any of these.

        Layers with the same content differ in nothing else. None where something is wrong with
        it or depends on names.
        """
        if self.leaves:
            return None
        found: list[Any] = []
        for key, keyed in (self.body.entries or {}).items():
            value = None if key in ("name", "inputs") else _frozen(keyed.value)
            if keyed.value.broken or value is _BROKEN:
                return None
            found.append((key, value))
        return tuple(found)

    @property
    def repeated(self) -> bool:
        """Whether it says how often it is there."""
        return self.repeat is not None or self.names is not None or self.rows is not None

    def read(
        self,
        model: type[Model],
        scope: Scope,
        frame: Frame,
        name: str | None,
        keys: Iterable[str] | None = None,
    ) -> tuple[Model | None, Node]:
        """Its body as a model, and the body with its expressions filled in.

        `keys` are those that belong to the model, where that is not all of them. What is
        unrolled again with the same values is not validated again.
        """
        values: list[Value | Any] = []
        for leaf, name_in_it in self.leaves:
            value: Any = scope.known(name_in_it) if name_in_it is not None else None
            if value is None:
                try:
                    value = scope.evaluator.value(leaf, scope, frame.uses)
                except Unusable:
                    value = UNUSABLE
            values.append(value)
        key = (model, *[(type(v), written(v) if type(v) is tuple else v) for v in values])
        known = self._read.get(key)
        if known is None:
            known = self._read[key] = self._validated(model, values, frame, name, scope, keys)
        return known

    def _validated(
        self,
        model: type[Model],
        values: list[Any],
        frame: Frame,
        name: str | None,
        scope: Scope,
        keys: Iterable[str] | None,
    ) -> tuple[Model | None, Node]:
        body = self.body
        if values:
            filled = {
                id(leaf): unusable(leaf) if value is UNUSABLE else as_node(value, leaf.span)
                for (leaf, _), value in zip(self.leaves, values, strict=True)
            }
            body = substituted(body, filled)
        part = body
        if keys is not None:
            own = {key: (body.entries or {})[key] for key in keys if key in (body.entries or {})}
            part = replace(body, entries=own)
        found, wrong = read(model, part, self.words(frame, name))
        full = frame.prefix + name if name else None
        scope.evaluator.problems.extend(
            replace(problem, uses=frame.uses, layer=full) for problem in wrong
        )
        return found, body

    def words(self, frame: Frame, name: str | None) -> str:
        """The entry in a message: layer `conv1`, group `stage2`, layer 3."""
        if name is None:
            return f"layer {self.number}"
        kind = "group" if self.kind == "group" else "layer"
        return f"{kind} `{shortened(frame.prefix + name)}`"


def looked_at(node: Node, number: int) -> Entry | Problem | None:
    """What an entry is; a problem, or None for a known one, where it is no mapping."""
    if node.entries is None:
        if node.broken:
            return None
        message = f"layer {number} must be a mapping, not {shown(node)}"
        help_ = "write `{name: conv1, type: conv2d, ...}`"
        return Problem("wrong-type", message, help_, span=node.span)
    body = node
    if not node.entries.keys().isdisjoint(ENTRY_KEYS):
        body = replace(node, entries={k: e for k, e in node.entries.items() if k not in ENTRY_KEYS})
    section = node.entries.get("layers")
    kind: Kind = "block" if "block" in node.entries else "group" if section else "layer"
    if kind == "group" and section is not None and section.value.items:
        # A group's own layers are filled in one by one; one stands for all of them here.
        some = replace(section.value, items=[Node(section.value.span, True)])
        body = replace(
            body, entries={**(body.entries or {}), "layers": Keyed(section.key_span, some)}
        )
    name = node.get("name")
    word = name.value if name is not None and not name.broken else None
    static = word if isinstance(word, str) and "$" not in word else None
    when, repeat, names, rows, ignore = (node.get(key) for key in ENTRY_KEYS)
    arguments: dict[str, Argument] = {}
    if kind == "block":
        given_keys = body.entries or {}
        own = {key: keyed for key, keyed in given_keys.items() if key in OWN_KEYS}
        arguments = {
            key: Argument(keyed.key_span, keyed.value, _variable(keyed.value))
            for key, keyed in given_keys.items()
            if key not in own
        }
        body = replace(body, entries=own)
    leaves = [(leaf, _variable(leaf)) for leaf in dynamic(body)]
    condition = _variable(when) if when is not None else None
    found = (when, repeat, names, rows, body, leaves, arguments, condition, ignore)
    return Entry(node, number, kind, static, *found)


_BROKEN = object()


def _frozen(node: Node) -> object:
    """A value that can be compared, and differs from values of other types; or `_BROKEN`."""
    if node.broken:
        return _BROKEN
    if node.entries is None and node.items is None:
        return (type(node.value), node.value)
    inside = (
        [(key, _frozen(entry.value)) for key, entry in node.entries.items()]
        if node.entries is not None
        else [(None, _frozen(item)) for item in node.items or ()]
    )
    return _BROKEN if any(value is _BROKEN for _, value in inside) else tuple(inside)


def _variable(node: Node) -> str | None:
    return variable_in(node.value) if isinstance(node.value, str) else None


def rounds(
    entry: Entry, frame: Frame, evaluator: Evaluator, bound: Callable[[int, Node], None]
) -> list[dict[str, Definition]]:
    """The names of each round of an entry that is repeated, and their values.

    `bound` is told how many there will be. Raises Unusable where that is reported.
    """

    def fail(rule: str, message: str, help: str | None, node: Node) -> Unusable:
        evaluator.problems.add(Problem(rule, message, help, span=node.span, uses=frame.uses))
        return Unusable()

    repeat, names, rows = entry.repeat, entry.names, entry.rows
    if repeat is not None:
        if names is not None or rows is not None:
            message = "an entry has either `repeat` or `for_each`, not both"
            help_ = "put one of the two around the other as a group"
            raise fail("wrong-value", message, help_, repeat)
        count = given(repeat, frame.scope, frame, "`repeat` must be a whole number")
        if isinstance(count, bool) or not isinstance(count, int):
            message = f"`repeat` must be a whole number, not {said(count)}"
            raise fail("wrong-type", message, None, repeat)
        if count < 0:
            raise fail("wrong-value", f"`repeat` must be at least 0, not `{count}`", None, repeat)
        bound(count, repeat)
        return [{} for _ in range(count)]
    if names is None or rows is None:
        there, lacking = ("for_each", "in") if rows is None else ("in", "for_each")
        message = f"an entry with `{there}` needs `{lacking}`"
        help_ = "write `for_each: [filters, stride]` and `in: [[64, 1], [128, 2]]`"
        raise fail("missing-key", message, help_, entry.node)
    words = _loop_names(names, fail)
    table = given(rows, frame.scope, frame, "`in` must be a list")
    if not isinstance(table, tuple):
        raise fail("wrong-type", f"`in` must be a list, not {said(table)}", None, rows)
    bound(len(table), rows)
    if isinstance(words, str):
        return [{words: row} for row in table]
    found: list[dict[str, Definition]] = []
    for place, row in enumerate(table):
        if isinstance(row, tuple) and len(row) == len(words):
            found.append(dict(zip(words, row, strict=True)))
            continue
        wanted = f"a row of {len(words)} values ({', '.join(words)})"
        there = f"a row of {len(row)}" if isinstance(row, tuple) else said(row)
        message = f"row {place + 1} of `in` must be {wanted}, not {there}"
        fail("wrong-value", message, None, rows.items[place] if rows.items else rows)
    if len(found) < len(table):
        raise Unusable
    return found


def loop_names(entry: Entry) -> dict[str, Definition]:
    """The names of a round whose values nobody knows."""
    names = entry.names
    items = (names.items if names.items is not None else [names]) if names is not None else []
    return {item.value: UNUSABLE for item in items if isinstance(item.value, str)}


def given(node: Node, scope: Scope, frame: Frame, must: str) -> Value:
    """What a key of an entry is worth; `must` says in a message what it takes."""
    if node.value is None and node.items is None and not node.broken:
        message = f"{must}, not {shown(node)}"
        problem = Problem("wrong-type", message, span=node.span, uses=frame.uses)
        scope.evaluator.problems.add(problem)
        raise Unusable
    return scope.evaluator.value(node, scope, frame.uses)


def _loop_names(node: Node, fail: Callable[..., Unusable]) -> list[str] | str:
    """The names of `for_each`: several for a row's values, or one for the whole of it."""
    if node.broken:
        raise Unusable
    names: list[str] = []
    help_ = "write `for_each: [filters, stride]`"
    for item in node.items if node.items is not None else [node]:
        name = item.value
        if item.broken:
            raise Unusable
        if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
            message = f"`for_each` takes names for the values of a row, not {shown(item)}"
            raise fail("wrong-value", message, help_, item)
        if name in (*WORDS, INDEX):
            message = f"`for_each` cannot use the name `{name}`: it has a meaning of its own"
            raise fail("invalid-name", message, None, item)
        if name in names:
            raise fail("wrong-value", f"`for_each` has the name `{name}` twice", None, item)
        names.append(name)
    if not names:
        message = "`for_each` takes names for the values of a row, not an empty list"
        raise fail("wrong-value", message, help_, node)
    return names if node.items is not None else names[0]


def said(value: Value) -> str:
    """A value as it stands in messages."""
    if isinstance(value, tuple):
        return f"a list of {len(value)}"
    return f"the text `{shortened(value)}`" if isinstance(value, str) else f"`{written(value)}`"
