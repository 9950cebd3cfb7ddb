"""How fast an epoch trains, and how long it waits for images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Batch = TypeVar("Batch")


class Clock:
    """Times the steps of one epoch; it starts when it is made.

    What `leave_out` is called after does not count: the first step of a run, in which Keras
    compiles and every framework looks for its fastest kernels. An epoch of that one step counts
    it after all. What is done while it is `paused` does not count either: a checkpoint.

    `images` is the number trained so far, in every step.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._start = now()
        self.images = 0
        self._waited = 0.0
        self._left_out = (self._start, 0, 0.0)

    def waiting_for(self, batches: Iterable[Batch], busy: Callable[[], bool]) -> Iterator[Batch]:
        """The batches; waiting for one costs nothing while the device is `busy`."""
        source = iter(batches)
        while True:
            asked = self._now()
            try:
                batch = next(source)
            except StopIteration:
                return
            if not busy():
                self._waited += self._now() - asked
            yield batch

    def stepped(self, images: int) -> None:
        """A step on so many images is done, or handed to the device."""
        self.images += images

    def leave_out(self) -> None:
        """What was until now does not count. The device must have finished it."""
        self._left_out = (self._now(), self.images, self._waited)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time that does not count. The device must have finished its steps."""
        paused = self._now()
        yield
        seconds = self._now() - paused
        begun, images, waited = self._left_out
        self._start += seconds
        self._left_out = begun + seconds, images, waited

    @property
    def images_per_second(self) -> float:
        """Images trained a second. The device must have finished them."""
        seconds, images, _ = self._counted()
        return images / max(seconds, 1e-9)

    @property
    def data_wait(self) -> float:
        """The fraction of the time in which there was nothing to train on."""
        seconds, _, waited = self._counted()
        return min(waited / max(seconds, 1e-9), 1.0)

    def _counted(self) -> tuple[float, int, float]:
        begun, images, waited = self._left_out
        if images == self.images:
            begun, images, waited = self._start, 0, 0.0
        return self._now() - begun, self.images - images, self._waited - waited
