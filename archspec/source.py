"""YAML text to values, each with its place in the text.

PyYAML scans the text into events; the tree is built here, without recursion, because a spec
is untrusted and every value must remember line and column. What YAML 1.1 would do behind the
author's back is closed: scalars follow YAML 1.2's core schema (``1e-4`` is a number, ``on``
and ``no`` are words), a duplicate key is an error, tags and merge keys are refused, aliases
are counted where they expand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from archspec.diagnostics import Problem, ProblemsFound, Span, shortened

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 1_000_000
MAX_DIGITS = 40

# The C scanner is about ten times faster; a PyYAML built without libyaml has only the other.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"[-+]?[0-9]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_OCTAL = re.compile(r"0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(slots=True)
class Entry:
    """One `key: value` of a mapping, and where the key stands."""

    key_span: Span
    value: Node


@dataclass(slots=True)
class Node:
    """A value with its place: a scalar, a list of nodes, or a mapping of entries.

    `size` counts the values below and including this one, aliases expanded.
    """

    span: Span
    value: Any = None
    items: list[Node] | None = None
    entries: dict[str, Entry] | None = None
    size: int = 1

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


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed spec file: its name as the user gave it, its lines and its root value."""

    file: str
    lines: tuple[str, ...]
    root: Node

    def line(self, number: int) -> str | None:
        """Line `number` (from 1) of the text, or None past its end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else None


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not been read yet."""

    node: Node
    anchor: str | None
    key: tuple[str, Span] | None = None


