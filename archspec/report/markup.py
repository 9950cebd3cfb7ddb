"""Markup built from text that nobody vouches for: HTML and SVG, always well-formed.

A spec's words reach a page through `element` alone, which escapes every string that is not
`Markup` already. What comes out is XML and, with the doctype before it, HTML as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# What XML 1.0 does not allow in a document, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Elements of HTML that have no end tag.
_VOID = frozenset({"br", "col", "hr", "input", "link", "meta"})


class Markup(str):
    """Text that is markup already and is not escaped again."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Text as it stands between tags and in quoted attributes; `Markup` as it is."""
    if isinstance(text, Markup):
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Markup(_FORBIDDEN.sub("?", text.replace('"', "&quot;")))


def element(tag: str, /, *children: str, **attributes: str | float | bool | None) -> Markup:
    """One element. Children are escaped unless they are `Markup`.

    Attributes are given as keywords: `_` stands for `-` and one at the end is left out
    (`class_`, `stroke_width`). None and False leave an attribute out, True gives it no value,
    numbers have at most two digits behind the point.
    """
    parts = [f"<{tag}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.removesuffix("_").replace("_", "-")
        parts.append(f' {attribute}="{"" if value is True else _value(value)}"')
    if tag in _VOID:
        return Markup("".join([*parts, "/>"]))
    return Markup("".join([*parts, ">", *map(escape, children), f"</{tag}>"]))


def joined(parts: Iterable[str], between: str = "") -> Markup:
    """Pieces one after another as one piece of markup."""
    return Markup(escape(between).join(map(escape, parts)))


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else number(value)


def number(value: float) -> str:
    """12, 12.5, 0.25: at most two digits behind the point."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
