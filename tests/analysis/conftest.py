"""Networks for the tests, written as the lines of their layers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec.graph import Graph

DATA = Path(__file__).parents[1] / "data"

Network = Callable[..., Graph]


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A network from its layers, each the inside of `{...}`, its input and further sections."""
    folder = tmp_path_factory.mktemp("networks")

    def make(layers: list[str], input: tuple[int, int, int] = (3, 32, 32), more: str = "") -> Graph:
        channels, height, width = input
        lines = [
            "archspec: 1",
            "name: test",
            f"input: {{channels: {channels}, height: {height}, width: {width}}}",
            more,
            "layers:",
            *(f"  - {{{layer}}}" for layer in layers),
        ]
        path = folder / "test.yaml"
        path.write_text("\n".join(lines))
        return archspec.load(path)

    return make


@pytest.fixture(scope="session")
def known() -> Callable[[str], Any]:
    """The known answers by the name of their file."""

    def read(name: str) -> Any:
        return json.loads((DATA / f"{name}.json").read_text())

    return read
