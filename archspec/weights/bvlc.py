"""The dictionary of `bvlc_alexnet.npy`: each layer's name, and its arrays as TensorFlow has them.

caffe-tensorflow turned Caffe's AlexNet into it: convolutions H,W,I,O (I / groups), dense weights
in,out, the dense layer behind the last map over its inputs flattened H,W,C. It is Caffe's network,
so it reads the colours B,G,R. A layer is a list [weights, biases], as in that file, or a
dictionary such as {"mean": ..., "variance": ..., "scale": ..., "offset": ...}.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.analysis.shapes import infer_shapes
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph, Node
from archspec.weights.foreign import Colours, Flatten, Layout
from archspec.weights.orders import Order, orders

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]

SUFFIX = ".npy"
# The axes by their number.
AXES: Mapping[int, Layout] = {4: "HWIO", 2: "IO"}
FLATTEN: Flatten = "HWC"
COLOURS: Colours = "BGR"
# What the arrays of a layer are called, and the canonical names.
ROLES: Mapping[str, str] = {
    **dict.fromkeys(("weights", "weight", "kernel", "w"), "weight"),
    **dict.fromkeys(("biases", "bias", "b"), "bias"),
    **dict.fromkeys(("scale", "gamma"), "weight"),
    **dict.fromkeys(("offset", "beta"), "bias"),
    **dict.fromkeys(("mean", "moving_mean", "running_mean"), "running_mean"),
    **dict.fromkeys(("variance", "moving_variance", "running_var"), "running_var"),
}
_WORDS = {"running_mean": "mean", "running_var": "variance", "weight": "scale", "bias": "offset"}


def write(path: Path, graph: Graph, weights: Mapping[str, Floats]) -> None:
    """Write canonical weights as such a dictionary.

    Raises OSError, and ArchspecError for a layer whose features lose their order on the way.
    """
    import numpy as np

    shapes = infer_shapes(graph)
    roles = {
        node.name: [weight.name for weight in node.layer.weights(shapes.inputs(node))]
        for node in graph.nodes
    }
    reads = orders(graph, FLATTEN, COLOURS)
    layers: dict[str, Any] = {}
    for node in graph.nodes:
        found = {
            role: _laid_out(weights[f"{node.name}.{role}"], node, role, reads)
            for role in roles[node.name]
        }
        if list(found) == ["weight", "bias"] and found["weight"].ndim > 1:
            layers[node.name] = list(found.values())
        elif found:
            vectors = all(array.ndim == 1 for array in found.values())
            words = _WORDS if vectors else {"weight": "weights", "bias": "biases"}
            layers[node.name] = {words.get(role, role): array for role, array in found.items()}
    with path.open("wb") as stream:
        np.save(stream, np.array(layers, object), allow_pickle=True)


def _laid_out(array: Floats, node: Node, role: str, reads: Mapping[str, Order]) -> Floats:
    import numpy as np

    from archspec.weights.layout import reverted

    found = reverted(array, node, AXES.get(array.ndim, ""), reads)
    if found is None:
        raise ArchspecError(
            f"{node.name}.{role} cannot be written as in bvlc_alexnet.npy: it reads features whose "
            "order there cannot be told; write a .safetensors file instead"
        )
    return np.ascontiguousarray(found)
