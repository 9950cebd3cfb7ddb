"""Said once: of what holds for many layers, the first is named and the rest counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from archspec.diagnostics import Problem


def once(problems: Iterable[Problem]) -> Iterator[Problem]:
    """The first of the problems, with the number of the others; nothing where there is none."""
    found = list(problems)
    if found:
        others = len(found) - 1
        more = f"; likewise in {others} more layer{'s' if others > 1 else ''}" if others else ""
        yield replace(found[0], message=found[0].message + more)
