"""Compare the backends: outputs, gradients and training."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from archspec.cli.options import InputOption, RootOption, SetOption, SpecArgument, console, load


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
    set_: SetOption = None,
    input: InputOption = None,
    format: Annotated[VerifyFormat, typer.Option("--format", help="How to print it.")] = (
        VerifyFormat.table
    ),
    root: RootOption = None,
) -> None:
    """Compare every installed backend with the NumPy reference: outputs, gradients, training.

    Exit status 1 when they differ, with the operation that does. Example: archspec verify
    alexnet --dtype float32 --steps 10
    """
    from archspec import api
    from archspec.report import verification

    found = api.verify(
        load(spec, set_, input, root),
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