@dataclass(slots=True)
class _Builder:
    """Builds the tree from events, one at a time; `problems` are those it can go on after."""

    problems: list[Problem] = field(default_factory=list)
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)
    root: Node | None = None
    values: int = 0

    def feed(self, event: yaml.Event) -> None:
        if isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            self._refuse_tag(event)
            self._open(event)
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            self._close(event)
        elif isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event)
            self._scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise ProblemsFound(
                [
                    Problem(
                        "yaml-syntax",
                        "a second document begins here; a spec file holds one",
                        "move it to a file of its own",
                        span=_span(event),
                    )
                ]
            )

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            self.problems.append(
                Problem(
                    "yaml-tag",
                    f"the tag `{shortened(event.tag)}` is not allowed: "
                    "a spec holds plain values and creates no objects",
                    "remove the tag",
                    span=_span(event),
                )
            )

    def _count(self, size: int, span: Span) -> None:
        self.values += size
        if self.values > MAX_VALUES:
            raise ProblemsFound(
                [
                    Problem(
                        "limit-exceeded",
                        f"the spec has more than {MAX_VALUES:,} values once its aliases are "
                        "expanded",
                        "write fewer layers or fewer aliases; a network of 10,000 layers has "
                        "about 100,000 values",
                        span=span,
                    )
                ]
            )

    def _open(self, event: Any) -> None:
        span = _span(event)
        if len(self.stack) >= MAX_DEPTH:
            raise ProblemsFound(
                [
                    Problem(
                        "limit-exceeded",
                        f"values are nested more than {MAX_DEPTH} deep",
                        "a spec needs about five levels: network, layers, layer, field, value",
                        span=span,
                    )
                ]
            )
        if self._wants_key():
            raise ProblemsFound(
                [
                    Problem(
                        "yaml-syntax",
                        "a list or a mapping cannot be a key",
                        "quote it if a text was meant",
                        span=span,
                    )
                ]
            )
        is_list = isinstance(event, yaml.SequenceStartEvent)
        node = Node(span, items=[]) if is_list else Node(span, entries={})
        self._count(1, span)
        self.stack.append(_Open(node, event.anchor))

    def _close(self, event: Any) -> None:
        opened = self.stack.pop()
        start, end = opened.node.span, event.end_mark
        opened.node.span = Span(start.line, start.column, end.line + 1, end.column + 1)
        self._place(opened.node, opened.anchor)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        span = _span(event)
        if self._wants_key():
            self._key(event.value, span)
            return
        self._count(1, span)
        value = event.value if event.style else self._resolve(event.value, span)
        self._place(Node(span, value=value), event.anchor)

    def _key(self, text: str, span: Span) -> None:
        opened = self.stack[-1]
        entries = opened.node.entries
        assert entries is not None
        if text == "<<":
            self.problems.append(
                Problem(
                    "yaml-tag",
                    "merge keys (`<<`) are not part of the language",
                    "write the keys out",
                    span=span,
                )
            )
        elif text in entries:
            first = entries[text].key_span
            self.problems.append(
                Problem(
                    "duplicate-key",
                    f"`{shortened(text)}` is given twice; the first stands on line {first.line}, "
                    f"column {first.column}",
                    "remove one of the two",
                    span=span,
                )
            )
        opened.key = (text, span)

    def _alias(self, event: Any) -> None:
        span = _span(event)
        target = self.anchors.get(event.anchor)
        if self._wants_key():
            message, help_ = "an alias cannot be a key", "write the key out"
        elif target is None:
            inside = any(opened.anchor == event.anchor for opened in self.stack)
            name = shortened(event.anchor)
            message = (
                f"the alias `*{name}` stands inside its own anchor"
                if inside
                else f"the alias `*{name}` has no anchor `&{name}` before it"
            )
            help_ = "write the value out"
        else:
            self._count(target.size, span)
            self._place(target, None)
            return
        raise ProblemsFound([Problem("yaml-syntax", message, help_, span=span)])

    def _wants_key(self) -> bool:
        return bool(
            self.stack and self.stack[-1].node.entries is not None and self.stack[-1].key is None
        )

    def _place(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = node
            return
        opened = self.stack[-1]
        opened.node.size += node.size
        if opened.node.items is not None:
            opened.node.items.append(node)
        else:
            assert opened.node.entries is not None and opened.key is not None
            name, span = opened.key
            opened.node.entries.setdefault(name, Entry(span, node))
            opened.key = None

    def _resolve(self, text: str, span: Span) -> Any:
        """The value of a plain scalar by YAML 1.2's core schema (section 10.3.2)."""
        if text in _SPECIAL:
            return _SPECIAL[text]
        if len(text) > MAX_DIGITS and _FLOAT.fullmatch(text):
            self.problems.append(
                Problem(
                    "limit-exceeded",
                    f"a number of {len(text):,} characters; at most {MAX_DIGITS} are read",
                    "shorten it",
                    span=span,
                )
            )
            return 0
        if _INTEGER.fullmatch(text):
            return int(text)
        if _HEXADECIMAL.fullmatch(text):
            return int(text, 16)
        if _OCTAL.fullmatch(text):
            return int(text[2:], 8)
        if _FLOAT.fullmatch(text):
            return float(text)
        if text.lower().lstrip("+-") in (".inf", ".nan"):
            self.problems.append(
                Problem(
                    "wrong-value",
                    f"`{shortened(text)}` is not a number that a network can use",
                    "write a finite number",
                    span=span,
                )
            )
            return 0
        return text


def _span(event: Any) -> Span:
    start, end = event.start_mark, event.end_mark
    return Span(start.line + 1, start.column + 1, end.line + 1, end.column + 1)


def read_text(path: Path, file: str) -> str:
    """The text of a spec file.

    Raises ProblemsFound when the path is missing, a folder, unreadable, larger than
    `MAX_BYTES`, or not UTF-8 text.
    """
    start = Span(1, 1, 1, 1)
    try:
        if path.is_dir():
            raise IsADirectoryError
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        reason, help_ = "there is no such file", None
    except IsADirectoryError:
        reason, help_ = "it is a directory, not a spec file", "name one YAML file inside it"
    except (OSError, ValueError) as error:
        reason = f"it cannot be read ({getattr(error, 'strerror', None) or error})"
        help_ = None
    else:
        return _decode(raw, file)
    raise ProblemsFound(
        [Problem("unreadable-file", f"{shortened(file, 200)}: {reason}", help_, span=start)]
    )


def _decode(raw: bytes, file: str) -> str:
    if len(raw) > MAX_BYTES:
        raise ProblemsFound(
            [
                Problem(
                    "limit-exceeded",
                    f"{shortened(file, 200)} is larger than {MAX_BYTES // 2**20} MiB",
                    "a network of 10,000 layers takes about 1 MiB",
                    span=Span(1, 1, 1, 1),
                )
            ]
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        raise ProblemsFound(
            [
                Problem(
                    "not-text",
                    f"byte {error.start} (0x{raw[error.start]:02x}) is not UTF-8 text",
                    "a spec is a YAML text file in UTF-8",
                    span=Span(line, column, line, column + 1),
                )
            ]
        ) from None


def parse(text: str, file: str) -> Document:
    """Parse YAML text into a Document whose every key and value knows its place.

    Raises ProblemsFound with all that is wrong with the text as YAML.
    """
    # Only what YAML calls a line break counts: str.splitlines would also break at form feeds
    # and the like, and then no line number after one would be right.
    lines = tuple(re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text))
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.feed(event)
    except yaml.reader.ReaderError as error:
        position = int(error.position)
        before = text[:position]
        line = before.count("\n") + 1
        column = position - (before.rfind("\n") + 1) + 1
        problem = Problem(
            "not-text",
            f"the character {ascii(chr(error.character) if isinstance(error.character, int) else error.character)} is not allowed in YAML",
            "remove it",
            span=Span(line, column, line, column + 1),
        )
        raise ProblemsFound([*builder.problems, problem]) from None
    except yaml.MarkedYAMLError as error:
        raise ProblemsFound([*builder.problems, _syntax_problem(error, lines)]) from None
    except yaml.YAMLError as error:
        problem = Problem("yaml-syntax", shortened(str(error), 200), span=Span(1, 1, 1, 1))
        raise ProblemsFound([*builder.problems, problem]) from None
    except ProblemsFound as found:
        raise ProblemsFound([*builder.problems, *found.problems]) from None
    if builder.root is None or (builder.root.entries is None and builder.root.value is None):
        builder.problems.append(
            Problem(
                "empty-spec",
                "the file holds no spec",
                "begin with `archspec: 1`, `name:`, `input:` and `layers:`",
                span=Span(1, 1, 1, 1),
            )
        )
    elif builder.root.entries is None:
        builder.problems.append(
            Problem(
                "wrong-type",
                "a spec is a mapping of keys such as `name:` and `layers:`, not "
                + ("a list" if builder.root.items is not None else "a single value"),
                "begin with `archspec: 1`, `name:`, `input:` and `layers:`",
                span=builder.root.span,
            )
        )
    if builder.problems or builder.root is None:
        raise ProblemsFound(builder.problems)
    return Document(file, lines, builder.root)


def _syntax_problem(error: yaml.MarkedYAMLError, lines: tuple[str, ...]) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    message = f"not valid YAML: {shortened(error.problem or 'syntax error', 200)}"
    if error.context:
        message += f" ({shortened(error.context, 200)}"
        if error.context_mark:
            message += f" from line {error.context_mark.line + 1}"
        message += ")"
    help_ = None
    if line <= len(lines) and "\t" in lines[line - 1]:
        help_ = "YAML indents with spaces; this line has a tab"
    return Problem("yaml-syntax", message, help_, span=Span(line, column, line, column + 1))


def scalar(text: str) -> Any:
    """The value of a plain scalar, as it would be read in a spec."""
    return _Builder()._resolve(text, Span(1, 1, 1, 1))
