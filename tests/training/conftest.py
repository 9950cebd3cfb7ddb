"""Fixtures of the training tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archspec.training import durable


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny matrices are slower on two threads, and two test processes share the processor."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def quick_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug here: no waiting for the disk, which takes longer than the runs."""
    if "durable" not in request.module.__name__:
        monkeypatch.setattr(durable.os, "fsync", lambda descriptor: None)


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder with `count` small pictures for each class; the classes differ in colour."""

    def make(*classes: str, count: int = 5, suffix: str = "png") -> Path:
        numbers = np.random.default_rng(0)
        folder = tmp_path / "photos"
        for number, name in enumerate(classes):
            (folder / name).mkdir(parents=True)
            for index in range(count):
                pixels = numbers.integers(0, 100, (12, 16, 3), dtype="uint8")
                pixels[..., number % 3] += 120
                Image.fromarray(pixels).save(folder / name / f"{index}.{suffix}")
        return folder

    return make
