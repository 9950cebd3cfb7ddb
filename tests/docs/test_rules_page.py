"""docs/rules.md lists every diagnostic, as the code has it."""

from __future__ import annotations

import re

from pages import ROOT

from archspec import rules


def test_the_tables_are_the_rules() -> None:
    page = (ROOT / "docs" / "rules.md").read_text("utf-8")
    listed = re.findall(r"^\| (AS\d+) \| `([a-z0-9-]+)` \| (\w+) \| (.+) \|$", page, re.MULTILINE)
    assert listed == [
        (rule.code, rule.name, rule.severity, rules.page(rule).splitlines()[0])
        for rule in rules.rules().values()
    ]
    headings = re.findall(r"^## AS(\d)xx", page, re.MULTILINE)
    assert headings == sorted({rule.code[2] for rule in rules.rules().values()})
    assert len(listed) >= 80
