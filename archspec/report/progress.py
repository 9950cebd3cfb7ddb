"""How a training run looks in the terminal: a bar, or plain lines where there is no terminal."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from archspec.report.numbers import duration
from archspec.training.options import EpochMetrics, RunPlan, RunSummary

# Seconds between two plain lines within an epoch.
PLAIN_EVERY = 15.0


class TrainingReport:
    """Prints a run to a console as it goes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._plan: RunPlan | None = None
        self._started = self._epoch_started = self._printed = time.monotonic()

    def start(self, plan: RunPlan) -> None:
        """Print what is about to run, and show the bar."""
        self._plan = plan
        recipe = plan.recipe
        rule = recipe.optimizer
        say = self._console.print
        say(f"[bold]{escape(plan.title)}[/bold], {plan.params:,} parameters", highlight=False)
        say(f"on {plan.engine}, {plan.device}", highlight=False)
        say(
            f"data {escape(plan.data)}: {plan.classes} classes, {plan.training_images:,} "
            f"training and {plan.held_out_images:,} held-out images",
            highlight=False,
        )
        say(
            f"recipe: {recipe.epochs} epochs, batch {recipe.batch_size}, {rule.type}, learning "
            f"rate {rule.learning_rate:g} ({recipe.schedule.type}), momentum {rule.momentum:g}, "
            f"weight decay {rule.weight_decay:g}, seed {recipe.seed}",
            highlight=False,
        )
        say(f"run folder {escape(str(plan.folder))}", highlight=False)
        if plan.first_epoch > 1:
            say(f"going on after epoch {plan.first_epoch - 1}", highlight=False)
        self._started = self._epoch_started = self._printed = time.monotonic()
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
                BarColumn(),
                TextColumn("{task.fields[rate]:,.0f} images/s  loss {task.fields[loss]}"),
                TimeRemainingColumn(compact=True),
                console=self._console,
                transient=True,
            )
            per_epoch = plan.training_images
            self._task = self._bar.add_task(
                "training",
                total=per_epoch * recipe.epochs,
                completed=per_epoch * (plan.first_epoch - 1),
                epoch=plan.first_epoch,
                epochs=recipe.epochs,
                rate=0.0,
                loss="-",
            )
            self._bar.start()

    def step(self, epoch: int, images: int, total: int, loss: float | None) -> None:
        """Move the bar, or print a line now and then."""
        now = time.monotonic()
        rate = images / max(now - self._epoch_started, 1e-9)
        shown = "-" if loss is None else f"{loss:.4f}"
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                completed=(epoch - 1) * total + images,
                epoch=epoch,
                rate=rate,
                loss=shown,
            )
        elif now - self._printed >= PLAIN_EVERY and images < total:
            self._printed = now
            left = self._left(epoch - 1 + images / total)
            self._console.print(
                f"epoch {epoch}: {images:,}/{total:,} images, {rate:,.0f} images/s, "
                f"loss {shown}, {left} left",
                highlight=False,
            )

    def epoch(self, metrics: EpochMetrics) -> None:
        """Print the line of an epoch."""
        assert self._plan is not None
        self._console.print(
            f"epoch {metrics.epoch:>{len(str(self._plan.recipe.epochs))}}"
            f"/{self._plan.recipe.epochs}  "
            f"loss {metrics.train_loss:.4f}  held-out loss {metrics.val_loss:.4f}  "
            f"top-1 {metrics.val_top1:6.2%}  top-5 {metrics.val_top5:6.2%}  "
            f"{metrics.images_per_second:,.0f} images/s  {self._left(metrics.epoch)} left",
            highlight=False,
            soft_wrap=True,
        )
        self._epoch_started = self._printed = time.monotonic()

    def end(self, summary: RunSummary) -> None:
        """Take the bar away and say how it ended."""
        self.close()
        say = self._console.print
        if summary.last is None or summary.best is None:
            say("nothing was left to train", highlight=False)
            return
        say(
            f"[bold]held-out top-1 {summary.last.val_top1:.2%}[/bold] after {summary.epochs} "
            f"epochs (best {summary.best.val_top1:.2%} in epoch {summary.best.epoch}), "
            f"{duration(summary.seconds)}",
            highlight=False,
            soft_wrap=True,
        )
        folder = escape(str(summary.folder))
        say(f"metrics     {folder}/metrics.jsonl", highlight=False, soft_wrap=True)
        say(f"checkpoints {folder}/checkpoints/last, best", highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away, also after a failure."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _left(self, epochs_done: float) -> str:
        """The time left at the speed so far."""
        assert self._plan is not None
        before = self._plan.first_epoch - 1
        done = epochs_done - before
        remaining = self._plan.recipe.epochs - epochs_done
        elapsed = time.monotonic() - self._started
        return duration(elapsed / done * remaining) if done > 0 else "?"
