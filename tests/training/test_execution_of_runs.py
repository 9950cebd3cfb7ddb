"""Whole runs in every precision: what their folders say, and how they go on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file
from small_runs import BACKENDS, DROPOUT, figures, resume, train
from typer.testing import CliRunner

from archspec.backends.base import DEVICES, PRECISIONS
from archspec.cli import app
from archspec.cli.options import Device, Precision
from archspec.diagnostics import ArchspecError
from archspec.training import RunOptions
from archspec.training.options import RunPlan, Silent

both = pytest.mark.parametrize("backend", BACKENDS)
SETTINGS: list[dict[str, Any]] = [
    {"precision": "bfloat16"},
    {"precision": "float16"},
    {"deterministic": True},
]


@pytest.fixture(autouse=True)
def undetermined() -> Iterator[None]:
    """Take back TensorFlow's switch to deterministic kernels, for the tests that follow."""
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework import config

        config.disable_op_determinism()


class Told(Silent):
    """Keeps the plan."""

    def start(self, plan: RunPlan) -> None:
        self.plan = plan


def execution(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())["execution"]
    return found


def last(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    newest = max((folder / "checkpoints").iterdir())
    return load_file(newest / "weights.safetensors"), load_file(newest / "optimizer.safetensors")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"device": "gpu"}, "there is no device `gpu`; there are `auto`, `cpu`, `cuda`"),
        ({"precision": "fp8"}, "there is no precision `fp8`; there are `auto`, `float64`, "),
        ({"on_nan": "skp"}, "--on-nan is one of `stop`, `skip`, not `skp`"),
    ],
    ids=str,
)
def test_what_python_misspells_is_no_default(
    option: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """The command line refuses such names before; nothing is written here either."""
    with pytest.raises(ArchspecError) as caught:
        train(tmp_path, **option)
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "run").exists()


def test_the_command_line_has_the_same_names() -> None:
    assert tuple(map(str, Device)) == DEVICES
    assert tuple(map(str, Precision)) == PRECISIONS


@both
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda chosen: next(iter(chosen.values())))
def test_a_run_says_how_it_computes_and_goes_on_so(
    backend: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    told = Told()
    options = {"backend": backend, "limit": 40, **settings}
    train(tmp_path, DROPOUT, told, epochs=2, output=tmp_path / "whole", **options)
    train(tmp_path, DROPOUT, epochs=1, output=tmp_path / "part", **options)
    resume(tmp_path / "part", epochs=2)
    expected = {
        "precision": settings.get("precision", "float32"),
        "compile": False,
        "channels_last": backend == "keras",
        "deterministic": settings.get("deterministic", False),
    }
    assert execution(tmp_path / "whole") == execution(tmp_path / "part") == expected
    assert told.plan.execution.startswith(expected["precision"])
    assert ("deterministic" in told.plan.execution) == expected["deterministic"]
    assert figures(tmp_path / "whole") == figures(tmp_path / "part")
    for whole, part in zip(last(tmp_path / "whole"), last(tmp_path / "part"), strict=True):
        assert sorted(whole) == sorted(part)
        assert all((part[name] == tensor).all() for name, tensor in whole.items())
    assert {tensor.dtype.name for tensor in whole.values()} <= {"float32", "int32", "int64"}
    assert ("loss_scale" in whole) == (expected["precision"] == "float16")


def test_what_is_not_said_stays_what_it_was(tmp_path: Path) -> None:
    train(tmp_path, limit=40, epochs=1, channels_last=True)
    assert execution(tmp_path / "run")["channels_last"] is True
    resume(tmp_path / "run", epochs=2)
    assert execution(tmp_path / "run")["channels_last"] is True
    resume(tmp_path / "run", epochs=3, channels_last=False)
    assert execution(tmp_path / "run")["channels_last"] is False


def test_the_precision_of_a_run_stays(tmp_path: Path) -> None:
    train(tmp_path, limit=40, epochs=1)
    with pytest.raises(ArchspecError, match=r"--precision float32 -> bfloat16"):
        resume(tmp_path / "run", epochs=2, precision="bfloat16")
    with pytest.raises(ArchspecError, match=r"--deterministic (false|no) -> (true|yes)"):
        resume(tmp_path / "run", epochs=2, deterministic=True)
    resume(tmp_path / "run", epochs=2, precision="float32")


def test_the_words_of_the_command_line() -> None:
    options = RunOptions(
        precision="bfloat16", compile=False, channels_last=True, deterministic=True
    )
    assert options.command("tiny") == [
        "archspec", "train", "tiny", "--precision", "bfloat16", "--no-compile", "--channels-last",
        "--deterministic",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--precision", "fp8"], "fp8"),
        (["--backend", "keras", "--no-channels-last"], "Keras models have channels last"),
    ],
)
def test_what_cannot_be_is_said(words: list[str], said: str, tmp_path: Path) -> None:
    output = ["--limit", "40", "--epochs", "1", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["train", "lenet-5", "--device", "cpu", *output, *words])
    assert result.exit_code != 0
    assert said in result.output + str(result.exception)
    assert not (tmp_path / "out").exists()
