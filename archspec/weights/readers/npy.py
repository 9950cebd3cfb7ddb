"""NumPy's files: the dictionary of `bvlc_alexnet.npy`, and `.npz` archives of arrays.

A dictionary is an array of no axes with one object in it, a pickle, which goes through
`archspec.weights.pickles`; Python 2 wrote many of them, with names that are byte strings.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from archspec.diagnostics import shortened
from archspec.weights import bvlc, pickles
from archspec.weights.files import Archive, Head, damaged, opened, refused
from archspec.weights.foreign import Foreign, Layout, Tensor
from archspec.weights.pickles import Stored
from archspec.weights.readers import Format

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

_MAGIC = b"\x93NUMPY"
_ADVICE = "write a dictionary {layer: [weights, biases]}, or one array for each name"
_UNNAMED = "Its arrays have no names that tell weights from biases: the shapes did."


def sniff(head: Head) -> bool:
    """The magic of an array, or an archive of nothing but arrays."""
    if head.members:
        return all(name.endswith(".npy") for name in head.members)
    return head.first.startswith(_MAGIC)


def read(path: Path) -> Foreign:
    """The arrays of a dictionary or an archive."""
    with opened(path) as stream:
        if stream.read(2) == b"PK":
            with Archive(path) as archive:
                return _archive(path, archive)
        stream.seek(0)
        value = _value(path, path.name, stream, path.stat().st_size)
    if not isinstance(value, dict):
        raise refused(path, "is one array and not the weights of a network", _ADVICE)
    return Foreign(
        "a NumPy dictionary as bvlc_alexnet.npy",
        tuple(_layers(path, value, bvlc.AXES)),
        flatten=bvlc.FLATTEN,
        colours=bvlc.COLOURS,
        notes=(
            "Such a dictionary comes from Caffe by caffe-tensorflow: axes H,W,I,O and in,out, "
            "a map flattened H,W,C, colours B,G,R.",
        ),
    )


def _archive(path: Path, archive: Archive) -> Foreign:
    """The arrays of an `.npz`, whose names are layer and role, or one dictionary."""
    found: dict[str, Any] = {}
    for member in archive.names:
        name = member.removesuffix(".npy")
        stream = io.BytesIO(archive.read(member))
        found[name] = _value(path, name, stream, archive.size(member))
    if len(found) == 1 and isinstance(next(iter(found.values())), dict):
        (found,) = found.values()
        return Foreign("a NumPy archive", tuple(_layers(path, found, {})))
    tensors = []
    for name, value in found.items():
        if isinstance(value, dict):
            tensors += list(_layers(path, {name: value}, {}))
            continue
        layer, role = _split(name)
        tensors.append(Tensor(name, layer, role, value))
    notes = (_UNNAMED,) if any(not tensor.role for tensor in tensors) else ()
    return Foreign("a NumPy archive", tuple(tensors), notes=notes)


def _split(name: str) -> tuple[str, str]:
    """The layer and the role in a name: conv1/weights, conv1.weight, conv1_W."""
    for mark in ("/", ".", ":", "_"):
        layer, found, last = name.rpartition(mark)
        if found and last.lower() in bvlc.ROLES:
            return layer, bvlc.ROLES[last.lower()]
    return name, ""


def _value(path: Path, name: str, stream: IO[bytes], size: int) -> Any:
    """An array of numbers, or the dictionary in an array of one object."""
    import numpy as np
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(stream)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version}")
        shape, fortran, dtype = header(stream)
    except Exception as error:  # NumPy parses the header as Python's literals
        reason = shortened(" ".join(str(error).split()), 80)
        raise damaged(path, f"the header of {shortened(name)} is none ({reason})") from None
    if dtype.hasobject:
        return _dictionary(path, name, shape, stream)
    code = pickles.number_format(path, name, dtype.str).str
    start = stream.tell()
    found = pickles.array(path, name, Stored(shape, code, fortran, stream.read(size - start)))
    return np.asarray(found)


def _dictionary(path: Path, name: str, shape: tuple[int, ...], stream: IO[bytes]) -> Any:
    value = pickles.read(path, stream)
    if isinstance(value, Stored) and isinstance(value.data, list) and len(value.data) == 1:
        value = value.data[0]
    if shape != () or not isinstance(value, dict):
        raise refused(path, f"has objects in {shortened(name)} that are no dictionary", _ADVICE)
    return value


def _layers(path: Path, value: dict[Any, Any], axes: Any) -> Iterator[Tensor]:
    """The tensors of {layer: [weights, biases]} or {layer: {role: array}}."""
    for key, parts in value.items():
        layer = _text(path, key)
        if isinstance(parts, Stored) and isinstance(parts.data, list):
            parts = parts.data  # a list that NumPy made an array of objects of
        named: list[tuple[str, str, Any]]
        if isinstance(parts, (list, tuple)):
            named = [(f"{layer}[{i}]", "", part) for i, part in enumerate(parts)]
        elif isinstance(parts, dict):
            named = []
            for role, part in parts.items():
                word = _text(path, role)
                named.append((f"{layer}/{word}", bvlc.ROLES.get(word.lower(), word), part))
        else:
            named = [(layer, "", parts)]
        for name, role, part in named:
            if not isinstance(part, Stored):
                raise refused(path, f"has {shortened(name)}, which is no array", _ADVICE)
            array = pickles.array(path, name, part)
            order: Layout = axes.get(array.ndim, "")
            yield Tensor(name, layer, role, array, order)


def _text(path: Path, key: Any) -> str:
    if isinstance(key, bytes):
        return key.decode("utf-8", "replace")
    if isinstance(key, str):
        return key
    raise refused(path, "has a layer whose name is no text", _ADVICE)


FORMAT = Format("NumPy", (".npy", ".npz"), sniff, read)
