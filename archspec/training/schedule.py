"""The learning rate of each epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from archspec.spec.recipe import PlateauSchedule, Recipe, StepSchedule

# base * factor**n in binary gives 0.00010000000000000002; no recipe has more digits than this.
DIGITS = 12


@dataclass(frozen=True)
class ScheduleState:
    """What a plateau remembers: the least error, the epochs since then, the drops so far."""

    best: float | None = None
    stale: int = 0
    drops: int = 0


class Schedule:
    """The recipe's learning rate from epoch to epoch."""

    def __init__(self, recipe: Recipe, state: ScheduleState | None = None) -> None:
        self._base = recipe.optimizer.learning_rate
        self._rule = recipe.schedule
        self.state = state or ScheduleState()

    def rate(self, epoch: int) -> float:
        """The learning rate of `epoch`, which counts from 1."""
        rule = self._rule
        if isinstance(rule, StepSchedule):
            drops = sum(epoch >= milestone for milestone in rule.epochs)
        elif isinstance(rule, PlateauSchedule):
            drops = self.state.drops
        else:
            return self._base
        try:
            rate = self._base * rule.factor**drops
        except OverflowError:  # a factor above 1: the first step will show it
            return math.inf
        return float(f"{rate:.{DIGITS}g}") if drops else rate

    def observe(self, error: float) -> None:
        """Take the held-out error of the epoch that has ended."""
        rule, state = self._rule, self.state
        if not isinstance(rule, PlateauSchedule):
            return
        if state.best is None or error < state.best:
            self.state = ScheduleState(error, 0, state.drops)
        elif state.stale + 1 >= rule.patience and state.drops < rule.drops:
            self.state = ScheduleState(state.best, 0, state.drops + 1)
        else:
            self.state = ScheduleState(state.best, state.stale + 1, state.drops)
