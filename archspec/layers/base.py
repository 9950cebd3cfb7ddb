"""What a layer is: fields, a shape rule, weights and costs.

A layer type is one class in one file of this folder. It is declarative: Pydantic fields for
what the spec says, and pure functions of shapes for what follows from it. Shapes have no batch
axis and put channels first: (channels, height, width) for a map, (features,) for a vector.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from archspec.diagnostics import Problem, ProblemsFound
from archspec.layers.saved import Arranging, Kept, Layout, Saved, Sharing
from archspec.layers.window import Window
from archspec.spec.blocks import ENTRY_KEYS
from archspec.spec.fields import LayerName, SpecModel
from archspec.spec.initializers import AnyInitializer, Initializer, Zeros, drawing

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor of a layer: canonical name and layout (O,I,H,W; out,in), and how it starts.

    `trainable` is False where no optimiser updates it: a frozen parameter, or a `buffer`
    (running statistics), which is no parameter at all.
    """

    name: str
    shape: Shape
    initializer: AnyInitializer
    fan_in: int
    fan_out: int
    trainable: bool = True
    buffer: bool = False

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def drawing(self) -> tuple[str, dict[str, float]]:
        """The distribution that it is drawn from, and its numbers."""
        return drawing(self.initializer, self.fan_in, self.fan_out)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one image costs in one layer, exact integers.

    `macs`: multiply-accumulates of convolutions and matrix products. `other_flops`: the
    operations that are not part of a MAC (bias additions, comparisons, elementwise
    arithmetic), counted as the layer's docstring says. `connections`: neurons x (weights each
    neuron sees + 1 for its bias).
    """

    macs: int = 0
    other_flops: int = 0
    connections: int = 0
    macs_formula: str = ""


@dataclass(frozen=True, slots=True)
class Inferred:
    """What a shape rule found: the output shape and the arithmetic that gives it.

    `sees` says which positions of the input one output position depends on: the same one, a
    `window`, all of them, or `irregular`: other ones than a window that moves along would hold.
    `problems` are findings that leave a usable shape (a non-integer quotient that was rounded).
    """

    shape: Shape
    formula: str = ""
    window: Window | None = None
    sees: Literal["one", "window", "all", "irregular"] = "one"
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """Fields and input shapes on which the tests run a layer through every backend."""

    fields: Mapping[str, Any]
    inputs: tuple[Shape, ...] = ((4, 7, 6),)


class Layer(SpecModel):
    """The fields and functions that every layer type has.

    `arity` is the least and the largest number of inputs (None: no limit). `is_neurons` says
    that the outputs are neurons of their own; other layers only reshape or rescale those.
    `noise_off` holds the fields that make a layer which is random in training the same function
    each time; it is empty for all others. `keeps` is what PyTorch keeps for the layer's backward
    pass; both where a layer does not say. `overwritable` says that nothing but its readers needs
    its output, so that a ReLU behind it may work in place; `arranges` says how PyTorch lays out
    its output in memory. `commutes` says that the order of its inputs does not
    matter, `elementary` how many exponentials, powers and the like stand behind one output.
    `computed_from` names the fields that an entry of `computed` follows from, where it is not the
    field of that name.
    """

    arity: ClassVar[tuple[int, int | None]] = (1, 1)
    is_neurons: ClassVar[bool] = False
    noise_off: ClassVar[Mapping[str, Any]] = {}
    keeps: ClassVar[Kept] = ("inputs", "output")
    overwritable: ClassVar[bool] = False
    arranges: ClassVar[Arranging] = "alike"
    commutes: ClassVar[bool] = False
    elementary: ClassVar[int] = 0
    computed_from: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    examples: ClassVar[tuple[Example, ...]] = ()
    beside: ClassVar[tuple[str, ...]] = ENTRY_KEYS

    name: LayerName = Field(
        description="its name: letters, digits and underscores, by which others refer to it"
    )
    type: str
    inputs: Annotated[tuple[LayerName, ...] | None, Field(strict=False)] = Field(
        default=None, description="the layers it reads; the one before it when left out"
    )

    def called(self, name: str, inputs: tuple[str, ...]) -> Self:
        """The same layer under another name, reading others.

        Ten times as fast as `model_copy`: blocks make hundreds of layers out of one.
        """
        state = self.__getstate__()
        state["__dict__"] = {**self.__dict__, "name": name, "inputs": inputs}
        twin = object.__new__(type(self))
        twin.__setstate__(state)
        return twin

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        """The output shape. Elementwise layers keep the shape they get.

        Raises ProblemsFound where no output shape exists.
        """
        return Inferred(inputs[0], show(inputs[0]))

    def weights(self, inputs: tuple[Shape, ...]) -> tuple[Weight, ...]:
        """The layer's tensors, empty for a layer without any."""
        return ()

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        """What one image costs. The default is one operation an output element."""
        return Cost(other_flops=math.prod(output))

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        """What PyTorch keeps for the backward pass, in training and in eager mode.

        `inferred` is what the shape rule found, `needed` says of which inputs the gradient is
        computed. Asked only where the gradient of an input or of a weight is.
        """
        every = tuple(range(len(inputs)))
        return Saved(every if "inputs" in self.keeps else (), "output" in self.keeps)

    def shares(self, inputs: tuple[Shape, ...], training: bool) -> Sharing:
        """Whether PyTorch's output is the memory of the first input, in training or not."""
        return "no"

    def view(self, before: Layout, source: Shape) -> Layout:
        """How the output lies in the memory of the first input, where it shares that."""
        return before

    @property
    def training_fields(self) -> frozenset[str]:
        """The fields that inference does not depend on."""
        return frozenset({"trainable"})

    def computed(self, inputs: tuple[Shape, ...]) -> dict[str, Any]:
        """What the layer computes on inputs of these shapes, in its lowest terms.

        Two layers of one type compute the same, given the same weights, where this is the same:
        padding is resolved to pixels, what has no effect on these shapes is left out. The
        default is the fields as they are. How weights start is not part of it.
        """
        left_out = ("name", "type", "inputs", "weight_init", "bias_init")
        return {key: getattr(self, key) for key in type(self).model_fields if key not in left_out}

    def params_formula(self, inputs: tuple[Shape, ...]) -> str:
        """The parameter count with its numbers filled in, empty for a layer without any."""
        return ""

    def fail(
        self, rule: str, message: str, help: str | None = None, *, field: str | None = None
    ) -> ProblemsFound:
        """The exception that says why this layer has no output shape."""
        return ProblemsFound(
            [Problem(rule, f"{self.name}: {message}", help, layer=self.name, field=field)]
        )

    def require_map(self, shape: Shape) -> tuple[int, int, int]:
        """The shape as (channels, height, width); raises ProblemsFound for a vector."""
        if len(shape) != 3:
            raise self.fail(
                "map-expected",
                f"{self.type} reads a map (channels, height, width) and gets {show(shape)}",
                "place it before the layer that flattens the map",
                field="type",
            )
        channels, height, width = shape
        return channels, height, width

    def divide(self, counts: Mapping[str, int], groups: int) -> None:
        """Raise ProblemsFound where one of the `counts` is no multiple of the field `groups`."""
        for what, count in counts.items():
            if count % groups:
                common = math.gcd(*counts.values())
                divisors = [str(g) for g in range(1, 65) if common % g == 0]
                said = {what: f"{n} {what if n > 1 else what[:-1]}" for what, n in counts.items()}
                all_counts = " and ".join(said.values())
                into = f"{', '.join(divisors)} groups" if common > 1 else "1 group only"
                both = " both" if len(counts) > 1 else ""
                raise self.fail(
                    "groups-do-not-divide",
                    f"{said[what]} cannot be divided into {groups} groups "
                    f"({count}/{groups} = {count / groups:.4g})",
                    f"{all_counts} can{both} be divided into {into}",
                    field="groups",
                )


class WeightedLayer(Layer):
    """A layer with a weight and perhaps a bias."""

    bias: bool = Field(default=True, description="whether a number is added to each output channel")
    weight_init: Initializer | None = Field(
        default=None, description="how its weights start; default: `defaults.weight_init`"
    )
    bias_init: Initializer | None = Field(
        default=None, description="how its biases start; default: `defaults.bias_init`"
    )
    trainable: bool = Field(default=True, description="false freezes the layer's weights")

    def weight_and_bias(
        self, shape: Shape, units: int, fan_in: int, fan_out: int
    ) -> tuple[Weight, ...]:
        """The weight of `shape` and, unless `bias` is false, a bias for each of the `units`."""
        weight = Weight(
            "weight", shape, self.weight_init or Zeros(), fan_in, fan_out, self.trainable
        )
        if not self.bias:
            return (weight,)
        bias = Weight("bias", (units,), self.bias_init or Zeros(), fan_in, fan_out, self.trainable)
        return (weight, bias)


def show(shape: Shape) -> str:
    """96 x 55 x 55."""
    return " x ".join(map(str, shape))
