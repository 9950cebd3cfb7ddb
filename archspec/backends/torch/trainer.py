"""Training and inference in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812

from archspec.backends.base import VELOCITY
from archspec.backends.torch import outputs, tensors
from archspec.backends.torch.parallel import divided, fill, parallel, whole
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.spec.recipe import Recipe

if TYPE_CHECKING:
    from archspec.backends.base import Array, Execution, Labels, TrainableBackend


# What the seeds of two processes differ by: a prime above all seeds of steps.
RANK_STRIDE = 2**31 + 11


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
    """A model with `torch.optim.SGD`.

    PyTorch keeps the learning rate outside the buffer b that it calls momentum, w <- w - lr b,
    and the recipe inside the velocity v = -lr b. The two agree while the learning rate stays;
    when it changes, b is scaled so that v goes on as it was.
    """

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
        if execution.devices > 1:
            raise ArchspecError(
                f"--devices {execution.devices}: PyTorch trains on several devices in as many "
                f"processes: torchrun --nproc-per-node {execution.devices} -m archspec train ..."
            )
        self._rank = execution.group.rank
        self._parallel = parallel(graph, self._model, self.device, execution)
        rule = recipe.optimizer
        self._parameters = _named_parameters(backend, graph, self._model)
        self._scales = {name: recipe.multipliers(name) for name in self._parameters}
        groups: dict[tuple[float, float], list[torch.Tensor]] = {}
        for name, parameter in self._parameters.items():
            groups.setdefault(self._scales[name], []).append(parameter)
        self._rate = rule.learning_rate
        self._optimizer = torch.optim.SGD(
            [
                {
                    "params": members,
                    "lr": rule.learning_rate * rate,
                    "weight_decay": rule.weight_decay * decay,
                    "multiplier": rate,
                }
                for (rate, decay), members in groups.items()
            ],
            momentum=rule.momentum,
            fused=not divided(self._parameters.values()),
        )

    def step(self, images: Array, labels: Labels, learning_rate: float) -> torch.Tensor:
        self._set_rate(learning_rate)
        self._model.train()
        self._optimizer.zero_grad(set_to_none=True)
        targets = self._on_device(labels).long()
        try:
            output, *others = outputs(self._parallel(self._maps(images)))
            loss = F.cross_entropy(output, targets)
            for auxiliary, other in zip(self._graph.auxiliary, others, strict=True):
                loss = loss + auxiliary.loss_weight * F.cross_entropy(other, targets)
            loss.backward()
            self._optimizer.step()
        except torch.OutOfMemoryError:
            raise ArchspecError(
                f"{self.device} has too little memory for batches of {len(images)} images; try a "
                "smaller --batch-size"
            ) from None
        if self._done is not None:
            self._done.record()
        return loss.detach()

    def busy(self) -> bool:
        return self._done is not None and not self._done.query()

    def reseed(self, seed: int) -> None:
        # Another one in each process, whose images are other ones.
        torch.manual_seed(seed + self._rank * RANK_STRIDE)

    def weights(self) -> dict[str, Array]:
        return self._backend.save_weights(self._graph, self._model)

    def optimizer_state(self) -> dict[str, Array]:
        found = self._velocities()
        # Dividing by the learning rate again rounds. Going on from what was saved, as a resumed
        # run does, gives the same numbers with and without the interruption.
        self.load_optimizer_state(found, self._rate)
        return found

    def _velocities(self) -> dict[str, Array]:
        found = {}
        for name, parameter in self._parameters.items():
            buffer = self._optimizer.state[parameter].get("momentum_buffer")
            if buffer is not None:
                rate = self._rate * self._scales[name][0]
                found[f"{VELOCITY}{name}"] = (-rate * whole(buffer)).cpu().numpy()
        return found

    def load_optimizer_state(
        self, state: Mapping[str, Array], learning_rate: float
    ) -> None:
        self._set_rate(learning_rate)
        for key, velocity in state.items():
            name = key.removeprefix(VELOCITY)
            rate = learning_rate * self._scales[name][0]
            if rate:
                parameter = self._parameters[name]
                buffer = torch.empty_like(parameter)
                fill(buffer, velocity / -rate)
                self._optimizer.state[parameter]["momentum_buffer"] = buffer

    def _set_rate(self, rate: float) -> None:
        if rate == self._rate:
            return
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["multiplier"]
            for parameter in group["params"]:
                buffer = self._optimizer.state[parameter].get("momentum_buffer")
                if buffer is not None:
                    buffer.mul_(self._rate / rate)
        self._rate = rate


def _named_parameters(
    backend: TrainableBackend, graph: Graph, model: Any
) -> dict[str, torch.Tensor]:
    return {
        name: tensor
        for name, tensor in tensors(graph, model).items()
        if tensor.requires_grad
    }


def chosen_device(wanted: str) -> str:
    """``cpu`` or ``cuda``, where `wanted` may also be ``auto``. Raises ArchspecError."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ArchspecError(
            "--device cuda: this PyTorch sees no CUDA device; use --device cpu or auto"
        )
    return wanted
