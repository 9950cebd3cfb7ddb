"""The first fields of a protocol buffer, by which a format without a signature is recognised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def begins(data: bytes, known: Mapping[int, tuple[int, ...]], needed: set[int]) -> bool:
    """Whether the beginning of a file is that of a message with one of the `needed` fields.

    `known` has the wire types of each field number. Up to the first needed field all are known,
    behind it others may stand.
    """
    seen: set[int] = set()
    try:
        for number, kind in _fields(data):
            if kind not in known.get(number, () if needed.isdisjoint(seen) else (kind,)):
                return False
            seen.add(number)
    except ValueError:
        return False
    return not needed.isdisjoint(seen)


def _fields(data: bytes) -> Iterator[tuple[int, int]]:
    """The number and wire type of each field that begins in `data`, with its length there."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        yield tag >> 3, kind
        if kind == VARINT:
            _, at = _varint(data, at)
        elif kind == LENGTH:
            size, at = _varint(data, at)
            at += size
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise ValueError(kind)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where the next begins; what `data` cuts off counts."""
    value = 0
    for shift in range(0, 64, 7):
        byte = data[at] if at < len(data) else 0
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise ValueError("a number of more than 64 bits")
