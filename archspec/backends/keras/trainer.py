"""Training and inference in Keras, on whichever engine it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from archspec.backends.base import Execution, OutOfMemory
from archspec.backends.keras import variables
from archspec.backends.keras.execution import arithmetic, in_full, settled
from archspec.backends.keras.optimizer import optimizer
from archspec.backends.keras.steps import STEPS
from archspec.backends.optimizing import LOSS_SCALE, LOSS_SCALE_STEPS, updated
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.spec.recipe import Recipe

if TYPE_CHECKING:
    from archspec.backends.base import Array, Labels, TrainableBackend

# What the seeds of two dropout layers differ by: a prime, so that no two steps share one.
LAYER_STRIDE = 15_485_863
# What those of two processes differ by.
RANK_STRIDE = 32_452_843


class KerasPredictor:
    """A model on a device. `execution` says how it is computed, and leaves nothing open."""

    def __init__(
        self,
        backend: TrainableBackend,
        graph: Graph,
        weights: Mapping[str, Array],
        execution: Execution,
    ) -> None:
        self.engine = f"Keras {keras.__version__} on {keras.backend.backend()}"
        self.execution = settled(execution)
        self.device = self.execution.device
        self._backend, self._graph = backend, graph
        with self._scope():
            self._model = backend.build(graph)
            self._model.jit_compile = bool(self.execution.compile)
            in_full(self._model)
            backend.load_weights(graph, self._model, weights)

    def _scope(self) -> Any:
        """Where and in which precision Keras makes and computes things."""
        return arithmetic(self.execution)

    def logits(self, images: Array) -> Array:
        with self._scope():
            output = np.asarray(self._model.predict_on_batch(images))
        # In 16 bits where the model computes in them.
        found: Array = output.astype(np.result_type(output.dtype, "float32"))
        return found


class KerasTrainer(KerasPredictor):
    """A model with the recipe's optimiser and loss, and a step of its own on each engine."""

    # Keras has one layout, and compiles or does not by its engine: nothing is to be measured.
    choices: tuple[str, ...] = ()

    def __init__(
        self,
        backend: TrainableBackend,
        graph: Graph,
        recipe: Recipe,
        weights: Mapping[str, Array],
        execution: Execution,
    ) -> None:
        super().__init__(backend, graph, weights, execution)
        self._recipe = recipe
        self._kept = "float64" if self.execution.precision == "float64" else "float32"
        with self._scope():
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
            stepped: Any = self._optimizer
            self._scaler = None
            if self.execution.precision == "float16":
                self._scaler = stepped = keras.optimizers.LossScaleOptimizer(stepped)
            stepped.build(trained)
            self._random = [
                variable
                for variable in self._model.non_trainable_variables
                if variable.path.endswith("seed_generator_state")
            ]
            self._step = STEPS[keras.backend.backend()](
                self._model, stepped, self._loss, self._random, self.execution
            )
        self._seed = recipe.seed
        # JAX computes behind the host's back on a CPU too.
        behind = self.device == "cuda" or keras.backend.backend() == "jax"
        self._waiter = ThreadPoolExecutor(1) if behind else None
        self._last: Future[float] | None = None

    def step(self, images: Array, labels: Labels, learning_rate: float) -> Any:
        seeds = [
            # A seed and a count of draws, which all engines' generators take.
            np.array([(self._seed + i * LAYER_STRIDE) % 2**31, 0], state.dtype)
            for i, state in enumerate(self._random)
        ]
        self._seed += 1
        try:
            with self._scope():
                rate = np.array(learning_rate, self._kept)
                loss = self._step(images, labels, rate, seeds)
        except Exception as error:  # each engine has a class of its own for these
            if self.execution.deterministic and re.search(r"determinis", str(error)):
                raise ArchspecError(
                    f"--deterministic: {str(error).strip().splitlines()[0]}; leave "
                    "--deterministic out, or train with --device cpu"
                ) from None
            if not re.search(r"RESOURCE_?EXHAUSTED|out ?of ?memory", repr(error), re.I):
                raise
            raise OutOfMemory(self.device, len(images)) from None
        if self._waiter is not None:
            self._last = self._waiter.submit(float, loss)
        return loss

    def _loss(self, found: Any, labels: Any) -> Any:
        """The loss, in float32 at least, of what the model returns in training."""
        output, *others = found if isinstance(found, (list, tuple)) else [found]
        loss = self._cross_entropy(output, labels)
        for auxiliary, other in zip(self._graph.auxiliary, others, strict=True):
            loss = loss + auxiliary.loss_weight * self._cross_entropy(other, labels)
        return loss

    def _cross_entropy(self, logits: Any, labels: Any) -> Any:
        logits = keras.ops.cast(logits, self._kept)
        smoothing = self._recipe.label_smoothing
        if not smoothing:
            return keras.ops.mean(
                keras.losses.sparse_categorical_crossentropy(
                    labels, logits, from_logits=True
                )
            )
        # Keras smooths labels only where they are one-hot.
        answers = keras.ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
        return keras.ops.mean(
            keras.losses.categorical_crossentropy(
                answers, logits, from_logits=True, label_smoothing=smoothing
            )
        )

    def attempt(
        self, images: Array, labels: Labels, learning_rate: float
    ) -> float | None:
        self._step.sync()
        held = [*self._model.variables, *self._optimizer.variables]
        with self._scope():
            kept = [keras.ops.copy(variable.value) for variable in held]
            loss = float(self.step(images, labels, learning_rate))
            self._step.sync()
            sums = [
                float(keras.ops.sum(v)) for v in held if v.dtype.startswith("float")
            ]
            # Every process takes the step back, or none does.
            if not self.execution.group.any(not np.isfinite([loss, *sums]).all()):
                return loss
            for variable, before in zip(held, kept, strict=True):
                variable.assign(before)
        return None

    def busy(self) -> bool:
        return self._last is not None and not self._last.done()

    def reseed(self, seed: int) -> None:
        # Other ones in each process, whose images are other ones.
        self._seed = seed + self.execution.group.rank * RANK_STRIDE

    def logits(self, images: Array) -> Array:
        self._step.sync()
        return super().logits(images)

    def weights(self) -> dict[str, Array]:
        self._step.sync()
        return self._backend.save_weights(self._graph, self._model)

    def optimizer_state(self) -> dict[str, Array]:
        self._step.sync()
        found = self._optimizer.state(self._axes)
        if self._scaler is not None:
            found[LOSS_SCALE] = np.array(self._scaler.dynamic_scale)
            found[LOSS_SCALE_STEPS] = np.array(self._scaler.step_counter)
        return found

    def load_optimizer_state(
        self, state: Mapping[str, Array], learning_rate: float
    ) -> None:
        self._step.sync()
        self._optimizer.load(state, self._axes)
        if self._scaler is not None and LOSS_SCALE in state:
            self._scaler.dynamic_scale.assign(state[LOSS_SCALE])
            self._scaler.step_counter.assign(state[LOSS_SCALE_STEPS])
