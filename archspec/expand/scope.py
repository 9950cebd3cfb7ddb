"""What names mean in expressions, and values and trees with expressions filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from archspec.diagnostics import Problem, Span, did_you_mean, shortened
from archspec.expressions import (
    MAX_LEVELS,
    ExpressionError,
    Template,
    Unusable,
    Value,
    elements,
    template,
    too_large,
)
from archspec.source import Entry, Node, Problems
from archspec.spec.reading import shown

# How deep expressions and the variables in them may be nested altogether, and how many steps
# they may take: far from Python's own limit, and some seconds.
MAX_DEPTH = 200
MAX_STEPS = 10_000_000
_OF_A_VARIABLE = 3
_MAX_WORD = 100


class _Unusable:
    """Stands for a value whose problem is reported where it is defined."""


UNUSABLE: Final = _Unusable()


@dataclass(slots=True, eq=False)
class Waiting:
    """A definition that is evaluated when it is first asked for, in the scope that holds it."""

    node: Node
    busy: bool = False


Definition = Value | Waiting | _Unusable


class Layers(Protocol):
    """The layers that `channels(name)` can look at."""

    def channels(self, name: str, start: int, end: int) -> int:
        """The channels of a layer's output. Raises ExpressionError or Unusable."""


class Scope:
    """Names and their values; a name that is not here is looked up in `parent`."""

    __slots__ = ("complete", "evaluator", "layers", "names", "parent", "uses")

    def __init__(
        self,
        evaluator: Evaluator,
        names: dict[str, Definition],
        parent: Scope | None = None,
        layers: Layers | None = None,
        *,
        complete: bool = True,
        uses: tuple[Span, ...] = (),
    ) -> None:
        self.evaluator = evaluator
        self.names = names
        self.parent = parent
        self.layers = layers
        self.complete = complete
        self.uses = uses

    def known(self, name: str) -> Value | None:
        """The value of a name that has one already; None for any other."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                found = scope.names[name]
                return None if isinstance(found, (Waiting, _Unusable)) else found
            scope = scope.parent
        return None

    def variable(self, name: str, start: int = 0, end: int = 0) -> Value:
        """The value of a name. Raises ExpressionError, or Unusable for what is reported."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                found = scope.names[name]
                if isinstance(found, (Waiting, _Unusable)):
                    return scope._own(name, start, end)
                return found
            if not scope.complete:  # nobody knows which names there should be
                raise Unusable
            scope = scope.parent
        message = f"`${shortened(name)}` names no variable"
        raise ExpressionError("unknown-variable", message, start, end, self._near(name))

    def _own(self, name: str, start: int, end: int) -> Value:
        found = self.names[name]
        if isinstance(found, Waiting):
            if found.busy:
                message = f"`{shortened(name)}` is defined by itself"
                raise ExpressionError("circular-reference", message, start, end, "give it a value")
            found.busy = True
            try:
                found = self.names[name] = self.evaluator.value(found.node, self, self.uses)
            except Unusable:
                found = self.names[name] = UNUSABLE
        if isinstance(found, _Unusable):
            raise Unusable
        return found

    def channels(self, name: str, start: int, end: int) -> int:
        """The channels of a layer's output. Raises ExpressionError or Unusable."""
        if self.layers is None:
            message = "`channels` cannot be used here: no layers stand above"
            help_ = "use it in the values of layers and blocks"
            raise ExpressionError("invalid-expression", message, start, end, help_)
        return self.layers.channels(name, start, end)

    def spend(self, steps: int) -> None:
        """Count steps of work; ends it when the spec takes too many."""
        self.evaluator.spend(steps)

    def _near(self, name: str) -> str:
        known: list[str] = []
        scope: Scope | None = self
        while scope is not None:
            known += scope.names
            scope = scope.parent
        # A suggestion costs a comparison with every variable; nobody declares hundreds by hand.
        suggestion = None
        if len(name) <= _MAX_WORD and len(known) <= 10 * _MAX_WORD:
            suggestion = did_you_mean(name, known)
        example = f"declare it under `variables:`, for example `{shortened(name)}: 10`"
        return suggestion or example


