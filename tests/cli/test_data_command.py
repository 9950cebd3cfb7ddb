"""`archspec data` as people call it: what it prints, exit status, Ctrl-C and kill -9."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from PIL import Image

from archspec.diagnostics import ArchspecError
from archspec.training.preparing import PrepareOptions, prepare
from archspec.training.sources import open_source
from archspec.training.sources.prepared import Prepared

Command = Callable[..., tuple[int, str, str]]
PREPARE = ("prepare", "photos", "--size", "8", "--output", "store", "--workers", "1")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archspec_command: Command) -> Command:
    """Runs `archspec data ARGUMENTS` in a folder with `photos`: status, output, errors."""
    monkeypatch.chdir(tmp_path)
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(5):
            image = Image.new("RGB", (20 + number, 16), (number, 100, 200))
            image.save(tmp_path / "photos" / name / f"{number}.png")

    return functools.partial(archspec_command, "data")


def test_prepare_and_check(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    status, out, err = command(*PREPARE)
    assert status == 0
    assert re.search(r"^images +10 in 2 classes: 8 for training, 2 held out$", out, re.MULTILINE)
    assert re.search(r"^stored +raw, shorter side 8 at most$", out, re.MULTILINE)
    assert re.search(r"^mean +1.835, 100, 200$", out, re.MULTILINE)
    lines = err.splitlines()
    assert lines[0].endswith("/photos: 10 images in 2 classes")
    assert lines[1].startswith("to store: 1 shard, 1 worker, about 2.")
    assert re.fullmatch(r"10 images in 0:\d\d, [\d,]+ images/s", lines[2])
    assert command("check", "store") == (0, out, "")
    monkeypatch.setattr("archspec.report.preparing.PLAIN_EVERY", 0.0)
    assert command("check", "store") == (0, out, "  1/1 shards\n")


def test_json(command: Command) -> None:
    status, out, _ = command(*PREPARE, "--format", "json")
    found = json.loads(out)
    assert status == 0
    assert (found["output"], found["done"], found["kept"]) == ("store", 10, 0)
    assert (found["training"], found["held_out"]) == (8, 2)
    size = sum(path.stat().st_size for path in Path("store").glob("*.arrayrecord"))
    assert found["bytes"] == size
    again = json.loads(command("check", "store", "--format", "json")[1])
    assert again["shards"] == found["shards"]


def test_unreadable_images_are_named_by_path(command: Command) -> None:
    Path("photos/cats/1.png").write_bytes(b"nothing")
    status, out, err = command(*PREPARE)
    assert (status, out) == (2, "")
    path = Path("photos/cats/1.png").absolute()
    assert f"unreadable: {path}: it is not a JPEG or PNG file\n" in err
    assert "and --max-bad allows 0; repair them" in err
    status, _, err = command(*PREPARE, "--max-bad", "10%")
    assert status == 0
    assert err.endswith("10 had been stored before\n")


@pytest.mark.parametrize("text", ["", "x", "-1", "-1%", "101%", "nan%", "1.5", "inf"])
def test_what_max_bad_is_not(command: Command, text: str) -> None:
    status, _, err = command(*PREPARE, f"--max-bad={text}")
    assert status == 2
    assert err == (
        "archspec: --max-bad is a number of images such as 10 or a share such as 0.1%, not "
        f"`{text}`\n"
    )


def test_quality_is_about_jpeg(command: Command) -> None:
    assert command(*PREPARE, "--quality", "90")[2] == (
        "archspec: --quality is about JPEG; add --encoding jpeg\n"
    )
    jpeg = ("--encoding", "jpeg", "--quality", "90")
    assert "JPEG of quality 90" in command(*PREPARE, *jpeg)[1]


def test_a_damaged_store(command: Command) -> None:
    command(*PREPARE)
    shard = Path("store/shard-00000-of-00001.arrayrecord")
    shard.write_bytes(shard.read_bytes()[:-1])
    status, out, err = command("check", "store")
    assert (status, out) == (2, "")
    assert err.startswith(f"archspec: the shard {shard} is damaged: it has ")


def test_too_little_room(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: free)
    assert (
        "warning: 1000 B are free, which will not be enough; --encoding jpeg takes about a sixth\n"
        in command(*PREPARE)[2]
    )


def test_without_the_extra(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command(*PREPARE)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *more: None if name in ("PIL", "array_record") else find(name, *more),
    )
    status, _, err = command(*PREPARE)
    assert (status, err) == (
        2,
        "archspec: preparing images needs pillow, array-record: pip install 'archspec-nn[train]'\n",
    )
    with pytest.raises(ArchspecError, match="a prepared store needs array-record: pip install"):
        Prepared(Path("store"))


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Pictures that take some time to prepare, in three shards."""
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    first = tmp_path / "photos" / "a" / "0.png"
    Image.effect_noise((500, 500), 50).save(first)
    for name in ("a", "b"):
        for number in range(1, 100):
            os.link(first, tmp_path / "photos" / name / f"{number}.png")
    return tmp_path


def begun(folder: Path) -> subprocess.Popen[str]:
    """A preparation by two processes that has written its first shard."""
    running = subprocess.Popen(
        [sys.executable, "-m", "archspec", "data", *PREPARE[:-1], "2"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while running.poll() is None and not list(folder.glob("store/shard-*.json")):
        time.sleep(0.01)
    assert running.poll() is None
    return running


def finish(folder: Path) -> None:
    """Go on, and compare with a store that was made without a break."""
    summaries = [
        prepare(open_source(f"folder:{folder}/photos"), folder / name, PrepareOptions(size=8))
        for name in ("store", "other")
    ]
    assert summaries[0].kept > summaries[1].kept == 0
    left, right = (
        {path.name: path.read_bytes() for path in summary.output.iterdir()} for summary in summaries
    )
    assert left == right


@pytest.mark.slow
def test_ctrl_c_ends_with_how_to_go_on(many: Path) -> None:
    running = begun(many)
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert err.endswith("stopped; the same command goes on with the shards that are whole\n")
    assert "Traceback" not in err
    assert not list((many / "store").glob(".*"))
    finish(many)


@pytest.mark.slow
def test_kill_9_leaves_no_process_and_nothing_broken(many: Path) -> None:
    running = begun(many)
    processes = psutil.Process(running.pid).children(recursive=True)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate(timeout=60)
    assert len(processes) >= 2
    assert not psutil.wait_procs(processes, timeout=30)[1]
    with pytest.raises(ArchspecError, match="is not finished"):
        Prepared(many / "store")
    finish(many)
