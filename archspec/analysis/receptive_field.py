"""The receptive field: which input pixels one output element depends on.

Through a window of extent F and stride S, size grows by (F - 1) x jump and jump by the factor S
(Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", 2019,
equation 2). Padding is not subtracted: the field may be larger than the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archspec.analysis.shapes import Shapes
from archspec.graph import Graph
from archspec.layers.base import Inferred
from archspec.layers.window import Axis
from archspec.spec.fields import INPUT, Pair


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """What one output element sees, in input pixels, each as (height, width).

    `size` is the field's; `stride` is the step from one output's field to the next one's;
    `offset` is the first pixel that the first output sees, counted from 0 at the top left pixel
    of the image and negative where that is padding. So output i sees the pixels from
    offset + i x stride to offset + i x stride + size - 1, and the middle of its field is at
    offset + i x stride + (size - 1)/2. Behind a gate (squeeze and excitation), which sees the whole
    image from every position, `size` is that of the largest field, and every output sees the image.
    """

    size: Pair
    stride: Pair
    offset: Pair


@dataclass(frozen=True, slots=True)
class _Line:
    """The fields of `positions` outputs along one axis."""

    size: int = 1
    stride: int = 1
    offset: int = 0
    positions: int = 1

    def through(self, axis: Axis) -> _Line:
        """Behind a window."""
        return _Line(
            self.size + (axis.extent - 1) * self.stride,
            self.stride * axis.stride,
            self.offset - axis.before * self.stride,
            axis.output,
        )

    def whole(self) -> _Line:
        """Behind a layer that sees every position and has one."""
        reach = (self.positions - 1) * self.stride
        return _Line(self.size + reach, self.stride * self.positions, self.offset, 1)


def receptive_fields(graph: Graph, shapes: Shapes) -> Mapping[str, ReceptiveField | None]:
    """The receptive field of every layer; None where regions differ in size from place to place."""
    _, height, width = graph.input_shape
    down = _Line(positions=height)
    lines: dict[str, tuple[_Line, _Line] | None] = {
        # One object where both axes are alike: what holds of one need not be computed again.
        INPUT: (down, down if height == width else _Line(positions=width))
    }
    for node in graph.nodes:
        inferred = shapes.layers.get(node.name)
        read = [lines[name] for name in node.inputs]
        known = [pair for pair in read if pair is not None]
        if inferred is None or len(known) < len(read):
            lines[node.name] = None
        elif len(known) == 1:
            lines[node.name] = _behind(known[0], inferred)
        else:
            joined = (
                _joined([down for down, _ in known]),
                _joined([across for _, across in known]),
            )
            lines[node.name] = _behind(joined, inferred)
    del lines[INPUT]
    # Most layers see what the one before them sees.
    distinct = {id(pair): pair for pair in lines.values()}
    fields = {key: _field(pair) for key, pair in distinct.items()}
    return {name: fields[id(pair)] for name, pair in lines.items()}


def _field(pair: tuple[_Line, _Line] | None) -> ReceptiveField | None:
    if pair is None:
        return None
    down, across = pair
    return ReceptiveField(
        (down.size, across.size), (down.stride, across.stride), (down.offset, across.offset)
    )


def _behind(pair: tuple[_Line, _Line], inferred: Inferred) -> tuple[_Line, _Line] | None:
    if inferred.sees == "one":
        return pair
    alike = pair[0] is pair[1]
    if inferred.sees == "all":
        down = _everywhere(pair[0], *inferred.shape[1:2])
        return down, down if alike else _everywhere(pair[1], *inferred.shape[2:])
    window = inferred.window
    if window is None:
        return None
    down = pair[0].through(window.height)
    alike = alike and window.height is window.width
    return down, down if alike else pair[1].through(window.width)


def _everywhere(line: _Line, positions: int = 1) -> _Line:
    """Behind a layer that sees every position; one that keeps them moves along as well."""
    return line.whole() if positions == 1 else _joined([line, line.whole()])


def _joined(lines: Sequence[_Line]) -> _Line:
    """Branches that meet: together they see from the first pixel of any to the last of any.

    A branch of one position scales every position of the others, so it does not move along.
    """
    positions = max(line.positions for line in lines)
    steps = [line.stride if line.positions == positions else 0 for line in lines]
    size = 0
    for at in (0, positions - 1):
        starts = [line.offset + at * step for line, step in zip(lines, steps, strict=True)]
        ends = [start + line.size for start, line in zip(starts, lines, strict=True)]
        size = max(size, max(ends) - min(starts))
    return _Line(size, max(steps), min(line.offset for line in lines), positions)
