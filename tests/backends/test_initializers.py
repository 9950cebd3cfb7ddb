"""Initialisers: the same distributions in archspec's own draw and in the emitted models."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from networks import branching, layer, network

from archspec.backends import get_backend
from archspec.backends.initial import initial_weights
from archspec.backends.numpy import BACKEND as NUMPY
from archspec.graph import Graph

# Of the two layers below: kernel height x width x channels a group, height x width x filters.
FANS = {"conv": (8 * 25, 32 * 25), "dense": (32, 150)}
CUT = 0.8796256610342398  # the deviation of a Gaussian cut at two of its deviations

RULES: dict[str, dict[str, Any] | str] = {
    "normal": {"type": "normal", "mean": 0.3, "std": 0.2},
    "truncated_normal": {"type": "truncated_normal", "mean": 0.3, "std": 0.2},
    "uniform": {"type": "uniform", "low": -0.1, "high": 0.5},
    "xavier_normal": "xavier_normal",
    "xavier_normal_gain": {"type": "xavier_normal", "gain": 2.0},
    "xavier_uniform": {"type": "xavier_uniform", "gain": 0.5},
    "kaiming_normal": "kaiming_normal",
    "kaiming_normal_out": {"type": "kaiming_normal", "mode": "fan_out"},
    "kaiming_uniform": {"type": "kaiming_uniform", "negative_slope": 0.5},
    "zeros": "zeros",
    "ones": "ones",
    "constant": {"type": "constant", "value": -0.25},
    "normal_without_spread": {"type": "normal", "mean": 0.5, "std": 0},
    "truncated_normal_without_spread": {"type": "truncated_normal", "mean": 0.5, "std": 0},
}


def expected(rule: str, fan_in: int, fan_out: int) -> tuple[float, float, float]:
    """Mean, standard deviation, and how far from the mean a number may lie."""
    infinite = math.inf
    if rule.startswith("xavier"):
        gain = {"xavier_normal": 1.0, "xavier_normal_gain": 2.0, "xavier_uniform": 0.5}[rule]
        std = gain * math.sqrt(2 / (fan_in + fan_out))
        return 0.0, std, std * math.sqrt(3) if "uniform" in rule else infinite
    return {
        "normal": (0.3, 0.2, infinite),
        "truncated_normal": (0.3, 0.2 * CUT, 0.4),
        "uniform": (0.2, 0.6 / math.sqrt(12), 0.3),
        "kaiming_normal": (0.0, math.sqrt(2 / fan_in), infinite),
        "kaiming_normal_out": (0.0, math.sqrt(2 / fan_out), infinite),
        "kaiming_uniform": (0.0, math.sqrt(1.6 / fan_in), math.sqrt(3 * 1.6 / fan_in)),
        "zeros": (0.0, 0.0, 0.0),
        "ones": (1.0, 0.0, 0.0),
        "constant": (-0.25, 0.0, 0.0),
        "normal_without_spread": (0.5, 0.0, 0.0),
        "truncated_normal_without_spread": (0.5, 0.0, 0.0),
    }[rule]


def check(weights: np.ndarray, mean: float, std: float, reach: float) -> None:
    """Mean and deviation within five of their standard errors, and nothing beyond the limit."""
    values = weights.astype("float64").ravel()
    rounding = 1e-6 * (abs(mean) + std)
    assert abs(values.mean() - mean) <= 5 * std / math.sqrt(values.size) + rounding
    assert abs(values.std() - std) <= 5 * std / math.sqrt(2 * values.size) + rounding
    assert np.abs(values - mean).max() <= reach + rounding


def drawn(backend: str, graph: Graph) -> dict[str, np.ndarray]:
    """The weights that the framework, or archspec itself, draws for a new model."""
    if backend == "archspec":
        return initial_weights(graph, 0)
    chosen = get_backend(backend)
    chosen.require()
    if backend == "keras":
        import keras

        keras.utils.set_random_seed(1)
    torch.manual_seed(1)
    return dict(chosen.save_weights(graph, chosen.build(graph)))


BACKENDS = [
    "archspec",
    "torch",
    "keras",
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_have_the_distribution_of_the_spec(backend: str, rule: str) -> None:
    init = {"weight_init": RULES[rule], "bias_init": "zeros"}
    layers = [
        layer("conv", "conv2d", filters=32, kernel_size=5, groups=2, **init),
        layer("flat", "flatten"),
        layer("dense", "dense", units=150, **init),
    ]
    weights = drawn(backend, network(layers, (16, 5, 5)))
    for name, fans in FANS.items():
        check(weights[f"{name}.weight"], *expected(rule, *fans))
        assert not weights[f"{name}.bias"].any()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_biases_have_the_distribution_of_the_spec(backend: str, rule: str) -> None:
    # The fans of a bias are those of its layer: 12 and 6000, though it is a vector.
    layers = [
        layer("flat", "flatten"),
        layer("dense", "dense", units=6000, weight_init="zeros", bias_init=RULES[rule]),
    ]
    weights = drawn(backend, network(layers, (3, 2, 2)))
    check(weights["dense.bias"], *expected(rule, 12, 6000))


def test_a_draw_depends_on_the_seed_and_the_name_alone() -> None:
    layers = [
        layer("conv1", "conv2d", filters=4, kernel_size=3),
        layer("conv2", "conv2d", filters=4, kernel_size=3),
    ]
    weights = initial_weights(network(layers), 3)
    for name, again in initial_weights(network(layers), 3).items():
        assert (weights[name] == again).all()
    other = initial_weights(network(layers), 4)
    assert all((weights[name] != other[name]).all() for name in weights)
    assert weights["conv1.weight"].ravel()[0] != weights["conv2.weight"].ravel()[0]
    # Another layer before it, of any kind, changes nothing.
    longer = [layer("norm", "batch_norm", eps=1e-3, decay=0.9), *layers]
    for name, again in initial_weights(network(longer), 3).items():
        assert name.startswith("norm.") or (weights[name] == again).all()


@pytest.mark.parametrize("seed", [0, 7])
def test_the_emitted_numpy_model_draws_what_archspec_draws(seed: int) -> None:
    layers = [layer(name, "conv2d", filters=3, kernel_size=1, weight_init=RULES[name],
                    bias_init=RULES[name]) for name in RULES]  # fmt: skip
    for graph in (network(layers), branching()):
        emitted = type(NUMPY.build(graph))(seed=seed).weights
        expected = initial_weights(graph, seed)
        assert list(emitted) == list(expected)
        assert all((emitted[name] == expected[name]).all() for name in expected)


def test_a_built_model_takes_the_seed() -> None:
    import archspec

    graph = branching()
    first, second = (archspec.build(graph, backend="torch", seed=seed) for seed in (1, 2))
    weights = get_backend("torch").save_weights(graph, first)
    for name, expected in initial_weights(graph, 1).items():
        assert (weights[name] == expected.astype("float32")).all()
    assert not torch.equal(first.stem.weight, second.stem.weight)
