"""A NumPy model taken apart."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from archspec.backends.opened import Opened, Part, Replay, Tensor
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.spec.fields import INPUT

if TYPE_CHECKING:
    from archspec.backends.base import Array, Weights
    from archspec.backends.numpy import NumpyBackend

# What the dictionary of all outputs is wrapped in; no name in Python.
_WATCH = "archspec watch"


class NumpyOpened(Opened):
    """A layer is what `outputs` writes into its dictionary, and the weights of its name.

    The source computes inference alone, with no layers to call: it is compared as it runs.
    """

    def __init__(self, backend: NumpyBackend, graph: Graph, model: Any) -> None:
        self._backend, self._graph, self._model = backend, graph, model
        self._written: list[str] = []

    def parts(self) -> dict[str, Part]:
        written = [
            node.slice.value
            for node in ast.walk(_tree(type(self._model).outputs))
            if isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.slice, ast.Constant)
        ]
        tensors: dict[str, dict[str, Tensor]] = {str(name): {} for name in written}
        for full, weight in self._model.weights.items():
            name, _, key = full.rpartition(".")
            tensors.setdefault(name, {})[key] = Tensor(np.array(weight))
        return {name: Part("layer", found) for name, found in tensors.items()}

    def load(self, weights: Weights) -> None:
        for name, weight in self._model.weights.items():
            if name in weights and weights[name].shape == weight.shape:
                self._model.weights[name] = weights[name]

    def replay(self, images: Array, values: Mapping[str, Array]) -> Replay:
        watched = _Watched(values)
        forward = type(self._model).outputs
        namespace = {**forward.__globals__, _WATCH: watched.begin}
        again = FunctionType(_watching(forward), namespace)
        found = again(self._model, images)
        result = found.get(self._graph.output)
        names = self._graph.outputs
        results = [result] if len(names) == 1 else [found.get(name) for name in names]
        return Replay(
            watched.made, watched.reads, [r for r in results if r is not None]
        )

    def in_training(self, name: str, inputs: Sequence[Array]) -> dict[str, Array]:
        return {}

    def outputs(self, images: Array) -> list[Array]:
        found = self._model.outputs(images)
        others = [found[auxiliary.layer] for auxiliary in self._graph.auxiliary]
        return [self._model(images), *others]

    def gradients(self, images: Array, cotangents: Sequence[Array]) -> dict[str, Array]:
        """With what stands for dropout at inference, and the statistics of the batch."""
        return self._backend.recorded_gradients(
            self._graph, self._model, images, cotangents
        )


class _Watched:
    """Tells what is read before each layer is written, and lets others read its given value."""

    def __init__(self, values: Mapping[str, Array]) -> None:
        self._values = values
        self.made: dict[str, Array] = {}
        self.reads: dict[str, list[str | None]] = {}

    def begin(self, start: dict[str, Array]) -> dict[str, Array]:
        """The dictionary to use instead."""
        made, reads, values = self.made, self.reads, self._values
        pending: list[str | None] = []

        class Outputs(dict[str, Any]):
            def __getitem__(self, name: str) -> Any:
                if name not in pending:
                    pending.append(name)
                return super().__getitem__(name)

            def __setitem__(self, name: str, value: Any) -> None:
                made[name], reads[name] = value, list(pending)
                pending.clear()
                super().__setitem__(name, values.get(name, value))

        return Outputs(start)


def _watching(forward: Any) -> Any:
    """The code of `outputs` with its dictionary watched. Raises ArchspecError without one."""
    code = forward.__code__
    wrapped = _Wrap()
    tree = ast.fix_missing_locations(wrapped.visit(_tree(forward)))
    if wrapped.count != 1:
        raise ArchspecError(
            f"{code.co_filename}:{code.co_firstlineno}: `outputs` must begin with "
            '`out = {"input": x}` and put the output of each layer there'
        )
    namespace = dict(forward.__globals__)
    exec(compile(tree, code.co_filename, "exec"), namespace)
    return namespace[forward.__name__].__code__


def _tree(forward: Any) -> ast.Module:
    """A method as it is written, with the lines that it has in its file."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(forward)))
    ast.increment_lineno(tree, forward.__code__.co_firstlineno - 1)
    return tree


class _Wrap(ast.NodeTransformer):
    """Puts the dictionary that begins with the input into a call of `_WATCH`."""

    def __init__(self) -> None:
        self.count = 0

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        if INPUT not in keys:
            return node
        self.count += 1
        return ast.Call(ast.Name(_WATCH, ast.Load()), [node], [])
