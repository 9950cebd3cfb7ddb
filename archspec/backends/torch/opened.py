"""A PyTorch model taken apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from archspec.backends.opened import Opened, Part, Replay, Tensor, plain
from archspec.backends.torch import outputs
from archspec.backends.torch.emit import attributes
from archspec.graph import Graph, blocks_around
from archspec.spec.fields import INPUT

if TYPE_CHECKING:
    from archspec.backends.base import Array, TrainableBackend, Weights

# What PyTorch does with memory, or the mode that the model is in: nothing that is computed.
_BESIDE_THE_POINT = ("inplace", "training", "call_super_init", "dump_patches")


class TorchOpened(Opened):
    """Layers are modules: the graph's at their paths, others where they have no modules inside."""

    def __init__(
        self, backend: TrainableBackend, graph: Graph, model: nn.Module
    ) -> None:
        self._backend, self._graph, self._model = backend, graph, model
        self._paths = attributes(graph)
        self._names = {path: name for name, path in self._paths.items()}

    def _modules(self) -> dict[str, nn.Module]:
        found: dict[str, nn.Module] = {}
        for path, module in self._model.named_modules():
            inside = any(block in self._names for block in blocks_around(path))
            if path in self._names:
                found[self._names[path]] = module
            elif (
                path
                and not inside
                and type(module) is not nn.Module
                and _is_leaf(module)
            ):
                found[path] = module
        return found

    def parts(self) -> dict[str, Part]:
        found = {}
        for name, module in self._modules().items():
            tensors = {
                key: Tensor(tensor.detach().numpy(), learns)
                for key, (tensor, learns) in _tensors(module).items()
            }
            settings = plain(vars(module))
            for key in _BESIDE_THE_POINT:
                settings.pop(key, None)
            found[name] = Part(type(module).__name__, tensors, settings)
        alone = [
            self._model,
            *(m for m in self._model.modules() if type(m) is nn.Module),
        ]
        for module in alone:
            for key, parameter in module.named_parameters(recurse=False):
                value = Tensor(parameter.detach().numpy(), parameter.requires_grad)
                found[key] = Part("Parameter", {key: value})
        return found

    def rename(self, found: str, name: str) -> bool:
        self._names[found] = name
        # An attribute alone: as a registered module it would be computed twice in a Sequential.
        *around, last = self._paths[name].split(".")
        place = self._model
        for block in around:
            if not hasattr(place, block):
                place.__dict__[block] = nn.Module()
            place = getattr(place, block)
        place.__dict__[last] = self._model.get_submodule(found)
        return True

    def load(self, weights: Weights) -> None:
        with torch.no_grad():
            for name, module in self._modules().items():
                for key, (tensor, _) in _tensors(module).items():
                    weight = weights.get(f"{name}.{key}")
                    if weight is not None and weight.shape == tuple(tensor.shape):
                        tensor.copy_(torch.from_numpy(weight))

    def replay(self, images: Array, values: Mapping[str, Array]) -> Replay:
        image = torch.from_numpy(images.copy())
        # Who made a tensor, by the tensor itself: two layers may compute the same numbers.
        makers: dict[int, tuple[torch.Tensor, str]] = {id(image): (image, INPUT)}
        found: dict[str, Array] = {}
        reads: dict[str, list[str | None]] = {}
        received: dict[str, list[Array]] = {}

        def before(name: str) -> Any:
            def look(module: nn.Module, args: tuple[Any, ...]) -> None:
                given = [a for a in args if isinstance(a, torch.Tensor)]
                known = [makers.get(id(tensor)) for tensor in given]
                reads[name] = [maker and maker[1] for maker in known]
                received[name] = [one.numpy().copy() for one in given]

            return look

        def behind(name: str) -> Any:
            def replace(module: nn.Module, args: Any, output: torch.Tensor) -> Any:
                _expect_tensor(output, name)
                found[name] = output.numpy().copy()
                given = values.get(name)
                made = output if given is None else torch.from_numpy(given.copy())
                makers[id(made)] = made, name
                return made

            return replace

        hooks = []
        for name, module in self._modules().items():
            hooks.append(module.register_forward_pre_hook(before(name)))
            hooks.append(module.register_forward_hook(behind(name)))
        try:
            results = self._run(image)
        finally:
            for hook in hooks:
                hook.remove()
        return Replay(found, reads, results, received)

    def in_training(self, name: str, inputs: Sequence[Array]) -> dict[str, Array]:
        module = self._modules()[name].train()
        _quiet(module)
        given = [torch.from_numpy(x.copy()).requires_grad_() for x in inputs]
        output = module(*(x * 1 for x in given))  # a ReLU may overwrite what it gets
        found = {"output": output.detach().numpy()}
        learning = {k: t for k, (t, learns) in _tensors(module).items() if learns}
        numbers = np.random.default_rng(0)
        cotangent = torch.from_numpy(numbers.standard_normal(tuple(output.shape)))
        places = {f"input {i + 1}": x for i, x in enumerate(given)} | learning
        if output.requires_grad:
            slopes = torch.autograd.grad(
                output, list(places.values()), cotangent.to(output), allow_unused=True
            )
            for place, slope in zip(places, slopes, strict=True):
                if slope is not None:
                    found[f"gradient of {place}"] = slope.numpy()
        for key, (tensor, learns) in _tensors(module).items():
            if learns is None:
                found[f"{key} after a batch"] = tensor.numpy().copy()
        return found

    def outputs(self, images: Array) -> list[Array]:
        return self._run(torch.from_numpy(images.copy()))

    def _run(self, image: torch.Tensor) -> list[Array]:
        self._model.eval()
        # What leads to auxiliary outputs is computed when the network is in training.
        self._model.training = bool(self._graph.auxiliary)
        with torch.no_grad():
            found = outputs(self._model(image))
        for output in found:
            _expect_tensor(output, "forward")
        return [output.numpy().copy() for output in found]

    def gradients(self, images: Array, cotangents: Sequence[Array]) -> dict[str, Array]:
        _quiet(self._model)
        return self._backend.gradients(self._graph, self._model, images, cotangents)


def _tensors(module: nn.Module) -> dict[str, tuple[torch.Tensor, bool | None]]:
    """Every parameter and whether it learns, every buffer and None."""
    parameters = {k: (p, p.requires_grad) for k, p in module.named_parameters()}
    buffers = {
        k: (b, None) for k, b in module.named_buffers() if k != "num_batches_tracked"
    }
    return {**parameters, **buffers}


def _expect_tensor(found: Any, who: str) -> None:
    if not isinstance(found, torch.Tensor):
        raise TypeError(f"{who} returned {type(found).__name__} instead of a tensor")


def _is_leaf(module: nn.Module) -> bool:
    return next(module.children(), None) is None


def _quiet(model: nn.Module) -> None:
    """Let nothing be dropped."""
    for module in model.modules():
        if isinstance(getattr(module, "p", None), float):
            module.p = 0.0
