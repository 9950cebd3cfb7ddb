"""The layer types. Each file of this folder that defines classes with a `type` adds them."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import get_args

from archspec.layers.base import Layer


@cache
def layer_types() -> dict[str, type[Layer]]:
    """Every layer type by the name that a spec uses for it, in alphabetical order."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    found: dict[str, type[Layer]] = {}
    pending: list[type[Layer]] = [Layer]
    while pending:
        for child in pending.pop().__subclasses__():
            pending.append(child)
            names = get_args(child.model_fields["type"].annotation)
            if names:
                found[names[0]] = child
    return dict(sorted(found.items()))
