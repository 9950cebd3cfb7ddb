"""The exam: every mistake of the five public implementations that a spec can show is reported.

For each entry under `wrong` in seeds.json: the diagnostics that report it, with the line of the
spec that they point at, or the reason why no spec can show it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import archspec

SEEDS = json.loads((Path(__file__).parents[1] / "data" / "seeds.json").read_text("utf-8"))
WRONG = {
    (document, place): entry["claims"]
    for document, seed in SEEDS.items()
    if isinstance(seed, dict)
    for place, entry in enumerate(seed["wrong"])
}

Reported = tuple[str, str, str]  # spec, code, the beginning of the line without blanks

FIRST = "000_149deedfbc90dfb9.txt"
SECOND = "001_0aaf9cea0618b07c.txt"
THIRD = "002_5abf4e8fcda9d133.txt"
FOURTH = "003_843d82ab2a00ede1.txt"
FIFTH = "004_c1ec4d9c7f9c92f6.txt"

REPORTED: dict[tuple[str, int], list[Reported]] = {
    (FIRST, 0): [
        ("alexnet-bvlc-tensorflow", "AS302", "- {about: conv1, params: 105705600"),
    ],
    (FIRST, 1): [
        ("alexnet-bvlc-tensorflow", "AS308", "- {about: norm1, shape: [48, 5, 5]"),
        ("alexnet-bvlc-tensorflow", "AS308", "- {about: norm2, shape: [256, 3, 3]"),
        ("alexnet-bvlc-tensorflow", "AS308", "- {about: relu3, shape: [192, 3, 3]"),
        ("alexnet-bvlc-tensorflow", "AS308", "- {about: relu4, shape: [192, 3, 3]"),
    ],
    (SECOND, 0): [("alexnet-same-padding", "AS201", "- {name: relu8, type: relu}")],
    (SECOND, 1): [
        ("alexnet-same-padding", "AS208", "- {name: lrn1, type: local_response_norm, size: 11"),
        ("alexnet-same-padding", "AS208", "- {name: lrn2, type: local_response_norm, size: 11"),
        ("alexnet-same-padding", "AS313", "- {about: lrn1, settings: {size: 5"),
        ("alexnet-same-padding", "AS313", "- {about: lrn2, settings: {size: 5"),
    ],
    (SECOND, 4): [
        ("alexnet-same-padding", "AS501", "optimizer: {type: sgd"),
        ("alexnet-same-padding", "AS313", "- {about: training, settings: {learning_rate: 0.01"),
    ],
    (THIRD, 0): [
        ("alexnet-keras-10", "AS304", "- {about: dense_1, params: 37748736"),
        ("alexnet-keras-10", "AS304", "- {about: dense_2, params: 16777216"),
        ("alexnet-keras-10", "AS304", "- {about: dense_3, params: 40960"),
    ],
    (THIRD, 1): [("alexnet-keras-10", "AS311", "- {about: conv2d_5, params: 590080")],
    (THIRD, 2): [
        ("alexnet-keras-10", "AS312", "- {about: network, layers: {local_response_norm: 2}"),
        ("alexnet-keras-10", "AS312", "- {about: network, layers: {dropout: 2}"),
    ],
    (FOURTH, 0): [
        ("alexnet-keras-batchnorm", "AS117", "- {name: conv2d_9, type: conv2d, filters: 96"),
        ("alexnet-keras-batchnorm", "AS119", "- {name: max_pooling2d_5, type: max_pool2d"),
        ("alexnet-keras-batchnorm", "AS301", "- {about: conv2d_9, shape: [256, 13, 13]"),
    ],
    (FOURTH, 1): [
        ("alexnet-keras-batchnorm", "AS312", "- {about: network, layers: {dropout: 2}"),
        ("alexnet-keras-batchnorm-narrated", "AS312", "- {about: network, layers: {dropout: 2}"),
    ],
    (FOURTH, 2): [
        (spec, "AS312", "- {about: network, layers: {local_response_norm: 2}")
        for spec in ("alexnet-keras-batchnorm", "alexnet-keras-batchnorm-narrated")
    ],
    (FIFTH, 0): [("alexnet-keras-valid", "AS307", "- {formula: (27 - 5 + 2)/2 + 1, claimed: 11")],
    (FIFTH, 1): [
        ("alexnet-keras-valid", "AS201", "- {name: activation_84, type: relu}"),
        ("alexnet-keras-valid", "AS202", "- {name: dropout_19, type: dropout"),
    ],
    (FIFTH, 2): [
        ("alexnet-keras-valid", "AS313", "- {about: training, settings: {weight_decay: 0.0005}"),
    ],
    (FIFTH, 3): [
        ("alexnet-keras-valid", "AS301", "- {about: Conv2, neurons: 186624"),
        ("alexnet-keras-valid", "AS301", "- {about: Conv5, neurons: 43264"),
    ],
}
NO_SPEC_CAN_SHOW = {
    (FIRST, 2): "the Python around the network: a name that is never passed to its class",
    (SECOND, 2): "the accuracy that is computed from the outputs, behind the network",
    (SECOND, 3): "how the trained network is called: a spec's dropout is off at inference",
}


def test_the_table_has_every_entry_once() -> None:
    assert REPORTED.keys() | NO_SPEC_CAN_SHOW.keys() == WRONG.keys()
    assert not REPORTED.keys() & NO_SPEC_CAN_SHOW.keys()
    assert len(WRONG) == 18


@pytest.mark.parametrize(
    ("spec", "code", "line"), [row for rows in REPORTED.values() for row in rows]
)
def test_it_is_reported_on_its_line(spec: str, code: str, line: str) -> None:
    found = archspec.analyze(spec).diagnostics
    (diagnostic,) = [
        d for d in found if d.code == code and (d.source_line or "").strip().startswith(line)
    ]
    assert diagnostic.severity == "warning"
    assert diagnostic.file.endswith(f"{spec}.yaml")


def test_nothing_of_the_implementations_is_silenced() -> None:
    for spec in {row[0] for rows in REPORTED.values() for row in rows}:
        assert archspec.analyze(spec).silenced == ()
