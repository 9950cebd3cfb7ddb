"""What else `archspec verify` looks at, beside outputs and gradients: a module each.

A check is a function that is given the subject of the verification and returns a `Check`, or None
where it has nothing to look at. It stands in `CHECKS`, and its findings in `Verification.checks`:
they count in `equal`, go into the JSON document under their key and are printed behind the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from archspec.analysis.section import Section
from archspec.graph import Graph
from archspec.verification.facts import facts

if TYPE_CHECKING:
    from archspec.backends.base import ComparableBackend, Measured


@dataclass(frozen=True)
class Subject:
    """What is verified: a network, in these backends.

    `measured` is what the backends say of the models that were compared, as far as they can.
    """

    graph: Graph
    backends: tuple[ComparableBackend, ...]
    dtype: str
    batch: int
    seed: int
    measured: Mapping[str, Measured | None] = field(default_factory=dict)


class Check(Protocol):
    """What one check found. `key` is its place in the JSON document."""

    key: ClassVar[str]

    @property
    def equal(self) -> bool:
        """Whether nothing that it looked at differs."""

    def to_json(self) -> dict[str, Any]:
        """The findings as in ``verify --format json``."""

    def sections(self) -> tuple[Section, ...]:
        """The findings for people."""


CHECKS: tuple[Callable[[Subject], Check | None], ...] = (facts,)
