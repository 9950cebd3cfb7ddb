"""The formats of weight files: one module each, found by itself.

A module of this folder has `FORMAT`, a `Format`. It imports what the format needs (h5py, protobuf)
inside `read`, so that looking at all formats costs nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from archspec.diagnostics import ArchspecError
from archspec.weights import files
from archspec.weights.files import Head
from archspec.weights.foreign import Foreign


@dataclass(frozen=True, slots=True)
class Format:
    """A format of weight files.

    `name` is what people call it; `suffixes` are its usual endings. `sniff` says whether a file
    is one, by its first bytes or the names in it where it is a zip archive, never by its ending.
    `read` gives its tensors; it raises ArchspecError (`files.refused`, `files.damaged`) for a file
    that is not what it says, and takes memory in proportion to the file at most. `packages` are
    the modules it needs, `extra` brings them.
    """

    name: str
    suffixes: tuple[str, ...]
    sniff: Callable[[Head], bool]
    read: Callable[[Path], Foreign]
    packages: tuple[str, ...] = ("numpy",)
    extra: str = "weights"


@cache
def formats() -> tuple[Format, ...]:
    """Every format, by the name of its module."""
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"{__name__}.{name}").FORMAT for name in modules)


def recognised(path: Path) -> Format:
    """The format of a file by what is in it; the ending decides where several fit.

    Raises ArchspecError where none does, or there is no file.
    """
    head = files.head(path)
    fitting = [format for format in formats() if format.sniff(head)]
    for format in fitting:
        if any(head.path.name.lower().endswith(suffix) for suffix in format.suffixes):
            return format
    if fitting:
        return fitting[0]
    known = ", ".join(f"{f.name} ({', '.join(f.suffixes)})" for f in formats())
    raise files.refused(path, "is no file of weights that archspec knows", f"there are {known}")


def read(path: Path) -> Foreign:
    """The tensors of a file, whatever its format. Raises ArchspecError."""
    format = recognised(path)
    missing = [p for p in format.packages if not _installed(p)]
    if missing:
        raise ArchspecError(
            f"{files.shown(path)} is of the format {format.name}, which needs "
            f"{' and '.join(missing)}: pip install 'archspec-nn[{format.extra}]'"
        )
    found = format.read(path)
    if len(found.tensors) > files.MAX_TENSORS:
        raise files.refused(
            path, f"has {len(found.tensors):,} tensors, more than {files.MAX_TENSORS:,}"
        )
    files.allow_sharing(path, sum(tensor.value.nbytes for tensor in found.tensors))
    return found


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # a parent of `google.protobuf`
        return False
