"""What a plain scalar means: YAML 1.2's core schema (section 10.3.2), with limits."""

from __future__ import annotations

import math
import re
from functools import lru_cache

from archspec.diagnostics import ArchspecError, Problem, ProblemsFound, shortened

MAX_DIGITS = 40

Scalar = None | bool | int | float | str

_DECIMAL = re.compile(r"[-+]?[0-9]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_OCTAL = re.compile(r"0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.inf|\.nan", re.IGNORECASE)
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@lru_cache(maxsize=4096)
def resolve(text: str) -> Scalar:
    """The value of a plain scalar.

    Raises ProblemsFound, with a problem that has no place yet, for a number that no network
    can use: longer than `MAX_DIGITS`, not finite, or beyond what a float holds.
    """
    if text in _WORDS:
        return _WORDS[text]
    # A number begins so; most scalars of a spec are words and are done here.
    if text[0] not in "0123456789+-.":
        return text
    if _NOT_FINITE.fullmatch(text):
        raise _refusal("wrong-value", f"`{text}` is not a number that a network can use")
    is_integer, base = _integer(text)
    if not is_integer and not _FLOAT.fullmatch(text):
        return text
    if len(text) > MAX_DIGITS:
        raise _refusal(
            "limit-exceeded",
            f"a number of {len(text):,} characters; at most {MAX_DIGITS} are read",
            "shorten it",
        )
    return int(text[2:] if base != 10 else text, base) if is_integer else _float(text)


def scalar(text: str) -> Scalar:
    """The value of `text` as it would be read in a spec.

    Raises ArchspecError where a spec would be refused: the text comes from the command line.
    """
    try:
        return resolve(text)
    except ProblemsFound as found:
        raise ArchspecError(found.problems[0].message) from None


def _integer(text: str) -> tuple[bool, int]:
    """Whether `text` is an integer, and its base."""
    for pattern, base in ((_DECIMAL, 10), (_HEXADECIMAL, 16), (_OCTAL, 8)):
        if pattern.fullmatch(text):
            return True, base
    return False, 10


def _float(text: str) -> float:
    value = float(text)
    digits = re.split("[eE]", text)[0]
    if math.isinf(value):
        raise _refusal("wrong-value", f"`{text}` is larger than any number a computer works with")
    if value == 0 and re.search("[1-9]", digits):
        raise _refusal("wrong-value", f"`{text}` is so small that a computer takes it for 0")
    return value


def _refusal(rule: str, message: str, help: str | None = None) -> ProblemsFound:
    help = help or "write a finite number such as 0.01"
    return ProblemsFound([Problem(rule, shortened(message, 200), help)])
