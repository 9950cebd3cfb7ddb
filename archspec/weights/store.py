"""The canonical store: a safetensors file that says what network its weights are of.

Names are ``conv1.weight``; convolutions are O,I,H,W (transposed ones I,O,H,W, grouped ones have
I / groups), dense weights out,in over inputs flattened C,H,W, running statistics stand beside the
weights. The metadata tell the version of this format, the network's name, the hash of what it
computes (`Graph.hash`), the version of archspec, and whether these are the weights or what
an optimiser remembers, which a checkpoint has beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archspec.analysis.shapes import infer_shapes
from archspec.diagnostics import ArchspecError, shortened
from archspec.graph import Graph
from archspec.layers.base import Shape, show
from archspec.version import __version__
from archspec.weights.files import MAX_HEADER, damaged, elements, opened, refused, regular

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Floats = npt.NDArray[np.floating[Any]]

SUFFIX = ".safetensors"
VERSION = "1"
FORMAT_KEY, NETWORK_KEY, HASH_KEY, VERSION_KEY, HOLDS_KEY = (
    f"archspec.{key}" for key in ("format", "network", "hash", "version", "holds")
)
Holds = Literal["weights", "optimizer"]
# Number formats of safetensors that NumPy has, and the bits of the one that is widened.
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "|i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip


def encode(graph: Graph, arrays: Mapping[str, Floats], holds: Holds = "weights") -> bytes:
    """The bytes of a store with these arrays: equal ones for equal arrays."""
    import numpy as np
    from safetensors.numpy import save

    said = {
        FORMAT_KEY: VERSION,
        NETWORK_KEY: graph.name,
        HASH_KEY: graph.hash,
        VERSION_KEY: __version__,
        HOLDS_KEY: holds,
    }
    encoded = memoryview(save({k: np.asarray(v, order="C") for k, v in arrays.items()}, said))
    # The library writes the metadata in another order each time.
    end = 8 + int.from_bytes(encoded[:8], "little")
    header = json.loads(bytes(encoded[8:end])) | {"__metadata__": said}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return b"".join([len(text).to_bytes(8, "little"), text, encoded[end:]])


def write(path: Path, graph: Graph, weights: Mapping[str, Floats]) -> None:
    """Write a store. Raises OSError."""
    path.write_bytes(encode(graph, weights))


def tensor_shapes(graph: Graph) -> dict[str, Shape]:
    """The canonical shape of every weight and buffer, by canonical name."""
    shapes = infer_shapes(graph)
    return {
        f"{node.name}.{weight.name}": weight.shape
        for node in graph.nodes
        for weight in node.layer.weights(shapes.inputs(node))
    }


def check(graph: Graph, weights: Mapping[str, Floats]) -> None:
    """Raise ArchspecError unless these are the weights of the network, all of them."""
    shapes = tensor_shapes(graph)
    for name in (*shapes, *weights):
        if name not in weights:
            raise ArchspecError(f"there is no {name} to write, which {graph.name} has")
        if name not in shapes:
            raise ArchspecError(f"{graph.name} has no {shortened(name)}; leave it out")
        if weights[name].shape != shapes[name]:
            raise ArchspecError(
                f"{name} is {show(weights[name].shape) or 'one number'}, and in {graph.name} it "
                f"is {show(shapes[name])}"
            )


def read(path: Path) -> tuple[dict[str, Array], dict[str, str], dict[str, str]]:
    """The arrays of a safetensors file, its metadata, and the formats that were widened, by name.

    bfloat16, which NumPy has not, becomes float32, which holds it exactly. The arrays are in the
    order of their names in the file's own listing. Raises ArchspecError.
    """
    import numpy as np
    from safetensors import SafetensorError, safe_open

    size = regular(path)
    with opened(path) as stream:
        length = int.from_bytes(stream.read(8), "little")
    if size < 8 or length > size - 8:
        raise damaged(path, f"its header would have {length:,} bytes, and the file has {size:,}")
    if length > MAX_HEADER:
        raise refused(path, f"has a header of {length:,} bytes: no weights need that")
    try:
        # The library checks that the header fits the file: sizes, offsets, no gaps, no overlaps.
        with safe_open(path, framework="numpy") as store:
            names = list(store.keys())
            said = dict(sorted((store.metadata() or {}).items()))
    except SafetensorError as error:
        raise damaged(path, shortened(str(error), 200)) from None
    except OSError as error:
        raise ArchspecError(f"cannot read {path}: {error.strerror or error}") from None
    with opened(path) as stream:
        stream.seek(8)
        header: dict[str, Any] = json.loads(stream.read(length))
    body = np.memmap(path, np.uint8, "r") if size > 8 + length else b""
    arrays: dict[str, Array] = {}
    widened: dict[str, str] = {}
    for name in names:
        entry = header[name]
        code = _DTYPES.get(entry["dtype"])
        if code is None:
            raise refused(
                path,
                f"has {shortened(name)} in the format {shortened(entry['dtype'])}",
                "write it in float32, float16 or bfloat16",
            )
        dtype = np.dtype(code)
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        count = elements(path, name, entry["shape"], (end - begin) // dtype.itemsize)
        if count * dtype.itemsize != end - begin:
            raise damaged(path, f"{shortened(name)} has bytes beyond its shape")
        found = np.array(body[begin:end] if end > begin else b"", np.uint8).view(dtype)
        if entry["dtype"] == "BF16":
            found = widen(found)
            widened[name] = "bfloat16"
        arrays[name] = found.reshape(entry["shape"])
    return arrays, said, widened


def widen(bits: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Bfloat16, given as its 16 bits each, as float32: the same numbers."""
    import numpy as np

    return (bits.astype(np.uint32) << 16).view(np.float32)
