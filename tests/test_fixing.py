"""`check --fix`: what is applied, what is left out and why, and how files are written."""

from __future__ import annotations

import codecs
import random
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import Layout

import archspec
from archspec import fixing, loading, rules, source
from archspec.analysis import Analysis
from archspec.diagnostics import ArchspecError, Fix, Problem
from archspec.rules.base import Rule
from archspec.source.editing import applied, changed

ALEXNET = """\
# a copy of the paper's first layers
archspec: 1
name: mine      # my own
input: {channels: 3, height: 224, width: 224}   # section 3.5

layers:
  - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}  # größer
  - name: pool1
    type: max_pool2d
    kernel_size: 3
    stride: 2   # overlapping
    rounding: floor
"""


def file(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def fixed(path: Path, number: int, code: str = "AS101", **options: Any) -> fixing.FixedFile:
    return fixing.fix_file(path, choices={code: number}, **options)


@pytest.mark.parametrize(
    ("number", "before", "after"),
    [
        (1, "height: 224, width: 224}   #", "height: 223, width: 223}   #"),
        (2, "stride: 4}  #", "stride: 4, padding: 2, rounding: floor}  #"),
        (3, "stride: 4}  #", "stride: 4, padding: [1, 2, 1, 2]}  #"),
        (4, "stride: 4}  #", "stride: 4, rounding: ceil}  #"),
        (5, "stride: 4}  #", "stride: 4, rounding: floor}  #"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_each_repair_of_a_non_integer_output_changes_its_place_alone(
    number: int, before: str, after: str, line_end: str, tmp_path: Path
) -> None:
    text = ALEXNET.replace("\n", line_end)
    found = fixed(file(tmp_path, text), number)
    assert found.after == text.replace(before, after)
    assert [repair.diagnostic.code for repair in found.applied] == ["AS101"]
    assert not [d for d in found.state.diagnostics if d.severity == "error"]


def common(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(random=st.randoms(use_true_random=False), number=st.integers(1, 5))
def test_in_any_layout_a_fix_changes_what_it_says_and_nothing_else(
    random: random.Random, number: int, tmp_path: Path
) -> None:
    data = source.parse(ALEXNET, "data").root.data()
    text = Layout(random).text(data)
    found = fixed(file(tmp_path, text), number)
    if found.left_out:  # comments in the lines of a value that would go
        assert found.after == text
        assert "comment" in found.left_out[0].reason
        return
    (repair,) = found.applied
    changes: dict[tuple[str | int, ...], Any] = {}
    for place, value in repair.fix.changes.items():
        where, key = place.split(".")
        changes[("input", key) if where == "input" else ("layers", 0, key)] = value
    assert source.parse(found.after, "after").root.data() == changed(data, changes)
    for comment in ("größer, [nicht}", "# x: 1", "# a line of its own"):
        assert found.after.count(comment) == text.count(comment)
    # What differs lies in the input or in the layer.
    root = source.parse(text, "before").root
    section = root.get("input")
    if ("input", "height") not in changes:
        layers = root.get("layers")
        section = layers and (layers.items or [])[0]
    assert section is not None
    same = common(text, found.after)
    same_end = common(text[same:][::-1], found.after[same:][::-1])
    first, last = (text.count("\n", 0, i) + 1 for i in (same, len(text) - same_end))
    assert section.span.line <= first <= last <= section.span.end_line + 1


def test_nothing_is_applied_that_is_not_safe_or_chosen(tmp_path: Path) -> None:
    path = file(tmp_path, ALEXNET)
    found = fixing.fix_file(path)
    assert found.after == found.before == ALEXNET
    assert not found.applied
    assert not found.left_out
    unsafe = fixing.fix_file(path, unsafe=True)
    assert unsafe.after == fixed(path, 1).after


def test_many_warnings_are_fixed_at_once_and_errors_one_by_one(tmp_path: Path) -> None:
    layers = [
        f"  - {{name: conv{i}, type: conv2d, filters: 4, kernel_size: 3}}\n"
        f"  - {{name: norm{i}, type: batch_norm, eps: 1.0e-5, decay: 0.1}}\n"
        for i in range(40)
    ]
    head = "archspec: 1\nname: n\ninput: {channels: 3, height: 99, width: 99}\nlayers:\n"
    text = head + "".join(layers)
    found = fixing.fix_file(file(tmp_path, text), unsafe=True)
    assert "decay: 0.1}" not in found.after
    assert {"AS404", "AS206"}.isdisjoint(d.code for d in found.state.diagnostics)
    assert len(found.applied) == 80
    pools = "".join(
        f"  - {{name: pool{i}, type: max_pool2d, kernel_size: 2, stride: 2}}\n" for i in range(3)
    )
    found = fixing.fix_file(file(tmp_path, head + pools), choices={"AS101": 1})
    assert len(found.applied) == 1  # another input, with which all three are whole
    lines = zip(found.before.splitlines(), found.after.splitlines(), strict=True)
    assert [before[:6] for before, after in lines if before != after] == ["input:"]


def test_what_is_said_once_is_fixed_everywhere(tmp_path: Path) -> None:
    conv = "type: conv2d, filters: 2, kernel_size: 2, padding: same"
    layers = "".join(
        f"  - {{name: act{i}, type: gelu}}\n  - {{name: c{i}, {conv}}}\n" for i in range(3)
    )
    head = "archspec: 1\nname: n\ninput: {channels: 3, height: 9, width: 9}\nlayers:\n"
    path = file(tmp_path, head + layers)
    assert fixing.fix_file(path).after == (head + layers).replace(
        "type: gelu", "type: gelu, approximate: none"
    )
    unsafe = fixing.fix_file(path, unsafe=True)
    assert unsafe.after == fixing.fix_file(path).after.replace("same", "[0, 1, 0, 1]")
    assert len(unsafe.applied) == 2


def test_a_choice_that_is_not_there_is_said(tmp_path: Path) -> None:
    found = fixed(file(tmp_path, ALEXNET), 9)
    assert found.after == ALEXNET
    assert [repair.reason for repair in found.left_out] == ["there is no fix 9, only 5"]


@pytest.mark.parametrize(
    ("text", "number", "reason"),
    [
        # a fix in an expression
        (ALEXNET.replace("height: 224", "height: $(n)") + "variables: {n: 224}\n",
         1, "`height` is `$(n)`, which other places may use too"),
        # the two sizes are one value
        (ALEXNET.replace("height: 224, width: 224", "height: &s 224, width: *s"),
         1, "the value of `width` is an alias of another"),
        # the layer is written in another file
        ("archspec: 1\nname: v\nextends: alexnet\ninput: {channels: 3, height: 224, width: 224}\n",
         4, "alexnet.yaml:21, which is not the file that is checked"),
    ],
)  # fmt: skip
def test_what_cannot_be_applied_is_left_out_with_the_reason(
    text: str, number: int, reason: str, tmp_path: Path
) -> None:
    found = fixed(file(tmp_path, text), number)
    assert found.after == text
    assert len(found.left_out) == 1
    assert reason in found.left_out[0].reason


def test_an_alias_elsewhere_is_not_changed_behind_its_back(tmp_path: Path) -> None:
    text = ALEXNET.replace("kernel_size: 11", "kernel_size: &k 11")
    text += "  - {name: conv2, type: conv2d, filters: 8, kernel_size: *k, padding: 5}\n"
    assert fixed(file(tmp_path, text), 4).after == text.replace(
        "stride: 4}", "stride: 4, rounding: ceil}"
    )


def test_a_value_that_others_repeat_is_not_changed_for_all_of_them(tmp_path: Path) -> None:
    text = ALEXNET.replace("stride: 4}", "stride: 4, padding: &p 0}")
    text += "  - {name: conv2, type: conv2d, filters: 8, kernel_size: 1, padding: *p}\n"
    found = fixed(file(tmp_path, text), 3)
    assert found.after == text
    (left_out,) = found.left_out
    assert left_out.reason == "the text there cannot be changed without changing something else"


def test_a_fix_of_a_block_is_one_for_all_its_uses(tmp_path: Path) -> None:
    text = """\
archspec: 1
name: blocks
input: {channels: 3, height: 33, width: 33}
blocks:
  half:
    layers:
      - {name: conv, type: conv2d, filters: 8, kernel_size: 1}
      - {name: norm, type: max_pool2d, kernel_size: 2, stride: 3}   # wrong
layers:
  - {name: first, block: half}
  - {name: second, block: half}
"""
    found = fixed(file(tmp_path, text), 3)
    assert found.after == text.replace("stride: 3}", "stride: 3, rounding: floor}")


def test_items_of_lists_are_found_by_their_number(tmp_path: Path) -> None:
    text = ALEXNET.replace("stride: 4}", "stride: 4, padding: [1, 2, 1, 2]}") + "claims: []\n"
    state = loading.examine(file(tmp_path, text))
    changes = {"conv1.padding.3": 3, "input.height": 225}
    assert applied(text, fixing.replacements(state, Fix("", "", changes))) == text.replace(
        "1, 2]}", "1, 3]}"
    ).replace("height: 224", "height: 225")
    for place in ("conv1.padding.4", "conv9.padding.0", "claims.0"):
        assert fixing.replacements(state, Fix("", "", {place: None})) == ()


SAFE = """\
archspec: 1
name: safe
input: {channels: 3, height: 8, width: 8}
variables:
  used: 4    # in conv1
  idle: 2    # nothing reads it
layers:
  - {name: conv1, type: conv2d, filters: $used, kernel_size: 3}
  - {name: conv2, type: conv2d, filters: 4, kernel_size: 3}
"""


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules with safe fixes, good and bad ones, in the place of those that archspec has."""

    def check(analysis: Analysis) -> Iterable[Problem]:
        def problem(message: str, changes: dict[str, Any], layer: str | None = None) -> Problem:
            fix = Fix(message, "", changes, safe=True)
            return Problem("idle", message, layer=layer, fixes=(fix,))

        for node in analysis.graph.nodes:
            if node.source.get("bias") is None:
                yield problem("no bias", {f"{node.name}.bias": False}, node.name)
        yield problem("too large", {"conv1.kernel_size": 99}, "conv1")
        yield problem("stays", {"conv2.trainable": False}, "conv2")

    rule = Rule("AS999", "idle", "note", check=check)
    monkeypatch.setattr(rules, "rules", lambda: {**RULES, "idle": rule})


RULES = rules.rules()


@pytest.mark.usefixtures("idle")
def test_safe_fixes_are_applied_until_none_is_left_and_bad_ones_left_out(tmp_path: Path) -> None:
    path = file(tmp_path, SAFE)
    found = fixing.fix_file(path)
    assert found.after == SAFE.replace("  idle: 2    # nothing reads it\n", "").replace(
        "kernel_size: 3}", "kernel_size: 3, bias: false}"
    )
    assert sorted(repair.fix.title for repair in found.applied) == [
        "no bias",
        "no bias",
        "remove idle",  # by a rule of archspec's own
    ]
    reasons = {repair.fix.title: repair.reason for repair in found.left_out}
    assert set(reasons) == {"too large", "stays"}
    assert reasons["too large"].startswith("it leads to another error, AS102: conv1")
    assert reasons["stays"] == "the finding would still be there"


@pytest.mark.usefixtures("idle")
def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    path = file(tmp_path, SAFE)
    fixing.write(fixing.fix_file(path))
    again = fixing.fix_file(path)
    assert again.after == again.before != SAFE
    assert not again.applied


def test_a_file_is_replaced_at_once_with_its_mode_and_its_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(codecs.BOM_UTF8 + ALEXNET.encode())
    path.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    found = fixed(link, 5)
    fixing.write(found)
    assert path.read_bytes() == codecs.BOM_UTF8 + found.after.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert sorted(found.name for found in tmp_path.iterdir()) == ["link.yaml", "mine.yaml"]


def test_a_read_only_file_is_left_alone(tmp_path: Path) -> None:
    path = file(tmp_path, ALEXNET)
    path.chmod(0o444)
    with pytest.raises(ArchspecError, match=r"mine\.yaml is read-only"):
        fixing.write(fixed(path, 5))
    assert path.read_text() == ALEXNET


def test_a_file_that_changed_in_the_meantime_is_left_alone(tmp_path: Path) -> None:
    path = file(tmp_path, ALEXNET)
    found = fixed(path, 5)
    path.write_text("# another\n")
    with pytest.raises(ArchspecError, match="changed in the meantime"):
        fixing.write(found)
    assert path.read_text() == "# another\n"


def test_a_shipped_spec_is_not_edited_by_its_name() -> None:
    with pytest.raises(ArchspecError, match="extends: alexnet"):
        fixing.fix_file("alexnet")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(archspec.SpecError):
        fixing.fix_file(tmp_path / "nothing.yaml")
    found = fixing.fix_file(file(tmp_path, "a: {\n"), unsafe=True)
    assert found.after == found.before
    assert [d.code for d in found.state.diagnostics] == ["AS003"]


def test_the_diff_is_that_of_the_texts(tmp_path: Path) -> None:
    found = fixed(file(tmp_path, ALEXNET.rstrip("\n")), 1)
    diff = found.diff().splitlines()
    assert [line for line in diff if line[0] in "-+" and line[:3] not in ("---", "+++")] == [
        "-input: {channels: 3, height: 224, width: 224}   # section 3.5",
        "+input: {channels: 3, height: 223, width: 223}   # section 3.5",
    ]
    assert diff[0] == f"--- {found.name}"


@pytest.mark.parametrize("choice", ["AS101", "AS101=", "AS101=0", "AS101=x", "AS9=1", "=1"])
def test_choices_that_say_nothing(choice: str) -> None:
    with pytest.raises(ArchspecError, match="AS101=2"):
        fixing.parse_choices([choice])


def test_choices() -> None:
    assert fixing.parse_choices(["as101=2", "AS301 = 1"]) == {"AS101": 2, "AS301": 1}
