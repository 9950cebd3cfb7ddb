"""Ctrl-C and SIGTERM: a run ends behind its step, with all that it has learnt."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TypeVar

from archspec.backends.base import ALONE, Group

Item = TypeVar("Item")

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A run was asked to stop and has: `folder` holds all of it, `signal` is who asked.

    No Exception, because nothing that handles errors is to go on after it.
    """

    def __init__(self, number: int, folder: Path) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal, self.folder = number, folder


class BrokenOff(Exception):
    """Ends a pass over images in the middle."""


class Signals:
    """Remembers the first SIGINT or SIGTERM while it is entered; a second one does what it did.

    That is what it did before: end the process, or raise KeyboardInterrupt. Only the main thread
    may handle signals; in another one nothing is remembered. A signal that the process was told
    to ignore stays ignored.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # None: something beside Python handles it.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    @property
    def number(self) -> int:
        """The signal to end with: SIGTERM where another process of a group received one."""
        return signal.SIGTERM if self.received is None else self.received

    def until(self, items: Iterable[Item], group: Group = ALONE) -> Iterator[Item]:
        """The items. Raises BrokenOff before the next one when a process has a signal.

        All processes of the group have as many items.
        """
        for item in items:
            if group.any(self.received is not None):
                raise BrokenOff
            yield item

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
