"""The design rules: what their messages state, against brute force in NumPy, and where they end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from networks import layer, parsed

import archspec
from archspec.diagnostics import Diagnostic


def found(*layers: dict[str, Any], **options: Any) -> dict[str, Diagnostic]:
    """What is said of a network about its design, by code."""
    diagnostics = archspec.analyze(parsed(layers, **options)).diagnostics
    return {d.code: d for d in diagnostics if d.code.startswith("AS2")}


POOL = layer("pool", "global_avg_pool2d")
FC = layer("fc", "dense", units=10)
LOGITS = {
    "relu": ("AS201", {}),
    "sigmoid": ("AS201", {}),
    "dropout": ("AS202", {"rate": 0.5}),
    "layer_norm": ("AS203", {"eps": 1e-3}),
    "softmax": ("AS204", {}),
}


@pytest.mark.parametrize("kind", LOGITS)
def test_what_stands_on_the_logits_depends_on_what_they_are_for(kind: str) -> None:
    code, fields = LOGITS[kind]
    last = layer("last", kind, **fields)
    title = {"title": "$(classes) classes", "variables": {"classes": 10}}
    assert found(POOL, FC, last, **title)[code].layer == "last"
    # A vector that nothing calls classes may be features; a softmax always is.
    assert (code in found(POOL, FC, last)) == (kind == "softmax")
    # A map is none, and what stands before the last layer is where it belongs.
    assert code not in found(layer("c", "conv2d", filters=3, kernel_size=1), last, **title)
    assert code not in found(POOL, layer("last", kind, **fields), FC, **title)
    # Network in Network and SqueezeNet rectify their maps of classes before they pool them.
    maps = layer("maps", "conv2d", filters=10, kernel_size=1)
    assert code not in found(maps, layer("last", kind, **fields), POOL, **title)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_the_least_loss_behind_a_softmax(classes: int) -> None:
    probabilities = np.zeros(classes)
    probabilities[0] = 1.0  # the best that a softmax can give the right class
    least = -probabilities[0] + math.log(np.exp(probabilities).sum())
    fc = layer("fc", "dense", units=classes)
    softmax, drop = layer("softmax", "softmax"), layer("drop", "dropout", rate=0.1)
    note = found(POOL, fc, softmax)["AS204"]
    assert note.severity == "note"
    assert f"cannot fall below {least:.2f}, where guessing gives {math.log(classes):.2f}" in (
        note.message
    )
    generator = np.random.default_rng(0)
    for _ in range(100):
        logits = generator.dirichlet(np.full(classes, 0.1))
        assert -logits[0] + math.log(np.exp(logits).sum()) >= least - 1e-12
    warning = found(POOL, fc, softmax, drop)["AS204"]
    assert warning.severity == "warning"
    assert "drop reads the softmax" in warning.message


def convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """A map (C, H, W) through a kernel (O, C, K, K), without padding."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], axis=(1, 2))
    return np.einsum("chwij,ocij->ohw", windows, kernel)


def test_two_convolutions_are_one() -> None:
    """K = K1 + K2 - 1: the kernel of the pair is the full convolution of the two."""
    generator = np.random.default_rng(0)
    x, first = generator.normal(size=(3, 9, 9)), generator.normal(size=(4, 3, 3, 3))
    second = generator.normal(size=(5, 4, 3, 3))
    kernel = np.zeros((5, 3, 5, 5))
    for i in range(3):
        for j in range(3):
            part = np.einsum("om,mcij->ocij", second[:, :, i, j], first)
            kernel[:, :, i : i + 3, j : j + 3] += part
    np.testing.assert_allclose(convolve(convolve(x, first), second), convolve(x, kernel))
    pair = (
        layer("a", "conv2d", filters=4, kernel_size=3),
        layer("b", "conv2d", filters=5, kernel_size=3),
    )
    message = found(*pair)["AS205"].message
    assert f"{first.size + second.size} weights for what one convolution of 5 x 5" in message
    assert f"can do with {kernel.size}" in message


NORM = layer("n", "batch_norm", eps=1e-3, decay=0.9)


@pytest.mark.parametrize(
    ("between", "reported"),
    [
        ([], True),
        ([layer("d", "dropout", rate=0.5)], True),
        ([layer("r", "relu")], False),
        ([layer("p", "max_pool2d", kernel_size=2)], False),
    ],
)
def test_what_makes_two_layers_more_than_one(between: list[Any], reported: bool) -> None:
    first = layer("a", "conv2d", filters=4, kernel_size=3, bias=False)
    second = layer("b", "conv2d", filters=4, kernel_size=3, bias=False)
    assert ("AS205" in found(first, *between, second)) == reported


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"filters": 2, "kernel_size": 1}, {"kernel_size": 1}),  # a bottleneck
        ({"filters": 8, "kernel_size": 3, "groups": 8}, {"kernel_size": 1}),  # depthwise
        ({"filters": 8, "kernel_size": [1, 3]}, {"kernel_size": [3, 1]}),
        ({"filters": 8, "kernel_size": 1}, {"kernel_size": 3, "dilation": 2}),
    ],
)
def test_pairs_that_are_meant(first: dict[str, Any], second: dict[str, Any]) -> None:
    pair = (layer("a", "conv2d", **first), layer("b", "conv2d", filters=8, **second))
    assert "AS205" not in found(*pair, input=(8, 9, 9))


