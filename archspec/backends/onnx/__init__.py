"""The ONNX backend: a model in ONNX's own operators, run by onnxruntime."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.analysis.shapes import infer_shapes
from archspec.backends.base import ComparableBackend
from archspec.backends.onnx.emit import OPSET, batch, emit, values, weight_names
from archspec.backends.source import contexts
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.layers.base import show
from archspec.spec.fields import INPUT

if TYPE_CHECKING:
    from archspec.backends.base import Array, Weights

# What a protobuf message may hold; a model with more has its weights in a file beside it.
LIMIT = 2**31 - 1
# The ending of files with ONNX's text.
TEXT = ".onnxtxt"


class OnnxBackend(ComparableBackend):
    """Emits ONNX's text syntax and builds a `ModelProto`, for inference and in float32.

    A layer's output and the node that computes it have the layer's name, the weights (its
    initialisers) their canonical ones.
    """

    name = "onnx"
    extra = "onnx"
    packages = ("onnx", "onnxruntime", "numpy")
    dtypes = ("float32",)
    weight_files = (".onnx",)
    model_file = ".onnx"

    def emit(self, graph: Graph) -> str:
        return emit(graph)

    def class_name(self, graph: Graph) -> str:
        """The name of the graph: there are no classes."""
        return graph.name

    def source_file(self, graph: Graph) -> str:
        return f"{graph.name}{TEXT}"

    def describe(self, graph: Graph, source: str) -> str:
        return f"ONNX text, opset {OPSET}, {source.count(chr(10))} lines"

    def how_to_run(self, graph: Graph, file: Path) -> str:
        shape = show(graph.input_shape)
        run = f'onnxruntime.InferenceSession("{file}").run(None, {{"{INPUT}": images}})'
        return f"{run}, images in float32, N x {shape}"

    def build(self, graph: Graph) -> Any:
        from archspec.backends.numpy.initial import initial_weights

        model = self.parse(graph)
        self.load_weights(graph, model, initial_weights(graph, 0))
        return model

    def parse(self, graph: Graph) -> Any:
        """The emitted text as a `ModelProto` whose weights are inputs still."""
        import onnx
        import onnx.parser
        import onnx.shape_inference

        model = onnx.parser.parse_model(self.emit(graph))
        for node in model.graph.node:
            node.name = node.output[0]
        shapes, called = infer_shapes(graph), values(graph)
        for layer in graph.nodes:
            if layer.name != graph.output:
                shape = batch(shapes.of(layer.name))
                described = onnx.helper.make_tensor_value_info(
                    called[layer.name], onnx.TensorProto.FLOAT, shape
                )
                model.graph.value_info.append(described)
        onnx.checker.check_model(model)
        # Strict: what ONNX infers must be what the analysis says.
        return onnx.shape_inference.infer_shapes(
            model, check_type=True, strict_mode=True, data_prop=True
        )

    def load_weights(
        self, graph: Graph, model: Any, weights: Mapping[str, Array]
    ) -> None:
        import numpy as np
        import onnx.numpy_helper

        declared = weight_names(contexts(graph))
        arrays = {name: weights[name] for name in declared}
        _keep(model.graph.input, lambda value: value.name not in declared)
        _keep(model.graph.initializer, lambda value: value.name not in declared)
        for name, array in arrays.items():
            single = np.ascontiguousarray(array, dtype="float32")
            model.graph.initializer.append(onnx.numpy_helper.from_array(single, name))

    def save_weights(self, graph: Graph, model: Any) -> dict[str, Array]:
        import onnx.numpy_helper

        found = {tensor.name: tensor for tensor in model.graph.initializer}
        return {
            name: onnx.numpy_helper.to_array(found[name]).copy()
            for name in weight_names(contexts(graph))
        }

    def write_weights(self, graph: Graph, weights: Weights, path: Path) -> None:
        """Write the model with these weights."""
        model = self.parse(graph)
        self.load_weights(graph, model, weights)
        save(model, path)

    def write_model(self, graph: Graph, model: Any, path: Path) -> str:
        if path.suffix == TEXT:
            raise ArchspecError(
                f"{path} is a name for ONNX's text: add --source-only, or call it {path.stem}.onnx"
            )
        lean = at_inference(graph, model)
        files = save(lean, path)
        size = sum(file.stat().st_size for file in files)
        weights = sum(math.prod(tensor.dims) for tensor in lean.graph.initializer)
        words = [
            f"opset {OPSET}",
            f"{len(lean.graph.node):,} nodes",
            f"{weights:,} weights",
            _bytes(size),
        ]
        if len(files) > 1:
            words.append(f"the weights in {files[1].name} beside it")
        if graph.training_only:
            words.append(f"without {len(graph.training_only)} layers of training alone")
        return ", ".join(words)

    def build_for_verification(self, graph: Graph, dtype: str) -> Any:
        """A model that still has to be given its weights."""
        return self.parse(graph)

    def activations(self, graph: Graph, model: Any, images: Array) -> dict[str, Array]:
        called = values(graph)
        names = [called[node.name] for node in graph.nodes]
        outputs = list(model.graph.output)
        known = {value.name: value for value in (*model.graph.value_info, *outputs)}
        del model.graph.output[:]
        model.graph.output.extend(known[name] for name in names)
        try:
            found = session(model, optimised=False).run(names, {INPUT: images})
        finally:
            del model.graph.output[:]
            model.graph.output.extend(outputs)
        return {
            node.name: array for node, array in zip(graph.nodes, found, strict=True)
        }


def at_inference(graph: Graph, model: Any) -> Any:
    """The model without the layers that are used in training alone, which would be run as well."""
    if not graph.training_only:
        return model
    import onnx

    lean = onnx.ModelProto()
    lean.CopyFrom(model)
    needed = {value.name for value in lean.graph.output}
    for node in reversed(lean.graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(node.input, node.output)
    _keep(lean.graph.node, lambda node: not needed.isdisjoint(node.output))
    _keep(lean.graph.initializer, lambda tensor: tensor.name in needed)
    _keep(lean.graph.value_info, lambda value: value.name in needed)
    return lean


def session(model: Any, *, optimised: bool = True) -> Any:
    """An onnxruntime session of a model on the CPU, with one thread.

    Without optimisations every node is run as it stands, none is fused with the next.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if not optimised:
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_DISABLE_ALL
    arguments = {"sess_options": options, "providers": ["CPUExecutionProvider"]}
    if not _too_large(model):
        return onnxruntime.InferenceSession(model.SerializeToString(), **arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save(model, path)
        return onnxruntime.InferenceSession(path, **arguments)


def save(model: Any, path: Path) -> tuple[Path, ...]:
    """Write a model. Returns its files: two where its weights are too many for one."""
    import onnx

    if not _too_large(model):
        path.write_bytes(model.SerializeToString(deterministic=True))
        return (path,)
    data = path.with_name(f"{path.name}.data")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)  # what is moved out is taken from the model
    data.unlink(missing_ok=True)  # onnx appends
    onnx.save_model(
        copy, path, save_as_external_data=True, location=data.name, size_threshold=0
    )
    return path, data


def _bytes(size: int) -> str:
    number, unit = (size / 1e6, "MB") if size >= 1e6 else (size / 1e3, "kB")
    return f"{number:,.{1 if number < 10 else 0}f} {unit}"


def _too_large(model: Any) -> bool:
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer) > LIMIT


def _keep(items: Any, wanted: Any) -> None:
    kept = [item for item in items if wanted(item)]
    del items[:]
    items.extend(kept)


BACKEND = OnnxBackend()
