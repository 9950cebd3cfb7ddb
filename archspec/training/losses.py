"""The losses of the steps, which a device may still be computing when the next step begins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from archspec.backends.base import ALONE, Group
from archspec.diagnostics import ArchspecError
from archspec.training.checkpoint import State


@dataclass(frozen=True)
class Place:
    """A step: where it stands in its epoch and in the run, from 1, and its learning rate."""

    epoch: int
    batch: int
    step: int
    rate: float

    def __str__(self) -> str:
        return (
            f"in epoch {self.epoch}, batch {self.batch} (step {self.step:,}), at a learning rate "
            f"of {self.rate:g}"
        )


class NotFinite(ArchspecError):
    """A number that training computed is NaN or infinite, at `place` if that is known."""

    def __init__(self, message: str, place: Place | None = None) -> None:
        super().__init__(message)
        self.place = place


class Losses:
    """Adds the losses of an epoch up in its state.

    Looking at a loss waits for the device, so it is done now and then for all since the last look
    (`read`); `state` has them all afterwards. `last` is that of the last step that was looked at,
    `place` where the state stands.
    """

    def __init__(self, state: State, group: Group = ALONE) -> None:
        self._state, self._group = state, group
        self._unread: list[tuple[Place, Any]] = []
        self.last = math.nan

    @property
    def place(self) -> Place:
        """The step that the state stands behind."""
        state = self._state
        return Place(state.epoch, state.batch, state.step, state.lr)

    def add(self, loss: Any) -> None:
        """Take the loss of the step at `place`."""
        self._state.in_a_row = 0
        self._unread.append((self.place, loss))

    def skip(self) -> None:
        """Take notice that the step at `place` was left out."""
        self._state.skipped += 1
        self._state.in_a_row += 1

    def read(self) -> None:
        """Look at the losses since the last look, behind the same step in all processes.

        Each is the mean over the processes. Raises NotFinite for the first that is none.
        """
        import numpy as np

        unread, self._unread = self._unread, []
        own = np.array([float(given) for _, given in unread])
        means = self._group.sum(own) / self._group.size
        for (place, _), loss in zip(unread, means.tolist(), strict=True):
            if not math.isfinite(loss):
                raise NotFinite(f"the loss is {loss} {place}", place)
            self._state.losses += loss
            self._state.counted += 1
            self.last = loss
