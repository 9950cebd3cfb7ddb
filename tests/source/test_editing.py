"""Edits of a text change what they say, and nothing else: layouts at random, and corner cases."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import Layout

from archspec.source import Node, parse
from archspec.source.editing import CannotEdit, Editor, Path, applied, changed, written

WORDS = ["a", "size", "Größe", "rate", "kernel_size", "x1", "名", "🜁"]
REFUSALS = ("comment", "all that stands", "on one line with", "in a list of lists")
SCALARS = st.one_of(
    st.integers(-1000, 1000),
    st.floats(0.001, 1e6, allow_nan=False),
    st.booleans(),
    st.sampled_from(
        ["relu", "conv1", "a b", "it's", 'say "x"', "größer", "🜁 = 1, {b}", "# no", ""]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)
    ),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from(WORDS), VALUES, min_size=1, max_size=4)


def paths(node: Node, path: Path = ()) -> list[Path]:
    """Every entry and item of a document."""
    found: list[Path] = [path] if path else []
    for key, entry in (node.entries or {}).items():
        found += paths(entry.value, (*path, key))
    for index, item in enumerate(node.items or []):
        found += paths(item, (*path, index))
    return found


def edit(text: str, path: Path, value: Any) -> str:
    document = parse(text, "spec.yaml")
    return applied(text, Editor(text, document).edits(path, value))


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, st.randoms(use_true_random=False), VALUES)
def test_setting_adding_and_removing_in_any_layout(
    data: dict[str, Any], random: random.Random, value: Any
) -> None:
    text = Layout(random).text(data)
    document = parse(text, "spec.yaml")
    assert document.root.data() == data
    editor = Editor(text, document)
    for path in random.sample(places := paths(document.root), min(len(places), 3)):
        new = random.choice([value, None])
        if new is not None and random.random() < 0.5:  # a key that is not there
            path = (*path[:-1], "new_key") if isinstance(path[-1], str) else path
        try:
            edits = editor.edits(path, new)
        except CannotEdit as error:
            refused = str(error)
        else:
            refused = ""
        if refused:  # what comments stand in, what is all there is, and `- - 1`
            assert any(w in refused for w in REFUSALS)
            continue
        assert len(edits) == 1
        after = applied(text, edits)
        start, end = edits[0].start, edits[0].end
        assert after[:start] == text[:start]
        assert after[len(after) - (len(text) - end) :] == text[end:]
        expected = changed(data, {path: new})
        leaves_nothing = new is None and len(path) != 2 and len(parent(data, path)) == 1
        if expected and not leaves_nothing:
            assert parse(after, "spec.yaml").root.data() == expected
        if new is not None:
            assert text[start:end].count("# größer") == 0
            assert after.count("# a line of its own") == text.count("# a line of its own")
        if "\r\n" in text:
            assert after.count("\n") == after.count("\r\n")


def parent(data: Any, path: Path) -> Any:
    for step in path[:-1]:
        data = data[step]
    return data


CASES = [
    # what, before, path, value, after
    ("a number", "a: {b: 1, c: 2} # d\n", "a.b", 10, "a: {b: 10, c: 2} # d\n"),
    ("a small number", "a: 1\n", "a", 5e-06, "a: 5.0e-6\n"),
    ("a quoted text", "a: 'x'   # q\n", "a", "y", "a: y   # q\n"),
    ("a text that needs quotes", "a: x\n", "a", "1: 2", 'a: "1: 2"\n'),
    ("a list between brackets", "a: [1, 2]\n", "a", 2, "a: 2\n"),
    ("a list in block style", "a:\n  - 1\n  - 2\nb: 3\n", "a", [5], "a: [5]\nb: 3\n"),
    ("an item", "a: [1, 2]\n", "a.1", 3, "a: [1, 3]\n"),
    ("a value behind an anchor", "a: &x 1\n", "a", 2, "a: &x 2\n"),
    ("a new key between braces", "a: {b: 1, } # c\n", "a.d", True, "a: {b: 1, d: true, } # c\n"),
    ("a new key in no braces", "a: {}\n", "a.b", [1], "a: {b: [1]}\n"),
    ("a new key below", "a:\n  b: 1  # c\n\nd: 2\n", "a.e", 3, "a:\n  b: 1  # c\n  e: 3\n\nd: 2\n"),
    ("below in an item", "a:\n- b: 1\n- c: 2\n", "a.0.d", 3, "a:\n- b: 1\n  d: 3\n- c: 2\n"),
    ("at the end without a break", "a: 1", "b", 2, "a: 1\nb: 2"),
    ("in CRLF", "a: 1\r\n", "b", 2, "a: 1\r\nb: 2\r\n"),
    ("CRLF without a last break", "a: 1\r\nb: 2", "c", 3, "a: 1\r\nb: 2\r\nc: 3"),
    ("a new section", "a: 1\n", "b.c", 2, "a: 1\nb: {c: 2}\n"),
    ("behind a text of several lines", "a: |\n  x\n  y\n\n", "b", 2, "a: |\n  x\n  y\nb: 2\n\n"),
    ("the first between braces", "a: {b: 1, c: 2}\n", "a.b", None, "a: {c: 2}\n"),
    ("the last between braces", "a: {b: 1, c: 2} #\n", "a.c", None, "a: {b: 1} #\n"),
    ("a line of its own in braces", "a: {b: 1,  # b\n    c: 2,  # c\n    d: 3}\n", "a.c", None,
     "a: {b: 1,  # b\n    d: 3}\n"),
    ("the last behind a comment", "a: {b: 1, # b\n  c: 2}\n", "a.c", None, "a: {b: 1, # b\n  }\n"),
    ("an entry with its comment", "a:\n  b: 1  # b\n  c: 2  # c\n", "a.b", None,
     "a:\n  c: 2  # c\n"),
    ("the key beside a dash", "a:\n  - b: 1\n    c: 2\n", "a.0.b", None, "a:\n  - c: 2\n"),
    ("an entry of several lines", "a: 1\nb:\n  - 2\n  - 3\nc: 4\n", "b", None, "a: 1\nc: 4\n"),
    ("an item in block style", "a:\n  - {b: 1}\n  # c\n  - {d: 2}\n", "a.0", None,
     "a:\n  # c\n  - {d: 2}\n"),
    ("an item between brackets", "a: [1, 2, 3]\n", "a.1", None, "a: [1, 3]\n"),
    ("the last entry of a section", "a: 1\nb: {c: 2}\nd: 3\n", "b.c", None, "a: 1\nd: 3\n"),
    ("wide characters before it", "a: {'🜁🜂': 1, b: 2} # 名\n", "a.b", 3,
     "a: {'🜁🜂': 1, b: 3} # 名\n"),
    ("an alias elsewhere", "a: &x [1]\nb: *x\nc: 2\n", "c", None, "a: &x [1]\nb: *x\n"),
    ("a key behind an alias", "a: &x 1\nb: {c: *x}\n", "b.d", 2, "a: &x 1\nb: {c: *x, d: 2}\n"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "path", "value", "after"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_case(before: str, path: str, value: Any, after: str) -> None:
    steps: Path = tuple(int(step) if step.isdecimal() else step for step in path.split("."))
    assert edit(before, steps, value) == after
    data = parse(before, "spec.yaml").root.data()
    assert parse(after, "spec.yaml").root.data() == changed(data, {steps: value})


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("a: &x 1\nb: *x\n", ("b",), "alias of another"),
        ("a: {b: $size}\n", ("a", "b"), "is `$size`"),
        ("a: [1, $(n + 1)]\n", ("a",), "is `"),
        ("a:\n  - 1  # one\n  - 2\n", ("a",), "comments"),
        ("a: {b: 1}\n", ("a", "b", "c"), "there is no `a.b.c`"),
        ("a: {b: 1}\n", ("a", "b", "c", "d"), "has no place"),
        ("a: [1]\n", ("a", 4), "there is no `a.4`"),
    ],
)
def test_what_cannot_be_set_is_refused(text: str, path: Path, reason: str) -> None:
    with pytest.raises(CannotEdit, match=reason.replace("$", r"\$")):
        edit(text, path, 7)


def test_what_is_not_there_cannot_be_removed() -> None:
    for path in (("b",), ("a", "c"), ("a", "b", "c")):
        with pytest.raises(CannotEdit, match="there is no"):
            edit("a: {b: 1}\n", path, None)


def test_changes_that_meet_are_refused() -> None:
    text = "a: {b: 1, c: 2}\n"
    editor = Editor(text, parse(text, "spec.yaml"))
    with pytest.raises(CannotEdit, match="meet"):
        applied(text, [*editor.edits(("a",), 1), *editor.edits(("a", "b"), 2)])


@given(VALUES)
def test_what_is_written_is_read_again(value: Any) -> None:
    text = f"a: {written(value)}\n"
    assert parse(text, "spec.yaml").root.data() == {"a": value}
