"""`imports`: blocks of other files, and which files may be named."""

from __future__ import annotations

from pathlib import Path

import pytest
from texts import chain, diagnostics, problems, values, written

import archspec

NET = "name: net\ninput: {channels: 3, height: 8, width: 8}\n"
UNIT = """\
variables: {n: 5, kind: relu}
blocks:
  unit:
    parameters: {filters: $n}
    layers:
      - {name: conv, type: conv2d, filters: $filters, kernel_size: 1}
      - {name: act, type: $kind}
  two: {layers: [{name: a, block: unit}, {name: b, block: unit, filters: $(n + 1)}]}
"""


def test_a_block_of_another_file(tmp_path: Path) -> None:
    files = {
        "net.yaml": NET + "imports: {m: blocks/m.yaml}\nvariables: {n: 7, kind: tanh}\n"
        "layers: [{name: x, block: m.two}, {name: y, block: m.unit, filters: $n}]\n",
        "blocks/m.yaml": UNIT,
    }
    net = archspec.load(written(tmp_path, files))
    assert chain(net) == [f"x.{a}.{b}" for a in "ab" for b in ("conv", "act")] + ["y.conv", "y.act"]
    # The file's own variables and blocks, whatever they are called elsewhere.
    assert values(net, "filters") == [5, 6, 7]
    assert {n.layer.type for n in net.nodes if "act" in n.name} == {"relu"}
    assert net.by_name["x.a.conv"].source.span.source is not None
    assert net.variables == {"n": 7, "kind": "tanh"}


def test_set_reaches_the_spec_only(tmp_path: Path) -> None:
    files = {
        "net.yaml": NET
        + "imports: {m: m.yaml}\nvariables: {k: 1}\nlayers: [{name: x, block: m.unit}]\n",
        "m.yaml": UNIT,
    }
    path = written(tmp_path, files)
    assert values(archspec.load(path, k=2), "filters") == [5]
    (found,) = diagnostics(path, n=6)
    assert found.code == "AS015"


def test_imports_in_imports(tmp_path: Path) -> None:
    files = {
        "net.yaml": NET
        + "imports: {a: x/a.yaml, m: x/m.yaml}\nlayers: [{name: x, block: a.more}]\n",
        "x/a.yaml": "imports: {u: m.yaml}\n"
        "blocks: {more: {layers: [{name: p, block: u.unit}, {name: q, block: u.two}]}}\n",
        "x/m.yaml": UNIT,
    }
    net = archspec.load(written(tmp_path, files))
    assert chain(net)[0] == "x.p.conv"
    assert values(net, "filters") == [5, 5, 6]


def test_a_network_may_be_imported_from(tmp_path: Path) -> None:
    files = {
        "net.yaml": NET + "imports: {m: m.yaml}\nlayers: [{name: x, block: m.unit}]\n",
        "m.yaml": NET + UNIT + "layers: [{name: x, block: unit}]\nclaims: []\n",
    }
    assert chain(archspec.load(written(tmp_path, files))) == ["x.conv", "x.act"]


def test_imports_are_inherited_and_found_from_their_own_file(tmp_path: Path) -> None:
    files = {
        "v.yaml": "name: v\nextends: deep/base.yaml\nimports: {n: other.yaml}\n"
        "changes: [{after: x, insert: {name: y, block: n.unit, filters: 2}}]\n",
        "deep/base.yaml": NET + "imports: {m: m.yaml}\nlayers: [{name: x, block: m.unit}]\n",
        "deep/m.yaml": UNIT,
        "other.yaml": UNIT,
    }
    assert values(archspec.load(written(tmp_path, files)), "filters") == [5, 2]


