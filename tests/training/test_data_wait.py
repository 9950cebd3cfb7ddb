"""The share of time that a run waits for images, with the images really read ahead."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from small_runs import metrics, train

from archspec.backends.torch.trainer import TorchTrainer
from archspec.training.sources.digits import Digits


def slowed(owner: Any, name: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    function = getattr(owner, name)

    def wait(*arguments: Any) -> Any:
        time.sleep(seconds)
        return function(*arguments)

    monkeypatch.setattr(owner, name, wait)


def waited(folder: Path) -> float:
    """In the second epoch, which no compiling disturbs."""
    train(folder, epochs=2)
    return float(metrics(folder / "run")[1]["data_wait"])


def test_slow_images_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slowed(Digits, "image", 0.01, monkeypatch)
    assert waited(tmp_path) > 0.6


def test_behind_a_slow_network_images_are_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a batch takes a third of a step, and happens meanwhile."""
    slowed(Digits, "image", 0.0025, monkeypatch)
    slowed(TorchTrainer, "step", 0.06, monkeypatch)
    assert waited(tmp_path) < 0.3
