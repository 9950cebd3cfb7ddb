"""What a variant changes in the layers that it extends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from archspec.diagnostics import Problem, did_you_mean, listing, shortened
from archspec.source import Entry, Node, Problems
from archspec.spec.reading import shown

Verb = Literal["set", "remove", "replace", "before", "after"]

# The key that each verb has beside its own, which holds entries; `set` has the fields.
_COMPANIONS: dict[Verb, str | None] = {
    "set": None,
    "remove": None,
    "replace": "with",
    "before": "insert",
    "after": "insert",
}
_FORMS = (
    "write `{set: conv1, stride: 2}`, `{remove: norm1}`, `{replace: conv1, with: {...}}`, "
    "`{after: conv1, insert: {...}}` or `{before: conv1, insert: {...}}`"
)


@dataclass(slots=True, eq=False)
class Change:
    """One change: what is done to the entry called `target`, a name dotted into blocks.

    `order` is its place among all changes: what a change brings in, only later ones change.
    """

    order: int
    verb: Verb
    target: str
    place: Node
    node: Node
    entries: tuple[Node, ...] = ()
    used: bool = False

    @property
    def fields(self) -> dict[str, Entry]:
        """What `set` sets."""
        return {key: e for key, e in (self.node.entries or {}).items() if key != "set"}


@dataclass(slots=True)
class Changes:
    """The changes by the name of what they change."""

    by_target: dict[str, list[Change]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.by_target)

    def of(self, name: str, first: int) -> list[Change]:
        """The changes from number `first` on of the entry called `name`."""
        self.names.add(name)
        return [change for change in self.by_target.get(name, ()) if change.order >= first]

    def unused(self) -> Iterable[Problem]:
        """A problem for every change of something that is not there."""
        for changes in self.by_target.values():
            for change in changes:
                if not change.used:
                    yield Problem(
                        "unknown-change",
                        f"there is no `{shortened(change.target)}` to {_WORDS[change.verb]}",
                        "it is not there yet, or not any more: changes are made one after the other"
                        if change.target in self.names
                        else did_you_mean(change.target, self.names)
                        or "`archspec expand` lists the names",
                        span=change.place.span,
                    )


_WORDS: dict[Verb, str] = {
    "set": "set the fields of",
    "remove": "remove",
    "replace": "replace",
    "before": "insert something before",
    "after": "insert something after",
}


def changes_of(nodes: Iterable[Node], problems: Problems) -> Changes:
    """The changes that a spec lists, as far as they can be read."""
    found = Changes()
    for order, node in enumerate(nodes):
        change = _change(order, node, problems)
        if change is not None:
            found.by_target.setdefault(change.target, []).append(change)
    return found


def _change(order: int, node: Node, problems: Problems) -> Change | None:
    if node.broken:
        return None
    verbs = [verb for verb in _COMPANIONS if verb in (node.entries or {})]
    if len(verbs) != 1:
        what = "a change is one of `set`, `remove`, `replace`, `before` and `after`"
        found = f", not {shown(node)}" if node.entries is None else ""
        if verbs:
            found = f", not {listing(verbs)} at once"
        problems.add(Problem("wrong-value", what + found, _FORMS, span=node.span))
        return None
    (verb,) = verbs
    place = node.get(verb)
    if place is None or place.broken:
        return None
    if not isinstance(place.value, str):
        message = f"`{verb}` takes the name of a layer or a block, not {shown(place)}"
        problems.add(Problem("wrong-type", message, _FORMS, span=place.span))
        return None
    change = Change(order, verb, place.value, place, node)
    if verb == "set":
        return _set(change, problems)
    return _with_entries(change, _COMPANIONS[verb], problems)


def _set(change: Change, problems: Problems) -> Change | None:
    if not change.fields:
        message = f"`set: {shortened(change.target)}` sets nothing"
        help_ = "write the fields beside it: `{set: conv1, stride: 2}`"
        problems.add(Problem("missing-key", message, help_, span=change.node.span))
        return None
    if "name" in change.fields:
        message = "a change cannot give another name: others read the layer by it"
        help_ = "use `replace` for another layer"
        span = change.fields["name"].key_span
        problems.add(Problem("wrong-value", message, help_, span=span))
        return None
    return change


def _with_entries(change: Change, companion: str | None, problems: Problems) -> Change | None:
    for key, entry in (change.node.entries or {}).items():
        if key not in (change.verb, companion):
            message = f"a change with `{change.verb}` has no key `{shortened(key)}`"
            span = entry.key_span
            problems.add(Problem("unknown-key", message, _FORMS, span=span))
    if companion is None:
        return change
    node = change.node.get(companion)
    if node is None:
        message = f"a change with `{change.verb}` needs the key `{companion}`"
        problems.add(Problem("missing-key", message, _FORMS, span=change.node.span))
        return None
    if node.entries is None and node.items is None:
        if not node.broken:
            message = f"`{companion}` takes a layer or a list of layers, not {shown(node)}"
            problems.add(Problem("wrong-type", message, _FORMS, span=node.span))
        return None
    change.entries = tuple(node.items) if node.items is not None else (node,)
    return change


def with_fields(node: Node, fields: dict[str, Entry]) -> Node:
    """An entry with other fields; an empty one takes the field away."""
    entries = dict(node.entries or {})
    for key, entry in fields.items():
        value = entry.value
        if value.value is None and value.items is None and value.entries is None:
            entries.pop(key, None)
        else:
            entries[key] = entry
    return replace(node, entries=entries)
