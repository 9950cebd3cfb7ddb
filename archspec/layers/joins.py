"""Layers that join branches or take a part of one."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from archspec.layers.base import Cost, Example, Inferred, Layer, Shape, show
from archspec.layers.saved import Extra, Layout, Saved, Sharing
from archspec.spec.fields import MAX_SIZE, is_integer


class _Join(Layer):
    arity = (2, None)
    keeps = ()

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost(other_flops=(len(inputs) - 1) * math.prod(output))

    def unequal(self, inputs: tuple[Shape, ...], wanted: str) -> Any:
        """The exception for inputs whose shapes cannot be joined."""
        names = self.inputs or [f"input {number}" for number, _ in enumerate(inputs, 1)]
        shapes = ", ".join(f"{n}: {show(s)}" for n, s in zip(names, inputs, strict=True))
        return self.fail("shapes-differ", f"{self.type} needs {wanted}; {shapes}", field="inputs")


class Add(_Join):
    """The elementwise sum of maps of one shape. FLOPs: one addition less than inputs, each."""

    type: Literal["add"]
    overwritable = True
    commutes = True
    examples = (
        Example({}, ((3, 4, 5), (3, 4, 5))),
        Example({}, ((6,), (6,), (6,))),
    )

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        if len(set(inputs)) != 1:
            raise self.unequal(inputs, "equal shapes")
        return Inferred(inputs[0], show(inputs[0]))


class Multiply(_Join):
    """The elementwise product; an input of (C, 1, 1) scales each channel of the others.

    FLOPs: one product less than inputs, each.
    """

    type: Literal["multiply"]
    commutes = True
    examples = (
        Example({}, ((3, 4, 5), (3, 4, 5))),
        Example({}, ((3, 4, 5), (3, 1, 1))),
        Example({}, ((2, 3, 4), (2, 1, 1), (2, 3, 4))),
        Example({}, ((6,), (6,))),
    )

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        largest = max(inputs, key=math.prod)
        scales = (largest[0], *(1 for _ in largest[1:]))
        if any(shape not in (largest, scales) for shape in inputs):
            raise self.unequal(inputs, "equal shapes, or (channels, 1, 1) to scale channels")
        return Inferred(largest, show(largest))

    def saved(
        self, inputs: tuple[Shape, ...], inferred: Inferred, needed: tuple[bool, ...]
    ) -> Saved:
        # One product after the other. A factor is kept where the other one's gradient is needed.
        kept: set[int] = set()
        extra: list[Extra] = []
        size, wanted = math.prod(inputs[0]), needed[0]
        for number in range(1, len(inputs)):
            if wanted:
                kept.add(number)
            if needed[number]:
                if number == 1:
                    kept.add(0)
                else:
                    extra.append(Extra(f"the product of the first {number}", size))
            size = max(size, math.prod(inputs[number]))
            wanted = wanted or needed[number]
        return Saved(tuple(sorted(kept)), extra=tuple(extra))


class Concat(_Join):
    """The inputs one after another along the channels. FLOPs: none."""

    type: Literal["concat"]
    overwritable = True
    arranges = "usual"
    examples = (
        Example({}, ((3, 4, 5), (2, 4, 5))),
        Example({}, ((6,), (2,), (1,))),
    )

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        if len({shape[1:] for shape in inputs}) != 1 or len({len(shape) for shape in inputs}) != 1:
            raise self.unequal(inputs, "equal height and width")
        channels = sum(shape[0] for shape in inputs)
        formula = " + ".join(str(shape[0]) for shape in inputs) + f" = {channels}"
        return Inferred((channels, *inputs[0][1:]), formula)

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost()


def _range(value: Any) -> Any:
    if (
        not isinstance(value, (list, tuple))
        or len(value) != 2
        or not all(is_integer(v) and 0 <= v <= MAX_SIZE for v in value)
        or value[0] >= value[1]
    ):
        raise PydanticCustomError(
            "spec", "expected [first, end] with first < end, counted from 0, the end not included"
        )
    return tuple(value)


class Split(Layer):
    """The channels from the first to just before the second of `channels`: [0, 48]. FLOPs: none."""

    type: Literal["split"]
    channels: Annotated[
        tuple[int, int],
        BeforeValidator(_range),
        WithJsonSchema(
            {
                "type": "array",
                "items": {"type": "integer", "minimum": 0, "maximum": MAX_SIZE},
                "minItems": 2,
                "maxItems": 2,
                "uniqueItems": True,
            }
        ),
    ] = Field(description="[first, end], counted from 0, the end not included")

    keeps = ()
    examples = (
        Example({"channels": [1, 3]}, ((4, 3, 2),)),
        Example({"channels": [0, 5]}, ((6,),)),
    )

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        first, end = self.channels
        available = inputs[0][0]
        if end > available:
            raise self.fail(
                "channels-out-of-range",
                f"channels {first} to {end} are asked of an input that has {available}",
                f"ranges count from 0 and leave out their end: all channels are [0, {available}]",
                field="channels",
            )
        shape = (end - first, *inputs[0][1:])
        return Inferred(shape, f"{end} - {first} = {shape[0]}")

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost()

    def shares(self, inputs: tuple[Shape, ...], training: bool) -> Sharing:
        return "always"

    def view(self, before: Layout, source: Shape) -> Layout:
        if self.channels == (0, source[0]):
            return before
        first = before.axes[0] == 0 and before.gaps != "within images"
        return Layout(before.axes, "between images" if first else "within images")
