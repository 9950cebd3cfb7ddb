"""Images a second, and the part of the time spent waiting for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from archspec.training.clock import Clock


class Run:
    """An epoch in a time that only moves when it is told to; a batch has 10 images."""

    def __init__(self, waits: list[float], busy: tuple[int, ...] = ()) -> None:
        self.seconds = 100.0
        self.clock = Clock(lambda: self.seconds)
        self._waits = waits
        self._busy = [number in busy for number in range(len(waits))]

    def batches(self) -> Iterator[int]:
        for number, wait in enumerate(self._waits):
            self.seconds += wait
            yield number

    def steps(self) -> Iterator[int]:
        for number in self.clock.waiting_for(self.batches(), lambda: self._busy.pop(0)):
            self.seconds += 3.0
            self.clock.stepped(10)
            yield number


def test_speed_and_wait() -> None:
    run = Run([1.0] * 4)
    list(run.steps())
    assert run.clock.images == 40
    assert run.clock.images_per_second == pytest.approx(40 / 16)
    assert run.clock.data_wait == pytest.approx(0.25)


def test_what_happens_between_the_steps_is_no_wait() -> None:
    run = Run([1.0] * 4)
    for _ in run.steps():
        run.seconds += 1.0  # a report
    assert run.clock.images_per_second == pytest.approx(40 / 20)
    assert run.clock.data_wait == pytest.approx(4 / 20)


def test_the_first_step_of_a_run_does_not_count() -> None:
    run = Run([5.0, 0.0, 0.0, 0.0])
    for number in run.steps():
        if number == 0:
            run.seconds += 60.0  # it compiled
            run.clock.leave_out()
    assert run.clock.images == 40
    assert run.clock.images_per_second == pytest.approx(30 / 9)
    assert run.clock.data_wait == 0.0


def test_an_epoch_of_one_step_counts_it_after_all() -> None:
    run = Run([1.0])
    for _ in run.steps():
        run.clock.leave_out()
    assert run.clock.images_per_second == pytest.approx(10 / 4)
    assert run.clock.data_wait == pytest.approx(1 / 4)


def test_a_wait_while_the_device_works_costs_nothing() -> None:
    run = Run([1.0] * 4, busy=(1, 2))
    list(run.steps())
    assert run.clock.data_wait == pytest.approx(2 / 16)


def test_nothing_is_counted_after_the_last_batch() -> None:
    run = Run([1.0])
    list(run.steps())
    with pytest.raises(StopIteration):
        next(run.clock.waiting_for([], lambda: False))
    assert run.clock.data_wait == pytest.approx(1 / 4)
