"""Whatever a spec file holds, loading and analysing it gives a result or diagnostics in the file.

Good specs are mutated, as text and as values, and random bytes are read. The mutations are drawn
by hypothesis, always the same ones, so a failure is the same on every machine.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import SOON

import archspec
from archspec import catalog, source
from archspec.diagnostics import Diagnostic

SMALL = {
    "branches": """\
archspec: 1
name: branches
input: {channels: 4, height: 9, width: 9}
variables: {classes: 10, rate: 0.5}
defaults: {weight_init: kaiming_uniform, rounding: floor}
layers:
  - {name: conv1, type: conv2d, filters: 4, kernel_size: 3, padding: same, groups: 2, bias: false}
  - {name: norm1, type: batch_norm, eps: 1e-3, decay: 0.9}
  - {name: sum1, type: add, inputs: [norm1, input]}
  - {name: half1, type: split, channels: [0, 2], inputs: [sum1]}
  - {name: half2, type: split, channels: [2, 4], inputs: [sum1]}
  - {name: both, type: concat, inputs: [half2, half1]}
  - {name: pool1, type: avg_pool2d, kernel_size: [3, 2], stride: 2, padding: 1,
     count_include_pad: true}
  - {name: lrn1, type: local_response_norm, size: 5, alpha: 1.0e-4, beta: 0.75, k: 2,
     alpha_mode: mean}
  - {name: leaky1, type: leaky_relu, negative_slope: 0.1}
  - {name: pad1, type: zero_pad2d, padding: [1, 2]}
  - {name: flat, type: flatten}
  - {name: drop, type: dropout, rate: $rate, scaling: at_inference}
  - {name: fc, type: dense, units: $classes, weight_init: {type: normal, std: 0.01}}
  - {name: prob, type: softmax}
claims:
  - {about: conv1, params: 72, source: "a test"}
  - {about: network, params: 1000, tolerance: 0.5}
  - {about: input, shape: [4, 9, 9]}
  - {about: conv1, settings: {kernel_size: [3, 3], weight_init.std: 0.01}, bound: at_most}
  - {about: network, layers: {conv2d: 1, relu: 2}}
  - {about: conv1, weight_bytes: 1.5 KiB, tolerance: 0.5}
  - {formula: "(9 - channels(conv1) + 2)/2 + 1", claimed: 4.5}
  - {about: training, settings: {weight_decay: 0.0005, schedule.factor: 0.5}}
training:
  epochs: 3
  batch_size: 8
  optimizer: {type: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0005}
  schedule: {type: steps, epochs: [2, 3], factor: 0.5}
  parameters: [{match: "*.bias", learning_rate: 2}]
  preprocessing: {rescale: 0.004, mean: [1, 2, 3, 4], std: data}
""",
    "blocks": """\
# comment
archspec: 1
name: blocks
title: "a: title"
description: >
  Folded
  text
input:
  channels: 1
  height: 8
  width: 6
layers:
  - name: conv1
    type: conv2d
    filters: 2
    kernel_size: [3, 1]
    stride: [1, 1]
    dilation: 2
    padding: [2, 2, 0, 0]
    weight_init: &init
      type: uniform
      low: -0.1
      high: 0.1
    bias_init: *init
  - name: act
    type: gelu
    approximate: tanh
  - name: pool
    type: adaptive_avg_pool2d
    output_size: 2
  - name: gap
    type: global_avg_pool2d
  - name: fc
    type: dense
    units: 3
""",
}
LANGUAGE = """\
archspec: 1
name: language
input: {channels: 4, height: 9, width: 9}
variables: {width: 1.5, stem: "$(round_to(8 * width, 4))", rows: [[1, 4, 1], [2, 8, 2]], norm: true}
blocks:
  conv_bn:
    parameters: {filters, kernel_size: 1, stride: 1, groups: 1, act: relu}
    layers:
      - {name: conv, type: conv2d, filters: $filters, kernel_size: $kernel_size, stride: $stride,
         groups: $groups, padding: same, bias: $(not norm)}
      - {name: norm, type: batch_norm, eps: 1e-5, decay: 0.9, when: $norm}
      - {name: act, type: $act}
  residual:
    parameters: {expansion: 1, filters, stride: 1, middle: $(channels(input) * expansion)}
    layers:
      - {name: expand, block: conv_bn, filters: $middle, when: $(expansion != 1)}
      - {name: depth, block: conv_bn, filters: $middle, kernel_size: 3, stride: $stride,
         groups: $(channels(expand))}
      - {name: reduce, block: conv_bn, filters: $filters, act: sigmoid}
      - {name: add, type: add, inputs: [reduce, input],
         when: $(stride == 1 and channels(input) == filters)}
  sum:
    inputs: [left, right]
    outputs: [add, act]
    layers:
      - {name: add, type: add, inputs: [left, right]}
      - {name: act, type: relu}
