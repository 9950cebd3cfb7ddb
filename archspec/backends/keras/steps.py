"""One training step on each engine of Keras, which nothing waits for.

`Model.train_on_batch` returns a number and so ends each step with a wait for the device; it also
keeps a metric, assigns the learning rate and each seed by itself, and on JAX reads and writes every
variable. These steps take all of that as arguments and return the loss where it was computed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras

from archspec.backends.keras.parallel import divided

if TYPE_CHECKING:
    from archspec.backends.base import Array, Execution, Labels

# The loss of what a model returns in training, and labels.
Loss = Callable[[Any, Any], Any]


class Step:
    """A step of a model with an optimiser that is built.

    `seeds` are the states of its random generators, which each step is given.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: Any,
        loss: Loss,
        seeds: Sequence[Any],
        execution: Execution,
    ) -> None:
        self._model, self._optimizer, self._loss = model, optimizer, loss
        self._seeds, self._execution = list(seeds), execution

    def __call__(
        self, images: Array, labels: Labels, rate: Array, seeds: Sequence[Array]
    ) -> Any:
        """One update, with the learning rate as a number of shape (); returns the loss."""
        raise NotImplementedError

    def sync(self) -> None:
        """Let the model's and the optimiser's variables be read and assigned."""
        return

    def _scaled(self, loss: Any) -> Any:
        """The loss times what keeps gradients in the range of float16."""
        return self._optimizer.scale_loss(loss)


class TensorFlowStep(Step):
    """A graph, which XLA compiles if the execution says so.

    Each of several processes has running statistics of its own part of the batches; `sync` makes
    them the means of all, so that every process scores with what is saved.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        seeds = {id(state) for state in self._seeds}
        self._statistics = [
            v for v in self._model.non_trainable_variables if id(v) not in seeds
        ]
        self._apart = False
        # The group of this engine, which averages tensors too; nobody asks it where one is alone.
        self._group: Any = self._execution.group
        tensorflow = importlib.import_module("tensorflow")

        def step(images: Any, labels: Any, rate: Any, seeds: Any) -> Any:
            for state, value in zip(self._seeds, seeds, strict=True):
                state.assign(value)
            self._optimizer.learning_rate = rate
            with tensorflow.GradientTape() as tape:
                loss = self._loss(self._model(images, training=True), labels)
                scaled = self._scaled(loss)
            trained = self._model.trainable_variables
            gradients = tape.gradient(scaled, trained)
            # Before the optimiser, which clips them and adds the decay.
            if self._group.size > 1:
                gradients = self._group.mean(gradients)
            self._optimizer.apply(gradients, trained)
            return loss

        self._step = tensorflow.function(
            step, jit_compile=bool(self._execution.compile), autograph=False
        )

    def __call__(
        self, images: Array, labels: Labels, rate: Array, seeds: Sequence[Array]
    ) -> Any:
        self._apart = self._group.size > 1
        return self._step(images, labels, rate, list(seeds))

    def sync(self) -> None:
        if self._apart and self._statistics:
            found = self._group.mean([v.value for v in self._statistics])
            for variable, value in zip(self._statistics, found, strict=True):
                variable.assign(value)
        self._apart = False


class JaxStep(Step):
    """A function from state to state, which XLA compiles.

    The state is that of all variables. It stays outside of them until `sync`, so that a step costs
    the host no more for many variables; XLA writes the new state where the old one was.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        jax = importlib.import_module("jax")
        model, optimizer = self._model, self._optimizer
        self._variables = (
            model.trainable_variables,
            model.non_trainable_variables,
            optimizer.variables,
        )
        self._state: Any = None
        places = {id(v): i for i, v in enumerate(model.non_trainable_variables)}
        drawn = [places[id(state)] for state in self._seeds]
        rates = [
            i
            for i, variable in enumerate(optimizer.variables)
            if variable is optimizer.learning_rate
        ]

        def compute(
            trained: Any, others: Any, memory: Any, images: Any, labels: Any
        ) -> Any:
            found, others = model.stateless_call(trained, others, images, training=True)
            loss = self._loss(found, labels)
            mapping = zip(optimizer.variables, memory, strict=True)
            with keras.StatelessScope(state_mapping=list(mapping)):
                scaled = self._scaled(loss)
            return scaled, (loss, others)

        def step(state: Any, images: Any, labels: Any, rate: Any, seeds: Any) -> Any:
            trained, others, memory = map(list, state)
            for place, value in zip(drawn, seeds, strict=True):
                others[place] = value
            for place in rates:
                memory[place] = rate
            slope = jax.value_and_grad(compute, has_aux=True)
            (_, (loss, others)), gradients = slope(
                trained, others, memory, images, labels
            )
            trained, memory = optimizer.stateless_apply(memory, gradients, trained)
            return loss, (trained, others, memory)

        exact = {"xla_gpu_deterministic_ops": True}
        self._step = jax.jit(
            step,
            donate_argnums=0,
            compiler_options=exact if self._execution.deterministic else None,
        )

    def __call__(
        self, images: Array, labels: Labels, rate: Array, seeds: Sequence[Array]
    ) -> Any:
        if self._state is None:
            self._state = tuple([v.value for v in group] for group in self._variables)
        batch = divided([images, labels])
        loss, self._state = self._step(self._state, *batch, rate, list(seeds))
        return loss

    def sync(self) -> None:
        if self._state is None:
            return
        for group, values in zip(self._variables, self._state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        self._state = None


class TorchStep(Step):
    """Operation by operation, as PyTorch does."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._torch = importlib.import_module("torch")
        self._rate: float | None = None

    def __call__(
        self, images: Array, labels: Labels, rate: Array, seeds: Sequence[Array]
    ) -> Any:
        for state, value in zip(self._seeds, seeds, strict=True):
            state.assign(value)
        if self._rate != float(rate):
            self._optimizer.learning_rate = rate
            self._rate = float(rate)
        trained = self._model.trainable_variables
        self._model.zero_grad()
        found = self._model(keras.ops.convert_to_tensor(images), training=True)
        loss = self._loss(found, keras.ops.convert_to_tensor(labels))
        self._scaled(loss).backward()
        gradients = [variable.value.grad for variable in trained]
        with self._torch.no_grad():
            self._optimizer.apply(gradients, trained)
        return loss.detach()


STEPS: dict[str, type[Step]] = {
    "tensorflow": TensorFlowStep,
    "jax": JaxStep,
    "torch": TorchStep,
}
