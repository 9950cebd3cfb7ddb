"""Files and folders that are whole at every moment, whatever ends the process."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from archspec.training import durable

FILES = {"a.bin": b"a" * 5000, "b.txt": b"b"}
OTHERS = {"a.bin": b"A" * 6000, "b.txt": b""}
LIMITS = dict.fromkeys(FILES, 10_000)


class Power(BaseException):
    """The power goes: nothing that cleans up may count on running."""


def whole(folder: Path) -> dict[str, bytes]:
    """The files of a folder that is as its manifest says, which is read without archspec."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    del found["manifest.json"]
    assert manifest == {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in found.items()
    }
    return found


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int | None], list[str]]]:
    """Counts what the module asks of the system, and lets the power go at one of the calls."""

    def arrange(dies_at: int | None) -> list[str]:
        told: list[str] = []

        def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def asked(*arguments: Any, **options: Any) -> Any:
                told.append(name)
                if len(told) - 1 == dies_at:
                    raise Power
                return call(*arguments, **options)

            return asked

        for owner, names in ((os, ("fsync",)), (Path, ("mkdir", "open", "replace"))):
            for name in names:
                monkeypatch.setattr(owner, name, watched(name, getattr(owner, name)))
        return told

    yield arrange
    monkeypatch.undo()


def test_a_folder_is_what_was_written(tmp_path: Path) -> None:
    durable.write_folder(tmp_path / "one", FILES)
    assert whole(tmp_path / "one") == FILES
    durable.require_whole(tmp_path / "one", LIMITS)
    durable.write_folder(tmp_path / "one", OTHERS)
    assert whole(tmp_path / "one") == OTHERS
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize("existed", [False, True], ids=["new", "replaced"])
def test_the_power_may_go_at_any_call(
    existed: bool, tmp_path: Path, calls: Callable[[int | None], list[str]]
) -> None:
    """The folder before is whole, under its name or beside it, or the new one is in its place."""
    if existed:
        durable.write_folder(tmp_path / "all", FILES)
    told = calls(None)
    durable.write_folder(tmp_path / "all", OTHERS)
    count = len(told)
    # Every file and the folders are synchronised before the folder has its name, its name after.
    assert told.count("fsync") == len(OTHERS) + 3
    assert told.count("replace") == (3 if existed else 1)  # aside, in its place, and to be deleted
    for moment in range(count):
        place = tmp_path / str(moment)
        place.mkdir()
        target = place / "it"
        if existed:
            durable.write_folder(target, FILES)
        calls(moment)
        with pytest.raises(Power):
            durable.write_folder(target, OTHERS)
        calls(None)
        found = [whole(path) for path in (target, place / "it.old") if path.exists()]
        if existed:
            assert found
            assert found[0] in (FILES, OTHERS)
        else:
            assert found in ([], [OTHERS])
        durable.write_folder(target, OTHERS)
        assert whole(target) == OTHERS
        assert {path.name for path in place.iterdir()} <= {"it", "it.new.gone", "it.old.gone"}


def test_nothing_has_its_name_before_it_is_on_the_disk(
    tmp_path: Path, calls: Callable[[int | None], list[str]]
) -> None:
    told = calls(None)
    durable.write_folder(tmp_path / "one", FILES)
    assert told[-2:] == ["replace", "fsync"]
    assert told[: told.index("replace")].count("fsync") == len(FILES) + 2
    told = calls(None)
    durable.write_file(tmp_path / "two", b"text")
    assert told == ["open", "fsync", "replace", "fsync"]


@pytest.mark.parametrize("failing", ["write_file", "write_folder"])
def test_a_disk_without_room_leaves_what_was(tmp_path: Path, failing: str) -> None:
    """A real limit of the system, and one that comes with the last byte."""
    path = tmp_path / "it"
    before: Any = b"before" if failing == "write_file" else FILES
    after: Any = b"x" * 3000 if failing == "write_file" else OTHERS
    getattr(durable, failing)(path, before)
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, was[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            getattr(durable, failing)(path, after)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)
    assert (path.read_bytes() if failing == "write_file" else whole(path)) == before
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_a_disk_that_is_full_when_the_folder_is_synchronised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable.write_folder(tmp_path / "it", FILES)

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "synchronise", full)
    with pytest.raises(OSError, match="No space left"):
        durable.write_folder(tmp_path / "it", OTHERS)
    assert whole(tmp_path / "it") == FILES


class TestDamage:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        durable.write_folder(tmp_path / "it", FILES)
        return tmp_path / "it"

    def said(self, folder: Path, limits: dict[str, int] = LIMITS) -> str:
        with pytest.raises(durable.Damaged) as caught:
            durable.require_whole(folder, limits)
        return str(caught.value)

    @pytest.mark.parametrize("place", [0, 2500, 4999])
    def test_one_bit(self, folder: Path, place: int) -> None:
        data = bytearray(FILES["a.bin"])
        data[place] ^= 1
        (folder / "a.bin").write_bytes(data)
        assert self.said(folder) == "a.bin has another SHA-256 than manifest.json says"

    def test_a_cut(self, folder: Path) -> None:
        (folder / "a.bin").write_bytes(b"a" * 4999)
        assert self.said(folder) == "a.bin has 4,999 bytes and manifest.json says 5,000"

    @pytest.mark.parametrize("name", ["a.bin", "manifest.json"])
    def test_a_file_is_missing(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        assert self.said(folder) == f"{name} is missing"

    @pytest.mark.parametrize("name", ["a.bin", "manifest.json"])
    def test_what_is_no_file(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)  # who opens that waits forever
        assert self.said(folder) == f"{name} is no regular file"

    def test_too_much(self, folder: Path) -> None:
        assert "a.bin has 5,000 bytes, more" in self.said(folder, {**LIMITS, "a.bin": 4999})
        (folder / "manifest.json").write_bytes(b" " * (durable.MANIFEST_LIMIT + 1))
        assert self.said(folder).startswith("manifest.json has 65,537 bytes, more than can be")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{",
            "nonsense",
            '{"a.bin": 5}',
            '{"a.bin": {"bytes": -1, "sha256": ""}}',
            "\xff",
        ],
    )
    def test_a_manifest_that_is_none(self, folder: Path, text: str) -> None:
        (folder / "manifest.json").write_bytes(text.encode("latin-1"))
        assert self.said(folder) == "manifest.json is no list of files with sizes and SHA-256"

    @pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "c", ".."])
    def test_a_manifest_that_names_other_files(self, folder: Path, name: str) -> None:
        said = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**said, name: said["a.bin"]}))
        assert self.said(folder) == "manifest.json names files that are not its own"
        del said["a.bin"]
        (folder / "manifest.json").write_text(json.dumps(said))
        assert self.said(folder) == "manifest.json lacks a.bin"


def test_what_is_synchronised_is_all_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what is left of it when a buffer of the process has kept the rest."""
    sizes = []

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        sizes.extend([found.st_size] if stat.S_ISREG(found.st_mode) else [])

    monkeypatch.setattr(os, "fsync", fsync)
    durable.write_file(tmp_path / "a", b"12345")
    assert sizes == [5]
