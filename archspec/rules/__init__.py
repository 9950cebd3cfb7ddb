"""The diagnostics, one file each. A file's docstring is its `archspec explain` page."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from archspec.analysis import Analysis
from archspec.diagnostics import Diagnostic, Place, Problem, Silenced, Span
from archspec.graph import Graph
from archspec.rules.base import Rule
from archspec.rules.once import likewise
from archspec.rules.silence import silence
from archspec.source import Document


@cache
def rules() -> dict[str, Rule]:
    """Every rule by name, in the order of the codes."""
    found = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        if module.name.startswith("as"):
            rule: Rule = importlib.import_module(f"{__name__}.{module.name}").RULE
            found[rule.name] = rule
    return found


@cache
def codes() -> dict[str, Rule]:
    """Every rule by its code."""
    return {rule.code: rule for rule in rules().values()}


def page(rule: Rule) -> str:
    """The rule's documentation: the docstring of its file."""
    module = importlib.import_module(
        f"{__name__}.{rule.code.lower()}_{rule.name.replace('-', '_')}"
    )
    return inspect.cleandoc(module.__doc__ or "")


def run(analysis: Analysis) -> Analysis:
    """The analysis with its diagnostics: its own problems completed, and every rule's."""
    problems = []
    for problem in (*analysis.graph.problems, *analysis.problems):
        complete = rules()[problem.rule].complete
        problems.append(complete(problem, analysis) if complete else problem)
    for rule in rules().values():
        if rule.check is not None:
            problems += rule.check(analysis)
    graph = analysis.graph
    reported, meant = silence([_located(problem, graph) for problem in problems], graph, codes())
    silenced = [
        Silenced(diagnostic, ignored.reason)
        for ignored, expected in meant
        for diagnostic in diagnose(_one_a_place(expected), graph.document)
    ]
    return replace(
        analysis,
        diagnostics=diagnose(_one_a_place(reported), graph.document),
        silenced=tuple(silenced),
    )


def _located(problem: Problem, graph: Graph) -> Problem:
    """The problem with its place, where it only names a layer."""
    if problem.span is not None or problem.layer not in graph.by_name:
        return problem
    node = graph.by_name[problem.layer]
    path = (problem.field,) if problem.field is not None else ()
    return replace(problem, span=node.source.locate(path), uses=node.uses)


def _one_a_place(problems: Iterable[Problem]) -> Iterable[Problem]:
    """Warnings and notes, once for all the layers that one line of a block stands for.

    Their numbers differ with the size of the map, and what they say does not.
    """
    found: dict[tuple[object, ...], tuple[Problem, set[str]]] = {}
    for place, problem in enumerate(problems):
        span, severity = problem.span, problem.severity or rules()[problem.rule].severity
        key: tuple[object, ...] = (place,)
        if severity != "error" and span is not None and problem.layer is not None:
            key = (problem.rule, severity, span, id(span.source))
        found.setdefault(key, (problem, set()))[1].add(problem.layer or "")
    for problem, layers in found.values():
        if len(layers) > 1:
            message = f"{problem.message}; {likewise(len(layers) - 1)}"
            problem = replace(problem, message=message)
        yield problem


def diagnose(problems: Iterable[Problem], document: Document) -> tuple[Diagnostic, ...]:
    """Problems as diagnostics, in the order of the file's lines, each said once.

    What is wrong in a block is said for the first of its uses, with the line of that use.
    """
    diagnostics = []
    # The first of those that say the same: a dictionary keeps the last it is given.
    distinct = {problem.identity: problem for problem in reversed([*problems])}
    for problem in reversed(distinct.values()):
        rule = rules()[problem.rule]
        span = problem.span or Span(1, 1, 1, 1)
        source = span.source or document.source
        diagnostics.append(
            Diagnostic(
                rule.code,
                rule.name,
                problem.severity or rule.severity,
                problem.message,
                problem.help,
                problem.layer,
                source.name,
                span.line,
                span.column,
                span.end_line,
                span.end_column,
                problem.fixes,
                tuple(_place(use, document) for use in problem.uses),
                source.line(span.line),
            )
        )
    return tuple(
        sorted(
            diagnostics,
            key=lambda d: (d.file != document.file, d.file, d.line, d.column, d.code),
        )
    )


def _place(span: Span, document: Document) -> Place:
    source = span.source or document.source
    line = source.line(span.line)
    end = span.end_column if span.end_line == span.line else len(line or "") + 1
    return Place(source.name, span.line, span.column, end, line)
