"""Two networks compared: which layers are one, what differs, and what explains the totals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from networks import branching, heads, layer, network

import archspec
from archspec import catalog
from archspec.analysis import Analysis
from archspec.analysis.costs import Totals
from archspec.analysis.diff import Comparison, compare
from archspec.analysis.diff.comparison import QUANTITIES
from archspec.graph import Graph

Known = Callable[[str], Any]


@pytest.fixture(scope="module")
def analyses() -> Mapping[str, Analysis]:
    return {name: archspec.analyze(name) for name in catalog.shipped()}


def partners(found: Comparison) -> dict[str, str]:
    return {pair.a: pair.b for pair in found.matched if pair.a and pair.b}


def told(found: Comparison, *kinds: str) -> set[tuple[str, str, str, str]]:
    """Layer, field and both values, these as text."""
    return {
        (pair.label, change.what, str(change.a), str(change.b))
        for pair, change in found.changed(*kinds)
    }


@pytest.mark.parametrize("name", catalog.shipped())
def test_no_network_differs_from_itself(name: str, analyses: Mapping[str, Analysis]) -> None:
    found = compare(analyses[name], analyses[name])
    assert found.equal
    assert found.verdict == "The same network."
    assert not any(found.terms(quantity) for quantity in QUANTITIES)


def test_only_sums_over_layers_are_explained() -> None:
    """Of the totals of AlexNet, `training_step_matmul_flops` alone is a sum of two others."""
    known = {field.name for field in fields(Totals)}
    assert {*QUANTITIES} == known - {"training_step_matmul_flops"}


PAIRS = [
    *(("alexnet", name) for name in catalog.shipped() if name.startswith("alexnet-")),
    ("alexnet", "caffenet"),
    ("resnet18", "resnet34"),
    ("resnet50", "resnet50-v1"),
    ("mobilenet-v2", "mobilenet-v2-1-4"),
    ("mobilenet-v3-small", "mobilenet-v3-large"),
    ("googlenet", "googlenet-aux"),
    ("inception-v3", "inception-v3-no-aux"),
    ("vgg16", "alexnet"),
    ("lenet-5", "lenet-5-1998"),
    ("densenet121", "densenet169"),
]


@pytest.mark.parametrize(("a", "b"), PAIRS, ids="-".join)
def test_terms_add_up(a: str, b: str, analyses: Mapping[str, Analysis]) -> None:
    """To the difference of the totals; the other way round they are the negative ones."""
    found, back = compare(analyses[a], analyses[b]), compare(analyses[b], analyses[a])
    names = [{node.name for node in analyses[side].graph.nodes} for side in (a, b)]
    assert [pair.a for pair in found.layers if pair.a] == [n.name for n in found.a.graph.nodes]
    assert {pair.b for pair in found.layers if pair.b} == names[1]
    assert len(found.layers) == len(names[0]) + len(names[1]) - len(found.matched)
    for quantity in QUANTITIES:
        totals = [getattr(analyses[side].totals, quantity) for side in (a, b)]
        terms = found.terms(quantity)
        assert sum(term.difference for term in terms) == totals[1] - totals[0]
        sizes = [abs(term.difference) for term in terms]
        assert sizes == sorted(sizes, reverse=True)
        mirrored = {(t.layer.b, t.layer.a, -t.difference) for t in back.terms(quantity)}
        assert {(t.layer.a, t.layer.b, t.difference) for t in terms} == mirrored


# The layers of the paper under the names of the five public implementations.
SEEDS = {
    "alexnet-bvlc-tensorflow": ("000_149deedfbc90dfb9.txt",),
    "alexnet-same-padding": ("001_0aaf9cea0618b07c.txt",),
    "alexnet-keras-10": ("002_5abf4e8fcda9d133.txt",),
    "alexnet-keras-batchnorm": ("003_843d82ab2a00ede1.txt", "as_published"),
    "alexnet-keras-batchnorm-narrated": ("003_843d82ab2a00ede1.txt", "as_narrated"),
    "alexnet-keras-valid": ("004_c1ec4d9c7f9c92f6.txt",),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds(seed: str, known: Known, analyses: Mapping[str, Analysis]) -> None:
    """Convolutions and dense layers match in their order, and explain the documents' totals."""
    found = compare(analyses["alexnet"], analyses[seed])
    ours, theirs = (
        [node.name for node in side.graph.nodes if node.layer.is_neurons]
        for side in (found.a, found.b)
    )
    assert len(ours) == len(theirs) == 8
    assert {name: partners(found)[name] for name in ours} == dict(zip(ours, theirs, strict=True))
    answers = known("seeds")
    for key in SEEDS[seed]:
        answers = answers[key]
    printed = answers["total"] - answers.get(
        "non_trainable", found.total("non_trainable_params", "b")
    )
    assert sum(t.difference for t in found.terms("params")) == printed - 60_965_224
    if "macs" in answers:
        assert sum(t.difference for t in found.terms("macs")) == answers["macs"] - 724_406_816


