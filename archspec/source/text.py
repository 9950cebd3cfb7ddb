"""A spec file's text: reading it, its lines, and where in it a character stands."""

from __future__ import annotations

import codecs
import re
import stat
from dataclasses import replace
from pathlib import Path

from archspec.diagnostics import Problem, ProblemsFound, SourceText, Span, shortened

MAX_BYTES = 8 * 1024 * 1024

# Only what YAML calls a line break counts: str.splitlines would also break at form feeds and
# the like, and then no line number after one would be right.
BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_NOT_PRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"  # YAML 1.1, section 4.1
)
_START = Span(1, 1, 1, 1)


def split_lines(text: str) -> tuple[str, ...]:
    """The lines of a text, as YAML counts them."""
    return tuple(BREAK.split(text))


def place(text: str, index: int) -> Span:
    """Line and column of the character at `index`."""
    lines = split_lines(text[:index])
    line, column = len(lines), len(lines[-1]) + 1
    return Span(line, column, line, column + 1)


def read_text(path: Path, file: str) -> str:
    """The text of a spec file; `file` is its name in messages.

    Raises ProblemsFound when the path is missing, no regular file, unreadable, larger than
    `MAX_BYTES`, or not UTF-8 text.
    """
    name = shortened(file, 200)
    help_ = None
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb") as stream:
                return _decode(stream.read(MAX_BYTES + 1), name)
        if stat.S_ISDIR(mode):
            reason, help_ = "it is a directory, not a spec file", "name one YAML file inside it"
        else:
            # Reading a pipe may wait for ever and a device may have no end.
            reason, help_ = "it is no regular file", "save the spec in a file first"
    except FileNotFoundError:
        reason = "there is no such file"
    except (OSError, ValueError) as error:
        reason = f"it cannot be read ({getattr(error, 'strerror', None) or error})"
    raise ProblemsFound([Problem("unreadable-file", f"{name}: {reason}", help_, span=_START)])


def check_characters(text: str, source: SourceText) -> None:
    """Raise ProblemsFound at the first character that YAML does not allow."""
    found = _NOT_PRINTABLE.search(text)
    if found is not None:
        message = f"the character U+{ord(found[0]):04X} is not allowed in YAML"
        help_ = "remove it; in a quoted text, write it as an escape such as \\x07"
        span = replace(place(text, found.start()), source=source)
        raise ProblemsFound([Problem("not-text", message, help_, span=span)])


def _decode(raw: bytes, name: str) -> str:
    if len(raw) > MAX_BYTES:
        message = f"{name} is larger than {MAX_BYTES // 2**20} MiB"
        help_ = "a network of 10,000 layers takes about 1 MiB"
        raise ProblemsFound([Problem("limit-exceeded", message, help_, span=_START)])
    body = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        offset = len(raw) - len(body) + error.start
        message = f"byte {offset} (0x{raw[offset]:02x}) is not UTF-8 text"
        help_ = "a spec is a YAML text file in UTF-8"
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            help_ = "the file looks like UTF-16; save it as UTF-8"
        before = body[: error.start].decode("utf-8")
        span = place(before, len(before))
        raise ProblemsFound([Problem("not-text", message, help_, span=span)]) from None
