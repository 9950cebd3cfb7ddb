"""Bad input through the command itself: exit status, where the text goes, and no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SPEC = """\
archspec: 1
name: bad
input: {channels: 3, height: 32, width: 32}
layers:
  - {name: conv1, type: conv2d, filters: 4, kernel_size: 3, strides: 2}
"""


def archspec(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "archspec", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in result.stderr + result.stdout
    return result


def test_a_bad_spec_is_shown_with_a_caret(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(SPEC)
    result = archspec("analyze", "bad.yaml", folder=tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0] == "error[AS010] unknown-key: layer `conv1` has no key `strides`"
    assert "--> bad.yaml:5:61" in lines[1]
    caret = next(line for line in lines if "^" in line)
    source = lines[lines.index(caret) - 1]
    assert source.endswith(SPEC.splitlines()[4])
    assert source[caret.index("^") :].startswith("strides")
    assert caret.count("^") == len("strides")
    assert "did you mean `stride`?" in lines[-1]


def test_check_lists_what_is_wrong_as_one_json_document(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(SPEC)
    (tmp_path / "junk.yaml").write_bytes(bytes(range(256)))
    result = archspec("check", "bad.yaml", "junk.yaml", "--format", "json", folder=tmp_path)
    assert result.returncode == 1
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert [(d["code"], d["file"], d["line"], d["column"]) for d in found] == [
        ("AS010", "bad.yaml", 5, 61),
        # byte 128 is the first that is no UTF-8, and the bytes 10 and 13 before it end lines
        ("AS002", "junk.yaml", 3, 128 - 13),
    ]


def test_a_path_that_names_a_shipped_spec_is_understood(tmp_path: Path) -> None:
    result = archspec("analyze", "models/alexnet.yaml", folder=tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert "AS001" in result.stderr
    assert "`alexnet` is a shipped spec" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("analyze", "--formt", "json"), "--format"),
        (("analyze", "--input", "3by224"), "3x224x224"),
        (("analyze", "--set", "classes=1e999"), "larger than any number"),
        (("explain", "AS999"), "no diagnostic"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_a_wrong_command_has_status_2(arguments: tuple[str, ...], said: str) -> None:
    result = archspec(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert said in result.stderr


def test_an_unknown_variable_is_a_problem_of_the_spec() -> None:
    result = archspec("analyze", "--set", "clases=10")
    assert result.returncode == 1
    assert "did you mean `classes`?" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("draw", "--output", "no/such/net.svg"),
        ("build", "--output", "no/such/net.py"),
        ("expand", "--output", "no/such/net.yaml"),
        ("analyze", "--output", "no/such/net.txt"),
        ("diff", "alexnet", "alexnet", "--output", "no/such/net.md"),
    ],
)
def test_a_folder_that_is_missing_is_named(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = archspec(*arguments, folder=tmp_path)
    said = f"archspec: cannot write {arguments[-1]}: there is no folder no/such; make it first\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", said)


@pytest.mark.parametrize("command", ["check", "analyze", "expand", "draw", "diff"])
@pytest.mark.parametrize("root", ["nowhere", "bad.yaml"])
def test_a_root_has_to_be_a_folder(tmp_path: Path, command: str, root: str) -> None:
    (tmp_path / "bad.yaml").write_text(SPEC)
    specs = ["alexnet"] * (2 if command == "diff" else 1)
    result = archspec(command, *specs, "--root", root, folder=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "'--root'" in result.stderr
    assert root in result.stderr


FULL = Path("/dev/full")  # where every write fails as on a full disk


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [("draw",), ("expand",), ("analyze", "--format", "json"), ("diff", "vgg11", "vgg13")],
)
def test_a_full_disk_is_told(arguments: tuple[str, ...]) -> None:
    result = archspec(*arguments, "--output", str(FULL))
    said = f"archspec: cannot write {FULL}: No space left on device\n"
    assert (result.returncode, result.stderr) == (2, said)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [("analyze",), ("check", "alexnet"), ("explain", "AS101")])
def test_a_full_disk_behind_standard_output_is_told(arguments: tuple[str, ...]) -> None:
    with FULL.open("w") as stdout:
        result = subprocess.run(
            [sys.executable, "-m", "archspec", *arguments],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    said = "archspec: cannot write the result: No space left on device\n"
    assert (result.returncode, result.stderr) == (2, said)


@pytest.mark.parametrize(
    ("line", "help_"),
    [
        ("imports: [blocks.yaml]", "{mobile: mobile.yaml}"),
        ("imports: blocks.yaml", "{mobile: mobile.yaml}"),
        ("variables: [classes]", "`$name` stands for"),
    ],
)
def test_a_list_for_a_mapping_gets_the_words_of_the_schema(
    tmp_path: Path, line: str, help_: str
) -> None:
    (tmp_path / "bad.yaml").write_text(SPEC.replace("strides", "stride") + line + "\n")
    result = archspec("check", "bad.yaml", folder=tmp_path)
    assert result.returncode == 1
    assert "error[AS012] wrong-type" in result.stdout
    assert help_ in result.stdout


def test_schema_is_one_json_document() -> None:
    result = archspec("schema")
    assert result.returncode == 0
    assert json.loads(result.stdout)["$schema"].endswith("2020-12/schema")
