"""When a run is saved, and what becomes of it where that fails."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec.backends.base import OutOfMemory
from archspec.diagnostics import ArchspecError, shortened
from archspec.graph import Graph
from archspec.plain import plain_spec
from archspec.spec.recipe import Recipe
from archspec.training.checkpoint import Checkpoint, InUse, RunFolder, RunRecord, State
from archspec.training.losses import Losses, NotFinite
from archspec.training.options import Watcher

if TYPE_CHECKING:
    from archspec.backends.base import Array, Group, Trainer

_UNITS = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smh])")


class Unsaved(ArchspecError):
    """The state of a run could not be written, and will not be."""


@dataclass(frozen=True)
class Interval:
    """How often a run is saved within an epoch: every so many steps, or seconds."""

    steps: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Interval:
        """A number of steps such as `500`, or a time such as `90s`, `10m`, `1.5h`.

        Raises ArchspecError.
        """
        if text.isascii() and text.isdecimal() and len(text) < 10 and int(text):
            return cls(steps=int(text))
        found = _DURATION.fullmatch(text)
        if found is None or not float(found[1]):
            raise ArchspecError(
                "--save-every is a number of steps, such as 500, or a time, such as 90s, 10m or "
                f"1.5h, not `{shortened(text)}`"
            )
        return cls(seconds=float(found[1]) * _UNITS[found[2]])


class Saver:
    """Saves a run, so that it can go on. The first process of a group writes."""

    def __init__(
        self,
        folder: RunFolder,
        graph: Graph,
        recipe: Recipe,
        trainer: Trainer,
        group: Group,
        interval: Interval,
        watcher: Watcher,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._graph, self._trainer = folder, graph, trainer
        self._spec = plain_spec(graph, recipe)
        self._writes, self._alone = group.rank == 0, group.size == 1
        self._interval, self._watcher, self._now = interval, watcher, now
        self._at = now()
        # Epoch, batch and step of the last checkpoint.
        self._saved = (0, 0, 0)

    def begin(self, record: RunRecord, source: str, state: State) -> None:
        """Make the folder of a new run. A disk that has no room for a checkpoint shows now."""
        checkpoint = self._checkpoint(state)
        if self._writes:
            self._folder.create(self._graph, record, source, checkpoint)
        self._saved = _place(state)

    def resume(self, record: RunRecord, state: State) -> None:
        """Let the folder tell what the run is now, and what its last checkpoint knows."""
        if self._writes:
            self._folder.describe(self._graph, record)
            self._folder.write_metrics(state.metrics)
        self._saved = _place(state)

    def alone(self) -> AbstractContextManager[None]:
        """Let no process but those of the group train the run meanwhile. Raises InUse."""
        return self._folder.locked() if self._writes else nullcontext()

    def due(self, step: int) -> bool:
        """Whether the interval is over. One in steps does not depend on interruptions."""
        if self._interval.steps is not None:
            return step % self._interval.steps == 0
        return self._now() - self._at >= (self._interval.seconds or 0.0)

    def save(self, state: State, *, last: bool = False) -> None:
        """Write the checkpoint of a state, and the rows of its metrics.

        Training goes on where that fails, and the next time it is tried again: a disk that is full
        for an hour costs nothing. Raises Unsaved where this was the `last` time, and NotFinite,
        before anything is written, where a number is none.
        """
        if _place(state) == self._saved:
            return
        checkpoint = self._checkpoint(state)
        self._at = self._now()
        try:
            if self._writes:
                self._folder.save(self._graph, self._spec, checkpoint)
            self._saved = _place(state)
            if not self._writes:
                return
            self._folder.write_metrics(state.metrics)
        except ArchspecError as error:
            if last:
                raise Unsaved(f"{error}; {self.way_on}") from None
            self._watcher.warn(f"{error}; training goes on, and the next save tries again")

    def given_up(self, error: ArchspecError, state: State, losses: Losses) -> ArchspecError:
        """The error that ends a run, with what can be done; what is good is saved first.

        That is nothing after a step whose numbers are none, or which ended half-way.
        """
        if isinstance(error, (InUse, Unsaved)):
            return error
        # Of several processes only this one may have an error, and cannot save by itself.
        if self._alone and not isinstance(error, (NotFinite, OutOfMemory)):
            try:
                losses.read()
                self.save(state, last=True)
            except NotFinite as later:
                error = ArchspecError(f"{error}; {later}")
            except Unsaved as unsaved:
                return ArchspecError(f"{error}; {unsaved}")
        return ArchspecError(f"{error}; {self.way_on}")

    def _checkpoint(self, state: State) -> Checkpoint:
        """What is saved of a state. All processes of a group must ask: each may have a part."""
        found = Checkpoint(self._trainer.weights(), self._trainer.optimizer_state(), state)
        for arrays in (found.weights, found.optimizer):
            _require_finite(arrays, state.step)
        return found

    @property
    def way_on(self) -> str:
        """What can be done with the run after an error."""
        step = self._saved[2]
        where = f"after step {step:,}" if step else "as it began"
        return f"the run is saved {where}, go on from there with {self._folder.way_on}"


def _place(state: State) -> tuple[int, int, int]:
    return state.epoch, state.batch, state.step


def _require_finite(arrays: dict[str, Array], step: int) -> None:
    import numpy as np

    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise NotFinite(f"{name} has numbers that are not finite after step {step:,}")
