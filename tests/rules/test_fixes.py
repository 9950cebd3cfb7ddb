"""Every fix on every rule's page can be applied to its example, and then the finding is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_pages import NO_EXAMPLE, RULES, section

from archspec import fixing, loading
from archspec.rules.base import Rule


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.name not in NO_EXAMPLE], ids=lambda rule: rule.name
)
def test_the_fixes_of_an_example(rule: Rule, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(section(rule, "Example") or "", "utf-8")
    before = loading.examine(path)
    offered = [d for d in before.diagnostics if d.code == rule.code and d.fixes]
    for number in range(1, max((len(d.fixes) for d in offered), default=0) + 1):
        fixed = fixing.fix_file(path, choices={rule.code: number})
        assert [r.reason for r in fixed.left_out] == []
        assert rule.code in {r.diagnostic.code for r in fixed.applied}
        remaining = [d for d in fixed.state.diagnostics if d.code == rule.code and d.fixes]
        assert len(remaining) < len(offered)
    for found in offered:
        for fix in found.fixes:
            assert fixing.replacements(before, fix), fix.changes


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.name not in NO_EXAMPLE], ids=lambda rule: rule.name
)
def test_a_safe_fix_leaves_the_network_what_it_was(rule: Rule, tmp_path: Path) -> None:
    """Its parameters, MACs and outputs; a layer that does nothing may go."""
    path = tmp_path / "spec.yaml"
    path.write_text(section(rule, "Example") or "", "utf-8")
    fixed = fixing.fix_file(path)
    if not fixed.applied:
        return
    before, after = loading.examine(path).graph, fixed.state.graph
    assert before is not None
    assert after is not None
    one, other = loading.analyze(before), loading.analyze(after)
    assert one.totals.params == other.totals.params
    assert one.totals.macs == other.totals.macs
    assert one.shapes.of(before.output) == other.shapes.of(after.output)
