"""The bounds of float32: what they count, that they hold, and that they are not loose."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import branching, layer, network

import archspec
from archspec import verification
from archspec.backends.torch import BACKEND as TORCH
from archspec.verification.rounding import LAMBDA, UNIT, Roundings, bound, moved

ZOO = json.loads((Path(__file__).parents[1] / "data/zoo.json").read_text())
SMALL = {name: row for name, row in ZOO.items() if isinstance(row, dict) and "verify" in row}


def test_roundings_are_counted_along_the_longest_path() -> None:
    graph = network(
        [
            layer("conv1", "conv2d", filters=2, kernel_size=3, padding=1),
            layer("short", "conv2d", "input", filters=2, kernel_size=1),
            layer("sum", "add", "conv1", "short"),
            layer("flatten", "flatten"),
            layer("fc", "dense", units=5, bias=False),
        ]
    )
    found = Roundings(graph, 4)
    # 27 products, 27 additions with the bias; 3 of each; one addition; nothing but itself.
    assert found.own == {"conv1": 54 + 1, "short": 6 + 1, "sum": 1, "flatten": 1, "fc": 2 * 128}
    assert found.outputs["sum"] == 55 + 1
    assert found.outputs["fc"] == found.last == 55 + 1 + 1 + 256
    # Forward to the end, 4 images with 640 products and sums each for 640 weights.
    assert found.gradient("fc.weight", 640) == found.last + 2 * 4
    # Back through fc: 2 x 640 over 128 inputs.
    back = 2 * 640 // 128 + 1 + 1
    assert found.gradient("conv1.bias", 2) == found.last + back + 4 * 55 * 128 // 2


def test_statistics_of_the_batch_are_sums_over_it() -> None:
    graph = network([layer("norm", "batch_norm", eps=1e-3, decay=0.9)])
    found = Roundings(graph, 4)
    assert found.own_in_training["norm"] == found.own["norm"] + 4 * 64


def test_the_bound_is_a_random_walk_of_roundings() -> None:
    assert UNIT["float32"] == np.finfo("float32").eps / 2
    assert bound(100) == LAMBDA * 10 * 2.0**-24


@pytest.mark.parametrize("terms", [1, 10, 1000, 20000])
def test_sums_of_products_round_as_the_rule_says(terms: int) -> None:
    """Plain summation in float32, the worst order there is, over many sums."""
    numbers = np.random.default_rng(terms)
    x, w = numbers.standard_normal((2, 200, terms)).astype("float32")
    total = np.zeros(200, "float32")
    for i in range(terms):
        total = total + x[:, i] * w[:, i]
    exact = (x.astype("float64") * w).sum(axis=1)
    error = np.abs(total - exact).max() / np.abs(exact).max()
    assert error <= bound(2 * terms)
    assert error >= bound(2 * terms) / 200  # and no looser than it has to be


def test_weights_are_moved_by_what_rounding_amounts_to() -> None:
    weights = {"fc.weight": np.full((400, 400), 3.0), "fc.bias": np.zeros(5)}
    found = moved(weights, {"fc": 100}, np.random.default_rng(0))
    apart = found["fc.weight"] / 3.0 - 1.0
    assert apart.std() == pytest.approx(10 * UNIT["float32"], rel=0.01)
    assert abs(apart.mean()) < 0.1 * UNIT["float32"]
    assert (found["fc.bias"] == 0).all()


@pytest.mark.parametrize("name", ["alexnet", "vgg19", "resnet152", "efficientnet-v2-l"])
def test_a_thousandth_is_more_than_rounding_in_the_deepest_networks(name: str) -> None:
    assert 1e-6 < bound(Roundings(archspec.load(name), 2).last) < 5e-4


def test_branches_stay_within_the_bounds() -> None:
    found = verification.verify(branching(), dtype="float32", backends=("torch", "keras"))
    assert found.differences == ()
    assert max(e.relative for e in found.outputs) > 1e-9
    assert all(e.bound < 1e-3 for e in found.outputs)


def test_gradients_that_rounding_makes_jump_have_room() -> None:
    """Statistics of two numbers: whichever is the larger becomes 1, the other -1."""
    graph = network(
        [
            layer("conv1", "conv2d", filters=16, kernel_size=8),
            layer("norm1", "batch_norm", eps=1e-5, decay=0.9),
            layer("relu1", "relu"),
            layer("flatten", "flatten"),
            layer("fc", "dense", units=3),
        ]
    )
    found = verification.verify(graph, dtype="float32", backends=("torch",))
    assert found.equal
    bounds = {e.parameter: e.bound for e in found.gradients}
    depth = {
        e.parameter: bound(Roundings(graph, 2).gradient(e.parameter, 1)) for e in found.gradients
    }
    assert bounds["conv1.weight"] > 10 * depth["fc.bias"]


def test_in_float64_the_bounds_are_what_is_promised() -> None:
    found = verification.verify(branching(), backends=("torch",))
    assert {e.bound for e in found.outputs} == {1e-12}
    assert {e.bound for e in found.gradients} == {1e-10}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_the_bounds_hold_for_a_member_of_each_family(name: str) -> None:
    row: dict[str, Any] = SMALL[name]
    graph = archspec.load(name, input=tuple(row["verify"]), **row.get("variables", {}))
    found = verification.verify(graph, dtype="float32", backends=(TORCH.name,))
    assert found.differences == ()
    worst = max(e.relative / e.bound for e in found.outputs)
    assert 0.01 < worst < 0.5  # half of it is never needed
    assert all(math.isfinite(e.bound) for e in found.gradients)
