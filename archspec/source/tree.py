"""Values with their places: what a parsed spec file consists of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from archspec.diagnostics import Problem, SourceText, Span

MAX_DEPTH = 64
MAX_VALUES = 1_000_000


@dataclass(slots=True)
class Entry:
    """One `key: value` of a mapping, and where the key stands."""

    key_span: Span
    value: Node


@dataclass(slots=True)
class Node:
    """A value with its place: a scalar, a list of nodes, or a mapping of entries.

    `size` counts the values below and including this one and `depth` the levels below it,
    aliases expanded. A value is `broken` when a problem with it is known already (a tag, a
    number that is too large, a variable that does not exist): what else seems wrong with it
    would only follow from that.
    """

    span: Span
    value: Any = None
    items: list[Node] | None = None
    entries: dict[str, Entry] | None = None
    size: int = 1
    depth: int = 0
    broken: bool = False

    def get(self, key: str) -> Node | None:
        """The value under `key`, or None where there is none."""
        entry = (self.entries or {}).get(key)
        return entry.value if entry else None

    def data(self) -> Any:
        """The value as plain Python: dict, list, str, int, float, bool or None."""
        if self.entries is not None:
            return {key: entry.value.data() for key, entry in self.entries.items()}
        if self.items is not None:
            return [item.data() for item in self.items]
        return self.value

    def scalars(self) -> Iterator[Node]:
        """Every scalar below this node, in the order of the text."""
        stack = [self]
        while stack:
            node = stack.pop()
            if node.entries is not None:
                stack.extend(entry.value for entry in reversed(node.entries.values()))
            elif node.items is not None:
                stack.extend(reversed(node.items))
            else:
                yield node

    def locate(self, path: tuple[str | int, ...], *, key: bool = False) -> Span:
        """Where the value at `path` stands, or its key; the nearest parent if it is absent."""
        node = self
        for depth, step in enumerate(path):
            if isinstance(step, int) and node.items is not None and step < len(node.items):
                node = node.items[step]
            elif isinstance(step, str) and node.entries is not None and step in node.entries:
                entry = node.entries[step]
                if key and depth == len(path) - 1:
                    return entry.key_span
                node = entry.value
            else:
                break
        return node.span


def made(data: Any, span: Span) -> Node:
    """Plain Python, without cycles, as a value that stands at a place as a whole."""
    if isinstance(data, dict):
        entries = {key: Entry(span, made(value, span)) for key, value in data.items()}
        return Node(span, entries=entries)
    if isinstance(data, (list, tuple)):
        return Node(span, items=[made(value, span) for value in data])
    return Node(span, data)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed spec file: its text and its root value.

    `problems` are those found in the text that leave a tree to look for more in.
    """

    source: SourceText
    root: Node
    problems: tuple[Problem, ...] = ()

    @property
    def file(self) -> str:
        """The file's name as the user gave it."""
        return self.source.name
