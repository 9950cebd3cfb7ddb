"""What data sheets say of GPUs and CPUs: peak rates, memory bandwidth, memory.

The shipped figures stand in `devices.yaml` beside this module; a file of the same form adds
others, or replaces them by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, get_args

from pydantic import BeforeValidator, Field, model_validator

from archspec.diagnostics import (
    ArchspecError,
    Problem,
    ProblemsFound,
    did_you_mean,
    listing,
    shortened,
)
from archspec.source import Kind, parse, read_text
from archspec.spec.fields import MAX_NAME, SpecModel, wrong_type, wrong_value
from archspec.spec.quantities import (
    BYTE_RATE,
    BYTES,
    FLOP_RATE,
    parse_byte_rate,
    parse_bytes,
    parse_flop_rate,
)
from archspec.spec.reading import read

DType = Literal["float64", "float32", "tf32", "bfloat16", "float16"]
DTYPES: tuple[DType, ...] = get_args(DType)

# Bytes in memory. TF32 is a mode of matrix units: its numbers are stored in 32 bits.
BYTES_PER_ELEMENT: Mapping[DType, int] = {
    "float64": 8,
    "float32": 4,
    "tf32": 4,
    "bfloat16": 2,
    "float16": 2,
}
_KIND = Kind(
    "set of devices",
    "`devices:`",
    "begin with `devices:` and `- {name: mine, peak: {float32: 10TFLOP/s}, "
    "bandwidth: 500GB/s, source: its data sheet}`",
)
SHIPPED = Path(__file__).with_name("devices.yaml")
DEFAULT = "h100-sxm"


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU or CPU.

    `peak` has floating-point operations a second (a multiply-add is two) by precision, dense:
    without what sparsity would add. `bandwidth` is that of its memory in bytes a second,
    `memory` its size in bytes, None where it has no fixed one. `source` names where the figures
    are printed, `note` says which of them are worked out, and how.
    """

    name: str
    title: str
    peak: Mapping[DType, int]
    bandwidth: int
    memory: int | None
    source: str
    note: str | None = None

    def peak_of(self, dtype: DType) -> int:
        """Operations a second at a precision. Raises ArchspecError where no figure is known."""
        if dtype not in self.peak:
            raise ArchspecError(
                f"the figures of {self.name} have no peak for {dtype}; it has "
                f"{listing(self.peak)}: choose one with --dtype, or add the figure in a "
                "--device-file"
            )
        return self.peak[dtype]


def find_device(name: str | None = None, file: Path | None = None) -> Device:
    """A device by its name, from `file` or among the shipped ones.

    Without a name it is the only one of `file`, or DEFAULT. Raises ArchspecError for a name that
    does not exist and for a file that cannot be used.
    """
    added = read_devices(file) if file is not None else {}
    known = {**shipped_devices(), **added}
    if name is None:
        if len(added) > 1:
            raise ArchspecError(f"{file} has {listing(added)}: choose one with --device")
        return next(iter(added.values()), known[DEFAULT])
    word = "-".join(name.lower().split())
    if word in known:
        return known[word]
    begins = [candidate for candidate in known if word and candidate.startswith(word)]
    if begins:
        suggestion = f"did you mean {listing(begins)}? "
    else:
        near = did_you_mean(word, known)
        suggestion = f"{near} " if near else ""
    raise ArchspecError(
        f"there is no device `{shortened(name)}`; {suggestion}known are {', '.join(known)}; "
        "--device-file adds others"
    )


def parse_dtype(text: str | None) -> DType:
    """A precision by its name, float32 where there is none. Raises ArchspecError."""
    if text is None:
        return "float32"
    for dtype in DTYPES:
        if text == dtype:
            return dtype
    suggestion = did_you_mean(text, DTYPES)
    raise ArchspecError(
        f"there is no precision `{shortened(text)}`; "
        f"{suggestion + ' ' if suggestion else ''}known are {listing(DTYPES)}"
    )