def test_a_narrow_dense_layer_is_a_factor() -> None:
    fc = layer("out", "dense", units=100)
    assert "AS205" in found(POOL, layer("h", "dense", units=3), fc)
    assert "AS205" not in found(POOL, layer("h", "dense", units=2), fc)


def test_a_bias_that_another_layer_reads_is_not_cancelled() -> None:
    conv = layer("c", "conv2d", filters=3, kernel_size=1)
    assert "AS206" in found(conv, NORM)
    assert "AS206" not in found(conv, NORM, layer("sum", "add", "n", "c"))
    assert "AS206" not in found(conv, {**NORM, "trainable": False})
    assert "AS206" not in found({**conv, "bias": False}, NORM)
    fix = found(conv, NORM)["AS206"].fixes[0]
    assert (fix.changes, fix.safe) == ({"c.bias": False}, False)


def test_a_layer_that_does_nothing_goes_and_nothing_else_changes() -> None:
    conv = layer("c", "conv2d", filters=3, kernel_size=1)
    pool = layer("p", "max_pool2d", kernel_size=1)
    twice = (conv, layer("r", "relu"), layer("s", "relu"))
    for layers, code in (((conv, pool), "AS213"), (twice, "AS209")):
        (fix,) = found(*layers)[code].fixes
        assert fix.safe
        (name,) = fix.changes
        assert name == layers[-1]["name"]
    assert not found(conv, layer("t", "tanh"), layer("s", "relu"))["AS209"].fixes


def test_a_rate_that_a_variable_gives_is_a_switch(tmp_path: Any) -> None:
    path = tmp_path / "spec.yaml"
    text = "archspec: 1\nname: n\ninput: {channels: 1, height: 4, width: 4}\n"
    text += "variables: {rate: 0}\nlayers: [{name: d, type: dropout, rate: RATE}]\n"
    path.write_text(text.replace("RATE", "$rate"))
    assert archspec.analyze(path).diagnostics == ()
    path.write_text(text.replace("variables: {rate: 0}\n", "").replace("RATE", "0"))
    assert [d.code for d in archspec.analyze(path).diagnostics] == ["AS213"]


def test_the_dominant_layer_says_what_pooling_would_leave() -> None:
    (note,) = [d for d in archspec.analyze("alexnet").diagnostics if d.code == "AS207"]
    fix = note.fixes[0]
    pooled = (256 + 1) * 4096
    assert f"has {pooled:,} parameters" in fix.effect
    assert f"the network has {60_965_224 - 37_752_832 + pooled:,}" in fix.effect
    assert round(37_752_832 / 60_965_224, 2) == 0.62
    assert "(62%)" in note.message


@pytest.mark.parametrize(
    ("norm", "help_"),
    [
        (layer("n", "group_norm", groups=8, eps=1e-5), "fewer and larger groups"),
        (layer("n", "layer_norm", eps=1e-5), "use `batch_norm`"),
    ],
)
def test_the_help_for_a_norm_of_one_number_fits_its_kind(norm: dict[str, Any], help_: str) -> None:
    filters = norm.get("groups", 1)
    before = layer("c", "conv2d", filters=filters, kernel_size=8)
    assert help_ in str(
        found(before, norm, layer("c2", "conv2d", filters=4, kernel_size=1))["AS215"].help
    )


def test_dropout_before_a_norm_changes_the_mean_square_of_what_it_hands_on() -> None:
    rate, x = 0.2, np.random.default_rng(0).normal(1.0, 1.0, 400_000)
    dropped = x * (np.random.default_rng(1).random(x.size) >= rate) / (1 - rate)
    ratio = (dropped**2).mean() / (x**2).mean()
    drop, conv = layer("d", "dropout", rate=rate), layer("c", "conv2d", filters=4, kernel_size=1)
    message = found(drop, conv, layer("n", "batch_norm", eps=1e-5, decay=0.9))["AS211"].message
    assert f"what d hands on has {ratio:.3g} times the mean square in training" in message


def test_one_is_no_plural() -> None:
    one = parsed([layer("conv1", "conv2d", filters=1, kernel_size=1, groups=2)], (4, 8, 8))
    (found,) = [d for d in archspec.analyze(one).diagnostics if d.code == "AS103"]
    assert "1 filter cannot be divided into 2 groups" in found.message
    assert found.help == "4 input channels and 1 filter can both be divided into 1 group only"


def test_a_small_rate_is_not_0_percent() -> None:
    title = {"title": "$(classes) classes", "variables": {"classes": 10}}
    drop = layer("drop", "dropout", rate=0.001)
    assert "in training 0.1% of the" in found(POOL, FC, drop, **title)["AS202"].message


def test_a_radius_read_as_a_size_is_told_with_both() -> None:
    seed = archspec.analyze("alexnet-same-padding").diagnostics
    assert {d.help for d in seed if d.code == "AS208"} == {"a radius of 2 is a size of 5"}
