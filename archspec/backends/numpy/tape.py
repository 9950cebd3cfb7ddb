"""Gradients of the emitted source: it runs as it stands, and a tape records what it calls.

There is one route to a model, so nothing here computes a forward pass of its own. The class of
the emitted file runs its method `outputs`, with variables for arrays and with recorders for
the functions that the method calls. What those functions do inside is not recorded: the derivative
of each stands in `gradients.py`, beside its definition, and is exact.

In training, batch normalisation is the same function of x, given the mean and the variance
of the batch instead of the running ones; and those are functions of x themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from archspec.backends.numpy.gradients import Derivative
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph


class Variable:
    """An array on a tape, with what the emitted source asks of an array.

    `name` is that of a weight, in canonical form; `gradient` is there once the tape ran back.
    """

    def __init__(self, tape: Tape, value: np.ndarray, name: str = "") -> None:
        self.tape, self.value, self.name = tape, value, name
        self.gradient: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, the batch first."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.value.ndim

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any
    ) -> Variable:
        """NumPy calls this for `np.add` and its like."""
        function = getattr(ufunc, method)
        name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
        return self.tape.call(name, function, *inputs, **kwargs)

    def __array_function__(
        self, function: Any, types: Any, args: Any, kwargs: Any
    ) -> Variable:
        """NumPy calls this for `np.concatenate` and its like."""
        return self.tape.call(f"np.{function.__name__}", function, *args, **kwargs)

    def __getattr__(self, name: str) -> Callable[..., Variable]:
        """A method of arrays."""
        method = getattr(np.ndarray, name)
        if name.startswith("_") or not callable(method):
            raise AttributeError(name)
        return lambda *args, **kw: self.tape.call(f".{name}", method, self, *args, **kw)

    def add(self, gradient: np.ndarray) -> None:
        """Take what comes back from one of the calls that read this."""
        before = self.gradient
        self.gradient = gradient if before is None else before + gradient

    def slope(self) -> np.ndarray:
        """The gradient; zero where no output depends on this."""
        return np.zeros_like(self.value) if self.gradient is None else self.gradient


class Tape:
    """The calls of one forward pass in training, with their derivatives.

    `statistics` has mean, biased variance and number of elements of a channel, for each batch
    normalisation that used those of the batch.
    """

    def __init__(self, derivatives: Mapping[str, Derivative]) -> None:
        self._derivatives = derivatives
        self._calls: list[tuple[Derivative, Variable, tuple[Any, ...], Any]] = []
        self.statistics: dict[str, tuple[np.ndarray, np.ndarray, int]] = {}

    def call(
        self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Variable:
        """Compute a function of variables, and keep what its derivative needs.

        Raises ArchspecError for a function without a derivative.
        """
        if name not in self._derivatives:
            raise ArchspecError(
                f"the NumPy reference knows no derivative of `{name}`: the plug-in that "
                "uses it can give one in the `derivatives` of its LayerEntry"
            )
        found = Variable(self, function(*_values(args), **kwargs))
        self._calls.append((self._derivatives[name], found, args, kwargs))
        return found

    def back(self, seeds: Sequence[tuple[Variable, np.ndarray]]) -> None:
        """Give every variable its gradient; the seeds are those of the outputs."""
        for output, seed in seeds:
            output.add(seed)
        while self._calls:
            derivative, found, args, kwargs = self._calls.pop()
            g, found.gradient = found.gradient, None  # it is not needed any more
            if g is None:
                continue
            gradients = derivative(g, found.value, *_values(args), **kwargs)
            for argument, gradient in zip(args, gradients, strict=False):
                _give(argument, gradient)


def _values(arguments: Any) -> Any:
    """The arguments with arrays for variables."""
    if isinstance(arguments, Variable):
        return arguments.value
    if isinstance(arguments, (list, tuple)):
        return type(arguments)(map(_values, arguments))
    return arguments


def _give(argument: Any, gradient: Any) -> None:
    if isinstance(argument, Variable):
        argument.add(gradient)
    elif isinstance(argument, list):
        for one, part in zip(argument, gradient, strict=True):
            _give(one, part)


class Recorded:
    """A network's forward pass in training, on a tape.

    `outputs` are the variables of all layers, `weights` those of the weights and buffers, all by
    name. Batch normalisations in `frozen` keep to their running statistics.
    """

    # What computes the statistics of a batch, and the name of its derivative.
    STATISTICS: ClassVar[Mapping[str, Callable[..., Any]]] = {
        "batch_mean": lambda x: x.mean(axis=_all_but_channels(x)),
        "batch_var": lambda x: x.var(axis=_all_but_channels(x)),
    }

    def __init__(
        self,
        model: Any,
        images: np.ndarray,
        derivatives: Mapping[str, Derivative],
        frozen: frozenset[str],
    ) -> None:
        self.tape = Tape(derivatives)
        self._frozen = frozen
        forward = type(model).outputs
        namespace = {
            name: self._recorder(name, value)
            if isinstance(value, FunctionType)
            else value
            for name, value in forward.__globals__.items()
        }
        self.weights = {
            name: Variable(self.tape, weight, name)
            for name, weight in model.weights.items()
        }
        self.image = Variable(self.tape, images)
        recording = FunctionType(forward.__code__, namespace)
        self.outputs: dict[str, Variable] = recording(
            SimpleNamespace(weights=self.weights), self.image
        )

    def _recorder(self, name: str, function: FunctionType) -> Callable[..., Variable]:
        if name == "batch_norm":
            return lambda *args, **kw: self._batch_norm(function, *args, **kw)
        return lambda *args, **kw: self.tape.call(name, function, *args, **kw)

    def _batch_norm(
        self,
        function: FunctionType,
        x: Variable,
        weight: Variable | None,
        bias: Variable | None,
        running_mean: Variable,
        running_var: Variable,
        eps: float,
    ) -> Variable:
        layer = running_mean.name.rpartition(".")[0]
        mean, var = running_mean, running_var
        if layer not in self._frozen:
            mean, var = (
                self.tape.call(name, compute, x)
                for name, compute in self.STATISTICS.items()
            )
            count = x.value.size // x.value.shape[1]
            self.tape.statistics[layer] = mean.value, var.value, count
        return self.tape.call(
            "batch_norm", function, x, weight, bias, mean, var, eps=eps
        )

    def back(self, seeds: Iterable[tuple[str, np.ndarray]]) -> None:
        """Compute the gradients of weights and image from those of layers' outputs, by name."""
        self.tape.back([(self.outputs[name], seed) for name, seed in seeds])

    def gradients(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Those of some weights."""
        return {name: self.weights[name].slope() for name in names}


def _all_but_channels(x: np.ndarray) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def refuse_noise(graph: Graph) -> None:
    """Raise ArchspecError for a network that is random in training."""
    for node in graph.nodes:
        off = node.layer.noise_off
        if any(getattr(node.layer, key) != value for key, value in off.items()):
            settings = ", ".join(f"{key} {value}" for key, value in off.items())
            raise ArchspecError(
                f"{node.name} ({node.layer.type}) is random in training, and the NumPy "
                f"reference draws no masks: it computes the network with {settings}"
            )
