"""Claims: verdicts, and the likeliest reason of a wrong figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec.api import expand
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


def _check(network: Network, claim: str, rule: str = "") -> Any:
    graph = network(LAYERS, (3, 8, 8), f"claims: [{{{claim}, source: a test}}]\n{RECIPE}")
    found = archspec.analyze(graph)
    (verdict,) = found.claims
    about_claims = [d.name for d in found.diagnostics if d.code.startswith("AS3")]
    assert about_claims == ([rule] if rule else [])
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
    (diagnostic,) = (d for d in found.diagnostics if d.severity == "error")
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
