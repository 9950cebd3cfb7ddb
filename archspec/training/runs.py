"""Runs that were made, one beside the other: how they went, and what was different in them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from archspec import loading
from archspec.analysis.diff import Comparison, compare
from archspec.analysis.diff.changes import flat, text
from archspec.analysis.numbers import printable
from archspec.analysis.section import Column, Section
from archspec.diagnostics import ArchspecError, SpecError, shortened
from archspec.training.checkpoint import RUN, RunFolder, RunRecord, run_around
from archspec.training.options import EpochMetrics
from archspec.training.sources import shown

SCHEMA_VERSION = 1
# What a record has that is no setting: the network is compared layer by layer, and of the data
# its fingerprint says enough.
_NO_SETTING = frozenset({"hash", "classes"})
# Folders below the one in which runs are looked for: runs/, or runs/ with one for each series.
_DEPTH = 2
_FINGERPRINT = 12


@dataclass(frozen=True)
class Run:
    """A run as its folder tells it.

    `name` tells it apart from the others that it is read with. `rows` has an entry for each epoch
    that has ended. `remarks` say what is damaged.
    """

    name: str
    folder: RunFolder
    record: RunRecord
    rows: tuple[EpochMetrics, ...]
    remarks: tuple[str, ...] = ()

    @property
    def last(self) -> EpochMetrics | None:
        """The last epoch, None before the first has ended."""
        return self.rows[-1] if self.rows else None

    @property
    def best(self) -> EpochMetrics | None:
        """The epoch with the highest held-out top-1, the first of several."""
        return max(self.rows, key=lambda row: row.val_top1, default=None)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What it was made with, by dotted key; those of the recipe as in a spec."""
        values: dict[str, Any] = TypeAdapter(RunRecord).dump_python(self.record, mode="json")
        recipe = flat(values.pop("recipe"))
        values["fingerprint"] = values["fingerprint"][:_FINGERPRINT]
        return {key: value for key, value in flat(values).items() if key not in _NO_SETTING} | {
            key: value for key, value in recipe.items() if key != "ignore"
        }

    def to_json(self) -> dict[str, Any]:
        """The run as in the `runs` of ``runs compare --format json``."""
        return {
            "name": self.name,
            "folder": str(self.folder.path),
            "record": TypeAdapter(RunRecord).dump_python(self.record, mode="json"),
            "best_epoch": self.best.epoch if self.best else None,
            "epochs": [_numbers(row) for row in self.rows],
            "remarks": list(self.remarks),
        }


@dataclass(frozen=True)
class Difference:
    """A setting that is not the same in all runs, with its value in each; None where unset."""

    what: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class OtherNetwork:
    """The runs whose network is another than the first run's, and what differs."""

    runs: tuple[str, ...]
    comparison: Comparison


