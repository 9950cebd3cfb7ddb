"""Shapes, parameters, operations, and what contradicts them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archspec.analysis.memory import Optimizer
from archspec.cli.options import (
    InputOption,
    OutputOption,
    RootOption,
    SetOption,
    SpecArgument,
    console,
    load,
    result,
)
from archspec.spec.fields import MAX_SIZE

if TYPE_CHECKING:
    from archspec.analysis import Analysis


class AnalyzeFormat(StrEnum):
    """Formats of `archspec analyze`."""

    table = "table"
    json = "json"
    csv = "csv"
    markdown = "markdown"
    html = "html"


def analyze(
    spec: SpecArgument = "alexnet",
    format: Annotated[AnalyzeFormat, typer.Option("--format", help="How to print it.")] = (
        AnalyzeFormat.table
    ),
    input: InputOption = None,
    set_: SetOption = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch",
            min=1,
            max=MAX_SIZE,
            help="Images at once: 1, or with --devices the recipe's, on each.",
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory", metavar="SIZE", help="The largest batch that trains in it: 16GiB."
        ),
    ] = None,
    optimizer: Annotated[
        Optimizer | None,
        typer.Option("--optimizer", help="Whose state and updates; the recipe's if left out."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="NAME", help="Lower bounds of time on it: h100-sxm."),
    ] = None,
    device_file: Annotated[
        Path | None,
        typer.Option("--device-file", metavar="FILE", help="Figures of devices of your own."),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", metavar="float32|bfloat16|...", help="The precision of --device."),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            "--devices", min=2, max=MAX_SIZE, help="Data-parallel training on so many of --device."
        ),
    ] = None,
    interconnect: Annotated[
        str | None,
        typer.Option(
            "--interconnect",
            metavar="RATE",
            help="Each device's link, one way: 50GB/s, 400Gb/s (bits).",
        ),
    ] = None,
    conventions: Annotated[
        bool,
        typer.Option("--conventions", help="Add what other tools would say, and why."),
    ] = False,
    claims: Annotated[
        bool, typer.Option("--claims", help="With --format csv: the claims, not the layers.")
    ] = False,
    output: OutputOption = None,
    root: RootOption = None,
) -> None:
    """Print every shape, parameter and operation, with the arithmetic and what contradicts it.

    Examples: archspec analyze alexnet; archspec analyze my.yaml --format json;
    archspec analyze alexnet --input 3x224x224; archspec analyze resnet50 --memory 16GiB;
    archspec analyze --device h100-sxm --batch 128;
    archspec analyze --devices 8 --interconnect 50GB/s
    """
    import gc

    from archspec import api

    if claims and format is not AnalyzeFormat.csv:
        from archspec.diagnostics import ArchspecError

        raise ArchspecError(
            "--claims goes with --format csv; the other formats have layers and claims"
        )
    # A network of 10,000 layers is a million objects, and next to none of them is garbage.
    gc.set_threshold(1_000_000)
    graph = load(spec, set_, input, root)
    if batch is None:
        recipe = graph.spec.training
        batch = recipe.batch_size if devices is not None and recipe is not None else 1
    found = api.analyze(graph, batch=batch)
    if memory is not None or optimizer is not None:
        found = _held(found, memory, optimizer)
    if any(x is not None for x in (device, device_file, dtype, devices, interconnect)):
        found = _timed(found, device, device_file, dtype, optimizer, devices, interconnect)
    if conventions:
        found = found.with_reports(api.conventions(found))
    with result(output) as stream:
        if format is AnalyzeFormat.table:
            from archspec.report.table import print_analysis

            print_analysis(console(stream), found)
        else:
            print(_text(found, format, claims=claims), file=stream)
    if found.has_errors:
        raise typer.Exit(1)


def _text(found: Analysis, format: AnalyzeFormat, *, claims: bool) -> str:
    if format is AnalyzeFormat.html:
        from archspec.report.html import to_html

        return to_html(found)
    from archspec.report import export

    to_csv = export.claims_to_csv if claims else export.to_csv
    writers = {"json": export.to_json, "csv": to_csv, "markdown": export.to_markdown}
    return writers[format.value](found)


def _held(found: Analysis, memory: str | None, optimizer: Optimizer | None) -> Analysis:
    """The analysis with a report of what training holds, and how many images fit."""
    from archspec.diagnostics import ArchspecError
    from archspec.spec.quantities import parse_bytes

    try:
        budget = None if memory is None else parse_bytes(memory)
    except ArchspecError as error:
        raise ArchspecError(f"--memory: {error}") from None
    return found.with_reports(found.memory_with(optimizer, budget))


def _timed(
    found: Analysis,
    name: str | None,
    file: Path | None,
    dtype: str | None,
    optimizer: Optimizer | None,
    devices: int | None,
    interconnect: str | None,
) -> Analysis:
    """The analysis with the roofline of a device and, for several of it, the scaling."""
    from archspec.analysis.devices import find_device, parse_dtype
    from archspec.analysis.roofline import roofline
    from archspec.analysis.scaling import scaling
    from archspec.diagnostics import ArchspecError
    from archspec.spec.quantities import parse_byte_rate

    one = roofline(found, find_device(name, file), parse_dtype(dtype), optimizer)
    if devices is None and interconnect is None:
        return found.with_reports(one)
    if devices is None or interconnect is None:
        given, missing, example = (
            ("--interconnect", "--devices", "--devices 8")
            if devices is None
            else ("--devices", "--interconnect", "--interconnect 50GB/s")
        )
        raise ArchspecError(f"{given} needs {missing} too, such as {example}")
    try:
        link = parse_byte_rate(interconnect)
    except ArchspecError as error:
        raise ArchspecError(f"--interconnect: {error}") from None
    return found.with_reports(one, scaling(found, one, devices, link))
