"""From a file to canonical weights, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.backends import backend_names, get_backend
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.weights import bvlc, files, matching, readers, store
from archspec.weights.foreign import Colours, Flatten
from archspec.weights.loaded import Loaded

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Arrays = Mapping[str, npt.NDArray[np.floating[Any]]]


def load(
    path: str | Path,
    graph: Graph,
    *,
    skip: Sequence[str] = (),
    colours: Colours | None = None,
    flatten: Flatten | None = None,
) -> Loaded:
    """The weights of a network out of a file of any format that `readers` knows.

    `skip` are names of layers or weights, `*` and `?` standing for any letters: they stay as
    the spec initialises them. `colours` says the order of the colours that the file's network
    was trained on, `flatten` the order in which its dense layers read a map, where the format does
    not tell them, or wrongly. Weights that the file has not are `Loaded.missing`.

    Raises ArchspecError for a file that cannot be read or does not fit, and says why.
    """
    path = Path(path)
    foreign = readers.read(path)
    return matching.match(foreign, graph, path, skip=skip, colours=colours, flatten=flatten)


def save(path: str | Path, graph: Graph, weights: Arrays) -> None:
    """Write canonical weights: as a safetensors file, or in the format of the file's ending.

    Raises ArchspecError for an ending that no format has, weights that are not those of the
    network, a missing framework, or a path that cannot be written.
    """
    path = Path(path)
    store.check(graph, weights)
    if path.name.lower().endswith(store.SUFFIX):
        store.write(path, graph, weights)
        return
    if path.name.lower().endswith(bvlc.SUFFIX):
        bvlc.write(path, graph, weights)
        return
    endings = [store.SUFFIX, bvlc.SUFFIX]
    for name in backend_names():
        backend = get_backend(name)
        if path.name.lower().endswith(backend.weight_files):
            backend.require()
            with files.written(path) as new:
                backend.write_weights(graph, weights, new)
            return
        endings += backend.weight_files
    raise ArchspecError(
        f"{files.shown(path)} has no ending that archspec writes weights under; use one of "
        f"{', '.join(dict.fromkeys(endings))}"
    )
