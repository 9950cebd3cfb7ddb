"""Caffe's ``.caffemodel``: the blobs of a `NetParameter`, with the protobuf package alone.

The few fields that hold weights are described below, with the numbers of Caffe's own
``caffe.proto``; all others are passed over. Files of all three generations are read: `layer`
(2014 on), `layers`, and `layers` that wrap a layer of the oldest kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.diagnostics import shortened
from archspec.weights import files, wire
from archspec.weights.foreign import CANONICAL, Foreign, Layout, Tensor
from archspec.weights.readers import Format

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

# Message: field: number, type, whether repeated. Names, blobs and packed numbers stay bytes.
MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "Net": {
        "layers": (2, "OldLayer", True),
        "layer": (100, "Layer", True),
    },
    "Layer": {
        "name": (1, "bytes", False),
        "type": (2, "bytes", False),
        "bottom": (3, "bytes", True),
        "top": (4, "bytes", True),
        "blobs": (7, "bytes", True),
        "inner_product_param": (117, "InnerProduct", False),
        "batch_norm_param": (139, "BatchNorm", False),
    },
    "OldLayer": {
        "layer": (1, "OldestLayer", False),
        "name": (4, "bytes", False),
        "type": (5, "int32", False),
        "blobs": (6, "bytes", True),
    },
    "OldestLayer": {
        "name": (1, "bytes", False),
        "type": (2, "bytes", False),
        "blobs": (50, "bytes", True),
    },
    "InnerProduct": {"transpose": (6, "bool", False)},
    "BatchNorm": {"eps": (3, "float", False)},
    "Blob": {
        "num": (1, "int32", False),
        "channels": (2, "int32", False),
        "height": (3, "int32", False),
        "width": (4, "int32", False),
        "data": (5, "bytes", True),
        "shape": (7, "Shape", False),
        "double_data": (8, "bytes", True),
    },
    # The same numbers where they are not packed.
    "Numbers": {"data": (5, "float", True), "double_data": (8, "double", True)},
    "Shape": {"dim": (1, "int64", True)},
}
EPS = 1e-5  # of a BatchNorm that says none
# The layer types that have weights, by the numbers of the old generation.
OLD_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}
OLDEST_TYPES = {"conv": "Convolution", "innerproduct": "InnerProduct"}
# Caffe's type: archspec's, and the axes of the weight. Deconvolution has I,O,H,W.
KINDS: dict[str, tuple[str, Layout]] = {
    "Convolution": ("conv2d", "OIHW"),
    "ConvolutionDepthwise": ("conv2d", "OIHW"),
    "DepthwiseConvolution": ("conv2d", "OIHW"),
    "Deconvolution": ("conv2d_transpose", CANONICAL),
    "InnerProduct": ("dense", "OI"),
    "Scale": ("scale", CANONICAL),
}
_AXES = {"conv2d": 4, "conv2d_transpose": 4, "dense": 2, "scale": 1}

COLOURS = (
    "Caffe's networks see the colours in the order blue, green, red, as OpenCV reads an image."
)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer with blobs; `reads` and `writes` name what it is connected to."""

    name: str
    type: str
    blobs: tuple[Array, ...]
    reads: tuple[bytes, ...] = ()
    writes: tuple[bytes, ...] = ()
    transposed: bool = False
    eps: float = EPS


def read(path: Path) -> Foreign:
    """The blobs of a caffemodel. Raises ArchspecError."""
    with files.opened(path) as stream:
        data = stream.read()
    layers = _layers(path, _parsed(path, "Net", data))
    if not layers:
        raise files.refused(path, "has no weights", "give the .caffemodel of a trained network")
    tensors: list[Tensor] = []
    before: Layer | None = None
    for layer in layers:
        follows = (
            layer.type == "Scale"
            and before is not None
            and before.type == "BatchNorm"
            and layer.reads[:1] == before.writes[:1]
        )
        if layer.type == "BatchNorm":
            tensors += _statistics(path, layer)
        elif follows and before is not None:
            tensors += _affine(layer, before.name)
        else:
            tensors += _weights(layer)
        before = layer
    eps = {layer.name: layer.eps for layer in layers if layer.type == "BatchNorm"}
    return Foreign("Caffe", tuple(tensors), "CHW", "BGR", notes=(COLOURS,), eps=eps)


def _layers(path: Path, net: Any) -> list[Layer]:
    """The layers that have blobs, in the order of the network."""
    if len(net.layer) + len(net.layers) > files.MAX_TENSORS:
        raise files.refused(path, "has more layers than any network")
    found = []
    for layer in net.layer:
        name = _text(layer.name)
        blobs = _blobs(path, name, layer.blobs)
        if blobs:
            found.append(
                Layer(
                    name,
                    _text(layer.type),
                    blobs,
                    tuple(layer.bottom),
                    tuple(layer.top),
                    layer.inner_product_param.transpose,
                    layer.batch_norm_param.eps or EPS,
                )
            )
    for old in net.layers:
        oldest = old.layer
        name = _text(old.name) or _text(oldest.name)
        blobs = _blobs(path, name, old.blobs or oldest.blobs)
        if blobs:
            kind = OLD_TYPES.get(old.type) or OLDEST_TYPES.get(_text(oldest.type), "")
            found.append(Layer(name, kind, blobs))
    return found


