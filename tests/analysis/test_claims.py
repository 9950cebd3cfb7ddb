"""Claims: verdicts, and the likeliest reason of a wrong figure."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from networks import SOON

import archspec
from archspec.analysis import Analysis
from archspec.api import expand
from archspec.diagnostics import Diagnostic
from archspec.graph import Graph

Network = Callable[..., Graph]

LAYERS = [
    "name: conv, type: conv2d, filters: 4, kernel_size: 3, padding: 1",
    "name: norm, type: batch_norm, eps: 1.0e-3, decay: 0.9",
    "name: relu, type: relu",
    "name: flatten, type: flatten",
    "name: fc, type: dense, units: 10",
]
CONTRADICTED = "claim-contradicted"
RECIPE = (
    "training: {epochs: 3, batch_size: 8, schedule: {type: steps, epochs: [2], factor: 0.5}, "
    "optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 5.0e-6}}"
)
CONV, FC, NORM, BUFFERS = (3 * 9 + 1) * 4, (4 * 64 + 1) * 10, 8, 8
MACS = 27 * 4 * 64 + 2560


def _about_claims(found: Analysis) -> list[Diagnostic]:
    """The diagnostics of claims; the others are about the network that they are made of."""
    return [d for d in found.diagnostics if d.code.startswith("AS3")]


def _check(network: Network, claim: str, rule: str = "") -> Any:
    graph = network(LAYERS, (3, 8, 8), f"claims: [{{{claim}, source: a test}}]\n{RECIPE}")
    found = archspec.analyze(graph)
    (verdict,) = found.claims
    assert [d.name for d in _about_claims(found)] == ([rule] if rule else [])
    assert verdict.verdict == ("contradicted" if rule else "holds")
    return verdict


@pytest.mark.parametrize(
    "claim",
    [
        "about: input, shape: [3, 8, 8]",
        "about: input, neurons: 192",
        "about: conv, shape: [4, 8, 8]",
        f"about: conv, params: {CONV}",
        "about: conv, neurons: 256",
        "about: relu, params: 0",
        f"about: network, params: {CONV + FC + NORM}",
        f"about: network, params: {CONV + FC + NORM + 20}, tolerance: 0.01",
        f"about: network, macs: {MACS}",
        "about: network, neurons: 266",
        "about: network, shape: [10]",
        "about: fc, connections: 2570",
        "about: conv, weight_shape: [4, 3, 3, 3]",
        "about: fc, weight_shape: [10, 256]",
        f"about: network, trainable_params: {CONV + FC + NORM}",
        f"about: network, non_trainable_params: {BUFFERS}",
        f"about: network, training_step_matmul_flops: {6 * MACS - 2 * 27 * 4 * 64}",
        f"about: fc, backward_flops: {4 * 2560}",
        f"about: fc, training_step_matmul_flops: {6 * 2560}",
        "about: conv, receptive_field: 3",
        "about: network, receptive_field: [10, 10]",
        "about: input, receptive_field: 1",
        f"about: network, weight_bytes: {4 * (CONV + FC + NORM + BUFFERS)}",
        "about: network, weight_bytes: 10.8 kB, tolerance: 0.001",
        "about: network, weight_bytes: 10.54KiB, tolerance: 0.001",
        f"about: network, activation_bytes: {4 * (4 * 256 + 10)}",
        "about: conv, activation_bytes: 1 KiB",
        "about: network, weighted_layers: 2",
        "about: norm, weighted_layers: 0",
        "about: input, weighted_layers: 0",
        "about: network, layers: {dropout: 0}",
        "about: conv, settings: {kernel_size: 3}",
        "about: conv, settings: {kernel_size: [3, 3]}",
        "about: conv, settings: {stride: 1}",
        "about: conv, settings: {padding: 1}",
        "about: conv, settings: {padding: [1, 1]}",
        "about: conv, settings: {padding: [1, 1, 1, 1]}",
        "about: conv, settings: {bias: true}",
        "about: conv, settings: {weight_init: kaiming_normal}",
        "about: norm, settings: {eps: 0.001}",
        "about: norm, settings: {running_variance: unbiased}",
        "about: conv, settings: {rounding: exact}",
        "about: training, settings: {epochs: 3}",
        "about: training, settings: {optimizer: sgd}",
        "about: training, settings: {momentum: 0.9}",
        "about: training, settings: {optimizer.momentum: 0.9}",
        "about: training, settings: {mean: data}",
        "about: training, settings: {horizontal_flip: 0}",
        "about: training, settings: {schedule.factor: 0.5}",
        "about: training, settings: {schedule.epochs: [2]}",
        "about: training, settings: {schedule: steps}",
        "about: training, settings: {weight_decay: $(0.0005 * 0.01)}",
        "about: network, params: 2000, bound: at_least",
        "about: network, params: 3000, bound: at_most",
        "about: network, params: 2900, bound: at_least, tolerance: 0.1",
        "formula: 1/3 + 1/3 + 1/3, claimed: 1",
        "formula: 0.1 + 0.2, claimed: 0.3",
        "formula: (224 - 11)/4 + 1, claimed: 54.25",
        "formula: 1/3, claimed: 0.33, tolerance: 0.02",
        "formula: channels(conv)*3*3, claimed: 36",
        "formula: channels(input), claimed: 3",
        "formula: 5, claimed: 5",
    ],
)
def test_holds(network: Network, claim: str) -> None:
    assert _check(network, claim).explanation == ""


@pytest.mark.parametrize(
    ("claim", "rule", "explanation"),
    [
        ("about: input, neurons: 147", CONTRADICTED, "147 = 3 x 7 x 7; with it, "),
        (
            "about: conv, params: 7168",
            "connections-as-params",
            "that counts connections, 256 neurons x 28 (weights and bias of one neuron); the "
            "weights are shared between positions, so the parameters are (3*3*3 + 1)*4 = 112",
        ),
        (
            "about: conv, params: 256",
            "neurons-as-params",
            "that counts neurons; the parameters are (3*3*3 + 1)*4 = 112",
        ),
        (
            "about: conv, params: 108",
            "biases-left-out",
            "the 4 biases are left out; with them it is (3*3*3 + 1)*4 = 112",
        ),
        (
            "about: conv, params: 40",
            "kernels-over-other-channels",
            "(3*3*1 + 1)*4 = 40 are kernels over 1 channels, and each one sees 3",
        ),
        ("about: conv, params: 41", CONTRADICTED, ""),
        (
            f"about: norm, params: {NORM + BUFFERS}",
            "buffers-as-params",
            "that counts the 8 running statistics too, which are no parameters",
        ),
        (
            f"about: network, params: {CONV + FC + NORM + BUFFERS}",
            "buffers-as-params",
            "that counts the 8 running statistics too, which are no parameters",
        ),
        (
            f"about: network, params: {CONV + FC + NORM - 18}",
            "biases-left-out",
            "the 18 biases are left out",
        ),
        (
            f"about: network, flops: {MACS}",
            "macs-and-flops-confused",
            "that counts multiply-accumulates; one of them is two floating-point operations",
        ),
        (
            f"about: network, macs: {2 * MACS}",
            "macs-and-flops-confused",
            "that counts floating-point operations; a multiply-accumulate is two of them",
        ),
        ("about: conv, neurons: 196", CONTRADICTED, "196 = 4 x 7 x 7; it has 4 x 8 x 8 = 256"),
        (
            "about: conv, neurons: 30",
            "impossible-map",
            "30 is no multiple of the 4 channels; 4 x 8 x 8 = 256",
        ),
        (
            "about: conv, neurons: 248",
            "impossible-map",
            "248 = 4 x 62, and 62 is no square, so no square map has that many; 4 x 8 x 8 = 256",
        ),
        ("about: conv, shape: [4, 9, 9]", CONTRADICTED, ""),
        ("about: network, params: 3000, bound: at_least", CONTRADICTED, ""),
        ("about: network, params: 2000, bound: at_most", CONTRADICTED, ""),
        ("about: network, weight_bytes: 12 kB", CONTRADICTED, ""),
        ("about: conv, receptive_field: [3, 4]", CONTRADICTED, ""),
        ("about: network, weighted_layers: 3", CONTRADICTED, ""),
        (
            "about: conv, weight_shape: [4, 1, 3, 3]",
            "kernels-over-other-channels",
            "conv reads 3 channels in one group, so that each kernel sees 3; 1 would be those of "
            "3 groups",
        ),
        (
            "about: conv, weight_shape: [4, 2, 3, 3]",
            "kernels-over-other-channels",
            "conv reads 3 channels in one group, so that each kernel sees 3",
        ),
        ("about: conv, weight_shape: [4, 3, 5, 5]", CONTRADICTED, ""),
        ("about: fc, weight_shape: [10, 255]", CONTRADICTED, ""),
        ("about: network, layers: {dropout: 2}", "layer-count-differs", ""),
        (
            "about: network, layers: {local_response_norm: 2}",
            "layer-count-differs",
            "in their place it has 1 batch_norm layer, another operation, with parameters",
        ),
        ("about: conv, settings: {bias: 1}", "setting-differs", ""),
        ("about: conv, settings: {padding: same}", "setting-differs", ""),
        ("about: norm, settings: {eps: 1.0e-5}", "setting-differs", ""),
        ("about: conv, settings: {weight_init.std: 0.01}", "setting-differs", ""),
        ("about: conv, settings: {bias_init: ones}", "setting-differs", ""),
        ("about: training, settings: {schedule.drops: 3}", "setting-differs", ""),
        ("about: training, settings: {short_side: 256}", "setting-differs", ""),
        ("about: training, settings: {pca_jitter.std: 0.1}", "setting-differs", ""),
        (
            "about: training, settings: {weight_decay: 0.0005}",
            "setting-differs",
            "that is 0.0005 x 0.01, the learning rate, which the optimiser multiplies with once "
            "more",
        ),
        ("about: training, settings: {weight_decay: 0.005}", "setting-differs", ""),
        ("formula: (27 - 5 + 2)/2 + 1, claimed: 11", "wrong-arithmetic", "24/2 + 1 = 13"),
        (
            "formula: (224 - 11)/4 + 1, claimed: 54",
            "wrong-arithmetic",
            "54 is 54.25 rounded down",
        ),
        ("formula: 11/4, claimed: 3", "wrong-arithmetic", "3 is 2.75 rounded up"),
        ("formula: 2 + 2, claimed: 5", "wrong-arithmetic", ""),
        ("formula: ((2 - 4) + 1)*3, claimed: 5", "wrong-arithmetic", ""),
        (
            "formula: floor((7 - 2)/2) + (1 + 1), claimed: 5",
            "wrong-arithmetic",
            "floor(5/2) + 2 = 4",
        ),
        ("formula: (1/3)*2, claimed: 5", "wrong-arithmetic", ""),
    ],
)
def test_contradicted(network: Network, claim: str, rule: str, explanation: str) -> None:
    verdict = _check(network, claim, rule)
    if claim.startswith("about: input"):
        assert verdict.explanation.startswith(explanation.partition(";")[0])
    else:
        assert verdict.explanation == explanation


def test_a_kernel_in_place_of_an_input(network: Network) -> None:
    layers = [*LAYERS[:3], "name: next, type: conv2d, filters: 2, kernel_size: 5, groups: 2"]
    graph = network(layers, (3, 8, 8), "claims: [{about: relu, shape: [2, 5, 5]}]")
    (verdict,) = archspec.analyze(graph).claims
    assert verdict.explanation == "that is one kernel of next (channels x height x width)"


def test_claims_about_layers_without_a_shape_are_left_open(network: Network) -> None:
    layers = [
        "name: conv, type: conv2d, filters: 4, kernel_size: 9",
        "name: relu, type: relu",
    ]
    claims = (
        "claims: [{about: relu, params: 1}, {about: network, params: 1}, "
        "{about: network, shape: [1]}, {about: input, neurons: 192}]"
    )
    found = archspec.analyze(network(layers, (3, 8, 8), claims))
    assert [claim.about for claim in found.claims] == ["input"]
    errors = [d.name for d in found.diagnostics if d.severity == "error"]
    assert errors == ["window-larger-than-input"]


def test_a_claim_about_no_layer_suggests_one(network: Network) -> None:
    graph = network(LAYERS, (3, 8, 8), "claims: [{about: cnov, params: 1}]")
    found = archspec.analyze(graph)
    assert found.claims == ()
    (diagnostic,) = [d for d in found.diagnostics if d.name == "unknown-input"]
    assert diagnostic.help == "did you mean `conv`?"
    assert diagnostic.line == 4


BLOCKS = """
archspec: 1
name: blocks
input: {channels: 3, height: 8, width: 8}
variables: {extra: false}
blocks:
  pair:
    layers:
      - {name: conv, type: conv2d, filters: 4, kernel_size: 3, padding: 1}
      - {name: relu, type: relu}
