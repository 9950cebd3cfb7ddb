"""The field types that layers share, each with one message that says what it takes."""

from __future__ import annotations

import keyword
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

# Shapes and counts are exact integers of any size; this bound on what a spec may write keeps
# the emitted source inside what the frameworks accept (32-bit sizes).
MAX_SIZE = 2**31 - 1

Pair = tuple[int, int]
Sides = tuple[int, int, int, int]

NAME_PATTERN = r"[A-Za-z_][A-Za-z0-9_]*"
NETWORK_NAME_PATTERN = r"[A-Za-z][A-Za-z0-9_]*(-[A-Za-z0-9_]+)*"
INPUT = "input"


class SpecModel(BaseModel):
    """A part of a spec: unknown keys are errors, types are not coerced, values do not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def _fail(message: str) -> PydanticCustomError:
    # The template may not format what the user wrote, so braces are doubled.
    return PydanticCustomError("spec", message.replace("{", "{{").replace("}", "}}"))  # type: ignore[arg-type]


def is_integer(value: object) -> bool:
    """Whether `value` is an int and not a bool (which Python counts among the ints)."""
    return isinstance(value, int) and not isinstance(value, bool)


def _name(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(NAME_PATTERN, value):
        raise PydanticCustomError("invalid_name", "a name is letters, digits and underscores")
    if keyword.iskeyword(value) or len(value) > 100:
        reason = "a word of Python" if keyword.iskeyword(value) else "longer than 100 characters"
        raise PydanticCustomError("invalid_name", f"the name is {reason}")  # type: ignore[arg-type]
    return value


def _network_name(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(NETWORK_NAME_PATTERN, value):
        raise PydanticCustomError(
            "invalid_name", "a network's name is letters, digits, underscores and inner hyphens"
        )
    if len(value) > 100:
        raise PydanticCustomError("invalid_name", "the name is longer than 100 characters")
    return value


def _pair(least: int) -> Any:
    expected = f"expected a whole number of at least {least}, or two: [height, width]"

    def validate(value: Any) -> Any:
        both = value if isinstance(value, (list, tuple)) else [value, value]
        if len(both) != 2 or not all(is_integer(v) and least <= v <= MAX_SIZE for v in both):
            raise _fail(expected)
        return tuple(both)

    return validate


def _sides(value: Any) -> Any:
    if value in ("same", "valid"):
        return value
    sides = value if isinstance(value, (list, tuple)) else [value]
    if len(sides) not in (1, 2, 4) or not all(is_integer(v) and 0 <= v <= MAX_SIZE for v in sides):
        raise _fail(
            "expected a whole number, [vertical, horizontal], [top, bottom, left, right], "
            "`valid` or `same`"
        )
    if len(sides) == 4:
        return tuple(sides)
    vertical, horizontal = sides[0], sides[-1]
    return (vertical, vertical, horizontal, horizontal)


def _pair_schema(least: int) -> dict[str, Any]:
    number = {"type": "integer", "minimum": least}
    return {
        "anyOf": [number, {"type": "array", "items": number, "minItems": 2, "maxItems": 2}],
    }


Name = Annotated[
    str,
    BeforeValidator(_name),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME_PATTERN}$"}),
]
NetworkName = Annotated[
    str,
    BeforeValidator(_network_name),
    WithJsonSchema({"type": "string", "pattern": f"^{NETWORK_NAME_PATTERN}$"}),
]
Count = Annotated[int, Field(ge=1, le=MAX_SIZE)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Size2d = Annotated[Pair, BeforeValidator(_pair(1)), WithJsonSchema(_pair_schema(1))]
Padding = Annotated[
    Sides | Literal["same", "valid"],
    BeforeValidator(_sides),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["same", "valid"]},
                {"type": "integer", "minimum": 0},
                {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 4},
            ]
        }
    ),
]
Rounding = Literal["exact", "floor", "ceil"]