@dataclass(frozen=True)
class Runs:
    """Runs beside one another.

    `unreadable` says of each of the other folders why it is no run. `others` are the networks
    that differ from the first run's.
    """

    runs: tuple[Run, ...]
    unreadable: tuple[str, ...] = ()
    others: tuple[OtherNetwork, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """The settings that are not the same in all."""
        return tuple(
            Difference(key, values)
            for key, values in self._settings.items()
            if any(value != values[0] for value in values)
        )

    @cached_property
    def shared(self) -> dict[str, Any]:
        """The settings that are the same in all and not unset."""
        return {
            key: values[0]
            for key, values in self._settings.items()
            if values[0] is not None and all(value == values[0] for value in values)
        }

    @cached_property
    def _settings(self) -> dict[str, tuple[Any, ...]]:
        keys = dict.fromkeys(key for run in self.runs for key in run.settings)
        return {key: tuple(run.settings.get(key) for run in self.runs) for key in keys}

    def sections(self) -> tuple[Section, ...]:
        """How the runs went, on what, what was different in them, and in their networks."""
        more = (_differing(self),) if len(self.runs) > 1 else ()
        return (self.results, self.made_on, *more)

    @property
    def results(self) -> Section:
        """How they went."""
        return _results(self)

    @property
    def made_on(self) -> Section:
        """Network, backend, engine and data of each."""
        return _made_on(self)

    def to_json(self) -> dict[str, Any]:
        """The document of ``runs compare --format json``, schema version 1."""
        return {
            "schema_version": SCHEMA_VERSION,
            "runs": [run.to_json() for run in self.runs],
            "differences": [
                {"what": difference.what, "values": list(difference.values)}
                for difference in self.differences
            ],
            "networks": [
                {
                    "a": self.runs[0].name,
                    "b": list(other.runs),
                    "verdict": other.comparison.verdict,
                    "function_equal": other.comparison.function_equal,
                }
                for other in self.others
            ],
            "remarks": [*self.remarks, *self.unreadable],
        }


def read(paths: Sequence[Path]) -> Runs:
    """The runs whose folders these are, each once, in this order.

    A path may also be a checkpoint of a run. A folder that cannot be read is told in `unreadable`.
    Raises ArchspecError where none can.
    """
    folders: dict[str, Path] = {}
    for path in paths:
        around = run_around(path)
        folders.setdefault(os.path.realpath(around.path if around else path), path)
    runs: list[Run] = []
    unreadable: list[str] = []
    for path, name in zip(folders.values(), _names(list(folders)), strict=True):
        try:
            runs.append(_read(run_around(path) or RunFolder(path), name))
        except ArchspecError as error:
            unreadable.append(str(error))
    if not runs:
        raise ArchspecError("; ".join(unreadable) or "there is no run to look at")
    others, remarks = _networks(runs)
    return Runs(tuple(runs), tuple(unreadable), others, remarks)


def below(folder: Path) -> list[Path]:
    """The folders of runs in a folder and in its sub-folders, the latest last.

    Raises ArchspecError where there is none.
    """
    try:
        if not folder.is_dir():
            reason = "is not a folder" if folder.exists() else "does not exist"
            raise ArchspecError(
                f"{shown(folder)} {reason}; runs are where `archspec train` made them"
            )
        patterns = ["/".join(["*"] * depth + [RUN]) for depth in range(_DEPTH + 1)]
        found = [file for pattern in patterns for file in folder.glob(pattern)]
        found.sort(key=lambda file: (file.stat().st_mtime, str(file)))
    except OSError as error:
        raise ArchspecError(f"cannot read {shown(folder)}: {error.strerror}") from None
    if not found:
        raise ArchspecError(f"{shown(folder)} has no runs (folders with {RUN})")
    return [file.parent for file in found]


def _read(folder: RunFolder, name: str) -> Run:
    record = folder.record()
    rows, remarks = _rows(folder.path / "metrics.jsonl", name)
    return Run(name, folder, record, rows, remarks)


def _rows(path: Path, name: str) -> tuple[tuple[EpochMetrics, ...], tuple[str, ...]]:
    """The epochs of a `metrics.jsonl` that can be read, and a remark about those that cannot."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return (), ()  # a run that is in its first epoch, or died there
    except OSError as error:
        return (), (f"{name}: cannot read {shown(path)}: {error.strerror}",)
    reader = TypeAdapter(EpochMetrics)
    rows: dict[int, EpochMetrics] = {}
    damaged: list[int] = []
    for number, line in enumerate(lines, start=1):
        try:
            row: EpochMetrics = reader.validate_json(line)
        except ValidationError:
            damaged.append(number)
        else:
            rows[row.epoch] = row
    remarks = []
    if damaged:
        many = len(damaged) > 1
        which = f"lines {damaged[0]} to {damaged[-1]}" if many else f"line {damaged[0]}"
        some = f"{len(damaged):,} of " if many and len(damaged) <= damaged[-1] - damaged[0] else ""
        remarks.append(f"{name}: {some}{which} of {shown(path)} cannot be read and left out")
    return tuple(rows[epoch] for epoch in sorted(rows)), tuple(remarks)


def _names(paths: Sequence[str]) -> list[str]:
    """The shortest ends of different paths that tell them apart: `torch`, `first/run`."""
    parts = [Path(path).parts for path in paths]
    found = []
    for own in parts:
        length = 1
        while sum(other[-length:] == own[-length:] for other in parts) > 1:
            length += 1
        found.append(printable(str(Path(*own[-length:]))))
    return found


def _networks(runs: Sequence[Run]) -> tuple[tuple[OtherNetwork, ...], tuple[str, ...]]:
    """The networks that are not the first run's, and remarks about specs that cannot be read."""
    first = runs[0]
    apart: dict[str, list[Run]] = {}
    for run in runs[1:]:
        if run.record.hash != first.record.hash:
            apart.setdefault(run.record.hash, []).append(run)
    others, remarks = [], []
    for members in apart.values():
        try:
            a, b = (loading.analyze(loading.load(run.folder.spec)) for run in (first, members[0]))
        except (ArchspecError, SpecError) as error:
            reason = shortened(" ".join(str(error).split()), 160)
            remarks.append(
                f"{members[0].name}: the networks differ, and cannot be compared: {reason}"
            )
        else:
            others.append(OtherNetwork(tuple(run.name for run in members), compare(a, b)))
    return tuple(others), tuple(remarks)


def _results(runs: Runs) -> Section:
    rows: list[tuple[str, ...]] = []
    for run in runs.runs:
        epochs = f"{len(run.rows):,}/{run.record.recipe.epochs:,}"
        if run.best is None or run.last is None:
            rows.append((run.name, epochs, *[""] * 6))
            continue
        best, last = run.best, run.last
        rows.append(
            (
                run.name,
                epochs,
                _share(best.val_top1),
                f"{best.epoch:,}",
                _loss(last.train_loss),
                _loss(last.val_loss),
                f"{last.lr:.4g}",
                f"{last.images_per_second:,.0f}",
            )
        )
    columns = (
        Column("run", folds=True),
        Column("epochs", "right"),
        Column("best top-1", "right"),
        Column("in", "right"),
        Column("train loss", "right"),
        Column("held-out", "right"),
        Column("lr", "right"),
        Column("images/s", "right"),
    )
    notes = ["losses, lr and images/s are those of the last epoch"]
    notes += [note for run in runs.runs for note in run.remarks]
    return Section("results", columns, tuple(rows), (*notes, *runs.remarks))


def _made_on(runs: Runs) -> Section:
    rows = [
        (
            run.name,
            printable(run.record.network),
            run.record.backend,
            ", ".join(
                filter(
                    None,
                    (run.record.engine, run.record.device, run.settings.get("execution.precision")),
                )
            ),
            printable(run.record.data),
            f"{run.record.training_images:,}",
        )
        for run in runs.runs
    ]
    columns = (
        Column("run", folds=True),
        Column("network", folds=True),
        Column("backend"),
        Column("engine", folds=True),
        Column("data", folds=True),
        Column("images", "right"),
    )
    return Section("made on", columns, tuple(rows))


def _differing(runs: Runs) -> Section:
    """Each value of a setting that is not the same in all, with the runs that have it."""
    rows: list[tuple[str, ...]] = []
    for difference in runs.differences:
        what = difference.what
        for value in _distinct(difference.values):
            names = [
                run.name
                for run, other in zip(runs.runs, difference.values, strict=True)
                if other == value
            ]
            rows.append((what, said(value), ", ".join(names)))
            what = ""
    for other in runs.others:
        rows.append(("layers", other.comparison.verdict, ", ".join(other.runs)))
    if runs.others:
        note = f"networks are compared with that of {runs.runs[0].name}; `archspec diff` says more"
    elif rows:
        note = "everything else of network, data and recipe is the same in all"
    else:
        note = "nothing: network, data, recipe and backend are the same in all"
    columns = (Column("what differs", folds=True), Column("", folds=True), Column("in", folds=True))
    return Section("what was different", columns, tuple(rows), (note,))


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def said(value: Any) -> str:
    """A setting for people."""
    return printable(text(value))


def _share(value: float) -> str:
    return f"{value:.2%}" if math.isfinite(value) else ""


def _loss(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "not finite"


def _numbers(row: EpochMetrics) -> dict[str, Any]:
    """The figures of an epoch as JSON has them: None for what is no number."""
    return {
        key: value if not isinstance(value, float) or math.isfinite(value) else None
        for key, value in asdict(row).items()
    }
