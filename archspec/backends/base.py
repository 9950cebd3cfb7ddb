"""What a backend promises, and the one route from a graph to a model."""

from __future__ import annotations

import importlib.util
import linecache
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from archspec.diagnostics import ArchspecError, listing, shortened
from archspec.graph import Graph
from archspec.layers.base import Shape

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from archspec.backends.opened import Opened
    from archspec.spec.recipe import Recipe

    Array = npt.NDArray[np.floating[Any]]
    Doubles = npt.NDArray[np.float64]
    Labels = npt.NDArray[np.integer[Any]]
    Mask = npt.NDArray[np.bool_]
    Weights = Mapping[str, Array]


class Backend(ABC):
    """A target that archspec compiles to.

    Arrays at this boundary are NumPy's, in canonical layout: images N,C,H,W, convolution
    weights O,I,H,W, dense weights out,in, canonical names such as ``conv1.weight``.
    """

    name: ClassVar[str]
    extra: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    # The endings of the files that hold weights in the framework's own format.
    weight_files: ClassVar[tuple[str, ...]] = ()
    # The ending of the file that `archspec build` writes instead of the source, where the
    # framework has a format for a model with its weights.
    model_file: ClassVar[str] = ""

    def missing(self) -> tuple[str, ...]:
        """The packages that this backend needs and that are not installed."""
        return tuple(p for p in self.packages if importlib.util.find_spec(p) is None)

    def require(self) -> None:
        """Raise ArchspecError, naming the extra to install, when a package is missing."""
        missing = self.missing()
        if missing:
            raise ArchspecError(
                f"the {self.name} backend needs {' and '.join(missing)}: "
                f"pip install 'archspec-nn[{self.extra}]'"
            )

    @abstractmethod
    def emit(self, graph: Graph) -> str:
        """The model's source: it stands alone, with the framework and nothing of archspec."""

    @abstractmethod
    def class_name(self, graph: Graph) -> str:
        """The name of the class in the emitted source."""

    def source_file(self, graph: Graph) -> str:
        """What the file with the emitted source is called, unless the user says it."""
        return f"{graph.name.replace('-', '_')}_{self.name}.py"

    def describe(self, graph: Graph, source: str) -> str:
        """What the emitted source is, in a few words."""
        return f"class {self.class_name(graph)}, {source.count(chr(10))} lines"

    def how_to_run(self, graph: Graph, file: Path) -> str:
        """How the file that `archspec build` wrote is run."""
        return f"python {file}"

    def build(self, graph: Graph) -> Any:
        """The model: an instance of the class in the emitted source, which is executed here."""
        source = self.emit(graph)
        file = f"<{self.name} source of {graph.name}>"
        # Registered so that tracebacks show the emitted lines.
        linecache.cache[file] = (
            len(source),
            None,
            source.splitlines(keepends=True),
            file,
        )
        namespace: dict[str, Any] = {"__name__": f"archspec_emitted_{self.name}"}
        exec(compile(source, file, "exec"), namespace)
        return namespace[self.class_name(graph)]()

    @abstractmethod
    def load_weights(self, graph: Graph, model: Any, weights: Weights) -> None:
        """Copy canonical weights into a model. Raises KeyError for a missing one."""

    @abstractmethod
    def save_weights(self, graph: Graph, model: Any) -> dict[str, Array]:
        """The model's weights under canonical names and in canonical layout."""

    def open(
        self, graph: Graph, make: Callable[[], Any], like: Opened | None = None
    ) -> Opened:
        """Take apart the model that `make` makes, in float64 and with the same seed each time.

        `make` may execute source that somebody edited; `like` is the model of the source as it was
        emitted. What `make` raises passes through.
        """
        raise ArchspecError(f"a model of the {self.name} backend cannot be taken apart")

    def write_weights(self, graph: Graph, weights: Weights, path: Path) -> None:
        """Write weights as a file that the framework's own functions load into the emitted model.

        The ending of `path` is one of `weight_files`. Raises OSError.
        """
        raise NotImplementedError(f"{self.name} has no format of its own")

    def loading(self, path: Path) -> str:
        """The line of Python that loads such a file into `model`, an instance of the class."""
        raise NotImplementedError(f"{self.name} has no format of its own")

    def predictor(self, graph: Graph, weights: Weights, device: str) -> Predictor:
        """The network with these weights in float32, on ``cpu``, on ``cuda``, or on the best one.

        The best is called ``auto``. Raises ArchspecError for a device that is not there.
        """
        raise ArchspecError(
            f"the {self.name} backend writes models and does not run them"
        )

    def write_model(self, graph: Graph, model: Any, path: Path) -> str:
        """Write a model for inference, with its weights; for backends that have a `model_file`.

        Returns what was written, in a few words. Raises OSError, and ArchspecError for a path
        that belongs to another kind of file.
        """
        raise NotImplementedError(f"{self.name} has no format for models")


