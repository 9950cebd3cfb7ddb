"""How a training run looks in the terminal: a bar, or plain lines where there is no terminal.

The accuracy that is shown is that of the held-out images after the last whole epoch: counting hits
among training images too would make every step wait for its logits, and dropout and augmentation
make them another figure.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from archspec.analysis.numbers import duration, printable
from archspec.report.recipe import recipe_lines
from archspec.training.options import EpochMetrics, Progress, RunPlan, RunSummary

# Seconds between two plain lines within an epoch.
PLAIN_EVERY = 15.0
HEADER = "  epoch     loss  held-out    top-1    top-5        lr  images/s  wait      left"


class TrainingReport:
    """Prints a run to a console as it goes.

    The time left is what the rest takes at the speed since the run's first step, validation and
    checkpoints included. That step itself does not count: it compiles.
    """

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console, self._now = console, now
        self._plan: RunPlan | None = None
        self._live: Live | None = None
        self._bar = Bar(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=40),
            TextColumn("{task.percentage:.0f}%, {task.fields[left]}"),
            console=console,
        )
        # Held-out top-1 of the last whole epoch.
        self._top1: float | None = None
        self._printed = now()
        # When the run's first step was done, and how many epochs were then.
        self._from: tuple[float, float] | None = None

    def start(self, plan: RunPlan) -> None:
        """Print what is about to run, and show the bar."""
        self._plan = plan
        recipe = plan.recipe
        frozen = plan.params - plan.trained_params
        still = f", {frozen:,} of them frozen" if frozen else ""
        self._say(Text(printable(plan.title), style="bold"), f", {plan.params:,} parameters{still}")
        self._say(f"on {plan.engine}, {plan.device}, {plan.execution}")
        for choice in plan.choices:
            self._say(f"        {printable(choice)}")
        self._say(
            f"data {printable(plan.data)}: {plan.classes} classes, {plan.training_images:,} "
            f"training and {plan.held_out_images:,} held-out images"
        )
        self._say(recipe_lines(recipe))
        if plan.weights is not None:
            loaded = plan.weights
            self._say(f"weights {printable(loaded.path)} ({loaded.format})")
            layers = dict.fromkeys(name.rpartition(".")[0] for name in loaded.skipped)
            if layers:
                self._say(f"        {', '.join(layers)} as the spec initialises it")
            for note in loaded.notes:
                self._say(f"        {printable(note)}")
        self._say(f"run folder {printable(str(plan.folder))}")
        if plan.first_batch:
            self._say(f"going on in epoch {plan.first_epoch}, after batch {plan.first_batch:,}")
        elif plan.first_epoch > 1:
            self._say(f"going on after epoch {plan.first_epoch - 1}")
        self._say("\n" + HEADER)
        self._printed = self._now()
        if self._console.is_terminal:
            self._bar.add_task(
                "training",
                total=plan.recipe.epochs,
                completed=plan.first_epoch - 1,
                epoch=plan.first_epoch,
                epochs=plan.recipe.epochs,
                left="first step",
            )
            self._live = Live(self._bar, console=self._console, transient=True)
            self._live.start()

    def step(self, progress: Progress) -> None:
        """Move the bar, or print a line now and then."""
        now = self._now()
        done = progress.epoch - 1 + progress.images / progress.total
        if self._from is None:
            self._from = now, done
        left = f"{self._left(done)} left"
        if self._live is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, epoch=progress.epoch, left=left)
            self._live.update(Group(self._bar, Text(self._figures(progress))))
        elif now - self._printed >= PLAIN_EVERY and progress.images < progress.total:
            self._printed = now
            part = f"{progress.images:,}/{progress.total:,} images, {left}"
            self._say(f"  epoch {progress.epoch}: {part}")
            self._say(f"    {self._figures(progress)}")

    def _figures(self, progress: Progress) -> str:
        """Loss, accuracy, learning rate, speed and the share of the time without images."""
        parts = [f"loss {progress.loss:.4f}"]
        if self._top1 is not None:
            parts.append(f"top-1 {self._top1:.2%}")
        parts += [
            f"lr {progress.learning_rate:.4g}",
            f"{progress.images_per_second:,.0f} images/s",
            f"data wait {progress.data_wait:.0%}",
        ]
        return ", ".join(parts)

    def epoch(self, metrics: EpochMetrics) -> None:
        """Print the line of an epoch, under `HEADER`."""
        assert self._plan is not None
        number = f"{metrics.epoch}/{self._plan.recipe.epochs}"
        self._top1 = metrics.val_top1
        self._say(
            f"{number:>7}  {metrics.train_loss:>7.4f}  {metrics.val_loss:>8.4f}  "
            f"{metrics.val_top1:>7.2%}  {metrics.val_top5:>7.2%}  {metrics.lr:>8.3g}  "
            f"{metrics.images_per_second:>8,.0f}  {metrics.data_wait:>4.0%}  "
            f"{self._left(metrics.epoch):>8}"
        )
        self._printed = self._now()

    def end(self, summary: RunSummary) -> None:
        """Take the bar away and say how it ended."""
        self.close()
        folder = printable(str(summary.folder))
        epochs = f"{summary.epochs} epoch{'s' if summary.epochs != 1 else ''}"
        if self._plan is not None:
            self._say("")
        self._say(
            Text(f"held-out top-1 {summary.last.val_top1:.2%}", style="bold"),
            f" after {epochs} (best {summary.best.val_top1:.2%} in epoch {summary.best.epoch})"
            + (f", {duration(summary.seconds)}" if summary.trained else ""),
        )
        if not summary.trained:
            self._say(f"the run has ended; --epochs {summary.epochs + 1} or more trains it longer")
        self._say(f"metrics     {folder}/metrics.jsonl")
        self._say(f"checkpoints {folder}/checkpoints, the best is step-{summary.best.step:08d}")

    def warn(self, message: str) -> None:
        """Print what is wrong while the run goes on."""
        self._say(Text("warning: ", style="bold yellow"), printable(message))

    def stopped(self) -> None:
        """Say that the run was saved when it was asked to stop, and how it can go on."""
        self._left_with("stopped and saved")

    def interrupted(self) -> None:
        """Say how the run can go on from where it was saved last."""
        self._left_with("left at once, after the last checkpoint nothing is saved")

    def _left_with(self, what: str) -> None:
        self.close()
        if self._plan is not None:
            folder = printable(str(self._plan.folder))
            self._say(f"{what}; go on with archspec train --resume {folder}")

    def close(self) -> None:
        """Take the bar away, also after a failure."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _say(self, *parts: str | Text) -> None:
        """Print a line as it is: no markup, and a long path is not broken."""
        self._console.print(Text.assemble(*parts), soft_wrap=True)

    def _left(self, done: float) -> str:
        """The time left after so many epochs, with the speed so far."""
        assert self._plan is not None
        since, before = self._from or (0.0, done)
        remaining = self._plan.recipe.epochs - done
        if remaining <= 0:
            return duration(0)
        if done <= before:
            return "?"
        return duration((self._now() - since) / (done - before) * remaining)
