"""In which order a network's features come where a file's tools ordered them otherwise.

Two things reorder features: colours that are read B,G,R, and a map that is flattened height,
width, channels. Weights that read such features have them in the file's order, and so have
normalisations and factors of single features. From the input on, each layer's features are
followed until a layer mixes them: a convolution or a dense layer gives features of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec.analysis.shapes import Shapes, infer_shapes
from archspec.graph import Graph, Node
from archspec.layers.base import Shape
from archspec.spec.fields import INPUT
from archspec.weights.foreign import Colours, Flatten

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Order:
    """Feature k of the canonical order is feature `indices[k]` of the file's.

    `why` says what reordered them: ``colours``, ``flatten``. `indices` is None where that cannot
    be told.
    """

    indices: Indices | None
    why: frozenset[str]


def orders(graph: Graph, flatten: Flatten | None, colours: Colours | None) -> Mapping[str, Order]:
    """The order of the features that each layer reads; layers where nothing differs are absent.

    Features are the channels of a map or the numbers of a vector.
    """
    import numpy as np

    shapes = infer_shapes(graph)
    gives: dict[str, Order] = {}
    if colours == "BGR" and graph.input_shape[0] == 3:
        gives[INPUT] = Order(np.array([2, 1, 0]), frozenset(["colours"]))
    reads: dict[str, Order] = {}
    for node in graph.nodes:
        found = [gives.get(name) for name in node.inputs]
        if any(found) and node.inputs:
            reads[node.name] = _joined(node, found, shapes.inputs(node))
        after = _after(node, reads.get(node.name), shapes, flatten)
        if after is not None:
            gives[node.name] = after
    return reads


def _joined(node: Node, found: Sequence[Order | None], inputs: Sequence[Shape]) -> Order:
    """The order of what a layer reads."""
    import numpy as np

    why = frozenset[str]().union(*(order.why for order in found if order))
    every = [
        order.indices if order else np.arange(shape[0])
        for order, shape in zip(found, inputs, strict=True)
    ]
    known = [indices for indices in every if indices is not None]
    if len(known) < len(every):
        return Order(None, why)
    if node.layer.type == "concat":
        starts = np.cumsum([0, *(len(indices) for indices in known[:-1])])
        moved = [indices + start for indices, start in zip(known, starts, strict=True)]
        return Order(np.concatenate(moved), why)
    same = all(np.array_equal(indices, known[0]) for indices in known[1:])
    return Order(known[0] if same else None, why)


def _after(
    node: Node, reads: Order | None, shapes: Shapes, flatten: Flatten | None
) -> Order | None:
    """The order of what a layer gives, None where it is the canonical one."""
    import numpy as np

    before, after = shapes.inputs(node)[0], shapes.of(node.name)
    kind = node.layer.type
    if (
        len(before) == 3
        and len(after) == 1
        and math.prod(before) == after[0]
        and (kind in ("flatten", "reshape"))
    ):
        channels, area = before[0], math.prod(before[1:])
        reordered = flatten == "HWC" and area > 1 and channels > 1
        if not reordered and reads is None:
            return None
        why = (reads.why if reads else frozenset()) | ({"flatten"} if reordered else set())
        if reads is not None and reads.indices is None:
            return Order(None, why)
        channel = reads.indices if reads and reads.indices is not None else np.arange(channels)
        places = np.arange(area)
        if reordered:
            return Order((places[None, :] * channels + channel[:, None]).ravel(), why)
        return Order((channel[:, None] * area + places[None, :]).ravel(), why)
    if reads is None:
        return None
    groups = getattr(node.layer, "groups", 1)
    if kind in ("conv2d", "conv2d_transpose", "dense"):
        if groups == 1:
            return None
        moved = None if reads.indices is None else outputs(reads.indices, groups, after[0])
        return Order(moved, reads.why)
    if kind == "split" and reads.indices is not None:
        first, end = node.layer.model_dump()["channels"]
        kept = reads.indices[first:end] - first
        inside = bool(len(kept)) and bool((np.sort(kept) == np.arange(len(kept))).all())
        return Order(kept if inside else None, reads.why)
    if kind == "concat":
        return reads
    if after[0] == before[0] and kind not in _MIXING:
        return reads
    return Order(None, reads.why)


def owners(indices: Indices, groups: int) -> Indices | None:
    """For each group of a convolution the file's group that reads its features.

    None where the features of one group are spread over several of the file's.
    """
    each = len(indices) // groups
    found: Indices = indices.reshape(groups, each) // each
    return found[:, 0] if (found == found[:, :1]).all() else None


def outputs(indices: Indices, groups: int, count: int) -> Indices | None:
    """The order of the `count` outputs of a grouped convolution, by that of its inputs.

    Its groups stand in the order of what they read. None where that cannot be told.
    """
    import numpy as np

    moved = owners(indices, groups)
    if moved is None:
        return None
    each = count // groups
    return (moved[:, None] * each + np.arange(each)).ravel()


# They may keep the number of channels and move them about.
_MIXING = frozenset(["channel_shuffle", "permute", "reshape"])