@cache
def shipped_devices() -> Mapping[str, Device]:
    """The devices of the package by name, in the order of the file."""
    return read_devices(SHIPPED)


def read_devices(path: Path) -> dict[str, Device]:
    """The devices of a file by name.

    Raises ArchspecError with every problem, each with its file, line and column.
    """
    devices: dict[str, Device] = {}
    try:
        document = parse(read_text(path, str(path)), str(path), kind=_KIND)
        whole, problems = read(_DeviceFile, document.root, "the file")
        problems = [*document.problems, *problems]
        entries = document.root.get("devices")
        for number, node in enumerate(entries.items or () if whole and entries else (), 1):
            entry, more = read(_Entry, node, f"device {number}")
            problems += more
            if entry is not None and entry.name in devices:
                message = f"there are two devices called `{entry.name}`"
                problems.append(Problem("wrong-value", message, span=node.locate(("name",))))
            elif entry is not None:
                devices[entry.name] = entry.device
    except ProblemsFound as error:
        problems = list(error.problems)
    if problems:
        _refuse(path, problems)
    return devices


def _refuse(path: Path, problems: Iterable[Problem]) -> NoReturn:
    lines = []
    for problem in problems:
        help_ = f"; {problem.help}" if problem.help else ""
        place = f"{path}:{problem.span.line}:{problem.span.column}: " if problem.span else ""
        if problem.rule == "unreadable-file":  # its message names the file, and nothing in it
            place = ""
        lines.append(f"{place}{problem.message}{help_}")
    raise ArchspecError("\n  ".join([f"{path} cannot be used", *lines]))


def _quantity(parse: Callable[[str], int], expected: str) -> BeforeValidator:
    """Reads a quantity with its unit; a bare number would leave the unit to be guessed."""

    def validate(value: Any) -> Any:
        if not isinstance(value, str):
            raise wrong_type(expected)
        try:
            return parse(value)
        except ArchspecError:
            raise wrong_value(expected) from None

    return BeforeValidator(validate)


def _name(value: Any) -> Any:
    expected = "a name such as `rtx-4090`: small letters, digits and inner hyphens"
    if not isinstance(value, str):
        raise wrong_type(expected)
    if len(value) > MAX_NAME or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value):
        raise wrong_value(expected)
    return value


_FlopRate = Annotated[int, _quantity(parse_flop_rate, FLOP_RATE)]


class _Peak(SpecModel):
    """Operations a second by precision."""

    float64: _FlopRate | None = None
    float32: _FlopRate | None = None
    tf32: _FlopRate | None = None
    bfloat16: _FlopRate | None = None
    float16: _FlopRate | None = None

    @model_validator(mode="after")
    def _any(self) -> _Peak:
        if all(rate is None for _, rate in self):
            raise wrong_value(f"a rate for at least one of {listing(DTYPES)}")
        return self


class _Entry(SpecModel):
    name: Annotated[str, BeforeValidator(_name)]
    title: str | None = None
    peak: _Peak = Field(description="operations a second by precision: {float32: 10TFLOP/s}")
    bandwidth: Annotated[int, _quantity(parse_byte_rate, BYTE_RATE)] = Field(description=BYTE_RATE)
    memory: Annotated[int, _quantity(parse_bytes, BYTES)] | None = None
    source: str = Field(description="where the figures are printed, such as a data sheet's title")
    note: str | None = None

    @property
    def device(self) -> Device:
        """The entry as a device."""
        rates: dict[DType, int | None] = {dtype: getattr(self.peak, dtype) for dtype in DTYPES}
        return Device(
            self.name,
            self.title or self.name,
            {dtype: rate for dtype, rate in rates.items() if rate is not None},
            self.bandwidth,
            self.memory,
            " ".join(self.source.split()),
            " ".join(self.note.split()) if self.note else None,
        )


class _DeviceFile(SpecModel):
    devices: list[Any] = Field(min_length=1)
