"""The learning rate of each step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from archspec.spec.recipe import PlateauSchedule, Recipe

# base * factor**n in binary gives 0.00010000000000000002; no recipe has more digits than this.
DIGITS = 12


@dataclass(frozen=True)
class ScheduleState:
    """What a plateau remembers: the least error, the epochs since then, the drops so far."""

    best: float | None = None
    stale: int = 0
    drops: int = 0


class Schedule:
    """The recipe's learning rate from step to step."""

    def __init__(self, recipe: Recipe, state: ScheduleState | None = None) -> None:
        self._recipe = recipe
        self.state = state or ScheduleState()

    def rate(self, epoch: int, batch: int = 0, batches: int = 1) -> float:
        """The learning rate of a step: that of `batch`, from 0, of `batches` in `epoch`, from 1.

        It is infinite where no float holds it.
        """
        base = self._recipe.optimizer.learning_rate
        share = self._recipe.share(epoch, batch / batches, self.state.drops)
        rate = base * share
        return float(f"{rate:.{DIGITS}g}") if share != 1 and math.isfinite(rate) else rate

    def observe(self, error: float) -> None:
        """Take the held-out error of the epoch that has ended."""
        rule, state = self._recipe.schedule, self.state
        if not isinstance(rule, PlateauSchedule):
            return
        if state.best is None or error < state.best:
            self.state = ScheduleState(error, 0, state.drops)
        elif state.stale + 1 >= rule.patience and state.drops < rule.drops:
            self.state = ScheduleState(state.best, 0, state.drops + 1)
        else:
            self.state = ScheduleState(state.best, state.stale + 1, state.drops)
