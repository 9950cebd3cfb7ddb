"""The alignment of two networks: random edits of a chain are found back, and large ones in time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SOON

from archspec.analysis.diff import alignment
from archspec.analysis.diff.alignment import Profile, align

WEIGHTS = {"conv2d": 4, "batch_norm": 2, "relu": 1}
TYPES = ("conv2d", "batch_norm", "relu")


def chain(
    layers: Sequence[tuple[str, str, Any]], weights: Mapping[str, int] = WEIGHTS
) -> list[Profile]:
    """Layers one after another from name, type and what they compute."""
    return [
        Profile(
            name, type, frozenset({type}), {"size": what, "bias": True}, weights[type], (i - 1,)
        )
        for i, (name, type, what) in enumerate(layers)
    ]


types = st.sampled_from(TYPES)
# What is done with a layer: it stays, it goes, or another one comes before it.
edits = st.sampled_from(["stay", "stay", "stay", "remove", "insert"])


@given(st.lists(st.tuples(types, edits), min_size=1, max_size=40), st.booleans())
@settings(max_examples=150, deadline=None)
def test_random_edits_are_found_back(steps: list[tuple[str, str]], rename: bool) -> None:
    """Every layer that stays is matched with itself, by what it is or by its name too.

    All weigh the same here: two convolutions that are alike outweigh a ReLU that stays.
    """
    equal = dict.fromkeys(TYPES, 1)
    a = [(f"a{i}", type, i) for i, (type, _) in enumerate(steps)]
    b, expected = [], []
    for i, (name, type, what) in enumerate(a):
        edit = steps[i][1]
        if edit == "insert":
            b.append((f"new{i}", type, 1000 + i))
        if edit != "remove":
            expected.append((i, len(b)))
            b.append((f"b{i}" if rename else name, type, what))
    found = align(chain(a, equal), chain(b, equal))
    assert set(expected) <= set(found.pairs)
    assert not found.moved & set(expected)
    assert len({i for i, _ in found.pairs}) == len({j for _, j in found.pairs}) == len(found.pairs)
    back = align(chain(b, equal), chain(a, equal))
    assert {(i, j) for j, i in back.pairs} == set(found.pairs)


@given(st.lists(st.tuples(types, st.integers(0, 3)), min_size=2, max_size=20), st.data())
@settings(max_examples=60, deadline=None)
def test_a_name_stays_with_its_layer_when_fields_change(
    layers: list[tuple[str, int]], data: st.DataObject
) -> None:
    a = [(f"layer{i}", type, size) for i, (type, size) in enumerate(layers)]
    changed = data.draw(st.integers(0, len(a) - 1))
    b = [(n, t, 99 if i == changed else what) for i, (n, t, what) in enumerate(a)]
    assert align(chain(a), chain(b)).pairs == tuple((i, i) for i in range(len(a)))


def test_a_layer_that_is_put_elsewhere_is_moved() -> None:
    a = [("conv1", "conv2d", 1), ("norm", "batch_norm", 2), ("relu", "relu", 3), ("b", "conv2d", 4)]
    b = [a[0], a[2], a[1], a[3]]
    found = align(chain(a), chain(b))
    assert found.pairs == ((0, 0), (1, 2), (2, 1), (3, 3))
    assert len(found.moved) == 1
    renamed = [(f"{name}x", type, what) for name, type, what in b]
    assert align(chain(a), chain(renamed)).pairs == found.pairs


def test_two_halves_are_not_worth_one_that_is_the_same() -> None:
    """A layer goes, another one comes on its other side: the row between does not shift along."""
    a = [(f"a{i}", "conv2d", i) for i in range(6)]
    b = [("new", "conv2d", 99), *((f"b{i}", "conv2d", i) for i in range(5))]
    assert align(chain(a), chain(b)).pairs == tuple((i, i + 1) for i in range(5))


LARGE = 10_000


def periodic(count: int, prefix: str, skip: frozenset[int] = frozenset(), size: int = 0) -> Any:
    """The same three layers again and again."""
    return [(f"{prefix}{i}", TYPES[i % 3], size) for i in range(count) if i not in skip]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "matched"),
    [
        (periodic(LARGE, "a"), LARGE),
        (periodic(LARGE, "b"), LARGE),
        (periodic(LARGE, "a", frozenset({3, 4000, 9990})), LARGE - 3),
        (periodic(LARGE, "b", frozenset({3, 4, 5, 5000, 5001, 5002})), LARGE - 6),
        (periodic(LARGE, "a", size=7), LARGE),
        (periodic(LARGE, "b", frozenset(range(60, 90)), size=7), LARGE - 30),
        (periodic(LARGE // 2, "b"), LARGE // 2),
    ],
    ids=["equal", "renamed", "some removed", "renamed and removed", "changed",
         "renamed, removed, changed", "half"],
)  # fmt: skip
def test_ten_thousand_layers(other: Any, matched: int) -> None:
    a, b = chain(periodic(LARGE, "a")), chain(other)
    start = time.perf_counter()
    found = align(a, b)
    assert time.perf_counter() - start < SOON
    assert len(found.pairs) == matched
    assert all(a[i].type == b[j].type for i, j in found.pairs)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_a_band_of_any_width_gives_an_alignment(rows: int, columns: int, cells: int) -> None:
    a, b = chain(periodic(rows, "a")), chain(periodic(columns, "b", size=5))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(alignment, "MAX_CELLS", 0)
        patched.setattr(alignment, "BAND_CELLS", cells)
        found = align(a, b)
    assert all(a[i].type == b[j].type for i, j in found.pairs)
    in_place = [pair for pair in found.pairs if pair not in found.moved]
    assert all(i < k and j < m for (i, j), (k, m) in pairwise(in_place))
    if cells >= rows * columns:
        assert in_place == [p for p in align(a, b).pairs if p not in align(a, b).moved]
