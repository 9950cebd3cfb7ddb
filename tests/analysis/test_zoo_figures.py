"""Well-known networks, generated layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import archspec
from archspec.graph import Graph

Network = Callable[..., Graph]
Known = Callable[[str], Any]

FLOOR = "defaults: {rounding: floor}"


def _vgg(plan: list[int | str]) -> list[str]:
    layers: list[str] = []
    pools = 0
    for number, step in enumerate(plan):
        if isinstance(step, str):
            pools += 1
            layers.append(f"name: pool{pools}, type: max_pool2d, kernel_size: 2")
        else:
            layers += [
                f"name: conv{number}, type: conv2d, filters: {step}, kernel_size: 3, padding: 1",
                f"name: relu{number}, type: relu",
            ]
    layers.append("name: flatten, type: flatten")
    for name, units in (("fc1", 4096), ("fc2", 4096), ("fc3", 1000)):
        layers.append(f"name: {name}, type: dense, units: {units}")
    return layers


VGG11 = _vgg([64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"])
VGG16 = _vgg([64, 64, "M", 128, 128, "M", *[256] * 3, "M", *[512] * 3, "M", *[512] * 3, "M"])


def _conv(name: str, reads: str, filters: int, kernel: int, stride: int = 1) -> list[str]:
    return [
        f"name: {name}, type: conv2d, inputs: [{reads}], filters: {filters}, bias: false, "
        f"kernel_size: {kernel}, stride: {stride}, padding: {kernel // 2}",
        f"name: {name}_bn, type: batch_norm, eps: 1.0e-5, decay: 0.9",
    ]


def _resnet(blocks: list[int], *, bottleneck: bool) -> list[str]:
    """He et al. (2015); the bottleneck has its stride in the first 1 x 1, as in the paper."""
    layers = [
        *_conv("stem", "input", 64, 7, 2),
        "name: stem_relu, type: relu",
        "name: pool, type: max_pool2d, kernel_size: 3, stride: 2, padding: 1",
    ]
    last, channels = "pool", 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        out = width * 4 if bottleneck else width
        for block in range(count):
            name, stride = f"s{stage}b{block}", 2 if stage and not block else 1
            steps = (
                [(width, 1, stride), (width, 3, 1), (out, 1, 1)]
                if bottleneck
                else [(width, 3, stride), (width, 3, 1)]
            )
            reads = last
            for number, (filters, kernel, step) in enumerate(steps):
                layers += _conv(f"{name}c{number}", reads, filters, kernel, step)
                reads = f"{name}c{number}_bn"
                if number < len(steps) - 1:
                    layers.append(f"name: {name}c{number}_relu, type: relu")
                    reads = f"{name}c{number}_relu"
            shortcut = last
            if stride != 1 or channels != out:
                layers += _conv(f"{name}short", last, out, 1, stride)
                shortcut = f"{name}short_bn"
            layers.append(f"name: {name}, type: add, inputs: [{reads}, {shortcut}]")
            layers.append(f"name: {name}_relu, type: relu")
            last, channels = f"{name}_relu", out
    return [
        *layers,
        "name: mean, type: global_avg_pool2d",
        "name: fc, type: dense, units: 1000",
    ]


LENET5 = [
    "name: c1, type: conv2d, filters: 6, kernel_size: 5",
    "name: t1, type: tanh",
    "name: s2, type: avg_pool2d, kernel_size: 2",
    "name: c3, type: conv2d, filters: 16, kernel_size: 5",
    "name: t3, type: tanh",
    "name: s4, type: avg_pool2d, kernel_size: 2",
    "name: flatten, type: flatten",
    "name: f5, type: dense, units: 120",
    "name: f6, type: dense, units: 84",
    "name: f7, type: dense, units: 10",
]


@pytest.mark.parametrize(
    ("row", "layers", "input"),
    [
        ("lenet5 (32x32, 6-16-120-84-10, ungrouped)", LENET5, (1, 32, 32)),
        ("vgg11", VGG11, (3, 224, 224)),
        ("vgg16", VGG16, (3, 224, 224)),
        ("resnet18", _resnet([2, 2, 2, 2], bottleneck=False), (3, 224, 224)),
    ],
    ids=["lenet5", "vgg11", "vgg16", "resnet18"],
)
def test_totals(
    row: str, layers: list[str], input: tuple[int, int, int], network: Network, known: Known
) -> None:
    totals = archspec.analyze(network(layers, input, FLOOR)).totals
    params, macs, _ = known("zoo")[row]
    assert (totals.params, totals.macs) == (params, macs)


def test_receptive_field_of_vgg16(network: Network, known: Known) -> None:
    field = archspec.analyze(network(VGG16, (3, 224, 224))).by_name["pool5"].receptive_field
    size, stride = known("alexnet")["receptive_field"]["vgg16 pool5"]
    assert field is not None
    assert (field.size, field.stride) == ((size, size), (stride, stride))


def test_receptive_field_of_resnet50(network: Network, known: Known) -> None:
    graph = network(_resnet([3, 4, 6, 3], bottleneck=True), (3, 224, 224), FLOOR)
    found = archspec.analyze(graph)
    field = found.by_name["s3b2_relu"].receptive_field
    size, stride = known("alexnet")["receptive_field"]["resnet50 last stage"]
    assert field is not None
    assert (field.size, field.stride) == ((size, size), (stride, stride))
    assert found.totals.params == known("zoo")["resnet50"][0]
