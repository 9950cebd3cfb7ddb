"""Opening the files that a spec names; the caller says how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from archspec.diagnostics import Problem, ProblemsFound, shortened
from archspec.source import Document, Node, Problems, SourceText


class Files(Protocol):
    """Opens the files that a spec names."""

    def base(self, reference: str, origin: SourceText) -> Document:
        """The spec that `origin` extends. Raises ProblemsFound."""

    def imported(self, reference: str, origin: SourceText) -> Document:
        """The file that `origin` imports blocks from. Raises ProblemsFound."""


class NoFiles:
    """For a text that comes from no file: there is nothing next to it."""

    def base(self, reference: str, origin: SourceText) -> Document:
        """Raises ProblemsFound."""
        message = f"`{shortened(reference)}` cannot be opened: the spec is not read from a file"
        raise ProblemsFound([Problem("unreadable-file", message)])

    imported = base


def open_file(
    opener: Callable[[str, SourceText], Document], reference: Node, problems: Problems
) -> Document | None:
    """The file that a value names, or None where something is wrong with that."""
    origin = reference.span.source
    if reference.broken or not isinstance(reference.value, str) or origin is None:
        return None
    try:
        return opener(reference.value, origin)
    except ProblemsFound as found:
        # What is wrong inside the other file has its place there.
        problems.extend(
            problem
            if problem.span and problem.span.source
            else replace(problem, span=reference.span)
            for problem in found.problems
        )
        return None


def identity(document: Document) -> object:
    """What tells one file from another."""
    return document.source.path or document.source
