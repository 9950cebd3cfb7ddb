"""`archspec train` as people call it: exit status, one line for each mistake, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import TINY, checkpoint, metrics, write_spec

from archspec import cli

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Runs `archspec train ARGUMENTS` in a folder with `tiny.yaml`: status, output, errors."""
    write_spec(tmp_path)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["archspec", "train", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capfd.readouterr()
        assert "Traceback" not in printed.out + printed.err
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return call


TRAIN = ("tiny.yaml", "--device", "cpu", "--limit", "60", "--output", "run")


def test_a_run_from_beginning_to_end(command: Command, tmp_path: Path) -> None:
    status, out, err = command(*TRAIN, "--epochs", "2")
    assert (status, err) == (0, "")
    assert out.startswith("tiny, 1,490 parameters\non PyTorch ")
    assert "data digits: 10 classes, 50 training and 10 held-out images\n" in out
    assert re.search(r"^    1/2 .*%.*\n    2/2 .*%", out, re.MULTILINE)
    assert out.endswith(
        "metrics     run/metrics.jsonl\ncheckpoints run/checkpoints, the best is step-00000012\n"
    )

    status, out, err = command("--resume", "run")
    assert (status, err) == (0, "")
    assert "the run has ended; --epochs 3 or more trains it longer\n" in out

    status, out, err = command("--resume", "run", "--epochs", "3")
    assert (status, err) == (0, "")
    assert "going on after epoch 2\n" in out
    assert len(metrics(tmp_path / "run")) == 3


def test_fine_tuning(command: Command, tmp_path: Path) -> None:
    assert command(*TRAIN, "--epochs", "1")[0] == 0
    begin = ("--weights", "run", "--skip", "fc", "--freeze", "con*")
    status, out, err = command(*TRAIN[:-1], "second", "--epochs", "1", *begin)
    assert (status, err) == (0, "")
    assert out.startswith("tiny, 1,490 parameters, 40 of them frozen\n")
    assert (
        "weights run/checkpoints/step-00000006/weights.safetensors (archspec's store)\n"
        "        fc as the spec initialises it\n"
    ) in out
    spec = tmp_path / "tiny.yaml"
    spec.write_text(TINY.replace("filters: 4", "filters: 5"))
    status, _, err = command(*TRAIN[:-1], "third", "--weights", "run", "--skip", "fc")
    assert status == 2
    assert "the file has 4" in err
    assert "everything else fits" not in err


def test_one_epoch_of_twenty_images(command: Command, tmp_path: Path) -> None:
    status, _, err = command("tiny.yaml", "--epochs", "1", "--limit", "20", "--output", "run")
    assert (status, err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--limit", "19"), "--limit 19 is too few for 10 classes"),
        (("--save-every", "never"), "--save-every is a number of steps, such as 500, or a time"),
        (("--lr", "0"), "--lr is a number above 0, not 0"),
        (("--lr", "nan"), "--lr is a number above 0, not nan"),
        (("--lr", "1e6"), "the loss is nan in epoch 1, batch "),
        (("--set", "classes=7"), "the network's output is 7 and the data has 10 classes"),
        (("--data", "folder:nowhere"), "the image folder nowhere does not exist"),
        (("--data", "folder:tiny.yaml"), "the image folder tiny.yaml is not a folder"),
        (("--data", "cifar"), "--data is `digits`, `folder:DIR`, "),
        (("--output", "tiny.yaml"), "tiny.yaml is a file; choose another --output"),
        (("--output", "tiny.yaml/run"), "cannot write tiny.yaml/run: Not a directory"),
        (("--backend", "numpy"), "the numpy backend cannot train; there are `keras`, `torch`"),
        (("--backend", "pytorch"), "there is no backend `pytorch`; did you mean `torch`?"),
        (("--seed", "2147483648"), "--seed 2147483648: "),
        (("--skip", "fc"), "--skip is about the weights of a file; say which: --weights FILE"),
        (("--freeze", "convs"), "--freeze convs: tiny has no weights of that name; did you mean"),
        (("--weights", "nowhere.npy"), "nowhere.npy does not exist"),
        (("--resume", "nowhere"), "nowhere is not the folder of a run (no run.json)"),
    ],
)
def test_mistakes(command: Command, arguments: tuple[str, ...], line: str) -> None:
    spec = () if "--resume" in arguments else ("tiny.yaml", "--device", "cpu")
    status, _, err = command(*spec, *arguments)
    assert status == 2
    assert err.startswith(f"archspec: {line}")
    assert err.count("\n") == 1


def test_resume_with_what_contradicts_it(command: Command) -> None:
    assert command(*TRAIN, "--epochs", "1")[0] == 0
    for arguments, named in [
        (("--limit", "50"), "--limit 60 -> 50"),
        (("--lr", "0.1"), "training.optimizer.learning_rate 0.05 -> 0.1"),
        (("alexnet", "--set", "classes=10"), "input 1, 8, 8 -> 3, 227, 227"),
    ]:
        status, _, err = command("--resume", "run", *arguments)
        assert status == 2
        assert f"--resume goes on with a run as it began: {named}" in err
    assert command(*TRAIN)[2].startswith("archspec: run holds a run; choose another --output")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(command: Command, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    status, _, err = command("tiny.yaml", "--output", "locked/run")
    assert (status, err) == (2, "archspec: cannot write locked/run: Permission denied\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal(tmp_path: Path, number: int, status: int) -> None:
    """No traceback, a whole checkpoint, and the way to go on, which goes on."""
    write_spec(tmp_path, TINY.replace("epochs: 4", "epochs: 100000"))
    process = subprocess.Popen(
        [sys.executable, "-m", "archspec", "train", *TRAIN],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
        # What runs in the background of a script ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    lines = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (lines.exists() and lines.read_text().count("\n") >= 2):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in err
    assert out.endswith("stopped and saved; go on with archspec train --resume run\n")
    state = json.loads((checkpoint(tmp_path / "run") / "state.json").read_text())
    assert state["epoch"] >= 2
