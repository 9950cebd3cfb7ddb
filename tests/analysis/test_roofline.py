"""Lower bounds of time: against values computed by hand, and by what must hold of every network."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
from archspec import catalog
from archspec.analysis.devices import Device, DType, find_device
from archspec.analysis.numbers import short_bytes
from archspec.analysis.roofline import NOTHING, LayerTime, Pass, Roofline, roofline
from archspec.graph import Graph

Network = Callable[..., Graph]

H100 = find_device("h100-sxm")
# One operation takes as long as ten bytes of the memory: figures that are easy to work with.
PLAIN = Device("plain", "plain", {"float32": 1000, "float64": 500}, 100, None, "none")


@cache
def _net(name: str) -> Graph:
    return archspec.load(name)


def _roofline(spec: str | Graph, batch: int = 1, device: Device = H100, **options: Any) -> Roofline:
    graph = _net(spec) if isinstance(spec, str) else spec
    return roofline(archspec.analyze(graph, batch=batch), device, **options)


def _layers(found: Roofline) -> dict[str, LayerTime]:
    return {layer.name: layer for layer in found.layers}


# Of AlexNet: conv2 reads 96 x 27 x 27, writes 256 x 27 x 27, has 307,456 weights and biases and
# 223,948,800 MACs; fc6 reads 9216, writes 4096, has 37,752,832 and 37,748,736.
@pytest.mark.parametrize(
    ("layer", "batch", "dtype", "flops", "moved", "seconds", "limit"),
    [
        ("conv2", 1, "float32", 447_897_600, 2_256_256, 447_897_600 / 67e12, "compute"),
        ("conv2", 128, "float32", 57_330_892_800, 132_613_120, 57_330_892_800 / 67e12, "compute"),
        ("fc6", 1, "float32", 75_497_472, 151_064_576, 151_064_576 / 3.35e12, "memory"),
        ("fc6", 128, "float32", 9_663_676_416, 157_827_072, 9_663_676_416 / 67e12, "compute"),
        ("fc6", 128, "bfloat16", 9_663_676_416, 78_913_536, 78_913_536 / 3.35e12, "memory"),
        ("relu6", 128, "float32", 524_288, 4_194_304, 4_194_304 / 3.35e12, "memory"),
    ],
)
def test_forward_passes_computed_by_hand(
    layer: str, batch: int, dtype: DType, flops: int, moved: int, seconds: float, limit: str
) -> None:
    found = _layers(_roofline("alexnet", batch, dtype=dtype))[layer].forward
    assert (found.flops, found.bytes, found.limit) == (flops, moved, limit)
    assert found.intensity == Fraction(flops, moved)
    assert found.seconds == pytest.approx(seconds, rel=1e-12)


def test_backward_passes_and_update_computed_by_hand() -> None:
    """fc6 at batch 128: x is 128 x 9216, y 128 x 4096, both gradients are as large."""
    layers = _layers(_roofline("alexnet", 128))
    x, y, weights, matmul = 128 * 9216, 128 * 4096, 37_752_832, 9_663_676_416
    fc6 = layers["fc6"]
    assert (fc6.weight_gradient.flops, fc6.input_gradient.flops) == (matmul, matmul)
    assert fc6.weight_gradient.bytes == 4 * (x + y + weights)
    assert fc6.input_gradient.bytes == 4 * (y + weights + x)
    assert fc6.gradient_sum is NOTHING
    assert (fc6.update.flops, fc6.update.bytes) == (0, 4 * 5 * weights)
    assert fc6.update.limit == "memory"
    assert layers["conv1"].input_gradient is NOTHING  # nothing needs the image's gradient
    assert layers["conv1"].weight_gradient.flops == 2 * 105_415_200 * 128
    # relu6 reads its output and that one's gradient, and writes its input's.
    assert layers["relu6"].input_gradient.bytes == 4 * 3 * y
    assert layers["relu6"].weight_gradient is NOTHING


def test_the_ridge_is_where_both_limits_meet() -> None:
    assert _roofline("alexnet").ridge == 20
    assert _roofline("alexnet", dtype="bfloat16").ridge == Fraction(9894, 33_5) * 10


def test_a_small_residual_network_pass_by_pass(network: Network) -> None:
    """Every element counted: a map has 2 x 3 x 3 = 18, a 1 x 1 convolution 6 weights and biases."""
    layers = [
        "name: stem, type: conv2d, filters: 2, kernel_size: 1",
        "name: conv, type: conv2d, filters: 2, kernel_size: 1",
        "name: join, type: add, inputs: [conv, stem]",
        "name: drop, type: dropout, rate: 0.5",
        "name: flat, type: flatten",
        "name: fc, type: dense, units: 1, trainable: false",
    ]
    found = _layers(_roofline(network(layers, (2, 3, 3)), 1, PLAIN))

    def elements(layer: str) -> dict[str, int]:
        passes = found[layer]
        names = ("forward", "training_forward", "weight_gradient", "input_gradient")
        counts = {name: getattr(passes, name).bytes for name in (*names, "gradient_sum", "update")}
        assert all(count % 4 == 0 for count in counts.values())
        return {name: count // 4 for name, count in counts.items() if count}

    assert elements("stem") == {
        "forward": 18 + 6 + 18,
        "training_forward": 18 + 6 + 18,
        "weight_gradient": 18 + 18 + 6,
        "gradient_sum": 3 * 18,  # from conv and from join
        "update": 5 * 6,
    }
    assert elements("conv") == {
        "forward": 18 + 6 + 18,
        "training_forward": 18 + 6 + 18,
        "weight_gradient": 18 + 18 + 6,
        "input_gradient": 18 + 6 + 18,
        "update": 5 * 6,
    }
    assert elements("join") == {"forward": 3 * 18, "training_forward": 3 * 18}
    assert elements("drop") == {"training_forward": 2 * 18, "input_gradient": 2 * 18}
    assert elements("flat") == {}
    fc = {"forward": 18 + 19 + 1, "training_forward": 18 + 19 + 1, "input_gradient": 1 + 19 + 18}
    assert elements("fc") == fc
    # 2 x 18 MACs at 1000 a second against 42 x 4 bytes at 100 a second.
    assert found["conv"].forward == Pass(72, 168, 1.68, "memory")
    assert found["join"].forward == Pass(18, 216, 2.16, "memory")


def test_the_optimiser_of_the_recipe_decides_what_an_update_moves(network: Network) -> None:
    layers = ["name: flat, type: flatten", "name: fc, type: dense, units: 1, bias: false"]

    def update(momentum: float) -> int:
        rule = f"{{type: sgd, learning_rate: 1, momentum: {momentum}}}"
        recipe = f"training: {{epochs: 1, batch_size: 1, optimizer: {rule}}}"
        return _roofline(network(layers, (1, 2, 5), recipe), 1, PLAIN).update.bytes

    assert (update(0.0), update(0.9)) == (3 * 10 * 4, 5 * 10 * 4)
    none = network(layers, (1, 2, 5))
    assert _roofline(none, 1, PLAIN).update.bytes == 5 * 10 * 4
    for name in ("adam", "adamw"):
        assert _roofline(none, 1, PLAIN, optimizer=name).update.bytes == 7 * 10 * 4


def test_whether_a_training_step_fits_is_told() -> None:
    def first_note(batch: int, **options: Any) -> str:
        return (
            _roofline("alexnet", batch, find_device("gtx-580-3gb"), **options)
            .sections()[1]
            .notes[0]
        )

    held = short_bytes(archspec.analyze(_net("alexnet"), batch=128).memory.training_peak)
    assert first_note(128) == f"A training step holds about {held} of the device's 3.0 GiB."
    assert first_note(1024).startswith("A training step does not fit: it holds about")
    found = _roofline("alexnet", 128, dtype="bfloat16")
    assert found.training_peak is None
    assert found.sections()[1].notes[0].startswith("Ridge point")
    peak = archspec.analyze(_net("alexnet"), batch=128).memory_with("adam").training_peak
    assert _roofline("alexnet", 128, optimizer="adam").training_peak == peak


def test_batch_norm_has_one_backward_pass(network: Network) -> None:
    layers = [
        "name: conv, type: conv2d, filters: 2, kernel_size: 1",
        "name: norm, type: batch_norm, eps: 1.0e-3, decay: 0.9",
    ]
    norm = _layers(_roofline(network(layers, (2, 3, 3)), 1, PLAIN))["norm"]
    assert norm.forward.bytes == 4 * (18 + 8 + 18)  # scale, shift, mean, variance of 2 channels
    assert norm.weight_gradient is NOTHING
    # The output's gradient, the input, scale and shift; the input's gradient and theirs.
    assert norm.input_gradient.bytes == 4 * (18 + 18 + 4 + 18 + 4)


def test_the_known_training_step(known: Callable[[str], Any]) -> None:
    """The matrix products of a training step, which other tools count too."""
    answer = known("alexnet")["training_step_matmul_flops"]["value"]
    found = _roofline("alexnet", 32)
    assert _matmul(found, "alexnet") == 32 * answer


def _matmul(found: Roofline, name: str) -> int:
    macs = {layer.name for layer in archspec.analyze(_net(name)).layers if layer.costs.macs}
    return sum(sum(p.flops for p in x.step) for x in found.layers if x.name in macs)


@pytest.mark.parametrize("name", sorted(catalog.shipped()))
def test_sums_agree_in_every_shipped_spec(name: str) -> None:
    analysis = archspec.analyze(_net(name), batch=3)
    found = roofline(analysis, H100, "bfloat16")
    layers = found.layers
    assert [layer.name for layer in layers] == [layer.name for layer in analysis.layers]
    passes = {
        "forward": [x.forward for x in layers],
        "training_forward": [x.training_forward for x in layers],
        "backward": [p for x in layers for p in x.backward],
        "update": [x.update for x in layers],
        "step": [p for x in layers for p in x.step],
    }
    for key, each in passes.items():
        total: Pass = getattr(found, key)
        assert total.flops == sum(p.flops for p in each)
        assert total.bytes == sum(p.bytes for p in each)
        assert total.seconds == pytest.approx(math.fsum(p.seconds for p in each), rel=1e-12)
        for p in each:
            times = (p.flops / 989.4e12, p.bytes / 3.35e12)
            assert p.seconds == pytest.approx(max(times), rel=1e-12)
            assert p.limit == (("compute", "memory")[times[1] > times[0]] if p.bytes else None)
    parts = found.training_forward.seconds + found.backward.seconds + found.update.seconds
    assert found.step.seconds == pytest.approx(parts, rel=1e-12)
    assert math.fsum(x.step_seconds for x in layers) == pytest.approx(parts, rel=1e-12)
    assert _matmul(found, name) == 3 * analysis.totals.training_step_matmul_flops
    assert found.backward.flops == 3 * analysis.totals.backward_flops
    assert found.update.bytes == 2 * 5 * analysis.totals.trainable_params
    # Nothing is counted that the spec's own totals do not have.
    assert found.forward.flops <= 3 * analysis.totals.flops
    json.dumps(found.to_json(), allow_nan=False)
    for section in found.sections():
        assert {len(row) for row in section.rows} == {len(section.columns)}


BATCHES = st.integers(1, 512)


@settings(max_examples=50, deadline=None)
@given(batches=st.tuples(BATCHES, BATCHES), name=st.sampled_from(["alexnet", "squeezenet1-1"]))
def test_larger_batches_take_longer_and_use_the_device_better(
    batches: tuple[int, int], name: str
) -> None:
    small, large = (_roofline(name, batch) for batch in sorted(batches))
    for part in ("forward", "training_forward", "backward", "step"):
        a, b = getattr(small, part), getattr(large, part)
        assert a.seconds <= b.seconds
        assert a.seconds / small.batch >= b.seconds / large.batch * (1 - 1e-12)
    assert small.update == large.update
    for before, after in zip(small.layers, large.layers, strict=True):
        a, b = before.forward.intensity, after.forward.intensity
        if before.type == "dense" and small.batch < large.batch:
            assert a is not None
            assert b is not None
            assert a < b
        assert (a or 0) <= (b or 0)


@settings(max_examples=50, deadline=None)
@given(
    peaks=st.tuples(st.integers(1, 10**15), st.integers(1, 10**15)),
    bandwidths=st.tuples(st.integers(1, 10**13), st.integers(1, 10**13)),
)
def test_faster_devices_take_no_longer(peaks: tuple[int, int], bandwidths: tuple[int, int]) -> None:
    slow, fast = (
        _roofline("alexnet-small", 8, Device("d", "d", {"float32": peak}, bandwidth, None, "s"))
        for peak, bandwidth in zip(sorted(peaks), sorted(bandwidths), strict=True)
    )
    assert fast.forward.seconds <= slow.forward.seconds
    assert fast.step.seconds <= slow.step.seconds


def test_fewer_bytes_an_element() -> None:
    whole, half, tf32 = (_roofline("alexnet", 8, dtype=d) for d in ("float32", "float16", "tf32"))
    assert (2 * half.step.bytes, half.step.flops) == (whole.step.bytes, whole.step.flops)
    assert tf32.step.bytes == whole.step.bytes  # its numbers are stored in 32 bits
    assert tf32.step.seconds < whole.step.seconds


def test_layers_of_training_alone_take_no_time_at_inference() -> None:
    with_heads, without = _roofline("googlenet-aux", 4), _roofline("googlenet", 4)
    assert with_heads.forward == without.forward
    assert with_heads.training_forward.seconds > without.training_forward.seconds


def test_a_network_with_an_error_is_timed_as_far_as_it_goes(network: Network) -> None:
    layers = [
        "name: a, type: conv2d, filters: 2, kernel_size: 3",
        "name: b, type: conv2d, filters: 2, kernel_size: 9",
        "name: c, type: relu",
    ]
    assert [x.name for x in _roofline(network(layers, (3, 8, 8))).layers] == ["a"]
    nothing = _roofline(network(layers[1:], (3, 8, 8)))
    assert nothing.step is NOTHING
    assert nothing.to_json()["training_step"]["images_per_second"] is None
    assert nothing.sections()[1].rows[0] == ("inference", "", "0 B", "0.00 ns", "", "")


def test_the_rows_of_the_table_at_eighty_columns() -> None:
    layers, sums = _roofline("alexnet", 128).sections()
    rows = {row[0]: row for row in layers.rows}
    fc6 = ("fc6", "9.66 G", "150.5 MiB", "61.2", "144 µs", "compute", "658 µs")
    assert rows["fc6"] == fc6
    assert rows["flatten"] == ("flatten", "", "", "", "", "", "")
    assert layers.title == "roofline: NVIDIA H100 SXM, float32, batch 128"
    assert sums.notes[1].startswith("Ridge point: 67.0 TFLOP/s / 3.35 TB/s = 20 FLOP/byte")


def test_the_papers_training_took_longer_than_two_of_its_cards_need_at_least() -> None:
    """Sections 3.1 and 5: 90 epochs of 1.2 million images in five to six days on two GTX 580."""
    found = _roofline("alexnet", 64, find_device("gtx-580-3gb"))
    rate = found.images_per_second(found.step)
    assert rate is not None
    days = 90 * 1.2e6 / (2 * rate) / 86_400
    assert 1.5 < days < 5
