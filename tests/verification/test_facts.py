"""The built models against the analysis: what they are, and models that are something else."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from networks import branching, heads, layer, network

import archspec
from archspec.backends import get_backend
from archspec.graph import Graph
from archspec.verification.checks import Subject
from archspec.verification.facts import Fact, Facts, facts

CONV = {"filters": 4, "kernel_size": 3, "bias": False}


def small() -> Graph:
    """Each figure of it is one that a small change of the source changes."""
    layers = [
        layer("conv1", "conv2d", stride=2, padding=[2, 0, 2, 0], **CONV),
        layer("norm1", "batch_norm", eps=1.0e-3, decay=0.9),
        layer("relu1", "relu"),
        layer("pool1", "max_pool2d", kernel_size=2, stride=1),
        layer("still", "conv2d", groups=2, trainable=False, **CONV),
        layer("up", "conv2d_transpose", filters=2, kernel_size=2, groups=2, padding=[1, 0, 0, 1]),
        layer("pool2", "global_avg_pool2d"),
        layer("fc", "dense", units=3),
    ]
    return network(layers, (2, 15, 17), "small")


def measured(graph: Graph, names: Sequence[str] = ("torch", "keras")) -> Facts:
    backends = [get_backend(name) for name in names]
    for backend in backends:
        backend.require()
    figures = {
        backend.name: backend.measure(graph, backend.build_for_verification(graph, "float64"))
        for backend in backends
    }
    found = facts(Subject(graph, tuple(backends), "float64", 2, 0, measured=figures))
    assert found is not None
    return found


def edited(
    monkeypatch: pytest.MonkeyPatch, graph: Graph, name: str, *edits: tuple[str, str]
) -> list[tuple[str, str | None]]:
    """What is found of a backend whose emitted source is edited, wherever it is used."""
    backend = get_backend(name)
    emit = backend.emit

    def emit_edited(graph: Graph) -> str:
        source = emit(graph)
        for old, new in edits:
            assert old in source
            source = source.replace(old, new)
        return source

    monkeypatch.setattr(backend, "emit", emit_edited)
    found = measured(graph, [name])
    assert found.equal == all(fact.equal for fact in found.facts)
    return [(fact.what, fact.layer) for fact in found.facts if not fact.equal]


def test_the_models_of_a_network_are_what_the_analysis_says() -> None:
    graph = small()
    found = measured(graph)
    assert found.equal
    totals = archspec.analyze(graph).totals
    by_what: dict[tuple[str, str], list[Fact]] = {}
    for fact in found.facts:
        by_what.setdefault((fact.what, fact.backend), []).append(fact)
    for backend in ("torch", "keras"):
        assert [f.measured for f in by_what["trainable_params", backend]] == [
            totals.trainable_params
        ]
        assert [f.measured for f in by_what["non_trainable_params", backend]] == [
            totals.non_trainable_params
        ]
        assert [f.layer for f in by_what["shape", backend]] == [n.name for n in graph.nodes]
    assert sum(f.measured for f in by_what["flops", "torch"]) == 2 * totals.macs
    assert ("flops", "keras") not in by_what
    fields = {f.layer: f for f in by_what["receptive_field", "torch"]}
    assert list(fields) == ["conv1", "pool1", "still", "up", "pool2"]
    assert fields["still"].inside
    assert fields["still"].measured[0][1] - fields["still"].measured[0][0] + 1 == 3 + 2 + 2 * 2
    assert not fields["pool2"].inside  # it sees everything
    json.dumps(found.to_json())


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        (
            "kernel_size=3, stride=2",
            "kernel_size=3, stride=1",
            {"shape", "flops", "receptive_field"},
        ),
        (
            "kernel_size=2, stride=1",
            "kernel_size=2, stride=1, padding=1",
            {"shape", "flops", "receptive_field"},
        ),
        ("groups=2, bias=False", "bias=False", {"flops", "non_trainable_params"}),
        ("stride=2, bias=False", "stride=2", {"trainable_params"}),
        ("self.still.requires_grad_(False)", "pass", {"trainable_params", "non_trainable_params"}),
        ("x = self.still(x)", "self.still(x); x = self.still(x)", {"flops"}),
        # Nothing tells these apart but what they see.
        ("sides=(2, 0, 2, 0)", "sides=(1, 1, 1, 1)", {"receptive_field"}),
        ("sides=(0, 1, 1, 0)", "sides=(1, 0, 0, 1)", {"receptive_field"}),
        ("self.still(x)", "self.still(x.roll(1, dims=3))", {"receptive_field"}),
        ("self.still(x)", "self.still(x * x.new_tensor([1.0, 0.0] * 4))", {"receptive_field"}),
    ],
)
def test_another_model_in_pytorch_is_found(
    monkeypatch: pytest.MonkeyPatch, old: str, new: str, wrong: set[str]
) -> None:
    found = edited(monkeypatch, small(), "torch", (old, new))
    assert {what for what, _ in found} == wrong


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ("strides=2", "strides=1", {"shape"}),
        ("use_bias=False", "use_bias=True", {"trainable_params", "non_trainable_params"}),
        ("trainable=False,", "", {"trainable_params", "non_trainable_params"}),
        ("MaxPooling2D(2, strides=1", "MaxPooling2D(2, strides=1, padding='same'", {"shape"}),
    ],
)
def test_another_model_in_keras_is_found(
    monkeypatch: pytest.MonkeyPatch, old: str, new: str, wrong: set[str]
) -> None:
    found = edited(monkeypatch, small(), "keras", (old, new))
    assert {what for what, _ in found} == wrong


def test_what_is_used_in_training_alone_is_compared_too() -> None:
    found = measured(heads(), ["torch"])
    assert found.equal
    layers = {(fact.what, fact.layer) for fact in found.facts}
    assert {("shape", "aux1.fc"), ("flops", "aux1.fc"), ("flops", "aux2.conv")} <= layers


def test_a_field_that_hangs_over_the_edge_is_measured_on_a_larger_image() -> None:
    conv = {"filters": 2, "kernel_size": 3, "padding": 1}
    layers = [layer(f"conv{number}", "conv2d", **conv) for number in range(1, 6)]
    found = measured(network([*layers, layer("flat", "flatten")], (1, 8, 9)), ["torch"])
    fields = {f.layer: f for f in found.facts if f.what == "receptive_field"}
    assert fields["conv3"].image is None
    last = fields["conv5"]
    assert last.equal
    assert last.inside
    assert last.image == (12, 12)
    (top, bottom), (left, right) = last.measured
    assert (bottom - top, right - left) == (10, 10)
    (section,) = found.sections()
    assert any("conv5" in note and "12 x 12" in note for note in section.notes)


def test_what_stands_behind_a_gate_sees_the_whole_image() -> None:
    found = measured(branching(), ["torch"])
    assert [fact for fact in found.facts if not fact.equal] == []
    field = next(f for f in found.facts if f.what == "receptive_field" and f.layer == "dilated")
    assert field.measured == ((0, 10), (0, 11))


def test_narrow_networks_of_dead_relus_and_pools_are_seen_through() -> None:
    narrow = {"filters": 1, "kernel_size": 3}
    layers = [
        layer("conv1", "conv2d", **narrow),
        layer("relu1", "relu"),
        layer("pool1", "max_pool2d", kernel_size=3, stride=2, rounding="floor"),
        layer("conv2", "conv2d", **narrow),
        layer("clipped", "relu6"),
        layer("pool2", "max_pool2d", kernel_size=2, rounding="floor"),
        layer("conv3", "conv2d", **narrow),
        layer("gate", "hard_sigmoid"),
    ]
    found = measured(network(layers, (1, 33, 33)), ["torch"])
    assert found.equal, found.facts
    assert all(f.inside and f.measured for f in found.facts if f.what == "receptive_field")


def test_a_constant_has_no_gradient_and_no_fault() -> None:
    layers = [
        layer("conv1", "conv2d", filters=1, kernel_size=2),
        layer("certain", "softmax"),  # of one channel
        layer("conv2", "conv2d", filters=2, kernel_size=2),
    ]
    found = measured(network(layers, (1, 4, 4)), ["torch"])
    assert found.equal
    fields = {f.layer: f.measured for f in found.facts if f.what == "receptive_field"}
    assert fields == {"conv1": ((1, 2), (1, 2)), "conv2": None}


def test_the_shipped_networks_are_what_the_analysis_says() -> None:
    found = measured(archspec.load("alexnet"), ["torch"])
    assert found.equal
    pool5 = next(f for f in found.facts if (f.what, f.layer) == ("receptive_field", "pool5"))
    assert pool5.measured == ((0, 194), (0, 194))  # 195 x 195: the figure of the analysis
