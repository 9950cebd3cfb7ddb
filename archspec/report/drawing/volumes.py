"""What the figure draws of a chain: its maps and vectors, and what leads from each to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from archspec.analysis import Analysis
from archspec.graph import Node
from archspec.layers.base import Shape
from archspec.layers.conv2d import Conv2d
from archspec.layers.window import Window
from archspec.report.drawing import words
from archspec.report.drawing.boxes import Box
from archspec.spec.fields import INPUT

# A figure of more volumes than this shows those of a block, or of one shape, as one.
MANY = 20
# Of so many convolutions in one volume the kernels are written down.
FEW_KERNELS = 2
# Groups that are drawn as towers; more are said in words.
MOST_TOWERS = 4


@dataclass
class Volume:
    """The output of a convolution or a dense layer, or the image (`head` is None).

    `shape` is that output's, None behind an error; `after` is the shape behind what follows
    (pools above all), which the next volume reads. `window` slides over what the head reads.
    `merged` counts the volumes that this one stands for, whose kernels are `kernels`.
    """

    name: str
    head: Node | None
    shape: Shape | None
    after: Shape | None
    window: Window | None = None
    layers: list[str] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    follows: list[str] = field(default_factory=list)
    section: str = ""
    towers: int = 1
    crossing: bool = False
    merged: int = 1
    kernels: list[str] = field(default_factory=list)

    @property
    def vector(self) -> bool:
        """Whether it has no height and width."""
        return self.shape is not None and len(self.shape) == 1


def volumes_of(boxes: Sequence[Box], analysis: Analysis) -> list[Volume]:
    """The volumes of a chain, in order; each layer belongs to exactly one."""
    image = analysis.graph.input_shape
    found = [Volume("input", None, image, image, layers=[INPUT])]
    for box in boxes:
        head = box.nodes[0]
        if box.kind in ("conv", "dense"):
            found.append(_volume(box, analysis))
        else:
            last = found[-1]
            last.follows.append(words.operation(head, analysis))
            last.layers.append(head.name)
            _follow(last, head, analysis)
        for node in box.nodes[1:]:
            found[-1].follows.append(words.short_type(node.layer))
            found[-1].layers.append(node.name)
            _follow(found[-1], node, analysis)
    if len(found) > MANY:
        found = _merged(found, lambda a, b: bool(a.section) and a.section == b.section)
    if len(found) > MANY:
        found = _merged(found, lambda a, b: a.shape == b.shape == a.after)
    _raise_towers(found, analysis)
    return found


def _follow(volume: Volume, node: Node, analysis: Analysis) -> None:
    """Take note of the size behind a layer that is drawn with the volume before it."""
    shape = _shape(node.name, analysis)
    if shape is not None and shape != volume.after:
        volume.follows.append(f"→ {words.sizes(shape[1:] or shape)}")
    volume.after = shape


def _volume(box: Box, analysis: Analysis) -> Volume:
    head = box.nodes[0]
    inferred = analysis.shapes.layers.get(head.name)
    return Volume(
        box.name,
        head,
        _shape(head.name, analysis),
        _shape(head.name, analysis),
        inferred.window if inferred else None,
        [head.name],
        words.operation(head, analysis).split(", "),
        section=box.section or box.name.rpartition(".")[0],
        kernels=[words.by(inferred.window.kernel_size)] if inferred and inferred.window else [],
    )


def _merged(volumes: Sequence[Volume], alike: Callable[[Volume, Volume], bool]) -> list[Volume]:
    """The volumes with neighbours that are alike as one: the last one's shape, all the layers."""
    found: list[Volume] = []
    for volume in volumes:
        before = found[-1] if found else None
        if before is None or before.head is None or not alike(before, volume):
            found.append(volume)
            continue
        before.shape, before.after = volume.shape, volume.after
        before.layers += volume.layers
        before.merged += volume.merged
        before.name = before.section if before.section == volume.section else before.name
        before.kernels += volume.kernels
        before.operations = (
            [" + ".join(before.kernels), "conv"]
            if len(before.kernels) <= FEW_KERNELS
            else [f"{before.merged} convolutions"]
        )
        after = volume.after
        before.follows = (
            [f"→ {words.sizes(after[1:] or after)}"] if after and after != volume.shape else []
        )
    return found


def _raise_towers(volumes: Sequence[Volume], analysis: Analysis) -> None:
    """Let volumes stand in towers between the first and the last layer whose groups say so."""
    groups = [_groups(volume) for volume in volumes]
    count = max(groups)
    if not 2 <= count <= MOST_TOWERS or not set(groups) <= {1, count}:
        return
    grouped = [number for number, own in enumerate(groups) if own == count]
    # The layer before the first grouped one has its channels in towers already.
    for number in range(max(grouped[0] - 1, 1), grouped[-1] + 1):
        shape = volumes[number].shape
        if shape is None or len(shape) == 1 or shape[0] % count:
            return
    for number in range(max(grouped[0] - 1, 1), grouped[-1] + 1):
        volumes[number].towers = count
        volumes[number].crossing = groups[number] == 1


def _groups(volume: Volume) -> int:
    layer = volume.head.layer if volume.head is not None else None
    return layer.groups if isinstance(layer, Conv2d) and volume.merged == 1 else 1


def _shape(name: str, analysis: Analysis) -> Shape | None:
    found = analysis.by_name.get(name)
    return found.output_shape if found else None
