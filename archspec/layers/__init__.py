"""The layer types: those of this folder, and those that installed packages add.

Each file of this folder that defines classes with a `type` adds them. A package announces a class
in the entry-point group `archspec.layers`, under the name that is its `type`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import get_args

from archspec import plugins
from archspec.diagnostics import ArchspecError
from archspec.layers.base import Layer

GROUP = "archspec.layers"


@cache
def own_layer_types() -> Mapping[str, type[Layer]]:
    """The layer types of this folder by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    found: dict[str, type[Layer]] = {}
    pending: list[type[Layer]] = [Layer]
    while pending:
        for child in pending.pop().__subclasses__():
            pending.append(child)
            name = _type_name(child)
            if name and child.__module__.startswith(f"{__name__}."):
                found[name] = child
    return found


@cache
def added_layer_types() -> Mapping[str, plugins.Plugin]:
    """The layer types that plug-ins add, by name. Raises ArchspecError when one is archspec's."""
    added = plugins.find(GROUP)
    for name, plugin in added.items():
        if name in own_layer_types():
            raise ArchspecError(
                f"the layer type `{name}` of the plug-in {plugin.origin} is one of archspec's own; "
                "uninstall the plug-in, or let it choose another name"
            )
    return added


@cache
def layer_type_names() -> tuple[str, ...]:
    """The names of all layer types in alphabetical order; nothing is imported for them."""
    return tuple(sorted([*own_layer_types(), *added_layer_types()]))


def layer_type(name: str) -> type[Layer] | None:
    """The layer type of that name, or None where there is none.

    Raises ArchspecError when it is one of a plug-in that does not keep its promises.
    """
    added = added_layer_types()  # first: a plug-in may claim a name of archspec's
    return _loaded(name) if name in added else own_layer_types().get(name)


@cache
def layer_types() -> dict[str, type[Layer]]:
    """Every layer type by the name that a spec uses for it, in alphabetical order."""
    every = {**own_layer_types(), **{name: _loaded(name) for name in added_layer_types()}}
    return dict(sorted(every.items()))


@cache
def _loaded(name: str) -> type[Layer]:
    plugin = added_layer_types()[name]
    found = plugin.load()
    if not (isinstance(found, type) and issubclass(found, Layer) and _type_name(found) == name):
        raise ArchspecError(
            f"the plug-in {plugin.origin}: {plugin.point.value} must be a class derived from "
            f'archspec.layers.base.Layer with `type: Literal["{name}"]`'
        )
    return found


def _type_name(layer: type[Layer]) -> str | None:
    return next(iter(get_args(layer.model_fields["type"].annotation)), None)
