"""The weights of an ONNX model: the constants that its nodes compute with, by the onnx package.

The order of the nodes is the order of the layers, and the operator says what a constant is for.
Exporters wrap constants in Identity, Transpose, Cast and Unsqueeze nodes, which are seen through.
Nothing is computed but products with Gemm's alpha and beta. Data outside of the model is read from
files in the model's own folder alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from archspec.diagnostics import shortened
from archspec.weights import files, store, wire
from archspec.weights.foreign import CANONICAL, Colours, Flatten, Foreign, Layout, Tensor
from archspec.weights.readers import Format

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

# TensorProto.DataType, the formats that weights have: the bytes of a number, NumPy's name.
FLOAT, FLOAT16, DOUBLE, BFLOAT16 = 1, 10, 11, 16
FORMATS = {FLOAT: "<f4", FLOAT16: "<f2", DOUBLE: "<f8", BFLOAT16: "<u2"}
EXTERNAL = 1  # TensorProto.DataLocation

# Operators with weights: archspec's layer type, the axes of the weight.
WEIGHTED: dict[str, tuple[str, Layout]] = {
    "Conv": ("conv2d", "OIHW"),
    "ConvTranspose": ("conv2d_transpose", CANONICAL),
    "Gemm": ("dense", "IO"),
    "MatMul": ("dense", "IO"),
}
# Normalisations: the roles of the inputs behind the first.
NORMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "BatchNormalization": ("batch_norm", ("weight", "bias", "running_mean", "running_var")),
    "GroupNormalization": ("group_norm", ("weight", "bias")),
    "LayerNormalization": ("layer_norm", ("weight", "bias")),
}
_WINDOWS = {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "LRN", "BatchNormalization"}
# A constant behind one of these is the same constant, perhaps in another order or shape.
_SEEN_THROUGH = {"Identity", "Transpose", "Cast", "Unsqueeze"}
_DEPTH = 50
# What makes rows of a batch of maps.
_FLATTENING = {"Flatten", "Reshape", "Squeeze"}
_CHANNELS_LAST = [0, 2, 3, 1]

FOLDED = (
    "Its exporter seems to have folded batch normalisations into the convolutions before them, "
    "which have a bias then: torch.onnx.export(..., training=TrainingMode.PRESERVE, "
    "do_constant_folding=False) keeps them."
)


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant that a node reads.

    `name` is what the exporter calls it, `origin` the initialiser that it is: exporters keep equal
    ones once. `stored` is its number format where that was widened.
    """

    name: str
    origin: str
    value: Array
    stored: str = ""


def read(path: Path) -> Foreign:
    """The weights of an ONNX model. Raises ArchspecError."""
    import onnx
    from google.protobuf.message import DecodeError

    with files.opened(path) as stream:
        data = stream.read()
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        raise files.damaged(path, "it is no model of ONNX, or is cut off") from None
    if not all(isinstance(name, str) for name in _names(model.graph)):
        raise files.damaged(path, "a name in it is no text")
    return _Reader(path, model).foreign()


