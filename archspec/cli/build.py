"""Write the model's source and build it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archspec.cli.options import (
    BackendOption,
    RootOption,
    SetOption,
    SpecArgument,
    load,
    opened,
    unwritable,
)


def build(
    spec: SpecArgument = "alexnet",
    backend: BackendOption = "torch",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="The file to write; NAME_BACKEND.py, or NAME.onnx, when left out."
        ),
    ] = None,
    set_: SetOption = None,
    source_only: Annotated[
        bool,
        typer.Option("--source-only", help="Write the source without running it."),
    ] = False,
    root: RootOption = None,
) -> None:
    """Write the model's source and build it: a class in a file that needs archspec no more.

    For ONNX it is the model itself, with its weights; --source-only writes its text.

    Examples: archspec build --backend torch; archspec build my.yaml --backend keras --output
    net.py; archspec build --backend onnx; archspec build --source-only
    """
    from archspec import api
    from archspec.backends import get_backend

    graph = api.buildable(load(spec, set_, None, root))
    chosen = get_backend(backend)
    if not source_only:
        chosen.require()
    whole = bool(chosen.model_file) and not source_only
    default = f"{graph.name}{chosen.model_file}" if whole else chosen.source_file(graph)
    file = output or Path(default)
    if not whole:
        source = chosen.emit(graph)
        with opened(file) as stream:
            stream.write(source)
        print(f"wrote {file}: {chosen.describe(graph, source)}")
    if source_only:
        return
    model = chosen.build(graph)
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
    print(f"run it: {chosen.how_to_run(graph, file)}")
