"""Receptive fields against a perturbation of every pixel, on small random networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
from archspec.analysis import Analysis
from archspec.graph import Graph

Network = Callable[..., Graph]

# The network is square and its kernels are, so one axis says everything: for every output
# position, the set of input pixels that it depends on.
Line = list[set[int]]

windows = st.fixed_dictionaries(
    {
        "kernel": st.integers(1, 4),
        "stride": st.integers(1, 3),
        "dilation": st.integers(1, 2),
        "before": st.integers(0, 3),
        "after": st.integers(0, 3),
        "rounding": st.sampled_from(["floor", "ceil"]),
    }
)


def _through(line: Line, w: dict[str, Any], outputs: int) -> Line:
    """What each of the outputs sees: what the pixels under its window see."""
    found: Line = []
    for position in range(outputs):
        first = position * w["stride"] - w["before"]
        taps = [first + tap * w["dilation"] for tap in range(w["kernel"])]
        found.append(set().union(*(line[tap] for tap in taps if 0 <= tap < len(line))))
    return found


def _layer(name: str, w: dict[str, Any], reads: str = "") -> str:
    sides = [w["before"], w["after"]] * 2
    return (
        f"name: {name}, type: conv2d, filters: 1, kernel_size: {w['kernel']}, "
        f"stride: {w['stride']}, dilation: {w['dilation']}, padding: {sides}, "
        f"rounding: {w['rounding']}{reads}"
    )


def _agrees(found: Analysis, name: str, line: Line, size: int) -> None:
    field = found.by_name[name].receptive_field
    assert field is not None
    (extent, _), (stride, _), (offset, _) = field.size, field.stride, field.offset
    for position, seen in enumerate(line):
        first = offset + position * stride
        expected = range(max(first, 0), min(first + extent, size))
        assert seen <= set(expected)
        if first >= 0 and first + extent <= size:  # neither padding nor its holes in sight
            assert (min(seen), max(seen)) == (expected[0], expected[-1])


@given(st.lists(windows, min_size=1, max_size=4), st.integers(12, 40))
@settings(max_examples=80, deadline=None)
def test_chains(network: Network, chain: list[dict[str, Any]], size: int) -> None:
    graph = network([_layer(f"c{i}", w) for i, w in enumerate(chain)], (1, size, size))
    found = archspec.analyze(graph)
    line: Line = [{pixel} for pixel in range(size)]
    for i, w in enumerate(chain):
        if f"c{i}" not in found.by_name:
            assert found.has_errors
            return
        line = _through(line, w, found.by_name[f"c{i}"].output_shape[1])
        _agrees(found, f"c{i}", line, size)


@given(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3), st.integers(10, 20))
@settings(max_examples=30, deadline=None)
def test_branches_that_meet_see_together(
    network: Network, left: int, right: int, shift: int, size: int
) -> None:
    """Two convolutions of one output size, one of them shifted by its padding."""
    a = {"kernel": 2 * left + 1, "stride": 1, "dilation": 1, "rounding": "floor"}
    b = {"kernel": 2 * right + 1, "stride": 1, "dilation": 1, "rounding": "floor"}
    a |= {"before": left, "after": left}
    b |= {"before": right + shift, "after": max(right - shift, 0)}
    layers = [
        _layer("a", a, ", inputs: [input]"),
        _layer("b", b, ", inputs: [input]"),
        "name: sum, type: concat, inputs: [a, b]",
    ]
    found = archspec.analyze(network(layers, (1, size, size)))
    if found.has_errors:
        assert found.shapes.missing == ("sum",)
        return
    line: Line = [{pixel} for pixel in range(size)]
    one, two = _through(line, a, size), _through(line, b, size)
    _agrees(found, "sum", [x | y for x, y in zip(one, two, strict=True)], size)


def test_a_dense_layer_sees_everything(network: Network) -> None:
    layers = [
        "name: conv, type: conv2d, filters: 2, kernel_size: 3, stride: 2, padding: [0, 1, 0, 1]",
        "name: flatten, type: flatten",
        "name: fc, type: dense, units: 4",
    ]
    fields = {
        x.name: x.receptive_field for x in archspec.analyze(network(layers, (1, 8, 8))).layers
    }
    assert fields["flatten"] == fields["conv"]
    assert fields["fc"] is not None
    assert fields["fc"].size == (9, 9)  # all 8 pixels and one of padding


def test_a_branch_that_scales_channels_does_not_change_the_stride(network: Network) -> None:
    layers = [
        "name: conv, type: conv2d, filters: 2, kernel_size: 3, padding: 1",
        "name: mean, type: global_avg_pool2d, keep_dims: true",
        "name: gate, type: sigmoid",
        "name: scaled, type: multiply, inputs: [conv, gate]",
        "name: pool, type: max_pool2d, kernel_size: 2",
    ]
    found = archspec.analyze(network(layers, (1, 16, 16)))
    scaled, pool = found.by_name["scaled"].receptive_field, found.by_name["pool"].receptive_field
    assert scaled is not None
    assert pool is not None
    assert (scaled.size, scaled.stride) == ((18, 18), (1, 1))
    assert pool.stride == (2, 2)


@given(st.integers(1, 3), st.integers(1, 2), st.integers(0, 2), st.integers(0, 2))
@settings(max_examples=30, deadline=None)
def test_a_transposed_convolution_of_stride_1_is_a_convolution(
    network: Network, kernel: int, dilation: int, before: int, after: int
) -> None:
    size = 12
    layer = (
        f"name: up, type: conv2d_transpose, filters: 1, kernel_size: {kernel}, "
        f"dilation: {dilation}, padding: {[before, after] * 2}"
    )
    found = archspec.analyze(network([layer], (1, size, size)))
    # Pixel i adds to the outputs i + tap D - before.
    line: Line = [set() for _ in range(found.by_name["up"].output_shape[1])]
    for pixel in range(size):
        for tap in range(kernel):
            output = pixel + tap * dilation - before
            if 0 <= output < len(line):
                line[output].add(pixel)
    _agrees(found, "up", line, size)


def test_a_norm_over_all_positions_sees_the_whole_image_and_moves_along(network: Network) -> None:
    layers = [
        "name: conv, type: conv2d, filters: 2, kernel_size: 2, stride: 2",
        "name: norm, type: group_norm, groups: 1, eps: 1e-5",
        "name: mean, type: global_avg_pool2d, keep_dims: true",
        "name: one, type: group_norm, groups: 2, eps: 1e-5",
    ]
    found = archspec.analyze(network(layers, (1, 16, 16)))
    fields = [layer.receptive_field for layer in found.layers]
    assert [(f.size[0], f.stride[0], f.offset[0]) for f in fields if f is not None] == [
        (2, 2, 0),
        (16, 2, 0),
        (30, 16, 0),
        (30, 16, 0),
    ]


def test_upsampled_maps_have_no_single_field(network: Network) -> None:
    for layer in (
        "type: upsample2d, scale: 2",
        "type: conv2d_transpose, filters: 1, kernel_size: 2, stride: 2",
    ):
        layers = [f"name: up, {layer}", "name: behind, type: relu"]
        found = archspec.analyze(network(layers, (1, 8, 8)))
        assert found.by_name["up"].receptive_field is None
        assert found.by_name["behind"].receptive_field is None


def test_reshaped_elements(network: Network) -> None:
    layers = [
        "name: conv, type: conv2d, filters: 2, kernel_size: 2, stride: 2",
        "name: flat, type: reshape, shape: [32]",
        "name: pixel, type: reshape, shape: [32, 1, 1]",
        "name: mixed, type: reshape, shape: [2, 2, 8]",
    ]
    found = archspec.analyze(network(layers, (1, 8, 8)))
    fields = {layer.name: layer.receptive_field for layer in found.layers}
    assert fields["flat"] == fields["conv"]
    assert fields["pixel"] is not None
    assert fields["pixel"].size == (8, 8)  # a convolution behind it mixes all channels
    assert fields["mixed"] is None


def test_a_layer_of_zeros_moves_the_field(network: Network) -> None:
    layers = [
        "name: pad, type: zero_pad2d, padding: [2, 0, 1, 0]",
        "name: conv, type: conv2d, filters: 1, kernel_size: 3",
    ]
    field = archspec.analyze(network(layers, (1, 8, 8))).by_name["conv"].receptive_field
    assert field is not None
    assert (field.size, field.stride, field.offset) == ((3, 3), (1, 1), (-2, -1))


def test_regions_of_unequal_size_have_no_single_field(network: Network) -> None:
    layers = [
        "name: even, type: adaptive_avg_pool2d, output_size: 4",
        "name: uneven, type: adaptive_avg_pool2d, output_size: 3",
        "name: behind, type: relu",
    ]
    found = archspec.analyze(network(layers, (1, 8, 8)))
    even = found.by_name["even"].receptive_field
    assert even is not None
    assert (even.size, even.stride) == ((2, 2), (2, 2))
    assert found.by_name["uneven"].receptive_field is None
    assert found.by_name["behind"].receptive_field is None


def test_fields_of_a_branching_network_by_gradients(network: Network) -> None:
    """Odd windows and paddings on both axes, through branches and joins.

    Every weight of the model is positive, so that no two paths cancel: an output depends on the
    pixels at which its gradient is not zero.
    """
    import torch

    first = "type: conv2d, filters: 2, kernel_size: [3, 2], padding: [1, 0, 1, 0]"
    layers = [
        f"name: stem, stride: 2, rounding: floor, {first}",
        "name: left, type: conv2d, filters: 2, kernel_size: [1, 5], padding: [0, 0, 1, 3]",
        "name: long, type: conv2d, filters: 2, kernel_size: 3, dilation: 2, padding: [4, 0, 1, 3], "
        "inputs: [stem]",
        "name: joined, type: concat, inputs: [left, long]",
        "name: sum, type: add, inputs: [left, stem]",
        "name: pool, type: avg_pool2d, kernel_size: [2, 3], stride: 2, rounding: floor, "
        "inputs: [joined]",
        "name: side, type: avg_pool2d, kernel_size: [2, 4], stride: 2, rounding: floor, "
        "inputs: [sum]",
        "name: pools, type: concat, inputs: [pool, side]",
        "name: narrow, type: zero_pad2d, padding: [1, 0, 0, 0]",
        "name: last, type: conv2d, filters: 1, kernel_size: 2",
    ]
    graph = network(layers, (1, 40, 44))
    found = archspec.analyze(graph)
    model = archspec.build(graph, backend="torch")
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 1.0)
    outputs: dict[str, Any] = {}
    for name, module in model.named_children():
        module.register_forward_hook(
            lambda module, args, output, name=name: outputs.__setitem__(name, output)
        )
    image = torch.ones(1, 1, 40, 44, requires_grad=True)
    model(image)
    inner = 0
    for name in ("stem", "left", "long", "joined", "sum", "pools", "last"):
        field = found.by_name[name].receptive_field
        assert field is not None
        _, _, height, width = outputs[name].shape
        for row, column in ((0, 0), (height // 2, width // 2), (height - 1, width - 1)):
            value = outputs[name][0, :, row, column].sum()
            (gradient,) = torch.autograd.grad(value, image, retain_graph=True)
            for axis, position, size in ((2, row, 40), (3, column, 44)):
                seen = gradient[0, 0].sum(3 - axis).nonzero().flatten().tolist()
                begin = field.offset[axis - 2] + position * field.stride[axis - 2]
                pixels = range(begin, begin + field.size[axis - 2])
                assert set(seen) <= set(pixels)
                if begin >= 0 and pixels[-1] < size:
                    assert (seen[0], seen[-1]) == (pixels[0], pixels[-1])
                    inner += 1
    assert inner >= 16


def test_offset_of_alexnet_s_fields() -> None:
    """The paddings of the convolutions move the field: 2 x 8 pixels before conv2, and so on."""
    fields = {x.name: x.receptive_field for x in archspec.analyze("alexnet").layers}
    offsets = {name: field.offset for name, field in fields.items() if field is not None}
    assert offsets["pool1"] == (0, 0)
    assert offsets["conv2"] == offsets["pool2"] == (-2 * 8, -2 * 8)
    assert offsets["conv3"] == (-16 - 16, -16 - 16)
    assert offsets["pool5"] == (-16 - 3 * 16, -16 - 3 * 16)
    field = fields["pool5"]
    assert field is not None
    # The middle of the six fields is the middle of the image: nothing is lost at an edge.
    middles = [field.offset[0] + i * 32 + (field.size[0] - 1) / 2 for i in range(6)]
    assert sum(middles) / 6 == (227 - 1) / 2
