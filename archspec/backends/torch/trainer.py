"""Training and inference in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812

from archspec.backends.optimizing import updated
from archspec.backends.torch import outputs, tensors
from archspec.backends.torch.optimizer import optimizer
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.spec.recipe import Recipe

if TYPE_CHECKING:
    from archspec.backends.base import Array, Execution, Labels, TrainableBackend


class TorchPredictor:
    """A model on a device."""

    def __init__(
        self,
        backend: TrainableBackend,
        graph: Graph,
        weights: Mapping[str, Array],
        device: str,
        dtype: str = "float32",
    ) -> None:
        self.device = chosen_device(device)
        self.engine = f"PyTorch {torch.__version__}"
        self._backend, self._graph = backend, graph
        # Recorded behind each step: a step on CUDA returns before it is computed.
        self._done = torch.cuda.Event() if self.device == "cuda" else None
        self._model = backend.build(graph)
        self._model.to(self.device, getattr(torch, dtype))
        backend.load_weights(graph, self._model, weights)

    def logits(self, images: Array) -> Array:
        self._model.eval()
        with torch.no_grad():
            output: Array = self._model(self._maps(images)).cpu().numpy()
        return output

    def _maps(self, images: Array) -> torch.Tensor:
        """N,H,W,C as N,C,H,W on the device."""
        return self._on_device(images).permute(0, 3, 1, 2).contiguous()

    def _on_device(self, array: Array | Labels) -> torch.Tensor:
        """A copy on the device, which on CUDA is made while the step before still runs."""
        tensor = torch.from_numpy(array)
        if self._done is None:
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)


class TorchTrainer(TorchPredictor):
    """A model with the recipe's optimiser and loss."""

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
        self._smoothing = recipe.label_smoothing
        self._optimizer = optimizer(recipe, learning(graph, self._model, recipe))

    def step(self, images: Array, labels: Labels, learning_rate: float) -> torch.Tensor:
        self._model.train()
        self._optimizer.torch.zero_grad(set_to_none=True)
        targets = self._on_device(labels).long()
        try:
            output, *others = outputs(self._model(self._maps(images)))
            loss = self._loss(output, targets)
            for auxiliary, other in zip(self._graph.auxiliary, others, strict=True):
                loss = loss + auxiliary.loss_weight * self._loss(other, targets)
            loss.backward()
            self._optimizer.step(learning_rate)
        except torch.OutOfMemoryError:
            raise ArchspecError(
                f"{self.device} has too little memory for batches of {len(images)} images; try a "
                "smaller --batch-size"
            ) from None
        if self._done is not None:
            self._done.record()
        return loss.detach()

    def _loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, targets, label_smoothing=self._smoothing)

    def busy(self) -> bool:
        return self._done is not None and not self._done.query()

    def reseed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def weights(self) -> dict[str, Array]:
        return self._backend.save_weights(self._graph, self._model)

    def optimizer_state(self) -> dict[str, Array]:
        return self._optimizer.state()

    def load_optimizer_state(
        self, state: Mapping[str, Array], learning_rate: float
    ) -> None:
        self._optimizer.load(state)


def learning(graph: Graph, model: Any, recipe: Recipe) -> dict[str, torch.Tensor]:
    """The parameters that the recipe trains, by canonical name; all others get no gradient.

    Raises ArchspecError where there are none.
    """
    named = {
        n: tensor for n, tensor in tensors(graph, model).items() if tensor.requires_grad
    }
    found = {name: named[name] for name in updated(named, recipe)}
    for name in named.keys() - found.keys():
        named[name].requires_grad_(False)
    return found


def chosen_device(wanted: str) -> str:
    """``cpu`` or ``cuda``, where `wanted` may also be ``auto``. Raises ArchspecError."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ArchspecError(
            "--device cuda: this PyTorch sees no CUDA device; use --device cpu or auto"
        )
    return wanted
