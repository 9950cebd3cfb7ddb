"""The story of the paper's input: 224 is printed, 54.25 comes out, and these are the ways out."""

from __future__ import annotations

from typing import Any

import pytest

import archspec
from archspec.analysis import Analysis
from archspec.diagnostics import Diagnostic

REPAIRS: list[tuple[dict[str, Any], str, int]] = [
    ({"input.height": 227, "input.width": 227}, "96 x 55 x 55", 9216),
    ({"conv1.padding": 2, "conv1.rounding": "floor"}, "96 x 55 x 55", 9216),
    ({"conv1.padding": [1, 2, 1, 2]}, "96 x 55 x 55", 9216),
    ({"conv1.rounding": "ceil"}, "96 x 55 x 55", 9216),
    ({"conv1.rounding": "floor"}, "96 x 54 x 54", 6400),
]


@pytest.fixture(
    scope="module", params=[("alexnet-224", None), ("alexnet", "3x224x224")], ids=["spec", "option"]
)
def found(request: pytest.FixtureRequest) -> Analysis:
    spec, input = request.param
    return archspec.analyze(spec, input=input)


def _error(found: Analysis) -> Diagnostic:
    (error,) = [d for d in found.diagnostics if d.severity == "error"]
    return error


def test_the_quotient_is_reported_where_it_arises(found: Analysis) -> None:
    error = _error(found)
    assert (error.code, error.name, error.layer) == ("AS101", "non-integer-output", "conv1")
    assert "(224 - 11 + 2*0)/4 + 1 = 54.25 is not a whole number" in error.message
    line = found.graph.document.source.line(error.line)
    assert line is not None
    assert line[error.column - 1 :].startswith("4}")


def test_nothing_that_only_follows_is_reported(found: Analysis) -> None:
    assert [d.code for d in found.diagnostics if d.severity != "note"] == ["AS101"]


@pytest.mark.parametrize(("number", "repair"), list(enumerate(REPAIRS)))
def test_repairs(found: Analysis, number: int, repair: tuple[dict[str, Any], str, int]) -> None:
    changes, shape, features = repair
    fixes = _error(found).fixes
    assert len(fixes) == len(REPAIRS)
    assert fixes[number].changes == changes
    assert f"conv1 gives {shape}" in fixes[number].effect
    assert f"fc6 reads {features}" in fixes[number].effect


def test_repairs_are_named_in_words(found: Analysis) -> None:
    assert [fix.title for fix in _error(found).fixes] == [
        "input 227 x 227",
        "padding 2 with rounding floor",
        "padding [1, 2, 1, 2] (1+2 on each axis)",
        "rounding ceil",
        "rounding floor",
    ]


def test_what_each_repair_leaves_behind(found: Analysis) -> None:
    effects = [fix.effect for fix in _error(found).fixes]
    assert "last pixel of the padding unread" in effects[1]
    assert "its last window reaching 3 pixels past the input" in effects[3]
    assert "last pixel of the input unread" in effects[4]
    assert "pool1 and 2 more then have no whole output" in effects[4]
    assert all("whole" not in effect for effect in effects[:4])


def test_the_table_shows_what_frameworks_build_silently(found: Analysis) -> None:
    assert found.by_name["conv1"].formula == "(224 - 11 + 2*0)/4 + 1 = 54.25"
    assert found.by_name["conv1"].output_shape == (96, 54, 54)
    assert found.by_name["flatten"].output_shape == (6400,)


def test_227_says_that_the_paper_contradicts_itself() -> None:
    found = archspec.analyze("alexnet")
    assert not found.has_errors
    contradicted = [(c.about, c.quantity) for c in found.claims if c.verdict == "contradicted"]
    assert contradicted == [("input", "shape"), ("input", "neurons"), ("conv1", "neurons")]
    reason = (
        "with 224 x 224, conv1 would give (224 - 11 + 2*0)/4 + 1 = 54.25, not a whole number; "
        "with 227 x 227 it is (227 - 11 + 2*0)/4 + 1 = 55"
    )
    explanations = {(c.about, c.quantity): c.explanation for c in found.claims}
    assert explanations["input", "shape"] == reason
    assert explanations["input", "neurons"] == f"150,528 = 3 x 224 x 224; {reason}"
    # They are meant, and the file says why.
    rules = ["impossible-input", "impossible-input", "impossible-map"]
    assert [s.diagnostic.name for s in found.silenced] == rules
    assert all(s.reason for s in found.silenced)
    assert [(d.code, d.severity) for d in found.diagnostics if d.code < "AS300"] == [
        ("AS207", "note")
    ]
    assert "warning" not in {d.severity for d in found.diagnostics}


def test_the_code_of_2012_rounds_up_and_says_so() -> None:
    found = archspec.analyze("alexnet-2012-code")
    note = found.diagnostics[0]
    assert (note.severity, note.fixes) == ("note", ())
    assert "is rounded up to 55: the last window reaches 3 pixels past the input" in note.message
    assert found.by_name["conv1"].formula == "ceil((224 - 11 + 2*0)/4 + 1) = 55"
    assert found.by_name["fc6"].costs.params == 37752832


def test_other_sizes_that_fit_are_not_reported() -> None:
    assert not archspec.analyze("alexnet", input=(3, 195, 259)).has_errors
