"""The networks of the five public implementations: every shape and count that they print."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import archspec
from archspec.analysis import Analysis, LayerAnalysis
from archspec.graph import Graph

Known = Callable[[str], Any]

DOCUMENTS = {
    "alexnet-bvlc-tensorflow": ("000_149deedfbc90dfb9.txt",),
    "alexnet-same-padding": ("001_0aaf9cea0618b07c.txt",),
    "alexnet-keras-10": ("002_5abf4e8fcda9d133.txt",),
    "alexnet-keras-batchnorm": ("003_843d82ab2a00ede1.txt", "as_published"),
    "alexnet-keras-batchnorm-narrated": ("003_843d82ab2a00ede1.txt", "as_narrated"),
    "alexnet-keras-valid": ("004_c1ec4d9c7f9c92f6.txt",),
}
LISTED = [spec for spec in DOCUMENTS if not spec.endswith("narrated")]


def _answers(known: Known, spec: str) -> Any:
    answers = known("seeds")
    for key in DOCUMENTS[spec]:
        answers = answers[key]
    return answers


def _printed(layer: LayerAnalysis | Analysis) -> int:
    """Keras prints parameters and running statistics as one number."""
    counts = layer.costs if isinstance(layer, LayerAnalysis) else layer.totals
    return counts.trainable_params + counts.non_trainable_params


@pytest.mark.parametrize("spec", DOCUMENTS)
def test_totals(spec: str, known: Known) -> None:
    answers, found = _answers(known, spec), archspec.analyze(spec)
    assert not found.has_errors
    assert list(found.graph.input_shape) == answers["input"]
    assert _printed(found) == answers["total"]
    assert found.totals.trainable_params == answers.get("trainable", found.totals.trainable_params)
    expected = answers.get("non_trainable", found.totals.non_trainable_params)
    assert found.totals.non_trainable_params == expected
    assert found.totals.macs == answers.get("macs", found.totals.macs)
    assert found.layers[-1].output_shape == (answers["classes"],)


@pytest.mark.parametrize("spec", LISTED)
def test_layers(spec: str, known: Known) -> None:
    found = archspec.analyze(spec)
    printed = _answers(known, spec)["layers"]
    for name, shape, params in printed:
        layer = found.by_name[name]
        assert list(layer.output_shape) == shape
        assert _printed(layer) == params
    order = [layer.name for layer in found.layers]
    positions = [order.index(name) for name, _, _ in printed]
    assert positions == sorted(positions)


@pytest.mark.parametrize("spec", LISTED)
def test_no_layer_of_the_spec_is_missing_in_the_document(spec: str, known: Known) -> None:
    """Beyond the printed layers there are only activations, dropout, flattening."""
    printed = {name for name, _, _ in _answers(known, spec)["layers"]}
    extra = {x.node.layer.type for x in archspec.analyze(spec).layers if x.name not in printed}
    assert extra <= {"relu", "softmax", "dropout", "flatten"}


def test_response_normalisation(known: Known) -> None:
    for spec, names in (
        ("alexnet-bvlc-tensorflow", ("norm1", "norm2")),
        ("alexnet-same-padding", ("lrn1", "lrn2")),
    ):
        printed, graph = _answers(known, spec)["lrn"], archspec.load(spec)
        for name in names:
            layer: Any = graph.by_name[name].layer
            assert layer.size == 2 * printed["depth_radius"] + 1
            assert (layer.alpha, layer.beta, layer.k) == (
                printed["alpha"],
                printed["beta"],
                printed["bias"],
            )
            assert layer.alpha_mode == "sum"


def test_groups(known: Known) -> None:
    graph = archspec.load("alexnet-bvlc-tensorflow")
    groups = {n.name: getattr(n.layer, "groups", 1) for n in graph.nodes}
    expected = _answers(known, "alexnet-bvlc-tensorflow")["groups"]
    assert {name: g for name, g in groups.items() if g > 1} == expected


def test_biases_and_recipe_of_the_second(known: Known) -> None:
    graph = archspec.load("alexnet-same-padding")
    printed = _answers(known, "alexnet-same-padding")["training"]
    for name, value in printed["bias"].items():
        assert _layer(graph, name).bias_init.type == ("ones" if value else "zeros")
    rates = [_layer(graph, name).rate for name in ("dropout1", "dropout2")]
    assert rates == printed["dropout"]
    assert graph.spec.training is not None
    optimizer = graph.spec.training.optimizer
    assert optimizer.learning_rate == printed["lr"]
    assert optimizer.weight_decay == pytest.approx(0.0005 * printed["lr"])


def test_dropout_and_recipe_of_the_fifth(known: Known) -> None:
    graph = archspec.load("alexnet-keras-valid")
    printed = _answers(known, "alexnet-keras-valid")["training"]
    rates = [_layer(graph, name).rate for name in ("dropout_17", "dropout_18", "dropout_19")]
    assert rates == list(printed["dropout"].values())
    recipe = graph.spec.training
    assert recipe is not None
    assert (recipe.epochs, recipe.batch_size) == (printed["epochs"], printed["batch_size"])
    assert (recipe.optimizer.learning_rate, recipe.optimizer.momentum) == (
        printed["lr"],
        printed["momentum"],
    )


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("alexnet-bvlc-tensorflow", "that counts connections, 290,400 neurons x 364"),
        ("alexnet-bvlc-tensorflow", "that is one kernel of conv4"),
        ("alexnet-same-padding", "but it has 201,838,952"),
        ("alexnet-keras-10", "kernels over 256 channels, and each one sees 384"),
        ("alexnet-keras-10", "the 4,096 biases are left out; with them it is (9216 + 1)*4096"),
        ("alexnet-keras-batchnorm", "that counts the 896 running statistics too"),
        ("alexnet-keras-batchnorm", "but it has 96 x 4 x 4"),
        ("alexnet-keras-batchnorm", "is rounded down to 1, so no window reads the last row"),
        ("alexnet-keras-valid", "43,264 = 256 x 13 x 13; it has 256 x 11 x 11 = 30,976"),
    ],
)
def test_mistakes_are_reported(spec: str, words: str) -> None:
    assert any(words in d.message for d in archspec.analyze(spec).diagnostics)


def test_the_page_about_them_shows_real_output() -> None:
    page = (Path(__file__).parents[2] / "docs" / "seeds.md").read_text()
    blocks = re.findall(r"^    \$ archspec check (\S+)\n((?:    .+\n)+)", page, re.MULTILINE)
    assert {spec for spec, _ in blocks} == set(DOCUMENTS)
    for spec, lines in blocks:
        real = [
            f"{d.severity}[{d.code}] {d.name}: {d.message}"
            for d in archspec.analyze(spec).diagnostics
            if d.severity != "note"
        ]
        assert [line.strip() for line in lines.splitlines()] == real


def test_every_shipped_spec_points_editors_at_the_schema() -> None:
    from archspec import catalog

    for path in catalog.shipped().values():
        text = path.read_text()
        up = "../" * (len(path.relative_to(catalog.folder()).parts) - 1)
        assert text.startswith(f"# yaml-language-server: $schema={up}archspec.schema.json\n")
        assert yaml.safe_load(text)["name"] == path.stem


def _layer(graph: Graph, name: str) -> Any:
    return graph.by_name[name].layer
