"""What is done with a `ModelProto`: it is run, cut down to inference, and written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.graph import Graph
from archspec.spec.fields import INPUT

if TYPE_CHECKING:
    from archspec.backends.base import Array

# The bytes of weights that fit into a protobuf message, which ends at 2 GB, with the nodes. A model
# with more has its weights in a file beside it.
LIMIT = 2**31 - 2**24


class Session:
    """A model in onnxruntime, optimised, on the CPU: a `Predictor`."""

    device = "cpu"

    def __init__(self, model: Any) -> None:
        import onnxruntime

        self.engine = f"onnxruntime {onnxruntime.__version__}"
        self._session = session(model)

    def logits(self, images: Array) -> Array:
        """The network's output, N x classes, of images N,H,W,C in float32."""
        maps = images.transpose(0, 3, 1, 2)
        (found,) = self._session.run(None, {INPUT: maps.copy()})
        output: Array = found
        return output


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
    keep(lean.graph.node, lambda node: not needed.isdisjoint(node.output))
    keep(lean.graph.initializer, lambda tensor: tensor.name in needed)
    keep(lean.graph.value_info, lambda value: value.name in needed)
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
    if not too_large(model):
        return onnxruntime.InferenceSession(model.SerializeToString(), **arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save(model, path)
        return onnxruntime.InferenceSession(path, **arguments)


def save(model: Any, path: Path) -> tuple[Path, ...]:
    """Write a model. Returns its files: two where its weights are too many for one."""
    import onnx

    if not too_large(model):
        new = path.with_name(f".{path.name}.new")
        try:  # a full disk leaves the model before
            new.write_bytes(model.SerializeToString(deterministic=True))
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        return (path,)
    data = path.with_name(f"{path.name}.data")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)  # what is moved out is taken from the model
    data.unlink(missing_ok=True)  # onnx appends
    onnx.save_model(
        copy, path, save_as_external_data=True, location=data.name, size_threshold=0
    )
    return path, data


def too_large(model: Any) -> bool:
    """Whether the weights are too many for the one file that Protocol Buffers can write."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer) > LIMIT


def keep(items: Any, wanted: Callable[[Any], bool]) -> None:
    """Leave out of a list of a message what is not wanted."""
    kept = [item for item in items if wanted(item)]
    del items[:]
    items.extend(kept)
