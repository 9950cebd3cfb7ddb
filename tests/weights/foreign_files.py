"""Files of weights as other tools write them, and the networks whose weights they are."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
from networks import layer, network

from archspec.backends.initial import initial_weights
from archspec.graph import Graph

Arrays = dict[str, np.ndarray]


def random_weights(graph: Graph, seed: int = 0) -> Arrays:
    """Numbers in float32 of which no two are equal, so that a misplaced one is seen."""
    numbers = np.random.default_rng(seed)
    return {
        name: (numbers.random(weight.shape) + 0.1).astype("float32")
        for name, weight in initial_weights(graph, 0).items()
    }


def same(found: Arrays, expected: Arrays) -> None:
    """Bit for bit, names and shapes included."""
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        assert found[name].dtype == np.float32
        assert found[name].shape == weight.shape
        assert found[name].tobytes() == weight.tobytes(), name


def small_alexnet(classes: int = 7, **conv: Any) -> Graph:
    """Groups and a flattened map, as in AlexNet."""
    return network(
        [
            layer("conv1", "conv2d", filters=8, kernel_size=3, **conv),
            layer("relu1", "relu"),
            layer("conv2", "conv2d", filters=6, kernel_size=3, padding=1, groups=2),
            layer("pool2", "max_pool2d", kernel_size=2, stride=2),
            layer("flatten", "flatten"),
            layer("drop", "dropout", rate=0.5),
            layer("fc6", "dense", units=10),
            layer("relu6", "relu"),
            layer("fc7", "dense", units=10),
            layer("fc8", "dense", units="$classes"),
        ],
        (3, 8, 10),
        "small",
        variables={"classes": classes},
    )


def everything() -> Graph:
    """Groups, statistics, a transposed convolution, dense layers behind a flattened map."""
    norm = {"eps": 1.0e-3, "decay": 0.9}
    return network(
        [
            layer("stem.conv", "conv2d", filters=6, kernel_size=3, bias=False),
            layer("stem.norm", "batch_norm", **norm),
            layer("stem.relu", "relu"),
            layer("deep", "conv2d", filters=6, kernel_size=[3, 2], groups=6, padding=1),
            layer("towers", "conv2d", filters=4, kernel_size=1, groups=2),
            layer("up", "conv2d_transpose", filters=4, kernel_size=3, stride=2, groups=2),
            layer("up2", "conv2d_transpose", filters=5, kernel_size=2, bias=False),
            layer("factor", "scale"),
            layer("across", "group_norm", groups=1, eps=1.0e-3),
            layer("flatten", "flatten"),
            layer("norm", "batch_norm", **norm),
            layer("fc1", "dense", units=4),
            layer("fc2", "dense", units=4, bias=False),
            layer("fc3", "dense", units=3),
        ],
        (3, 6, 5),
        "everything",
    )


def bvlc_dictionary(graph: Graph, weights: Arrays) -> dict[str, list[np.ndarray]]:
    """The same weights as caffe-tensorflow has them, worked out here by loops alone."""
    shapes = {name: weight.shape for name, weight in weights.items()}
    found = {}
    for node in graph.nodes:
        if f"{node.name}.weight" not in shapes:
            continue
        weight, bias = weights[f"{node.name}.weight"], weights[f"{node.name}.bias"]
        if weight.ndim == 4:
            turned = np.empty(tuple(weight.shape[k] for k in (2, 3, 1, 0)), "float32")
            for o, i, h, w in np.ndindex(*weight.shape):
                first = node.inputs == ("input",)
                turned[h, w, 2 - i if first else i, o] = weight[o, i, h, w]
        else:
            turned = np.empty(weight.shape[::-1], "float32")
            turned[:] = weight.T
            if node.name == "fc6":  # behind a map of 6 x 3 x 4
                for c, h, w in np.ndindex(6, 3, 4):
                    turned[(h * 4 + w) * 6 + c] = weight[:, (c * 3 + h) * 4 + w]
        found[node.name] = [turned, bias]
    return found


def python2_npy(dictionary: dict[str, list[np.ndarray]]) -> bytes:
    """An `.npy` with a dictionary as Python 2 and its NumPy pickled it, with strings of bytes."""
    ops = b"\x80\x02"
    ops += b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    ops += b"(K\x01)" + _python2_dtype(b"O8", b"|", flags=63) + b"\x89](}("
    for name, arrays in dictionary.items():
        ops += _string(name.encode()) + b"]("
        for array in arrays:
            ops += b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            ops += b"(K\x01(" + b"".join(b"M" + struct.pack("<H", s) for s in array.shape) + b"t"
            ops += _python2_dtype(b"f4", b"<") + b"\x89" + _string(array.tobytes()) + b"tb"
        ops += b"e"
    ops += b"uetb."
    assert isinstance(pickle.loads(ops, encoding="latin1").item(), dict)
    header = b"{'descr': 'O', 'fortran_order': False, 'shape': (), }"
    header = header.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + ops


def _python2_dtype(code: bytes, order: bytes, flags: int = 0) -> bytes:
    unaligned = b"J" + struct.pack("<i", -1)
    state = b"(K\x03" + _string(order) + b"NNN" + 2 * unaligned + b"K" + bytes([flags]) + b"tb"
    return b"cnumpy\ndtype\n" + _string(code) + b"K\x00K\x01\x87R" + state


def _string(text: bytes) -> bytes:
    if len(text) < 256:
        return b"U" + bytes([len(text)]) + text
    return b"T" + struct.pack("<i", len(text)) + text


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
