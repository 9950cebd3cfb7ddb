"""Training and inference in PyTorch."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from archspec.analysis.shapes import infer_shapes
from archspec.backends.base import Execution, OutOfMemory
from archspec.backends.optimizing import LOSS_SCALE, LOSS_SCALE_STEPS, updated
from archspec.backends.torch import outputs, tensors
from archspec.backends.torch.execution import (
    HALVES,
    arithmetic,
    arranged,
    fastest,
    laid_out,
    settled,
)
from archspec.backends.torch.optimizer import optimizer
from archspec.backends.torch.parallel import divided, own_part, parallel
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.spec.recipe import Recipe

if TYPE_CHECKING:
    from archspec.backends.base import Array, Labels, TrainableBackend


# What the seeds of two processes differ by: a prime above all seeds of steps.
RANK_STRIDE = 2**31 + 11


class TorchPredictor:
    """A model on a device. `execution` says how it is computed, and leaves nothing open."""

    def __init__(
        self,
        backend: TrainableBackend,
        graph: Graph,
        weights: Mapping[str, Array],
        execution: Execution,
    ) -> None:
        self.execution = settled(execution)
        self.device = self.execution.device
        self.engine = f"PyTorch {torch.__version__}"
        self._backend, self._graph = backend, graph
        # Recorded behind each step: a step on CUDA returns before it is computed.
        self._done = torch.cuda.Event() if self.device == "cuda" else None
        self._copies = torch.cuda.Stream() if self.device == "cuda" else None
        self._half = HALVES.get(self.execution.precision)
        self._model = backend.build(graph)
        arranged(self._model, self.execution)
        self._prepare()
        backend.load_weights(graph, self._model, weights)

    def _prepare(self) -> None:
        """Settle what is still open, before the model has its weights."""
        laid_out(self._model, bool(self.execution.channels_last))

    def logits(self, images: Array) -> Array:
        self._model.eval()
        with torch.no_grad(), arithmetic(self.execution):
            maps = self._maps(images, bool(self.execution.channels_last))
            with self._autocast():
                output = self._model(maps)
            # NumPy has no bfloat16.
            found: Array = (
                (output if self._half is None else output.float()).cpu().numpy()
            )
        return found

    def _autocast(self) -> torch.autocast:
        """Where products are computed in 16 bits, if the precision says so."""
        return torch.autocast(self.device, self._half, enabled=self._half is not None)

    def _maps(self, images: Array, channels_last: bool) -> torch.Tensor:
        """N,H,W,C as N,C,H,W on the device; where channels come last, it is a view."""
        maps = self._on_device(images).permute(0, 3, 1, 2)
        if self.execution.precision == "float64":
            maps = (
                maps.double()
            )  # images come in float32, in which pixels are exact enough
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return maps.contiguous(memory_format=layout)

    def _on_device(self, array: Array | Labels) -> torch.Tensor:
        """A copy on the device, which on CUDA is made while the step before still runs.

        It is made from pinned memory, without which the host would wait, and on a stream of its
        own, without which it would wait for the step.
        """
        tensor = torch.from_numpy(array)
        if self._copies is None:
            return tensor.to(self.device)
        with torch.cuda.stream(self._copies):
            copy = tensor.pin_memory().to(self.device, non_blocking=True)
        current = torch.cuda.current_stream()
        current.wait_stream(self._copies)
        copy.record_stream(
            current
        )  # so that its memory is not given away before it is read
        return copy


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
        if execution.devices > 1:
            raise ArchspecError(
                f"--devices {execution.devices}: PyTorch trains on several devices in as many "
                f"processes: torchrun --nproc-per-node {execution.devices} -m archspec train ..."
            )
        self._recipe = recipe
        self.choices: tuple[str, ...] = ()
        super().__init__(backend, graph, weights, execution)
        names = learning(graph, self._model, recipe)
        # What computes in a step: the model itself, which keeps weights and buffers, or a wrapper.
        self._network = parallel(graph, self._model, self.execution)
        shard = divided(self._model.parameters())
        self.execution = dataclasses.replace(self.execution, shard=shard)
        if self.execution.compile:
            self._network = torch.compile(self._network, dynamic=False)
        scaled = self.execution.precision == "float16"
        self._scaler = torch.amp.GradScaler(self.device, enabled=scaled)
        named = tensors(graph, self._model)  # other ones where they were divided
        self._optimizer = optimizer(
            recipe, {name: named[name] for name in names}, may_skip=scaled
        )

    def _prepare(self) -> None:
        """Decide how to compute by steps on random images, of which nothing stays."""
        numbers = np.random.default_rng(0)
        channels, height, width = self._graph.input_shape
        count = max(1, self._recipe.batch_size // self.execution.group.size)
        (classes,) = infer_shapes(self._graph).of(self._graph.output)

        @cache  # nothing where nothing is open: on a CPU, and when a run goes on
        def batch() -> tuple[Array, Labels]:
            images = numbers.standard_normal((count, height, width, channels))
            return images.astype("float32"), numbers.integers(0, classes, count)

        def step(execution: Execution, network: Any) -> None:
            self._model.zero_grad(set_to_none=True)
            with self._memory(count), arithmetic(execution):
                self._loss(execution, network, *batch()).backward()

        self.execution, self.choices = fastest(self.execution, self._model, step)
        self._model.zero_grad(set_to_none=True)

    def step(self, images: Array, labels: Labels, learning_rate: float) -> torch.Tensor:
        optimizer = self._optimizer
        optimizer.torch.zero_grad(set_to_none=True)
        with self._memory(len(images)), arithmetic(self.execution):
            loss = self._loss(self.execution, self._network, images, labels)
            self._scaler.scale(loss).backward()
            self._scaler.unscale_(optimizer.torch)
            optimizer.clip()
            optimizer.set_rate(learning_rate)
            # Where a gradient is infinite, the device leaves the step out and halves the scale.
            self._scaler.step(optimizer.torch)
            self._scaler.update()
        if self._done is not None:
            self._done.record()
        return loss.detach()

    def _loss(
        self, execution: Execution, network: Any, images: Array, labels: Labels
    ) -> torch.Tensor:
        """The loss, in float32 at least: cross-entropy is one of what autocast leaves to it."""
        self._model.train()
        targets = self._on_device(labels).long()
        maps = self._maps(images, bool(execution.channels_last))
        with self._autocast():
            output, *others = outputs(network(maps))
        loss = self._cross_entropy(output, targets)
        for auxiliary, other in zip(self._graph.auxiliary, others, strict=True):
            loss = loss + auxiliary.loss_weight * self._cross_entropy(other, targets)
        return loss

    def _cross_entropy(
        self, logits: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        wide = logits if self._half is None else logits.float()
        return F.cross_entropy(
            wide, targets, label_smoothing=self._recipe.label_smoothing
        )

    @contextlib.contextmanager
    def _memory(self, count: int) -> Iterator[None]:
        """Raise OutOfMemory where the device has too little for a batch of `count` images."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise _out_of_memory(self.device, count) from None

    def attempt(
        self, images: Array, labels: Labels, learning_rate: float
    ) -> float | None:
        optimizer = self._optimizer.torch
        states = (
            optimizer.state[p]
            for group in optimizer.param_groups
            for p in group["params"]
        )
        held = [
            own_part(tensor)
            for tensor in (
                *self._model.state_dict().values(),
                *(t for s in states for t in s.values()),
            )
        ]
        kept = [tensor.clone() for tensor in held]
        groups = [dict(group) for group in optimizer.param_groups]
        loss = float(self.step(images, labels, learning_rate))
        # A sum is finite where all of its terms are, and takes no memory.
        sums = torch.stack([t.double().sum() for t in held]).tolist()
        # Every process takes the step back, or none does.
        if not self.execution.group.any(not np.isfinite([loss, *sums]).all()):
            return loss
        with torch.no_grad():
            torch._foreach_copy_(held, kept)
        for group, before in zip(optimizer.param_groups, groups, strict=True):
            group.update(before)
        return None

    def busy(self) -> bool:
        return self._done is not None and not self._done.query()

    def reseed(self, seed: int) -> None:
        # Another one in each process, whose images are other ones.
        own = seed + self.execution.group.rank * RANK_STRIDE
        # Not `torch.manual_seed`, which takes a millisecond to note who called it where no GPU is.
        torch.default_generator.manual_seed(own)
        if self.device == "cuda":
            torch.cuda.manual_seed(own)

    def weights(self) -> dict[str, Array]:
        return self._backend.save_weights(self._graph, self._model)

    def optimizer_state(self) -> dict[str, Array]:
        found = self._optimizer.state()
        if self._scaler.is_enabled():
            scaler = self._scaler.state_dict()
            found[LOSS_SCALE] = np.array(scaler["scale"], "float32")
            found[LOSS_SCALE_STEPS] = np.array(scaler["_growth_tracker"])
        return found

    def load_optimizer_state(
        self, state: Mapping[str, Array], learning_rate: float
    ) -> None:
        self._optimizer.load(state)
        if self._scaler.is_enabled() and LOSS_SCALE in state:
            scaler = self._scaler.state_dict()
            scaler["scale"] = float(state[LOSS_SCALE])
            scaler["_growth_tracker"] = int(state[LOSS_SCALE_STEPS])
            self._scaler.load_state_dict(scaler)


def _out_of_memory(device: str, images: int) -> OutOfMemory:
    if device != "cuda":
        return OutOfMemory(device, images)
    free, _ = torch.cuda.mem_get_info()
    room = free + torch.cuda.memory_reserved()
    return OutOfMemory(device, images, torch.cuda.max_memory_allocated(), room)


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
