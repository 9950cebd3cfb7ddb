"""Timing two things in turn, so that a ratio holds when the machine's speed drifts."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One comparison. `ratio` is how many times better archspec is: above 1 is faster.

    It is None where nothing could be measured.
    """

    what: str
    ours: str
    peer: str
    ratio: float | None
    target: str

    def markdown(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return f"| {self.what} | {self.ours} | {self.peer} | {ratio} | {self.target} |"


@dataclass(frozen=True)
class Usage:
    """What one whole process took. `cpu` is in seconds, `seconds` by the clock on the wall."""

    seconds: float
    peak_mib: float
    cpu: float


def in_turn(
    ours: Callable[[], object],
    peer: Callable[[], object],
    rounds: int,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float, float]:
    """Median seconds of both, and the median of the ratios peer / ours, round by round.

    With `time.process_time` as the clock they are those of the processor, of all threads.
    """
    for _ in range(warmup):
        ours()
        peer()
    mine, theirs = [], []
    for _ in range(rounds):
        mine.append(_seconds(ours, clock))
        theirs.append(_seconds(peer, clock))
    ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
    return statistics.median(mine), statistics.median(theirs), statistics.median(ratios)


def _seconds(action: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    action()
    return clock() - start


def environment() -> dict[str, str]:
    """The environment of what is measured: Python keeps what it compiled, as when installed.

    Where PYTHONDONTWRITEBYTECODE is set, archspec's checkout would be compiled in every run and
    the peers, which pip compiled when it installed them, would not.
    """
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def process(command: list[str], status: int = 0) -> Usage:
    """Run a command to its end. Its exit status must be `status`."""
    start = time.perf_counter()
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    )
    _, ended, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(ended)
    if child.returncode != status:
        raise RuntimeError(f"{command} ended with {child.returncode}")
    scale = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return Usage(seconds, usage.ru_maxrss / scale, usage.ru_utime + usage.ru_stime)


def milliseconds(seconds: float) -> str:
    """12.3 ms, or 1.23 s from a second on."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
