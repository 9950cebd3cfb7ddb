"""What archspec says about a spec: where it is, what is wrong, what to do.

A `Problem` is raised or returned by whoever finds it and names its rule by the bad pattern
("non-integer-output"). `archspec.rules` turns it into a `Diagnostic`: code, severity and
the place in the file are added there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

# From how many candidates on a suggestion is looked for among the likeliest alone.
MANY = 500

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True, eq=False)
class SourceText:
    """The text that a place is in: the file's name as messages show it, its lines, its path."""

    name: str
    lines: tuple[str, ...]
    path: Path | None = None

    def line(self, number: int) -> str | None:
        """Line `number` (from 1) of the text, or None past its end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else None


@dataclass(slots=True, unsafe_hash=True)
class Span:
    """A place in a text: 1-based lines and columns, the end column exclusive.

    `source` is None for a place in the file that the command was given. Nothing changes one; it
    is not `frozen` because that takes three times as long to make, and a file has thousands.
    """

    line: int
    column: int
    end_line: int
    end_column: int
    source: SourceText | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Fix:
    """One way out of a problem and what it does to the network.

    `title` says the change, `effect` its consequence downstream, `changes` the same as data:
    what is set where: ``{"input.height": 227}`` or ``{"conv1.rounding": "ceil"}``; None removes
    what stands there (``{"variables.unused": None}``), also a layer (``{"relu8": None}``).
    `safe` says that it may be applied with nobody looking: the network, and what the author
    meant by it, stay what they are.
    """

    title: str
    effect: str
    changes: dict[str, Any]
    safe: bool = False

    def to_json(self) -> dict[str, Any]:
        """The fix as in the `fixes` of a diagnostic."""
        return {
            "title": self.title,
            "effect": self.effect,
            "changes": self.changes,
            "safe": self.safe,
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding before it has a code and a place.

    Where it points: `span` when the finder knows the place; otherwise `layer` and `field`,
    from which the place is looked up in the source. `uses` are the places that brought it there,
    the nearest first: where a block is used, and where the block is used that uses it.
    """

    rule: str
    message: str
    help: str | None = None
    span: Span | None = None
    layer: str | None = None
    field: str | None = None
    fixes: tuple[Fix, ...] = ()
    severity: Severity | None = None
    uses: tuple[Span, ...] = ()

    @property
    def identity(self) -> tuple[object, ...]:
        """What two findings share that say the same of the same text.

        A line of a block stands for several layers; what is wrong with it is said once.
        """
        message = self.message.replace(self.layer, "") if self.layer else self.message
        source = id(self.span.source) if self.span and self.span.source else 0
        return (self.rule, self.severity, message, self.span, source)


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, for people: where a block is used that something is wrong in."""

    file: str
    line: int
    column: int
    end_column: int
    source_line: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A finding as the user sees it."""

    code: str
    name: str
    severity: Severity
    message: str
    help: str | None
    layer: str | None
    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    fixes: tuple[Fix, ...] = ()
    uses: tuple[Place, ...] = ()
    source_line: str | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The diagnostic as in the `diagnostics` list of ``analyze --format json``."""
        return {
            "code": self.code,
            "name": self.name,
            "severity": self.severity,
            "layer": self.layer,
            "message": self.message,
            "help": self.help,
            "fixes": [fix.to_json() for fix in self.fixes],
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "used_at": [
                {"file": use.file, "line": use.line, "column": use.column} for use in self.uses
            ],
        }


@dataclass(frozen=True, slots=True)
class Silenced:
    """A warning or a note that the spec calls meant, and its reason."""

    diagnostic: Diagnostic
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The diagnostic as in the `silenced` list of ``analyze --format json``."""
        return {**self.diagnostic.to_json(), "reason": self.reason}


class ProblemsFound(Exception):
    """Raised inside archspec when a stage cannot go on; carries every problem found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.message for problem in self.problems))


class SpecError(ValueError):
    """A spec that cannot be used. `diagnostics` says why, with file, line and column."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__(
            "\n".join(
                f"{d.file}:{d.line}:{d.column}: {d.severity}[{d.code}] {d.message}"
                for d in self.diagnostics
            )
        )


class ArchspecError(Exception):
    """Something outside a spec stops the work: a missing package, folder or option.

    The command line prints the message in one line and exits with status 2.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A suggestion such as "did you mean `kernel_size`?", or None when nothing is near."""
    folded = {candidate.lower(): candidate for candidate in known}
    if len(folded) > MANY:
        # Comparing with every layer of a huge network takes too long: the likeliest will do.
        start = word[:1].lower()
        folded = {
            name: candidate
            for name, candidate in folded.items()
            if name[:1] == start and abs(len(name) - len(word)) < 2
        }
    import difflib  # here, because only a mistake needs it

    near = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return f"did you mean `{folded[near[0]]}`?" if near else None


def listing(words: Iterable[str]) -> str:
    """`a`, `b`, `c`: names as they stand in messages."""
    return ", ".join(f"`{word}`" for word in words)


def shortened(text: str, limit: int = 60) -> str:
    """Untrusted text for a message: printable, on one line, at most `limit` characters."""
    printable = "".join(char if char.isprintable() else "?" for char in text[: limit + 1])
    return printable if len(printable) <= limit else printable[: limit - 3] + "..."
