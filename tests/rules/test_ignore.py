"""`ignore`: what it silences and where, what it does not, and one that is not needed."""

from __future__ import annotations

from pathlib import Path

import pytest

import archspec
from archspec import rules
from archspec.analysis import Analysis
from archspec.plain import plain_spec

HEAD = "archspec: 1\nname: net\ninput: {channels: 3, height: 8, width: 8}\n"
CONV = "name: conv{0}, type: conv2d, filters: 4, kernel_size: 1"
NORM = "name: norm{0}, type: batch_norm, eps: 1e-3, decay: 0.9"
MEANT = "ignore: [{code: AS206, reason: the weights have it}]"


def spec(*entries: str, **sections: str) -> str:
    text = HEAD + "".join(f"{key}: {value}\n" for key, value in sections.items())
    return text + "layers:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries)


def analysed(path: Path, text: str) -> Analysis:
    path.write_text(text, "utf-8")
    return archspec.analyze(path)


def codes(found: Analysis) -> tuple[list[str], list[tuple[str, str]]]:
    """The codes of what is reported, and of what is silenced with the reasons."""
    silenced = [(s.diagnostic.code, s.reason) for s in found.silenced]
    return [d.code for d in found.diagnostics], silenced


PAIR = (CONV.format(1), NORM.format(1))


