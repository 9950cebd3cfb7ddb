"""The text of a spec as a document: every key and value knows its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from archspec.diagnostics import ArchspecError, Problem, ProblemsFound, SourceText, Span, shortened
from archspec.source.builder import Builder
from archspec.source.scalars import scalar
from archspec.source.text import check_characters, split_lines
from archspec.source.tree import Document, Node

# The C scanner is about ten times faster; a PyYAML built without libyaml has only the other.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is expected to hold, in the words of messages."""

    name: str
    keys: str
    begin: str


SPEC = Kind(
    "spec", "`name:` and `layers:`", "begin with `archspec: 1`, `name:`, `input:` and `layers:`"
)

# What to do about the scanner's complaints, by a part of them.
_SYNTAX_HELP = {
    "mapping values are not allowed": "quote a text that contains `: `, and indent the keys of "
    "one mapping equally",
    "expected ',' or '}'": "a `{` or a comma is not closed; write `{key: value, key: value}`",
    "expected ',' or ']'": "a `[` or a comma is not closed; write `[value, value]`",
    "cannot start any token": "quote a text that begins with a special character",
    "could not find expected ':'": "a key is followed by `: ` and its value",
    "unexpected end of stream": "a quote or a bracket is not closed",
}


def parse(text: str, file: str, path: Path | None = None, kind: Kind = SPEC) -> Document:
    """Parse YAML text into a Document; its `problems` leave a tree to look for more in.

    `file` is its name in messages; `path`, where it has one, is what it names files next to;
    `kind` is what it is expected to hold.

    Raises ProblemsFound, with all that was found up to there, where they leave none.
    """
    source = SourceText(file, split_lines(text), path)
    check_characters(text, source)
    builder = Builder(source)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        builder.problems.fail(_syntax_problem(error, source))
    except (yaml.YAMLError, UnicodeError) as error:
        message = f"not valid YAML: {shortened(str(error), 200)}"
        builder.problems.fail(Problem("yaml-syntax", message, span=Span(1, 1, 1, 1, source)))
    root = builder.root
    if root is None or (root.entries is None and root.items is None and root.value is None):
        message = f"the file holds no {kind.name}"
        place = Span(1, 1, 1, 1, source)
        builder.problems.fail(Problem("empty-spec", message, kind.begin, span=place))
    if root.entries is None:
        if root.broken:
            raise ProblemsFound(builder.problems.found)
        builder.problems.fail(_no_mapping(root, kind))
    return Document(source, root, tuple(builder.problems.found))


def value(text: str, *, mappings: bool = False) -> Any:
    """The value of a text from the command line: a scalar, or a list such as ``[64, 128]``.

    With `mappings`, it may also be one such as ``{type: cosine}``. Raises ArchspecError where a
    spec would be refused.
    """
    kind = {"[": "a list", "{": "a mapping"}.get(text[:1])
    if kind is None or (kind == "a mapping" and not mappings):
        return scalar(text)
    try:
        document = parse(f"value: {text}", "")
        found = document.root.get("value")
        if document.problems or found is None or len(document.root.entries or {}) != 1:
            raise ProblemsFound(document.problems)
    except ProblemsFound as error:
        reason = error.problems[0].message if error.problems else f"it is not {kind}"
        message = f"`{shortened(text)}` cannot be read as {kind}: {reason}"
        raise ArchspecError(message) from None
    return found.data()


def _no_mapping(root: Node, kind: Kind) -> Problem:
    what = "a list" if root.items is not None else "a single value"
    message = f"a {kind.name} is a mapping of keys such as {kind.keys}, not {what}"
    return Problem("wrong-type", message, kind.begin, span=root.span)


def _syntax_problem(error: yaml.MarkedYAMLError, source: SourceText) -> Problem:
    lines = source.lines
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if line > len(lines):  # the scanner looks one line past the end
        line, column = len(lines), len(lines[-1]) + 1
    message = f"not valid YAML: {shortened(error.problem or 'syntax error', 200)}"
    if error.context:
        message += f" ({shortened(error.context, 200)}"
        if error.context_mark:
            message += f" from line {error.context_mark.line + 1}"
        message += ")"
    help_ = next((text for part, text in _SYNTAX_HELP.items() if part in message), None)
    if "$(" in lines[line - 1][: column - 1]:
        help_ = 'between braces, quote an expression that has brackets or commas: "$(sizes[0])"'
    if "\t" in lines[line - 1]:
        help_ = "YAML indents with spaces; this line has a tab"
    return Problem("yaml-syntax", message, help_, span=Span(line, column, line, column + 1, source))