def _names(graph: Any) -> Iterator[Any]:
    """Every name that is used here. The package gives those that are no UTF-8 as bytes."""
    for node in graph.node:
        yield from (node.op_type, node.name, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
        yield tensor.name
        yield from (text for entry in tensor.external_data for text in (entry.key, entry.value))


class _Reader:
    def __init__(self, path: Path, model: Any) -> None:
        self.path = path
        # Weights are canonical in the models that archspec writes.
        self.colours: Colours | None = "RGB" if model.producer_name == "archspec" else None
        self.metadata = {
            entry.key: entry.value
            for entry in model.metadata_props
            if isinstance(entry.key, str) and isinstance(entry.value, str)
        }
        self.nodes = model.graph.node
        self.functions = len(model.functions)
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.sparse = {tensor.values.name for tensor in model.graph.sparse_initializer}
        self.makers = {name: node for node in self.nodes for name in node.output if name}
        self.readers: dict[str, list[Any]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.tensors: list[Tensor] = []
        self.layers: set[str] = set()
        self.eps: dict[str, float] = {}
        self.used: set[str] = set()  # initialisers
        self.seen: set[tuple[str, ...]] = set()  # names of one layer's together
        self.flattened: set[Flatten] = set()
        self.external_bytes = 0

    def foreign(self) -> Foreign:
        for node in self.nodes:
            self._refuse_quantised(node)
            if node.op_type in WEIGHTED:
                self._weighted(node)
            elif node.op_type in NORMS:
                self._norm(node)
            elif node.op_type == "Mul":
                self._factor(node)
        self._left_over()
        notes = []
        if any(tensor.name.startswith("onnx::Conv") for tensor in self.tensors):
            notes.append(FOLDED)
        if self.functions:
            notes.append("It has functions of its own, which were not looked into.")
        if len(self.flattened) > 1:
            notes.append(
                "Some of its maps are flattened in the order H,W,C and some in C,H,W: the second "
                "was assumed."
            )
        flatten: Flatten = "HWC" if self.flattened == {"HWC"} else "CHW"
        return Foreign(
            "ONNX",
            tuple(self.tensors),
            flatten,
            self.colours,
            tuple(notes),
            metadata=self.metadata,
            eps=self.eps,
        )

    # Layers.

    def _weighted(self, node: Any) -> None:
        kind, axes = WEIGHTED[node.op_type]
        options = _options(node)
        weight = self._constant(node, 1)
        if weight is None or weight.value.ndim != (2 if kind == "dense" else 4):
            return  # a product of two maps, or no two dimensions
        bias = self._constant(node, 2) or self._added(node)
        if node.op_type == "Gemm":
            axes = "OI" if options.get("transB") else "IO"
            weight = _times(weight, options.get("alpha", 1.0))
            bias = bias and _times(bias, options.get("beta", 1.0))
        if kind == "dense":
            self._see_flattening(node)
        found = {"weight": weight}
        if bias is not None:
            value = bias.value.reshape(-1)
            if value.size == 1 and "O" in axes:
                value = value.repeat(weight.value.shape[axes.index("O")])
            found["bias"] = replace(bias, value=value)
        self._add(node, found, kind, axes)

    def _added(self, node: Any) -> Constant | None:
        """The bias that the node behind adds, if that is all that reads the output."""
        following = self.readers.get(node.output[0], ()) if node.output else ()
        if len(following) != 1 or following[0].op_type != "Add":
            return None
        return self._other(following[0], node.output[0])

    def _other(self, node: Any, name: str) -> Constant | None:
        """What a node reads beside `name`, where that is a constant with a number a channel."""
        others = [index for index, read in enumerate(node.input) if read != name]
        found = self._constant(node, others[0]) if len(others) == 1 else None
        if found is None or found.value.size < 2 or max(found.value.shape) != found.value.size:
            return None
        return found

    def _norm(self, node: Any) -> None:
        kind, roles = NORMS[node.op_type]
        found = {role: self._constant(node, index + 1) for index, role in enumerate(roles)}
        self._add(node, {role: _flat(c) for role, c in found.items() if c is not None}, kind)

    def _factor(self, node: Any) -> None:
        """A factor for each channel: a layer's scale, or the end of a normalisation."""
        for name in node.input:
            factor = self._other(node, name)
            if factor is not None:
                bias = self._added(node)
                found = {"weight": factor} | ({} if bias is None else {"bias": bias})
                self._add(node, {role: _flat(c) for role, c in found.items()})
                return

    def _left_over(self) -> None:
        """Initialisers that look like weights and that no known operator reads."""
        for name, tensor in self.initializers.items():
            if tensor.data_type in FORMATS and name not in self.used and len(tensor.dims) > 0:
                value, stored = self._array(tensor)
                if value.size > 1:
                    # What a layer of several operators reads has names as state dicts have.
                    layer, _, role = name.rpartition(".")
                    self.tensors.append(Tensor(name, layer or name, role, value, stored=stored))

    def _add(
        self, node: Any, found: dict[str, Constant], kind: str = "", axes: Layout = CANONICAL
    ) -> None:
        """Take the tensors of a layer by role, unless it is one that is used a second time."""
        key = tuple(constant.name for constant in found.values())
        if not found or key in self.seen:
            return
        self.seen.add(key)
        self.used.update(constant.origin for constant in found.values())
        layer = self._layer(node, next(iter(found.values())))
        if node.op_type in NORMS:
            self.eps[layer] = _options(node).get("epsilon", 1e-5)
        for role, c in found.items():
            layout = axes if role == "weight" else CANONICAL
            self.tensors.append(Tensor(c.name, layer, role, c.value, layout, kind, c.stored))

    def _layer(self, node: Any, weight: Constant) -> str:
        """A name for the layer: the weight's without its end, else the node's own."""
        owner, _, last = weight.name.rpartition(".")
        name = owner if owner and last in ("weight", "kernel", "gamma") else _module(node.name)
        name = unique = name or weight.name or node.op_type
        number = 1
        while unique in self.layers:
            number += 1
            unique = f"{name} ({number})"
        self.layers.add(unique)
        return unique

    def _see_flattening(self, node: Any) -> None:
        """In which order the map is flattened that a dense layer reads, if it reads one."""
        before, flattened = node, False
        for _ in range(_DEPTH):
            maker = self.makers.get(before.input[0]) if before.input else None
            if maker is None or maker.op_type in (*WEIGHTED, *_WINDOWS):
                break
            flattened |= maker.op_type in _FLATTENING
            if flattened and maker.op_type == "Transpose":
                if list(_options(maker).get("perm", ())) == _CHANNELS_LAST:
                    self.flattened.add("HWC")
                return
            before = maker
        if flattened:
            self.flattened.add("CHW")

    def _refuse_quantised(self, node: Any) -> None:
        quantised = ("QLinear", "Quantize", "Dequantize", "DynamicQuantize", "QGemm", "QAttention")
        if node.op_type.startswith(quantised) or node.op_type.endswith("Integer"):
            raise files.refused(
                self.path,
                f"is quantised: its node `{shortened(node.name or node.output[0])}` is a "
                f"{shortened(node.op_type)}",
                "export the model before it is quantised",
            )

    # Constants.

    def _constant(self, node: Any, index: int) -> Constant | None:
        """The constant that a node reads as its input `index`, None where it reads none there."""
        if index >= len(node.input) or not node.input[index]:
            return None
        return self._resolved(node.input[index], _DEPTH)

    def _resolved(self, name: str, depth: int) -> Constant | None:
        if name in self.sparse:
            raise files.refused(
                self.path,
                f"has `{shortened(name)}` as a sparse tensor",
                "export it with dense initialisers",
            )
        if name in self.initializers:
            tensor = self.initializers[name]
            if tensor.data_type not in FORMATS:
                return None
            return Constant(name, name, *self._array(tensor))
        maker = self.makers.get(name)
        if maker is None or depth == 0:
            return None
        if maker.op_type == "Constant":
            tensor = _options(maker).get("value")
            known = tensor is not None and getattr(tensor, "data_type", None) in FORMATS
            return Constant(name, name, *self._array(tensor)) if known else None
        if maker.op_type not in _SEEN_THROUGH or not maker.input:
            return None
        found = self._resolved(maker.input[0], depth - 1)
        if found is None or maker.op_type != "Transpose":
            # What an Identity is called is the name that the exporter had for it.
            return found and (replace(found, name=name) if maker.op_type == "Identity" else found)
        axes = list(range(found.value.ndim))
        order = list(_options(maker).get("perm", reversed(axes)))
        if sorted(order) != axes:
            raise files.damaged(self.path, f"`{shortened(maker.name)}` transposes other axes")
        return replace(found, value=found.value.transpose(order))

    def _array(self, tensor: Any) -> tuple[Array, str]:
        """The numbers of a TensorProto, and their format where NumPy has none such."""
        import numpy as np

        name, kind = tensor.name, tensor.data_type
        dtype = np.dtype(FORMATS[kind])
        shape = list(tensor.dims)
        if tensor.HasField("segment"):
            raise files.refused(self.path, f"has `{shortened(name)}` in segments")
        flat: Array
        if tensor.data_location == EXTERNAL:
            flat = np.frombuffer(self._outside(tensor, shape, dtype.itemsize), dtype)
        elif tensor.raw_data:
            if len(tensor.raw_data) % dtype.itemsize:
                raise files.damaged(self.path, f"the numbers of `{shortened(name)}` are cut off")
            flat = np.frombuffer(tensor.raw_data, dtype)
        elif kind in (FLOAT, DOUBLE):
            numbers = tensor.float_data if kind == FLOAT else tensor.double_data
            flat = np.fromiter(numbers, dtype, len(numbers))
        else:  # the bits of two bytes, a number of four each
            bits = np.fromiter(tensor.int32_data, np.int64, len(tensor.int32_data))
            flat = (bits & 0xFFFF).astype(np.uint16).view(dtype)
        if files.elements(self.path, name, shape, flat.size) != flat.size:
            said = " x ".join(map(str, shape)) or "a single number"
            raise files.damaged(
                self.path, f"`{shortened(name)}` has {flat.size:,} numbers and the shape {said}"
            )
        if kind == BFLOAT16:
            return store.widen(flat).reshape(shape), "bfloat16"
        return flat.reshape(shape), ""

    def _outside(self, tensor: Any, shape: list[int], size: int) -> bytes:
        """The bytes of a tensor that are in a file beside the model."""
        said = {entry.key: entry.value for entry in tensor.external_data}
        where, name = said.get("location", ""), shortened(tensor.name)
        if not PurePosixPath(where).name or files.climbs(where):
            raise files.refused(
                self.path,
                f"is refused: the numbers of `{name}` are in `{shortened(where)}`, outside of the "
                "model's own folder",
                "export it again, with its data in the model or beside it",
            )
        folder = self.path.resolve().parent
        file = folder / where.replace("\\", "/")
        try:
            inside = file.resolve().is_relative_to(folder)
        except (OSError, ValueError, RuntimeError):  # no path, or links in a circle
            inside = False
        if not inside:
            raise files.refused(
                self.path,
                f"is refused: `{shortened(where)}` is a link that leads out of the model's folder",
                "copy the data itself beside the model",
            )
        length = files.regular(file)
        count = files.elements(self.path, tensor.name, shape)
        try:
            start = int(said.get("offset") or 0)
            taken = int(said.get("length") or count * size)
        except ValueError:
            raise files.damaged(self.path, f"the place of `{name}` is no number") from None
        if start < 0 or taken != count * size or start + taken > length:
            raise files.damaged(
                self.path,
                f"`{name}` would be {taken:,} bytes from {start:,} on in `{shortened(where)}`, "
                f"which has {length:,}; its shape takes {count * size:,}",
            )
        self.external_bytes += taken
        files.allow_unpacking(file, self.external_bytes, f"`{name}`")
        with files.opened(file) as stream:
            stream.seek(start)
            return stream.read(taken)


def _options(node: Any) -> dict[str, Any]:
    """The attributes of a node that are read here, by name."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        match attribute.name:
            case "alpha" | "beta" | "epsilon":
                found[attribute.name] = attribute.f
            case "transA" | "transB":
                found[attribute.name] = attribute.i
            case "perm":
                found[attribute.name] = attribute.ints
            case "value":
                found[attribute.name] = attribute.t
    return found


def _flat(constant: Constant) -> Constant:
    return replace(constant, value=constant.value.reshape(-1))


def _times(constant: Constant, factor: float) -> Constant:
    import numpy as np

    if factor == 1:
        return constant
    return replace(constant, value=np.multiply(constant.value, factor, dtype=np.float64))


def _module(name: str) -> str:
    """The module that PyTorch's exporter names a node by.

    ``/layer1/layer1.0/conv1/Conv`` is the convolution of ``layer1.0.conv1``.
    """
    parts = name.split("/")
    if len(parts) < 3 or parts[0]:
        return name
    module: list[str] = []
    for part in parts[1:-1]:
        if module and part.startswith(f"{module[-1]}."):
            module.pop()
        module.append(part)
    return ".".join(module)


# The fields of a ModelProto, with their wire types; the version comes first.
_FIELDS = dict.fromkeys((1, 5), (wire.VARINT,))
_FIELDS |= dict.fromkeys((2, 3, 4, 6, 7, 8, 14, 20, 25, 26), (wire.LENGTH,))

FORMAT = Format(
    name="ONNX",
    suffixes=(".onnx",),
    sniff=lambda head: head.first[:1] == b"\x08" and wire.begins(head.first, _FIELDS, {7, 8}),
    read=read,
    packages=("numpy", "onnx"),
    extra="onnx",
)