class OutOfMemory(ArchspecError):
    """A device has too little memory for a step on so many `images`.

    `peak` are the bytes that were in use, `room` those that this process can have; None where the
    framework does not tell.
    """

    def __init__(
        self,
        device: str,
        images: int,
        peak: int | None = None,
        room: int | None = None,
        advice: str = "try a smaller --batch-size",
    ) -> None:
        super().__init__(
            f"{device} has too little memory for batches of {images} images; {advice}"
        )
        self.device, self.images, self.peak, self.room = device, images, peak, room

    def told(self, advice: str) -> OutOfMemory:
        """The same with other advice."""
        return OutOfMemory(self.device, self.images, self.peak, self.room, advice)


class Predictor(Protocol):
    """A model with its weights on a device. `engine` is what computes, with its version."""

    engine: str
    device: str

    def logits(self, images: Array) -> Array:
        """The network's output at inference, N x classes, of images N,H,W,C."""


class Group(Protocol):
    """The processes that train one model together. All of them must ask the same questions.

    `rank` counts from 0; the process of rank 0 writes.
    """

    rank: int
    size: int

    def sum(self, numbers: Array) -> Doubles:
        """The sum over all processes, in float64 and the same in each."""

    def any(self, flag: bool) -> bool:
        """Whether any of the processes says so."""

    def together(self) -> AbstractContextManager[None]:
        """Within it, the failure of one process ends all, and what it says is said once.

        What the first one raises passes through; the others end with SystemExit. Where one was
        killed, ArchspecError says so. The group is closed at the end.
        """

    def close(self) -> None:
        """Leave the others."""


class Alone:
    """One process."""

    rank, size = 0, 1

    def sum(self, numbers: Array) -> Doubles:
        """The numbers themselves."""
        return numbers.astype("float64")

    def any(self, flag: bool) -> bool:
        """What this process says."""
        return flag

    def together(self) -> AbstractContextManager[None]:
        """What fails, fails."""
        return nullcontext()

    def close(self) -> None:
        """Nobody is left."""


ALONE: Group = Alone()


DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float64", "float32", "tf32", "bfloat16", "float16")


