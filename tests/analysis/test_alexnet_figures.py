"""Every figure of the paper's network that the analysis can give."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import archspec
from archspec.analysis import Analysis
from archspec.layers.window import resolve_axis

Known = Callable[[str], Any]


@pytest.fixture(scope="module")
def alexnet() -> Analysis:
    return archspec.analyze("alexnet")


def test_layers(alexnet: Analysis, known: Known) -> None:
    for name, shape, params, macs in known("alexnet")["layers"]:
        layer = alexnet.by_name[name]
        assert layer.output_shape == tuple(shape)
        assert (layer.costs.params, layer.costs.macs) == (params, macs)


def test_every_other_layer_is_free_of_params_and_macs(alexnet: Analysis, known: Known) -> None:
    named = {row[0] for row in known("alexnet")["layers"]}
    for layer in alexnet.layers:
        if layer.name not in named:
            assert (layer.costs.params, layer.costs.macs) == (0, 0)


def test_totals(alexnet: Analysis, known: Known) -> None:
    answers = known("alexnet")
    assert alexnet.totals.params == alexnet.totals.trainable_params == answers["params"]
    assert alexnet.totals.non_trainable_params == 0
    assert alexnet.totals.macs == answers["macs"]
    step = answers["training_step_matmul_flops"]["value"]
    assert alexnet.totals.training_step_matmul_flops == step
    assert alexnet.totals.weight_bytes == 4 * answers["params"]


def test_connections_are_macs_and_a_bias_for_each_output(alexnet: Analysis, known: Known) -> None:
    torchinfo = known("alexnet")["conventions_for_one_network"]["grouped alexnet @227"]["torchinfo"]
    assert alexnet.totals.connections == torchinfo


def test_neurons(alexnet: Analysis, known: Known) -> None:
    answers = known("alexnet")["neurons"]
    neurons = [alexnet.by_name[n].costs.neurons for n in _weighted(alexnet)]
    assert neurons == answers["computed"]
    assert alexnet.totals.neurons == answers["computed_sum"]
    assert sum(answers["paper"]) == answers["paper_sum_as_printed"]


def test_neurons_of_the_paper_come_out_of_the_claims(alexnet: Analysis, known: Known) -> None:
    claimed = {c.about: c for c in alexnet.claims if c.quantity == "neurons"}
    answers = known("alexnet")["neurons"]
    for name, figure in zip(_weighted(alexnet), answers["paper"], strict=True):
        assert claimed[name].claimed == figure
        assert (claimed[name].verdict == "holds") == (name != "conv1")
    assert claimed["network"].claimed == answers["paper_says"]
    explanation = claimed["conv1"].explanation
    assert explanation == (
        "253,440 = 96 x 2,640, and 2,640 is no square, so no square map has that many; "
        "96 x 55 x 55 = 290,400"
    )


def test_every_published_figure_is_a_claim_and_two_facts_fail(
    alexnet: Analysis, known: Known
) -> None:
    """The input and the neurons of conv1; the input is printed as a shape and as a product."""
    claims = {(c.about, c.quantity): c for c in alexnet.claims}
    assert len(claims) == len(alexnet.claims)
    failed = [key for key, claim in claims.items() if claim.verdict == "contradicted"]
    assert failed == [("input", "shape"), ("input", "neurons"), ("conv1", "neurons")]
    assert all(claims[key].explanation for key in failed)
    recipe, answers = known("alexnet")["recipe"], known("alexnet")
    for key in ("momentum", "weight_decay"):
        assert claims["training", f"settings.{key}"].claimed == recipe[key]
    assert claims["training", "settings.batch_size"].claimed == recipe["batch"]
    for part in ("0.01", "divided by 10 three times", "90 epochs"):
        assert part in recipe["lr"]
    expected = {"learning_rate": 0.01, "schedule.factor": 0.1, "schedule.drops": 3, "epochs": 90}
    for key, value in expected.items():
        assert claims["training", f"settings.{key}"].claimed == value
    assert recipe["dropout"].startswith("0.5 on fc6 and fc7")
    assert [claims[name, "settings.rate"].claimed for name in ("drop6", "drop7")] == [0.5, 0.5]
    rows = {name: (shape, params) for name, shape, params, _ in answers["layers"]}
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        shape = claims[name, "weight_shape"].claimed
        assert isinstance(shape, tuple)
        # as many kernels as maps, and with a bias each as many parameters as known
        assert shape[0] == rows[name][0][0]
        assert math.prod(shape) + shape[0] == rows[name][1]
    assert all(claim.source for claim in alexnet.claims)


def test_without_groups(known: Known) -> None:
    found = archspec.analyze("alexnet-one-tower").totals
    assert {"params": found.params, "macs": found.macs} == known("alexnet")["ungrouped"]


@pytest.mark.parametrize("spec", ["caffenet", "alexnet-2012-code"])
def test_variants_with_the_groups_have_its_totals(spec: str, known: Known) -> None:
    found = archspec.analyze(spec)
    assert not found.has_errors
    assert found.totals.params == known("alexnet")["params"]
    assert found.totals.macs == known("alexnet")["macs"]


def test_alexnet_small_has_its_layers_and_a_forward_pass_of_millions() -> None:
    small, large = archspec.analyze("alexnet-small"), archspec.analyze("alexnet")
    assert {d.severity for d in small.diagnostics} <= {"note"}
    assert [(x.name, x.node.layer.type) for x in small.layers] == [
        (x.name, x.node.layer.type) for x in large.layers
    ]
    assert 10_000_000 <= small.totals.macs <= 30_000_000
    assert small.layers[-1].output_shape == (10,)


@pytest.mark.parametrize(
    ("size", "padding", "rounding", "row"),
    [
        (224, (0, 0), "floor", "224, pad 0, floor"),
        (224, (0, 0), "ceil", "224, pad 0, ceil (the 2012 code: 1 + ceil((224-11)/4))"),
        (224, (2, 2), "floor", "224, pad 2, floor"),
        (224, (1, 2), "exact", "224, pad (1,2), exact"),
        (224, "same", "exact", "224, TF SAME"),
        (227, (0, 0), "exact", "227, pad 0, exact"),
    ],
)
def test_input_sizes(size: int, padding: Any, rounding: Any, row: str, known: Known) -> None:
    axis = resolve_axis(size, 11, 4, 1, padding, rounding)
    assert axis.output == known("alexnet")["input_size"][row]
    assert axis.exact == (rounding == "exact")


def test_every_row_of_input_sizes_is_tested(known: Known) -> None:
    assert len(known("alexnet")["input_size"]) == 7


def test_dense_input_of_224(known: Known) -> None:
    found = archspec.analyze("alexnet-224")
    row = "dense input when 224 is fed to the 227 geometry with floor"
    assert found.by_name["flatten"].output_shape == (known("alexnet")["input_size"][row],)


def test_receptive_fields(alexnet: Analysis, known: Known) -> None:
    rows = {k: v for k, v in known("alexnet")["receptive_field"].items() if k[0] in "cp"}
    assert len(rows) == 8
    for name, (size, stride) in rows.items():
        field = alexnet.by_name[name].receptive_field
        assert field is not None
        assert (field.size, field.stride) == ((size, size), (stride, stride))


def _weighted(analysis: Analysis) -> list[str]:
    return [x.name for x in analysis.layers if x.node.layer.type in ("conv2d", "dense")]
