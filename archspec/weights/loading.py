"""From a file to canonical weights, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    Weights = dict[str, npt.NDArray[np.float32]]
    Writer = Callable[[Path, Graph, Arrays], None]


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
    write = writer(path)
    store.check(graph, weights)
    with files.written(path) as new:
        write(new, graph, weights)


def writer(path: Path) -> Writer:
    """What writes a file of that ending. Raises ArchspecError where nothing does."""
    name = path.name.lower()
    own: dict[str, Writer] = {store.SUFFIX: store.write, bvlc.SUFFIX: bvlc.write}
    endings = list(own)
    for suffix, write in own.items():
        if name.endswith(suffix):
            return write
    for backend_name in backend_names():
        backend = get_backend(backend_name)
        if name.endswith(backend.weight_files):
            backend.require()
            return lambda new, graph, weights: backend.write_weights(graph, weights, new)
        endings += backend.weight_files
    raise ArchspecError(
        f"{files.shown(path)} has no ending that archspec writes weights under; use one of "
        f"{', '.join(dict.fromkeys(endings))}"
    )


def convert(
    source: str | Path,
    target: str | Path,
    graph: Graph,
    *,
    skip: Sequence[str] = (),
    colours: Colours | None = None,
    flatten: Flatten | None = None,
    seed: int = 0,
) -> Loaded:
    """Read weights from one file and write them to another, in the format of its ending.

    Skipped weights are drawn as the spec initialises them, with `seed`. Raises ArchspecError, also
    where the file has not all others.
    """
    writer(Path(target))
    loaded = load(source, graph, skip=skip, colours=colours, flatten=flatten)
    save(target, graph, completed(loaded, graph, seed))
    return loaded


def completed(loaded: Loaded, graph: Graph, seed: int) -> Weights:
    """All weights of a network in float32: those of a file, what it skipped drawn with `seed`.

    Raises ArchspecError where the file has not all others.
    """
    from archspec.backends.initial import initial_weights

    loaded.require_complete()
    drawn = initial_weights(graph, seed, loaded.skipped)
    return loaded.weights | {name: value.astype("float32") for name, value in drawn.items()}
