"""The Keras backend, on whichever of TensorFlow, JAX and PyTorch Keras itself runs."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import math
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.backends.base import Execution, Measured, TrainableBackend
from archspec.backends.keras.emit import TABLE, emit, layer_names, network_class
from archspec.backends.source import contexts, literal
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.layers.base import Shape
from archspec.spec.fields import INPUT

if TYPE_CHECKING:
    from archspec.backends.base import (
        Array,
        Group,
        Predictor,
        Trainer,
        Weights,
    )
    from archspec.backends.opened import Opened
    from archspec.spec.recipe import Recipe

# What Keras can compute with, the first installed one unless KERAS_BACKEND says another.
ENGINES = ("tensorflow", "jax", "torch")


class KerasBackend(TrainableBackend):
    """Emits a functional `keras.Model` with the spec's layer names, channels last.

    A dot in a name is an underscore in Keras.
    """

    name = "keras"
    extra = "keras"
    packages = ("keras", "numpy", "safetensors")
    weight_files = (".weights.h5", ".keras")

    def missing(self) -> tuple[str, ...]:
        """The packages that are not installed; any one of Keras' engines will do."""
        missing = super().missing()
        if not any(importlib.util.find_spec(engine) for engine in ENGINES):
            missing = (*missing, ENGINES[0])
        return missing

    def require(self) -> None:
        super().require()
        choose_engine()

    def emit(self, graph: Graph) -> str:
        return emit(graph)

    def class_name(self, graph: Graph) -> str:
        return network_class(graph)

    def load_weights(
        self, graph: Graph, model: Any, weights: Mapping[str, Array]
    ) -> None:
        for name, (variable, axes) in variables(graph, model).items():
            variable.assign(weights[name].transpose(axes))

    def save_weights(self, graph: Graph, model: Any) -> dict[str, Array]:
        return {
            name: canonical(variable, axes)
            for name, (variable, axes) in variables(graph, model).items()
        }

    def write_weights(self, graph: Graph, weights: Weights, path: Path) -> None:
        choose_engine()
        with precision("float32"):
            model = self.build(graph)
        self.load_weights(graph, model, weights)
        # A folder of its own, so that nothing stays behind: Keras knows its ending in lower case
        # alone, and `save_weights` would let the HDF5 library write to the disk, which crashes
        # when that is full. What it writes is a part of the archive, where Keras makes it in
        # memory.
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
            whole = Path(folder, "model.keras")
            model.save(whole)
            if path.suffix.lower() == whole.suffix:
                whole.replace(path)
            else:
                with zipfile.ZipFile(whole) as archive:
                    path.write_bytes(archive.read("model.weights.h5"))

    def loading(self, path: Path) -> str:
        return f"model.load_weights({literal(str(path)).text})"

    def build_for_verification(self, graph: Graph, dtype: str) -> Any:
        choose_engine()
        with precision(dtype):
            return self.build(graph)

    def activations(self, graph: Graph, model: Any, images: Array) -> dict[str, Array]:
        import keras

        by_name = named_layers(graph, model)
        outputs = [by_name[node.name].output for node in graph.nodes]
        with precision(str(images.dtype)):
            every = keras.Model(model.inputs, outputs)
            found = (
                every(keras.ops.convert_to_tensor(last(images)), training=False)
                if _eager()
                else every.predict_on_batch(last(images))
            )
        found = found if isinstance(found, list) else [found]
        return {
            node.name: first(keras.ops.convert_to_numpy(value))
            for node, value in zip(graph.nodes, found, strict=True)
        }

    def measure(self, graph: Graph, model: Any) -> Measured:
        shapes = {
            name: _channels_first(layer.output.shape[1:])
            for name, layer in named_layers(graph, model).items()
        }
        updated = sum(math.prod(v.shape) for v in model.trainable_variables)
        return Measured(shapes, updated, model.count_params() - updated)

    def gradients(
        self, graph: Graph, model: Any, images: Array, cotangents: Sequence[Array]
    ) -> dict[str, Array]:
        import keras

        class Probe(keras.optimizers.SGD):
            """Writes each gradient where its variable was: the one way on every engine."""

            def update_step(
                self, gradient: Any, variable: Any, learning_rate: Any
            ) -> None:
                self.assign(variable, gradient)

        class Shift(keras.layers.Layer):
            """Adds zeros, whose gradient is that of the images."""

            def build(self, shape: tuple[int, ...]) -> None:
                self.zeros = self.add_weight(shape=shape, initializer="zeros")

            def call(self, images: Any) -> Any:
                return images + self.zeros

        def projection(cotangent: Any, output: Any) -> Any:
            product = cotangent * output
            return keras.ops.sum(keras.ops.reshape(product, (len(images), -1)), axis=1)

        trainable = {
            name: pair
            for name, pair in variables(graph, model).items()
            if any(pair[0] is variable for variable in model.trainable_variables)
        }
        with precision(str(images.dtype)):
            # All outputs, without the weights that the network gives their losses.
            network = keras.Model(model.inputs[0], model.outputs)
            shift = Shift()
            inputs = keras.Input(batch_shape=last(images).shape)
            every = keras.Model(inputs, network(shift(inputs)))
            # The loss wrapper averages over samples, as the definition does.
            every.compile(
                optimizer=Probe(),
                loss=[projection for _ in cotangents],
                run_eagerly=_eager(),
            )
            try:
                every.train_on_batch(last(images), [last(c) for c in cotangents])
            except RuntimeError as error:
                if "grad_weight must be contiguous" not in str(error):
                    raise
                raise ArchspecError(
                    "PyTorch, on which Keras runs here, does not compute the gradient of a "
                    "convolution with one filter in float64 where channels come last; use "
                    "--dtype float32, or set KERAS_BACKEND to tensorflow or jax"
                ) from None
        found = {name: canonical(*pair) for name, pair in trainable.items()}
        return found | {INPUT: first(keras.ops.convert_to_numpy(shift.zeros))}

    def predictor(self, graph: Graph, weights: Weights, device: str) -> Predictor:
        choose_engine()
        from archspec.backends.keras.trainer import KerasPredictor

        return KerasPredictor(self, graph, weights, Execution(device, "float32"))

    def trainer(
        self,
        graph: Graph,
        recipe: Recipe,
        weights: Weights,
        execution: Execution,
    ) -> Trainer:
        choose_engine()
        from archspec.backends.keras.trainer import KerasTrainer

        return KerasTrainer(self, graph, recipe, weights, execution)

    def group(self, device: str) -> Group:
        from archspec.backends.keras.group import TensorFlowGroup, processes

        super().require()  # without the engine, which must not compute yet
        if engine() != "tensorflow" or processes() == 1:
            return super().group(device)
        with _quiet_start():
            return TensorFlowGroup()

    def open(
        self, graph: Graph, make: Callable[[], Any], like: Opened | None = None
    ) -> Opened:
        choose_engine()
        import keras

        from archspec.backends.keras.opened import KerasOpened

        keras.utils.set_random_seed(0)
        helpers = like.helpers if isinstance(like, KerasOpened) else None
        with precision("float64"):
            return KerasOpened(self, graph, make(), helpers)


