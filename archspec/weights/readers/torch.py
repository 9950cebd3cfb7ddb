"""PyTorch's files: state dicts and checkpoints, as torch.save writes them, read without torch.

The zip format (PyTorch 1.6, 2020) holds `data.pkl` and one file for each storage; the one before
it is a row of pickles followed by the storages. The pickles go through `archspec.weights.pickles`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from archspec.diagnostics import shortened
from archspec.weights import pickles, state_dict, store
from archspec.weights.files import Archive, Head, allow_sharing, damaged, elements, opened, refused
from archspec.weights.foreign import Foreign
from archspec.weights.pickles import STORAGES, Name, Storage, Stored, Strided
from archspec.weights.readers import Format

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
# Where checkpoints keep their weights, the first that is there.
WEIGHTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")
_NESTED = 8
_ADVICE = "save the weights alone: torch.save(model.state_dict(), ...)"


def sniff(head: Head) -> bool:
    """A zip archive with `data.pkl`, or a pickle."""
    if head.members:
        return any(name.rpartition("/")[2] == "data.pkl" for name in head.members)
    # The length at the beginning of a safetensors file may look alike, but for the zeros behind.
    versions = (b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5")
    return head.first[:2] in versions and head.first[2:3] != b"\0"


def read(path: Path) -> Foreign:
    """The state dict of a file, or of the checkpoint in it."""
    with opened(path) as stream:
        if stream.read(2) == b"PK":
            with Archive(path) as archive:
                value, storages = _zipped(path, archive)
                return _foreign(path, value, storages)
        stream.seek(0)
        value, storages = _legacy(path, stream)
        return _foreign(path, value, storages)


_Bytes = Callable[[Storage], tuple[bytes, str]]


def _zipped(path: Path, archive: Archive) -> tuple[Any, _Bytes]:
    """The value of `data.pkl`, and what gives the bytes of a storage and their order."""
    (*_, name) = (n for n in archive.names if n.rpartition("/")[2] == "data.pkl")
    folder = name[: -len("data.pkl")]
    if f"{folder}constants.pkl" in archive.names:
        raise refused(path, "is a TorchScript program, and reading that would run code", _ADVICE)
    value = pickles.read(path, io.BytesIO(archive.read(name)), lambda i: _storage(path, i))
    endian = f"{folder}byteorder"
    big = endian in archive.names and archive.read(endian).strip() == b"big"
    known: dict[str, bytes] = {}

    def stored(storage: Storage) -> tuple[bytes, str]:
        if storage.key not in known:
            known[storage.key] = archive.read(f"{folder}data/{storage.key}")
        return known[storage.key], ">" if big else "<"

    return value, stored


def _legacy(path: Path, stream: IO[bytes]) -> tuple[Any, _Bytes]:
    """The same for the format before 1.6."""
    first = pickles.read(path, stream)
    if first != MAGIC:
        return first, lambda storage: (b"", "<")  # a pickle of arrays has no storages
    if pickles.read(path, stream) != PROTOCOL:
        raise refused(path, "is of a version of PyTorch's format that is not known", _ADVICE)
    system = pickles.read(path, stream)
    little = not isinstance(system, dict) or system.get("little_endian", True)
    formats: dict[str, str] = {}

    def referred(identity: Any) -> Storage:
        storage = _storage(path, identity)
        formats[storage.key] = storage.dtype
        return storage

    value = pickles.read(path, stream, referred)
    keys = pickles.read(path, stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise damaged(path, "it has no list of its storages")
    found: dict[str, bytes] = {}
    size = path.stat().st_size
    for key in keys:
        if key not in formats or key in found:
            raise damaged(path, f"nothing refers to its storage {shortened(key, 20)}")
        count = int.from_bytes(stream.read(8), "little" if little else "big")
        length = count * _item_size(formats[key])
        if length > size - stream.tell():
            raise damaged(path, f"it ends within the storage {shortened(key, 20)}")
        found[key] = stream.read(length)

    def stored(storage: Storage) -> tuple[bytes, str]:
        if storage.key not in found:
            raise damaged(path, f"it has no storage {shortened(storage.key, 20)}")
        return found[storage.key], "<" if little else ">"

    return value, stored


def _storage(path: Path, identity: Any) -> Storage:
    """What a persistent identity means: ("storage", type, key, location, count, view)."""
    match identity:
        case ("storage", Name(module="torch", name=kind), str(key), _, int(count), *view) if (
            kind in STORAGES and count >= 0
        ):
            start = 0
            match view:
                case [(_, int(start), int(count))]:
                    pass
            return Storage(key, STORAGES[kind], count, start)
    raise damaged(path, "it refers to something that is no storage")


def _item_size(code: str) -> int:
    return 2 if code == "bfloat16" else int(code[1:])


def _foreign(path: Path, value: Any, stored: _Bytes) -> Foreign:
    """The tensors of the state dict within a value."""
    found, place, left = _state_dict(path, value)
    notes = []
    if place:
        notes.append(f"The weights were taken from `{shortened(place)}` of a checkpoint.")
    if left:
        notes.append(f"Left out of the checkpoint: {', '.join(shortened(k, 40) for k in left)}.")
    arrays: dict[str, Array] = {}
    widened: dict[str, str] = {}
    total = 0
    for name, entry in found.items():
        if isinstance(entry, Strided):
            total += 4 * elements(path, name, entry.shape, entry.storage.count)
            allow_sharing(path, total)  # before bfloat16 is widened
            arrays[name], wide = _tensor(path, name, entry, stored)
            widened |= {name: wide} if wide else {}
        else:
            arrays[name] = pickles.array(path, name, entry)
    tensors, said = state_dict.tensors(arrays, widened)
    return Foreign("PyTorch", tensors, "CHW", notes=(*notes, *said))


def _state_dict(path: Path, value: Any) -> tuple[dict[str, Strided | Stored], str, list[str]]:
    """The tensors by name, the key they stood under, and the other keys that held tensors."""
    place = ""
    left: list[str] = []
    for _ in range(_NESTED):
        if not isinstance(value, dict):
            break
        tensors = {k: v for k, v in value.items() if isinstance(v, (Strided, Stored))}
        key = next((k for k in WEIGHTS if isinstance(value.get(k), dict) and value[k]), None)
        if key is None or (tensors and len(tensors) >= len(value[key])):
            if tensors:
                return {_text(path, k): v for k, v in tensors.items()}, place, left
            break
        left += [str(k) for k, v in value.items() if k != key and isinstance(v, dict) and v]
        place = f"{place}.{key}" if place else key
        value = value[key]
    raise refused(path, "has no dictionary of tensors by name", _ADVICE)


def _text(path: Path, key: Any) -> str:
    if not isinstance(key, str):
        raise refused(path, "has tensors under names that are no text", _ADVICE)
    return key


def _tensor(path: Path, name: str, tensor: Strided, stored: _Bytes) -> tuple[Array, str]:
    """The array, which shares the storage's memory, and its format where NumPy has it not."""
    import numpy as np

    storage, shape, strides = tensor.storage, tensor.shape, tensor.strides
    data, order = stored(storage)
    size = _item_size(storage.dtype)
    first = storage.start * size
    if storage.start < 0 or storage.count < 0 or first + storage.count * size > len(data):
        raise damaged(path, f"the storage of {shortened(name)} lies outside of the file's bytes")
    count = math.prod(shape)
    last = tensor.offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if tensor.offset < 0 or any(s < 0 for s in strides) or (count and last >= storage.count):
        raise damaged(path, f"{shortened(name)} reaches out of its storage")
    if count == 0:
        return np.zeros(shape, np.float32), ""
    bfloat = storage.dtype == "bfloat16"
    dtype = np.dtype(order + ("u2" if bfloat else storage.dtype))
    flat = np.frombuffer(data, dtype, storage.count, first)[tensor.offset :]
    # A stride along one element is never taken, and may be any number.
    steps = [s * dtype.itemsize if n > 1 else 0 for n, s in zip(shape, strides, strict=True)]
    view = np.lib.stride_tricks.as_strided(flat, shape, steps, writeable=False)
    return (store.widen(view), "bfloat16") if bfloat else (view, "")


FORMAT = Format("PyTorch", (".pth", ".pt", ".bin", ".ckpt"), sniff, read)
