"""What a spec expects to be told, and why it is meant: diagnostics that are silenced."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from archspec.spec.fields import SpecModel, wrong_type, wrong_value

FORM = "{code: AS203, reason: why it is meant}"
_CODE = "AS[0-9]{3}"


def _code(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(_CODE, value):
        raise wrong_value("the code of a diagnostic such as `AS203`")
    return value


def _reason(value: Any) -> Any:
    if not isinstance(value, str) or not value.strip():
        raise wrong_type("a text that says why it is meant")
    return value


def _names(value: Any) -> Any:
    names = value if isinstance(value, (list, tuple)) else [value]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise wrong_type("the name of a layer or a block, a pattern such as `stage*`, or a list")
    return tuple(names)


def _entry(value: Any) -> Any:
    if not isinstance(value, (dict, Ignore)):
        raise wrong_type(f"a mapping such as `{FORM}`")
    return value


def _list(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        raise wrong_type(f"a list such as `[{FORM}]`")
    return value


class Ignore(SpecModel):
    """A diagnostic that is silenced, and why. Errors cannot be."""

    code: Annotated[
        str,
        BeforeValidator(_code),
        WithJsonSchema({"type": "string", "pattern": f"^{_CODE}$"}),
    ] = Field(description="the diagnostic's code: AS203")
    reason: Annotated[
        str, BeforeValidator(_reason), WithJsonSchema({"type": "string", "minLength": 1})
    ] = Field(description="why it is meant: the paper has it so, ...")


class IgnoreAbout(Ignore):
    """A diagnostic that is silenced in the whole spec, or in the layers that `about` names."""

    about: Annotated[
        tuple[str, ...] | None,
        BeforeValidator(_names),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "string"}, "minItems": 1},
                ]
            }
        ),
    ] = Field(default=None, description="layers, blocks or patterns such as `stage*`; all if out")


Ignores = Annotated[
    tuple[Annotated[Ignore, BeforeValidator(_entry)], ...],
    Field(strict=False),
    BeforeValidator(_list),
]
IgnoresAbout = Annotated[
    tuple[Annotated[IgnoreAbout, BeforeValidator(_entry)], ...],
    Field(strict=False),
    BeforeValidator(_list),
]
ABOUT_IGNORE = "diagnostics that are meant, each with its reason"


class IgnoringEntry(SpecModel):
    """What an entry of a list of layers says of diagnostics, beside its own keys."""

    ignore: Ignores = Field(default=(), description=ABOUT_IGNORE)
