"""The backends, found through the entry-point group `archspec.backends`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from archspec import plugins
from archspec.diagnostics import ArchspecError, did_you_mean, listing

if TYPE_CHECKING:
    from archspec.backends.base import Backend, ComparableBackend, TrainableBackend

GROUP = "archspec.backends"


def backend_names() -> tuple[str, ...]:
    """The names of all backends, installed frameworks or not."""
    return tuple(sorted(plugins.find(GROUP)))


@cache
def get_backend(name: str) -> Backend:
    """The backend called `name`. Its framework may be missing: see `Backend.require`."""
    from archspec.backends.base import Backend

    found = plugins.find(GROUP)
    if name not in found:
        suggestion = did_you_mean(name, found) or f"there are {listing(sorted(found))}"
        raise ArchspecError(f"there is no backend `{name}`; {suggestion}")
    backend = found[name].load()
    if not isinstance(backend, Backend):
        raise ArchspecError(
            f"the plug-in {found[name].origin}: {found[name].point.value} must be an object of a "
            "class derived from archspec.backends.base.Backend"
        )
    return backend


def trainable_backends() -> tuple[TrainableBackend, ...]:
    """The backends that can train, installed frameworks or not."""
    from archspec.backends.base import TrainableBackend

    every = (get_backend(name) for name in backend_names())
    return tuple(backend for backend in every if isinstance(backend, TrainableBackend))


def comparable_backends() -> tuple[ComparableBackend, ...]:
    """The backends that tell the output of every layer: those that train first, PyTorch ahead."""
    from archspec.backends.base import ComparableBackend, TrainableBackend

    every = (get_backend(name) for name in reversed(backend_names()))
    found = [backend for backend in every if isinstance(backend, ComparableBackend)]
    return tuple(sorted(found, key=lambda b: not isinstance(b, TrainableBackend)))