def test_layers_under_other_names(analyses: Mapping[str, Analysis]) -> None:
    found = compare(analyses["alexnet"], analyses["alexnet-keras-valid"])
    assert partners(found) == {
        "conv1": "Conv1", "relu1": "activation_77", "norm1": "LRN1", "pool1": "MaxPool",
        "conv2": "Conv2", "relu2": "activation_78", "norm2": "LRN2", "pool2": "MaxPool2",
        "conv3": "Conv3", "relu3": "activation_79", "conv4": "Conv4", "relu4": "activation_80",
        "conv5": "Conv5", "relu5": "activation_81", "pool5": "MaxPool3", "flatten": "flatten_7",
        "fc6": "FC6", "relu6": "activation_82", "drop6": "dropout_17",
        "fc7": "FC7", "relu7": "activation_83", "drop7": "dropout_18", "fc8": "dense_17",
    }  # fmt: skip
    only = {pair.b: pair.pads for pair in found.only("b")}
    assert only == {
        "zero_padding2d_25": "conv3",
        "zero_padding2d_26": "conv4",
        "zero_padding2d_27": "conv5",
        "activation_84": None,
        "dropout_19": None,
        "activation_85": None,
    }
    assert told(found, "function") == {
        ("conv2 = Conv2", "padding", "2", "0"),
        *((f"conv{n} = Conv{n}", "groups", "2", "1") for n in (2, 4, 5)),
        ("drop6 = dropout_17", "scaling", "at_inference", "inverted"),
        ("drop7 = dropout_18", "scaling", "at_inference", "inverted"),
        ("drop7 = dropout_18", "rate", "0.5", "0.4"),
    }
    assert ("conv3 = Conv3", "padding", "1", "0") in told(found, "words")


def test_a_name_that_two_layers_share_by_accident(analyses: Mapping[str, Analysis]) -> None:
    """conv2d_5 is the fifth convolution of the one and the first of the other."""
    found = compare(analyses["alexnet-keras-10"], analyses["alexnet-keras-batchnorm"])
    assert partners(found)["conv2d_1"] == "conv2d_5"
    assert partners(found)["conv2d_5"] == "conv2d_9"


def test_response_normalisation_is_compared_by_what_it_computes(
    analyses: Mapping[str, Analysis],
) -> None:
    """caffenet divides alpha by n, the seed has divided it already: the same numbers."""
    found = compare(analyses["caffenet"], analyses["alexnet-bvlc-tensorflow"])
    assert not {what for _, what, _, _ in told(found, "function")} & {"alpha", "alpha_mode", "k"}
    assert ("norm1", "alpha_mode", "mean", "sum") in told(found, "words")
    found = compare(analyses["alexnet"], analyses["caffenet"])
    changes = {c.what: c for pair, c in found.changed("function") if pair.a == "norm1"}
    assert (changes["alpha_mode"].a, changes["alpha_mode"].b) == ("sum", "mean")
    assert changes["alpha_mode"].effect == "alpha of the sum 0.0001 -> 2e-05"
    assert "alpha" not in changes
    moved = {pair.a for pair in found.matched if pair.moved}
    assert moved == {"norm1", "norm2"}  # they stand behind the pools


def conv(name: str, **more: Any) -> dict[str, Any]:
    return layer(name, "conv2d", **{"filters": 4, "kernel_size": 3, **more})


def both(a: list[dict[str, Any]], b: list[dict[str, Any]], **more: Any) -> Comparison:
    return archspec.diff(network(a, **more), network(b, **more))


def test_same_and_symmetric_padding_are_told_apart() -> None:
    """Equal shapes, other numbers: SAME puts its odd pixel at the end."""
    step = {"stride": 2, "rounding": "floor"}
    found = both([conv("a", padding=1, **step)], [conv("a", padding="same", **step)])
    ((_, change),) = found.changed("function")
    assert (change.what, change.a, change.b) == ("padding", 1, "same")
    assert change.effect == "padding 1, 0, 1, 0 -> 0, 1, 0, 1"
    assert not found.changed("shape")
    found = both([conv("a", padding=1)], [conv("a", padding="same")])
    assert not found.changed("function")
    assert told(found, "words") == {("a", "padding", "1", "same")}
    assert found.function_equal
    assert found.verdict == "The same network."


