"""The ONNX backend: a model in ONNX's own operators, run by onnxruntime."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.analysis.shapes import infer_shapes
from archspec.backends.base import ComparableBackend
from archspec.backends.onnx.emit import OPSET, batch, emit, values, weight_names
from archspec.backends.onnx.model import Session, at_inference, keep, save, session
from archspec.backends.source import contexts
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.layers.base import show
from archspec.spec.fields import INPUT

if TYPE_CHECKING:
    from archspec.backends.base import Array, Weights

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
        from archspec.backends.initial import initial_weights

        model = self.parse(graph)
        drawn = initial_weights(graph, 0)
        # One by one, or the weights would be held twice in float64 and float32.
        single = {name: drawn.pop(name).astype("float32") for name in [*drawn]}
        self.load_weights(graph, model, single)
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
        import onnx

        shapes = weight_names(contexts(graph))
        arrays = {name: weights[name] for name in shapes}
        for name, array in arrays.items():
            if array.shape != shapes[name]:
                raise ValueError(f"{name} is {shapes[name]}, not {array.shape}")
        keep(model.graph.input, lambda value: value.name not in arrays)
        keep(model.graph.initializer, lambda value: value.name not in arrays)
        for name, array in arrays.items():
            tensor = model.graph.initializer.add()
            tensor.name = name
            tensor.data_type = onnx.TensorProto.FLOAT
            tensor.dims.extend(array.shape)
            tensor.raw_data = np.ascontiguousarray(array, dtype="<f4").tobytes()

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
        weights = sum(math.prod(tensor.dims) for tensor in lean.graph.initializer)
        words = [
            f"opset {OPSET}",
            f"{len(lean.graph.node):,} nodes",
            f"{weights:,} weights",
            _bytes(sum(file.stat().st_size for file in files)),
        ]
        if len(files) > 1:
            words.append(f"the weights in {files[1].name} beside it")
        if graph.training_only:
            words.append(f"without {len(graph.training_only)} layers of training alone")
        return ", ".join(words)

    def predictor(self, graph: Graph, weights: Weights, device: str) -> Session:
        """A session, made once. Raises ArchspecError for another device than the CPU."""
        if device == "cuda":
            raise ArchspecError(
                "--device cuda: the onnx backend computes on the CPU; use --device cpu"
            )
        model = self.parse(graph)
        self.load_weights(graph, model, weights)
        return Session(at_inference(graph, model))

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


def _bytes(size: int) -> str:
    number, unit = (size / 1e6, "MB") if size >= 1e6 else (size / 1e3, "kB")
    return f"{number:,.{1 if number < 10 else 0}f} {unit}"


BACKEND = OnnxBackend()
