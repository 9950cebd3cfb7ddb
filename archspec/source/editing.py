"""Changes to the text of a spec that leave everything else of it as it stands.

A value is set, a key added, an entry or an item taken away at the places that the parsed
document knows; comments, layout, quotes and line ends elsewhere stay byte for byte what they
are. What cannot be changed so (the value of an alias, an expression, a list that a comment
stands in) is refused with the reason.
"""

from __future__ import annotations

import bisect
import copy
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from archspec.diagnostics import Span
from archspec.source.scalars import resolve
from archspec.source.text import BREAK
from archspec.source.tree import Document, Entry, Node

Path = tuple[str | int, ...]

_NEWLINE = "\n"
# A text that means itself where it stands bare, also between braces.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./*-]*")
_VARIABLE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")
_ALIAS = re.compile(r"\s*:\s*\*[^\s,\[\]{}]+")
_ANCHOR = re.compile(r"&[^\s,\[\]{}]+[ \t]+")
_COLON = re.compile(r"[ \t]*:")
_COMMENT = re.compile(r"\s#")
_COMMA = re.compile(r"\s*,")
_REST_OF_LINE = re.compile(r"[ \t]*,?[ \t]*(#[^\n\r\x85\u2028\u2029]*)?")


class CannotEdit(Exception):
    """Why a text cannot be changed there."""


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """What stands from `start` to `end` of a text is replaced by `text`."""

    start: int
    end: int
    text: str


def applied(text: str, edits: Iterable[Edit]) -> str:
    """The text with edits that do not overlap; raises CannotEdit where they do."""
    parts, last = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start < last:
            raise CannotEdit("two changes meet in one place")
        parts += [text[last : edit.start], edit.text]
        last = edit.end
    return "".join([*parts, text[last:]])


def changed(data: Any, changes: Mapping[Path, Any]) -> Any:
    """What the data of a document (see `Node.data`) are after changes; None removes.

    A section of the document goes with its last entry or item.
    """
    data = copy.deepcopy(data)
    shortened: list[tuple[int, list[Any], Path]] = []
    for path, value in changes.items():
        parent, step = data, path[-1]
        for before in path[:-1]:
            parent = parent.setdefault(before, {}) if isinstance(parent, dict) else parent[before]
        if value is not None:
            parent[step] = copy.deepcopy(value)
        elif isinstance(parent, list) and isinstance(step, int):
            shortened.append((step, parent, path))  # later, when nothing is counted any more
        else:
            del parent[step]
            if not parent and len(path) == 2:
                del data[path[0]]
    for index, items, path in sorted(shortened, key=lambda found: found[0], reverse=True):
        del items[index]
        if not items and len(path) == 2:
            del data[path[0]]
    return data


