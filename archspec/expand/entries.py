"""The entries of lists of layers, each looked at once however often it is unrolled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from archspec.diagnostics import Problem, shortened
from archspec.expand.frames import Frame
from archspec.expand.scope import (
    UNUSABLE,
    Definition,
    Evaluator,
    Scope,
    as_node,
    dynamic,
    substituted,
    unusable,
)
from archspec.expressions import Unusable, Value, written
from archspec.source import Entry as Keyed
from archspec.source import Node
from archspec.spec.blocks import ENTRY_KEYS
from archspec.spec.reading import Model, read, shown

Kind = Literal["layer", "block", "group"]


@dataclass(slots=True, eq=False)
class Entry:
    """An entry of a list of layers.

    `body` are its keys without those that repeat it or leave it out, `leaves` the texts in
    there that expressions are filled into. `name` is None where there is none, or where an
    expression gives it. `number` counts the entries of its list.
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
    leaves: list[Node]
    _read: dict[tuple[Any, ...], tuple[Any, Node]] = field(default_factory=dict)

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
        for leaf in self.leaves:
            try:
                values.append(scope.evaluator.value(leaf, scope, frame.uses))
            except Unusable:
                values.append(UNUSABLE)
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
                for leaf, value in zip(self.leaves, values, strict=True)
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
    when, repeat, names, rows = (node.get(key) for key in ENTRY_KEYS)
    return Entry(node, number, kind, static, when, repeat, names, rows, body, dynamic(body))


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
        count = evaluator.value(repeat, frame.scope, frame.uses)
        if isinstance(count, bool) or not isinstance(count, int):
            message = f"`repeat` must be a whole number, not {said(count)}"
            raise fail("wrong-type", message, None, repeat)
        if count < 0:
            raise fail("wrong-value", f"`repeat` must be at least 0, not `{count}`", None, repeat)
        bound(count, repeat)
        return [{} for _ in range(count)]
    if names is None or rows is None:
        given, lacking = ("for_each", "in") if rows is None else ("in", "for_each")
        message = f"an entry with `{given}` needs `{lacking}`"
        help_ = "write `for_each: [filters, stride]` and `in: [[64, 1], [128, 2]]`"
        raise fail("missing-key", message, help_, entry.node)
    words = _loop_names(names, fail)
    table = evaluator.value(rows, frame.scope, frame.uses)
    if not isinstance(table, tuple):
        raise fail("wrong-type", f"`in` must be a list, not {said(table)}", None, rows)
    bound(len(table), rows)
    if isinstance(words, str):
        return [{words: row} for row in table]
    for place, row in enumerate(table):
        if not isinstance(row, tuple) or len(row) != len(words):
            wanted = f"a row of {len(words)} values ({', '.join(words)})"
            given = f"a row of {len(row)}" if isinstance(row, tuple) else said(row)
            message = f"row {place + 1} of `in` must be {wanted}, not {given}"
            where = rows.items[place] if rows.items else rows
            raise fail("wrong-value", message, None, where)
    return [dict(zip(words, row, strict=True)) for row in table]


def _loop_names(node: Node, fail: Callable[..., Unusable]) -> list[str] | str:
    """The names of `for_each`: several for a row's values, or one for the whole of it."""
    items = node.items if node.items is not None else [node]
    for item in items:
        if node.broken or item.broken:
            raise Unusable
        if not isinstance(item.value, str) or not item.value.isidentifier():
            message = f"`for_each` takes names for the values of a row, not {shown(item)}"
            raise fail("wrong-value", message, "write `for_each: [filters, stride]`", item)
    words = [item.value for item in items]
    return words if node.items is not None else str(words[0])


def said(value: Value) -> str:
    """A value as it stands in messages."""
    if isinstance(value, tuple):
        return f"a list of {len(value)}"
    return f"the text `{shortened(value)}`" if isinstance(value, str) else f"`{written(value)}`"
