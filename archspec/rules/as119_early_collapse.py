"""A window brings the map down to one pixel long before the network ends.

From there on no layer can tell where anything is, and the dense layers behind it read one number a
channel. A pool over the whole map (a global pool) and a kernel that fits the map exactly are meant
to do that. A window that only happens to end at 1 x 1, with layers of weights still to come,
usually has a stride too many before it.

Example:

    archspec: 1
    name: example
    input: {channels: 16, height: 2, width: 2}
    layers:
      - {name: pool5, type: max_pool2d, kernel_size: 3, stride: 2, padding: same}
      - {name: flatten, type: flatten}
      - {name: fc6, type: dense, units: 64}
      - {name: relu6, type: relu}
      - {name: fc7, type: dense, units: 10}

Instead:

    archspec: 1
    name: example
    input: {channels: 16, height: 12, width: 12}
    layers:
      - {name: pool5, type: max_pool2d, kernel_size: 3, stride: 2, padding: same}
      - {name: flatten, type: flatten}
      - {name: fc6, type: dense, units: 64}
      - {name: relu6, type: relu}
      - {name: fc7, type: dense, units: 10}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from archspec.analysis import Analysis
from archspec.analysis.numbers import counted
from archspec.diagnostics import Problem
from archspec.graph import Graph
from archspec.layers.base import show
from archspec.rules.base import Rule
from archspec.rules.walk import windows

# So many layers of weights behind it, and the map was still needed.
LAYERS_BEHIND = 2


def _check(analysis: Analysis) -> Iterator[Problem]:
    depths: Mapping[str, int] = {}
    for node, _, window in windows(analysis):
        if window.output != (1, 1):
            continue
        down, across = window.height, window.width
        if all(a.size == 1 or (a.extent == a.size and a.exact) for a in (down, across)):
            continue
        depths = depths or _depths(analysis.graph)
        if depths[node.name] >= LAYERS_BEHIND:
            channels = analysis.shapes.of(node.name)[0]
            message = (
                f"{node.name}: its window of {show(window.kernel_size)} brings the map of "
                f"{down.size} x {across.size} down to 1 x 1, with {depths[node.name]} layers of "
                f"weights still to come; they read {counted(channels, 'number')}, and nothing of "
                f"{'where those come' if channels > 1 else 'where it comes'} from"
            )
            help_ = "use less stride before it, a larger input, or a global pool if that is meant"
            yield Problem("early-collapse", message, help_, layer=node.name, field="kernel_size")


def _depths(graph: Graph) -> Mapping[str, int]:
    """For each layer the convolutions and dense layers on the longest way to an output."""
    found: dict[str, int] = {}
    for node in reversed(graph.nodes):
        readers = [graph.by_name[name] for name in graph.consumers[node.name]]
        found[node.name] = max((found[r.name] + r.layer.is_neurons for r in readers), default=0)
    return found


RULE = Rule("AS119", "early-collapse", "warning", check=_check)