def test_an_initialiser_is_what_it_draws() -> None:
    """Of the fan 3*3*3 = 27: sqrt(2/27) is its standard deviation."""
    std = {"type": "normal", "std": (2 / 27) ** 0.5}
    found = both([conv("a", weight_init="kaiming_normal")], [conv("a", weight_init=std)])
    assert not found.changed("start")
    assert {what for _, what, _, _ in told(found, "words")} == {"weight_init"}
    found = both([conv("a", weight_init="kaiming_normal")], [conv("a", weight_init="ones")])
    assert {what for _, what, _, _ in told(found, "start")} == {"weight_init"}
    assert found.verdict == "The same network: weights start otherwise."


def test_what_only_training_sees() -> None:
    norm = {"eps": 1e-3, "decay": 0.9}
    a = [conv("a"), layer("n", "batch_norm", **norm), layer("d", "dropout", rate=0.5)]
    b = [conv("a"), layer("n", "batch_norm", **{**norm, "decay": 0.99}),
         layer("d", "dropout", rate=0.4)]  # fmt: skip
    found = both(a, b)
    assert told(found, "training") == {("n", "decay", "0.9", "0.99"), ("d", "rate", "0.5", "0.4")}
    assert found.function_equal
    assert found.verdict == "The same network: training differs."


def test_a_type_that_is_replaced() -> None:
    found = both([conv("a"), layer("act", "relu")], [conv("a"), layer("gelu", "gelu")])
    assert partners(found) == {"a": "a", "act": "gelu"}
    assert told(found, "function") == {("act = gelu", "type", "relu", "gelu")}
    found = both(
        [conv("a"), layer("b", "relu")], [conv("a"), layer("b", "batch_norm", eps=1, decay=0.5)]
    )
    assert told(found, "function") == {("b", "type", "relu", "batch_norm")}


def test_a_shortcut_that_is_taken_away() -> None:
    stem = conv("stem", padding=1)
    body = [conv("one", padding=1), conv("two", padding=1)]
    a = [stem, *body, layer("add", "add", "two", "stem"), layer("end", "relu")]
    b = [stem, *body, layer("end", "relu")]
    found = both(a, b)
    assert [pair.label for pair in found.only("a")] == ["add"]
    assert told(found, "edges") == {("end", "inputs", "['add']", "['two']")}
    assert not found.function_equal


def test_a_block_that_is_put_in_between_rewires_nothing(analyses: Mapping[str, Analysis]) -> None:
    found = compare(analyses["resnet18"], analyses["resnet34"])
    assert not any(pair.changes or pair.moved for pair in found.matched)
    added = {pair.b.partition(".")[0] for pair in found.only("b") if pair.b}
    assert added == {"conv2_3", "conv3_3", "conv3_4", "conv4_3", "conv4_4", "conv4_5", "conv4_6",
                     "conv5_3"}  # fmt: skip


def test_auxiliary_heads_are_training_alone(analyses: Mapping[str, Analysis]) -> None:
    found = compare(analyses["googlenet"], analyses["googlenet-aux"])
    assert found.function_equal
    assert not found.structure_equal
    assert found.difference("macs") == 0
    assert found.verdict.startswith("The same network at inference: ")


def test_the_same_network_under_other_names_and_in_another_order() -> None:
    """Branches may stand in any order in a file; sums do not have one."""
    for make in (branching, heads):
        graph = make()
        twin = shuffled(graph)
        found = archspec.diff(graph, twin)
        assert found.function_equal
        assert len(found.renamed) == len(graph.nodes)
        assert found.verdict == "The same network, under other names."
        names = {pair.a: pair.b for pair in found.matched}
        assert names == {node.name: f"x_{node.name.replace('.', '_')}" for node in graph.nodes}


def shuffled(graph: Graph) -> Graph:
    """The network under other names, each layer as late in the file as it can stand."""
    new = {"input": "input", **{n.name: f"x_{n.name.replace('.', '_')}" for n in graph.nodes}}
    waiting = {node.name: node for node in graph.nodes}
    last = [graph.by_name[graph.output]]
    order: list[Any] = []
    while waiting:
        free = [
            node
            for node in waiting.values()
            if all(reader not in waiting for reader in graph.consumers[node.name])
        ]
        node = last.pop() if last else free[0]
        order.append(waiting.pop(node.name))
    layers = []
    for node in reversed(order):
        fields_ = node.layer.model_dump(mode="json", exclude={"name", "type", "inputs"})
        said = {key: value for key, value in fields_.items() if value is not None}
        inputs = [new[name] for name in node.inputs]
        if node.layer.commutes:
            inputs.reverse()
        layers.append(layer(new[node.name], node.layer.type, *inputs, **said))
    auxiliary = [
        {"layer": new[head.layer], "loss_weight": head.loss_weight} for head in graph.auxiliary
    ]
    return network(layers, graph.input_shape, graph.name, auxiliary=auxiliary)  # type: ignore[arg-type]


