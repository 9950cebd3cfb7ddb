"""The pages about the shipped specs name every one of them, and none that is not shipped."""

from __future__ import annotations

import re
from pathlib import Path

from archspec import catalog

DOCS = Path(__file__).parents[2] / "docs"


def test_every_shipped_spec_is_on_a_page() -> None:
    zoo, seeds = ((DOCS / f"{name}.md").read_text("utf-8") for name in ("zoo", "seeds"))
    rows = "\n".join(line for line in zoo.splitlines() if line.startswith("| "))
    named = set(re.findall(r"`([a-z0-9-]+)`", rows)) | {f"efficientnet-b{n}" for n in range(8)}
    assert named <= set(catalog.shipped())
    assert {name for name in catalog.shipped() if f"`{name}`" not in seeds} <= named
