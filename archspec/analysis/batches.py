"""What the size of the batches means for a network in training."""

from __future__ import annotations

import math

from archspec.analysis.shapes import Shapes
from archspec.graph import Graph
from archspec.layers.batch_norm import BatchNorm


def norms_of_one(graph: Graph, shapes: Shapes, batch: int) -> list[str]:
    """The batch normalisations with one number for each channel in batches of `batch` images.

    That number minus its mean is 0, and its variance divided by n - 1 is 0/0: PyTorch refuses to
    train such a layer.
    """
    if batch > 1:
        return []
    return [
        node.name
        for node in graph.nodes
        if isinstance(node.layer, BatchNorm)
        and node.layer.trainable
        and node.name in shapes.layers
        and math.prod(shapes.of(node.name)[1:]) == 1
    ]
