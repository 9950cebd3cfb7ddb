"""What every page has: it stands alone, with nothing but its own style and script.

A Content-Security-Policy in the page allows only these two, by their hashes, so that nothing in
a spec or in a run could be run or fetched even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib import resources

from archspec.report.drawing.theme import style_sheet
from archspec.report.markup import Markup, element
from archspec.version import __version__

# An identity, a heading, and what stands below it.
Part = tuple[str, str, Markup]
# A name, a value in a few letters, and the same exactly.
Card = tuple[str, str, str]


def page(
    title: str,
    heading: Sequence[Markup],
    cards: Iterable[Card],
    parts: Sequence[Part],
    *,
    footer: str,
    script: str | None = None,
) -> str:
    """A page of parts below a heading and cards; `script` is the name of one of this package."""
    style = Markup(f"{_asset('style.css')}\n{style_sheet()}\n")
    code = Markup(_asset(script)) if script is not None else None
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_hash(style)}'; script-src {_allowed(code)}"
    )
    whole = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=policy),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("meta", name="generator", content=f"archspec {__version__}"),
            element("link", rel="icon", href="data:,"),
            element("title", title),
            element("style", style),
        ),
        element(
            "body",
            element("a", "Skip to the content", href="#content", class_="skip"),
            element("header", *heading, _cards(cards)),
            element(
                "nav",
                *(element("a", name, href=f"#{identity}") for identity, name, _ in parts),
                aria_label="Sections",
            ),
            element(
                "main",
                *(
                    element(
                        "section",
                        element("h2", name, id=f"{identity}-heading"),
                        content,
                        id=identity,
                        aria_labelledby=f"{identity}-heading",
                    )
                    for identity, name, content in parts
                ),
                id="content",
                tabindex="-1",
            ),
            element("footer", element("p", f"Made by archspec {__version__} {footer}.")),
            *([element("script", code)] if code is not None else []),
        ),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{whole}"


def _cards(cards: Iterable[Card]) -> Markup:
    return element(
        "dl",
        *(
            element(
                "div",
                element("dt", name),
                element("dd", element("b", value), element("span", exact)),
            )
            for name, value, exact in cards
        ),
        class_="cards",
    )


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _allowed(code: str | None) -> str:
    return "'none'" if code is None else f"'{_hash(code)}'"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