def engine() -> str:
    """KERAS_BACKEND, set to an engine that is installed unless the user has set one."""
    if "KERAS_BACKEND" not in os.environ:
        for name in ENGINES:
            if importlib.util.find_spec(name):
                os.environ["KERAS_BACKEND"] = name
                break
    return os.environ["KERAS_BACKEND"]


def choose_engine() -> None:
    """Import Keras on its engine.

    Raises ArchspecError where that is none of ENGINES, or not installed.
    """
    chosen = engine()
    if chosen == "jax":
        os.environ.setdefault("JAX_ENABLE_X64", "1")  # float64 for `verify`
    if "keras" not in sys.modules:
        installed = [name for name in ENGINES if importlib.util.find_spec(name)]
        if chosen not in installed:
            raise ArchspecError(
                f"KERAS_BACKEND is {chosen!r}, which is no engine of Keras "
                f"that is installed; set it to {' or '.join(installed)}, or unset it"
            )
        with _quiet_start():
            keras = importlib.import_module("keras")
            keras.random.uniform((1,), seed=0)  # TensorFlow looks for devices now
            if chosen == "tensorflow":
                _keep_dependencies()


def _eager() -> bool:
    """Whether to compare operation by operation: JAX would compile each one by itself."""
    return os.environ["KERAS_BACKEND"] != "jax"


