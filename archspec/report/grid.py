"""Rows and columns in the terminal, in at most its width."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style

from archspec.analysis.section import Column

# A text of one line and its style; Rich's own texts take longer to make than to print.
Cell = tuple[str, str]
Rows = Sequence[Sequence[Cell]]

# A column that folds keeps so much as long as another can give way, and so much in any case.
COMFORTABLE = 16
LEAST = 8
# Where a long word may be broken: behind the marks in names and paths.
_WORDS = re.compile(r"\S+")
_PIECES = re.compile(r"[^._/,-]*[._/,-]+|[^._/,-]+")


def natural_widths(columns: Sequence[Column], rows: Rows) -> list[int]:
    """How wide each column is when nothing is wrapped."""
    return [
        max([width_of(column.name), *(width_of(row[i][0]) for row in rows)])
        for i, column in enumerate(columns)
    ]


def width_of(text: str) -> int:
    """The cells of the terminal that a text takes."""
    return len(text) if text.isascii() else cell_len(text)


def total_width(widths: Sequence[int], gap: int) -> int:
    """The width of a line of such columns with `gap` blanks between two."""
    return sum(widths) + gap * (len(widths) - 1)


def print_grid(console: Console, columns: Sequence[Column], rows: Rows) -> None:
    """Print rows below a line of headings, unless no column has one.

    Rich's own table measures and wraps every cell several times, which takes seconds for ten
    thousand rows. Here each cell is measured once, and only those that are too long are wrapped.
    """
    widths = natural_widths(columns, rows)
    gap = 2 if total_width(widths, 2) <= console.width else 1
    _give_way(widths, columns, rows, total_width(widths, gap) - console.width)
    used = {style for row in rows for _, style in row} | {"bold"}
    styles = {style: console.get_style(style) for style in used}
    segments: list[Segment] = []
    if any(column.name for column in columns):
        headings = [(column.name, "bold") for column in columns]
        segments += _lines(columns, widths, gap, headings, styles)
        rule = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * total_width(widths, gap)
        segments += (Segment(rule), Segment.line())
    for row in rows:
        segments += _lines(columns, widths, gap, row, styles)
    # Rich need not look at every line again to find that it fits.
    console.print(Segments(segments), end="", crop=total_width(widths, gap) > console.width)


def _give_way(widths: list[int], columns: Sequence[Column], rows: Rows, excess: int) -> None:
    """Take what is too much from the columns that fold, the widest first.

    As long as that is enough no word is broken, then only where it has marks; at last the columns
    give way from the last one on.
    """
    folding = [i for i, column in enumerate(columns) if column.folds]
    if excess <= 0 or not folding:
        return
    for pattern, least in ((_WORDS, COMFORTABLE), (_WORDS, LEAST), (_PIECES, LEAST)):
        longest = {
            i: max([width_of(columns[i].name), *(_longest(row[i][0], pattern) for row in rows)])
            for i in folding
        }
        while excess > 0:
            wide = [i for i in folding if widths[i] > max(longest[i], least)]
            if not wide:
                break
            widths[max(wide, key=lambda i: widths[i])] -= 1
            excess -= 1
    for i in reversed(folding):
        given = min(max(excess, 0), max(widths[i] - LEAST, 0))
        widths[i] -= given
        excess -= given


def _longest(text: str, pattern: re.Pattern[str]) -> int:
    """The width that the longest part of a text needs on a line of its own."""
    indent = len(text) - len(text.lstrip(" ")) + (2 if pattern is _PIECES else 0)
    return indent + max((width_of(part) for part in pattern.findall(text)), default=0)


def _lines(
    columns: Sequence[Column],
    widths: Sequence[int],
    gap: int,
    row: Sequence[Cell],
    styles: Mapping[str, Style],
) -> list[Segment]:
    """One row, on several lines where a cell does not fit its column."""
    cells = [
        [text] if width_of(text) <= width else wrapped(text, width)
        for (text, _), width in zip(row, widths, strict=True)
    ]
    found: list[Segment] = []
    for number in range(max(map(len, cells))):
        # What has no style is gathered; nothing is written behind the last cell of a line.
        pending, blanks = "", 0
        for lines, width, column, (_, style) in zip(cells, widths, columns, row, strict=True):
            text = lines[number] if number < len(lines) else ""
            if not text:
                blanks += width + gap
                continue
            rest = width - width_of(text)
            before = rest if column.side == "right" else 0
            pending += " " * (blanks + before)
            blanks = rest - before + gap
            if style:
                found += (Segment(pending), Segment(text, styles[style]))
                pending = ""
            else:
                pending += text
        found.append(Segment(pending + "\n"))
    return found


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` cells, indented as its first line is.

    What goes on within a word is indented further.
    """
    indent = " " * min(len(text) - len(text.lstrip(" ")), width // 4)
    further = indent + " " * min(2, width // 4)
    lines: list[str] = []
    line = indent
    for word in text.split():
        joined = f"{line} {word}" if line.strip() else f"{line}{word}"
        if width_of(joined) <= width:
            line = joined
            continue
        if line.strip():
            lines.append(line)
        line = indent
        for part in _PIECES.findall(word):
            if line.strip() and width_of(line + part) > width:
                lines.append(line)
                line = further
            if width_of(line + part) > width:  # too long for any line: cut anywhere
                *full, part = chop_cells(part, width - len(further))
                lines += [line + full[0], *(further + cut for cut in full[1:])]
                line = further
            line += part
    return [*lines, line] if line.strip() else lines
