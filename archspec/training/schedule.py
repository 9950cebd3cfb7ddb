"""The learning rate of each epoch."""

from __future__ import annotations

from typing import Any

from archspec.spec.recipe import PlateauSchedule, Recipe, StepSchedule


class Schedule:
    """The recipe's learning rate from epoch to epoch, and the state that a plateau needs."""

    def __init__(self, recipe: Recipe) -> None:
        self._base = recipe.optimizer.learning_rate
        self._rule = recipe.schedule
        self._best = float("inf")
        self._stale = 0
        self._drops = 0

    def rate(self, epoch: int) -> float:
        """The learning rate of `epoch`, which counts from 1."""
        rule = self._rule
        if isinstance(rule, StepSchedule):
            passed = sum(epoch >= milestone for milestone in rule.epochs)
            return self._base * rule.factor**passed
        if isinstance(rule, PlateauSchedule):
            return self._base * rule.factor**self._drops
        return self._base

    def observe(self, error: float) -> None:
        """Take the held-out error of the epoch that has ended."""
        rule = self._rule
        if not isinstance(rule, PlateauSchedule):
            return
        if error < self._best:
            self._best, self._stale = error, 0
            return
        self._stale += 1
        if self._stale >= rule.patience and self._drops < rule.drops:
            self._drops += 1
            self._stale = 0

    def state(self) -> dict[str, Any]:
        """What `restore` needs, as JSON values."""
        best = None if self._best == float("inf") else self._best
        return {"best": best, "stale": self._stale, "drops": self._drops}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._best = float("inf") if state["best"] is None else float(state["best"])
        self._stale, self._drops = int(state["stale"]), int(state["drops"])
