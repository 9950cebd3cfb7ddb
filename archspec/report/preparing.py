"""How the preparation of images looks in the terminal: a bar, or plain lines without one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from archspec.analysis.numbers import counted, duration, printable, short_bytes
from archspec.training.preparing import PreparePlan, PrepareProgress, PrepareSummary
from archspec.training.sources.prepared import Unreadable

# Seconds between two plain lines.
PLAIN_EVERY = 15.0


class PreparingReport:
    """Prints a preparation to a console as it goes.

    The speed, and with it the time left, is that of the images looked at since the beginning;
    those of shards that had been written before do not count.
    """

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console, self._now = console, now
        self._plan: PreparePlan | None = None
        self._progress: PrepareProgress | None = None
        self._bar: Bar | None = None
        self._began = self._printed = now()
        self._unreadable = 0

    def start(self, plan: PreparePlan) -> None:
        """Print what is about to be done, and show the bar."""
        self._plan = plan
        settings = plan.settings
        self._say(
            f"{printable(settings.source)}: {settings.images:,} images in {plan.classes:,} classes"
        )
        self._say(
            f"to {printable(str(plan.output))}: {counted(settings.shards, 'shard')}, "
            f"{counted(plan.workers, 'worker')}, about {short_bytes(plan.expected)} to write"
        )
        if plan.expected > plan.free:
            jpeg = "" if settings.encoding == "jpeg" else "; --encoding jpeg takes about a sixth"
            self._say(f"warning: {short_bytes(plan.free)} are free, which will not be enough{jpeg}")
        self._began = self._printed = self._now()
        if self._console.is_terminal:
            self._bar = Bar(
                BarColumn(bar_width=20),
                TextColumn("{task.fields[shown]}"),
                console=self._console,
                transient=True,
            )
            self._bar.add_task("preparing", total=settings.images, shown="")
            self._bar.start()

    def step(self, progress: PrepareProgress) -> None:
        """Move the bar, or print a line now and then."""
        self._progress = progress
        now = self._now()
        speed = progress.done / max(now - self._began, 1e-9)
        done = progress.done + progress.kept
        left = duration((progress.total - done) / speed) if speed else "?"
        shown = f"{done:,}/{progress.total:,} images, {speed:,.0f} images/s, {left} left"
        if self._unreadable:
            shown += f", {self._unreadable:,} unreadable"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, shown=shown)
        elif now - self._printed >= PLAIN_EVERY and done < progress.total:
            self._printed = now
            self._say(f"  {shown}")

    def unreadable(self, image: Unreadable) -> None:
        """Print the path of an image and why it cannot be read."""
        assert self._plan is not None
        self._unreadable += 1
        folder = Path(self._plan.settings.source.partition(":")[2])
        path = str(folder / image.image if folder.is_dir() else image.image)
        self._say(f"unreadable: {printable(path)}: {printable(image.reason)}")

    def end(self, summary: PrepareSummary) -> None:
        """Take the bar away and say how long it took."""
        self.close()
        done = f"{summary.done:,} images in {duration(summary.seconds)}"
        if not summary.kept:
            done += f", {summary.done / max(summary.seconds, 1e-9):,.0f} images/s"
        kept = f"{summary.kept:,} had been stored before"
        parts = [done] * bool(summary.done) + [kept] * bool(summary.kept)
        self._say("; ".join(parts))

    def interrupted(self) -> None:
        """Say how it can go on."""
        self.close()
        if self._plan is not None:
            self._say("stopped; the same command goes on with the shards that are whole")

    def close(self) -> None:
        """Take the bar away, also after a failure."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _say(self, text: str) -> None:
        """Print a line as it is: no markup, and a long path is not broken."""
        self._console.print(Text(text), soft_wrap=True)
