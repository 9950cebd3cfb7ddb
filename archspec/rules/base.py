"""What a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from archspec.analysis import Analysis
from archspec.diagnostics import Problem, Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """A diagnostic's code, its name after the bad pattern, and how bad it is.

    Most problems are found where a stage cannot go on (the parser, the expansion, a shape rule)
    and only name their rule. A rule that needs the whole analysis has `check`, which finds its
    problems; `complete` adds what only the whole analysis tells to a problem found earlier.
    """

    code: str
    name: str
    severity: Severity
    check: Callable[[Analysis], Iterable[Problem]] | None = None
    complete: Callable[[Problem, Analysis], Problem] | None = None