@pytest.mark.parametrize(
    "text",
    [
        spec(f"{PAIR[0]}, {MEANT}", PAIR[1]),
        spec(f"name: all, {MEANT}, layers: [{{{PAIR[0]}}}, {{{PAIR[1]}}}]"),
        spec(*PAIR) + "ignore:\n  - {code: AS206, reason: the weights have it}\n",
        spec(*PAIR) + "ignore: [{code: AS206, about: conv1, reason: the weights have it}]\n",
        spec(*PAIR) + 'ignore: [{code: AS206, about: "c*1", reason: the weights have it}]\n',
        spec(*PAIR) + "ignore: [{code: AS206, about: [a, conv1], reason: the weights have it}]\n",
        spec(*PAIR, variables="{why: the weights}")
        + "ignore: [{code: AS206, reason: $(why) have it}]\n",
        spec(f"{PAIR[0]}, ignore: [{{code: AS206, reason: $(why) have it}}]", PAIR[1])
        + "variables: {why: the weights}\n",
    ],
)
def test_a_layer_a_group_and_the_whole_spec(text: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    found = analysed(path, text)
    assert codes(found) == ([], [("AS206", "the weights have it")])
    assert found.silenced[0].diagnostic.layer in ("conv1", "all.conv1")
    # A plain spec says the same.
    assert codes(analysed(tmp_path / "plain.yaml", plain_spec(found.graph))) == codes(found)
    bare = analysed(path, spec(*PAIR))
    assert codes(bare) == (["AS206"], [])
    assert text.count("all") or bare.graph.hash == found.graph.hash


UNIT = f"""\
blocks:
  unit:
    layers:
      - {{{CONV.format("")}}}
      - {{{NORM.format("")}}}
"""


def test_blocks(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    both = analysed(path, HEAD + UNIT + "layers: [{name: u, block: unit, repeat: 2}]\n")
    assert codes(both) == (["AS206"], [])  # once for the line, with the other counted
    assert "likewise in 1 more layer" in both.diagnostics[0].message
    first = f"layers: [{{name: a, block: unit, {MEANT}}}, {{name: b, block: unit}}]\n"
    found = analysed(path, HEAD + UNIT + first)
    assert codes(found) == (["AS206"], [("AS206", "the weights have it")])
    assert (found.diagnostics[0].layer, found.silenced[0].diagnostic.layer) == ("b.conv", "a.conv")
    about = "ignore: [{code: AS206, about: [a, b], reason: r}]\n"
    use = "layers: [{name: a, block: unit}, {name: b, block: unit}]\n"
    assert codes(analysed(path, HEAD + UNIT + use + about)) == ([], [("AS206", "r")])
    inside = UNIT.replace("kernel_size: 1}", f"kernel_size: 1, {MEANT}}}")
    found = analysed(path, HEAD + inside + use)
    assert codes(found)[0] == []
    plain = plain_spec(found.graph)
    assert "about: [a.conv, b.conv]" in plain
    assert codes(analysed(path, plain))[0] == []


CLAIM = "{about: conv1, macs: 7, source: a blog"
RECIPE = "{epochs: 1, batch_size: 1, optimizer: {type: sgd, learning_rate: 0.1}"
POOLED = (
    "name: pool, type: global_avg_pool2d",
    "name: norm, type: group_norm, groups: 3, eps: 1e-3",
)


def test_claims_silence_their_own_contradiction_alone(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    meant = f"claims: [{CLAIM}}}, {CLAIM}, ignore: [{{code: AS301, reason: a blog}}]}}]\n"
    found = analysed(path, spec(CONV.format(1)) + meant.replace("macs: 7", "macs: 8", 1))
    reported, silenced = codes(found)
    assert reported.count("AS301") == 1
    assert silenced == [("AS301", "a blog")]
    assert found.silenced[0].diagnostic.message.startswith("conv1 is claimed to have macs 7")
    assert [claim.verdict for claim in found.claims] == ["contradicted"] * 2


def test_training_silences_what_is_about_the_recipe_alone(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    recipe = f"training: {RECIPE}, ignore: [{{code: AS215, reason: r}}]}}\n"
    found = analysed(path, spec(*POOLED) + recipe)
    # The finding is about a layer, so the recipe's entry does not reach it.
    assert sorted(set(codes(found)[0]) & {"AS030", "AS215"}) == ["AS030", "AS215"]


@pytest.mark.parametrize(
    ("entry", "code", "words"),
    [
        ("{code: AS209, reason: r}", "AS030", "AS209 (activation-twice) is ignored here and would"),
        ("{code: AS102, reason: r}", "AS030", "is an error, and errors cannot be ignored"),
        ("{code: AS206, about: cnv, reason: r}", "AS030", "no layer or block is called what"),
        ("{code: AS260, reason: r}", "AS031", "there is no diagnostic AS260 to ignore"),
    ],
)
def test_one_that_is_not_needed_is_reported(
    entry: str, code: str, words: str, tmp_path: Path
) -> None:
    found = analysed(tmp_path / "s.yaml", spec(CONV.format(1)) + f"ignore:\n  - {entry}\n")
    (diagnostic,) = found.diagnostics
    assert (diagnostic.code, diagnostic.line, diagnostic.column) == (code, 7, 5)
    assert words in diagnostic.message
    assert diagnostic.severity == "warning"


def test_errors_stay(tmp_path: Path) -> None:
    text = spec("name: c, type: conv2d, filters: 1, kernel_size: 9")
    found = analysed(tmp_path / "s.yaml", text + "ignore: [{code: AS102, reason: r}]\n")
    assert codes(found) == (["AS102"], [])
    assert found.has_errors


def test_another_size_or_variable_does_not_make_it_needless(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    text = spec(f"{PAIR[0]}, {MEANT}, bias: $bias", PAIR[1], variables="{bias: true}")
    assert codes(analysed(path, text))[0] == []
    assert archspec.analyze(archspec.load(path, bias=False)).diagnostics == ()
    assert archspec.analyze("alexnet", input="3x224x224").diagnostics
    assert "AS030" not in codes(archspec.analyze("alexnet", input="3x231x231"))[0]


def test_variants_inherit_and_add(tmp_path: Path) -> None:
    base, variant = tmp_path / "base.yaml", tmp_path / "variant.yaml"
    base.write_text(spec(f"{PAIR[0]}, {MEANT}", PAIR[1], "name: relu1, type: relu"))
    head = "archspec: 1\nname: variant\nextends: base.yaml\n"
    twice = "changes: [{after: relu1, insert: {name: relu2, type: relu}}]\n"
    assert codes(analysed(variant, head + twice)) == (
        ["AS209"],
        [("AS206", "the weights have it")],
    )
    own = "ignore: [{code: AS209, reason: both are drawn}]\n"
    assert codes(analysed(variant, head + twice + own))[0] == []
    # What a base needs, a variant may not: it is not blamed for that.
    other = "changes: [{set: conv1, bias: false}]\n"
    assert codes(analysed(variant, head + other)) == ([], [])
    assert codes(analysed(variant, head + other + own))[0] == ["AS030"]
    # Lists at the top add up.
    base.write_text(base.read_text() + "ignore: [{code: AS209, reason: the base says so}]\n")
    assert codes(analysed(variant, head + twice + own))[0] == []


@pytest.mark.parametrize(
    ("ignore", "code", "words"),
    [
        ("[AS206]", "AS012", "`{code: AS203, reason: why it is meant}`"),
        ("AS206", "AS012", "`[{code: AS203, reason: why it is meant}]`"),
        ("[{code: AS206}]", "AS011", "needs the key `reason`"),
        ("[{reason: r}]", "AS011", "needs the key `code`"),
        ('[{code: AS206, reason: ""}]', "AS012", "a text that says why it is meant"),
        ("[{code: 206, reason: r}]", "AS013", "the code of a diagnostic such as `AS203`"),
        ("[{code: AS206, reason: r, becuase: r}]", "AS010", "no key `becuase`"),
    ],
)
@pytest.mark.parametrize("place", ["layer", "block", "claim", "training", "top"])
def test_a_reason_is_needed(ignore: str, code: str, words: str, place: str, tmp_path: Path) -> None:
    text = {
        "layer": spec(f"{CONV.format(1)}, ignore: {ignore}"),
        "block": spec(f"name: g, ignore: {ignore}, layers: [{{{CONV.format(1)}}}]"),
        "claim": spec(CONV.format(1)) + f"claims: [{CLAIM}, ignore: {ignore}}}]\n",
        "training": spec(CONV.format(1)) + f"training: {RECIPE}, ignore: {ignore}}}\n",
        "top": spec(CONV.format(1)) + f"ignore: {ignore}\n",
    }[place]
    path = tmp_path / "spec.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(archspec.SpecError) as caught:
        archspec.analyze(path)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert words in f"{diagnostic.message} {diagnostic.help}"
    line = path.read_text().splitlines()[diagnostic.line - 1]
    assert "ignore" in line


def test_the_document_keeps_what_is_silenced() -> None:
    document = archspec.analyze("alexnet").to_json()
    assert [d["code"] for d in document["silenced"]] == ["AS310", "AS310", "AS309"]
    assert all(d["reason"] and d["message"] and d["line"] for d in document["silenced"])
    verdicts = [claim["verdict"] for claim in document["claims"]]
    assert verdicts.count("contradicted") == 3


# The implementations of AlexNet, whose mistakes are what there is to see (docs/seeds.md), and the
# size that AlexNet's paper prints, which does not fit.
WRONG_ON_PURPOSE = {
    "alexnet-224",
    "alexnet-bvlc-tensorflow",
    "alexnet-same-padding",
    "alexnet-keras-10",
    "alexnet-keras-batchnorm",
    "alexnet-keras-batchnorm-narrated",
    "alexnet-keras-valid",
}


def test_published_networks_have_no_warnings_that_they_do_not_explain() -> None:
    from archspec import catalog

    assert set(catalog.shipped()) > WRONG_ON_PURPOSE
    for name in catalog.shipped():
        found = archspec.analyze(name)
        wrong = [d for d in found.diagnostics if d.severity != "note"]
        if name in WRONG_ON_PURPOSE:
            assert wrong, name
            assert not found.silenced, name
        else:
            assert not wrong, (name, [(d.code, d.message) for d in wrong])


def test_every_ignored_code_is_a_rule() -> None:
    from archspec import catalog

    for name in catalog.shipped():
        for ignored in archspec.load(name).ignored:
            assert ignored.code in rules.codes(), name
            assert len(ignored.reason) > 20, (name, ignored.reason)
