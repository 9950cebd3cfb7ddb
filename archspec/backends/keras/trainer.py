"""Training and inference in Keras, on whichever engine it runs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from archspec.backends.base import VELOCITY, OutOfMemory
from archspec.backends.keras import canonical, devices, precision, variables
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.spec.recipe import Recipe

if TYPE_CHECKING:
    from archspec.backends.base import Array, Execution, Labels, TrainableBackend

# What the seeds of two dropout layers differ by: a prime, so that no two epochs share one.
LAYER_STRIDE = 15_485_863


class CoupledSGD(keras.optimizers.SGD):
    """SGD whose weight decay is part of the gradient, with multipliers for each parameter.

    Keras' own `weight_decay` shrinks weights beside the update. `scales` holds a learning-rate
    multiplier and a decay for each variable, in the order of the variables.
    """

    def __init__(
        self, trained: list[Any], scales: list[tuple[float, float]], **options: Any
    ):
        super().__init__(**options)
        # A function, because Keras counts variables that an optimiser holds as its own.
        self._trained, self._scales = lambda: trained, scales

    def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
        grads = [
            rate * (gradient + decay * keras.ops.convert_to_tensor(variable))
            for gradient, variable, (rate, decay) in zip(
                grads, self._trained(), self._scales, strict=True
            )
        ]
        return super().apply(grads, trainable_variables)


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
        rule = recipe.optimizer
        with self._scope():
            self._random_states = [
                variable
                for variable in self._model.non_trainable_variables
                if variable.path.endswith("seed_generator_state")
            ]
            trained = self._model.trainable_variables
            names = {
                id(v): name for name, (v, _) in variables(graph, self._model).items()
            }
            self._names = [names[id(variable)] for variable in trained]
            scales = []
            for name in self._names:
                rate, decay = recipe.multipliers(name)
                scales.append((rate, decay * rule.weight_decay))
            self._optimizer = CoupledSGD(
                trained,
                scales,
                learning_rate=rule.learning_rate,
                # NumPy's float: TensorFlow makes a float32 of Python's, whatever it computes in.
                momentum=np.float64(rule.momentum),
            )
            self._optimizer.build(trained)
            self._model.compile(
                optimizer=self._optimizer,
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                # XLA is faster on TensorFlow and JAX; Keras has none for PyTorch.
                jit_compile=keras.backend.backend() != "torch",
            )
        self._rate = rule.learning_rate

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
                raise OutOfMemory(self.device, len(images)) from None

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
        axes = {
            name: axes
            for name, (_, axes) in variables(self._graph, self._model).items()
        }
        return {
            f"{VELOCITY}{name}": canonical(momentum, axes[name])
            for name, momentum in zip(self._names, self._momentums(), strict=False)
        }

    def load_optimizer_state(
        self, state: Mapping[str, Array], learning_rate: float
    ) -> None:
        axes = {
            name: axes
            for name, (_, axes) in variables(self._graph, self._model).items()
        }
        self._optimizer.learning_rate = self._rate = learning_rate
        for name, momentum in zip(self._names, self._momentums(), strict=False):
            if f"{VELOCITY}{name}" in state:
                momentum.assign(state[f"{VELOCITY}{name}"].transpose(axes[name]))

    def _momentums(self) -> list[Any]:
        """The velocities in the order of the variables; none without momentum."""
        return list(getattr(self._optimizer, "momentums", []))


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
