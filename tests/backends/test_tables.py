"""Every layer type stands in every backend's table and brings examples to test it on."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from archspec.backends import backend_names, get_backend
from archspec.backends.table import Table
from archspec.diagnostics import ArchspecError
from archspec.layers import layer_types

BACKENDS = ("keras", "numpy", "onnx", "torch")


def test_the_backends_are_found_through_their_entry_points() -> None:
    assert backend_names() == BACKENDS
    assert [get_backend(name).name for name in BACKENDS] == list(BACKENDS)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_layer_type_has_an_entry(backend: str) -> None:
    table = importlib.import_module(f"archspec.backends.{backend}.layers").LAYERS
    assert sorted(table) == sorted(layer_types())


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_tables_are_in_alphabetical_order(backend: str) -> None:
    table = importlib.import_module(f"archspec.backends.{backend}.layers").LAYERS
    assert list(table) == sorted(table)


@pytest.mark.parametrize("kind", layer_types())
def test_every_layer_type_has_at_least_two_examples(kind: str) -> None:
    examples = layer_types()[kind].examples
    assert len(examples) >= 2
    assert all(len(example.inputs) >= layer_types()[kind].arity[0] for example in examples)


def test_a_layer_type_without_an_entry_is_a_clear_error() -> None:
    table: Table[Any] = Table("mine", {}, Path(__file__), ())
    relu = layer_types()["relu"].model_validate({"name": "x", "type": "relu"})
    with pytest.raises(ArchspecError, match=r"the mine backend has no entry for .* `relu`"):
        table.entry(relu)
