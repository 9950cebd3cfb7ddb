"""The losses of the steps, which a device may still be computing when the next step begins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from archspec.diagnostics import ArchspecError
from archspec.training.checkpoint import State


class NotFinite(ArchspecError):
    """A number that training computed is NaN or infinite."""


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


class Losses:
    """Adds the losses of an epoch up in its state.

    Looking at a loss waits for the device, so it is done now and then for all since the last look
    (`read`); `state` has them all afterwards. `last` is that of the last step that was looked at,
    `place` where the state stands.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._unread: list[tuple[Place, Any]] = []
        self.last = math.nan

    @property
    def place(self) -> Place:
        """The step that the state stands behind."""
        state = self._state
        return Place(state.epoch, state.batch, state.step, state.lr)

    def add(self, loss: Any) -> None:
        """Take the loss of the step at `place`."""
        self._unread.append((self.place, loss))

    def read(self) -> None:
        """Look at the losses since the last look. Raises NotFinite for the first that is none."""
        unread, self._unread = self._unread, []
        for place, given in unread:
            loss = float(given)
            if not math.isfinite(loss):
                raise NotFinite(f"the loss is {loss} {place}")
            self._state.losses += loss
            self._state.counted += 1
            self.last = loss
