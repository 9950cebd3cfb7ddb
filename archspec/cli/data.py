"""Prepare images for training, and check what was prepared."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archspec.cli.options import console, print_json, say

if TYPE_CHECKING:
    from archspec.analysis.section import Section

COMMANDS = ("prepare", "check")


class Stored(StrEnum):
    """How images are stored."""

    raw = "raw"
    jpeg = "jpeg"


class DataFormat(StrEnum):
    """Formats of what is said about a store."""

    table = "table"
    json = "json"


FormatOption = Annotated[DataFormat, typer.Option("--format", help="How to print it.")]


def prepare(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC", help="A folder of images, or what `archspec train --data` takes."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", help="The folder of the store: a new one, or one begun.")
    ],
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            min=1,
            help="Scale the shorter side of larger images to so many pixels; no scaling if left "
            "out.",
        ),
    ] = None,
    encoding: Annotated[
        Stored,
        typer.Option("--encoding", help="raw loses nothing; jpeg takes about a sixth of the room."),
    ] = Stored.raw,
    quality: Annotated[
        int | None, typer.Option("--quality", min=1, max=100, help="Of --encoding jpeg: 95.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes; as many as processors if left out."),
    ] = None,
    max_bad: Annotated[
        str,
        typer.Option(
            "--max-bad",
            metavar="N|N%",
            help="How many images may be left out because they cannot be read: 10, or 0.1%.",
        ),
    ] = "0",
    format: FormatOption = DataFormat.table,
) -> None:
    """Decode all images once and store them at the size that training needs.

    `archspec train --data prepared:DIR` then reads them many times faster. Stopped at any moment,
    the same command goes on.

    Example: archspec data prepare photos --size 256 --output photos-256
    """
    from archspec.diagnostics import ArchspecError
    from archspec.report.preparing import PreparingReport
    from archspec.training.preparing import QUALITY, PrepareOptions
    from archspec.training.preparing import prepare as run
    from archspec.training.sources import folder_form, open_source, require_packages

    require_packages("preparing images", array_record="array-record")
    if quality is not None and encoding is not Stored.jpeg:
        raise ArchspecError("--quality is about JPEG; add --encoding jpeg")
    options = PrepareOptions(
        size=size,
        encoding=encoding.value,
        quality=QUALITY if quality is None else quality,
        workers=_processors() if workers is None else workers,
        max_bad=_number_or_share(max_bad),
    )
    found = open_source(folder_form(source) if Path(source).is_dir() else source)
    report = PreparingReport(console(stderr=True))
    try:
        summary = run(found, output, options, report)
    except KeyboardInterrupt:
        report.interrupted()
        raise
    finally:
        report.close()
    if format is DataFormat.json:
        print_json(summary.to_json())
    else:
        _print(summary.manifest.sections(output))


def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A prepared store.")],
    format: FormatOption = DataFormat.table,
) -> None:
    """Read a prepared store and compare the checksum of every shard.

    Example: archspec data check photos-256
    """
    import time

    from archspec.report.preparing import PLAIN_EVERY
    from archspec.training.sources.prepared import require_whole

    said = time.monotonic()

    def tell(read: int, shards: int) -> None:
        nonlocal said
        if time.monotonic() - said >= PLAIN_EVERY:
            said = time.monotonic()
            say(f"  {read:,}/{shards:,} shards")

    manifest = require_whole(folder, tell)
    if format is DataFormat.json:
        print_json({"folder": str(folder), **manifest.to_json()})
    else:
        _print(manifest.sections(folder))


def _print(sections: tuple[Section, ...]) -> None:
    from archspec.report.table import print_section

    for section in sections:
        print_section(console(), section)


def _processors() -> int:
    """The processors that this process may use."""
    import os

    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _number_or_share(text: str) -> int | float:
    """10 as a number, 0.1% as a share. Raises ArchspecError."""
    from archspec.diagnostics import ArchspecError, shortened

    number, share = text.removesuffix("%"), text.endswith("%")
    try:
        value = float(number) / 100 if share else int(number)
    except ValueError:
        value = -1
    if not 0 <= value <= (1 if share else float("inf")):
        raise ArchspecError(
            f"--max-bad is a number of images such as 10 or a share such as 0.1%, not "
            f"`{shortened(text)}`"
        )
    return value
