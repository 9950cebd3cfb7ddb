"""`archspec analyze --memory` and `--optimizer`: what is printed, and what is refused."""

from __future__ import annotations

import json

import pytest

from archspec.cli import analyze as command
from archspec.diagnostics import ArchspecError


def _printed(capsys: pytest.CaptureFixture[str], **options: object) -> str:
    command.analyze("alexnet-torchvision", **options)  # type: ignore[arg-type]
    return capsys.readouterr().out


def test_the_report_is_printed_in_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"memory": "16GiB", "optimizer": "adam", "batch": 16}
    for format in (command.AnalyzeFormat.table, command.AnalyzeFormat.markdown):
        text = _printed(capsys, format=format, **asked)
        assert "Memory: training with Adam, 16 images" in text
        assert "Kept for backward: the largest layers" in text
        assert "fits in 16 GiB, with a training peak of 16.0 GiB" in text
    document = json.loads(_printed(capsys, format=command.AnalyzeFormat.json, **asked))
    memory = document["memory"]
    assert (memory["optimizer"], memory["budget_bytes"]) == ("adam", 16 * 2**30)
    assert memory["saved_bytes"] == 59858944
    assert memory["saved_bytes"] == sum(layer["saved_bytes"] for layer in document["layers"])
    assert memory["largest_batch"] > 4000


def test_without_the_options_there_are_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    text = _printed(capsys)
    assert "Memory: training" not in text
    assert "what PyTorch keeps for backward" in text
    assert "with momentum, an estimate" in text


def test_an_optimizer_alone_gives_the_report_without_a_batch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = _printed(capsys, optimizer="sgd")
    assert "Memory: training with SGD, 1 image" in text
    assert "with sgd, an estimate" in text
    assert "largest batch" not in text


def test_a_memory_that_is_too_small(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(_printed(capsys, memory="100MB").split())
    assert "one image has a training peak of 702.9 MiB, above 100,000,000 bytes" in text


@pytest.mark.parametrize("text", ["16", "GiB", "", "16 GIB", "-1GiB", "0B", "1e3GiB", "16GB/s"])
def test_what_is_no_memory_is_refused(text: str) -> None:
    with pytest.raises(ArchspecError, match=r"^--memory: expected a number of bytes such as 16GiB"):
        command.analyze("alexnet", memory=text)


def test_specs_with_errors_have_a_report_too(capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    with pytest.raises(typer.Exit):
        command.analyze("alexnet-224", memory="1GiB")
    assert "largest batch" in capsys.readouterr().out
