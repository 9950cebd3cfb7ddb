"""Quantities with units, as people write them: 16 GiB, 192.4 GB/s, 400 Gb/s, 989.4 TFLOP/s."""

from __future__ import annotations

import re
from fractions import Fraction

from archspec.diagnostics import ArchspecError, shortened

# Decimal prefixes (SI) and binary ones (IEC 80000-13).
_PREFIXES = {
    "": 1,
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
}
_QUANTITY = re.compile(
    r"(?P<number>[0-9]{1,20}(\.[0-9]{1,20})?) ?(?P<prefix>([kKMGTP]i?)?)(?P<unit>[A-Za-z/]*)"
)
# How many of the base unit (a byte, a byte a second, an operation a second) each unit is.
_BYTES = {"B": Fraction(1)}
_BYTE_RATES = {
    **dict.fromkeys(("B/s", "Bps"), Fraction(1)),
    **dict.fromkeys(("b/s", "bit/s", "bps"), Fraction(1, 8)),
}
_FLOP_RATES = dict.fromkeys(("FLOP/s", "FLOPS"), Fraction(1))

BYTES = "a number of bytes such as 16GiB or 80GB"
BYTE_RATE = "a bandwidth such as 50GB/s, 25GiB/s or, in bits, 400Gb/s"
FLOP_RATE = "operations a second such as 19.5TFLOP/s"


def parse_bytes(text: str) -> int:
    """16GiB as 17179869184. Raises ArchspecError that says what was expected."""
    return _parse(text, _BYTES, BYTES)


def parse_byte_rate(text: str) -> int:
    """50GB/s or 400Gb/s (bits) as 50000000000 bytes a second. Raises ArchspecError."""
    return _parse(text, _BYTE_RATES, BYTE_RATE)


def parse_flop_rate(text: str) -> int:
    """19.5TFLOP/s as 19500000000000. Raises ArchspecError."""
    return _parse(text, _FLOP_RATES, FLOP_RATE)


def _parse(text: str, units: dict[str, Fraction], expected: str) -> int:
    """The quantity in the base unit of `units`, to the nearest whole one."""
    match = _QUANTITY.fullmatch(text.strip())
    factor = units.get(match["unit"]) if match else None
    if match is None or factor is None:
        raise ArchspecError(f"expected {expected}, not `{shortened(text)}`")
    value = round(Fraction(match["number"]) * _PREFIXES[match["prefix"]] * factor)
    if value < 1:
        raise ArchspecError(f"expected {expected}, and more than nothing; not `{shortened(text)}`")
    return value