@dataclass(frozen=True)
class Execution:
    """How a model is computed; no part of the recipe.

    `device` is ``cpu``, ``cuda`` or the best one, ``auto``. `precision` is ``float64``,
    ``float32``, ``tf32``, ``bfloat16``, ``float16``, or what the device does best, ``auto``. Where
    `compile` and `channels_last` are None the backend chooses.

    The batch is divided among the processes of `group` and within one among its `devices`. With
    `shard`, each process holds a part of the parameters, gradients and the optimiser's state; None
    does that where they do not fit into a device.
    """

    device: str = "auto"
    precision: str = "auto"
    compile: bool | None = None
    channels_last: bool | None = None
    deterministic: bool = False
    group: Group = ALONE
    devices: int = 1
    shard: bool | None = None

    def __post_init__(self) -> None:
        """Raise ArchspecError for a name that means nothing: no backend is to take it for another.

        The command line knows these names; Python and the `run.json` of a run may have others.
        """
        for what, name, known in (
            ("device", self.device, DEVICES),
            ("precision", self.precision, PRECISIONS),
        ):
            if name not in known:
                raise ArchspecError(
                    f"there is no {what} `{shortened(str(name))}`; there are {listing(known)}"
                )

    def plain(self, backend: str, auto: str) -> Execution:
        """What is settled for a backend that computes in NumPy's precisions, on the CPU alone.

        `auto` is its precision where that is left open. Raises ArchspecError for what takes a
        framework.
        """
        if self.device not in ("auto", "cpu"):
            raise ArchspecError(
                f"--device {self.device}: the {backend} backend computes on the CPU"
            )
        wanted = {
            f"--precision {self.precision}": self.precision
            not in ("auto", "float64", "float32"),
            "--compile": self.compile,
            "--channels-last": self.channels_last,
        }
        for option, given in wanted.items():
            if given:
                raise ArchspecError(
                    f"{option}: the {backend} backend computes in float64 or float32, operation by "
                    "operation; use --backend torch or keras"
                )
        return replace(
            self,
            device="cpu",
            precision=auto if self.precision == "auto" else self.precision,
            compile=False,
            channels_last=False,
        )

    def __str__(self) -> str:
        """``bfloat16, compiled, channels last, 2 processes``, once it is settled."""
        several = self.group.size > 1
        ways = {
            "compiled": self.compile,
            "channels last": self.channels_last,
            "deterministic": self.deterministic,
            f"{self.group.size} processes": several,
            "each with a part of the model": several and self.shard,
            f"{self.devices} devices": self.devices > 1,
        }
        return ", ".join([self.precision, *(way for way, on in ways.items() if on)])


class Trainer(Predictor, Protocol):
    """A model that learns. Images are N,H,W,C in its precision, labels N class numbers.

    The loss is the mean cross-entropy of the network's output, plus that of each auxiliary
    output times its `loss_weight`, with the labels smoothed as the recipe says. The gradients of
    the parameters that learn are clipped together, and the update is that of the recipe's
    optimiser (`archspec.spec.recipe`).

    `execution` is how it computes, with nothing left open, and `choices` what was measured to
    settle it, one sentence each.
    """

    execution: Execution
    choices: tuple[str, ...]

    def step(self, images: Array, labels: Labels, learning_rate: float) -> Any:
        """One update. Returns the batch's loss before it, as something `float` takes."""

    def attempt(
        self, images: Array, labels: Labels, learning_rate: float
    ) -> float | None:
        """A step that is taken back, and gives None, where it leads to NaN or infinity.

        That is in the loss, in weights and buffers, or in what the optimiser remembers: all are as
        they were before. It costs a copy of them on the device, and waits for the step.
        """

    def busy(self) -> bool:
        """Whether the device still works on steps it was given."""

    def reseed(self, seed: int) -> None:
        """Begin the random numbers of dropout anew, so that they depend on `seed` alone.

        It is called before every step: what is drawn then needs no state that a run would save.
        """

    def weights(self) -> dict[str, Array]:
        """The weights and buffers, canonical."""

    def optimizer_state(self) -> dict[str, Array]:
        """What the optimiser remembers, by kind and canonical name: ``velocity.conv1.weight``.

        Layouts are canonical. What belongs to no parameter has a name of one word
        (`archspec.backends.optimizing`). Telling it changes nothing.
        """

    def load_optimizer_state(
        self, state: Mapping[str, Array], learning_rate: float
    ) -> None:
        """Go on with this state, which belongs to a step at `learning_rate`."""


@dataclass(frozen=True)
class Measured:
    """What a framework itself says of a built model.

    `shapes` are the outputs of the layers by name, channels first and without the batch axis.
    The counts are numbers in tensors: those that an optimiser updates, and all others (frozen
    parameters and running statistics). `flops` is what the framework's own counter finds in
    convolutions and matrix products for one image, by layer, without those that have none; None
    where the framework has no counter.
    """

    shapes: Mapping[str, Shape]
    trainable_params: int
    non_trainable_params: int
    flops: Mapping[str, int] | None = None


