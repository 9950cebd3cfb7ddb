"""Ways out of a non-integer output size, found by solving, each with what it does downstream.

For O = (W - F + P)/S + 1 with remainder r = (W - F + P) mod S, the next whole number up needs
p = S - r more pixels: from the input, from padding on both sides (2q >= p, the rest dropped),
from padding on two unequal sides, or from a last window that reaches past the edge.
"""

from __future__ import annotations

from archspec.analysis.shapes import Shapes, infer_shapes
from archspec.diagnostics import Fix
from archspec.graph import Graph, Node
from archspec.layers.base import show
from archspec.layers.window import Window
from archspec.layers.windowed import WindowedLayer

# How far from the given input size a size is looked for at which every layer is exact.
SEARCH_PIXELS = 64


def repairs(graph: Graph, shapes: Shapes, name: str) -> tuple[Fix, ...]:
    """The minimal repairs of layer `name`, whose output size is not a whole number."""
    node = graph.by_name[name]
    window = shapes.layers[name].window
    layer = node.layer
    if window is None or not isinstance(layer, WindowedLayer):
        return ()
    fixes = []
    size = _input_size(graph)
    if size is not None:
        changed = graph.with_input((graph.input_shape[0], *size))
        fixes.append(
            _fix(
                changed,
                node,
                f"input {size[0]} x {size[1]} instead of {show(graph.input_shape[1:])}",
                {"input.height": size[0], "input.width": size[1]},
            )
        )
    top, bottom, left, right = window.padding
    needed = [_pixels_needed(window, index) for index in (0, 1)]
    both = [-(-pixels // 2) for pixels in needed]
    even = (top + both[0], bottom + both[0], left + both[1], right + both[1])
    uneven = (
        top + needed[0] // 2,
        bottom + needed[0] - needed[0] // 2,
        left + needed[1] // 2,
        right + needed[1] - needed[1] // 2,
    )
    drops = any(pixels % 2 for pixels in needed)
    rounding = "floor" if drops else "exact"
    fixes.append(
        _fix(
            graph.with_layer(name, padding=even, rounding=rounding),
            node,
            f"padding {_sides(even)} on every side" + (", rounding floor" if drops else "")
            if len(set(even)) == 1
            else f"padding {list(even)}" + (", rounding floor" if drops else ""),
            {f"{name}.padding": _padding(even), f"{name}.rounding": rounding},
        )
    )
    if uneven != even:
        fixes.append(
            _fix(
                graph.with_layer(name, padding=uneven),
                node,
                f"padding {uneven[0]}+{uneven[1]} (top+bottom"
                + (
                    ", left+right)"
                    if uneven[:2] == uneven[2:]
                    else f"), {uneven[2]}+{uneven[3]} (left+right)"
                ),
                {f"{name}.padding": list(uneven)},
            )
        )
    for rounding, meaning in (("ceil", "round up"), ("floor", "round down, as most frameworks do")):
        fixes.append(
            _fix(
                graph.with_layer(name, rounding=rounding),
                node,
                f"rounding {rounding} ({meaning})",
                {f"{name}.rounding": rounding},
            )
        )
    return tuple(fixes)


def _fix(changed: Graph, node: Node, title: str, changes: dict[str, object]) -> Fix:
    """The fix with its effect: this layer's output, the first dense input, what stays inexact."""
    shapes = infer_shapes(changed)
    effect = f"{node.name} gives {show(shapes.layers[node.name].shape)}" if (
        node.name in shapes.layers
    ) else f"{node.name} has no output"
    for reader in changed.nodes:
        if reader.layer.type == "dense" and all(n in shapes.layers for n in reader.inputs):
            effect += f", {reader.name} reads {shapes.inputs(reader)[0][0]}"
            break
    if shapes.rounded:
        more = len(shapes.rounded) - 1
        effect += f"; {shapes.rounded[0]} is then not whole" + (f" (and {more} more)" if more else "")
    return Fix(title, effect, changes)


def _input_size(graph: Graph) -> tuple[int, int] | None:
    """The nearest input size at which every layer is exact, the larger one if two are near."""
    _, height, width = graph.input_shape
    for distance in range(1, SEARCH_PIXELS + 1):
        for step in (distance, -distance):
            candidates = {
                (height + step, width + step),
                (height + step, width),
                (height, width + step),
            }
            for size in sorted(candidates, key=lambda s: s[0] == height or s[1] == width):
                if min(size) < 1:
                    continue
                shapes = infer_shapes(graph.with_input((graph.input_shape[0], *size)))
                if not shapes.rounded and len(shapes.layers) == len(graph.nodes):
                    return size
    return None


def _pixels_needed(window: Window, index: int) -> int:
    axis = (window.height, window.width)[index]
    if axis.exact:
        return 0
    span = axis.size - axis.extent + axis.before + axis.after
    return axis.stride - span % axis.stride


def _padding(sides: tuple[int, int, int, int]) -> int | list[int]:
    return sides[0] if len(set(sides)) == 1 else list(sides)


def _sides(sides: tuple[int, int, int, int]) -> str:
    return str(sides[0]) if len(set(sides)) == 1 else str(list(sides))
