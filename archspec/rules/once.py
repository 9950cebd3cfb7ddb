"""Said once: of what holds for many layers, the first is named and the rest counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from archspec.analysis.numbers import counted
from archspec.diagnostics import Fix, Problem


def likewise(others: int) -> str:
    """What is said of the other layers that a finding holds for."""
    return f"likewise in {counted(others, 'more layer')}"


def once(problems: Iterable[Problem]) -> Iterator[Problem]:
    """The first of the problems, with the number of the others; nothing where there is none.

    Its fix is that of all of them.
    """
    found = list(problems)
    if not found:
        return
    others = len(found) - 1
    more = likewise(others) if others else ""
    message = "; ".join(filter(None, (found[0].message, more)))
    fixes = found[0].fixes
    if others and fixes:
        changes = {place: value for p in found for place, value in p.fixes[0].changes.items()}
        title = f"{fixes[0].title}, {more}"
        fixes = (Fix(title, fixes[0].effect, changes, fixes[0].safe),)
    yield replace(found[0], message=message, fixes=fixes)
