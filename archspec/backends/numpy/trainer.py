"""Training in NumPy: the recipe's update as the paper prints it, to compare others with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from archspec.backends.base import VELOCITY
from archspec.backends.numpy import trained
from archspec.backends.numpy.tape import refuse_noise
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.layers.batch_norm import BatchNorm
from archspec.spec.recipe import Recipe

if TYPE_CHECKING:
    from archspec.backends.base import Array, Execution, Labels
    from archspec.backends.numpy import NumpyBackend


class NumpyTrainer:
    """A model, the velocities of its parameters, and one formula a line.

    v <- momentum v - lr (g + weight_decay w);  w <- w + v (Krizhevsky et al., 2012, section 5),
    lr and weight_decay times the parameter's multipliers. After each step, running statistics
    are decay times what they were plus 1 - decay times those of the batch.
    """

    def __init__(
        self,
        backend: NumpyBackend,
        graph: Graph,
        recipe: Recipe,
        weights: Mapping[str, Array],
        execution: Execution,
    ) -> None:
        if execution.device not in ("auto", "cpu"):
            raise ArchspecError(
                f"--device {execution.device}: the NumPy reference runs on the CPU"
            )
        dtype = execution.dtype("float64")
        refuse_noise(graph)
        self.engine, self.device = f"NumPy {np.__version__}", "cpu"
        self._backend, self._graph, self._recipe = backend, graph, recipe
        self._dtype = np.dtype(dtype)
        self._model = backend.build(graph)
        own = {name: weight.astype(dtype) for name, weight in weights.items()}
        backend.load_weights(graph, self._model, own)
        self._trained = trained(graph)
        self._velocities: dict[str, np.ndarray] = {}
        largest = max((own[name].size for name in self._trained), default=0)
        self._room = np.empty(largest, self._dtype)

    def step(self, images: Array, labels: Labels, learning_rate: float) -> float:
        recorded = self._backend.record(
            self._graph, self._model, _maps(images, self._dtype)
        )
        loss, seeds = 0.0, []
        shares = [1.0, *(a.loss_weight for a in self._graph.auxiliary)]
        for name, share in zip(self._graph.outputs, shares, strict=True):
            part, slope = cross_entropy(recorded.outputs[name].value, labels)
            loss += share * part
            seeds.append((name, share * slope))
        recorded.back(seeds)
        self._update(recorded.gradients(self._trained), learning_rate)
        self._remember(recorded.tape.statistics)
        return loss

    def _update(self, gradients: dict[str, np.ndarray], learning_rate: float) -> None:
        """In place: AlexNet's weights are half a gigabyte, and memory is slow to come by."""
        rule = self._recipe.optimizer
        for name, g in gradients.items():
            w = self._model.weights[name]
            faster, heavier = self._recipe.multipliers(name)
            change = self._room[: w.size].reshape(w.shape)
            np.multiply(w, -rule.weight_decay * heavier, out=change)
            change -= g
            change *= learning_rate * faster
            if rule.momentum:
                if name not in self._velocities:
                    self._velocities[name] = np.zeros_like(w)
                v = self._velocities[name]
                v *= rule.momentum
                v += change
                change = v
            w += change

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
        return {
            f"{VELOCITY}{name}": velocity.copy()
            for name, velocity in self._velocities.items()
        }

    def load_optimizer_state(
        self, state: Mapping[str, Array], learning_rate: float
    ) -> None:
        self._velocities = {
            name.removeprefix(VELOCITY): velocity.astype(self._dtype)
            for name, velocity in state.items()
        }


def cross_entropy(logits: np.ndarray, labels: Labels) -> tuple[float, np.ndarray]:
    """-log softmax(logits) of the labels, the mean over images, and its gradient."""
    images = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)
    slope = exponentials / total
    slope[images, labels] -= 1
    losses = np.log(total[:, 0]) - shifted[images, labels]
    return float(losses.mean()), slope / len(labels)


def _maps(images: Array, dtype: np.dtype) -> np.ndarray:
    """N,H,W,C as N,C,H,W."""
    return images.transpose(0, 3, 1, 2).astype(dtype)
