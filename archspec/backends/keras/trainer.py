"""Training and inference in Keras, on whichever engine it runs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from archspec.backends.keras import devices, precision, variables
from archspec.backends.keras.optimizer import optimizer
from archspec.backends.optimizing import updated
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.spec.recipe import Recipe

if TYPE_CHECKING:
    from archspec.backends.base import Array, Execution, Labels, TrainableBackend

# What the seeds of two dropout layers differ by: a prime, so that no two epochs share one.
LAYER_STRIDE = 15_485_863


class KerasPredictor:
    """A model on a device."""

    def __init__(
        self,
        backend: TrainableBackend,
        graph: Graph,
        weights: Mapping[str, Array],
        device: str,
        dtype: str = "float32",
    ) -> None:
        self.engine = f"Keras {keras.__version__} on {keras.backend.backend()}"
        self.device, place = _device(device)
        self._scope = lambda: _scope(place, dtype)
        self._backend, self._graph = backend, graph
        with self._scope():
            self._model = backend.build(graph)
            backend.load_weights(graph, self._model, weights)

    def logits(self, images: Array) -> Array:
        with self._scope():
            output: Array = np.asarray(self._model.predict_on_batch(images))
        return output


class KerasTrainer(KerasPredictor):
    """A compiled model and its own train step, one batch at a time."""

    def __init__(
        self,
        backend: TrainableBackend,
        graph: Graph,
        recipe: Recipe,
        weights: Mapping[str, Array],
        execution: Execution,
    ) -> None:
        dtype = execution.dtype("float32")
        super().__init__(backend, graph, weights, execution.device, dtype)
        with self._scope():
            self._random_states = [
                variable
                for variable in self._model.non_trainable_variables
                if variable.path.endswith("seed_generator_state")
            ]
            found = variables(graph, self._model)
            names = {id(variable): name for name, (variable, _) in found.items()}
            self._axes = {name: axes for name, (_, axes) in found.items()}
            learning = updated(
                [names[id(v)] for v in self._model.trainable_variables], recipe
            )
            for variable in self._model.trainable_variables:
                variable.trainable = names[id(variable)] in learning
            trained = self._model.trainable_variables
            self._optimizer = optimizer(
                recipe, [names[id(variable)] for variable in trained]
            )
            self._optimizer.build(trained)
            self._model.compile(
                optimizer=self._optimizer,
                loss=cross_entropy(recipe.label_smoothing),
                # XLA is faster on TensorFlow and JAX; Keras has none for PyTorch.
                jit_compile=keras.backend.backend() != "torch",
            )
        self._rate = recipe.optimizer.learning_rate

    def step(self, images: Array, labels: Labels, learning_rate: float) -> float:
        with self._scope():
            if learning_rate != self._rate:
                self._optimizer.learning_rate = learning_rate
                self._rate = learning_rate
            self._model.reset_metrics()  # else the loss is the mean of the epoch so far
            try:
                return float(self._model.train_on_batch(images, labels))
            except Exception as error:  # each engine has a class of its own for it
                if not re.search(
                    r"RESOURCE_?EXHAUSTED|out ?of ?memory", repr(error), re.I
                ):
                    raise
                raise ArchspecError(
                    f"{self.device} has too little memory for batches of {len(images)} images; "
                    "try a smaller --batch-size"
                ) from None

    def busy(self) -> bool:
        return False  # train_on_batch returns a number, so its step is done

    def reseed(self, seed: int) -> None:
        with self._scope():
            for number, state in enumerate(self._random_states):
                # A seed and a count of draws, which both engines' generators take.
                state.assign([(seed + number * LAYER_STRIDE) % 2**31, 0])

    def weights(self) -> dict[str, Array]:
        return self._backend.save_weights(self._graph, self._model)

    def optimizer_state(self) -> dict[str, Array]:
        return self._optimizer.state(self._axes)

    def load_optimizer_state(
        self, state: Mapping[str, Array], learning_rate: float
    ) -> None:
        self._optimizer.load(state, self._axes)


def cross_entropy(smoothing: float) -> Any:
    """The loss of logits and labels, which Keras smooths only where they are one-hot."""
    if not smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def smoothed(labels: Any, logits: Any) -> Any:
        classes = keras.ops.reshape(keras.ops.cast(labels, "int32"), (-1,))
        return keras.losses.categorical_crossentropy(
            keras.ops.one_hot(classes, logits.shape[-1], dtype=logits.dtype),
            logits,
            from_logits=True,
            label_smoothing=smoothing,
        )

    return smoothed


@contextlib.contextmanager
def _scope(place: str, dtype: str) -> Iterator[None]:
    """Where and in which precision Keras makes and computes things."""
    with keras.device(place), precision(dtype):
        yield


def _device(wanted: str) -> tuple[str, str]:
    """What the run reports, and what `keras.device` takes."""
    gpus = [name for name in devices() if name.startswith(("gpu", "cuda"))]
    if wanted == "cuda" and not gpus:
        raise ArchspecError(
            f"--device cuda: Keras on {keras.backend.backend()} sees no GPU; use --device cpu "
            "or auto"
        )
    if wanted == "cpu" or not gpus:
        # Not "cpu:0", for which Keras on PyTorch copies each parameter and trains the copy.
        return "cpu", "cpu"
    return "cuda", "gpu:0"
