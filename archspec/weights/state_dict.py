"""Tensors under the names of a state dict: `features.0.weight`, `layer1.0.bn1.running_mean`.

What wraps such names is taken off, what is no weight is left out, and both are said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from archspec.diagnostics import shortened
from archspec.weights.foreign import CANONICAL, Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

# What data parallelism, compilation, Lightning and others put before every name.
WRAPPERS = ("module", "model", "_orig_mod", "net", "network", "backbone", "_fsdp_wrapped_module")
# Copies of the weights, averaged over the steps of the training.
_AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged|teacher)([._]|$)|(^|[._])ema_?model")
# Other names of what archspec calls weight and bias: layer scales, and norms written by hand.
_ROLES = {"layer_scale": "weight", "gamma": "weight", "beta": "bias"}
# Counters and other things that torch keeps beside weights.
_COUNTERS = ("num_batches_tracked", "n_averaged", "_extra_state")


def tensors(
    found: Mapping[str, Array], stored: Mapping[str, str] | None = None
) -> tuple[tuple[Tensor, ...], tuple[str, ...]]:
    """The tensors of a state dict in its order, and what was left out or taken off, in sentences.

    `stored` has the number formats that NumPy has not, by name.
    """
    notes: list[str] = []
    counters = [name for name in found if name.rpartition(".")[2] in _COUNTERS]
    names = [name for name in found if name.rpartition(".")[2] not in _COUNTERS]
    if counters:
        kinds = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in counters))
        notes.append(f"Left out: {len(counters)} that count and are no weights ({kinds}).")
    averaged = [name for name in names if _AVERAGED.search(name)]
    if averaged and len(averaged) < len(names):
        names = [name for name in names if not _AVERAGED.search(name)]
        notes.append(
            f"Left out: {len(averaged)} averaged copies of weights "
            f"(such as {shortened(averaged[0])})."
        )
    wrapper = wrapping(names)
    if wrapper:
        notes.append(f"Every name begins with `{shortened(wrapper)}`, which was taken off.")
    stored = stored or {}
    return tuple(
        Tensor(
            name=name,
            layer=name[len(wrapper) :].rpartition(".")[0],
            role=_role(name, found),
            value=_flat(found[name]) if name.endswith("layer_scale") else found[name],
            axes=CANONICAL,
            stored=stored.get(name, ""),
        )
        for name in names
    ), tuple(notes)


def _role(name: str, found: Mapping[str, Array]) -> str:
    """What a tensor is in its layer: the end of its name, or what archspec calls that."""
    layer, _, last = name.rpartition(".")
    role = _ROLES.get(last, last)
    return last if f"{layer}.{role}" in found else role


def _flat(value: Array) -> Array:
    """A number a channel, without the axes that only make it fit a map: C,1,1."""
    return value.reshape(-1) if value.size == max(value.shape, default=0) else value


def wrapping(names: Iterable[str]) -> str:
    """What wraps every name: ``module.model.``; "" for nothing."""
    names = list(names)
    taken = ""
    while names:
        first = names[0][len(taken) :].partition(".")[0]
        more = f"{taken}{first}."
        if first not in WRAPPERS or not all(
            name.startswith(more) and "." in name[len(more) :] for name in names
        ):
            break
        taken = more
    return taken


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts names as people do: `features.2` before `features.10`."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(p[:18]), p[18:]) if p.isdigit() else (0, 0, p) for p in parts if p]