layers:
  - {name: stem, layers: [{name: conv, block: conv_bn, filters: $stem}, {name: relu, type: relu}]}
  - name: stage
    for_each: [repeats, filters, stride]
    in: $rows
    layers:
      - {name: block, block: residual, repeat: $repeats, filters: $(filters * 2), expansion: 2,
         stride: "$(max(stride, 1) if index == 1 else 1)"}
  - {name: skip, type: relu, inputs: [stage1.block], when: false}
  - {name: both, block: sum, inputs: [stage, stage2.block1]}
  - {name: out, type: concat, inputs: [both.add, both.act, stage2.block2.reduce.conv]}
  - {name: end, type: dropout, rate: $(width / 4), repeat: 2}
  - {name: pool, type: global_avg_pool2d}
auxiliary: [{layer: end1, loss_weight: 0.3}]
claims: [{about: stage1.block1.reduce.conv, params: 64}]
"""
VARIANT = """\
archspec: 1
name: variant
extends: spec-base.yaml
imports: {lib: spec-base.yaml}
variables: {width: 0.5, rows: [[3, 8, 1]]}
defaults: {rounding: floor}
changes:
  - {set: stem.conv.conv, stride: 2, bias: $(width > 1)}
  - {remove: stage1.block2}
  - {replace: both, with: [{name: a, type: relu}, {name: both, block: lib.sum, inputs: [a, stage]}]}
  - {after: both, insert: {name: more, block: lib.conv_bn, filters: 4, repeat: 2}}
  - {before: more2.conv, insert: {name: extra, type: tanh}}
  - {set: out, inputs: [both, both.act, more]}
  - {set: end, repeat: 1, rate: 0.1, scaling: null}