layers:
  - name: stage
    repeat: 2
    layers:
      - {name: pair, block: pair, repeat: 3}
      - {name: pool, type: max_pool2d, kernel_size: 2}
  - {name: last, block: pair, when: $extra}
claims:
"""
FIRST, OTHER = (3 * 9 + 1) * 4, (4 * 9 + 1) * 4


@pytest.mark.parametrize(
    ("claim", "computed"),
    [
        ("about: stage1, params: 0", FIRST + 2 * OTHER),
        ("about: stage2, params: 0", 3 * OTHER),
        ("about: stage, params: 0", FIRST + 5 * OTHER),
        ("about: stage1.pair, params: 0", FIRST + 2 * OTHER),
        ("about: stage1.pair1, params: 0", FIRST),
        ("about: stage1.pair1, macs: 0", 64 * 27 * 4),
        ("about: stage1.pair1, neurons: 0", 64 * 4),
        ("about: stage1.pair1, connections: 0", 64 * 4 * 28),
        ("about: stage1.pair, shape: [1]", (4, 8, 8)),
        ("about: stage1, shape: [1]", (4, 4, 4)),
        ("about: stage, shape: [1]", (4, 2, 2)),
        ("about: last, params: 1", 0),
        ("about: last, shape: [1]", (4, 2, 2)),
    ],
)
def test_of_blocks_groups_and_repetitions(
    claim: str, computed: int | tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "blocks.yaml"
    path.write_text(f"{BLOCKS}  - {{{claim}}}\n")
    found = archspec.analyze(path)
    (verdict,) = found.claims
    assert verdict.computed == computed
    assert [d.severity for d in found.diagnostics if d.severity != "note"] == ["warning"]


@pytest.mark.parametrize(
    ("claim", "explanation"),
    [
        (f"params: {FIRST + 2 * OTHER - 12}", "the 12 biases are left out"),
        (f"params: {64 * 4 * (28 + 2 * 37)}", "that counts connections; weights are shared"),
        (f"macs: {2 * 64 * 4 * 99}", "that counts floating-point operations"),
    ],
)
def test_explanations_of_blocks(claim: str, explanation: str, tmp_path: Path) -> None:
    path = tmp_path / "blocks.yaml"
    path.write_text(f"{BLOCKS}  - {{about: stage1, {claim}}}\n")
    (verdict,) = archspec.analyze(path).claims
    assert verdict.explanation.startswith(explanation)


@pytest.mark.parametrize("about", ["stage3", "stage1.pair4", "stage.none", "stage1.pair1.conv.x"])
def test_of_no_block(about: str, tmp_path: Path) -> None:
    path = tmp_path / "blocks.yaml"
    path.write_text(f"{BLOCKS}  - {{about: {about}, params: 1}}\n")
    found = archspec.analyze(path)
    assert [d.name for d in found.diagnostics if d.severity == "error"] == ["unknown-input"]


def test_of_blocks_in_a_plain_spec(tmp_path: Path) -> None:
    path, plain = tmp_path / "blocks.yaml", tmp_path / "plain.yaml"
    claims = ["stage1, params: 0", "stage1.pair1, macs: 0", "stage1.pair, shape: [1]"]
    lost = ["stage, params: 0", "last, params: 1"]
    path.write_text(BLOCKS + "".join(f"  - {{about: {claim}}}\n" for claim in [*claims, *lost]))
    found = archspec.analyze(path)
    plain.write_text(expand(found.graph))
    again = archspec.analyze(plain)
    assert [v.computed for v in again.claims] == [v.computed for v in found.claims[:3]]
    assert [v.about for v in again.claims] == ["stage1", "stage1.pair1", "stage1.pair3.relu"]


@pytest.mark.parametrize(
    ("claim", "rule", "right"),
    [
        ("about: conv, params: 7168", "connections-as-params", "connections: 7168"),
        ("about: conv, params: 256", "neurons-as-params", "neurons: 256"),
        ("about: fc, flops: 2560", "macs-and-flops-confused", "macs: 2560"),
        (f"about: fc, macs: {2 * 2560 + 10}", "macs-and-flops-confused", "flops: 5130"),
    ],
)
def test_a_fix_puts_the_claim_right(network: Network, claim: str, rule: str, right: str) -> None:
    claims = f"claims: [{{about: fc, macs: 2560, source: x}}, {{{claim}, source: y}}]"
    graph = network(LAYERS, (3, 8, 8), claims)
    (diagnostic,) = _about_claims(archspec.analyze(graph))
    assert diagnostic.name == rule
    (fix,) = diagnostic.fixes
    assert not fix.safe
    fixed = yaml.safe_load(claims)["claims"]
    for place, value in fix.changes.items():
        section, index, key = place.split(".")
        assert (section, index) == ("claims", "1")
        if value is None:
            del fixed[1][key]
        else:
            fixed[1][key] = value
    key, _, value = right.partition(": ")
    assert str(fixed[1][key]) == value
    assert value in claim  # the figure stays the source's
    found = archspec.analyze(network(LAYERS, (3, 8, 8), f"claims: {json.dumps(fixed)}"))
    assert [verdict.verdict for verdict in found.claims] == ["holds", "holds"]


@pytest.mark.parametrize(
    "claim",
    [
        "about: conv, params: 108",
        "about: norm, params: 16",
        "about: conv, params: 40",
        "about: conv, neurons: 30",
        "about: fc, macs: 5120",
        "formula: 2 + 2, claimed: 5",
    ],
)
def test_no_fix_changes_what_a_source_says(network: Network, claim: str) -> None:
    graph = network(LAYERS, (3, 8, 8), f"claims: [{{{claim}, source: x}}]")
    (diagnostic,) = _about_claims(archspec.analyze(graph))
    assert diagnostic.fixes == ()


def test_the_kernel_that_was_meant_is_the_fix(network: Network) -> None:
    layers = [*LAYERS[:3], "name: next, type: conv2d, filters: 2, kernel_size: 5, groups: 2"]
    graph = network(layers, (3, 8, 8), "claims: [{about: relu, shape: [2, 5, 5], source: x}]")
    (diagnostic,) = _about_claims(archspec.analyze(graph))
    assert diagnostic.name == "kernel-as-shape"
    assert diagnostic.fixes[0].changes == {
        "claims.0.about": "next",
        "claims.0.shape": None,
        "claims.0.weight_shape": [2, 2, 5, 5],
    }


@pytest.mark.parametrize("quantity", ["layers", "settings"])
def test_every_entry_of_a_mapping_has_a_verdict_at_its_place(
    network: Network, quantity: str
) -> None:
    figures = {"layers": "{relu: 1, dropout: 1, conv2d: 1}", "settings": "{eps: 1, decay: 0.9}"}
    about = {"layers": "network", "settings": "norm"}[quantity]
    claim = f"claims: [{{about: {about}, {quantity}: {figures[quantity]}, source: x}}]"
    found = archspec.analyze(network(LAYERS, (3, 8, 8), claim))
    wrong = {"layers": "dropout", "settings": "eps"}[quantity]
    keys = {"layers": ["relu", "dropout", "conv2d"], "settings": ["eps", "decay"]}[quantity]
    assert [v.quantity for v in found.claims] == [f"{quantity}.{key}" for key in keys]
    assert [v.verdict == "holds" for v in found.claims] == [key != wrong for key in keys]
    (diagnostic,) = _about_claims(found)
    assert diagnostic.column == 1 + claim.index(f"{wrong}: ") + len(f"{wrong}: ")


def test_claims_of_bytes_are_for_one_image(network: Network) -> None:
    claims = "claims: [{about: network, activation_bytes: 4136, source: x}]"
    found = archspec.analyze(network(LAYERS, (3, 8, 8), claims), batch=7)
    assert [v.verdict for v in found.claims] == ["holds"]


def test_the_size_of_a_window_that_is_a_radius(network: Network) -> None:
    layers = [
        "name: norm, type: local_response_norm, size: 11, alpha: 0.1, beta: 0.75, k: 2, "
        "alpha_mode: sum"
    ]
    claims = "claims: [{about: norm, settings: {size: 5}, source: x}]"
    (verdict,) = archspec.analyze(network(layers, (3, 8, 8), claims)).claims
    assert verdict.explanation == (
        "a radius of 5 is a window of 11 channels; a window of 5 is a radius of 2"
    )


def test_layers_of_training_alone_are_not_counted(network: Network) -> None:
    layers = [
        "name: conv, type: conv2d, filters: 2, kernel_size: 3",
        "name: pool, type: global_avg_pool2d",
        "name: head, type: dense, units: 5",
        "name: flat, type: flatten, inputs: [conv]",
        "name: fc, type: dense, units: 5",
    ]
    claims = (
        "auxiliary: [{layer: head}]\nclaims: [{about: network, layers: {dense: 1, "
        "global_avg_pool2d: 0}, source: x}, {about: network, weighted_layers: 2, source: x}, "
        "{about: head, weighted_layers: 1, source: x}]"
    )
    found = archspec.analyze(network(layers, (3, 8, 8), claims))
    assert {v.verdict for v in found.claims} == {"holds"}


def test_two_sources_that_disagree(network: Network) -> None:
    claims = "claims: [{about: conv, shape: [4, 9, 9], source: a blog}, RIGHT]"
    right = "{about: conv, shape: [4, 8, 8], source: the paper}"
    graph = network(LAYERS, (3, 8, 8), claims.replace("RIGHT", right))
    (diagnostic,) = _about_claims(archspec.analyze(graph))
    assert diagnostic.name == "claims-disagree"
    assert diagnostic.message.endswith("but it has 4 x 8 x 8: line 4 says so (the paper)")
    other = "{about: conv, shape: [4, 7, 7], source: the paper}"
    found = archspec.analyze(network(LAYERS, (3, 8, 8), claims.replace("RIGHT", other)))
    assert [d.name for d in _about_claims(found)] == [CONTRADICTED] * 2


def test_a_known_confusion_stays_what_it_is_beside_the_right_figure(network: Network) -> None:
    claims = (
        f"claims: [{{about: conv, params: {CONV}, source: x}}, "
        "{about: conv, params: 108, source: y}]"
    )
    (diagnostic,) = _about_claims(archspec.analyze(network(LAYERS, (3, 8, 8), claims)))
    assert diagnostic.name == "biases-left-out"


@pytest.mark.parametrize(
    ("claim", "hidden"),
    [
        ("params: 200, tolerance: 0.5", True),
        ("params: 120, tolerance: 0.5", False),
        ("params: 120, tolerance: 0.1", False),
        ("params: 1000, bound: at_most, tolerance: 0.5", False),
        ("params: 1000, tolerance: 0.5", False),  # it fails
    ],
)
def test_a_tolerance_that_hides_a_difference(network: Network, claim: str, hidden: bool) -> None:
    claims = f"claims: [{{about: conv, {claim}, source: x}}]"
    found = archspec.analyze(network(LAYERS, (3, 8, 8), claims)).diagnostics
    assert ("tolerance-hides-difference" in [d.name for d in found]) == hidden


def test_the_same_claim_twice(network: Network) -> None:
    one = f"{{about: conv, params: {CONV}, source: x}}"
    rounded = f"{{about: conv, params: {CONV}, tolerance: 0.01, source: x}}"
    for second, names in ((one, ["duplicate-claim"]), (rounded, [])):
        claims = f"claims:\n  - {one}\n  - {second}"
        found = archspec.analyze(network(LAYERS, (3, 8, 8), claims))
        assert [d.name for d in _about_claims(found)] == names


def test_a_receptive_field_that_differs_from_place_to_place(network: Network) -> None:
    layers = ["name: pool, type: adaptive_avg_pool2d, output_size: 5"]
    claims = "claims: [{about: pool, receptive_field: 2, source: x}]"
    found = archspec.analyze(network(layers, (3, 8, 8), claims))
    assert found.claims == ()
    assert [(d.name, d.severity) for d in _about_claims(found)] == [("claim-unchecked", "note")]


def test_a_layer_cannot_be_called_training(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    head = "archspec: 1\nname: a\ninput: {channels: 1, height: 1, width: 1}\n"
    path.write_text(f"{head}layers: [{{name: training, type: relu}}]\n")
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load(path)
    assert [d.name for d in caught.value.diagnostics] == ["invalid-name"]


def test_formulas_cannot_take_forever(network: Network) -> None:
    claims = "".join(
        f"  - {{formula: sum(range(100000)) + {n}, claimed: 4999950000, source: x}}\n"
        for n in range(100)
    )
    found = archspec.analyze(network(LAYERS, (3, 8, 8), f"claims:\n{claims}"))
    assert "limit-exceeded" in {d.name for d in found.diagnostics}
    assert 1 <= len(found.claims) <= 10


@pytest.mark.parametrize("layers", [1_000])
def test_many_claims_take_no_time(network: Network, layers: int) -> None:
    """A count over all layers is made once, however many claims ask for it."""
    chain = [f"name: relu{n}, type: relu" for n in range(layers)]
    claim = f"  - {{about: network, layers: {{relu: {layers}, conv2d: 0}}, source: x}}\n"
    graph = network(chain, (3, 8, 8), f"claims:\n{claim * layers}")
    start = time.process_time()
    assert len(archspec.analyze(graph).claims) == 2 * layers
    assert time.process_time() - start < SOON
