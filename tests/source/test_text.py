"""Reading the file itself: what is no readable text, and where it stops being one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archspec import source
from archspec.diagnostics import Problem, ProblemsFound
from archspec.source import MAX_BYTES


def refusal(path: Path) -> Problem:
    with pytest.raises(ProblemsFound) as caught:
        source.read_text(path, path.name)
    (problem,) = caught.value.problems
    return problem


def test_reads_utf_8_with_and_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    for raw in ("é: 😀\r\n".encode(), b"\xef\xbb\xbf" + "é: 😀\r\n".encode()):
        path.write_bytes(raw)
        assert source.read_text(path, "spec.yaml") == "é: 😀\r\n"


@pytest.mark.parametrize(
    ("raw", "line", "column"),
    [
        (b"\xff\xfea\x00", 1, 1),
        (b"\xfe\xff\x00a", 1, 1),
        (b"a: 1\nb: \xe9\n", 2, 4),
        (b"a: 1\rb: 1\r\n\xc3\xa9\xe2\x80\xa8 x\x80", 4, 3),
        (b"\xef\xbb\xbfab\x80", 1, 3),
        (b"abc\xc3", 1, 4),
        (b"\xed\xa0\x80", 1, 1),
    ],
)
def test_says_where_the_text_ends(tmp_path: Path, raw: bytes, line: int, column: int) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(raw)
    problem = refusal(path)
    assert problem.rule == "not-text"
    assert problem.span is not None
    assert (problem.span.line, problem.span.column) == (line, column)
    assert ("UTF-16" in (problem.help or "")) == (raw[:2] in (b"\xff\xfe", b"\xfe\xff"))


def test_limits_the_size(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"#" * MAX_BYTES)
    assert len(source.read_text(path, "spec.yaml")) == MAX_BYTES
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    assert refusal(path).rule == "limit-exceeded"


def test_refuses_what_is_no_regular_file(tmp_path: Path) -> None:
    assert "directory" in refusal(tmp_path).message
    assert "no such file" in refusal(tmp_path / "missing").message
    assert refusal(tmp_path / ("x" * 5000)).rule == "unreadable-file"
    assert refusal(Path("a\0b")).rule == "unreadable-file"
    (tmp_path / "file").write_bytes(b"")
    assert refusal(tmp_path / "file" / "below").rule == "unreadable-file"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refusal(tmp_path / "pipe").message


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="the system has no /dev/zero")
def test_does_not_read_a_device() -> None:
    assert "no regular file" in refusal(Path("/dev/zero")).message


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read every file"
)
def test_says_that_a_file_is_not_permitted(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    assert "Permission denied" in refusal(path).message


def test_only_what_yaml_calls_a_break_ends_a_line() -> None:
    assert source.split_lines("a\r\nb\rc\nd\x85e\u2028f\u2029g\x0ch\x0bi\x1cj") == (
        *"abcdef",
        "g\x0ch\x0bi\x1cj",
    )
    assert source.split_lines("") == ("",)
    assert source.split_lines("a\n") == ("a", "")
