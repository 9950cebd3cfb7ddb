"""The same elements in another shape or order; the shapes are channels first in every backend."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from archspec.layers.base import Cost, Example, Inferred, Layer, Shape, show
from archspec.layers.saved import Layout, Sharing
from archspec.spec.fields import MAX_SIZE, Count, wrong_type, wrong_value

AXES = ("channels", "height", "width")

_Axis = Literal["channels", "height", "width"]


def _shape(value: Any) -> Any:
    expected = "[channels, height, width] or [features]"
    if not isinstance(value, (list, tuple)):
        raise wrong_type(expected)
    if len(value) not in (1, 3):
        raise wrong_value(expected)
    return tuple(value)


def _order(value: Any) -> Any:
    expected = "channels, height and width, each once, such as [channels, width, height]"
    if not isinstance(value, (list, tuple)):
        raise wrong_type(expected)
    if not all(isinstance(axis, str) for axis in value) or sorted(value) != sorted(AXES):
        raise wrong_value(expected)
    return tuple(value)


_COUNT: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": MAX_SIZE}
_SHAPE = {
    "anyOf": [
        {"type": "array", "items": _COUNT, "minItems": count, "maxItems": count} for count in (3, 1)
    ]
}
_ORDER = {
    "type": "array",
    "items": {"type": "string", "enum": list(AXES)},
    "minItems": 3,
    "maxItems": 3,
    "uniqueItems": True,
}


class Reshape(Layer):
    """The elements in the order channels, height, width, cut into `shape`. FLOPs: none."""

    type: Literal["reshape"]
    keeps = ()
    shape: Annotated[tuple[Count, ...], BeforeValidator(_shape), WithJsonSchema(_SHAPE)] = Field(
        description="[channels, height, width] or [features]"
    )

    examples = (
        Example({"shape": [6, 2, 5]}, ((3, 4, 5),)),
        Example({"shape": [60]}, ((3, 4, 5),)),
        Example({"shape": [3, 1, 2]}, ((6,),)),
        Example({"shape": [1, 4, 6]}, ((4, 2, 3),)),
        Example({"shape": [6, 1, 1]}, ((6,),)),
        Example({"shape": [2, 3, 1]}, ((6, 1, 1),)),
        Example({"shape": [4]}, ((4,),)),
    )

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        before, after = inputs[0], self.shape
        if math.prod(before) != math.prod(after):
            raise self.fail(
                "element-counts-differ",
                f"{show(before)} are {math.prod(before)} elements, {show(after)} are "
                f"{math.prod(after)}",
                field="shape",
            )
        sees: Literal["one", "all", "irregular"] = "irregular"
        if after == before or len(after) == 1:
            sees = "one"  # a vector stands for the positions of its map, as behind `flatten`
        elif after[1:] == (1, 1):
            sees = "all"
        return Inferred(after, f"{show(before)} -> {show(after)}", sees=sees)

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost()

    def shares(self, inputs: tuple[Shape, ...], training: bool) -> Sharing:
        return "in order"


class Permute(Layer):
    """The axes of a map in another order.

    The first axis of `order` becomes the channels, the second the height, the third the width.
    FLOPs: none.
    """

    type: Literal["permute"]
    keeps = ()
    order: Annotated[
        tuple[_Axis, _Axis, _Axis], BeforeValidator(_order), WithJsonSchema(_ORDER)
    ] = Field(description="the input's axes that become channels, height and width")

    examples = (
        Example({"order": ["channels", "width", "height"]}, ((2, 3, 4),)),
        Example({"order": ["height", "width", "channels"]}, ((2, 3, 4),)),
        Example({"order": ["width", "channels", "height"]}, ((2, 3, 4),)),
        Example({"order": ["channels", "height", "width"]}, ((2, 3, 4),)),
    )

    @property
    def axes(self) -> tuple[int, ...]:
        """The same as numbers: 0 for channels, 1 for height, 2 for width."""
        return tuple(AXES.index(axis) for axis in self.order)

    def infer(self, inputs: tuple[Shape, ...]) -> Inferred:
        before = self.require_map(inputs[0])
        shape = tuple(before[axis] for axis in self.axes)
        sees: Literal["one", "irregular"] = "one" if self.order == AXES else "irregular"
        return Inferred(shape, f"{show(before)} -> {show(shape)}", sees=sees)

    def cost(self, inputs: tuple[Shape, ...], output: Shape) -> Cost:
        return Cost()

    def shares(self, inputs: tuple[Shape, ...], training: bool) -> Sharing:
        return "always"

    def view(self, before: Layout, source: Shape) -> Layout:
        # What the output calls its axis 0 is the input's axis `self.axes[0]`.
        first, second, third = (self.axes.index(axis) for axis in before.axes)
        return Layout((first, second, third), before.gaps)
