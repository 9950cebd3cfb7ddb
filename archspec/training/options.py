"""What a run is told from outside, and what it reports back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from archspec.spec.recipe import Recipe


@dataclass(frozen=True)
class RunOptions:
    """The command line's choices; None leaves what the spec's recipe says.

    `data` is ``digits`` or ``folder:DIR``; `limit` bounds the number of images, training and
    held-out ones together; `output` is the run folder (a new one under ``runs/`` by default).
    """

    backend: str = "torch"
    data: str = "digits"
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    device: str = "auto"
    seed: int | None = None
    limit: int | None = None
    output: Path | None = None
    resume: Path | None = None
    variables: Mapping[str, int | float | bool | str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunPlan:
    """What a run is about to do, for the first lines of its report."""

    title: str
    backend: str
    engine: str
    device: str
    data: str
    classes: int
    training_images: int
    held_out_images: int
    params: int
    recipe: Recipe
    folder: Path
    first_epoch: int


@dataclass(frozen=True)
class EpochMetrics:
    """One line of `metrics.jsonl`. Top-1 and top-5 are fractions of the held-out images.

    `images_per_second` counts training alone; `data_wait` is the fraction of that time in
    which the model waited for images.
    """

    epoch: int
    step: int
    train_loss: float
    val_loss: float
    val_top1: float
    val_top5: float
    lr: float
    images_per_second: float
    data_wait: float

    def to_json(self) -> dict[str, Any]:
        """The metrics as a JSON object."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class RunSummary:
    """How a run ended."""

    folder: Path
    epochs: int
    seconds: float
    last: EpochMetrics | None
    best: EpochMetrics | None


class Watcher(Protocol):
    """Somebody who is told how a run goes, such as a progress bar."""

    def start(self, plan: RunPlan) -> None:
        """Tell that the run begins."""

    def step(self, epoch: int, images: int, total: int, loss: float | None) -> None:
        """Tell that `images` of the epoch's `total` are trained; the loss when it is known."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """Tell that an epoch has ended and its checkpoint is written."""

    def end(self, summary: RunSummary) -> None:
        """Tell that the run is over."""


class Silent:
    """A watcher that says nothing."""

    def start(self, plan: RunPlan) -> None:
        """Say nothing."""

    def step(self, epoch: int, images: int, total: int, loss: float | None) -> None:
        """Say nothing."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """Say nothing."""

    def end(self, summary: RunSummary) -> None:
        """Say nothing."""
