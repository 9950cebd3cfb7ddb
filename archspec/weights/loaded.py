"""The weights of a file that have found their layers, and the account of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from archspec.analysis.section import Column, Section
from archspec.diagnostics import ArchspecError, listing, shortened
from archspec.layers.base import Shape, show

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

How = Literal["name", "order and shape", "shape"]
# How many names a message lists.
NAMED = 5


class Misfit(ArchspecError):
    """A file that has not the weights of some layers, or in other shapes.

    `what` says it, a sentence without advice; `fits` is what would make the network fit the
    file, such as ``--set classes=1000``, or "".
    """

    def __init__(self, what: str, layers: Sequence[str], fits: str = "") -> None:
        self.what, self.fits = what, fits
        skip = " ".join(f"--skip {layer}" for layer in layers[:NAMED])
        more = " ..." if len(layers) > NAMED else ""
        it = "it" if len(layers) == 1 else "them"
        also = f", {fits} fits" if fits else ""
        super().__init__(f"{what}; {skip}{more} leaves {it} as the spec initialises {it}{also}")


@dataclass(frozen=True, slots=True)
class Match:
    """One tensor that went to its place.

    `name` is the canonical one, `source` what the file calls it, `found` the shape that it has
    there. `how` says by what it was recognised, `changes` what was done to it, in words.
    """

    name: str
    source: str
    shape: Shape
    found: Shape
    how: How
    changes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The match as in the `matches` of ``weights convert --format json``."""
        return {
            "name": self.name,
            "source": self.source,
            "shape": list(self.shape),
            "found": list(self.found),
            "matched_by": self.how,
            "changes": list(self.changes),
        }


@dataclass(frozen=True)
class Loaded:
    """Canonical weights out of a file, and how they were found.

    `weights` are float32 arrays by canonical name, in canonical layout: those of the network that
    the file has. `missing` are the canonical names that it has not, `skipped` those that were not
    wanted, `extra` the file's own names of tensors that the network has no place for. `notes` are
    whole sentences: what was converted, and what could not be known.
    """

    format: str
    path: str
    weights: dict[str, npt.NDArray[np.float32]]
    matches: tuple[Match, ...]
    missing: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def require_complete(self) -> None:
        """Raise ArchspecError, naming what is missing and what to do, unless nothing is."""
        if not self.missing:
            return
        layers = dict.fromkeys(name.rpartition(".")[0] for name in self.missing)
        raise Misfit(f"{self.path} has no {few(self.missing)}", list(layers))

    def sections(self) -> tuple[Section, ...]:
        """The account for people: a table of what went where, and remarks."""
        rows: list[tuple[str, ...]] = [
            (
                match.name,
                shortened(match.source, 120),
                show(match.found) or "one number",
                match.how,
                ", ".join(match.changes),
            )
            for match in self.matches
        ]
        rows += [(name, "", "", "skipped", "") for name in self.skipped]
        rows += [(name, "", "", "missing", "") for name in self.missing]
        rows += [("", shortened(name, 120), "", "left over", "") for name in self.extra]
        columns = (
            Column("weight", folds=True),
            Column("in the file", folds=True),
            Column("its shape there", "right"),
            Column("matched by"),
            Column("converted", folds=True),
        )
        title = f"Weights from {self.path} ({self.format})"
        return (Section(title, columns, tuple(rows), self.notes),)

    def to_json(self) -> dict[str, Any]:
        """The account as ``weights convert --format json`` prints it."""
        return {
            "format": self.format,
            "file": self.path,
            "matches": [match.to_json() for match in self.matches],
            "missing": list(self.missing),
            "skipped": list(self.skipped),
            "extra": list(self.extra),
            "notes": list(self.notes),
        }


def few(names: Sequence[str]) -> str:
    """The first names as they stand in messages, and how many more there are."""
    more = len(names) - NAMED
    return listing(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
