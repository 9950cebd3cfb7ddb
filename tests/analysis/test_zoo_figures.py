"""Figures of well-known networks that are no totals; those are in tests/test_zoo.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import archspec

Known = Callable[[str], Any]


@pytest.mark.parametrize(
    ("name", "layer", "row"),
    [
        ("vgg16", "stage5.pool", "vgg16 pool5"),
        ("resnet50-v1", "conv5_3.relu3", "resnet50 last stage"),
    ],
)
def test_receptive_fields(name: str, layer: str, row: str, known: Known) -> None:
    field = archspec.analyze(name).by_name[layer].receptive_field
    size, stride = known("alexnet")["receptive_field"][row]
    assert field is not None
    assert (field.size, field.stride) == ((size, size), (stride, stride))
