"""Train a network with the recipe in its spec."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archspec.cli.options import (
    Device,
    OptionalSpecArgument,
    Precision,
    RecipeOption,
    RootOption,
    SetOption,
    SkipOption,
    WeightsOption,
    console,
)


class OnNan(StrEnum):
    """What becomes of a step that leads to NaN or infinity."""

    stop = "stop"
    skip = "skip"


def train(
    spec: OptionalSpecArgument = None,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend", metavar="torch|keras|...", help="The backend; torch if left out."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="KIND[:...]",
            help="`digits`, which it is if left out; `folder:DIR` with one sub-folder a class, or "
            "train/ and val/ with these; `cifar10:DIR`, `cifar100:DIR`; `prepared:DIR`, a store of "
            "`archspec data prepare`; `synthetic`, made-up pictures.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Instead of the recipe's.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Instead of the recipe's.")
    ] = None,
    lr: Annotated[
        float | None, typer.Option("--lr", help="Learning rate instead of the recipe's.")
    ] = None,
    device: Annotated[Device, typer.Option("--device", help="Where to train.")] = Device.auto,
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision",
            help="What products are computed in; weights and sums stay in float32, with float64 in "
            "that. `auto` is "
            "bfloat16 on a GPU that has it, and float32 on a CPU.",
        ),
    ] = Precision.auto,
    compile_: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="Compile the network; chosen if left out.",
            show_default=False,
        ),
    ] = None,
    channels_last: Annotated[
        bool | None,
        typer.Option(
            "--channels-last/--no-channels-last",
            help="Keep maps in memory with their channels last; measured on a GPU if left out.",
            show_default=False,
        ),
    ] = None,
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic",
            help="Equal numbers in every run on the same device, on a GPU too: float32, unless "
            "--precision says more, and kernels that always add in one order.",
        ),
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Instead of the recipe's.")
    ] = None,
    recipe: RecipeOption = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Use at most so many images, held-out ones too."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="The run folder; one in runs/ if left out.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Go on with the run in this folder.")
    ] = None,
    weights: WeightsOption = None,
    skip: SkipOption = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(
            "--freeze",
            metavar="LAYER",
            help="A layer that stays as it begins: fc6, 'conv*'. May be repeated.",
        ),
    ] = None,
    save_every: Annotated[
        str | None,
        typer.Option(
            "--save-every",
            metavar="STEPS|TIME",
            help="Save within an epoch too, after so many steps or such a time: 500, 90s, 1.5h; "
            "10m if left out.",
        ),
    ] = None,
    devices: Annotated[
        int,
        typer.Option(
            "--devices",
            min=1,
            help="Divide each batch among so many devices (Keras on JAX). PyTorch and TensorFlow "
            "take a process for each: docs/distributed.md.",
        ),
    ] = 1,
    shard_model: Annotated[
        bool | None,
        typer.Option(
            "--shard-model/--no-shard-model",
            help="Whether each of several processes holds a part of the model (FSDP); if left out, "
            "where it does not fit into a GPU.",
        ),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Write the figures for TensorBoard too, into the run."),
    ] = False,
    on_nan: Annotated[
        OnNan | None,
        typer.Option(
            "--on-nan",
            help="A step that leads to NaN or infinity ends the run, or is left out; stop if left "
            "out.",
        ),
    ] = None,
    set_: SetOption = None,
    root: RootOption = None,
) -> None:
    """Train a network with the recipe in its spec.

    Examples: archspec train alexnet-small; archspec train --backend keras --epochs 1 --limit 256;
    archspec train my.yaml --data folder:photos; archspec train alexnet --weights bvlc_alexnet.npy
    --skip fc8 --freeze 'conv*'
    """
    from archspec import api
    from archspec.diagnostics import ArchspecError
    from archspec.report.progress import TrainingReport
    from archspec.training.options import RunOptions
    from archspec.training.stopping import Stopped

    if lr is not None and not 0 < lr < float("inf"):
        raise ArchspecError(f"--lr is a number above 0, not {lr:g}")
    report = TrainingReport(console())
    options = RunOptions(
        backend=backend,
        data=data,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=lr,
        device=device.value,
        precision=precision.value,
        compile=compile_,
        channels_last=channels_last,
        deterministic=deterministic,
        seed=seed,
        recipe=api.parse_recipe(recipe or []),
        limit=limit,
        output=output,
        resume=resume,
        variables=api.parse_assignments(set_ or []),
        root=root,
        weights=weights,
        skip=tuple(skip or ()),
        freeze=tuple(freeze or ()),
        save_every=save_every,
        devices=devices,
        shard_model=shard_model,
        on_nan=None if on_nan is None else on_nan.value,
        tensorboard=tensorboard,
    )
    try:
        api.train(spec, options, report)
    except Stopped as stopped:
        report.stopped()
        raise typer.Exit(128 + stopped.signal) from None
    except KeyboardInterrupt:
        report.interrupted()
        raise
    finally:
        report.close()
