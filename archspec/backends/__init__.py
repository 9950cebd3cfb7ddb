"""The backends, found through the entry-point group `archspec.backends`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from archspec.diagnostics import ArchspecError, did_you_mean, listing

if TYPE_CHECKING:
    from archspec.backends.base import Backend, TrainableBackend

GROUP = "archspec.backends"


@cache
def _found() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def backend_names() -> tuple[str, ...]:
    """The names of all backends, installed frameworks or not."""
    return tuple(sorted(_found()))


@cache
def get_backend(name: str) -> Backend:
    """The backend called `name`. Its framework may be missing: see `Backend.require`."""
    points = _found()
    if name not in points:
        suggestion = (
            did_you_mean(name, points) or f"there are {listing(sorted(points))}"
        )
        raise ArchspecError(f"there is no backend `{name}`; {suggestion}")
    backend: Backend = points[name].load()
    return backend


def trainable_backends() -> tuple[TrainableBackend, ...]:
    """The backends that can train, installed frameworks or not."""
    from archspec.backends.base import TrainableBackend

    every = (get_backend(name) for name in backend_names())
    return tuple(backend for backend in every if isinstance(backend, TrainableBackend))
