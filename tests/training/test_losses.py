"""The losses of steps: looked at later, all at once, the same in every process."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from archspec.backends.base import Alone
from archspec.training.checkpoint import State
from archspec.training.losses import Losses, NotFinite, Place

if TYPE_CHECKING:
    from archspec.backends.base import Array, Doubles


class Second(Alone):
    """One of two processes; the losses of the other are 2 larger."""

    rank, size = 1, 2

    def sum(self, numbers: Array) -> Doubles:
        return np.asarray(2 * numbers + 2, "float64")


def stepped(state: State, losses: Losses, *found: float) -> None:
    for loss in found:
        state.batch, state.step = state.batch + 1, state.step + 1
        losses.add(np.float32(loss))


def test_they_add_up_once_as_means_over_the_processes() -> None:
    state = State("n", "r", 0.5)
    losses = Losses(state, Second())
    stepped(state, losses, 1.0, 3.0)
    assert (state.losses, state.counted) == (0.0, 0)  # nobody has waited for the device yet
    losses.read()
    assert (state.losses, state.counted, losses.last) == (2.0 + 4.0, 2, 4.0)
    losses.read()
    stepped(state, losses, 5.0)
    losses.read()
    assert (state.losses, state.counted, losses.last) == (2.0 + 4.0 + 6.0, 3, 6.0)


def test_the_first_that_is_none_is_named_and_those_before_it_count() -> None:
    state = State("n", "r", 0.5, epoch=3, step=20)
    losses = Losses(state)
    stepped(state, losses, 1.0, math.nan, math.inf, 2.0)
    with pytest.raises(NotFinite, match=r"the loss is nan in epoch 3, batch 2 \(step 22\)") as bad:
        losses.read()
    assert bad.value.place == Place(3, 2, 22, 0.5)
    assert losses.place == Place(3, 4, 24, 0.5)
    assert (state.losses, state.counted, losses.last) == (1.0, 1, 1.0)


def test_steps_left_out_in_a_row() -> None:
    state = State("n", "r", 0.5)
    losses = Losses(state)
    losses.skip()
    losses.skip()
    assert (state.skipped, state.in_a_row) == (2, 2)
    stepped(state, losses, 1.0)
    losses.skip()
    assert (state.skipped, state.in_a_row) == (3, 1)
