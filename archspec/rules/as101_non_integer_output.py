"""A window does not fit its input a whole number of times."""

from __future__ import annotations

from dataclasses import replace

from archspec.analysis import Analysis
from archspec.analysis.repairs import repairs
from archspec.diagnostics import Problem
from archspec.rules.base import Rule


def _with_repairs(problem: Problem, analysis: Analysis) -> Problem:
    if problem.severity is not None or problem.layer is None:
        return problem  # the spec says how to round: a note, nothing to repair
    fixes = repairs(analysis.graph, analysis.shapes, problem.layer)
    return replace(problem, help="choose one of these repairs:", fixes=fixes)


RULE = Rule("AS101", "non-integer-output", "error", complete=_with_repairs)
