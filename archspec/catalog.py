"""The shipped specs, and how a word on the command line becomes a file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from archspec.diagnostics import Problem, ProblemsFound, Span, did_you_mean, shortened

DEFAULT = "alexnet"
SUFFIX = ".yaml"


@cache
def folder() -> Path:
    """Where the shipped specs stand: inside the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "specs"
    return inside if inside.is_dir() else package.parent / "specs"


@cache
def shipped() -> dict[str, Path]:
    """The shipped specs by name, in alphabetical order."""
    found = {path.stem: path for path in folder().rglob(f"*{SUFFIX}")}
    return dict(sorted(found.items()))


def find(spec: str | Path) -> tuple[Path, str]:
    """The file that `spec` means and the name it has in messages.

    A path that exists, or the name of a shipped spec. Raises ProblemsFound otherwise, with the
    shipped spec that was probably meant.
    """
    text = str(spec)
    path = Path(text)
    if isinstance(spec, str) and text in shipped():
        found = shipped()[text]
        return found, shown(found)
    try:
        exists = path.exists()
    except (OSError, ValueError):
        exists = False
    if exists:
        return path, text
    stem = path.name.removesuffix(SUFFIX).removesuffix(".yml")
    if stem in shipped():
        help_ = f"`{stem}` is a shipped spec: use its name, without folder or suffix"
    else:
        help_ = did_you_mean(stem, shipped()) or (
            "give the path of a YAML file, or a name from `archspec specs`"
        )
    raise ProblemsFound(
        [
            Problem(
                "unreadable-file",
                f"there is no file and no shipped spec `{shortened(text, 200)}`",
                help_,
                span=Span(1, 1, 1, 1),
            )
        ]
    )


def shown(path: Path) -> str:
    """The path relative to the working directory when it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
