"""The receptive field: which input pixels one output element depends on.

Through a window of extent F and stride S, size grows by (F - 1) x jump and jump by the factor S
(Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", 2019,
equation 2). Padding is not subtracted: the field may be larger than the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archspec.analysis.shapes import Shapes
from archspec.graph import Graph
from archspec.spec.fields import INPUT, Pair


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """`size` in input pixels (height, width); `stride`: input pixels from one output to the next."""

    size: Pair
    stride: Pair


@dataclass(frozen=True, slots=True)
class _State:
    """A receptive field and over how many positions (height, width) it is spread out."""

    size: Pair
    stride: Pair
    positions: Pair


def receptive_fields(graph: Graph, shapes: Shapes) -> Mapping[str, ReceptiveField | None]:
    """The receptive field of every layer; None where regions differ in size from place to place."""
    _, height, width = graph.input_shape
    states: dict[str, _State | None] = {INPUT: _State((1, 1), (1, 1), (height, width))}
    for node in graph.nodes:
        inferred = shapes.layers.get(node.name)
        read = [states.get(name) for name in node.inputs]
        known = [state for state in read if state is not None]
        if inferred is None or inferred.sees == "irregular" or len(known) < len(read):
            states[node.name] = None
            continue
        state = _joined(known)
        if inferred.sees == "all":
            state = _grown(state, state.positions, state.positions)
            state = _State(state.size, state.stride, (1, 1))
        elif inferred.window is not None:
            window = inferred.window
            state = _grown(state, (window.height.extent, window.width.extent), window.stride)
        if len(inferred.shape) == 3:
            state = _State(state.size, state.stride, (inferred.shape[1], inferred.shape[2]))
        states[node.name] = state
    return {
        name: ReceptiveField(state.size, state.stride) if state else None
        for name, state in states.items()
        if name != INPUT
    }


def _joined(states: list[_State]) -> _State:
    """Branches that meet: the largest field counts."""
    return _State(
        (max(s.size[0] for s in states), max(s.size[1] for s in states)),
        (max(s.stride[0] for s in states), max(s.stride[1] for s in states)),
        states[0].positions,
    )


def _grown(state: _State, extent: Pair, stride: Pair) -> _State:
    return _State(
        (
            state.size[0] + (extent[0] - 1) * state.stride[0],
            state.size[1] + (extent[1] - 1) * state.stride[1],
        ),
        (state.stride[0] * stride[0], state.stride[1] * stride[1]),
        state.positions,
    )