@dataclass(slots=True)
class Evaluator:
    """Evaluates what stands in a tree, and reports what is wrong with it at its place."""

    problems: Problems
    depth: int = 0
    steps: int = 0
    place: Span | None = None

    def value(self, node: Node, scope: Scope, uses: tuple[Span, ...] = ()) -> Value:
        """What a node is worth. Raises Unusable when that is reported, here or before."""
        if node.broken:
            raise Unusable
        if node.items is not None:
            wrong: str | None = f"lists in lists, more than {MAX_LEVELS} deep"
            if node.depth <= MAX_LEVELS:
                self.depth += node.depth
                try:
                    found = tuple([self.value(item, scope, uses) for item in node.items])
                finally:
                    self.depth -= node.depth
                wrong = too_large(found)
            if wrong is not None:
                self.problems.add(
                    Problem("limit-exceeded", wrong, "shorten it", span=node.span, uses=uses)
                )
                raise Unusable
            return found
        if node.entries is not None or node.value is None:
            message = (
                f"a value must be a number, text, `true`, `false` or a list, not {shown(node)}"
            )
            self.problems.add(Problem("wrong-type", message, span=node.span, uses=uses))
            raise Unusable
        if not isinstance(node.value, str):
            plain: Value = node.value
            return plain
        text = self.template(node, uses)
        return node.value if text is None else self.filled(text, node, scope, uses)

    def template(self, node: Node, uses: tuple[Span, ...] = ()) -> Template | None:
        """What is to be filled into a text. Raises Unusable."""
        try:
            return template(node.value)
        except ExpressionError as error:
            self.report(error, node, uses)
            raise Unusable from None

    def filled(
        self, text: Template, node: Node, scope: Scope, uses: tuple[Span, ...] = ()
    ) -> Value:
        """The value of the template of a node. Raises Unusable."""
        depth = text.depth + _OF_A_VARIABLE
        if self.depth + depth > MAX_DEPTH:
            message = "expressions and the variables in them are nested too deep to follow"
            help_ = "write some of the values out"
            self.problems.fail(Problem("limit-exceeded", message, help_, span=node.span, uses=uses))
        self.depth += depth
        self.place = node.span
        self.spend(text.steps)
        try:
            found = text.fill(scope)
            if isinstance(found, tuple):
                self.spend(elements(found))
            return found
        except ExpressionError as error:
            self.report(error, node, uses)
            raise Unusable from None
        finally:
            self.depth -= depth

    def spend(self, steps: int) -> None:
        """Count steps of work; ends it when the spec takes too many."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            message = f"the spec takes more than {MAX_STEPS:,} steps to work out"
            help_ = "use shorter lists, or repeat less"
            self.problems.fail(Problem("limit-exceeded", message, help_, span=self.place))

    def report(self, error: ExpressionError, node: Node, uses: tuple[Span, ...] = ()) -> None:
        """Keep what is wrong with the expression in a text, at the characters it is about."""
        span = part(node, error.start, error.end)
        self.problems.add(Problem(error.rule, error.message, error.help, span=span, uses=uses))

    def fill(self, node: Node, scope: Scope) -> Node:
        """The same tree filled in; what does not change is shared, not copied."""
        leaves = dynamic(node)
        if not leaves:
            return node
        values: dict[int, Node] = {}
        for leaf in leaves:
            try:
                values[id(leaf)] = as_node(self.value(leaf, scope), leaf.span)
            except Unusable:
                values[id(leaf)] = unusable(leaf)
        return substituted(node, values)


def dynamic(node: Node) -> list[Node]:
    """The texts below a node that something may be filled into."""
    found = []
    stack = [node]
    while stack:
        node = stack.pop()
        if node.entries is not None:
            stack += [entry.value for entry in reversed(node.entries.values())]
        elif node.items is not None:
            stack += reversed(node.items)
        elif isinstance(node.value, str) and "$" in node.value and not node.broken:
            found.append(node)
    return found


def substituted(node: Node, values: Mapping[int, Node]) -> Node:
    """The tree with other nodes in the place of some of its texts, which `id` tells apart."""
    if node.entries is not None:
        entries = {}
        cut = node.broken
        for key, entry in node.entries.items():
            value = substituted(entry.value, values)
            entries[key] = entry if value is entry.value else Entry(entry.key_span, value)
            cut = cut or (value.broken and is_cut(entry.value))
        same = all(entries[key] is entry for key, entry in node.entries.items())
        return node if same else replace(node, entries=entries, broken=cut)
    if node.items is not None:
        items = [substituted(item, values) for item in node.items]
        cut = node.broken or any(
            new.broken and is_cut(old) for new, old in zip(items, node.items, strict=True)
        )
        same = all(new is old for new, old in zip(items, node.items, strict=True))
        return node if same else replace(node, items=items, broken=cut)
    return values.get(id(node), node)


def as_node(value: Value, span: Span) -> Node:
    """A value as if it stood at a place."""
    if isinstance(value, tuple):
        return Node(span, items=[as_node(item, span) for item in value])
    return Node(span, value)


def unusable(node: Node) -> Node:
    """The same text, known to be wrong."""
    return Node(node.span, node.value, broken=True)


def is_cut(node: Node) -> bool:
    """Whether a comma or a bracket has ended a text inside an expression.

    What stands behind it is in the mapping as keys and values that nobody wrote.
    """
    if not isinstance(node.value, str):
        return False
    try:
        template(node.value)
    except ExpressionError as error:
        return error.start >= len(node.value)
    return False


def part(node: Node, start: int, end: int) -> Span:
    """The place of some characters of a text; all of it where they cannot be told apart."""
    span = node.span
    line = span.source.line(span.line) if span.source else None
    if line is None or span.line != span.end_line:
        return span
    raw = line[span.column - 1 : span.end_column - 1]
    if raw == node.value:
        shift = 0
    elif raw[1:-1] == node.value:
        shift = 1  # the quotes
    else:  # escapes
        return span
    column = span.column + shift + start
    return Span(span.line, column, span.line, column + max(end - start, 1), span.source)
