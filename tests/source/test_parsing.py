"""YAML text to values with places: what is read, what is refused, and where it is said to be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from networks import SOON

from archspec import source
from archspec.diagnostics import ArchspecError, ProblemsFound, Span
from archspec.source import MAX_DEPTH, MAX_PROBLEMS, Node
from archspec.source.scalars import resolve


def root(text: str) -> Node:
    document = source.parse(text, "spec.yaml")
    assert not document.problems
    return document.root


def problems(text: str) -> list[tuple[str, int, int]]:
    try:
        found = source.parse(text, "spec.yaml").problems
    except ProblemsFound as error:
        found = error.problems
    return [(p.rule, p.span.line, p.span.column) for p in found if p.span is not None]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.0E+3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("0", 0),
        ("-0", 0),
        ("+7", 7),
        ("007", 7),
        ("0x1F", 31),
        ("0o17", 15),
        ("0.0e99", 0.0),
        ("1_000", "1_000"),
        ("1,000", "1,000"),
        ("0b11", "0b11"),
        ("1:30", "1:30"),
        ("2012-09-30", "2012-09-30"),
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("true", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("~", None),
        ("null", None),
        ("", None),
        ("-", "-"),
        (".", "."),
        ("e5", "e5"),
        ("infinity", "infinity"),
        ("nan", "nan"),
        ("٣", "٣"),
        ("3 x 4", "3 x 4"),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)
    assert source.scalar(text) == value


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (".inf", "wrong-value"),
        ("-.Inf", "wrong-value"),
        (".NaN", "wrong-value"),
        ("1e999", "wrong-value"),
        ("-1e999", "wrong-value"),
        ("1e-999", "wrong-value"),
        ("9" * 5001, "limit-exceeded"),
        ("0x" + "f" * 5000, "limit-exceeded"),
        ("0o" + "7" * 5000, "limit-exceeded"),
        ("0." + "1" * 5000, "limit-exceeded"),
        ("1e" + "9" * 5000, "limit-exceeded"),
    ],
)
def test_numbers_that_no_network_can_use(text: str, rule: str) -> None:
    assert problems(f"a: 1\nb: {text}\n") == [(rule, 2, 4)]
    with pytest.raises(ArchspecError):
        source.scalar(text)


def test_quoted_scalars_are_text() -> None:
    assert root("a: '1'\nb: \"true\"\nc: |\n  3\nd: ''\n").data() == {
        "a": "1",
        "b": "true",
        "c": "3\n",
        "d": "",
    }


def scalars(node: source.Node) -> Iterator[source.Node]:
    """Every scalar below a node, in the order of the text."""
    inside = [entry.value for entry in (node.entries or {}).values()] + (node.items or [])
    if node.entries is None and node.items is None:
        yield node
    for child in inside:
        yield from scalars(child)


def test_every_key_and_value_knows_its_place() -> None:
    node = root("a: 1\nlist:\n  - {x: 2, y: [3, 4]}\n")
    assert node.locate(("a",)) == Span(1, 4, 1, 5)
    assert node.locate(("a",), key=True) == Span(1, 1, 1, 2)
    assert node.locate(("list", 0)) == Span(3, 5, 3, 22)
    assert node.locate(("list", 0, "y", 1)) == Span(3, 19, 3, 20)
    assert node.locate(("list", 0, "absent", 1)) == Span(3, 5, 3, 22)
    assert node.locate(("list", 7)) == node.locate(("list",))
    assert [scalar.value for scalar in scalars(node)] == [1, 2, 3, 4]


def test_aliases_stand_for_what_they_name() -> None:
    node = root("a: &x {b: [1, 2]}\nc: *x\n&key d: 1\ne: *key\nf: &x 3\ng: *x\n")
    assert node.data() == {
        "a": {"b": [1, 2]},
        "c": {"b": [1, 2]},
        "d": 1,
        "e": "d",
        "f": 3,
        "g": 3,
    }
    assert node.size == 1 + 4 + 4 + 4
    assert node.depth == 3


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\r\nb: 2\rc: 3\x85d: 4\u2028e: 5\u2029f: 6\n",
        "# comment\u2028a: 1\nb: 2\n",
        "a: 'x\u2028 y'\nb: 1\n",
        "a: |\n  x\u2028  y\x85  z\nb: 1\n",
        "a: é\u00a0ü\nb: 😀x\nc: [1, 2]\n",
        "\n\n  \na: >\n  folded\n\n  text\n\nb: 1",
    ],
)
def test_lines_and_columns_are_those_of_yaml(text: str) -> None:
    """Counted here by the definition: a value stands where the text says its first character is."""
    lines = source.split_lines(text)
    for loader in (yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.ScalarEvent) and not event.style:
                mark: Any = event.start_mark
                assert lines[mark.line][mark.column :].startswith(event.value)
    for node in scalars(root(text)):
        if isinstance(node.value, int):
            line = lines[node.span.line - 1]
            assert line[node.span.column - 1 : node.span.end_column - 1] == str(node.value)


def test_a_duplicate_key_is_reported_at_any_depth() -> None:
    text = "a: 1\nb: {c: 1, c: 2}\nd:\n  - e:\n      f: 1\n      f: 2\n      f: 3\na: 2\n"
    assert problems(text) == [
        ("duplicate-key", 2, 11),
        ("duplicate-key", 6, 7),
        ("duplicate-key", 7, 7),
        ("duplicate-key", 8, 1),
    ]
    assert source.parse(text, "").root.data() == {
        "a": 1,
        "b": {"c": 1},
        "d": [{"e": {"f": 1}}],
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: !!python/object/apply:os.system [ls]\n", [("yaml-tag", 1, 4)]),
        ("a: ! x\n", [("yaml-tag", 1, 4)]),
        ("!!map {a: 1}\n", [("yaml-tag", 1, 1)]),
        ("!!str a: 1\n", [("yaml-tag", 1, 1)]),
        ("a: !!int 3\nb: !!float x\n", [("yaml-tag", 1, 4), ("yaml-tag", 2, 4)]),
        ("%TAG ! tag:x,2000:\n---\na: !b c\n", [("yaml-tag", 3, 4)]),
        ("a: !x!y z\n", [("yaml-syntax", 1, 4)]),
        ("a: {<<: {b: 1}}\n", [("yaml-tag", 1, 5)]),
        ("? {a: 1}\n: 2\n", [("yaml-syntax", 1, 3)]),
        ("a: &x [*x]\n", [("yaml-syntax", 1, 8)]),
        ("a: &x 1\nb: &x [*x]\n", [("yaml-syntax", 2, 8)]),
        ("a: &x b\n*x : 1\n", [("yaml-syntax", 2, 1)]),
        ("a: 1\n---\nb: 2\n", [("yaml-syntax", 2, 1)]),
        ("---\n---\na: 1\n", [("yaml-syntax", 2, 1)]),
        ("!!x 3\n", [("yaml-tag", 1, 1)]),
        ("a: \ud800\n", [("not-text", 1, 4)]),
        ("é: \x00\n", [("not-text", 1, 4)]),
        ("a: 1\r\nb: \x1b[0m\n", [("not-text", 2, 4)]),
        ("a: 1\n\ufffe", [("not-text", 2, 1)]),
    ],
)
def test_what_is_refused(text: str, expected: list[tuple[str, int, int]]) -> None:
    assert problems(text) == expected


def test_words_of_a_quoted_merge_key_are_a_key() -> None:
    assert root("a: {'<<': 1}\n").data() == {"a": {"<<": 1}}


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        "a: " + "[" * 100_000,
        "- " * 100_000,
        "".join(" " * depth + "a:\n" for depth in range(2000)),
        # each line is shallow; what it stands for is not
        "a0: &a0 [1]\n"
        + "".join(f"a{i + 1}: &a{i + 1} {'[' * 50}*a{i}{']' * 50}\n" for i in range(150)),
    ],
    ids=["open", "closed", "value", "dashes", "blocks", "aliases"],
)
def test_deep_nesting_is_refused_at_once(text: str) -> None:
    start = time.perf_counter()
    assert [rule for rule, _, _ in problems(text)] == ["limit-exceeded"]
    assert time.perf_counter() - start < SOON


def test_the_allowed_depth_can_be_read() -> None:
    text = "a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert root(text).depth == MAX_DEPTH
    assert root("b: &b " + text[3:] + "\nc: *b\n").depth == MAX_DEPTH
    assert [p[0] for p in problems("a: [" + text[3:] + "]")] == ["limit-exceeded"]


def test_an_alias_bomb_is_refused_at_once() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(20))
    start = time.perf_counter()
    assert [rule for rule, _, _ in problems(text)] == ["limit-exceeded"]
    assert time.perf_counter() - start < SOON


def test_problems_end_when_there_are_too_many() -> None:
    found = problems("- !a x\n" * 10_000)
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1] == ("limit-exceeded", MAX_PROBLEMS + 1, 3)


def test_long_lines_and_long_words() -> None:
    word = "x" * 1_000_000
    assert root(f"a: {word}\nb: '{word}'\nc: [{'1, ' * 100_000}]\n").get("a") is not None
    start = time.perf_counter()
    assert problems(f"a: {'9' * 1_000_000}\n") == [("limit-exceeded", 1, 4)]
    assert time.perf_counter() - start < SOON


def test_works_without_the_c_scanner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archspec.source.parsing._Loader", yaml.SafeLoader)
    assert root("a: [1, {b: 1e-4}]\n").data() == {"a": [1, {"b": 1e-4}]}
    assert problems("a: [1\n") == [("yaml-syntax", 2, 1)]
    assert problems("[" * 1000) == [("limit-exceeded", 1, MAX_DEPTH + 1)]
