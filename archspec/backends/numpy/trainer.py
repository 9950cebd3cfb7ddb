"""Training in NumPy: the recipe as papers print it, to compare others with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from archspec.backends.numpy import trained
from archspec.backends.numpy.optimizer import optimizer
from archspec.backends.numpy.tape import refuse_noise
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.layers.batch_norm import BatchNorm
from archspec.spec.recipe import Recipe

if TYPE_CHECKING:
    from archspec.backends.base import Array, Execution, Labels
    from archspec.backends.numpy import NumpyBackend


class NumpyTrainer:
    """A model, its optimiser, and one formula a line.

    After each step, running statistics are decay times what they were plus 1 - decay times those
    of the batch.
    """

    choices: tuple[str, ...] = ()

    def __init__(
        self,
        backend: NumpyBackend,
        graph: Graph,
        recipe: Recipe,
        weights: Mapping[str, Array],
        execution: Execution,
    ) -> None:
        self.execution = execution.plain(backend.name, "float64")
        dtype = self.execution.precision
        refuse_noise(graph)
        self.engine, self.device = f"NumPy {np.__version__}", "cpu"
        self._backend, self._graph, self._recipe = backend, graph, recipe
        self._dtype = np.dtype(dtype)
        self._model = backend.build(graph)
        own = {name: weight.astype(dtype) for name, weight in weights.items()}
        backend.load_weights(graph, self._model, own)
        self._trained = trained(graph)
        weights = {name: self._model.weights[name] for name in self._trained}
        self._optimizer = optimizer(recipe, weights)

    def step(self, images: Array, labels: Labels, learning_rate: float) -> float:
        recorded = self._backend.record(
            self._graph, self._model, _maps(images, self._dtype)
        )
        loss, seeds = 0.0, []
        shares = [1.0, *(a.loss_weight for a in self._graph.auxiliary)]
        for name, share in zip(self._graph.outputs, shares, strict=True):
            part, slope = cross_entropy(
                recorded.outputs[name].value, labels, self._recipe.label_smoothing
            )
            loss += share * part
            seeds.append((name, share * slope))
        recorded.back(seeds)
        self._optimizer.step(recorded.gradients(self._trained), learning_rate)
        self._remember(recorded.tape.statistics)
        return loss

    def _remember(
        self, statistics: dict[str, tuple[np.ndarray, np.ndarray, int]]
    ) -> None:
        """Move the running statistics towards those of the batch."""
        weights = self._model.weights
        for name, (mean, var, count) in statistics.items():
            layer = self._graph.by_name[name].layer
            assert isinstance(layer, BatchNorm)
            if layer.running_variance == "unbiased":
                if count == 1:
                    raise ArchspecError(
                        f"{name} has one number a channel in a batch of one image, and the "
                        "unbiased variance divides by n - 1 = 0; take a larger batch"
                    )
                var = var * (count / (count - 1))
            for key, new in (("running_mean", mean), ("running_var", var)):
                old = weights[f"{name}.{key}"]
                weights[f"{name}.{key}"] = layer.decay * old + (1 - layer.decay) * new

    def attempt(
        self, images: Array, labels: Labels, learning_rate: float
    ) -> float | None:
        weights, state = self.weights(), self.optimizer_state()
        loss = self.step(images, labels, learning_rate)
        after = [*self._model.weights.values(), *self._optimizer.state().values()]
        if all(np.isfinite(array).all() for array in (loss, *after)):
            return loss
        for name, value in weights.items():
            self._model.weights[name][...] = value
        self._optimizer.load(state)
        return None

    def busy(self) -> bool:
        return False

    def reseed(self, seed: int) -> None:
        """Nothing here is random."""

    def logits(self, images: Array) -> Array:
        output: Array = self._model(_maps(images, self._dtype))
        return output

    def weights(self) -> dict[str, Array]:
        return {name: weight.copy() for name, weight in self._model.weights.items()}

    def optimizer_state(self) -> dict[str, Array]:
        return self._optimizer.state()

    def load_optimizer_state(
        self, state: Mapping[str, Array], learning_rate: float
    ) -> None:
        self._optimizer.load(state)


def cross_entropy(
    logits: np.ndarray, labels: Labels, smoothing: float = 0.0
) -> tuple[float, np.ndarray]:
    """-sum_k t_k log softmax(logits)_k, the mean over images, and its gradient.

    The target t is 1 - smoothing for the label and smoothing / classes more for every class.
    """
    images = np.arange(len(labels))
    target = np.full_like(logits, smoothing / logits.shape[1])
    target[images, labels] += 1 - smoothing
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)
    losses = np.log(total[:, 0]) - (target * shifted).sum(axis=1)
    return float(losses.mean()), (exponentials / total - target) / len(labels)


def _maps(images: Array, dtype: np.dtype) -> np.ndarray:
    """N,H,W,C as N,C,H,W."""
    return images.transpose(0, 3, 1, 2).astype(dtype)
