"""The files that a spec names: what it extends, and what it imports blocks from."""

from __future__ import annotations

from pathlib import Path

from archspec import catalog
from archspec.diagnostics import Problem, ProblemsFound, SourceText, did_you_mean, shortened
from archspec.source import Document, parse, read_text

SUFFIXES = (".yaml", ".yml")


class SpecFiles:
    """Opens files next to a spec, in the folder that holds it or below, and nowhere else.

    `root` is that folder; a spec may name files in all of it when it is given, else in the
    spec's own folder and those below. What a shipped spec names lies among the shipped ones.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root.resolve() if root else None
        self._parsed: dict[Path, Document] = {}

    def open(self, path: Path, shown: str) -> Document:
        """The parsed file, read once. Raises ProblemsFound."""
        key = path.resolve()
        if key not in self._parsed:
            self._parsed[key] = parse(read_text(path, shown), shown, key)
        return self._parsed[key]

    def hold(self, path: Path, shown: str, text: str) -> Document:
        """The file as if it held `text`, which is not written to it. Raises ProblemsFound."""
        key = path.resolve()
        self._parsed[key] = parse(text, shown, key)
        return self._parsed[key]

    def base(self, reference: str, origin: SourceText) -> Document:
        """The spec that `origin` extends. Raises ProblemsFound."""
        if reference.endswith(SUFFIXES):
            return self._next_to(reference, origin)
        if reference in catalog.shipped():
            path = catalog.shipped()[reference]
            return self.open(path, catalog.shown(path))
        help_ = did_you_mean(reference, catalog.shipped()) or (
            f"for a file next to this one write `{shortened(reference)}.yaml`"
        )
        message = f"there is no shipped spec `{shortened(reference)}` to extend"
        raise _unreadable(message, help_)

    def imported(self, reference: str, origin: SourceText) -> Document:
        """The file that `origin` imports blocks from. Raises ProblemsFound."""
        if not reference.endswith(SUFFIXES):
            message = f"`{shortened(reference)}` is no YAML file"
            raise _unreadable(message, "name a file next to this one, such as `blocks.yaml`")
        return self._next_to(reference, origin)

    def _next_to(self, reference: str, origin: SourceText) -> Document:
        if origin.path is None:
            message = f"`{shortened(reference)}` cannot be found: the spec is not read from a file"
            raise _unreadable(message)
        root = self._root(origin.path)
        try:
            path = (origin.path.parent / reference).resolve()
            outside = Path(reference).is_absolute() or not path.is_relative_to(root)
        except (OSError, ValueError, RuntimeError) as error:
            raise _unreadable(f"`{shortened(reference)}` is no path ({error})") from None
        if outside:
            raise ProblemsFound(
                [
                    Problem(
                        "file-outside",
                        f"`{shortened(reference)}` lies outside the folder {root.name or root}, "
                        "and a spec reads only what lies in its own",
                        "move the file there, or give the folder that holds both with `--root`",
                    )
                ]
            )
        return self.open(path, _shown(path, reference, origin))

    def _root(self, origin: Path) -> Path:
        """The folder that a file may name others in."""
        shipped = catalog.folder().resolve()
        if origin.is_relative_to(shipped):
            return shipped
        if self.root is not None and origin.is_relative_to(self.root):
            return self.root
        return origin.parent


def _shown(path: Path, reference: str, origin: SourceText) -> str:
    """The file's name in messages: as the spec names it, seen from where that was named."""
    if origin.path is None:
        return reference
    folder = Path(origin.name).parent
    try:
        return str(folder / path.relative_to(origin.path.parent))
    except ValueError:
        return catalog.shown(path)


def _unreadable(message: str, help: str | None = None) -> ProblemsFound:
    return ProblemsFound([Problem("unreadable-file", message, help)])
