"""The field types that layers share, each with one message that says what it takes."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

# Shapes and counts are exact integers of any size; this bound on what a spec may write keeps
# the emitted source inside what the frameworks accept (32-bit sizes).
MAX_SIZE = 2**31 - 1

Pair = tuple[int, int]
Sides = tuple[int, int, int, int]

MAX_NAME = 100
MAX_LAYER_NAME = 300
_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_IS_IDENTIFIER = re.compile(_IDENTIFIER).fullmatch
NAME_PATTERN = rf"(?!__){_IDENTIFIER}"
_PART = rf"(?!__)[A-Za-z_][A-Za-z0-9_]{{0,{MAX_NAME - 1}}}"
LAYER_NAME_PATTERN = rf"{_PART}(\.{_PART})*"
NETWORK_NAME_PATTERN = r"[A-Za-z][A-Za-z0-9_]*(-[A-Za-z0-9_]+)*"
INPUT = "input"


class SpecModel(BaseModel):
    """A part of a spec: unknown keys are errors, types are not coerced, values do not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def wrong_value(expected: str, at: tuple[str, ...] = ()) -> PydanticCustomError:
    """The error of a value that cannot be used; `expected` says what can.

    `at` are the keys that lead from the value that is validated to the one that is meant.
    """
    context = {"at": at} if at else None
    return PydanticCustomError("wrong_value", _template(expected), context)


def wrong_type(expected: str) -> PydanticCustomError:
    """The error of a value of the wrong type: it must be `expected`."""
    return PydanticCustomError("wrong_type", _template(expected))


def missing_key(key: str) -> PydanticCustomError:
    """The error of a mapping that needs the key because of others that it has."""
    return PydanticCustomError("missing_key", _template(key))


def _invalid_name(reason: str) -> PydanticCustomError:
    return PydanticCustomError("invalid_name", _template(reason))


def _template(message: str) -> Any:
    # Pydantic wants a literal, into which it fills a context; without one, braces are braces.
    return message


def is_integer(value: object) -> bool:
    """Whether `value` is an int and not a bool (which Python counts among the ints)."""
    return isinstance(value, int) and not isinstance(value, bool)


def _name(value: Any) -> Any:
    if not isinstance(value, str):
        raise wrong_type("a name such as `conv1`")
    if len(value) > MAX_NAME:
        raise _invalid_name(f"it is longer than {MAX_NAME} characters")
    if not _IS_IDENTIFIER(value):
        raise _invalid_name("a name is letters (A to Z), digits and underscores, no digit first")
    if value.startswith("__"):
        raise _invalid_name("names that begin with two underscores have a meaning in Python")
    if keyword.iskeyword(value):
        raise _invalid_name("it is a keyword of Python")
    return value


def _version(value: Any) -> Any:
    # `true` and `1.0` equal 1 in Python, which a literal would let through.
    return value if is_integer(value) else str(value)


def _layer_name(value: Any) -> Any:
    if not isinstance(value, str):
        raise wrong_type("a name such as `conv1`")
    if len(value) > MAX_LAYER_NAME:
        raise _invalid_name(f"it is longer than {MAX_LAYER_NAME} characters")
    for part in value.split("."):
        _name(part)
    return value


def is_layer_name(value: object) -> bool:
    """Whether a layer can be called so."""
    try:
        _layer_name(value)
    except PydanticCustomError:
        return False
    return True


def _network_name(value: Any) -> Any:
    if not isinstance(value, str):
        raise wrong_type("a name such as `my-network`")
    if len(value) > MAX_NAME:
        raise _invalid_name(f"it is longer than {MAX_NAME} characters")
    if not re.fullmatch(NETWORK_NAME_PATTERN, value):
        raise _invalid_name(
            "a network's name is letters (A to Z), digits, underscores and inner hyphens, "
            "a letter first"
        )
    return value


def _pair(least: int) -> Any:
    expected = f"a whole number of at least {least}, or two: [height, width]"

    def validate(value: Any) -> Any:
        both = value if isinstance(value, (list, tuple)) else [value, value]
        if not all(is_integer(v) for v in both):
            raise wrong_type(expected)
        if len(both) != 2:
            raise wrong_value(expected)
        _check_size(both, least)
        return tuple(both)

    return validate


def _sides(value: Any) -> Any:
    if value in ("same", "valid"):
        return value
    expected = (
        "a whole number, [vertical, horizontal], [top, bottom, left, right], `valid` or `same`"
    )
    sides = value if isinstance(value, (list, tuple)) else [value]
    if isinstance(value, str):
        raise wrong_value(expected)
    if not all(is_integer(v) for v in sides):
        raise wrong_type(expected)
    if len(sides) not in (1, 2, 4):
        raise wrong_value(expected)
    _check_size(sides, 0)
    if len(sides) == 4:
        return tuple(sides)
    vertical, horizontal = sides[0], sides[-1]
    return (vertical, vertical, horizontal, horizontal)


def _border(value: Any) -> Any:
    if isinstance(value, str):
        raise wrong_value("pixels: a number, two or four")
    return _sides(value)


def _check_size(numbers: Iterable[int], least: int) -> None:
    if any(number < least for number in numbers):
        raise wrong_value(f"at least {least}")
    if any(number > MAX_SIZE for number in numbers):
        raise wrong_value(f"at most {MAX_SIZE}")


def _pair_schema(least: int) -> dict[str, Any]:
    number = {"type": "integer", "minimum": least, "maximum": MAX_SIZE}
    return {
        "anyOf": [number, {"type": "array", "items": number, "minItems": 2, "maxItems": 2}],
    }


Name = Annotated[
    str,
    BeforeValidator(_name),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME_PATTERN}$", "maxLength": MAX_NAME}),
]
LayerName = Annotated[
    str,
    BeforeValidator(_layer_name),
    WithJsonSchema(
        {"type": "string", "pattern": f"^{LAYER_NAME_PATTERN}$", "maxLength": MAX_LAYER_NAME}
    ),
]
NetworkName = Annotated[
    str,
    BeforeValidator(_network_name),
    WithJsonSchema(
        {"type": "string", "pattern": f"^{NETWORK_NAME_PATTERN}$", "maxLength": MAX_NAME}
    ),
]
Version = Annotated[Literal[1], BeforeValidator(_version)]
Count = Annotated[int, Field(ge=1, le=MAX_SIZE)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Size2d = Annotated[Pair, BeforeValidator(_pair(1)), WithJsonSchema(_pair_schema(1))]
Offset2d = Annotated[Pair, BeforeValidator(_pair(0)), WithJsonSchema(_pair_schema(0))]
_PIXELS = {"type": "integer", "minimum": 0, "maximum": MAX_SIZE}
_BORDER: list[dict[str, Any]] = [
    _PIXELS,
    {"type": "array", "items": _PIXELS, "minItems": 1, "maxItems": 2},
    {"type": "array", "items": _PIXELS, "minItems": 4, "maxItems": 4},
]
Border = Annotated[Sides, BeforeValidator(_border), WithJsonSchema({"anyOf": _BORDER})]
Padding = Annotated[
    Sides | Literal["same", "valid"],
    BeforeValidator(_sides),
    WithJsonSchema({"anyOf": [{"enum": ["same", "valid"]}, *_BORDER]}),
]
Rounding = Literal["exact", "floor", "ceil"]
