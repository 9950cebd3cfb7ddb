"""What `archspec data prepare` says while it works, with a clock that the test moves."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from archspec.report.preparing import PreparingReport
from archspec.training.preparing import PreparePlan, PrepareProgress
from archspec.training.sources.prepared import Settings, Unreadable

PLAN = PreparePlan(
    Path("store"), Settings("digits", "f" * 64, 10_000, 256, "raw", None, 128), 10, 4, 1 << 30, 1
)


def said(*, terminal: bool) -> list[str]:
    """The lines of a preparation that goes on with 4,000 images and makes 100 a second."""
    time, stream = [1000.0], io.StringIO()
    console = Console(file=stream, width=200, force_terminal=terminal, color_system=None)
    report = PreparingReport(console, lambda: time[0])
    report.start(PLAN)
    report.unreadable(Unreadable("no/[bold]such\n.png", "it is empty"))
    for second in (1, 14, 16, 20, 60):
        time[0] = 1000.0 + second
        report.step(PrepareProgress(100 * second, 4000, 10_000))
    report.interrupted()
    return stream.getvalue().splitlines()


def test_without_a_terminal() -> None:
    assert said(terminal=False) == [
        "digits: 10,000 images in 10 classes",
        "to store: 128 shards, 4 workers, about 1.0 GiB to write",
        "warning: 1 B are free, which will not be enough; --encoding jpeg takes about a sixth",
        "unreadable: no/[bold]such .png: it is empty",
        "  5,600/10,000 images, 100 images/s, 0:44 left, 1 unreadable",
        "stopped; the same command goes on with the shards that are whole",
    ]


def test_in_a_terminal_there_is_a_bar() -> None:
    lines = "\n".join(said(terminal=True))
    assert "10,000/10,000 images, 100 images/s, 0:00 left, 1 unreadable" in lines
    assert lines.rstrip().endswith("goes on with the shards that are whole")
