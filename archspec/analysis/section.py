"""A small table of facts, before anybody decides how it looks.

`archspec.report` prints it in a terminal, as Markdown and in a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, the side its cells lean to, and whether they may be wrapped.

    In a narrow terminal the columns that fold give way, the last one first.
    """

    name: str
    side: Literal["left", "right"] = "left"
    folds: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a table and remarks below it. The cells are text of one line."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


class Report(Protocol):
    """What `archspec analyze` finds only when it is asked to.

    `key` is its place in the JSON document.
    """

    key: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """The report as in ``analyze --format json``."""

    def sections(self) -> tuple[Section, ...]:
        """The report for people."""