class ComparableBackend(Backend):
    """A backend whose models tell the output of every layer.

    `dtypes` are the precisions that it can compute in; `differentiates_images` says whether it has
    `support`.
    """

    dtypes: ClassVar[tuple[str, ...]] = ("float64", "float32")
    differentiates_images: ClassVar[bool] = False

    @abstractmethod
    def build_for_verification(self, graph: Graph, dtype: str) -> Any:
        """A model that computes in `dtype`, one of `dtypes`, on the CPU."""

    @abstractmethod
    def activations(self, graph: Graph, model: Any, images: Array) -> dict[str, Array]:
        """Every layer's output at inference, canonical layout, by layer name.

        That is with dropout off and running statistics, for layers that are used in training
        alone too.
        """

    def measure(self, graph: Graph, model: Any) -> Measured | None:
        """What the framework says of a model, None where it has nothing of its own to count with.

        Layers that are used in training alone are counted too.
        """
        return None

    def support(
        self,
        graph: Graph,
        model: Any,
        images: Array,
        positions: Mapping[str, tuple[int, ...]],
    ) -> dict[str, Mask]:
        """The pixels at which the gradient of one position of a layer is not 0: height, width.

        The position is (row, column) of a map, () of a vector: all of its features. It is that of
        the sum over channels, each multiplied by a random number, in any of the images, at
        inference.
        """
        raise NotImplementedError(f"{self.name} does not differentiate images")

    def predictor(self, graph: Graph, weights: Weights, device: str) -> Predictor:
        model = self.build_for_verification(graph, "float32")
        self.load_weights(graph, model, weights)
        return layerwise(self, graph, model, device)


def layerwise(backend: Any, graph: Graph, model: Any, device: str) -> Predictor:
    """A model on the CPU whose `activations` are computed, of which the output's count.

    Raises ArchspecError for another device.
    """
    if device == "cuda":
        raise ArchspecError(
            f"--device cuda: the {backend.name} backend computes on the CPU; use --device cpu"
        )
    return _Layerwise(backend, graph, model)


class _Layerwise:
    device = "cpu"

    def __init__(self, backend: Any, graph: Graph, model: Any) -> None:
        self.engine = backend.name
        self._backend, self._graph, self._model = backend, graph, model

    def logits(self, images: Array) -> Array:
        maps = images.transpose(0, 3, 1, 2).copy()
        found = self._backend.activations(self._graph, self._model, maps)
        output: Array = found[self._graph.output]
        return output


class TrainableBackend(ComparableBackend):
    """A backend with gradients."""

    @abstractmethod
    def gradients(
        self, graph: Graph, model: Any, images: Array, cotangents: Sequence[Array]
    ) -> dict[str, Array]:
        """The gradient of mean_n(sum(output_n * cotangent_n)) for every trainable parameter.

        That of the images, N,C,H,W, is under the key "input". There is a cotangent for each of
        `graph.outputs`, and the gradient is that of the sum. The model is in training mode. Its
        weights are undefined afterwards.
        """

    @abstractmethod
    def trainer(
        self,
        graph: Graph,
        recipe: Recipe,
        weights: Weights,
        execution: Execution,
    ) -> Trainer:
        """A model on a device with the recipe's optimiser, ready to step.

        Raises ArchspecError for an execution that is not possible.
        """

    def group(self, device: str) -> Group:
        """The processes that the environment says train one model together; ALONE without.

        Call it before anything is computed. It waits for the others. Raises ArchspecError where
        they are not found, or the backend trains in one process alone.
        """
        if launched() > 1:
            raise ArchspecError(
                f"{launched()} processes were started (WORLD_SIZE), and the {self.name} backend "
                "trains in one; start it without torchrun, or use --backend torch"
            )
        return ALONE


def launched() -> int:
    """How many processes `torchrun`, or who does its work, says that it started."""
    text = os.environ.get("WORLD_SIZE", "1")
    return int(text) if text.isascii() and text.isdecimal() else 1
