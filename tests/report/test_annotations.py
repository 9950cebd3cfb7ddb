"""Diagnostics for continuous integration: workflow commands of GitHub, and SARIF."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from archspec import loading, rules, source
from archspec.diagnostics import Diagnostic
from archspec.report.annotations import to_github, to_sarif

SPEC = """\
archspec: 1
name: net
title: größer
input: {channels: 3, height: 224, width: 224}
blocks:
  half:
    layers:
      - {name: drop, type: dropout, rate: 0.999}
layers:
  - {name: conv1, type: conv2d, filters: 8, kernel_size: 11, stride: 4}
  - {name: first, block: half}
"""

# What the standard (sections 3.13 to 3.55) asks of the objects that archspec writes, no more.
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
REGION = {
    "type": "object",
    "required": ["startLine", "startColumn", "endLine", "endColumn"],
    "additionalProperties": False,
    "properties": {
        **{
            name: {"type": "integer", "minimum": 1}
            for name in ("startLine", "startColumn", "endLine", "endColumn")
        },
        "snippet": TEXT,
    },
}
FILE = {
    "type": "object",
    "required": ["uri"],
    "properties": {"uri": {"type": "string", "pattern": r"^(file:///)?[A-Za-z0-9._~%/-]+$"}},
}
LOCATION = {
    "type": "object",
    "required": ["physicalLocation"],
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation", "region"],
            "properties": {"artifactLocation": FILE, "region": REGION},
        }
    },
}
REPLACEMENT = {
    "type": "object",
    "required": ["deletedRegion", "insertedContent"],
    "properties": {"deletedRegion": REGION, "insertedContent": TEXT},
}
CHANGE = {
    "type": "object",
    "required": ["artifactLocation", "replacements"],
    "properties": {
        "artifactLocation": FILE,
        "replacements": {"type": "array", "minItems": 1, "items": REPLACEMENT},
    },
}
SUPPRESSION = {
    "type": "object",
    "required": ["kind"],
    "properties": {
        "kind": {"enum": ["inSource", "external"]},
        "justification": {"type": "string"},
    },
    "additionalProperties": False,
}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
SCHEMA = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "properties": {
                                                "shortDescription": TEXT,
                                                "fullDescription": TEXT,
                                                "help": TEXT,
                                                "defaultConfiguration": {
                                                    "properties": {"level": LEVEL}
                                                },
                                            },
                                        },
                                    }
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": [
                                "message",
                                "ruleId",
                                "ruleIndex",
                                "locations",
                                "suppressions",
                            ],
                            "properties": {
                                "suppressions": {"type": "array", "items": SUPPRESSION},
                                "message": TEXT,
                                "level": LEVEL,
                                "locations": {"type": "array", "items": LOCATION},
                                "relatedLocations": {"type": "array", "items": LOCATION},
                                "fixes": {
                                    "type": "array",
                                    "items": {
                                        "required": ["artifactChanges"],
                                        "properties": {
                                            "artifactChanges": {"type": "array", "items": CHANGE},
                                            "description": TEXT,
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture
def examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> loading.Examined:
    monkeypatch.chdir(tmp_path)
    Path("my net.yaml").write_text(SPEC, encoding="utf-8")
    return loading.examine("my net.yaml")


def sarif(*examined: loading.Examined) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(to_sarif(examined))
    jsonschema.validate(document, SCHEMA)
    return document


def test_sarif_of_everything_that_can_be_wrong() -> None:
    folder = Path(__file__).parents[1] / "data" / "invalid"
    files = sorted(folder.rglob("*.yaml"))
    states = [loading.examine(path) for path in files]
    (run,) = sarif(*states)["runs"]
    found = [d for state in states for d in state.diagnostics]
    assert len(found) > 100
    listed = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [result["ruleId"] for result in run["results"]] == [d.code for d in found]
    assert all(listed[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    assert [result["level"] for result in run["results"]] == [d.severity for d in found]


def test_sarif_lists_each_rule_with_its_page() -> None:
    (run,) = sarif()["runs"]
    listed = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in listed] == [rule.code for rule in rules.rules().values()]
    for described, rule in zip(listed, rules.rules().values(), strict=True):
        assert described["help"]["text"] == rules.page(rule)
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", described["name"])
        assert described["help"]["markdown"].count("```") % 2 == 0


def test_the_columns_of_sarif_lead_to_the_text(examined: loading.Examined) -> None:
    (run,) = sarif(examined)["runs"]
    assert run["columnKind"] == "unicodeCodePoints"
    lines = SPEC.splitlines()
    assert run["results"]
    for result in run["results"]:
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "my%20net.yaml"
        region = place["region"]
        text = lines[region["startLine"] - 1][region["startColumn"] - 1 : region["endColumn"] - 1]
        assert text == region["snippet"]["text"]
    used = next(result for result in run["results"] if "relatedLocations" in result)
    assert used["relatedLocations"][0]["physicalLocation"]["region"]["startLine"] == 11


def applied(text: str, change: dict[str, Any]) -> str:
    """The text after the replacements of a SARIF fix, as section 3.57 defines them."""
    lines = text.split("\n")
    for replacement in reversed(change["replacements"]):
        region = replacement["deletedRegion"]
        assert region["startLine"] == region["endLine"]
        number = region["startLine"] - 1
        line = lines[number]
        inserted = replacement["insertedContent"]["text"]
        before, after = line[: region["startColumn"] - 1], line[region["endColumn"] - 1 :]
        lines[number] = before + inserted + after
    return "\n".join(lines)


def test_fixes_of_sarif_are_the_fixes(examined: loading.Examined) -> None:
    (run,) = sarif(examined)["runs"]
    result = next(r for r in run["results"] if "conv1" in r["message"]["text"])
    titles = [fix["description"]["text"].split(": ")[0] for fix in result["fixes"]]
    found = next(d for d in examined.diagnostics if d.layer == "conv1")
    assert titles == [fix.title for fix in found.fixes]
    for fix, described in zip(found.fixes, result["fixes"], strict=True):
        after = source.parse(applied(SPEC, described["artifactChanges"][0]), "after").root
        for place, value in fix.changes.items():
            name, field = place.split(".")
            section = after.get("input" if name == "input" else "layers")
            assert section is not None
            written = section if name == "input" else (section.items or [])[0]
            assert written.data()[field] == value


def test_what_a_spec_silences_is_suppressed() -> None:
    state = loading.examine("alexnet")
    assert state.silenced
    (run,) = sarif(state)["runs"]
    reasons = [result["suppressions"] for result in run["results"]]
    assert reasons == [[] for _ in state.diagnostics] + [
        [{"kind": "inSource", "justification": silenced.reason}] for silenced in state.silenced
    ]


def test_github_shows_each_finding_beside_its_line(examined: loading.Examined) -> None:
    lines = to_github(examined.diagnostics).splitlines()
    assert len(lines) == len(examined.diagnostics)
    assert lines[-1].startswith(
        "::error file=my net.yaml,line=10,endLine=10,title=AS101 non-integer-output,"
        "col=70,endColumn=71::conv1: (224 - 11 + 2*0)/4 + 1 = 54.25 is not a whole number%0Ahelp: "
    )


def test_what_github_would_take_for_something_else_is_escaped() -> None:
    found = Diagnostic(
        "AS001", "x", "note", "50% off,\r\nreally: yes", None, None, "a,b:c%.yaml", 1, 2, 3, 4
    )
    assert to_github([found]) == (
        "::notice file=a%2Cb%3Ac%25.yaml,line=1,endLine=3,title=AS001 x"
        "::50%25 off,%0D%0Areally: yes\n"
    )
