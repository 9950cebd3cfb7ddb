"""The language page knows every layer type, every key and every initialiser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from archspec.layers import layer_types
from archspec.layers.base import Layer
from archspec.spec.initializers import AnyInitializer
from archspec.spec.network import NetworkSpec

PAGE = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("|")]


def row_of(name: str) -> str:
    (row,) = [r for r in ROWS if re.search(rf"`{name}`", r.split("|")[1])]
    return row


@pytest.mark.parametrize("type_", layer_types())
def test_every_layer_type_has_a_row_with_its_keys(type_: str) -> None:
    row = row_of(type_)
    if type_ == "avg_pool2d":
        row += row_of("max_pool2d")  # "the same and"
    for field in layer_types()[type_].model_fields.keys() - Layer.model_fields.keys():
        assert f"`{field}`" in row, field


def test_every_key_of_the_file_has_a_row() -> None:
    for key in NetworkSpec.model_fields:
        assert row_of(key)


def test_every_initialiser_has_a_row_with_its_arguments() -> None:
    for model in get_args(AnyInitializer):
        (name,) = get_args(model.model_fields["type"].annotation)
        row = row_of(name)
        for argument in model.model_fields.keys() - {"type"}:
            assert f"`{argument}`" in row, (name, argument)
