"""Which weights of a network a name or a shell pattern means."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from archspec.diagnostics import ArchspecError, did_you_mean, shortened
from archspec.graph import Graph, blocks_around
from archspec.weights.loaded import few
from archspec.weights.store import tensor_shapes


def selected(graph: Graph, patterns: Iterable[str], option: str = "--skip") -> tuple[str, ...]:
    """The canonical names of the weights that any of the patterns means, in the network's order.

    A pattern is held against the name of the weight (``fc8.bias``), of its layer and of the blocks
    around that, so ``stage1`` means every layer of the block; `*` and `?` stand for any letters.
    Raises ArchspecError, which names the `option`, for a pattern that means nothing.
    """
    weights = tensor_shapes(graph)
    chosen: set[str] = set()
    for pattern in dict.fromkeys(patterns):
        meant = [name for name in weights if _means(pattern, name)]
        if not meant:
            raise ArchspecError(_nothing(graph, weights, pattern, option))
        chosen.update(meant)
    return tuple(name for name in weights if name in chosen)


def layer_of(weight: str) -> str:
    """The layer of a weight: conv1 of conv1.bias."""
    return weight.rpartition(".")[0]


def _means(pattern: str, name: str) -> bool:
    return any(fnmatch.fnmatchcase(one, pattern) for one in (name, *blocks_around(name)))


def _nothing(graph: Graph, weights: Iterable[str], pattern: str, option: str) -> str:
    """Why a pattern means no weight, and what could be meant."""
    said = f"{option} {shortened(pattern)}"
    bare = [node.name for node in graph.nodes if _means(pattern, node.name)]
    if bare:
        return f"{said}: {few(bare)} {'has' if len(bare) == 1 else 'have'} no weights"
    known = dict.fromkeys(name for weight in weights for name in (*blocks_around(weight), weight))
    near = did_you_mean(pattern, known)
    layers = list(dict.fromkeys(map(layer_of, weights)))
    return (
        f"{said}: {graph.name} has no weights of that name; "
        f"{near or f'the layers with weights are {few(layers)}'}"
    )
