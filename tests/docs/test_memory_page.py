"""The page about memory has what every layer type keeps, as the layers say it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archspec.layers import layer_types
from archspec.layers.base import Layer

PAGE = (Path(__file__).parents[2] / "docs" / "memory.md").read_text(encoding="utf-8")


def written() -> dict[str, set[str]]:
    """What the table says: the cases of each layer type."""
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (.*) \|$", PAGE, re.MULTILINE)
    return {
        kind: set(cell.split("; or "))
        for kinds, cell in rows
        for kind in re.findall(r"`(\w+)`", kinds)
    }


def cases(layer_type: type[Layer], kind: str) -> set[str]:
    """What the layer keeps in its examples, frozen and not."""
    found = set()
    frozen = [{}, {"trainable": False}] if "trainable" in layer_type.model_fields else [{}]
    for example in layer_type.examples:
        names = [f"i{number}" for number, _ in enumerate(example.inputs)]
        for more in frozen:
            fields = {**example.fields, **more, "name": "x", "type": kind, "inputs": names}
            layer = layer_type.model_validate(fields)
            inferred = layer.infer(example.inputs)
            saved = layer.saved(example.inputs, inferred, (True,) * len(names))
            inputs = "every input" if len(saved.inputs) > 1 else "the input"
            kept = [inputs] if saved.inputs else []
            kept += ["the output"] if saved.output else []
            kept += [extra.what for extra in saved.extra]
            found.add(", ".join(kept) or "nothing")
    return found


def test_the_page_has_every_layer_type() -> None:
    assert written().keys() == layer_types().keys()


@pytest.mark.parametrize("kind", layer_types())
def test_the_table_says_what_the_layers_say(kind: str) -> None:
    assert written()[kind] == cases(layer_types()[kind], kind)
