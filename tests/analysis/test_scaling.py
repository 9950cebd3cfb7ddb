"""Several devices: bytes against messages that are really sent, times against other reckonings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
from archspec import catalog
from archspec.analysis.devices import Device, find_device
from archspec.analysis.roofline import roofline
from archspec.analysis.scaling import Scaling, scaling
from archspec.graph import Graph

Network = Callable[..., Graph]
Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

H100 = find_device("h100-sxm")
LINK = 50 * 10**9


@cache
def _net(name: str) -> Graph:
    return archspec.load(name)


def _scaling(
    spec: str | Graph,
    batch: int = 128,
    devices: int = 8,
    link: int = LINK,
    device: Device = H100,
) -> Scaling:
    graph = _net(spec) if isinstance(spec, str) else spec
    analysis = archspec.analyze(graph, batch=batch)
    return scaling(analysis, roofline(analysis, device), devices, link)


def test_alexnet_on_eight_devices_computed_by_hand() -> None:
    found = _scaling("alexnet")
    assert found.gradient_bytes == 4 * 60_965_224
    # Each layer's gradients: 2 x 7/8 of their bytes; every layer's size is a multiple of 8.
    assert found.copied.sent == 2 * 7 * 4 * 60_965_224 // 8 == 426_756_568
    assert found.copied.sending == pytest.approx(426_756_568 / 50e9, rel=1e-12)
    assert found.copied.computing == pytest.approx(found.roofline.step.seconds, rel=1e-12)
    assert found.copied.serial == pytest.approx(found.roofline.step.seconds + 426_756_568 / 50e9)
    assert found.efficiency(found.copied.serial) == pytest.approx(9.408 / (9.408 + 8.535), abs=1e-3)


def test_splitting_alexnets_dense_layers_computed_by_hand() -> None:
    """The input of a dense layer goes to 7 others and its gradient returns: 2 x 7 x 128 x 9216."""
    found = _scaling("alexnet")
    dense = {layer.name: (layer.copied, layer.split) for layer in found.dense}
    handed = 2 * 128 * 1000 * 7 // 8  # fc8's outputs to the devices of their images, and back
    assert dense == {
        "fc6": (2 * 7 * 4 * 37_752_832 // 8, 4 * 2 * 7 * 128 * 9216),
        "fc7": (2 * 7 * 4 * 16_781_312 // 8, 4 * 2 * 7 * 128 * 4096),
        "fc8": (2 * 7 * 4 * 4_097_000 // 8, 4 * (2 * 7 * 128 * 4096 + handed)),
    }
    assert found.split is not None
    convolutions = 2 * 7 * 4 * (60_965_224 - 37_752_832 - 16_781_312 - 4_097_000) // 8
    assert found.split.sent == convolutions + sum(split for _, split in dense.values())
    # The paper: a part of the weights is in the convolutions, most of the computing.
    assert found.split.sent < found.copied.sent / 3
    assert found.split.serial < found.copied.serial


@pytest.mark.parametrize("devices", [2, 3, 4, 8])
def test_a_ring_all_reduce_sends_what_the_formula_says(devices: int) -> None:
    """Chunks that go round the ring: added up n - 1 times, handed on n - 1 times."""
    size = 5 * devices
    own = np.random.default_rng(0).normal(size=(devices, devices, 5))  # device, chunk, element
    parts, sent = own.copy(), [0] * devices
    for add, shift in ((True, 0), (False, 1)):
        for step in range(devices - 1):
            chunks = [(device + shift - step) % devices for device in range(devices)]
            messages = [parts[device, chunk].copy() for device, chunk in enumerate(chunks)]
            for device, chunk in enumerate(chunks):
                receiver = (device + 1) % devices
                sent[device] += messages[device].size
                if add:
                    parts[receiver, chunk] += messages[device]
                else:
                    parts[receiver, chunk] = messages[device]
    assert np.allclose(parts, own.sum(0))
    assert set(sent) == {2 * (devices - 1) * size // devices}


class _Messages:
    """Counts the elements that each of several devices sends to others."""

    def __init__(self, devices: int) -> None:
        self.sent = [0] * devices

    def gather(self, parts: list[Array], axis: int) -> list[Array]:
        """Every device gets the parts of all others."""
        for device, part in enumerate(parts):
            self.sent[device] += part.size * (len(parts) - 1)
        return [np.concatenate(parts, axis) for _ in parts]

    def scatter(self, sums: list[Array], axis: int) -> list[Array]:
        """A sum over the devices of which each keeps its part; it sends the others theirs."""
        cut = [np.split(one, len(sums), axis) for one in sums]
        for device, parts in enumerate(cut):
            self.sent[device] += sum(p.size for other, p in enumerate(parts) if other != device)
        return [np.sum([parts[i] for parts in cut], 0) for i in range(len(sums))]

    def exchange(self, parts: list[Array], cut: int, join: int) -> list[Array]:
        """Columns of all rows become rows of all columns, or the other way round."""
        pieces = [np.split(part, len(parts), cut) for part in parts]
        for device, own in enumerate(pieces):
            self.sent[device] += sum(p.size for other, p in enumerate(own) if other != device)
        return [np.concatenate([own[i] for own in pieces], join) for i in range(len(parts))]


@pytest.mark.parametrize("devices", [2, 4])
def test_split_dense_layers_send_what_a_real_exchange_sends(network: Network, devices: int) -> None:
    """Two dense layers and a ReLU on arrays cut to pieces: right results, and the bytes counted."""
    batch, features, hidden, units = 3, 8, 4, 12
    random = np.random.default_rng(1)
    images = random.normal(size=(devices, batch, features))
    first, second = random.normal(size=(hidden, features)), random.normal(size=(units, hidden))
    gradient = random.normal(size=(devices, batch, units))
    rows, columns = 0, 1

    messages = _Messages(devices)
    weights = [np.split(weight, devices) for weight in (first, second)]
    x = messages.gather(list(images), rows)
    a = [np.maximum(x[i] @ weights[0][i].T, 0) for i in range(devices)]
    h = messages.gather(a, columns)
    y = messages.exchange([h[i] @ weights[1][i].T for i in range(devices)], rows, columns)
    dy = messages.exchange(list(gradient), columns, rows)
    da = messages.scatter([dy[i] @ weights[1][i] for i in range(devices)], columns)
    dz = [da[i] * (a[i] > 0) for i in range(devices)]
    dx = messages.scatter([dz[i] @ weights[0][i] for i in range(devices)], rows)

    whole = np.maximum(images @ first.T, 0)
    assert np.allclose(y, whole @ second.T)
    assert np.allclose(dx, ((gradient @ second) * (whole > 0)) @ first)
    layers = [
        "name: conv, type: conv2d, filters: 8, kernel_size: 1",
        "name: flat, type: flatten",
        "name: a, type: dense, units: 4",
        "name: relu, type: relu",
        "name: b, type: dense, units: 12",
    ]
    found = _scaling(network(layers, (1, 1, 1)), batch, devices)
    assert {4 * sent for sent in messages.sent} == {sum(layer.split for layer in found.dense)}


def test_what_leaves_the_dense_layers_is_handed_over(network: Network) -> None:
    """Normalisations of single features stay divided, a softmax over all of them does not."""

    def handed(*between: str) -> int:
        layers = ["name: flat, type: flatten", "name: a, type: dense, units: 8", *between]
        found = _scaling(network(layers, (1, 2, 2)), 2, 2).dense[0]
        # The image's gradient is not wanted: its rows are sent, and nothing returns.
        return (found.split - 4 * 2 * 4) // 4

    dense = "name: z, type: dense, units: 3"
    outputs = 2 * 2 * 8 // 2  # forward and back, of 2 images' 8 outputs one half
    assert handed(dense) == 0
    norm = "name: n, type: batch_norm, eps: 1.0e-3, decay: 0.9"
    assert handed("name: r, type: relu", norm, "name: d, type: dropout, rate: 0.5", dense) == 0
    assert handed() == outputs
    assert handed("name: r, type: relu") == outputs
    assert handed("name: s, type: softmax", dense) == outputs
    assert handed("name: s, type: layer_norm, eps: 1.0e-3", dense) == outputs
    add = "name: s, type: add, inputs: [a, flat2]"
    flat = "name: flat2, type: dense, units: 8, inputs: [flat]"
    assert handed(flat, add, dense) == outputs


NETWORK = "resnet18"


def _closed_form(found: Scaling) -> float:
    """The end of the last message as the worst of: one is ready, and all that follow are sent."""
    analysis = archspec.analyze(_net(NETWORK))
    clock = found.roofline.training_forward.seconds
    ready, sending = [], []
    for layer in reversed(found.roofline.layers):
        params = analysis.by_name[layer.name].costs.trainable_params
        passes = layer.backward if not layer.weight_gradient.limit else layer.backward[:2]
        rest = layer.backward[len(passes) :]
        clock += math.fsum(p.seconds for p in passes)
        if params:
            ready.append(clock)
            n = found.devices
            sending.append(-(-2 * (n - 1) * 4 * params // n) / found.bandwidth)
        clock += math.fsum(p.seconds for p in rest)
    ends = [ready[i] + math.fsum(sending[i:]) for i in range(len(ready))]
    return max([clock, *ends]) + found.roofline.update.seconds


@settings(max_examples=40, deadline=None)
@given(batch=st.integers(1, 256), devices=st.integers(1, 64), link=st.integers(10**6, 10**13))
def test_overlap_is_what_the_closed_form_says_and_lies_between_its_bounds(
    batch: int, devices: int, link: int
) -> None:
    found = _scaling(NETWORK, batch, devices, link)
    plan, alone = found.copied, found.roofline.step.seconds
    assert plan.overlapped == pytest.approx(_closed_form(found), rel=1e-9)
    slack = 1 + 1e-9
    assert max(alone, plan.sending) <= plan.overlapped * slack
    assert plan.overlapped <= plan.serial * slack
    for seconds in (plan.serial, plan.overlapped):
        assert 0 < found.efficiency(seconds) <= slack
        rate = found.images_per_second(seconds)
        assert rate is not None
        assert rate <= devices * batch / alone * slack
    assert found.split is not None
    assert found.split.overlapped <= found.split.serial * slack
    faster = _scaling(NETWORK, batch, devices, 2 * link)
    assert faster.copied.overlapped <= plan.overlapped * slack
    assert faster.copied.serial <= plan.serial


def test_one_device_sends_nothing() -> None:
    found = _scaling("alexnet", devices=1)
    assert found.split is not None
    assert (found.copied.sent, found.split.sent) == (0, 0)
    assert found.copied.serial == pytest.approx(found.roofline.step.seconds)
    assert found.split.computing == pytest.approx(found.copied.computing)


def test_frozen_layers_have_no_gradients_to_send(network: Network) -> None:
    layers = [
        "name: a, type: conv2d, filters: 2, kernel_size: 1, trainable: false",
        "name: b, type: conv2d, filters: 2, kernel_size: 1",
    ]
    found = _scaling(network(layers, (2, 1, 1)), 1, 2)
    assert (found.gradient_bytes, found.copied.sent) == (4 * 6, 4 * 6)
    assert found.split is None
    assert len(found.sections()) == 1
    assert found.to_json()["dense_layers_split"] is None


@pytest.mark.parametrize("name", sorted(catalog.shipped()))
def test_every_shipped_spec(name: str) -> None:
    found = _scaling(name, 4, 3, 10**9)
    totals = archspec.analyze(_net(name)).totals
    # A part of a byte is sent as a whole one, in each layer.
    exact = 2 * 2 * 4 * totals.trainable_params / 3
    assert exact <= found.copied.sent < exact + len(_net(name).nodes)
    assert found.copied.computing == pytest.approx(found.roofline.step.seconds)
    json.dumps(found.to_json(), allow_nan=False)
    for section in found.sections():
        assert {len(row) for row in section.rows} == {len(section.columns)}


def test_the_rows_of_the_table() -> None:
    plans, dense = _scaling("alexnet").sections()
    rows = {row[0]: row[1:] for row in plans.rows}
    assert plans.title == "scaling: 8 x NVIDIA H100 SXM, float32, 50.0 GB/s each"
    assert rows["data parallel"][:4] == ("407.0 MiB", "8.54 ms", "17.9 ms", "52.4%")
    assert rows["saved by splitting"][0] == "271.6 MiB"
    assert [(row[0], row[3]) for row in dense.rows] == [
        ("fc6", "split"),
        ("fc7", "split"),
        ("fc8", "copied"),
    ]
    fewer = {row[0]: row for row in _scaling("resnet50", 512).sections()[0].rows}
    assert fewer["saved by splitting"][1].startswith("-")
