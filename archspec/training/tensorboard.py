"""A run's figures for TensorBoard, as it goes.

The file is written with the `tensorboard` package's own format and no framework: its writer of
events would import TensorFlow. Both kinds of figures, of steps and of epochs, have the run's step
as their place, so that one mark can say from where on a resumed run replaces what was there.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from archspec.diagnostics import ArchspecError
from archspec.training.options import EpochMetrics, Progress, RunPlan, RunSummary
from archspec.training.sources import shown

FOLDER = "tensorboard"
# TensorBoard's name for files of this format, the first one that knows marks of a new session.
_VERSION = "brain.Event:2"
_FILE = "events.out.tfevents."


class TensorBoard:
    """A watcher that writes scalars into RUN/tensorboard: `step/loss`, `epoch/val_top1`, ...

    A resumed run goes on in a new file; of what stands in the ones before, TensorBoard leaves out
    the steps that are trained again. A file that cannot be written is told once, to `warn`, and
    the run goes on without it.

    Raises ArchspecError where the package is missing.
    """

    def __init__(self, warn: Callable[[str], None], now: Callable[[], float] = time.time) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise ArchspecError(
                "--tensorboard needs tensorboard: pip install 'archspec-nn[tensorboard]'"
            )
        self._warn, self._now = warn, now
        self._folder: Path | None = None
        self._file: Path | None = None
        self._last: int | None = None

    def start(self, plan: RunPlan) -> None:
        """Know where to write."""
        self._folder = plan.folder / FOLDER

    def step(self, progress: Progress) -> None:
        """Write the figures of a step, once."""
        if progress.step == self._last:
            return
        if self._last is None:
            self._begin(progress.step)
        self._last = progress.step
        figures = {
            "loss": progress.loss,
            "lr": progress.learning_rate,
            "images_per_second": progress.images_per_second,
            "data_wait": progress.data_wait,
        }
        self._write(progress.step, {f"step/{name}": value for name, value in figures.items()})

    def epoch(self, metrics: EpochMetrics) -> None:
        """Write the figures of an epoch, at its last step."""
        if self._last is None:  # all of its steps were trained before the run was resumed
            self._begin(metrics.step)
            self._last = metrics.step
        figures = {
            name: value for name, value in vars(metrics).items() if isinstance(value, int | float)
        }
        step = int(figures.pop("step"))
        self._write(step, {f"epoch/{name}": value for name, value in figures.items()})

    def warn(self, message: str) -> None:
        """Nothing: warnings are no figures."""

    def end(self, summary: RunSummary) -> None:
        """Nothing: every figure is in the file already."""

    def _begin(self, step: int) -> None:
        """A new file, in which everything from this step on is told anew."""
        assert self._folder is not None
        try:
            self._folder.mkdir(exist_ok=True)
            before = [int(path.name[len(_FILE) :][:10]) for path in self._folder.glob(f"{_FILE}*")]
        except (OSError, ValueError) as error:
            self._failed(error)
            return
        # Files are read in the order of their names.
        seconds = max([int(self._now()), *(second + 1 for second in before)])
        name = f"{_FILE}{seconds:010d}.{platform.node()}.{os.getpid()}"
        self._file = self._folder / name
        self._event(file_version=_VERSION)
        from tensorboard.compat.proto.event_pb2 import SessionLog

        self._event(step=step, session_log=SessionLog(status=SessionLog.START))

    def _write(self, step: int, figures: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in figures.items()]
        self._event(step=step, summary=Summary(value=values))

    def _event(self, **fields: Any) -> None:
        """Append an event; the file is open for that moment alone, and whole after it."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        if self._file is None:
            return
        data = Event(wall_time=self._now(), **fields).SerializeToString()
        try:
            with self._file.open("ab") as stream:
                RecordWriter(stream).write(data)
        except OSError as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        assert self._folder is not None
        self._file = None
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        self._warn(f"cannot write {shown(self._folder)}: {reason}; going on without TensorBoard")
