"""What a run is told from outside, and what it reports back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from archspec.spec.recipe import Recipe

if TYPE_CHECKING:
    from archspec.weights import Loaded


# How often a run is saved within an epoch where nothing else is said: so much is lost at most.
SAVE_EVERY = "10m"
# What becomes of a run whose loss is NaN or infinite.
OnNan = Literal["stop", "skip"]


@dataclass(frozen=True)
class RunOptions:
    """The command line's choices; None leaves what the spec's recipe or the default says.

    `backend` is torch by default; `data` is a source (`archspec.training.sources.KINDS`), by
    default ``digits``; `limit` bounds the number of images, training and held-out ones together;
    `output` is the run folder (a new one under ``runs/`` by default). `resume` is the folder of
    a run to go on with, which keeps its spec, data and recipe: `epochs`, `device`, `save_every`,
    `on_nan`, `tensorboard`, `compile`, `channels_last`, `devices` and `shard_model` may be given
    with it, and anything else that says what the run is.

    `save_every` is a number of steps or a time (``500``, ``10m``) after which the run is saved
    within an epoch. `on_nan` says what becomes of a step whose loss is NaN or infinite: the run
    stops, or goes on as if the step had not been.

    `precision`, `compile`, `channels_last` and `deterministic` say how it computes, as
    `archspec.backends.base.Execution` does; `compile` and `channels_last` may be other ones when
    a run goes on.

    `devices` are those of one process that divide each batch (Keras on JAX). `shard_model` gives
    each of several processes a part of the model; None does where it is too large for a device.

    `recipe` replaces keys of the recipe, such as ``optimizer.momentum`` (None leaves one out).

    `weights` is what the run begins with: a file of weights, the folder of a run or a checkpoint;
    the layers that `skip` names begin as the spec says, and so do all without it. The layers that
    `freeze` names keep what they begin with. Both hold names of layers or of blocks, or shell
    patterns over them.

    `tensorboard` writes the run's figures for TensorBoard, into its folder; a run that has begun
    with it goes on with it.
    """

    backend: str | None = None
    data: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    device: str = "auto"
    precision: str = "auto"
    compile: bool | None = None
    channels_last: bool | None = None
    deterministic: bool = False
    seed: int | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    output: Path | None = None
    resume: Path | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    root: Path | None = None
    weights: Path | None = None
    skip: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    save_every: str | None = None
    on_nan: OnNan | None = None
    devices: int = 1
    shard_model: bool | None = None
    tensorboard: bool = False

    def command(self, spec: object) -> list[str]:
        """The words of the command line that say the same."""
        options = {
            "backend": self.backend,
            "data": self.data,
            "epochs": self.epochs,
            "batch-size": self.batch_size,
            "lr": self.learning_rate,
            "device": None if self.device == "auto" else self.device,
            "precision": None if self.precision == "auto" else self.precision,
            "compile": self.compile,
            "channels-last": self.channels_last,
            "deterministic": self.deterministic or None,
            "seed": self.seed,
            "recipe": [f"{key}={json.dumps(value)}" for key, value in self.recipe.items()],
            "limit": self.limit,
            "output": self.output,
            "resume": self.resume,
            "set": [f"{name}={json.dumps(value)}" for name, value in self.variables.items()],
            "root": self.root,
            "weights": self.weights,
            "skip": self.skip,
            "freeze": self.freeze,
            "save-every": self.save_every,
            "on-nan": self.on_nan,
            "devices": None if self.devices == 1 else self.devices,
            "shard-model": self.shard_model,
            "tensorboard": self.tensorboard or None,
        }
        words = ["archspec", "train", *([] if spec is None else [str(spec)])]
        for name, value in options.items():
            several = value if isinstance(value, (list, tuple)) else [value]
            for one in several:
                if isinstance(one, bool):
                    words.append(f"--{name}" if one else f"--no-{name}")
                elif one is not None:
                    words += [f"--{name}", str(one)]
        return words


@dataclass(frozen=True)
class RunPlan:
    """What a run is about to do, for the first lines of its report.

    `execution` tells how it computes ("bfloat16, compiled") and `choices` what was measured to
    decide that. `first_batch` batches of `first_epoch` are trained already. `weights` are those of
    a file that it begins with.
    """

    title: str
    backend: str
    engine: str
    device: str
    execution: str
    choices: tuple[str, ...]
    data: str
    classes: int
    training_images: int
    held_out_images: int
    params: int
    recipe: Recipe
    folder: Path
    first_epoch: int
    images_per_epoch: int
    trained_params: int
    weights: Loaded | None = None
    first_batch: int = 0


@dataclass(frozen=True)
class EpochMetrics:
    """One line of `metrics.jsonl`. Top-1 and top-5 are fractions of the held-out images.

    `images_per_second` counts training alone, without validation, checkpoint and the first step
    of a run, which compiles; `data_wait` is the fraction of that time in which the device had
    nothing to do because images were not ready.
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


@dataclass(frozen=True)
class Progress:
    """Where a run stands within an epoch: so many `images` of `total` are trained.

    `step` counts batches since the run began; `loss` and `learning_rate` are those of the last.
    `data_wait` is the fraction of the time in which the device had nothing to do because images
    were not ready.
    """

    epoch: int
    images: int
    total: int
    step: int
    loss: float
    learning_rate: float
    images_per_second: float
    data_wait: float


@dataclass(frozen=True)
class RunSummary:
    """How a run ended: `trained` of its `epochs` were new, the others done before."""

    folder: Path
    epochs: int
    trained: int
    seconds: float
    last: EpochMetrics
    best: EpochMetrics


class Watcher(Protocol):
    """Somebody who is told how a run goes, such as a progress bar."""

    def start(self, plan: RunPlan) -> None:
        """Tell that the run begins. A run that had ended already only tells its end."""

    def step(self, progress: Progress) -> None:
        """Tell how far the epoch is: after the first step, then every half second, at its end."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """Tell that an epoch has ended and its checkpoint is written."""

    def warn(self, message: str) -> None:
        """Tell what is wrong while the run goes on; also before it begins."""

    def end(self, summary: RunSummary) -> None:
        """Tell that the run is over."""


class Silent:
    """A watcher that says nothing."""

    def start(self, plan: RunPlan) -> None:
        """Say nothing."""

    def step(self, progress: Progress) -> None:
        """Say nothing."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """Say nothing."""

    def warn(self, message: str) -> None:
        """Say nothing."""

    def end(self, summary: RunSummary) -> None:
        """Say nothing."""


class Together:
    """Several watchers as one; each is told everything, in their order."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def start(self, plan: RunPlan) -> None:
        """Tell all that the run begins."""
        for watcher in self._watchers:
            watcher.start(plan)

    def step(self, progress: Progress) -> None:
        """Tell all how far the epoch is."""
        for watcher in self._watchers:
            watcher.step(progress)

    def epoch(self, metrics: EpochMetrics) -> None:
        """Tell all that an epoch has ended."""
        for watcher in self._watchers:
            watcher.epoch(metrics)

    def warn(self, message: str) -> None:
        """Tell all what is wrong."""
        for watcher in self._watchers:
            watcher.warn(message)

    def end(self, summary: RunSummary) -> None:
        """Tell all that the run is over."""
        for watcher in self._watchers:
            watcher.end(summary)
