"""Whether a run may go on: what was changed since it began, and what it is told now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from archspec import loading
from archspec.analysis.diff import compare
from archspec.analysis.diff.changes import Change, of_recipes, text
from archspec.diagnostics import ArchspecError, shortened
from archspec.graph import Graph
from archspec.spec.recipe import Recipe
from archspec.training.checkpoint import RunRecord, weights_in
from archspec.training.options import RunOptions
from archspec.training.sources import shown

# Differences that a message tells, and characters of each.
TOLD, LENGTH = 8, 400


def require_same_spec(file: Path, before: Graph, now: Graph) -> None:
    """Raise ArchspecError unless the spec in a run's folder is what its checkpoint was made with.

    The number of epochs may be another one.
    """
    found = [
        *network_changes(before, now),
        *recipe_changes(before.spec.training, now.spec.training),
    ]
    if found:
        raise ArchspecError(
            f"{shown(file)} was changed after the run had begun: {_listed(found)}; change it back, "
            "or start a new run with it"
        )


def require_same_run(
    record: RunRecord, given: RunOptions, recipe: Recipe, network: Sequence[str]
) -> None:
    """Raise ArchspecError where an option says something else than what a run began with.

    `recipe` is the run's with what the options replace, `network` tells how a spec that is given
    with its variables differs.
    """
    origin = record.weights
    told: dict[str, tuple[Any, Any]] = {
        "--backend": (record.backend, given.backend),
        "--precision": (
            record.execution.precision,
            None if given.precision == "auto" else given.precision,
        ),
        "--deterministic": (record.execution.deterministic, given.deterministic or None),
        "--data": (record.data, given.data),
        "--limit": (record.limit, given.limit),
        "--weights": (
            origin.file if origin is not None else None,
            None if given.weights is None else str(weights_in(given.weights).absolute()),
        ),
        "--skip": (list(origin.skip) if origin is not None else [], list(given.skip) or None),
        "--freeze": (list(record.freeze), list(given.freeze) or None),
        "--set": (None, dict(given.variables) or None),
        "--output": (_absolute(given.resume), _absolute(given.output)),
    }
    found = [
        _said(f"{option} ", before, now)
        for option, (before, now) in told.items()
        if now is not None and now != before
    ]
    found += [*network, *recipe_changes(record.recipe, recipe)]
    if found:
        raise ArchspecError(
            f"--resume goes on with a run as it began: {_listed(found)}; leave that out, or start "
            "a new run"
        )


def network_changes(before: Graph, now: Graph) -> Iterator[str]:
    """What differs between two networks: `conv1.filters 96 -> 64`; nothing for equal ones."""
    if before.hash == now.hash:
        return
    found = compare(loading.analyze(before), loading.analyze(now))
    for change in found.network:
        yield _change("", change)
    for pair in found.layers:
        if pair.only is not None:
            name, gone = (pair.a, True) if pair.only == "a" else (pair.b, False)
            yield f"{name} {'is gone' if gone else 'is new'}"
            continue
        if pair.a != pair.b:
            yield f"{pair.a} is called {pair.b}"
        # Other shapes follow from the rest.
        changes = (change for change in pair.changes if change.kind != "shape")
        yield from (_change(f"{pair.b}.", change) for change in changes)


def recipe_changes(before: Recipe | None, now: Recipe | None) -> Iterator[str]:
    """What differs between two recipes, but for their number of epochs."""
    for change in of_recipes(before, now):
        if change.what != "epochs" and not change.what.startswith("ignore"):
            yield _change("training.", change)


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


def _change(prefix: str, change: Change) -> str:
    return _said(f"{prefix}{change.what} ", change.a, change.b)


def _said(what: str, before: Any, now: Any) -> str:
    return shortened(f"{what}{_shown(before)} -> {_shown(now)}", LENGTH)


def _shown(value: Any) -> str:
    return "nothing" if value is None or value == [] else text(value)


def _listed(changes: Sequence[str]) -> str:
    more = len(changes) - TOLD
    return ", ".join(changes[:TOLD]) + (f" and {more} more" if more > 0 else "")