"""
FRAGMENTS = [
    *(
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        ",",
        "- ",
        "? ",
        "&a ",
        "*a",
        "*init",
        "!!python/name:os",
        "!t ",
    ),
    *("<<: ", "#", "|", ">", "'", '"', "%", "@", "`", "\t", "\n", "\r", "\r\n", "\x85", "\u2028"),
    *(
        "$(",
        "$(1 +",
        "$(n",
        ")",
        "$$(",
        "$(width * 2)",
        "$index",
        "channels(input)",
        "1 // 0",
        "== 1",
    ),
    *("when: ", "repeat: ", "for_each: ", "in: ", "block: ", "layers: ", "inputs: ", "outputs: "),
    *("---\n", "...\n", "\ufeff", "\x00", "\x07", "\\", "$", "$x", "$classes", "~", "null", "true"),
    *(
        "1e999",
        ".nan",
        "-.inf",
        "0x10",
        "1_000",
        "1e-4",
        "-1",
        "0",
        "9" * 50,
        "2147483648",
        "é",
        "😀",
    ),
]
ODD_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 2**31 - 1, 2**31, 10**39, 0.5, -0.5, 1e300, 1e-300),
    *("", "$classes", "$nothing", "same", "conv1", "input", "network", "x" * 101, "__class__", "ü"),
    *(
        "$(",
        "$(1 // 0)",
        "$(range(9))",
        "$(channels(stem))",
        "$rows",
        "$(index)",
        "x$(1 + 1)",
        "$$(",
    ),
    *("stage2.block1", "residual", "lib.sum", "stem.conv", 10**6, [[1, 2, 3]], [["a"]], "$stem"),
    *([], {}, [0], [1, 2], [1, 2, 3, 4], ["conv1"], ["conv1", "input"], [[1]], {"a": 1}),
    *(
        {"type": "normal"},
        {"type": "normal", "std": 1},
        {"type": []},
        {"type": "steps", "steps": 1},
    ),
]

derandomized = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "spec.yaml"


def check(file: Path, content: bytes) -> None:
    """Load and analyse; every diagnostic must be readable and lie within its file."""
    file.write_bytes(content)
    for diagnostic in outcome(file):
        text = Path(diagnostic.file).read_bytes().decode("utf-8-sig", "replace")
        lines = source.split_lines(text)
        assert 1 <= diagnostic.line <= len(lines), diagnostic
        assert 1 <= diagnostic.column <= len(lines[diagnostic.line - 1]) + 1, diagnostic
        for text in (diagnostic.message, diagnostic.help or ""):
            assert "nput should" not in text, diagnostic
            assert "pydantic" not in text.lower(), diagnostic
            assert len(text) < 2000, diagnostic


def outcome(file: Path) -> tuple[Diagnostic, ...]:
    """The diagnostics of a result, or of the one error that is allowed."""
    error: archspec.SpecError | None = None
    try:
        analysis = archspec.analyze(file)
    except archspec.SpecError as raised:
        error = raised
    if error is None:
        analysis.to_json()
        return analysis.diagnostics
    assert any(diagnostic.severity == "error" for diagnostic in error.diagnostics)
    return error.diagnostics


def shipped() -> list[str]:
    return [path.read_text("utf-8") for path in catalog.shipped().values()]


def text_mutations(texts: list[str]) -> st.SearchStrategy[str]:
    """One to four edits of a text: lines and characters removed, doubled, moved and inserted."""

    @st.composite
    def mutate(draw: st.DrawFn) -> str:
        text = draw(st.sampled_from(texts))
        for _ in range(draw(st.integers(1, 4))):
            start = draw(st.integers(0, len(text)))
            end = min(start + draw(st.integers(0, 12)), len(text))
            piece = draw(st.sampled_from(FRAGMENTS) | st.text(max_size=3))
            lines = text.split("\n")
            line = draw(st.integers(0, len(lines) - 1))
            other = draw(st.integers(0, len(lines) - 1))
            match draw(st.integers(0, 7)):
                case 0:
                    text = text[:start] + text[end:]
                case 1:
                    text = text[:start] + piece + text[start:]
                case 2:
                    text = text[:start] + piece + text[end:]
                case 3:
                    text = text[:end] + text[start:end] + text[end:]
                case 4:
                    text = "\n".join(lines[:line] + lines[line + 1 :])
                case 5:
                    text = "\n".join([*lines[:other], lines[line], *lines[other:]])
                case 6:
                    lines[line], lines[other] = lines[other], lines[line]
                    text = "\n".join(lines)
                case _:
                    words = lines[line].split(" ")
                    words[draw(st.integers(0, len(words) - 1))] = piece
                    lines[line] = " ".join(words)
                    text = "\n".join(lines)
        return text

    return mutate()


def value_mutations(texts: list[str]) -> st.SearchStrategy[str]:
    """One to three values of a spec replaced, removed or renamed."""
    specs = [source.parse(text, "").root.data() for text in texts]
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    odd = st.sampled_from(ODD_VALUES) | st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["type", "name", "x", "std"]), inner, max_size=3)
        ),
        max_leaves=5,
    )

    @st.composite
    def mutate(draw: st.DrawFn) -> str:
        spec = copy.deepcopy(draw(st.sampled_from(specs)))
        for _ in range(draw(st.integers(1, 3))):
            place: Any = spec
            while True:
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                if not keys:
                    break
                key = draw(st.sampled_from(keys))
                if isinstance(place[key], (dict, list)) and draw(st.integers(0, 3)):
                    place = place[key]
                    continue
                action = draw(st.integers(0, 5))
                if action == 0:
                    del place[key]
                elif action == 1 and isinstance(place, dict):
                    place[draw(st.text(max_size=4) | st.sampled_from(["pad", "strides"]))] = (
                        place.pop(key)
                    )
                else:
                    place[key] = copy.deepcopy(draw(odd))
                break
        return yaml.safe_dump(spec, allow_unicode=True, sort_keys=False)

    return mutate()


@settings(derandomized, max_examples=1500)
@given(text_mutations(list(SMALL.values())))
def test_mutated_text(file: Path, text: str) -> None:
    check(file, text.encode("utf-8", "surrogatepass"))


@settings(derandomized, max_examples=1500)
@given(value_mutations(list(SMALL.values())))
def test_mutated_values(file: Path, text: str) -> None:
    check(file, text.encode())


@settings(derandomized, max_examples=150)
@given(text_mutations(shipped()) | value_mutations(shipped()))
def test_mutated_shipped_specs(file: Path, text: str) -> None:
    check(file, text.encode("utf-8", "surrogatepass"))


@pytest.fixture(scope="module")
def variant(file: Path) -> Path:
    (file.parent / "spec-base.yaml").write_text(LANGUAGE, "utf-8")
    return file


@settings(derandomized, max_examples=300)
@given(text_mutations([LANGUAGE, VARIANT]))
def test_mutated_text_of_the_language(variant: Path, text: str) -> None:
    check(variant, text.encode("utf-8", "surrogatepass"))


@settings(derandomized, max_examples=300)
@given(value_mutations([LANGUAGE, VARIANT]))
def test_mutated_values_of_the_language(variant: Path, text: str) -> None:
    check(variant, text.encode())


@settings(derandomized, max_examples=100)
@given(text_mutations([LANGUAGE]) | value_mutations([LANGUAGE]))
def test_mutated_base_of_a_variant(variant: Path, text: str) -> None:
    base = variant.parent / "spec-base.yaml"
    base.write_text(text, "utf-8", errors="surrogatepass")
    try:
        check(variant, VARIANT.encode())
    finally:
        base.write_text(LANGUAGE, "utf-8")


COUNT = 1000
HEAD = "archspec: 1\nname: deep\ninput: {channels: 1, height: 4, width: 4}\n"
RELU = "layers: [{name: a, type: relu}]\n"
GROWING = {
    "variables in order": "variables:\n"
    + "".join(f"  v{n}: $(v{n + 1} + 1)\n" for n in range(COUNT))
    + f"  v{COUNT}: 1\n{RELU}",
    "variables in reverse": "variables:\n"
    + f"  v{COUNT}: 1\n"
    + "".join(f"  v{n}: $(v{n + 1} + 1)\n" for n in reversed(range(COUNT)))
    + RELU,
    "long expressions": "variables:\n"
    + "".join(f"  v{n}: $({'-' * 200}v{n + 1})\n" for n in range(40))
    + f"  v40: 1\n{RELU}",
    "lists in lists": "variables:\n  l0: [1]\n"
    + "".join(f"  l{n + 1}: $([l{n}])\n" for n in range(COUNT))
    + f"  t: x$(l{COUNT} == l{COUNT})\n{RELU}",
    "lists that double": "variables:\n  l0: [1]\n"
    + "".join(f"  l{n + 1}: [$l{n}, $l{n}]\n" for n in range(COUNT))
    + f"layers: [{{name: a, type: relu, when: $(l{COUNT} == l{COUNT})}}]\n",
    "texts that double": "variables:\n  t0: x\n"
    + "".join(f"  t{n + 1}: $(t{n})$(t{n})\n" for n in range(COUNT))
    + f"title: $t{COUNT}\n{RELU}",
    "long lists, often": "variables:\n"
    + "".join(f"  l{n}: $(sum(range(100000)))\n" for n in range(COUNT))
    + RELU,
    "groups in groups": "layers:\n  - "
    + "{name: g, layers: [" * 29
    + "{name: a, type: relu}"
    + "]}" * 29
    + "\n",
    "blocks that use the next": "blocks:\n"
    + "".join(f"  b{n}: {{layers: [{{name: x, block: b{n + 1}}}]}}\n" for n in range(COUNT))
    + f"  b{COUNT}: {{layers: [{{name: x, type: relu}}]}}\nlayers: [{{name: a, block: b0}}]\n",
    "groups in blocks": "blocks:\n"
    + "".join(
        f"  b{n}: {{layers: ["
        + "{name: g, layers: [" * 15
        + f"{{name: x, block: b{n + 1}}}"
        + "]}" * 15
        + "]}\n"
        for n in range(20)
    )
    + "  b20: {layers: [{name: x, type: relu}]}\nlayers: [{name: a, block: b0}]\n",
    "blocks that double": "blocks:\n"
    + "".join(
        f"  b{n}: {{layers: [{{name: x, block: b{n + 1}}}, {{name: y, block: b{n + 1}}}]}}\n"
        for n in range(30)
    )
    + "  b30: {layers: [{name: x, type: relu}]}\nlayers: [{name: a, block: b0}]\n",
    "repetitions of nothing": "layers:\n  - name: a\n    repeat: 100000\n"
    "    layers: [{name: b, type: relu, repeat: 100000, when: false}]\n",
    "many inputs, often": "layers:\n  - {name: a, type: add, repeat: 100000, inputs: ["
    + ", ".join(["input"] * 5000)
    + "]}\n",
    "left out in a row": "layers:\n"
    + "".join(
        f"  - {{name: l{n}, type: relu, when: false, inputs: [l{n + 1}]}}\n" for n in range(COUNT)
    )
    + f"  - {{name: l{COUNT}, type: relu, inputs: [l0]}}\n",
}


@pytest.mark.parametrize("name", GROWING)
def test_what_grows_ends_soon(file: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHSPEC_MAX_LAYERS", "10000")
    start = time.process_time()
    check(file, (HEAD + GROWING[name]).encode())
    assert time.process_time() - start < SOON


@settings(derandomized, max_examples=400)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
def test_random_bytes(file: Path, content: bytes) -> None:
    check(file, content)


@settings(derandomized, max_examples=400)
@given(st.lists(st.sampled_from([*FRAGMENTS, "a", "b: ", " ", "  "]), max_size=30))
def test_random_fragments(file: Path, pieces: list[str]) -> None:
    check(file, "".join(pieces).encode())


@pytest.mark.parametrize(
    "text", [*SMALL.values(), LANGUAGE, VARIANT], ids=[*SMALL, "language", "variant"]
)
def test_starts_from_good_specs(variant: Path, text: str) -> None:
    variant.write_text(text, "utf-8")
    assert not archspec.analyze(variant).has_errors
