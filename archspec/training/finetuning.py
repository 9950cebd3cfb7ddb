"""Beginning with the weights of a file: which layers are drawn anew, and which stay as they are."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.diagnostics import ArchspecError, shortened
from archspec.graph import Graph
from archspec.layers.base import show
from archspec.loading import has_trained_weights
from archspec.spec.fields import INPUT
from archspec.spec.preprocessing import Preprocessing
from archspec.training.checkpoint import Origin, run_around, weights_in
from archspec.weights.loaded import few
from archspec.weights.selection import layer_of, selected
from archspec.weights.store import tensor_shapes

if TYPE_CHECKING:
    from archspec.weights import Loaded


def first_weights(
    graph: Graph, path: Path, skip: Sequence[str], command: Sequence[str] = ()
) -> tuple[Loaded, Origin]:
    """The weights of a file, a run or a checkpoint: all of the network's but those of `skip`.

    Where everything fits but the layers that give the outputs, as for other classes, the message
    has the words of `command` with what leaves those layers out. Raises ArchspecError.
    """
    from archspec import weights

    file = weights_in(path)
    skipped = selected(graph, skip)
    try:
        loaded = weights.load(file, graph, skip=skipped)
        loaded.require_complete()
    except weights.Misfit as error:
        heads = _heads(graph)
        anew = list(dict.fromkeys([*skipped, *selected(graph, heads)]))
        if len(anew) == len(skipped) or not _fits(graph, file, anew):
            raise
        options = [word for name in heads for word in ("--skip", name)]
        raise ArchspecError(
            f"{error.what}; everything else fits: {shlex.join([*command, *options])}"
        ) from None
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return loaded, Origin(str(file.absolute()), loaded.format, digest, tuple(skip))


def with_remark(loaded: Loaded, path: Path, preprocessing: Preprocessing) -> Loaded:
    """The same with a note where a run trained these weights on other pixel values."""
    run = run_around(path)
    before = run.record().recipe.preprocessing if run is not None else preprocessing
    if before == preprocessing:
        return loaded
    sizes = _size(before), _size(preprocessing)
    first, second = sizes if sizes[0] != sizes[1] else ("", "")
    remark = (
        f"The run that left these weights read pixel values p as {_said(before)}{first}, and this "
        f"one reads {_said(preprocessing)}{second}; `training.preprocessing` in the spec can keep "
        "them equal."
    )
    return replace(loaded, notes=(*loaded.notes, remark))


def frozen(graph: Graph, patterns: Sequence[str]) -> Graph:
    """The network with `trainable: false` in the layers whose weights the patterns match.

    Such a layer receives no gradient and no weight decay, and the running statistics of a batch
    normalisation stay as they are. Raises ArchspecError for a pattern that matches no weights or
    a part of a layer's, and where nothing is left to train.
    """
    by_layer: dict[str, set[str]] = {}
    for name in tensor_shapes(graph):
        by_layer.setdefault(layer_of(name), set()).add(name)
    layers: list[str] = []
    for pattern in patterns:
        matched = set(selected(graph, [pattern], "--freeze"))
        touched = [name for name, weights in by_layer.items() if weights & matched]
        parts = [name for name in touched if not by_layer[name] <= matched]
        if parts:
            rule = f"{{match: '{shortened(pattern)}', learning_rate: 0}}"
            raise ArchspecError(
                f"--freeze {shortened(pattern)} matches a part of {few(parts)}, and a layer is "
                f"frozen as a whole; the recipe can keep single tensors: `parameters: [{rule}]`"
            )
        layers += touched
    for name in layers:
        layer = graph.by_name[name].layer
        if "trainable" not in type(layer).model_fields:
            raise ArchspecError(f"--freeze: {name} is a {layer.type}, which cannot be frozen")
    found = graph.with_layers(layers, trainable=False)
    if layers and not has_trained_weights(found):
        said = " ".join(f"--freeze {shortened(pattern)}" for pattern in patterns)
        raise ArchspecError(f"{said} leaves nothing to train: every layer with weights is frozen")
    return found


def _said(preprocessing: Preprocessing) -> str:
    """What becomes of a pixel value p: (p - [77.99]) / [95.87]."""
    scaled = "p" if preprocessing.rescale == 1 else f"p x {preprocessing.rescale:g}"
    numbers = [
        f"[{', '.join(f'{value:.4g}' for value in statistic)}]"
        for statistic in (preprocessing.mean, preprocessing.std)
        if isinstance(statistic, tuple)
    ]
    return f"({scaled} - {numbers[0]})" + "".join(f" / {number}" for number in numbers[1:])


def _size(preprocessing: Preprocessing) -> str:
    """What a picture is scaled to: of pictures with a shorter side of 256."""
    side, crop = preprocessing.short_side, preprocessing.center_crop
    if side is None:
        return " of pictures as large as the input"
    middle = f", {show(crop)} of its middle" if crop else ""
    return f" of pictures with a shorter side of {side}{middle}"


def _heads(graph: Graph) -> list[str]:
    """The layers whose weights give the outputs: the nearest before each that have some."""
    weighted = set(map(layer_of, tensor_shapes(graph)))
    found, seen, waiting = set(), {INPUT}, list(graph.outputs)
    while waiting:
        name = waiting.pop()
        if name in weighted:
            found.add(name)
        elif name not in seen:
            waiting += graph.by_name[name].inputs
        seen.add(name)
    return [node.name for node in graph.nodes if node.name in found]


def _fits(graph: Graph, file: Path, skip: Sequence[str]) -> bool:
    """Whether a file has all weights but those of `skip`."""
    from archspec import weights

    try:
        weights.load(file, graph, skip=skip).require_complete()
    except ArchspecError:
        return False
    return True
