"""Reading SVG back: the labels, boxes and lines of a drawing as rectangles and segments."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from archspec.report.drawing import lettering

# What would run, were it not escaped.
HOSTILE = '</style></script><script>document.title="owned"</script><img src=x onerror=alert(1)>"\'&'
SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Rectangle:
    """What something covers; `what` says in a message what it is."""

    left: float
    top: float
    right: float
    bottom: float
    what: str

    def meets(self, other: Rectangle, slack: float = 0.5) -> bool:
        """Whether the two cover a common area, more than `slack` wide and high."""
        return (
            min(self.right, other.right) - max(self.left, other.left) > slack
            and min(self.bottom, other.bottom) - max(self.top, other.top) > slack
        )


def parsed(svg: str) -> ElementTree.Element:
    """The root of a picture, which must be well-formed."""
    return ElementTree.fromstring(svg)


def labels(root: ElementTree.Element) -> list[Rectangle]:
    """Every line of text, as wide as it is at most."""
    found = []
    for text in root.iter(f"{SVG}text"):
        size = float(text.attrib["font-size"])
        words = text.text or ""
        bold = "strong" in text.get("class", "")
        width = lettering.width_of(words, size, bold=bold)
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        x -= {"middle": width / 2, "end": width}.get(text.get("text-anchor", "start"), 0)
        found.append(Rectangle(x, y - 0.75 * size, x + width, y + 0.2 * size, words))
    return found


def boxes(root: ElementTree.Element) -> list[Rectangle]:
    """The boxes of layers: no ground of a block and no paper."""
    found = []
    for group in root.iter(f"{SVG}g"):
        if group.get("data-layers") is None:
            continue
        for rect in group.findall(f"{SVG}rect"):
            x, y, width, height = (
                float(rect.attrib[name]) for name in ("x", "y", "width", "height")
            )
            found.append(Rectangle(x, y, x + width, y + height, group.attrib["data-layers"]))
    return found


def segments(root: ElementTree.Element) -> Iterator[Rectangle]:
    """The straight pieces of the lines between boxes, as rectangles without breadth."""
    for line in root.iter(f"{SVG}polyline"):
        if line.get("class") != "link":
            continue
        points = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
        for (x, y), (x2, y2) in itertools.pairwise(points):
            yield Rectangle(min(x, x2), min(y, y2), max(x, x2), max(y, y2), "line")


def drawn_layers(root: ElementTree.Element) -> set[str]:
    """The names of the layers that some box stands for."""
    groups = (group.get("data-layers") for group in root.iter(f"{SVG}g"))
    return {name for names in groups if names for name in names.split()}


def overlapping(rectangles: list[Rectangle]) -> list[tuple[str, str]]:
    """What covers a common area, pair by pair."""
    found = []
    active: list[Rectangle] = []
    for rectangle in sorted(rectangles, key=lambda r: r.left):
        active = [other for other in active if other.right > rectangle.left]
        found += [(other.what, rectangle.what) for other in active if other.meets(rectangle)]
        active.append(rectangle)
    return found
