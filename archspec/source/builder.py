"""From YAML events to a tree of values, without recursion and within limits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import yaml

from archspec.diagnostics import Problem, ProblemsFound, SourceText, Span, shortened
from archspec.source.problems import Problems
from archspec.source.scalars import resolve
from archspec.source.tree import MAX_DEPTH, MAX_VALUES, Entry, Node


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not been read yet.

    `key` waits for its value; its text is None for a merge key, whose value is dropped.
    """

    node: Node
    anchor: str | None
    key: tuple[str | None, Span] | None = None


@dataclass(slots=True)
class Builder:
    """Builds the tree from events, one at a time; `root` is the result.

    `problems` are those it can go on after; it raises ProblemsFound at the first of the others.
    """

    source: SourceText
    problems: Problems = field(default_factory=Problems)
    root: Node | None = None
    _stack: list[_Open] = field(default_factory=list)
    _anchors: dict[str, Node] = field(default_factory=dict)
    _values: int = 0

    def feed(self, event: yaml.Event) -> None:
        """Take the next event."""
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            self._open(event)
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            self._close(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            self._fail(
                "yaml-syntax",
                "a second document begins here; a spec file holds one",
                "move it to a file of its own",
                self._span(event),
            )

    def _scalar(self, event: Any) -> None:
        span = self._span(event)
        tagged = event.tag is not None and self._refuse_tag(event, span)
        if self._wants_key():
            self._key(event, span)
            return
        self._count(1, span)
        node = Node(span, event.value, broken=tagged)
        if not event.style and not tagged:
            try:
                node.value = resolve(event.value)
            except ProblemsFound as found:
                self.problems.extend(replace(problem, span=span) for problem in found.problems)
                node.broken = True
        self._place(node, event.anchor)

    def _open(self, event: Any) -> None:
        span = self._span(event)
        tagged = event.tag is not None and self._refuse_tag(event, span)
        if self._wants_key():
            self._fail(
                "yaml-syntax",
                "a list or a mapping cannot be a key",
                "quote it if a text was meant",
                span,
            )
        self._check_depth(1, span)
        self._count(1, span)
        node = Node(span, depth=1, broken=tagged)
        if isinstance(event, yaml.SequenceStartEvent):
            node.items = []
        else:
            node.entries = {}
        self._stack.append(_Open(node, event.anchor))

    def _close(self, event: Any) -> None:
        opened = self._stack.pop()
        start, end = opened.node.span, event.end_mark
        opened.node.span = Span(start.line, start.column, end.line + 1, end.column + 1, self.source)
        self._place(opened.node, opened.anchor)

    def _key(self, event: Any, span: Span) -> None:
        opened = self._stack[-1]
        if event.value == "<<" and not event.style:
            self._report(
                "yaml-tag",
                "merge keys (`<<`) are not part of the language",
                "write the keys out",
                span,
            )
            # Which keys it would have brought is not known, so none can be called missing.
            opened.node.broken = True
            opened.key = (None, span)
            return
        word: str = event.value
        first = (opened.node.entries or {}).get(word)
        if first is not None:
            place = f"line {first.key_span.line}, column {first.key_span.column}"
            self._report(
                "duplicate-key",
                f"`{shortened(word)}` is given twice; the first stands on {place}",
                "remove one of the two",
                span,
            )
        if event.anchor is not None:
            self._anchors[event.anchor] = Node(span, word)
        opened.key = (word, span)

    def _alias(self, event: Any) -> None:
        span = self._span(event)
        name = shortened(event.anchor)
        if self._wants_key():
            self._fail("yaml-syntax", "an alias cannot be a key", "write the key out", span)
        # An anchor may be used again, so an open one hides a finished one of the same name.
        if any(opened.anchor == event.anchor for opened in self._stack):
            message = f"the alias `*{name}` stands inside its own anchor"
            self._fail("yaml-syntax", message, "write the value out", span)
        target = self._anchors.get(event.anchor)
        if target is None:
            message = f"the alias `*{name}` has no anchor `&{name}` before it"
            self._fail("yaml-syntax", message, "write the value out", span)
        self._check_depth(target.depth, span)
        self._count(target.size, span)
        self._place(target, None)

    def _place(self, node: Node, anchor: str | None) -> None:
        """Put a finished value where it belongs: into the open list or mapping."""
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._stack:
            self.root = node
            return
        opened = self._stack[-1]
        parent = opened.node
        parent.size += node.size
        if parent.depth <= node.depth:
            parent.depth = node.depth + 1
        if parent.items is not None:
            parent.items.append(node)
        elif parent.entries is not None and opened.key is not None:
            name, span = opened.key
            opened.key = None
            if name is not None:
                parent.entries.setdefault(name, Entry(span, node))

    def _wants_key(self) -> bool:
        if not self._stack:
            return False
        opened = self._stack[-1]
        return opened.key is None and opened.node.entries is not None

    def _refuse_tag(self, event: Any, span: Span) -> bool:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        self._report(
            "yaml-tag",
            f"the tag `{shortened(tag)}` is not allowed: "
            "a spec holds plain values and creates no objects",
            "remove the tag",
            span,
        )
        return True

    def _check_depth(self, levels: int, span: Span) -> None:
        if len(self._stack) + levels > MAX_DEPTH:
            self._fail(
                "limit-exceeded",
                f"values are nested more than {MAX_DEPTH} deep",
                "a spec needs about five levels: network, layers, layer, field, value",
                span,
            )

    def _count(self, size: int, span: Span) -> None:
        self._values += size
        if self._values > MAX_VALUES:
            self._fail(
                "limit-exceeded",
                f"the spec has more than {MAX_VALUES:,} values once its aliases are expanded",
                "write fewer layers or fewer aliases; a network of 10,000 layers has about "
                "100,000 values",
                span,
            )

    def _report(self, rule: str, message: str, help: str, span: Span) -> None:
        self.problems.add(Problem(rule, message, help, span=span))

    def _fail(self, rule: str, message: str, help: str, span: Span) -> NoReturn:
        self.problems.fail(Problem(rule, message, help, span=span))

    def _span(self, event: Any) -> Span:
        start, end = event.start_mark, event.end_mark
        return Span(start.line + 1, start.column + 1, end.line + 1, end.column + 1, self.source)
