"""What `archspec runs` finds in the folders of runs, whole and damaged."""

from __future__ import annotations

import csv
import functools
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_runs import make_run, row
from rich.console import Console

import archspec
from archspec.diagnostics import ArchspecError
from archspec.report.runs import print_runs, to_csv, to_json, to_markdown
from archspec.training.runs import Runs, below, read


def shown(runs: Runs, width: int = 80) -> str:
    stream = io.StringIO()
    print_runs(Console(file=stream, width=width), runs)
    return stream.getvalue()


def test_figures_are_those_of_the_best_and_of_the_last_epoch(tmp_path: Path) -> None:
    rows = [
        row(1, val_top1=0.5),
        row(2, val_top1=0.75),
        row(3, val_top1=0.75),
        row(4, val_top1=0.7),
    ]
    runs = read([make_run(tmp_path / "first", rows)])
    (run,) = runs.runs
    assert (run.name, run.best, run.last) == ("first", rows[1], rows[3])
    line = shown(runs).splitlines()[3]
    assert line.split() == ["first", "4/4", "75.00%", "2", "0.125", "0.1562", "0.005", "104"]


def test_what_was_different(tmp_path: Path) -> None:
    recipe = {"optimizer": {"type": "sgd", "learning_rate": 0.1}, "seed": 7}
    runs = read(
        [
            make_run(tmp_path / "a"),
            make_run(tmp_path / "b", recipe=recipe, backend="keras", engine="Keras"),
            make_run(tmp_path / "c", recipe=recipe),
        ]
    )
    assert {found.what: found.values for found in runs.differences} == {
        "backend": ("torch", "keras", "torch"),
        "engine": ("PyTorch 2.13.0", "Keras", "PyTorch 2.13.0"),
        "optimizer.learning_rate": (0.05, 0.1, 0.1),
        "optimizer.momentum": (0.9, 0.0, 0.0),
        "seed": (0, 7, 7),
    }
    assert runs.shared["batch_size"] == 8
    assert runs.shared["data"] == "digits"
    assert "seed" not in runs.shared
    assert runs.others == ()
    text = shown(runs)
    assert "optimizer.learning_rate  0.05" in text
    assert text.endswith("everything else of network, data and recipe is the same in all\n")


def test_a_setting_that_one_run_lacks_is_a_difference(tmp_path: Path) -> None:
    constant = {"schedule": {"type": "constant"}}
    runs = read([make_run(tmp_path / "a"), make_run(tmp_path / "b", recipe=constant)])
    values = {found.what: found.values for found in runs.differences}
    assert values["schedule.factor"] == (0.1, None)
    assert values["schedule.epochs"] == ([3], None)


def test_networks_that_differ_are_compared_with_the_first(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / n, filters=f) for n, f in zip("abcd", (4, 5, 4, 5), strict=True)]
    runs = read(folders)
    (other,) = runs.others
    assert other.runs == ("b", "d")
    assert other.comparison.difference("params") == 5 * 10 + 3 * 181 - 4 * 10 - 3 * 145
    assert other.comparison.verdict.startswith("Different networks: 4 layers in both (")
    found = json.loads(to_json(runs))
    assert found["networks"] == [
        {
            "a": "a",
            "b": ["b", "d"],
            "verdict": other.comparison.verdict,
            "function_equal": False,
        }
    ]


def test_runs_that_have_not_ended(tmp_path: Path) -> None:
    runs = read([make_run(tmp_path / "none", 0), make_run(tmp_path / "one", 1)])
    (tmp_path / "none" / "metrics.jsonl").unlink()
    assert read([tmp_path / "none"]).runs[0].rows == ()
    lines = shown(runs).splitlines()
    assert lines[3].split() == ["none", "0/4"]
    assert lines[4].split()[:2] == ["one", "1/4"]
    assert json.loads(to_json(runs))["runs"][0]["best_epoch"] is None


def test_damaged_lines_are_left_out_and_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join([lines[0], "\0\n", lines[2], lines[3][:20]]))
    runs = read([folder])
    assert [one.epoch for one in runs.runs[0].rows] == [1, 3]
    assert runs.runs[0].remarks == (
        f"run: 2 of lines 2 to 4 of {folder}/metrics.jsonl cannot be read and left out",
    )
    # The console breaks the line.
    assert "cannot be read and left out" in " ".join(shown(runs).split())


def test_what_is_not_finite_is_no_number_in_json_and_csv(tmp_path: Path) -> None:
    rows = [row(1), row(2, train_loss=float("nan"), val_loss=float("inf"))]
    runs = read([make_run(tmp_path / "run", rows)])
    found = json.loads(to_json(runs), parse_constant=pytest.fail)
    assert found["runs"][0]["epochs"][1]["train_loss"] is None
    table = list(csv.DictReader(io.StringIO(to_csv(runs))))
    assert [one["val_loss"] for one in table] == ["1.25", ""]
    assert "not finite" in shown(runs)


def test_every_epoch_is_a_row_of_the_csv(tmp_path: Path) -> None:
    runs = read([make_run(tmp_path / "a"), make_run(tmp_path / "=b", 2)])
    table = list(csv.DictReader(io.StringIO(to_csv(runs))))
    assert [(one["run"], one["epoch"]) for one in table] == [
        *(("a", str(epoch)) for epoch in (1, 2, 3, 4)),
        *(("'=b", str(epoch)) for epoch in (1, 2)),
    ]
    assert float(table[1]["val_top1"]) == 0.75


