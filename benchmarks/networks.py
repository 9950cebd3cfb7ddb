"""Networks of any number of layers, as the texts of specs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

CONV = "type: conv2d, filters: 8, kernel_size: 3, padding: 1"


def chain(count: int) -> str:
    """Convolutions and ReLUs, one behind the other, each on a line of its own."""
    layers = []
    for number in range(1, count // 2 + 1):
        layers += [f"name: conv{number}, {CONV}", f"name: relu{number}, type: relu"]
    return _spec("chain", layers)


def residual(count: int) -> str:
    """Blocks of four layers around each of which its input is added, written out."""
    layers, above = [], "input"
    for number in range(1, count // 4 + 1):
        block = f"block{number}"
        layers += [
            f"name: {block}.conv1, {CONV}, inputs: [{above}]",
            f"name: {block}.relu, type: relu",
            f"name: {block}.conv2, {CONV}",
            f"name: {block}.add, type: add, inputs: [{block}.conv2, {above}]",
        ]
        above = f"{block}.add"
    return _spec("residual", layers)


def repeated(count: int) -> str:
    """The same network through a block that is repeated."""
    inside = [
        f"name: conv1, {CONV}",
        "name: relu, type: relu",
        f"name: conv2, {CONV}",
        "name: add, type: add, inputs: [conv2, input]",
    ]
    block = "blocks:\n  basic:\n    layers:\n" + "".join(f"      - {{{x}}}\n" for x in inside)
    return _spec("repeated", [f"name: block, block: basic, repeat: {count // 4}"], block)


def _spec(name: str, layers: list[str], blocks: str = "") -> str:
    head = f"archspec: 1\nname: {name}\ninput: {{channels: 8, height: 32, width: 32}}\n{blocks}"
    return head + "layers:\n" + "".join(f"  - {{{layer}}}\n" for layer in layers)


KINDS: Mapping[str, Callable[[int], str]] = {
    "a chain": chain,
    "a residual network": residual,
    "a residual network by `repeat`": repeated,
}
