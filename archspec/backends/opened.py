"""A model taken apart, so that one that somebody edited can be laid beside one that nobody did."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archspec.backends.base import Array, Weights


@dataclass(frozen=True, slots=True)
class Tensor:
    """A weight or buffer in canonical layout; `learns` is None where the model cannot say it."""

    value: Array
    learns: bool | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One layer of a model: its class, its tensors by their own names, its plain settings."""

    kind: str
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replay:
    """A forward pass in which each layer got what the reference computes.

    `outputs` has what each layer made of that, `reads` the layers whose outputs it got (`input` is
    the image, None a value that is no layer's), in their order. `results` is what the model
    returned, and `received` what each layer got, where the model can tell.
    """

    outputs: Mapping[str, Array]
    reads: Mapping[str, Sequence[str | None]]
    results: Sequence[Array]
    received: Mapping[str, Sequence[Array]] = field(default_factory=dict)


class Opened(ABC):
    """A model of emitted source, or of source that was edited since.

    Layers go by the names of the graph; those that the graph does not have by the framework's.
    Arrays are in canonical layout. What the model itself raises passes through.
    """

    @abstractmethod
    def parts(self) -> dict[str, Part]:
        """The layers, those in blocks too; their tensors are worth something until `load`."""

    def rename(self, found: str, name: str) -> bool:
        """Take the layer called `found` for the graph's `name`, from now on. Whether it can."""
        return False

    @abstractmethod
    def load(self, weights: Weights) -> None:
        """Copy the canonical weights that the model has, in the same shape."""

    @abstractmethod
    def replay(self, images: Array, values: Mapping[str, Array]) -> Replay:
        """Run at inference; whatever a layer computes, its readers get its array in `values`."""

    @abstractmethod
    def in_training(self, name: str, inputs: Sequence[Array]) -> dict[str, Array]:
        """What one layer does in training with nothing random: output, gradients, statistics.

        Empty where the model has no layers to call.
        """

    @abstractmethod
    def outputs(self, images: Array) -> list[Array]:
        """What the model returns at inference."""

    @abstractmethod
    def gradients(self, images: Array, cotangents: Sequence[Array]) -> dict[str, Array]:
        """As `TrainableBackend.gradients`, with nothing random. The weights are undefined then."""


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are numbers, words and sequences of them, under public names."""
    return {
        name: _settled(value)
        for name, value in settings.items()
        if not name.startswith("_") and _is_plain(value)
    }


def _settled(value: Any) -> Any:
    """The same for a list as for a tuple."""
    return tuple(map(_settled, value)) if isinstance(value, (list, tuple)) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