def test_names_tell_runs_apart(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / name) for name in ("one/run", "two/run", "other")]
    assert [run.name for run in read(folders).runs] == ["one/run", "two/run", "other"]
    again = [folders[0], tmp_path / "one" / ".." / "one" / "run", Path(os.path.relpath(folders[0]))]
    assert [run.name for run in read(again).runs] == ["run"]


def test_a_file_in_a_run_means_the_run(tmp_path: Path) -> None:
    checkpoint = make_run(tmp_path / "run") / "checkpoints" / "step-00000006"
    checkpoint.mkdir(parents=True)
    assert [run.name for run in read([checkpoint]).runs] == ["run"]


def test_twelve_runs_fit_80_columns(tmp_path: Path) -> None:
    folders = [
        make_run(
            tmp_path / f"run-with-a-long-name-{i}",
            [row(e, images_per_second=98765.4, val_top1=1.0, lr=0.000123456) for e in (1, 1000)],
            recipe={"seed": i, "epochs": 1000},
            engine="Keras 3.15.1 on tensorflow",
            name="alexnet-with-a-long-name",
            data=f"folder:/somewhere/{'deep/' * 10}photos",
        )
        for i in range(12)
    ]
    text = shown(read(folders))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("100.00%") == 12
    assert "1,000" in text


def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    good = make_run(tmp_path / "good")
    (tmp_path / "empty").mkdir()
    damaged = make_run(tmp_path / "damaged")
    (damaged / "run.json").write_text("{")
    runs = read([tmp_path / "empty", good, damaged])
    assert [run.name for run in runs.runs] == ["good"]
    assert runs.unreadable[0] == f"{tmp_path}/empty is not the folder of a run (no run.json)"
    assert runs.unreadable[1].startswith(f"{tmp_path}/damaged/run.json is damaged: ")
    with pytest.raises(ArchspecError, match="is not the folder of a run"):
        read([tmp_path / "empty"])


def test_a_spec_that_cannot_be_read_any_more(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / "a"), make_run(tmp_path / "b", filters=5)]
    (folders[1] / "spec.yaml").write_text("layers: [")
    runs = read(folders)
    assert runs.others == ()
    (remark,) = runs.remarks
    assert remark.startswith("b: the networks differ, and cannot be compared: ")
    assert "cannot be compared" in shown(runs)


def test_hostile_names_stay_words(tmp_path: Path) -> None:
    name = "a|b\x1b[31m<img src=x>"
    runs = read([make_run(tmp_path / name), make_run(tmp_path / "b")])
    assert "\x1b" not in shown(runs) + to_markdown(runs)
    assert r"a\|b?\[31m\<img src=x>" in to_markdown(runs)


@pytest.fixture
def command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archspec_command: Callable[..., tuple[int, str, str]],
) -> Callable[..., tuple[int, str, str]]:
    """Runs `archspec runs ARGUMENTS` beside the runs `first` and `second`."""
    make_run(tmp_path / "first")
    make_run(tmp_path / "runs" / "second", recipe={"seed": 1})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    return functools.partial(archspec_command, "runs")


def test_the_command(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    status, out, err = command("compare", "first", "runs/second")
    assert (status, err) == (0, "")
    assert out == shown(read([Path("first"), Path("runs/second")]))
    status, out, _ = command("compare", "first", "--format", "json")
    assert (status, json.loads(out)["runs"][0]["name"]) == (0, "first")
    status, out, err = command("list")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines() if "4/4" in line] == ["second"]
    assert "what was different" not in out
    _, out, _ = command("list", ".", "--format", "json")
    assert {run["name"] for run in json.loads(out)["runs"]} == {"first", "second"}


@pytest.mark.parametrize(
    ("file", "begins"),
    [
        ("page.html", "<!DOCTYPE html>"),
        ("curves.svg", "<svg"),
        ("runs.json", "{"),
        ("runs.csv", "run,epoch,step,"),
        ("runs.md", "## results"),
        ("runs.txt", "results"),
    ],
)
def test_the_ending_says_the_format(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path, file: str, begins: str
) -> None:
    status, out, err = command("compare", "first", "runs/second", "--output", file)
    assert (status, out, err) == (0, "", f"wrote {file}\n")
    assert (tmp_path / file).read_text().startswith(begins)


def test_what_could_be_read_is_printed_before_the_failure(
    command: Callable[..., tuple[int, str, str]],
) -> None:
    status, out, err = command("compare", "nowhere", "first", "neither")
    assert status == 2
    assert out.startswith("results\n")
    assert err.splitlines() == [
        "archspec: nowhere is not the folder of a run (no run.json)",
        "archspec: neither is not the folder of a run (no run.json)",
    ]
    assert command("compare", "nowhere")[::2] == (2, err.splitlines()[0] + "\n")


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("nowhere", "nowhere does not exist; runs are where `archspec train` made them"),
        ("first/run.json", "first/run.json is not a folder; runs are where"),
        ("first/empty", "first/empty has no runs (folders with run.json)"),
    ],
)
def test_there_is_nothing_to_list(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path, folder: str, message: str
) -> None:
    (tmp_path / "first" / "empty").mkdir()
    status, _, err = command("list", folder)
    assert status == 2
    assert err.startswith(f"archspec: {message}")


def test_the_latest_run_is_listed_last(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / place) for place in ("a", "series/b", "c")]
    for seconds, folder in zip((30, 10, 20), folders, strict=True):
        os.utime(folder / "run.json", (seconds, seconds))
    assert [folder.name for folder in below(tmp_path)] == ["b", "c", "a"]


def test_from_python(tmp_path: Path) -> None:
    found: Any = archspec.compare_runs([str(make_run(tmp_path / "run"))])
    assert [run.name for run in found.runs] == ["run"]
