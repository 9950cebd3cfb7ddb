"""What AS4xx rules say that frameworks disagree on, shown by running both; and the numbers.

Each test takes the number out of the rule's message and lets the frameworks confirm it.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from networks import layer, parsed

import archspec
from archspec import catalog
from archspec.diagnostics import Diagnostic

RNG = np.random.default_rng(0)
RECIPE = {"epochs": 1, "batch_size": 4, "optimizer": {"type": "sgd", "learning_rate": 0.01}}


def found(code: str, *layers: dict[str, Any], size: int = 8, **sections: Any) -> Diagnostic:
    """The one finding of a rule in a small network."""
    graph = parsed(layers, (8, size, size), **sections)
    (diagnostic,) = (d for d in archspec.analyze(graph).diagnostics if d.code == code)
    return diagnostic


def number(pattern: str, diagnostic: Diagnostic) -> float:
    """The number in the message that a pattern captures."""
    match = re.search(pattern, diagnostic.message)
    assert match, diagnostic.message
    return float(match[1])


@pytest.mark.slow
def test_only_notes_and_one_of_a_kind_come_out_of_published_specs() -> None:
    for name in catalog.shipped():
        notes = [d for d in archspec.analyze(name).diagnostics if d.code.startswith("AS4")]
        assert {d.severity for d in notes} <= {"note"}, name
        assert len(notes) == len({d.code for d in notes}), name


LRN = {"size": 5, "alpha": 0.01, "beta": 0.75, "k": 2.0}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_alpha_of_sum_or_mean(mode: str) -> None:
    import tensorflow as tf
    import torch

    diagnostic = found("AS401", layer("norm", "local_response_norm", alpha_mode=mode, **LRN))
    other = number(r"need ([0-9.e-]+) for the same", diagnostic)
    sum_alpha, mean_alpha = (0.01, other) if mode == "sum" else (other, 0.01)
    x = RNG.normal(size=(2, 8, 3, 3)).astype("float32")
    ours = torch.nn.functional.local_response_norm(torch.tensor(x), 5, mean_alpha, 0.75, 2.0)
    theirs = tf.nn.local_response_normalization(x.transpose(0, 2, 3, 1), 2, 2.0, sum_alpha, 0.75)
    np.testing.assert_allclose(ours, theirs.numpy().transpose(0, 3, 1, 2), rtol=1e-5)
    copied = torch.nn.functional.local_response_norm(torch.tensor(x), 5, sum_alpha, 0.75, 2.0)
    assert np.abs(copied.numpy() - ours.numpy()).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("size", "kernel", "stride"), [(8, 3, 2), (224, 11, 4), (7, 2, 1)])
def test_asymmetric_same(size: int, kernel: int, stride: int) -> None:
    import tensorflow as tf
    import torch

    fields = {"filters": 1, "kernel_size": kernel, "stride": stride, "padding": "same"}
    diagnostic = found("AS402", layer("conv", "conv2d", **fields), size=size)
    (fix,) = diagnostic.fixes
    top, bottom, left, right = fix.changes["conv.padding"]
    x = RNG.normal(size=(1, 1, size, size)).astype("float32")
    w = RNG.normal(size=(1, 1, kernel, kernel)).astype("float32")
    theirs = tf.nn.conv2d(x.transpose(0, 2, 3, 1), w.transpose(2, 3, 1, 0), stride, "SAME")
    padded = torch.nn.functional.pad(torch.tensor(x), (left, right, top, bottom))
    ours = torch.nn.functional.conv2d(padded, torch.tensor(w), stride=stride).numpy()
    np.testing.assert_allclose(ours[0, 0], theirs.numpy()[0, :, :, 0], atol=1e-4)
    equal = re.search(r"padding (\d+) on both sides gives this shape too", diagnostic.message)
    shapes = {}
    for pixels in (top, bottom):
        other = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(w), None, stride, pixels)
        shapes[pixels] = other.numpy()
    if equal:
        other = shapes[int(equal[1])]
        assert other.shape == ours.shape
        assert np.abs(other - ours).max() > 0.1
    else:
        assert "no padding that is equal on both sides gives this shape" in diagnostic.message
        assert all(other.shape != ours.shape for other in shapes.values())


@pytest.mark.slow
@pytest.mark.parametrize("count", [True, False])
def test_mean_over_padding(count: bool) -> None:
    import tensorflow as tf
    import torch

    fields = {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": count}
    diagnostic = found("AS403", layer("pool", "avg_pool2d", **fields))
    factor = number(r"by a factor of ([0-9.]+)", diagnostic)
    x = torch.ones(1, 1, 8, 8)
    default = torch.nn.functional.avg_pool2d(x, 3, 1, 1).numpy()
    theirs = tf.nn.avg_pool2d(x.numpy().transpose(0, 2, 3, 1), 3, 1, "SAME").numpy()
    assert theirs[0, 0, 0, 0] / default[0, 0, 0, 0] == pytest.approx(factor)
    assert ("TensorFlow and Keras never do" in diagnostic.message) == count


@pytest.mark.slow
def test_momentum_as_decay_and_the_variance_of_few() -> None:
    import keras
    import torch

    fields = {"eps": 1e-5, "decay": 0.1}
    wrong = found("AS404", layer("norm", "batch_norm", **fields))
    assert wrong.severity == "warning"
    decay = wrong.fixes[0].changes["norm.decay"]
    few = found(
        "AS405",
        layer("pool", "global_avg_pool2d"),
        layer("norm", "batch_norm", eps=1e-5, decay=decay),
        layer("fc", "dense", units=5),
        training=RECIPE,
    )
    x = RNG.normal(size=(4, 8)).astype("float32")
    ours, theirs = torch.nn.BatchNorm1d(8, momentum=0.1), keras.layers.BatchNormalization()
    theirs.momentum = decay
    ours.train()
    ours(torch.tensor(x))
    theirs(x, training=True)
    mean = np.array(theirs.moving_mean)
    np.testing.assert_allclose(ours.running_mean.numpy(), mean, rtol=1e-5)
    variances = (ours.running_var.numpy() - decay) / (np.array(theirs.moving_variance) - decay)
    np.testing.assert_allclose(variances, number(r"is ([0-9.]+) times", few), rtol=1e-2)


@pytest.mark.slow
def test_flatten_order() -> None:
    import keras
    import torch

    diagnostic = found("AS406", layer("flatten", "flatten"), layer("fc", "dense", units=5))
    assert "5 x 512 weights of fc" in diagnostic.message
    x = RNG.normal(size=(1, 8, 8, 8)).astype("float32")
    channels_first = torch.flatten(torch.tensor(x), 1).numpy()
    channels_last = np.array(keras.layers.Flatten()(x.transpose(0, 2, 3, 1)))
    assert np.abs(channels_first - channels_last).max() > 1
    order = np.arange(512).reshape(8, 8, 8).transpose(1, 2, 0).ravel()
    np.testing.assert_array_equal(channels_first[:, order], channels_last)


@pytest.mark.slow
def test_dropout_scaled_later() -> None:
    import keras
    import torch

    diagnostic = found("AS407", layer("d", "dropout", rate=0.75, scaling="at_inference"))
    factor = number(r"values ([0-9.]+) times as large", diagnostic)
    x = np.ones((1, 1000), "float32")
    for dropped in (
        torch.nn.functional.dropout(torch.tensor(x), 0.75).numpy(),
        np.array(keras.layers.Dropout(0.75)(x, training=True)),
    ):
        assert set(np.unique(dropped)) == {0.0, factor}


@pytest.mark.slow
def test_unsaid_gelu() -> None:
    import jax
    import keras
    import torch

    diagnostic = found("AS408", layer("act", "gelu"))
    x = np.linspace(-8, 8, 20001, dtype="float32")
    ours = torch.nn.functional.gelu(torch.tensor(x, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(np.array(keras.activations.gelu(x)), ours, atol=1e-6)
    apart = np.abs(np.array(jax.nn.gelu(x)) - ours).max()
    assert apart == pytest.approx(number(r"up to ([0-9.]+) away", diagnostic), rel=0.02)


@pytest.mark.slow
def test_hard_sigmoid_slope() -> None:
    import keras
    import torch

    diagnostic = found("AS409", layer("gate", "hard_sigmoid"))
    x = np.linspace(-4, 4, 8001, dtype="float32")
    ours = torch.nn.functional.hardsigmoid(torch.tensor(x)).numpy()
    np.testing.assert_allclose(np.array(keras.activations.hard_sigmoid(x)), ours, atol=1e-6)
    old = np.clip(0.2 * x + 0.5, 0, 1)  # the documentation of Keras 2
    apart = np.abs(old - ours).max()
    assert apart == pytest.approx(number(r"by up to ([0-9.]+)", diagnostic), rel=0.01)


@pytest.mark.parametrize("scale", [2, 3])
def test_corners_or_areas(scale: int) -> None:
    import torch

    diagnostic = found("AS410", layer("up", "upsample2d", scale=scale, mode="bilinear"))
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)  # each value is its place
    areas, corners = (
        torch.nn.functional.interpolate(
            ramp, scale_factor=scale, mode="bilinear", align_corners=aligned
        )
        for aligned in (False, True)
    )
    apart = float((areas - corners).abs().max())
    assert apart == pytest.approx(number(r"up to ([0-9.]+) pixels", diagnostic), rel=0.01)


@pytest.mark.slow
def test_where_normal_is_cut() -> None:
    import keras
    import torch

    init = {"type": "truncated_normal", "std": 0.02}
    fields = {"filters": 4, "kernel_size": 1, "weight_init": init}
    diagnostic = found("AS411", layer("conv", "conv2d", **fields))
    left = number(r"gives weights with ([0-9.]+)", diagnostic)
    count = 200_000
    theirs = np.array(keras.initializers.TruncatedNormal(stddev=0.02, seed=0)((count,))).std()
    torch.manual_seed(0)
    uncut = torch.nn.init.trunc_normal_(torch.empty(count), std=0.02).numpy().std()
    assert theirs == pytest.approx(left, rel=4 / math.sqrt(count))
    assert uncut == pytest.approx(0.02, rel=4 / math.sqrt(count))


QUIET = [
    ("AS401", layer("n", "local_response_norm", **(LRN | {"size": 1}), alpha_mode="sum")),
    ("AS402", layer("c", "conv2d", filters=4, kernel_size=3, padding="same")),
    ("AS402", layer("c", "conv2d", filters=4, kernel_size=3, stride=2, padding=[0, 1, 0, 1])),
    ("AS403", layer("p", "avg_pool2d", kernel_size=2)),
    ("AS404", layer("n", "batch_norm", eps=1e-5, decay=0.9)),
    ("AS406", layer("f", "flatten")),
    ("AS407", layer("d", "dropout", rate=0.5)),
    ("AS408", layer("g", "gelu", approximate="tanh")),
    ("AS410", layer("u", "upsample2d", scale=2, mode="nearest")),
    ("AS410", layer("u", "upsample2d", scale=1, mode="bilinear")),
]


@pytest.mark.parametrize(("code", "written"), QUIET, ids=[f"{c}-{w['type']}" for c, w in QUIET])
def test_where_nobody_disagrees_nothing_is_said(code: str, written: dict[str, Any]) -> None:
    graph = parsed([written], (8, 8, 8))
    assert code not in [d.code for d in archspec.analyze(graph).diagnostics]


@pytest.mark.parametrize(
    ("count", "rest"), [(1, ""), (2, "in 1 more layer"), (4, "in 3 more layers")]
)
def test_the_first_of_several_is_named_and_the_others_are_counted(count: int, rest: str) -> None:
    layers = [
        layer(f"norm{number}", "local_response_norm", alpha_mode="sum", **LRN)
        for number in range(count)
    ]
    message = found("AS401", *layers).message
    assert message.startswith("norm0: ")
    assert message.partition("; likewise ")[2] == rest
