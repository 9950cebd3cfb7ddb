"""The axes and the features of one array, from a file's layout to the canonical one and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archspec.graph import Node
from archspec.weights.foreign import CANONICAL, Layout
from archspec.weights.orders import Order, outputs, owners

if TYPE_CHECKING:
    import numpy.typing as npt

    from archspec.weights.orders import Indices

    Array = npt.NDArray[Any]

# The canonical axes of the layers whose weights have more than one.
LETTERS: Mapping[str, Layout] = {"conv2d": "OIHW", "conv2d_transpose": "IOHW", "dense": "OI"}
# What the axes of a weight are where the format does not tell, the likeliest first: archspec's and
# PyTorch's order, that of TensorFlow and Keras, and for transposed convolutions Keras'.
GUESSES: Mapping[str, tuple[Layout, ...]] = {
    "conv2d": ("OIHW", "HWIO"),
    "conv2d_transpose": ("IOHW", "HWOI", "HWIO"),
    "dense": ("OI", "IO"),
}


def permutation(axes: Layout, kind: str, rank: int) -> tuple[int, ...] | None:
    """The axes of a file's array in canonical order; None where they cannot be those of `kind`."""
    same = tuple(range(rank))
    letters = LETTERS.get(kind, "")
    if rank < 2 or axes in (CANONICAL, letters):
        return same
    if sorted(axes) != sorted(letters) or len(letters) != rank:
        return None
    return tuple(axes.index(letter) for letter in letters)


def converted(array: Array, node: Node, axes: Layout, reads: Mapping[str, Order]) -> Array | None:
    """An array of a layer out of the file's axes and order of features in the canonical ones.

    None where its features cannot be told.
    """
    order = permutation(axes, node.layer.type, array.ndim)
    if order is None:
        return None
    return _by_features(array.transpose(order), node, reads, back=False)


def reverted(array: Array, node: Node, axes: Layout, reads: Mapping[str, Order]) -> Array | None:
    """The way back: a canonical array in a file's axes and order of features."""
    import numpy as np

    order = permutation(axes, node.layer.type, array.ndim)
    moved = _by_features(array, node, reads, back=True)
    if order is None or moved is None:
        return None
    return moved.transpose(np.argsort(order))


def feature_axis(node: Node, rank: int) -> int | None:
    """The axis of a canonical array that stands for what the layer reads; None for its outputs."""
    if node.layer.type in LETTERS:
        return LETTERS[node.layer.type].index("I") if rank > 1 else None
    return 0  # normalisations and factors have a number for each feature


def reorders(node: Node, rank: int) -> bool:
    """Whether a layer has an array of that rank in the order of the features that it reads."""
    return feature_axis(node, rank) is not None or _groups(node) > 1


def _groups(node: Node) -> int:
    """The groups of a convolution; a normalisation has an array for all of its groups."""
    return getattr(node.layer, "groups", 1) if node.layer.type in LETTERS else 1


def _by_features(
    array: Array, node: Node, reads: Mapping[str, Order], *, back: bool
) -> Array | None:
    import numpy as np

    order = reads.get(node.name)
    if order is None or not reorders(node, array.ndim):
        return array
    if order.indices is None:
        return None
    indices = np.argsort(order.indices) if back else order.indices
    axis, groups = feature_axis(node, array.ndim), _groups(node)
    if axis is None:  # a number for each output of a grouped convolution
        moved = outputs(indices, groups, array.shape[0])
        return None if moved is None else np.take(array, moved, 0)
    if groups > 1 and axis == 1:
        return _by_groups(array, indices, groups)
    if array.shape[axis] != len(indices):
        return None
    return np.take(array, indices, axis)


def _by_groups(array: Array, indices: Indices, groups: int) -> Array | None:
    """The weight of a grouped convolution, O,I,H,W: the blocks of its groups, each for itself."""
    import numpy as np

    moved = owners(indices, groups)
    if moved is None:
        return None
    gives, reads = array.shape[0] // groups, len(indices) // groups
    return np.concatenate(
        [
            array[o * gives : (o + 1) * gives, indices[k * reads : (k + 1) * reads] - o * reads]
            for k, o in enumerate(moved)
        ]
    )