def _blobs(path: Path, name: str, packed: Any) -> tuple[Array, ...]:
    return tuple(_blob(path, f"{name}/{index}", data) for index, data in enumerate(packed))


def _blob(path: Path, name: str, data: bytes) -> Array:
    """The numbers of a blob in the shape that it says."""
    import numpy as np

    blob = _parsed(path, "Blob", data)
    values = _numbers(path, name, "data", blob.data, "<f4", data)
    if not values.size:
        values = _numbers(path, name, "double_data", blob.double_data, "<f8", data)
    old = [blob.num, blob.channels, blob.height, blob.width]
    if blob.HasField("shape"):
        shape = list(blob.shape.dim)
    else:
        shape = old if any(map(blob.HasField, ("num", "channels", "height", "width"))) else []
        shape = shape or [values.size]
    if files.elements(path, name, shape, values.size) != values.size:
        said = " x ".join(map(str, shape))
        raise files.damaged(
            path, f"`{shortened(name)}` has {values.size:,} numbers and the shape {said}"
        )
    return np.ascontiguousarray(values.reshape(shape))


def _numbers(path: Path, name: str, field: str, packed: Any, dtype: str, data: bytes) -> Array:
    import numpy as np

    whole = b"".join(packed)
    if whole:
        if len(whole) % np.dtype(dtype).itemsize:
            raise files.damaged(path, f"the numbers of `{shortened(name)}` are cut off")
        return np.frombuffer(whole, dtype)
    one_by_one = getattr(_parsed(path, "Numbers", data), field)
    return np.fromiter(one_by_one, dtype, len(one_by_one))


def _statistics(path: Path, layer: Layer) -> list[Tensor]:
    """Mean and variance of a BatchNorm: its blobs are sums, and what to divide them by."""
    import numpy as np

    if len(layer.blobs) != 3 or layer.blobs[2].size != 1:
        raise files.damaged(
            path, f"`{shortened(layer.name)}` is a BatchNorm without its three blobs"
        )
    weight = layer.blobs[2].reshape(-1).astype(np.float64)
    factor = 1 / weight if weight.all() else np.zeros(1)
    return [
        Tensor(
            f"{layer.name}/{index}",
            layer.name,
            role,
            layer.blobs[index].reshape(-1).astype(np.float64) * factor,
            CANONICAL,
            "batch_norm",
        )
        for index, role in enumerate(("running_mean", "running_var"))
    ]


def _affine(layer: Layer, owner: str) -> list[Tensor]:
    """Weight and bias of a batch normalisation: Caffe has them in the Scale behind it."""
    import numpy as np

    weight = layer.blobs[0].reshape(-1)
    bias = layer.blobs[1].reshape(-1) if len(layer.blobs) > 1 else np.zeros_like(weight)
    names = f"{layer.name}/0", f"{layer.name}/1"
    return [
        Tensor(names[0], owner, "weight", weight, CANONICAL, "batch_norm"),
        Tensor(names[1], owner, "bias", bias, CANONICAL, "batch_norm"),
    ]


def _weights(layer: Layer) -> list[Tensor]:
    """Weight and bias of a layer; the blobs of a type that is not known have no role."""
    kind, axes = KINDS.get(layer.type, ("", ""))
    first, *others = layer.blobs
    first = _without_ones(first, _AXES.get(kind, 0))
    if kind and (first.ndim != _AXES[kind] or len(others) > 1):
        kind, axes = "", ""
    if not kind:
        return [
            Tensor(f"{layer.name}/{index}", layer.name, "", blob)
            for index, blob in enumerate(layer.blobs)
        ]
    axes = "IO" if kind == "dense" and layer.transposed else axes
    found = [Tensor(f"{layer.name}/0", layer.name, "weight", first, axes, kind)]
    for bias in others:
        value = bias.reshape(-1)
        found.append(Tensor(f"{layer.name}/1", layer.name, "bias", value, CANONICAL, kind))
    return found


def _without_ones(blob: Array, axes: int) -> Array:
    """A blob without the leading ones that make four axes of fewer."""
    extra = blob.ndim - axes
    ones = extra > 0 and set(blob.shape[:extra]) == {1}
    return blob.reshape(blob.shape[extra:]) if ones else blob


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _parsed(path: Path, message: str, data: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return messages()[message].FromString(data)
    except DecodeError:
        raise files.damaged(path, f"it is no {message} of Caffe, or is cut off") from None


@cache
def messages() -> dict[str, Any]:
    """The classes of MESSAGES, in a pool of their own: others may have loaded ``caffe.proto``."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    package = "archspec.caffe"
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="archspec_caffe.proto", package=package, syntax="proto2"
    )
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, (number, kind, repeated) in fields.items():
            label = field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL
            field = described.field.add(name=name, number=number, label=label)
            if kind in MESSAGES:
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                field.type = field_type.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        message: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{message}"))
        for message in MESSAGES
    }


# The fields of a NetParameter, with their wire types.
_NET: dict[int, tuple[int, ...]] = dict.fromkeys((1, 2, 3, 6, 8, 100), (wire.LENGTH,))
_NET |= {4: (wire.VARINT, wire.LENGTH), 5: (wire.VARINT,), 7: (wire.VARINT,)}

FORMAT = Format(
    name="Caffe",
    suffixes=(".caffemodel",),
    sniff=lambda head: wire.begins(head.first, _NET, {2, 100}),
    read=read,
    packages=("numpy", "google.protobuf"),
)
