"""archspec's conventions against the tools themselves, to the last digit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from counters import (
    image,
    model,
    run_all,
    run_keras_summary,
    run_ptflops,
    torch,
    warned_by_fvcore,
    warned_by_ptflops,
    warned_by_thop,
)
from networks import EXAMPLES, branching, example_network, family_heads, heads, layer, network

import archspec
from archspec import api
from archspec.analysis.conventions import TOOLS, Conventions
from archspec.analysis.conventions.base import MODULES
from archspec.backends.torch.emit import modules
from archspec.graph import Graph
from archspec.layers.base import Example

Known = Callable[[str], Any]

DATA = Path(__file__).parents[2] / "data"
ZOO = json.loads((DATA / "zoo.json").read_text())
SMALL = {name: row for name, row in ZOO.items() if isinstance(row, dict) and "verify" in row}
ALEXNETS = [
    "alexnet",
    "alexnet-one-tower",
    "alexnet-torchvision",
    "alexnet-keras-batchnorm",
    "alexnet-keras-valid",
]


def conventions(graph: Graph) -> Conventions:
    return api.conventions(archspec.analyze(graph))


def predicted(graph: Graph) -> dict[tuple[str, str], int]:
    """The figures that archspec has for the tools that count PyTorch's models."""
    return {
        (figure.tool, figure.quantity): figure.value
        for figure in conventions(graph).figures
        if figure.value is not None and figure.tool != "Keras summary"
    }


def small(spec: str) -> Graph:
    """A shipped network, at the small size at which the zoo compares the backends."""
    row = SMALL.get(spec)
    if row is None:
        return archspec.load(spec)
    return archspec.load(spec, input=tuple(row["verify"]), **row.get("variables", {}))


@pytest.mark.parametrize(
    ("kind", "example"), [case[1:] for case in EXAMPLES], ids=[case[0] for case in EXAMPLES]
)
def test_every_layer_counts_as_the_tools_count_it(kind: str, example: Example) -> None:
    graph = example_network(kind, example)
    assert predicted(graph) == run_all(graph)


@pytest.mark.parametrize("make", [branching, heads], ids=lambda make: make.__name__)
def test_branches_and_auxiliary_outputs(make: Callable[[], Graph]) -> None:
    graph = make()
    assert predicted(graph) == run_all(graph)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [*ALEXNETS, *SMALL])
def test_networks_count_as_the_tools_count_them(spec: str) -> None:
    graph = small(spec)
    assert predicted(graph) == run_all(graph)


def test_what_the_shipped_networks_are_made_of_is_compared() -> None:
    def classes(graphs: Iterable[Graph]) -> set[str]:
        return {module for graph in graphs for module in modules(graph).values()}

    shipped = [archspec.analyze(name) for name in family_heads()]
    whole = [found.graph for found in shipped if not found.has_errors]
    assert classes(whole) <= classes(map(small, [*ALEXNETS, *SMALL]))


def test_the_known_answers(known: Known) -> None:
    answers = known("alexnet")["conventions_for_one_network"]
    for spec, title in (
        ("alexnet", "grouped alexnet @227"),
        ("alexnet-torchvision", "torchvision alexnet @224"),
    ):
        found = conventions(archspec.load(spec))
        figures = {
            "params": found.figure("torchinfo", "params").value,
            "conv_dense_macs": found.figure("fvcore", "flops").archspec,
            "fvcore": found.figure("fvcore", "flops").value,
            "thop": found.figure("thop", "MACs").value,
            "torchinfo": found.figure("torchinfo", "mult-adds").value,
            "ptflops_aten": found.figure("ptflops (aten)", "MACs").value,
            "torch_flop_counter_flops": found.figure("torch flop counter", "forward").value,
        }
        ptflops = found.figure("ptflops (pytorch)", "MACs")
        assert ptflops.value is not None
        # That figure is of a model with torch.nn's own local response norm.
        figures["ptflops_pytorch"] = ptflops.value + sum(aside.amount for aside in ptflops.asides)
        expected = {
            name: value for name, value in answers[title].items() if not name.startswith("netscope")
        }
        assert expected.items() <= figures.items()


def test_what_netscope_says_of_alexnet(known: Known) -> None:
    """It counts a MAC for each channel of the windows of local response normalisation."""
    answers = known("alexnet")["conventions_for_one_network"]["grouped alexnet @227"]
    found = archspec.analyze("alexnet")
    windows = sum(
        layer.costs.neurons * layer.node.layer.size
        for layer in found.layers
        if layer.node.layer.type == "local_response_norm"
    )
    netscope = answers["netscope_after_its_batch_bug_is_fixed"]
    assert found.totals.macs + windows == netscope


def test_the_step_that_the_flop_counter_gets_wrong(known: Known) -> None:
    text = known("alexnet")["conventions_for_one_network"]["known_wrong"]
    wrong, right = map(int, re.findall(r"\d{10}", text))
    figure = conventions(archspec.load("alexnet")).figure("torch flop counter", "step")
    assert (figure.value, figure.archspec) == (wrong, right)
    assert [(term.amount, term.fault) for term in figure.terms] == [(wrong - right, True)]


