"""Write the model's source and build it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archspec.cli.options import (
    BackendOption,
    OptionalSpecArgument,
    RootOption,
    SetOption,
    SkipOption,
    WeightsOption,
    load,
    opened,
    say,
    spec_or_run,
    unwritable,
)


def build(
    spec: OptionalSpecArgument = None,
    backend: BackendOption = "torch",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="The file to write; NAME_BACKEND.py, or NAME.onnx, when left out."
        ),
    ] = None,
    weights: WeightsOption = None,
    skip: SkipOption = None,
    set_: SetOption = None,
    source_only: Annotated[
        bool,
        typer.Option("--source-only", help="Write the source without running it."),
    ] = False,
    root: RootOption = None,
) -> None:
    """Write the model's source and build it: a class in a file that needs archspec no more.

    For ONNX it is the model itself, with its weights; --source-only writes its text. With --weights
    the weights of a file are written beside the source, in the framework's own format.

    Examples: archspec build --backend torch; archspec build my.yaml --backend keras --output
    net.py; archspec build --backend onnx; archspec build --source-only; archspec build --weights
    runs/mine
    """
    from archspec import api
    from archspec.backends import get_backend
    from archspec.diagnostics import ArchspecError
    from archspec.weights.loading import completed

    if source_only and weights is not None:
        raise ArchspecError("--source-only writes the source alone; leave it out, or --weights")
    graph = api.buildable(load(spec_or_run(spec, weights), set_, None, root))
    chosen = get_backend(backend)
    if not source_only:
        chosen.require()
    values = None
    if weights is not None:
        loaded = api.load_weights(weights, graph, skip=skip or ())
        values = completed(loaded, graph, graph.spec.training.seed if graph.spec.training else 0)
        for note in loaded.notes:
            say(note)
    elif skip:
        raise ArchspecError("--skip is about the weights of a file; say which: --weights FILE")
    whole = bool(chosen.model_file) and not source_only
    default = f"{graph.name}{chosen.model_file}" if whole else chosen.source_file(graph)
    file = output or Path(default)
    beside = None
    if values is not None and not whole:
        if not chosen.weight_files:
            raise ArchspecError(
                f"the {chosen.name} backend has no format for weights; `archspec weights convert` "
                "writes them in that of another"
            )
        beside = file.with_suffix(chosen.weight_files[0])
        if beside == file:
            raise ArchspecError(f"--output is the source, and {file} a name for its weights")
    if not whole:
        source = chosen.emit(graph)
        try:
            with opened(file) as stream:
                stream.write(source)
        except OSError as error:  # a full disk
            raise unwritable(file, error) from None
        print(f"wrote {file}: {chosen.describe(graph, source)}")
    if source_only:
        return
    model = chosen.build(graph)
    if values is not None:
        chosen.load_weights(graph, model, values)
    if whole:
        try:
            print(f"wrote {file}: {chosen.write_model(graph, model, file)}")
        except OSError as error:
            raise unwritable(file, error) from None
    built = sum(weight.size for weight in chosen.save_weights(graph, model).values())
    totals = api.analyze(graph).totals
    expected = totals.trainable_params + totals.non_trainable_params
    print(f"built it: {built:,} numbers in weights and buffers, as the analysis says")
    if built != expected:
        raise RuntimeError(f"the analysis says {expected:,}")
    if values is not None and beside is not None:
        api.save_weights(beside, values, graph)
        print(f"wrote {beside}: its weights, which these lines load")
        print(f"    model = {chosen.class_name(graph)}()")
        print(f"    {chosen.loading(beside)}")
    print(f"run it: {chosen.how_to_run(graph, file)}")
