"""The spec that a run folder keeps: the same network, without variables and defaults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from networks import EXAMPLES, branching, example_network, heads
from small_runs import recipe

import archspec
from archspec import catalog
from archspec.graph import Graph
from archspec.layers.base import Example
from archspec.plain import plain_spec
from archspec.training.loop import DEFAULT_RECIPE


def reloaded(graph: Graph, folder: Path) -> Graph:
    training = graph.spec.training or DEFAULT_RECIPE
    path = folder / "spec.yaml"
    path.write_text(plain_spec(graph, training), encoding="utf-8")
    found = archspec.load(path)
    assert found.hash == graph.hash
    assert found.title == graph.title
    assert found.output == graph.output
    assert found.spec.training == training
    assert not found.variables
    return found


@pytest.mark.parametrize("name", list(catalog.shipped()))
def test_every_shipped_spec(name: str, tmp_path: Path) -> None:
    graph = archspec.load(name)
    found = reloaded(graph, tmp_path)
    assert archspec.analyze(found).totals == archspec.analyze(graph).totals


@pytest.mark.parametrize(("name", "kind", "example"), EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_every_layer_with_its_options(
    name: str, kind: str, example: Example, tmp_path: Path
) -> None:
    reloaded(example_network(kind, example), tmp_path)


def test_auxiliary_outputs(tmp_path: Path) -> None:
    found = reloaded(heads(), tmp_path)
    assert found.auxiliary == heads().auxiliary
    assert found.training_only == heads().training_only


def test_branches(tmp_path: Path) -> None:
    reloaded(branching(), tmp_path)


def test_variables_are_filled_in(tmp_path: Path) -> None:
    found = reloaded(archspec.load("alexnet", classes=7), tmp_path)
    assert found.by_name["fc8"].layer.model_dump()["units"] == 7


@pytest.mark.parametrize(
    "title", ["a: b # c", '"quoted"', "ünï — 漢字", "%d {x} $y", "- 1", "1e5", "no"]
)
def test_titles_that_yaml_could_misread(title: str, tmp_path: Path) -> None:
    path = tmp_path / "written.yaml"
    spec = {
        "archspec": 1,
        "name": "net",
        "title": title,
        "input": {"channels": 1, "height": 2, "width": 2},
        "layers": [{"name": "no", "type": "relu"}, {"name": "y", "type": "flatten"}],
    }
    path.write_text(json.dumps(spec))
    reloaded(archspec.load(path), tmp_path)


def test_a_layer_that_stands_before_its_input(tmp_path: Path) -> None:
    path = tmp_path / "written.yaml"
    layers = [
        {"name": "late", "type": "flatten", "inputs": ["early"]},
        {"name": "early", "type": "relu", "inputs": ["input"]},
        {"name": "last", "type": "dense", "units": 3, "inputs": ["late"]},
    ]
    shape = {"channels": 1, "height": 2, "width": 2}
    path.write_text(json.dumps({"archspec": 1, "name": "net", "input": shape, "layers": layers}))
    reloaded(archspec.load(path), tmp_path)


def test_small_numbers_of_a_recipe(tmp_path: Path) -> None:
    graph = archspec.load("alexnet-small")
    optimizer = {"type": "sgd", "learning_rate": 1e-7, "momentum": 0.9, "weight_decay": 1e-05}
    small = recipe(optimizer=optimizer, preprocessing={"mean": [1e-9], "std": [123456.0]})
    (tmp_path / "spec.yaml").write_text(plain_spec(graph, small))
    assert archspec.load(tmp_path / "spec.yaml").spec.training == small
