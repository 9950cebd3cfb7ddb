"""Layers that compute the same in another form than the network has them.

A convolution of one pixel is a dense layer for each pixel. A bias in front of a batch
normalisation is a part of its mean: (x + b) - m = x - (m - b). And exporters fold a batch
normalisation into the convolution before it, which leaves a bias where the network has a
normalisation: that one then has nothing left to do but to add it. What a batch normalisation learns
may be a layer of its own, as it is in Caffe: `batch_norm` without it, then `scale`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archspec.graph import Graph, Node
from archspec.weights.foreign import CANONICAL, Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]

# The axes of a dense layer's weight, and of the convolution of one pixel that is the same.
_PIXEL = {"IO": "HWIO", "OI": "OIHW", CANONICAL: CANONICAL}
_BIASED = ("conv2d", "dense")


def in_the_form_of(tensor: Tensor, kind: str) -> Tensor:
    """A weight of a dense layer as one of a convolution of one pixel, or the other way round.

    The tensor as it is where it is neither, or has that form.
    """
    shape, rank = tensor.value.shape, tensor.value.ndim
    if tensor.role not in ("", "weight") or tensor.kind not in ("", *_BIASED):
        return tensor
    if kind == "dense" and rank == 4:
        if shape[:2] == (1, 1) and tensor.axes in ("", "HWIO"):
            return replace(tensor, value=tensor.value.reshape(shape[2:]), axes="IO", kind=kind)
        if shape[2:] == (1, 1) and tensor.axes in ("", "OIHW", CANONICAL):
            return replace(tensor, value=tensor.value.reshape(shape[:2]), axes="OI", kind=kind)
    if kind == "conv2d" and rank == 2 and tensor.axes in _PIXEL:
        ones = (1, 1, *shape) if tensor.axes == "IO" else (*shape, 1, 1)
        axes = _PIXEL[tensor.axes]
        return replace(tensor, value=tensor.value.reshape(ones), axes=axes, kind=kind)
    return tensor


def learns_apart(graph: Graph) -> bool:
    """Whether the batch normalisations of a network learn nothing, and scales do behind them."""
    norms = [node for node in graph.nodes if node.layer.type == "batch_norm"]
    scales = any(node.layer.type == "scale" for node in graph.nodes)
    return bool(norms) and scales and not any(node.layer.model_dump()["affine"] for node in norms)


def apart(tensors: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """The statistics of a batch normalisation and what it learns; any other layer as it is."""
    learned = tuple(
        replace(tensor, layer=f"{tensor.layer}.scale", kind=tensor.kind and "scale")
        for tensor in tensors
        if tensor.role in ("weight", "bias")
    )
    statistics = tuple(tensor for tensor in tensors if tensor.role.startswith("running_"))
    if not statistics or not learned:
        return [tuple(tensors)]
    return [statistics, learned]


def normalised(graph: Graph) -> dict[str, Node]:
    """The batch normalisation behind each layer without a bias that nothing else reads."""
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    found = {}
    for node in graph.nodes:
        behind = readers.get(node.name, [])
        if (
            node.layer.type in _BIASED
            and not getattr(node.layer, "bias", True)
            and len(behind) == 1
            and behind[0].layer.type == "batch_norm"
            and node.name not in graph.outputs
        ):
            found[node.name] = behind[0]
    return found


def with_bias(norm: Node, weights: Mapping[str, Array], bias: Array) -> Array:
    """The mean of a batch normalisation that sees its input without this bias."""
    import numpy as np

    mean: Any = weights[f"{norm.name}.running_mean"].astype(np.float64)
    found: Array = (mean - bias).astype(np.float32)
    return found


def passing_on(norm: Node, bias: Array) -> dict[str, tuple[Array, str]]:
    """The weights of a batch normalisation that does nothing but add a bias, and what they are."""
    import numpy as np

    eps: float = norm.layer.model_dump()["eps"]
    ones, zeros = np.ones_like(bias), np.zeros_like(bias)
    found = {"running_var": (ones * np.float32(1 - eps), "1 - eps")}
    if norm.layer.model_dump()["affine"]:
        found |= {
            "weight": (ones, "1"),
            "bias": (bias, "the bias of the folded layer"),
            "running_mean": (zeros, "0"),
        }
    else:
        found["running_mean"] = (-bias, "the bias of the folded layer, negative")
    return found
