"""What `load` and `analyze` take for an input shape."""

from __future__ import annotations

from typing import Any

import pytest

import archspec


@pytest.mark.parametrize("input", ["3x224x224", " 3X224X224 ", (3, 224, 224), [3, 224, 224]])
def test_shapes_are_texts_or_numbers(input: Any) -> None:
    assert archspec.load("alexnet", input=input).input_shape == (3, 224, 224)
    assert archspec.analyze("alexnet", input=input).graph.input_shape == (3, 224, 224)


@pytest.mark.parametrize("input", ["", "3x224", [3, 64], [3, 0, 1], [3, True, 2], (3, 2.5, 2)])
def test_anything_else_is_said(input: Any) -> None:
    with pytest.raises(archspec.ArchspecError, match="channels x height x width"):
        archspec.load("alexnet", input=input)
