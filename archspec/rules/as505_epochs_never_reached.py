"""The schedule has steps that the run ends before.

`steps` lowers the learning rate when an epoch begins, `plateau` when the best error is `patience`
epochs old. Where the run is shorter, the rate stays what it was, and the end of training, which
lowering it is for, never comes. A warm-up of all epochs never reaches the learning rate that it
leads to. Usually `epochs` was shortened and the schedule was not.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 16, kernel_size: 3, padding: 1}
      - {name: relu1, type: relu}
      - {name: pool1, type: global_avg_pool2d}
      - {name: fc, type: dense, units: 10}
    training:
      epochs: 20
      batch_size: 128
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0005}
      schedule: {type: steps, epochs: [10, 30], factor: 0.1}
      preprocessing: {mean: data, std: data}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 16, kernel_size: 3, padding: 1}
      - {name: relu1, type: relu}
      - {name: pool1, type: global_avg_pool2d}
      - {name: fc, type: dense, units: 10}
    training:
      epochs: 20
      batch_size: 128
      optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0005}
      schedule: {type: steps, epochs: [10, 15], factor: 0.1}
      preprocessing: {mean: data, std: data}
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.analysis.numbers import counted
from archspec.diagnostics import Fix, Problem
from archspec.rules.base import Rule
from archspec.rules.recipe import place
from archspec.spec.recipe import PlateauSchedule, StepSchedule


def _check(analysis: Analysis) -> Iterator[Problem]:
    recipe = analysis.graph.spec.training
    if recipe is None:
        return
    schedule, epochs = recipe.schedule, recipe.epochs
    if recipe.warmup is not None and recipe.warmup.epochs == epochs:
        yield Problem(
            "epochs-never-reached",
            f"the run has {counted(epochs, 'epoch')}, and its warm-up takes all of it: the "
            f"learning rate of {recipe.optimizer.learning_rate:g} is never reached",
            "leave `warmup` out" if epochs == 1 else f"use a warm-up of less than {epochs} epochs",
            span=place(analysis, "warmup", "epochs"),
        )
    if isinstance(schedule, StepSchedule):
        late = [epoch for epoch in schedule.epochs if epoch > epochs]
        if late:
            left = [epoch for epoch in schedule.epochs if epoch <= epochs]
            words = ", ".join(map(str, late))
            what = (
                f"epoch {words} never begins" if len(late) == 1 else f"epochs {words} never begin"
            )
            rate = math.prod([recipe.optimizer.learning_rate, *(schedule.factor for _ in left)])
            yield Problem(
                "epochs-never-reached",
                f"the run has {counted(epochs, 'epoch')}, and {what}: the learning rate ends at "
                f"{rate:.3g}",
                f"a schedule up to epoch {late[-1]} needs a run of that many epochs at least",
                span=place(analysis, "schedule", "epochs"),
                fixes=(Fix(f"epochs {left}", "the same run", {"training.schedule.epochs": left}),)
                if left
                else (),
            )
    elif isinstance(schedule, PlateauSchedule) and schedule.patience >= epochs:
        yield Problem(
            "epochs-never-reached",
            f"the run has {counted(epochs, 'epoch')}, and the rate is lowered when the error has "
            f"not improved for {schedule.patience:,}: that never happens",
            f"use a patience below {epochs}" if epochs > 1 else "use a `constant` schedule",
            span=place(analysis, "schedule", "patience"),
        )


RULE = Rule("AS505", "epochs-never-reached", "warning", check=_check)
