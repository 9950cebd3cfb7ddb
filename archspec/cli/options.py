"""What several commands share: options, and how they read and write."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from archspec.diagnostics import ArchspecError
    from archspec.graph import Graph

SpecArgument = Annotated[
    str, typer.Argument(metavar="SPEC", help="A spec file, or the name of a shipped spec.")
]
OptionalSpecArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="SPEC", help="A spec file, or the name of a shipped spec; alexnet if left out."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Set a variable of the spec: classes=10."),
]
RecipeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe",
        metavar="KEY=VALUE",
        help="Another key of the recipe: optimizer.momentum=0.95, schedule.type=cosine, "
        "label_smoothing=0.1. May be repeated.",
    ),
]
InputOption = Annotated[
    str | None,
    typer.Option("--input", metavar="CxHxW", help="Another input shape: 3x224x224."),
]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="The folder in which the spec may name other files; its own.",
    ),
]
BackendOption = Annotated[
    str, typer.Option("--backend", metavar="torch|keras|...", help="The backend.")
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="Weights of any format that is read, or the folder of a run or a checkpoint.",
    ),
]
SkipOption = Annotated[
    list[str] | None,
    typer.Option(
        "--skip",
        metavar="LAYER",
        help="A layer that is left as the spec initialises it: fc8, 'conv*'. May be repeated.",
    ),
]
MeanOption = Annotated[
    str | None,
    typer.Option("--mean", metavar="R,G,B", help="Instead of the recipe's, one a channel."),
]
StdOption = Annotated[
    str | None,
    typer.Option("--std", metavar="R,G,B", help="Instead of the recipe's, one a channel."),
]
RescaleOption = Annotated[
    float | None, typer.Option("--rescale", help="Instead of the recipe's: 0.00392157.")
]
ShortSideOption = Annotated[
    int | None,
    typer.Option(
        "--short-side",
        min=1,
        help="Scale pictures until the shorter side is so long, and cut the middle out: 256.",
    ),
]
OutputOption = Annotated[Path | None, typer.Option("--output", help="Write to this file instead.")]


class Device(StrEnum):
    """Where a network computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    """What a network computes in."""

    auto = "auto"
    float64 = "float64"
    float32 = "float32"
    tf32 = "tf32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class ListFormat(StrEnum):
    """Formats of lists of specs."""

    text = "text"
    json = "json"


def load(spec: str, assignments: list[str] | None, input: str | None, root: Path | None) -> Graph:
    """The network that the arguments of a command mean."""
    from archspec import api

    return api.load(spec, input=input, root=root, **api.parse_assignments(assignments or []))


def spec_or_run(spec: str | None, weights: Path | None) -> str:
    """The spec that a command is about: that of a run whose weights it is given, or AlexNet."""
    from archspec import catalog

    if spec is not None:
        return spec
    if weights is None:
        return catalog.DEFAULT
    from archspec.training.checkpoint import spec_of

    return str(spec_of(weights))


def preprocessing(
    mean: str | None, std: str | None, rescale: float | None, short_side: int | None
) -> dict[str, Any]:
    """The keys of a recipe's preprocessing that the options replace. Raises ArchspecError."""
    given = {
        "mean": _numbers("--mean", mean),
        "std": _numbers("--std", std),
        "rescale": rescale,
        "short_side": short_side,
    }
    return {name: value for name, value in given.items() if value is not None}


def console(file: TextIO | None = None, *, stderr: bool = False) -> Console:
    """Where tables are printed: standard output if nothing else is said."""
    from rich.console import Console

    return Console(file=file, stderr=stderr)


def opened(path: Path) -> TextIO:
    """The file, empty and open for writing. Raises ArchspecError."""
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> ArchspecError:
    """Why a file cannot be written, and what to do."""
    from archspec.diagnostics import ArchspecError

    missing = not path.parent.exists()
    reason = f"there is no folder {path.parent}; make it first" if missing else error.strerror
    return ArchspecError(f"cannot write {path}: {reason}")


@contextmanager
def result(output: Path | None) -> Iterator[TextIO]:
    """Where a result is written: the file, which is then named, or standard output.

    Raises ArchspecError.
    """
    if output is None:
        yield sys.stdout
        return
    from archspec.diagnostics import ArchspecError

    try:
        with opened(output) as stream:
            yield stream
    except OSError as error:  # a full disk shows when the text is written, or not before the end
        raise ArchspecError(f"cannot write {output}: {error.strerror}") from None
    say(f"wrote {output}")


def print_json(document: object) -> None:
    """Print one JSON document and nothing else."""
    import json

    print(json.dumps(document, indent=2))


def say(text: str) -> None:
    """A line that is no result: to standard error."""
    print(text, file=sys.stderr)


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """`123.68,116.779,103.939` as numbers."""
    from archspec.diagnostics import ArchspecError, shortened

    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArchspecError(
            f"{option} takes one number a channel, such as 123.68,116.779,103.939, not "
            f"`{shortened(text)}`"
        ) from None
