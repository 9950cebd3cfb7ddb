"""Compare the backends: outputs, gradients and training."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archspec.cli.options import (
    InputOption,
    RecipeOption,
    RootOption,
    SetOption,
    SpecArgument,
    console,
    load,
)
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph


class Precision(StrEnum):
    """Floating-point precisions of `archspec verify`."""

    float64 = "float64"
    float32 = "float32"


class VerifyFormat(StrEnum):
    """Formats of `archspec verify`."""

    table = "table"
    json = "json"


def verify(
    spec: SpecArgument = "alexnet",
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", help="A backend to compare; every installed one if left out."),
    ] = None,
    dtype: Annotated[Precision, typer.Option("--dtype", help="The precision.")] = (
        Precision.float64
    ),
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images at once.")] = 2,
    seed: Annotated[int, typer.Option("--seed", min=0, help="For weights and images.")] = 0,
    steps: Annotated[
        int, typer.Option("--steps", min=0, help="Also compare so many steps of training.")
    ] = 0,
    recipe: RecipeOption = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--source",
            help="An emitted file that was edited by hand: tell which layers the edit changed. It "
            "is executed, so let it be a file that you would run.",
        ),
    ] = None,
    set_: SetOption = None,
    input: InputOption = None,
    format: Annotated[VerifyFormat, typer.Option("--format", help="How to print it.")] = (
        VerifyFormat.table
    ),
    root: RootOption = None,
) -> None:
    """Compare every installed backend with the NumPy reference: outputs, gradients, training.

    Exit status 1 when they differ, with the operation that does. Example: archspec verify
    alexnet --dtype float32 --steps 10; archspec verify alexnet --steps 10 --recipe
    schedule.type=cosine; archspec verify alexnet --source alexnet_torch.py
    """
    from archspec import api
    from archspec.report import verification

    if recipe and not steps:
        raise ArchspecError("--recipe is about training; say how many --steps of it to compare")
    graph = load(spec, set_, input, root)
    if source is not None:
        _verify_source(graph, source, backend, dtype, batch, seed, steps, format)
        return
    found = api.verify(
        api.with_recipe(graph, api.parse_recipe(recipe or [])),
        backends=tuple(dict.fromkeys(backend)) if backend else None,
        dtype=dtype.value,
        batch=batch,
        seed=seed,
        steps=steps,
    )
    if format is VerifyFormat.json:
        print(verification.to_json(found))
    else:
        verification.print_verification(console(), found)
    if not found.equal:
        raise typer.Exit(1)


def _verify_source(
    spec: Graph,
    file: Path,
    backends: list[str] | None,
    dtype: Precision,
    batch: int,
    seed: int,
    steps: int,
    format: VerifyFormat,
) -> None:
    from archspec import api
    from archspec.report import verification

    if dtype is not Precision.float64 or steps:
        raise ArchspecError(
            "--source compares one forward and one backward pass in float64; leave out --dtype and "
            "--steps"
        )
    if backends and len(backends) > 1:
        raise ArchspecError("--source is a file of one backend; give --backend once, or not at all")
    found = api.verify_source(
        spec, file, backend=backends[0] if backends else None, batch=batch, seed=seed
    )
    if format is VerifyFormat.json:
        print(verification.to_json(found))
    else:
        verification.print_edited(console(), found)
    if not found.equal:
        raise typer.Exit(1)
