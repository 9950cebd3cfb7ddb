"""The part of a source line that a finding is about, with carets below it."""

from __future__ import annotations

MAX_SOURCE = 160


def excerpt(line: str, column: int, end_column: int | None) -> tuple[str, str]:
    """The source line and the carets below it, both cut to the part that matters.

    Columns count from 1 and the end is exclusive; None is for a place that goes on in the next
    line.
    """
    line = line.replace("\t", " ")
    start = column - 1
    end = end_column - 1 if end_column is not None else len(line)
    end = max(min(end, len(line)), start + 1)
    shift = 0
    if len(line) > MAX_SOURCE:
        shift = max(min(start - 40, len(line) - MAX_SOURCE), 0)
        line = line[shift : shift + MAX_SOURCE]
    line = "".join(char if char.isprintable() else "?" for char in line)
    length = min(end - start, MAX_SOURCE - (start - shift))
    return line, " " * (start - shift) + "^" * max(length, 1)
