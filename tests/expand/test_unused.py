"""What a spec declares and does not use: variables, blocks, parameters; conditions that stay."""

from __future__ import annotations

from pathlib import Path

import pytest

import archspec

HEAD = "archspec: 1\nname: net\ninput: {channels: 4, height: 9, width: 9}\n"


RELU = "layers: [{name: a, type: relu}]\n"


def told(path: Path, text: str) -> list[tuple[str, int, int]]:
    """What is said of declarations, with its place."""
    path.write_text(text, "utf-8")
    found = archspec.analyze(path).diagnostics
    return [(d.name, d.line, d.column) for d in found if d.code.startswith("AS03")]


@pytest.mark.parametrize(
    "use",
    [
        "layers: [{name: a, type: dropout, rate: $x}]",
        "layers: [{name: a, type: dropout, rate: $(0.1 + x)}]",
        "layers: [{name: a, type: relu, when: $(x > 0)}]",
        "layers: [{name: a, type: relu, repeat: $(1 if x > 0 else 2)}]",
        "layers:\n  - {name: a, for_each: r, in: [$x],\n"
        "     layers: [{name: b, type: dropout, rate: $r}]}",
        f"{RELU}title: It has $(x) of it",
        f"{RELU}defaults: {{weight_init: {{type: normal, std: $x}}}}",
        f"{RELU}claims: [{{about: a, params: 0, source: s, tolerance: $x}}]",
        f"{RELU}claims: [{{formula: 2*x, claimed: 1, source: s}}]",
        "blocks: {u: {layers: [{name: b, type: dropout, rate: $x}]}}\n"
        "layers: [{name: a, block: u}]",
        f"{RELU}training: {{epochs: 1, batch_size: 2, "
        "optimizer: {type: sgd, learning_rate: $x}}",
    ],
)
def test_a_variable_may_be_used_anywhere(use: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    assert told(path, f"{HEAD}variables: {{x: 0.5}}\n{use}\n") == []
    assert told(path, f"{HEAD}variables: {{x: 0.5, y: 1}}\n{use}\n") == [("unused-variable", 4, 21)]


def test_a_base_may_declare_for_its_variants(tmp_path: Path) -> None:
    base, variant = tmp_path / "base.yaml", tmp_path / "variant.yaml"
    text = f"{HEAD}variables: {{x: 1, y: 2}}\nlayers: [{{name: a, type: relu}}]\n"
    assert told(base, text) == [("unused-variable", 4, 13), ("unused-variable", 4, 19)]
    text = "archspec: 1\nname: variant\nextends: base.yaml\nvariables: {z: 3}\n"
    assert told(variant, text) == [("unused-variable", 4, 13)]
    text += "changes: [{set: a, when: $(z > x)}]\n"
    assert told(variant, text) == []


BLOCKS = """\
blocks:
  one:
    parameters: {filters, stride: 1}
    layers: [{name: c, type: conv2d, filters: $filters, kernel_size: 1}]
  two:
    parameters: {filters}
    layers: [{name: c, block: one, filters: $filters}]
"""


def test_blocks_and_parameters(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    used = told(path, f"{HEAD}{BLOCKS}layers: [{{name: a, block: two, filters: 2}}]\n")
    assert used == [("unused-parameter", 6, 27)]
    alone = told(path, f"{HEAD}{BLOCKS}layers: [{{name: a, block: one, filters: 2}}]\n")
    assert alone == [("unused-parameter", 6, 27), ("unused-block", 8, 3)]
    kind = "variables: {kind: one}\nlayers: [{name: a, block: $kind, filters: 2}]\n"
    assert told(path, f"{HEAD}{BLOCKS}{kind}") == []


@pytest.mark.parametrize(
    ("when", "constant"),
    [
        ("true", True),
        ("false", True),
        ("$(1 > 2)", True),
        ("$x", False),
        ("$(x and false)", False),
        ("$(channels(input) > 2)", False),
    ],
)
def test_conditions(when: str, constant: bool, tmp_path: Path) -> None:
    text = (
        f"{HEAD}variables: {{x: true}}\ntitle: It is $(x)\nlayers:\n  - {{name: a, type: relu}}\n"
    )
    text += f'  - {{name: b, layers: [{{name: c, type: tanh, when: "{when}"}}]}}\n'
    text = text.replace(f'"{when}"', when) if when in ("true", "false") else text
    found = told(tmp_path / "spec.yaml", text)
    assert found == ([("constant-condition", 8, 52)] if constant else [])


def test_the_fix_takes_the_declaration_away(tmp_path: Path) -> None:
    from archspec import fixing

    path = tmp_path / "spec.yaml"
    path.write_text(f"{HEAD}variables: {{x: 1}}  # a comment\nlayers: [{{name: a, type: relu}}]\n")
    fixed = fixing.fix_file(path)
    assert [repair.diagnostic.code for repair in fixed.applied] == ["AS032"]
    assert "x: 1" not in fixed.after
    assert fixed.state.diagnostics == ()