def test_problems_lie_in_the_file_and_say_who_uses_it(tmp_path: Path) -> None:
    files = {
        "net.yaml": NET + "imports: {m: m.yaml}\nlayers: [{name: x, block: m.unit, repeat: 3}]\n",
        "m.yaml": UNIT.replace("kernel_size: 1", "kernel_size: $k"),
    }
    path = written(tmp_path, files)
    (found,) = diagnostics(path)
    assert (found.code, found.file) == ("AS015", str(tmp_path / "m.yaml"))
    assert (found.line, found.column) == (7, 68)
    (use,) = found.uses
    assert (use.file, use.line, use.column) == (str(path), 5, 27)
    used = found.to_json()["used_at"]
    assert used == [{"file": str(path), "line": 5, "column": 27}]


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("m: nothing.yaml", "AS001", "no such file"),
        ("m: m.txt", "AS001", "`m.txt` is no YAML file"),
        ("m: ../m.yaml", "AS008", "lies outside the folder"),
        ("m: ../../../../../../etc/m.yaml", "AS008", "lies outside"),
        ("m: /etc/m.yaml", "AS008", "lies outside"),
        ("m: folder/../../m.yaml", "AS008", "lies outside"),
        ("m: link.yaml", "AS008", "lies outside"),
        ("m: out/m.yaml", "AS008", "lies outside"),
        ("m: folder.yaml", "AS001", ""),
        ("m: empty.yaml", "AS007", "holds no spec"),
        ("m: broken.yaml", "AS003", "not valid YAML"),
        ("m: list.yaml", "AS012", "a spec is a mapping"),
        ("m: extra.yaml", "AS010", "has no key `nonsense`"),
        ("m: net.yaml", "AS018", "imports itself"),
        ('m: "a\\0.yaml"', "AS001", ""),
        (f"m: {'x' * 5000}.yaml", "AS001", ""),
    ],
)
def test_wrong_files(text: str, code: str, says: str, tmp_path: Path) -> None:
    outside = tmp_path / "m.yaml"
    outside.write_text(f"archspec: 1\n{UNIT}", "utf-8")
    folder = tmp_path / "inside"
    files = {
        "net.yaml": NET + f"imports: {{{text}}}\nlayers: [{{name: x, block: m.unit}}]\n",
        "extra.yaml": UNIT + "nonsense: 3\n",
        "broken.yaml": "blocks: {\n",
    }
    path = written(folder, files)
    (folder / "folder.yaml").mkdir()
    (folder / "empty.yaml").write_text("", "utf-8")
    (folder / "list.yaml").write_text("[1]", "utf-8")
    (folder / "link.yaml").symlink_to(outside)
    (folder / "out").symlink_to(tmp_path)
    (found,) = diagnostics(path)
    assert found.code == code
    assert says in found.message


def test_root(tmp_path: Path) -> None:
    files = {
        "nets/net.yaml": NET
        + "imports: {m: ../blocks/m.yaml}\nlayers: [{name: x, block: m.unit}]\n",
        "blocks/m.yaml": UNIT,
    }
    path = written(tmp_path, files)
    assert [d.code for d in diagnostics(path)] == ["AS008"]
    assert "--root" in str(diagnostics(path)[0].help)
    assert chain(archspec.load(path, root=tmp_path)) == ["x.conv", "x.act"]
    assert [d.code for d in diagnostics(path, root=tmp_path / "nets")] == ["AS008"]
    assert [d.code for d in diagnostics(path, root=tmp_path / "blocks")] == ["AS008"]


def test_a_link_that_stays_inside(tmp_path: Path) -> None:
    files = {
        "net.yaml": NET + "imports: {m: link.yaml}\nlayers: [{name: x, block: m.unit}]\n",
        "blocks/m.yaml": UNIT,
    }
    path = written(tmp_path, files)
    (tmp_path / "link.yaml").symlink_to(tmp_path / "blocks" / "m.yaml")
    assert chain(archspec.load(path)) == ["x.conv", "x.act"]


def test_circles(tmp_path: Path) -> None:
    files = {
        "net.yaml": NET + "imports: {a: a.yaml}\nlayers: [{name: x, block: a.unit}]\n",
        "a.yaml": "imports: {b: b.yaml}\nblocks: {unit: {layers: [{name: c, block: b.unit}]}}\n",
        "b.yaml": "imports: {a: a.yaml}\nblocks: {unit: {layers: [{name: c, block: a.unit}]}}\n",
    }
    (found,) = diagnostics(written(tmp_path, files))
    assert (found.code, Path(found.file).name, found.line) == ("AS018", "b.yaml", 2)


def test_too_many_files(tmp_path: Path) -> None:
    names = ", ".join(f"m{n}: m.yaml" for n in range(101))
    files = {
        "net.yaml": NET + f"imports: {{{names}}}\nlayers: [{{name: x, type: relu}}]\n",
        "m.yaml": UNIT,
    }
    (found,) = diagnostics(written(tmp_path, files))
    assert found.code == "AS006"
    assert "more than 100 files" in found.message


def test_a_text_that_is_no_file_imports_nothing() -> None:
    found = problems("imports: {m: m.yaml}\nlayers: [{name: x, block: m.unit}]")
    assert [rule for rule, _ in found] == ["unreadable-file"]
