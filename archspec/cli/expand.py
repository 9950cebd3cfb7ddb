"""Print the plain spec that a spec amounts to."""

from __future__ import annotations

from archspec.cli.options import (
    InputOption,
    OutputOption,
    RootOption,
    SetOption,
    SpecArgument,
    load,
    result,
)


def expand(
    spec: SpecArgument = "alexnet",
    input: InputOption = None,
    set_: SetOption = None,
    output: OutputOption = None,
    root: RootOption = None,
) -> None:
    """Print the plain spec that a spec amounts to: one line a layer, nothing to look up.

    Variables are filled in, blocks and repetitions unrolled, what it extends and imports is
    part of it. Example: archspec expand resnet50 --set classes=10
    """
    from archspec import api

    text = api.expand(load(spec, set_, input, root))
    with result(output) as stream:
        stream.write(text)
