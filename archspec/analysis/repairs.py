"""Ways out of a non-integer output size, found by solving, each with what it does downstream.

For O = (W - F + P)/S + 1 with remainder r = (W - F + P) mod S, the next whole number up needs
S - r more pixels on that axis: from a larger input, from equal padding on both sides (where
S - r is odd, one pixel of it stays unread), from unequal padding, or from a last window that
reaches past the edge. Rounding down leaves r pixels unread.
"""

from __future__ import annotations

from typing import Any

from archspec.analysis.shapes import MAX_RULES, Shapes, infer_shapes
from archspec.diagnostics import Fix
from archspec.graph import Graph
from archspec.layers.base import show
from archspec.layers.pool2d import AvgPool2d
from archspec.layers.window import Axis, Window
from archspec.layers.windowed import WindowedLayer, dropped, pixels
from archspec.spec.fields import Sides


def repairs(graph: Graph, shapes: Shapes, name: str) -> tuple[Fix, ...]:
    """The minimal repairs of layer `name`, whose output size is not a whole number.

    Each is applied and the shapes behind it are inferred again: its `effect` is what they are,
    and a repair that leaves the layer without an output is no repair. In a network of thousands
    of layers only the first problems get repairs.
    """
    layer, inferred = graph.by_name[name].layer, shapes.layers[name]
    if not isinstance(layer, WindowedLayer) or inferred.window is None:
        return ()
    if shapes.rounded.index(name) * len(graph.nodes) > MAX_RULES:
        return ()
    fixes = []
    size = shapes.whole_input
    if size is not None:
        effect = _effect(infer_shapes(graph.with_input((graph.input_shape[0], *size))), name)
        changes = {"input.height": size[0], "input.width": size[1]}
        fixes.append(Fix(f"input {show(size)}", effect, changes))
    for title, fields in _alternatives(layer, inferred.window):
        changed = infer_shapes(graph.with_layer(name, **fields), before=shapes, changed=name)
        if name in changed.layers and name not in changed.rounded:
            written = {f"{name}.{key}": _written(value) for key, value in fields.items()}
            fixes.append(Fix(title, _effect(changed, name), written))
    return tuple(fixes)


def _alternatives(layer: WindowedLayer, window: Window) -> list[tuple[str, dict[str, Any]]]:
    """What can be changed in the layer itself: a title and the fields with their new values."""
    vertical, horizontal = _lacking(window.height), _lacking(window.width)
    top, bottom, left, right = window.padding
    more_v, more_h = -(-vertical // 2), -(-horizontal // 2)
    even = (top + more_v, bottom + more_v, left + more_h, right + more_h)
    exact = (top + vertical // 2, bottom + more_v, left + horizontal // 2, right + more_h)
    # An average pool says what its mean makes of padding; without padding it need not have.
    silent = isinstance(layer, AvgPool2d) and layer.count_include_pad is None
    mean: dict[str, Any] = {"count_include_pad": False} if silent else {}
    but = ", count_include_pad false" if silent else ""
    found: list[tuple[str, dict[str, Any]]] = []
    if even == exact:
        found.append((f"padding {_shown(even)}{but}", {"padding": even, **mean}))
    else:
        floor = {"padding": even, "rounding": "floor", **mean}
        found.append((f"padding {_shown(even)} with rounding floor{but}", floor))
        found.append((f"padding {_shown(exact)}{but}", {"padding": exact, **mean}))
    up = layer.model_copy(update={"rounding": "ceil"}).window((1, *_input_size(window)))
    if not (up.height.clipped or up.width.clipped):
        found.append(("rounding ceil", {"rounding": "ceil"}))
    found.append(("rounding floor", {"rounding": "floor"}))
    return found


def _effect(shapes: Shapes, name: str) -> str:
    """What a repair gives: this layer, the first dense layer behind it, what is not whole yet."""
    graph, inferred = shapes.graph, shapes.layers[name]
    parts = [f"{name} gives {show(inferred.shape)}"]
    if inferred.window is not None:
        parts[0] += _edges(inferred.window)
    behind = {name}
    for node in graph.nodes:
        if behind.isdisjoint(node.inputs):
            continue
        behind.add(node.name)
        if node.layer.type == "dense" and all(i in shapes.layers for i in node.inputs):
            parts.append(f"{node.name} reads {show(shapes.inputs(node)[0])}")
            break
    if len(parts) == 1 and graph.output in shapes.layers and graph.output != name:
        parts.append(f"the network gives {show(shapes.of(graph.output))}")
    if shapes.missing:
        parts.append(f"{_several(shapes.missing)} no output")
    if shapes.rounded:
        parts.append(f"{_several(shapes.rounded)} no whole output")
    return "; ".join(parts)


def _edges(window: Window) -> str:
    """What happens at the end of the axes that are rounded, once where both do the same."""
    down, across = _edge(window.height), _edge(window.width)
    if down == across:
        return f", {down}" if down else ""
    named = [f"in height {down}" if down else "", f"in width {across}" if across else ""]
    return ", " + " and ".join(name for name in named if name)


def _edge(axis: Axis) -> str:
    if axis.exact:
        return ""
    if axis.overhang:
        return f"its last window reaching {pixels(axis.overhang)} past the input"
    return f"{dropped(axis)} unread"


def _several(names: tuple[str, ...]) -> str:
    if len(names) == 1:
        return f"{names[0]} then has"
    return f"{names[0]} and {len(names) - 1} more then have"


def _lacking(axis: Axis) -> int:
    """Pixels to the next whole number, 0 where the axis is whole."""
    return 0 if axis.exact else axis.stride - axis.span % axis.stride


def _input_size(window: Window) -> tuple[int, int]:
    return window.height.size, window.width.size


def _shown(sides: Sides) -> str:
    """2; [2, 0]; [0, 1, 0, 0]; [1, 2, 1, 2] (1+2 on each axis)."""
    unequal = sides[:2] == sides[2:] and sides[0] != sides[1]
    return f"{_written(sides)}" + (f" ({sides[0]}+{sides[1]} on each axis)" if unequal else "")


def _written(value: Any) -> Any:
    """A field's value as a spec writes it: padding as one number, two or four."""
    if not isinstance(value, tuple):
        return value
    top, bottom, left, right = value
    if top == bottom and left == right:
        return top if top == left else [top, left]
    return list(value)
