"""`archspec diff` as a command: what it prints where, and its exit status."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from archspec import cli

LAYERS = """\
layers:
  - {name: conv1, type: conv2d, filters: $filters, kernel_size: 3, padding: 1}
  - {name: relu1, type: relu}
  - {name: pool, type: global_avg_pool2d}
  - {name: fc, type: dense, units: 10}
"""
HEAD = """\
archspec: 1
name: net
input: {channels: 3, height: 32, width: 32}
variables: {filters: 8}
"""


Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in a folder with the specs: standard output and standard error."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")

    def command(*arguments: str, status: int = 0) -> tuple[str, str]:
        monkeypatch.setattr("sys.argv", ["archspec", "diff", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        assert (end.value.code or 0) == status, printed.err
        return printed.out, printed.err

    return command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "old.yaml").write_text(HEAD + LAYERS)
    (tmp_path / "new.yaml").write_text(HEAD + LAYERS.replace("units: 10", "units: 20"))
    (tmp_path / "renamed.yaml").write_text(HEAD + LAYERS.replace("conv1", "first"))
    (tmp_path / "bad.yaml").write_text(HEAD + LAYERS.replace("kernel_size", "kernal_size"))
    (tmp_path / "large.yaml").write_text(HEAD + LAYERS.replace("kernel_size: 3", "kernel_size: 99"))
    return tmp_path


def test_two_versions_of_a_file(run: Run) -> None:
    out, err = run("old.yaml", "new.yaml")
    assert err == ""
    assert out.startswith("Different networks: 4 layers in both (1 changed).\n")
    # (8 + 1) numbers a unit
    assert re.search(r"^fc +\+90  \(8 \+ 1\)\*10 -> \(8 \+ 1\)\*20$", out, re.MULTILINE)
    assert run("old.yaml", "old.yaml") == ("The same network.\n", "")
    out, _ = run("old.yaml", "renamed.yaml")
    assert out.startswith("The same network, under other names.\n")


def test_budgets(run: Run) -> None:
    files = ("old.yaml", "new.yaml")
    run(*files, "--fail-on", "params>90", "--fail-on", "layers")
    _, err = run(*files, "--fail-on", "params", "--fail-on", "shapes", status=1)
    assert err.splitlines() == [
        "archspec: differs in what --fail-on params watches: 314 in A, 404 in B (+90)",
        "archspec: differs in what --fail-on shapes watches: fc",
    ]
    out, err = run(*files, "--fail-on", "params>5%", "--format", "json", status=1)
    document = json.loads(out)
    assert [entry["condition"] for entry in document["failures"]] == ["params>5%"]
    out, _ = run(*files, "--fail-on", "params", "--format", "markdown", status=1)
    assert "Fails on `params`: 314 in A, 404 in B (+90)" in out
    _, err = run(*files, "--fail-on", "parms", status=2)
    assert err == "archspec: --fail-on knows no `parms`; did you mean `params`?\n"


def test_specs_with_errors(run: Run) -> None:
    out, err = run("bad.yaml", "nothing.yaml", status=1)
    assert out == ""
    assert "AS010" in err
    assert "AS001" in err
    out, err = run("old.yaml", "large.yaml", status=1)
    assert "AS102" in err
    assert out.startswith("Different networks:")
    out, err = run("large.yaml", "large.yaml", status=1)
    assert out == "The same network.\n"
    assert err.count("AS102") == 1


def test_variables_and_inputs(run: Run) -> None:
    out, _ = run("old.yaml", "old.yaml", "--set", "filters=4")
    assert out == "The same network.\n"
    out, _ = run("old.yaml", "old.yaml", "--set-b", "filters=16")
    assert "conv1  filters  8  16" in out
    out, _ = run("old.yaml", "old.yaml", "--input", "3x16x16", "--input-b", "3x8x8")
    assert out.startswith("The same layers on another input.")
    assert "3 x 16 x 16  3 x 8 x 8" in out
    _, err = run("old.yaml", "old.yaml", "--set-a", "filter=16", status=1)
    assert "filter" in err


def test_output_goes_to_a_file(run: Run, folder: Path) -> None:
    for form in ("table", "json", "markdown"):
        shown, _ = run("old.yaml", "new.yaml", "--format", form)
        arguments = ("old.yaml", "new.yaml", "--format", form, "--output", "found")
        assert run(*arguments) == ("", "wrote found\n")
        assert (folder / "found").read_text() == shown