@contextlib.contextmanager
def precision(dtype: str, policy: str | None = None) -> Iterator[None]:
    """Let Keras make and compute layers, tensors, losses and targets in `dtype`.

    `policy` is one that layers compute by, where they compute in another precision.
    On JAX and PyTorch, Keras computes some operations on float64 tensors in float32 (the
    table below, private to it); for the time of a comparison it may not.
    """
    import keras

    promotion = importlib.import_module("keras.src.backend.common.dtypes")
    rounded: dict[str, str] = getattr(promotion, "BIT64_TO_BIT32_DTYPE", {})
    before = dict(rounded)
    policies, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(policy or dtype)
    rounded["float64"] = "float64"
    try:
        if keras.backend.standardize_dtype(keras.ops.zeros((), dtype).dtype) != dtype:
            raise ArchspecError(
                f"Keras on JAX does not compute in {dtype} while JAX_ENABLE_X64 is off: unset it"
            )
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policies)
        rounded.update(before)


def _keep_dependencies() -> None:
    """Switch off the pass of TensorFlow's graph optimiser that breaks training on a CPU.

    In TensorFlow 2.21 it drops the edge that makes a variable's update wait for the forward
    pass that reads it: two dense layers in a row get gradients of half-updated weights, another
    result at each run (`docs/frameworks.md` has the few lines that show it).
    """
    tensorflow = importlib.import_module("tensorflow")
    tensorflow.config.optimizer.set_experimental_options(
        {"dependency_optimization": False}
    )


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """Hold back what TensorFlow's C++ writes to standard error when it starts.

    It is about processors and missing GPUs, not about this run, and no setting silences all of
    it. It is shown after all when the start fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def devices() -> list[str]:
    """The devices that Keras' engine sees: "cpu:0", "gpu:0"."""
    if os.environ["KERAS_BACKEND"] == "torch":
        torch = importlib.import_module("torch")
        return ["cpu:0", *(f"gpu:{i}" for i in range(torch.cuda.device_count()))]
    import keras

    return [str(name) for name in keras.distribution.list_devices()]


def named_layers(graph: Graph, model: Any) -> dict[str, Any]:
    """The model's layers by the names that the graph has for them."""
    found = {layer.name: layer for layer in model.layers}
    return {name: found[called] for name, called in layer_names(graph).items()}


def variables(graph: Graph, model: Any) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """The model's variables by canonical name, each with the axes from canonical to Keras."""
    found = {}
    by_name = named_layers(graph, model)
    for context in contexts(graph):
        name = context.node.name
        tensors = TABLE.tensors(context.layer)
        for weight in context.weights:
            same = weight.name, tuple(range(len(weight.shape)))
            attribute, axes = tensors.get(weight.name, same)
            variable = getattr(by_name[name], attribute)
            found[f"{name}.{weight.name}"] = variable, axes
    return found


def canonical(variable: Any, axes: tuple[int, ...]) -> Array:
    """A variable's value in canonical layout."""
    import keras
    import numpy as np

    value: Array = keras.ops.convert_to_numpy(variable)
    return np.ascontiguousarray(value.transpose(np.argsort(axes)))


def last(array: Array) -> Array:
    """N,C,H,W as N,H,W,C; anything else stays."""
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def _channels_first(shape: Shape) -> Shape:
    """H,W,C as C,H,W; anything else stays."""
    return (shape[2], *shape[:2]) if len(shape) == 3 else tuple(shape)


def first(array: Array) -> Array:
    """N,H,W,C as N,C,H,W; anything else stays."""
    return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array


BACKEND = KerasBackend()
