"""How wide text is, without a font at hand.

The widths are those of DejaVu Sans, about the widest of the fonts that browsers take for
sans-serif: what is laid out with them has room in any of the others too.
"""

from __future__ import annotations

FAMILY = "system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
# Heights of a line and of the letters above its baseline, in units of the font size.
LINE = 1.3
ASCENT = 0.95
DESCENT = 0.25

_BOLD = 1.13
_WIDEST = 1.0
_WIDTHS = {
    character: width
    for width, characters in (
        (0.28, "ijlI'J|"),
        (0.32, " .,:;·"),
        (0.37, "ft-/\\"),
        (0.42, "r()[]"),
        (0.53, 'csz_*"'),
        (0.6, "aekvxyF?LTY"),
        (0.64, "bdghnopqu0123456789PES$"),
        (0.7, "ABKRVXZC"),
        (0.78, "DGHNOQU&"),
        (0.84, "w+=×<>~≤→"),
        (0.99, "mMW%@…"),
    )
    for character in characters
}


def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """An upper estimate of the width of one line, in the units of the font size."""
    ems = sum([_WIDTHS.get(character, _WIDEST) for character in text])
    return ems * size * (_BOLD if bold else 1)


def fitted(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """The text, or its two ends with an ellipsis between where it is wider than `width`."""
    if width_of(text, size, bold=bold) <= width:
        return text
    kept = max(len(text) - 1, 2)
    while kept > 2:
        shorter = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if width_of(shorter, size, bold=bold) <= width:
            return shorter
        kept -= 1
    return f"{text[:1]}…"
