"""Invalid specs, one a file, each with all the diagnostics that it must give, in order.

`expected.json` lists them by file: code, line, column, and a part of what the message or its
help says. Files under ``generated/`` are too large for the repository, or no files at all, and
are made here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec.diagnostics import Diagnostic

FOLDER = Path(__file__).parents[1] / "data" / "invalid"
EXPECTED: dict[str, list[dict[str, Any]]] = json.loads(
    (FOLDER / "expected.json").read_text("utf-8")
)

HEAD = "archspec: 1\nname: bad\ninput: {channels: 3, height: 32, width: 32}\n"
WRONG_LAYER = "  - {name: conv1, type: conv2d, filters: many, kernel_size: 3}"
GENERATED = {
    "brackets.yaml": "[" * 100_000 + "]" * 100_000,
    "brackets_in_a_layer.yaml": HEAD
    + "layers:\n  - {name: relu1, type: relu, inputs: "
    + "[" * 100_000,
    "deep_blocks.yaml": "".join(f"{'  ' * depth}a:\n" for depth in range(1000)),
    "too_large.yaml": HEAD + "layers:\n" + "  # a comment line\n" * 500_000,
    "crlf.yaml": f"{HEAD}layers:\n{WRONG_LAYER}\n".replace("\n", "\r\n"),
    "unicode_breaks.yaml": f"{HEAD}# a\x85# b\u2028layers:\n{WRONG_LAYER}\n",
}


def diagnostics(path: Path) -> tuple[Diagnostic, ...]:
    try:
        return archspec.analyze(path).diagnostics
    except archspec.SpecError as error:
        return error.diagnostics


@pytest.mark.parametrize("name", EXPECTED)
def test_invalid(name: str, tmp_path: Path) -> None:
    path = FOLDER / name
    if name.startswith("generated/"):
        path = tmp_path / path.name
        if path.name == "directory.yaml":
            path.mkdir()
        elif path.name in GENERATED:
            path.write_bytes(GENERATED[path.name].encode())
    found = diagnostics(path)
    shown = [(d.code, d.line, d.column) for d in found]
    assert shown == [(e["code"], e["line"], e["column"]) for e in EXPECTED[name]], "\n".join(
        f"{d.line}:{d.column} {d.code} {d.message} | {d.help}" for d in found
    )
    for diagnostic, expected in zip(found, EXPECTED[name], strict=True):
        assert diagnostic.file == str(path)
        assert expected.get("contains", "") in f"{diagnostic.message} | {diagnostic.help}"


def test_every_file_is_listed() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")}
    listed = {name for name in EXPECTED if "/" not in name}
    assert files == listed
    assert len(files) >= 50


def test_too_many_problems_end_the_search(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text(
        HEAD + "layers:\n" + "".join(f"  - {{name: a{i}, type: x}}\n" for i in range(9999))
    )
    found = diagnostics(path)
    assert len(found) == 101
    assert [d.name for d in found[-2:]] == ["unknown-layer-type", "limit-exceeded"]
    assert "more than 100 problems" in found[-1].message
    assert found[-1].line == 105
