"""Specs for the tests of the expansion, as text or as files, and what they expand to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec import expand, source
from archspec.diagnostics import Diagnostic, ProblemsFound
from archspec.graph import Graph

HEAD = "archspec: 1\nname: net\ninput: {channels: 3, height: 8, width: 8}\n"


def graph(text: str, **variables: Any) -> Graph:
    return expand.expand(source.parse(HEAD + text, "spec.yaml"), variables)


def problems(text: str, **variables: Any) -> list[tuple[str, str]]:
    with pytest.raises(ProblemsFound) as caught:
        graph(text, **variables)
    return [(problem.rule, problem.message) for problem in caught.value.problems]


def edges(net: Graph) -> dict[str, tuple[str, ...]]:
    """What each layer reads, in the order of computation."""
    return {node.name: node.inputs for node in net.nodes}


def chain(net: Graph) -> list[str]:
    """The names of layers that each read the one before, the first the image."""
    names = [node.name for node in net.nodes]
    assert [node.inputs for node in net.nodes] == [(name,) for name in ["input", *names[:-1]]]
    return names


def values(net: Graph, field: str) -> list[Any]:
    """A field of every layer that has it."""
    return [getattr(n.layer, field) for n in net.nodes if hasattr(n.layer, field)]


def written(folder: Path, files: dict[str, str]) -> Path:
    """Write files, and return the first of them."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if text.startswith("archspec") else f"archspec: 1\n{text}", "utf-8")
    return folder / next(iter(files))


def diagnostics(path: Path, **options: Any) -> list[Diagnostic]:
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load(path, **options)
    return list(caught.value.diagnostics)