def test_local_response_norm_of_torch_in_the_place_of_the_own() -> None:
    lrn = {"alpha": 0.1, "beta": 0.75, "k": 2, "alpha_mode": "mean"}
    layers = [
        layer("conv", "conv2d", filters=7, kernel_size=1),
        layer("norm", "local_response_norm", size=5, **lrn),
        layer("other", "local_response_norm", size=3, **lrn),
    ]
    graph = network(layers, (3, 6, 5))
    own = model(graph)
    own.norm = torch.nn.LocalResponseNorm(5)
    own.other = torch.nn.LocalResponseNorm(3)
    figure = conventions(graph).figure("ptflops (pytorch)", "MACs")
    (aside,) = figure.asides
    assert figure.value is not None
    assert run_ptflops(own, image(graph), "pytorch")["MACs"] == figure.value + aside.amount


@pytest.mark.parametrize("kind", sorted({case[1] for case in EXAMPLES}))
def test_what_the_tools_pass_over(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    for _, _, example in [case for case in EXAMPLES if case[1] == kind]:
        graph = example_network(kind, example)
        found = conventions(graph)
        classes = {module.removeprefix("nn.") for module in modules(graph).values()}
        passed = set(found.figure("thop", "MACs").skips)
        assert {name.removeprefix("nn.") for name in passed} == classes & warned_by_thop(
            graph, lambda: capsys.readouterr().out
        )
        # ptflops warns of modules whose functions it does count.
        passed = set(found.figure("ptflops (pytorch)", "MACs").skips)
        functions = {"SiLU", "Softmax", "Hardsigmoid", "PaddedAvgPool2d", "PaddedMaxPool2d"}
        assert {name.removeprefix("nn.") for name in passed} == (
            classes & warned_by_ptflops(graph) - functions
        )
        if torch.__version__.startswith("2.13."):  # operators have other names in other versions
            assert set(found.figure("fvcore", "flops").skips) == warned_by_fvcore(graph)


def test_the_modules_are_those_that_the_backend_emits() -> None:
    emitted = {
        module
        for _, kind, example in EXAMPLES
        for module in modules(example_network(kind, example)).values()
    }
    assert emitted | set(modules(branching()).values()) == MODULES


def test_frozen_layers_and_nothing_trained() -> None:
    norm = {"eps": 1.0e-3, "decay": 0.9, "trainable": False}
    layers = [
        layer("conv", "conv2d", filters=4, kernel_size=3, trainable=False),
        layer("norm", "batch_norm", **norm),
        layer("flat", "flatten"),
        layer("logits", "dense", units=3),
    ]
    graph = network(layers, (3, 6, 6))
    assert predicted(graph) == run_all(graph)
    assert conventions(graph).figure("ptflops (aten)", "params").value == 4 * 4 * 4 * 3 + 3
    layers[-1]["trainable"] = False
    graph = network(layers, (3, 6, 6))
    assert predicted(graph) == run_all(graph)
    figure = conventions(graph).figure("torch flop counter", "step")
    assert figure.value is None
    assert figure.impossible == "nothing in the network is trained, so nothing goes backward"
    with pytest.raises(RuntimeError, match="does not require grad"):
        model(graph)(image(graph)).sum().backward()


def test_without_any_weight() -> None:
    graph = network([layer("pool", "max_pool2d", kernel_size=2), layer("flat", "flatten")])
    assert predicted(graph) == run_all(graph)


def test_biases_of_what_is_cropped_away() -> None:
    fields = {"filters": 4, "kernel_size": 3, "stride": 2, "padding": [0, 1, 2, 0]}
    for bias in (True, False):
        graph = network([layer("up", "conv2d_transpose", bias=bias, **fields)], (2, 4, 5))
        assert predicted(graph) == run_all(graph)


KERAS = ["alexnet-small", "alexnet-keras-batchnorm", "resnet18", "googlenet-aux", "convnext-tiny"]


def keras_figures(graph: Graph) -> dict[str, int | None]:
    found = conventions(graph).figures
    return {f.quantity: f.value for f in found if f.tool == "Keras summary"}


@pytest.mark.slow
@pytest.mark.parametrize("spec", KERAS)
def test_networks_as_keras_summarises_them(spec: str) -> None:
    pytest.importorskip("tensorflow")
    graph = small(spec)
    assert keras_figures(graph) == run_keras_summary(graph)


@pytest.mark.parametrize("kind", sorted({case[1] for case in EXAMPLES}))
def test_every_layer_as_keras_summarises_it(kind: str) -> None:
    pytest.importorskip("tensorflow")
    example = next(case[2] for case in EXAMPLES if case[1] == kind)
    graph = example_network(kind, example)
    assert keras_figures(graph) == run_keras_summary(graph)


@pytest.mark.parametrize("make", [branching, heads], ids=lambda make: make.__name__)
def test_branches_as_keras_summarises_them(make: Callable[[], Graph]) -> None:
    pytest.importorskip("tensorflow")
    graph = make()
    assert keras_figures(graph) == run_keras_summary(graph)


def test_the_versions_are_the_pinned_ones() -> None:
    pins = dict(
        line.split("==")
        for line in (DATA.parents[1] / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    packages = {"torch flop counter": "torch", "Keras summary": "keras"}
    for tool in TOOLS:
        package = packages.get(tool.name, tool.name.partition(" ")[0])
        assert tool.version == pins[package]
