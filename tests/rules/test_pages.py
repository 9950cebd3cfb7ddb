"""Every diagnostic has a page, its examples do what they say, and every diagnostic is in use."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import archspec
from archspec import rules
from archspec.rules.base import Rule

RULES = list(rules.rules().values())
PACKAGE = Path(archspec.__file__).parent

# What one spec text cannot show: a file that is missing, one that is no text, and what takes two.
NO_EXAMPLE = {"unreadable-file", "not-text", "file-outside", "unknown-change", "unused-import"}


def section(rule: Rule, title: str) -> str | None:
    """The indented block below `title:` on the rule's page, without its indentation."""
    found = re.search(rf"^{title}:\n\n((?:    .*\n?|\n)+)", rules.page(rule) + "\n", re.MULTILINE)
    return re.sub(r"^    ", "", found[1], flags=re.MULTILINE).strip("\n") + "\n" if found else None


def names(text: str, folder: Path, rule: Rule) -> list[str]:
    """The diagnostics of a spec text, by name; of the notes, those of one rule.

    Whole kinds of networks have notes (what frameworks disagree on), also on pages of other rules.
    """
    path = folder / "spec.yaml"
    path.write_text(text, "utf-8")
    try:
        found = archspec.analyze(path).diagnostics
    except archspec.SpecError as error:
        found = error.diagnostics
    return [d.name for d in found if d.severity != "note" or d.name == rule.name]


def test_codes_names_and_files_agree() -> None:
    files = sorted(path.stem for path in (PACKAGE / "rules").glob("as*.py"))
    assert files == [f"{rule.code.lower()}_{rule.name.replace('-', '_')}" for rule in RULES]
    assert len({rule.code for rule in RULES}) == len(RULES)
    assert all(re.fullmatch(r"AS[0-9]{3}", rule.code) for rule in RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_page(rule: Rule) -> None:
    summary, empty, *body = rules.page(rule).split("\n")
    assert summary.endswith(".")
    assert not empty
    explanation = "\n".join(body).split("\n\n")[0].split("\n")
    assert 2 <= len(explanation) <= 9
    titles = re.findall(r"^(\w+):\n\n    ", rules.page(rule), re.MULTILINE)
    wanted = [] if rule.name in NO_EXAMPLE else ["Example", "Instead"]
    assert titles in (wanted, [*wanted, "References"])


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.name not in NO_EXAMPLE], ids=lambda rule: rule.name
)
def test_example(rule: Rule, tmp_path: Path) -> None:
    example, instead = section(rule, "Example"), section(rule, "Instead")
    assert example is not None
    assert set(names(example, tmp_path, rule)) == {rule.name}
    assert instead is not None
    assert names(instead, tmp_path, rule) == []


def test_what_has_no_example_can_be_shown_otherwise(tmp_path: Path) -> None:
    binary, outside, variant = (tmp_path / f"{name}.yaml" for name in ("binary", "outside", "v"))
    binary.write_bytes(b"\xff\xfe")
    outside.write_text("archspec: 1\nname: outside\nextends: ../base.yaml\n")
    variant.write_text(
        "archspec: 1\nname: v\nextends: alexnet\nchanges: [{remove: norm3}]\n", "utf-8"
    )
    found = set()
    for spec in (binary, outside, variant, tmp_path / "nothing.yaml"):
        with pytest.raises(archspec.SpecError) as caught:
            archspec.load(spec)
        found |= {diagnostic.name for diagnostic in caught.value.diagnostics}
    library, importing = tmp_path / "blocks.yaml", tmp_path / "importing.yaml"
    library.write_text("archspec: 1\nblocks: {unit: {layers: [{name: act, type: relu}]}}\n")
    importing.write_text(
        "archspec: 1\nname: importing\ninput: {channels: 1, height: 4, width: 4}\n"
        "imports: {other: blocks.yaml}\nlayers: [{name: a, type: relu}]\n"
    )
    found |= {d.name for d in archspec.analyze(importing).diagnostics}
    importing.write_text(importing.read_text().replace("type: relu", "block: other.unit"))
    assert archspec.analyze(importing).diagnostics == ()
    assert found == NO_EXAMPLE


# The calls that name a rule, and which of their arguments does.
NAMING = {"Problem": 0, "fail": 0, "_fail": 0, "_report": 0, "_refusal": 0}


def used_names() -> dict[str, list[str]]:
    """The rules that the sources of archspec name, each with the places."""
    found: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else None
            name = function.id if isinstance(function, ast.Name) else name
            first = node.args[0]
            if name in NAMING and isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.setdefault(first.value, []).append(f"{path.name}:{node.lineno}")
    return found


def test_every_named_rule_exists() -> None:
    unknown = {
        name: places
        for name, places in used_names().items()
        if name not in rules.rules() and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+|cycle", name)
    }
    assert not unknown


def test_every_rule_is_used() -> None:
    sources = "\n".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    for rule in RULES:
        # Once where it is defined, and at least once where a problem names it.
        assert rule.check is not None or sources.count(f'"{rule.name}"') >= 2, rule
