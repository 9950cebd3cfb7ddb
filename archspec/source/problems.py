"""The problems of one spec, collected until there are too many to be worth reading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from archspec.diagnostics import Problem, ProblemsFound

MAX_PROBLEMS = 100


@dataclass(slots=True)
class Problems:
    """Collects problems that the work can go on after.

    A spec of a few megabytes can hold a million mistakes; each costs a message and a search
    for a suggestion, so the work stops after `MAX_PROBLEMS`.
    """

    found: list[Problem] = field(default_factory=list)
    _known: set[tuple[object, ...]] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, problem: Problem) -> None:
        """Keep one problem; raises ProblemsFound with all of them when it is one too many."""
        if problem.identity in self._known:
            return
        self._known.add(problem.identity)
        if len(self.found) < MAX_PROBLEMS:
            self.found.append(problem)
            return
        self.fail(
            Problem(
                "limit-exceeded",
                f"there are more than {MAX_PROBLEMS} problems; what follows is not listed",
                "begin with the first ones: one mistake often causes many",
                span=problem.span,
            )
        )

    def extend(self, problems: Iterable[Problem]) -> None:
        """Keep several problems."""
        for problem in problems:
            self.add(problem)

    def fail(self, problem: Problem) -> NoReturn:
        """Raise ProblemsFound with all problems and a last one that the work ends with."""
        raise ProblemsFound([*self.found, problem])

    def stop_if_any(self) -> None:
        """Raise ProblemsFound if there are problems."""
        if self.found:
            raise ProblemsFound(self.found)
