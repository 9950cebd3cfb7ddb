"""`archspec analyze --device` and `--devices`: options, their defaults, and what they refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from archspec.cli import main


def _run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["archspec", "analyze", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def _json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> dict[str, Any]:
    status, out, err = _run(monkeypatch, capsys, *arguments, "--format", "json")
    assert (status, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def test_reports_are_in_the_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plain = _json(monkeypatch, capsys, "alexnet")
    assert not {"roofline", "scaling"} & set(plain)
    timed = _json(monkeypatch, capsys, "--device", "gtx-580-3gb", "--batch", "128")
    assert (timed["roofline"]["device"]["name"], timed["batch"]) == ("gtx-580-3gb", 128)
    assert "scaling" not in timed
    scaled = _json(monkeypatch, capsys, "--devices", "8", "--interconnect", "400Gb/s")
    assert scaled["scaling"]["link_bytes_per_second"] == 50 * 10**9
    assert scaled["scaling"]["device"] == scaled["roofline"]["device"]["name"] == "h100-sxm"
    # The recipe's batch is on each device; networks without a recipe have one image.
    assert (scaled["batch"], scaled["scaling"]["batch_per_device"]) == (128, 128)
    one = _json(monkeypatch, capsys, "vgg11", "--devices", "2", "--interconnect", "1GB/s")
    assert one["scaling"]["batch_per_device"] == 1
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "devices: [{name: mine, peak: {float32: 1TFLOP/s}, bandwidth: 1GB/s, source: me}]"
    )
    assert _json(monkeypatch, capsys, "--device-file", str(mine))["roofline"]["ridge"] == 1000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--device", "h100"), "did you mean `h100-sxm`?"),
        (("--device", "t4", "--dtype", "bf16"), "did you mean `bfloat16`?"),
        (("--device", "t4", "--dtype", "bfloat16"), "choose one with --dtype"),
        (("--device-file", "nothing.yaml"), "nothing.yaml: there is no such file"),
        (("--devices", "8"), "--devices needs --interconnect too, such as --interconnect 50GB/s"),
        (("--interconnect", "50GB/s"), "--interconnect needs --devices too"),
        (("--devices", "8", "--interconnect", "50"), "--interconnect: expected a bandwidth"),
        (("--devices", "1", "--interconnect", "50GB/s"), "--devices"),
        (("--batch", "9" * 400), "--batch"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    status, out, err = _run(monkeypatch, capsys, *arguments)
    assert (status, out) == (2, "")
    assert said in err
