"""Where labelled images come from: one module a kind.

A new kind is a module here with a `KIND` and its entry in `KINDS`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from archspec.diagnostics import ArchspecError, shortened
from archspec.training.sources import cifar, digits, folder, prepared, synthetic
from archspec.training.sources.base import Kind, Size, Source, shown
from archspec.training.sources.files import SUFFIXES, check_images, images_below, read_image

KINDS: tuple[Kind, ...] = (
    digits.KIND,
    folder.KIND,
    cifar.CIFAR10,
    cifar.CIFAR100,
    prepared.KIND,
    synthetic.KIND,
)
DEFAULT = digits.KIND.name

__all__ = [
    "DEFAULT",
    "KINDS",
    "SUFFIXES",
    "Kind",
    "Size",
    "Source",
    "check_images",
    "folder_form",
    "images_below",
    "open_source",
    "read_image",
    "require_packages",
    "shown",
    "usage",
]


def open_source(data: str) -> Source:
    """The source that `--data` names, such as ``folder:DIR``. Raises ArchspecError."""
    name, colon, rest = data.partition(":")
    for kind in KINDS:
        if kind.name == name and kind.takes(rest if colon else None):
            return kind.open(rest)
    meant = f"; did you mean `{shown(folder_form(data))}`?" if data and Path(data).is_dir() else ""
    raise ArchspecError(f"--data is {usage()}, not `{shortened(data)}`{meant}")


def folder_form(path: str) -> str:
    """What `--data` says for a folder: that of images, or a prepared store."""
    kind = prepared.KIND if prepared.is_store(Path(path)) else folder.KIND
    return f"{kind.name}:{path}"


def require_packages(what: str, **more: str) -> None:
    """Raise ArchspecError, naming the extra to install, where images cannot be read.

    `what` needs them to be; `more` are modules that it needs beside, and their packages.
    """
    needed = {"grain": "grain", "PIL": "pillow", "sklearn": "scikit-learn", **more}
    missing = [name for module, name in needed.items() if not importlib.util.find_spec(module)]
    if missing:
        raise ArchspecError(f"{what} needs {', '.join(missing)}: pip install 'archspec-nn[train]'")


def usage() -> str:
    """What `--data` takes: `digits`, `folder:DIR` or ..."""
    *others, last = (f"`{form}`" for kind in KINDS for form in kind.forms)
    return f"{', '.join(others)} or {last}"