def test_equal_functions_give_equal_numbers() -> None:
    """Weights carried over by the pairs: the outputs of both are the same."""
    a = [
        layer("z1", "zero_pad2d", padding=[1, 2, 0, 1]), conv("c1", padding=[0, 0, 1, 0]),
        layer("r", "relu"),
        layer("n", "local_response_norm", size=3, alpha=0.3, beta=0.75, k=1, alpha_mode="mean"),
        layer("p", "max_pool2d", kernel_size=3, stride=2, rounding="ceil"),
        conv("c2", groups=2, padding="same"),
    ]  # fmt: skip
    b = [
        conv("first", padding=[1, 2, 1, 1]), layer("act", "relu"),
        layer("lrn", "local_response_norm", size=3, alpha=0.1, beta=0.75, k=1, alpha_mode="sum"),
        layer("pool", "max_pool2d", kernel_size=3, stride=2, padding=[0, 1, 0, 0]),
        layer("zeros", "zero_pad2d", padding=1), conv("second", groups=2),
    ]  # fmt: skip
    graphs = network(a, (3, 9, 9)), network(b, (3, 9, 9))
    found = archspec.diff(*graphs)
    assert found.function_equal
    assert {pair.pads for pair in found.layers if pair.only} == {"first", "c2"}
    models = [archspec.build(graph, backend="numpy") for graph in graphs]
    for pair in found.matched:
        for name in [name for name in models[0].weights if name.startswith(f"{pair.a}.")]:
            other = f"{pair.b}.{name.rpartition('.')[2]}"
            models[1].weights[other] = models[0].weights[name]
    image = np.random.default_rng(0).standard_normal((2, 3, 9, 9))
    np.testing.assert_allclose(models[0](image), models[1](image), rtol=1e-12)


def test_recipes() -> None:
    recipe = {"epochs": 5, "batch_size": 8, "optimizer": {"type": "sgd", "learning_rate": 0.1}}
    steps = {**recipe, "batch_size": 16, "schedule": {"type": "steps", "epochs": [3]}}
    layers = [conv("a")]
    found = archspec.diff(network(layers, training=recipe), network(layers, training=steps))
    assert [(c.what, c.a, c.b) for c in found.recipe] == [
        ("batch_size", 8, 16),
        ("schedule.type", "constant", "steps"),
        ("schedule.epochs", None, [3]),
        ("schedule.factor", None, 0.1),
    ]
    assert found.function_equal
    assert not found.equal
    found = archspec.diff(network(layers, training=recipe), network(layers))
    assert [(c.what, c.a, c.b) for c in found.recipe] == [("training", "5 epochs of sgd", None)]


def test_another_input(analyses: Mapping[str, Analysis]) -> None:
    found = compare(analyses["alexnet"], analyses["alexnet-224"])
    assert found.verdict == "The same layers on another input."
    assert told(found, "shape") >= {("conv1", "output", "[96, 55, 55]", "[96, 54, 54]")}
    assert not found.changed("function")


def test_a_network_that_is_impossible_is_compared_as_far_as_it_goes() -> None:
    found = archspec.diff("alexnet", archspec.load("alexnet", input="3x60x60"))
    assert found.b.has_errors
    assert len(found.matched) == len(found.a.graph.nodes)
    assert ("fc8", "output", "[1000]", "None") in told(found, "shape")
    for quantity in QUANTITIES:
        assert sum(t.difference for t in found.terms(quantity)) == found.difference(quantity)


def test_the_document_is_json(analyses: Mapping[str, Analysis]) -> None:
    for a, b in combinations(("alexnet", "alexnet-224", "caffenet", "googlenet-aux"), 2):
        found = compare(analyses[a], analyses[b])
        document = json.loads(json.dumps(found.to_json()))
        assert document == found.to_json()
        for quantity, total in document["totals"].items():
            assert total["b"] - total["a"] == total["difference"]
            assert sum(term["difference"] for term in total["terms"]) == total["difference"]
            assert quantity in document["a"]["totals"]
