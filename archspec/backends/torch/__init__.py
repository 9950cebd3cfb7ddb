"""The PyTorch backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.backends.base import ALONE, Execution, TrainableBackend, launched
from archspec.backends.source import literal
from archspec.backends.torch.emit import attributes, emit, network_class
from archspec.graph import Graph
from archspec.spec.fields import INPUT

if TYPE_CHECKING:
    from archspec.backends.base import (
        Array,
        Group,
        Mask,
        Measured,
        Predictor,
        Trainer,
        Weights,
    )
    from archspec.backends.opened import Opened
    from archspec.spec.recipe import Recipe


class TorchBackend(TrainableBackend):
    """Emits an `nn.Module` with one submodule a layer, under the layer's name."""

    name = "torch"
    extra = "torch"
    packages = ("torch", "numpy", "safetensors")
    differentiates_images = True
    weight_files = (".pth", ".pt")

    def emit(self, graph: Graph) -> str:
        return emit(graph)

    def class_name(self, graph: Graph) -> str:
        return network_class(graph)

    def load_weights(
        self, graph: Graph, model: Any, weights: Mapping[str, Array]
    ) -> None:
        import numpy as np
        import torch

        with torch.no_grad():
            for name, tensor in tensors(graph, model).items():
                # PyTorch warns of arrays that cannot be written, such as parts of a file.
                tensor.copy_(
                    torch.from_numpy(np.require(weights[name], requirements="W"))
                )

    def save_weights(self, graph: Graph, model: Any) -> dict[str, Array]:
        from archspec.backends.torch.parallel import whole

        return {
            name: whole(tensor.detach()).cpu().numpy().copy()
            for name, tensor in tensors(graph, model).items()
        }

    def write_weights(
        self, graph: Graph, weights: Mapping[str, Array], path: Path
    ) -> None:
        """Write the emitted model's state dict, as torch.save does."""
        import io

        import torch

        model = self.build(graph)
        self.load_weights(graph, model, weights)
        # Into memory: by a path, the file would hold its own name, and where the disk is full,
        # PyTorch raises an error of its own archive for what the system said.
        content = io.BytesIO()
        torch.save(model.state_dict(), content)
        with path.open("wb") as stream:
            stream.write(content.getbuffer())

    def loading(self, path: Path) -> str:
        return f"model.load_state_dict(torch.load({literal(str(path)).text}, weights_only=True))"

    def build_for_verification(self, graph: Graph, dtype: str) -> Any:
        import torch

        return self.build(graph).to(getattr(torch, dtype)).eval()

    def activations(self, graph: Graph, model: Any, images: Array) -> dict[str, Array]:
        import torch

        found: dict[str, Array] = {}

        def keep(name: str) -> Any:
            # A copy: the ReLU behind may overwrite the tensor in place.
            return lambda module, args, output: found.update(
                {name: output.numpy().copy()}
            )

        names = attributes(graph)
        modules = [
            (node.name, model.get_submodule(names[node.name])) for node in graph.nodes
        ]
        model.eval()
        # What leads to auxiliary outputs is computed when the network is in training; the
        # layers themselves stay at inference.
        model.training = bool(graph.auxiliary)
        hooks = [module.register_forward_hook(keep(name)) for name, module in modules]
        try:
            with torch.no_grad():
                model(torch.from_numpy(images))
        finally:
            model.eval()
            for hook in hooks:
                hook.remove()
        return found

    def measure(self, graph: Graph, model: Any) -> Measured:
        from archspec.backends.torch.measuring import measure

        return measure(graph, model)

    def support(
        self,
        graph: Graph,
        model: Any,
        images: Array,
        positions: Mapping[str, tuple[int, ...]],
    ) -> dict[str, Mask]:
        from archspec.backends.torch.measuring import support

        return support(graph, model, images, positions)

    def gradients(
        self, graph: Graph, model: Any, images: Array, cotangents: Sequence[Array]
    ) -> dict[str, Array]:
        import torch

        trainable = {
            name: tensor
            for name, tensor in tensors(graph, model).items()
            if tensor.requires_grad
        }
        inputs = torch.from_numpy(images).requires_grad_()
        model.train()
        model.zero_grad()
        total = sum(
            (output * torch.from_numpy(cotangent)).sum()
            for output, cotangent in zip(
                outputs(model(inputs)), cotangents, strict=True
            )
        )
        if total.requires_grad:
            (total / len(images)).backward()
        # In a file that somebody edited, an output may not depend on every parameter.
        return {
            name: torch.zeros_like(tensor).numpy()
            if tensor.grad is None
            else tensor.grad.numpy().copy()
            for name, tensor in (trainable | {INPUT: inputs}).items()
        }

    def predictor(self, graph: Graph, weights: Weights, device: str) -> Predictor:
        from archspec.backends.torch.trainer import TorchPredictor

        return TorchPredictor(self, graph, weights, Execution(device, "float32"))

    def trainer(
        self,
        graph: Graph,
        recipe: Recipe,
        weights: Weights,
        execution: Execution,
    ) -> Trainer:
        from archspec.backends.torch.trainer import TorchTrainer

        return TorchTrainer(self, graph, recipe, weights, execution)

    def group(self, device: str) -> Group:
        if launched() == 1:
            return ALONE
        self.require()
        from archspec.backends.torch.execution import chosen_device
        from archspec.backends.torch.group import TorchGroup

        return TorchGroup(chosen_device(device))

    def open(
        self, graph: Graph, make: Callable[[], Any], like: Opened | None = None
    ) -> Opened:
        import torch

        from archspec.backends.torch.opened import TorchOpened

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return TorchOpened(self, graph, make().to(torch.float64).eval())


def outputs(found: Any) -> tuple[Any, ...]:
    """What a model returns, the network's output first: one tensor, in training perhaps several."""
    return found if isinstance(found, tuple) else (found,)


def tensors(graph: Graph, model: Any) -> dict[str, Any]:
    """The model's parameters and buffers by canonical name."""
    found = {}
    for name, path in attributes(graph).items():
        module = model.get_submodule(path)
        for key, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if key != "num_batches_tracked":
                found[f"{name}.{key}"] = tensor
    return found


BACKEND = TorchBackend()
