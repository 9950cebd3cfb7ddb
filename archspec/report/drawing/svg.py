"""A sheet to draw on, in pixels from its upper left corner; it knows how large it must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from archspec.report.drawing import lettering
from archspec.report.drawing.theme import style_sheet
from archspec.report.markup import Markup, element, number

Point = tuple[float, float]
SIZE = 12.0  # of most text
SMALL = 11.0
MARGIN = 16.0
ARROW = 6.0


@dataclass
class Sheet:
    """The elements of a drawing so far and the rectangle that they need."""

    elements: list[Markup] = field(default_factory=list)
    left: float = float("inf")
    top: float = float("inf")
    right: float = float("-inf")
    bottom: float = float("-inf")

    def cover(self, *points: Point) -> None:
        """Let the picture reach to these points."""
        for x, y in points:
            self.left, self.right = min(self.left, x), max(self.right, x)
            self.top, self.bottom = min(self.top, y), max(self.bottom, y)

    def add(self, markup: Markup) -> None:
        """Put something on the sheet whose place is inside of what is covered."""
        self.elements.append(markup)

    def box(
        self, x: float, y: float, width: float, height: float, class_: str, *, radius: float = 5
    ) -> None:
        """A rectangle with rounded corners."""
        self.cover((x, y), (x + width, y + height))
        self.add(element("rect", x=x, y=y, width=width, height=height, rx=radius, class_=class_))

    def polygon(self, points: Sequence[Point], class_: str, **attributes: str | float) -> None:
        """A filled shape."""
        self.cover(*points)
        self.add(element("polygon", points=_points(points), class_=class_, **attributes))

    def line(self, points: Sequence[Point], class_: str, **attributes: str | float) -> None:
        """A line through the points."""
        self.cover(*points)
        self.add(element("polyline", points=_points(points), class_=class_, **attributes))

    def arrow(self, points: Sequence[Point], class_: str = "link") -> None:
        """A line whose last piece goes down, with a head where it ends."""
        *before, (x, y) = points
        self.line([*before, (x, y - ARROW)], class_)
        self.polygon([(x, y), (x - ARROW * 0.6, y - ARROW), (x + ARROW * 0.6, y - ARROW)], "head")

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = SIZE,
        class_: str = "",
        anchor: str = "middle",
    ) -> None:
        """One line of text whose baseline is at `y`."""
        width = lettering.width_of(text, size, bold="strong" in class_)
        start = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        self.cover(
            (start, y - lettering.ASCENT * size), (start + width, y + lettering.DESCENT * size)
        )
        self.add(
            element(
                "text",
                text,
                x=x,
                y=y,
                font_size=size,
                text_anchor=None if anchor == "start" else anchor,
                class_=class_ or None,
            )
        )

    def open(self, title: str, **attributes: str | float | None) -> None:
        """Begin a group with a tooltip."""
        attributes_text = element("g", **attributes).removesuffix("</g>")
        self.elements.append(Markup(attributes_text + element("title", title)))

    def close(self) -> None:
        """End the group."""
        self.elements.append(Markup("</g>"))

    def svg(
        self, title: str, description: str, *, alone: bool = True, identity: str = "drawing"
    ) -> Markup:
        """The picture. `alone`: with its own style sheet, as a file; not so inside a page.

        `identity` tells the pictures of a page apart.
        """
        x, y = self.left - MARGIN, self.top - MARGIN
        width, height = self.right - self.left + 2 * MARGIN, self.bottom - self.top + 2 * MARGIN
        return element(
            "svg",
            element("title", title, id=f"{identity}-title"),
            element("desc", description, id=f"{identity}-description"),
            *([element("style", Markup(style_sheet()))] if alone else []),
            element("rect", x=x, y=y, width=width, height=height, class_="paper"),
            *self.elements,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=" ".join(map(number, (x, y, width, height))),
            width=width,
            height=height,
            class_="drawing",
            role="img",
            aria_labelledby=f"{identity}-title {identity}-description",
        )


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{number(x)},{number(y)}" for x, y in points)