def written(value: Any) -> str:
    """A value as a spec writes it on one line: ``5.0e-6``, ``[1, 2]``, ``{type: zeros}``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(value)
        return re.sub(r"^(-?\d+)e", r"\1.0e", text).replace("e-0", "e-").replace("e+0", "e+")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(k)}: {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(written(item) for item in value) + "]"
    return _text(value)


def _text(value: str) -> str:
    bare = _PLAIN.fullmatch(value) and isinstance(resolve(value), str)
    if bare or _VARIABLE.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Editor:
    """Finds the edits for changes of one document; `text` is what it was parsed from."""

    text: str
    document: Document

    def edits(self, path: Path, value: Any) -> list[Edit]:
        """The edits that set what stands at `path`, or take it away where `value` is None.

        `path` leads from the root: keys, and numbers of items. Raises CannotEdit with the reason.
        """
        parents = [self.document.root]
        for depth, step in enumerate(path[:-1]):
            found = child(parents[-1], step)
            if found is None:
                if value is None:
                    raise CannotEdit(f"there is no `{_shown(path)}`")
                for key in reversed(path[depth + 1 :]):
                    value = {str(key): value}
                return [self._add(parents[-1], str(step), value)]
            parents.append(found)
        parent, step = parents[-1], path[-1]
        if child(parent, step) is None:
            if value is None or isinstance(step, int) or parent.entries is None:
                raise CannotEdit(f"there is no `{_shown(path)}`")
            return [self._add(parent, step, value)]
        if value is not None:
            return [self._set(parent, step, value)]
        if len(path) == 2 and len(parent.entries or parent.items or ()) == 1:
            return [self._remove(parents[0], path[0])]  # the section goes with its last entry
        return [self._remove(parent, step)]

    # --- places -------------------------------------------------------------------------------

    @cached_property
    def _lines(self) -> list[int]:
        return [0, *(found.end() for found in BREAK.finditer(self.text))]

    def _start(self, span: Span) -> int:
        return self._lines[span.line - 1] + span.column - 1

    def _stop(self, span: Span) -> int:
        if span.end_line > len(self._lines):  # the scanner looks one line past the end
            return len(self.text)
        return self._lines[span.end_line - 1] + span.end_column - 1

    def _end(self, node: Node) -> int:
        """Where the last character of a value ends: a list in block style reaches further."""
        start, stop = self._start(node.span), self._stop(node.span)
        if (node.items is None and node.entries is None) or self._is_flow(node):
            return start + len(self.text[start:stop].rstrip())
        if node.entries is not None:
            last = max(node.entries.values(), key=lambda e: self._start(e.key_span))
            return self._end_of(last)
        items = node.items or []
        if any(self._start(item.span) < start for item in items):
            raise CannotEdit("an item of the list is an alias")
        return max((self._end(item) for item in items), default=stop)

    def _end_of(self, entry: Entry) -> int:
        key_end = self._stop(entry.key_span)
        if self._start(entry.value.span) >= key_end:
            return max(self._end(entry.value), key_end)
        found = _ALIAS.match(self.text, key_end)
        if found is None:
            raise CannotEdit("its value is an alias")
        return found.end()

    def _is_flow(self, node: Node) -> bool:
        return self.text[self._past_anchor(self._start(node.span))] in "[{"

    def _past_anchor(self, offset: int) -> int:
        found = _ANCHOR.match(self.text, offset)
        return found.end() if found else offset

    def _line_of(self, offset: int) -> int:
        """Where the line begins that `offset` is in."""
        return self._lines[bisect.bisect_right(self._lines, offset) - 1]

    def _next_line(self, offset: int) -> int:
        """Where the line ends that `offset` is in, its break included."""
        found = BREAK.search(self.text, offset)
        return found.end() if found else len(self.text)

    # --- changes ------------------------------------------------------------------------------

    def _set(self, parent: Node, step: str | int, value: Any) -> Edit:
        node = child(parent, step)
        assert node is not None  # the caller has looked
        before = self._start(parent.span)
        if parent.entries is not None:
            before = self._stop(parent.entries[str(step)].key_span)
        start, end = self._start(node.span), self._end(node)
        if start < before:
            raise CannotEdit(f"the value of `{step}` is an alias of another")
        if any(isinstance(scalar.value, str) and "$" in scalar.value for scalar in node.scalars()):
            shown = self.text[start:end]
            raise CannotEdit(f"`{step}` is `{shown}`, which other places may use too")
        new = written(value)
        single = node.items is None and node.entries is None
        flow = not single and self._is_flow(node)
        if not single and _COMMENT.search(self.text, start if flow else before, end):
            raise CannotEdit(f"there are comments in the value of `{step}`")
        if single or flow:
            start = self._past_anchor(start)
            return Edit(start, end, new if end > start else f" {new}")
        colon = _COLON.match(self.text, before)
        if colon is None:
            raise CannotEdit(f"the value of `{step}` stands in a list of lists")
        return Edit(colon.end(), end, f" {new}")

    def _add(self, parent: Node, key: str, value: Any) -> Edit:
        if parent.entries is None:
            raise CannotEdit(f"`{key}` has no place there")
        new = f"{_text(key)}: {written(value)}"
        if self._is_flow(parent):
            if not parent.entries:
                brace = self._past_anchor(self._start(parent.span)) + 1
                return Edit(brace, brace, new)
            end = self._end_of(_last(parent))
            return Edit(end, end, f", {new}")
        end = self._end_of(_last(parent))
        indent = " " * (min(e.key_span.column for e in parent.entries.values()) - 1)
        found = BREAK.search(self.text, end)
        if found is not None:
            return Edit(found.end(), found.end(), f"{indent}{new}{found[0]}")
        before = BREAK.search(self.text)
        end = len(self.text)
        return Edit(end, end, f"{before[0] if before else _NEWLINE}{indent}{new}")

    def _remove(self, parent: Node, step: str | int) -> Edit:
        places = self._places(parent)
        number = step if isinstance(step, int) else [*(parent.entries or {})].index(step)
        start, end = places[number]
        if self._is_flow(parent):
            return self._remove_flow(places, number)
        line = self._line_of(start)
        lead = self.text[line:start]
        rest = _REST_OF_LINE.match(self.text, end)
        stop = self._next_line(rest.end() if rest else end)
        if parent.items is not None:
            if not re.fullmatch(r"[ \t]*-[ \t]+", lead):
                raise CannotEdit("the item stands on one line with another list")
            return Edit(line, stop, "")
        if not lead.strip():
            return Edit(line, stop, "")
        if number + 1 == len(places):
            raise CannotEdit(f"`{step}` is all that stands there")
        following = places[number + 1][0]
        if "#" in self.text[stop:following]:
            raise CannotEdit(f"a comment stands between `{step}` and what follows it")
        return Edit(start, following, "")

    def _places(self, parent: Node) -> list[tuple[int, int]]:
        """From where to where each entry or item of a value stands."""
        if parent.entries is not None:
            return [
                (self._start(entry.key_span), self._end_of(entry))
                for entry in parent.entries.values()
            ]
        found = [(self._start(item.span), self._end(item)) for item in parent.items or []]
        if any(start < self._start(parent.span) for start, _ in found):
            raise CannotEdit("an item of the list is an alias")
        return found

    def _remove_flow(self, places: list[tuple[int, int]], number: int) -> Edit:
        """An entry between braces or brackets, with one of the commas beside it."""
        start, end = places[number]
        line, rest = self._line_of(start), _REST_OF_LINE.match(self.text, end)
        assert rest is not None  # it matches the empty text
        alone = not self.text[line:start].strip() and self._next_line(rest.end()) == (
            rest.end() + len(self._break_at(rest.end()))
        )
        last = number + 1 == len(places)
        if alone and (not last or "," in rest[0].split("#")[0]):
            return Edit(line, self._next_line(rest.end()), "")
        if not last:
            following = places[number + 1][0]
            comma = _COMMA.match(self.text, end)
            between = self.text[end:following]
            if "#" not in between and not BREAK.search(between):
                return Edit(start, following, "")
            if comma is None:
                raise CannotEdit("a comment stands before its comma")
            return Edit(start, comma.end(), "")
        if number == 0:
            return Edit(start, end, "")
        before = places[number - 1][1]
        if "#" in self.text[before:start]:
            return Edit(start, end, "")  # the comma before it may stay
        return Edit(before, end, "")

    def _break_at(self, offset: int) -> str:
        found = BREAK.match(self.text, offset)
        return found[0] if found else ""


def _last(node: Node) -> Entry:
    return list((node.entries or {}).values())[-1]


def child(node: Node, step: str | int) -> Node | None:
    """The value under a key, or the item with a number; None where there is none."""
    if isinstance(step, str):
        return node.get(step)
    items = node.items or []
    return items[step] if 0 <= step < len(items) else None


def _shown(path: Path) -> str:
    return ".".join(map(str, path))
