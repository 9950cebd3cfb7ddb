"""Which diagnostics a spec has called meant, and which of those it need not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from archspec.diagnostics import Problem, Severity, Span, did_you_mean
from archspec.graph import Graph, Ignored
from archspec.rules.base import Rule
from archspec.source import Node

Meant = list[tuple[Ignored, list[Problem]]]


def silence(
    problems: Iterable[Problem], graph: Graph, rules: Mapping[str, Rule]
) -> tuple[list[Problem], Meant]:
    """The problems that are reported, and those that the spec calls meant, by what says so.

    `rules` are all rules by their codes. Errors are always reported; so is what the file itself
    calls meant and is not found, in a network without errors that is as it is written. Another
    file that it extends or imports may need its entry for itself.
    """
    if not graph.ignored:
        return list(problems), []
    names = {rule.name: rule for rule in rules.values()}
    index = _index(graph)
    found: dict[int, list[Problem]] = {}
    used: set[int] = set()
    reported: list[Problem] = []
    for problem in problems:
        about = _about(problem, names[problem.rule].code, index, graph)
        if not about or _severity(problem, names) == "error":
            reported.append(problem)
            continue
        found.setdefault(id(about[0]), []).append(problem)
        used.update(map(id, about))
    whole = graph.as_written and not any(_severity(p, names) == "error" for p in reported)
    own = graph.document.source.path
    for ignored in graph.ignored:
        source = ignored.span.source
        if id(ignored) in used or (source is not None and source.path != own):
            continue
        if whole or ignored.code not in rules:
            reported.append(_unused(ignored, rules))
    return reported, [(i, found[id(i)]) for i in graph.ignored if id(i) in found]


def _severity(problem: Problem, names: Mapping[str, Rule]) -> Severity:
    return problem.severity or names[problem.rule].severity


_Index = dict[tuple[object, ...], list[Ignored]]


def _index(graph: Graph) -> _Index:
    """What is called meant, by its code and by where: in a layer, everywhere, on a line."""
    found: _Index = {}
    for ignored in graph.ignored:
        keys: list[tuple[object, ...]] = [(ignored.code,)]
        if ignored.section[0] not in ("layers", "ignore"):
            node = _part(graph, ignored)
            lines = {line for span in _spans(node) for line in range(span.line, span.end_line + 1)}
            keys = [(ignored.code, line) for line in lines]
        elif ignored.layers is not None:
            keys = [(ignored.code, layer) for layer in ignored.layers]
        for key in keys:
            found.setdefault(key, []).append(ignored)
    return found


def _about(problem: Problem, code: str, index: _Index, graph: Graph) -> list[Ignored]:
    """What calls a problem meant."""
    found = [*index.get((code, problem.layer), ()), *index.get((code,), ())]
    span = problem.span
    if span is not None:
        for ignored in index.get((code, span.line), ()):
            if any(_holds(outer, span) for outer in _spans(_part(graph, ignored))):
                found.append(ignored)
    return found


def _part(graph: Graph, ignored: Ignored) -> Node:
    """The claim or the recipe that an entry stands in."""
    node = graph.document.root
    for step in ignored.section:
        below = node.get(step) if isinstance(step, str) else (node.items or [])[step]
        assert below is not None  # it was read from there
        node = below
    return node


def _spans(node: Node) -> list[Span]:
    """The places in a value, all of them: what a variant lays over a base stands in two files."""
    spans = [node.span]
    for item in node.items or ():
        spans += _spans(item)
    for entry in (node.entries or {}).values():
        spans += [entry.key_span, *_spans(entry.value)]
    return spans


def _holds(outer: Span, inner: Span) -> bool:
    begins = (outer.line, outer.column) <= (inner.line, inner.column)
    ends = (inner.end_line, inner.end_column) <= (outer.end_line, outer.end_column)
    return outer.source is inner.source and begins and ends


def _unused(ignored: Ignored, rules: Mapping[str, Rule]) -> Problem:
    rule = rules.get(ignored.code)
    if rule is None:
        return Problem(
            "unknown-code",
            f"there is no diagnostic {ignored.code} to ignore",
            did_you_mean(ignored.code, rules),
            span=ignored.span,
        )
    what = f"{rule.code} ({rule.name})"
    if rule.severity == "error":
        message = f"{what} is an error, and errors cannot be ignored"
        help_ = "correct what it reports"
    elif ignored.layers is not None and not ignored.layers:
        message = f"no layer or block is called what {what} is to be ignored in"
        help_ = "`about` takes names as `archspec expand` prints them, and patterns: `stage*`"
    else:
        message = f"{what} is ignored here and would not be reported"
        help_ = "remove the entry: it would hide the next mistake of that kind"
    return Problem("unused-ignore", message, help_, span=ignored.span)
