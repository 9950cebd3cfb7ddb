"""How the conventions of a network are told: documents, sections, and what has no figure."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from networks import layer, network

import archspec
from archspec import api
from archspec.analysis import conventions
from archspec.analysis.conventions import TOOLS
from archspec.backends.torch.emit import modules


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "archspec", "analyze", *arguments], capture_output=True, text=True
    )


def test_the_figures_are_archspecs_and_the_terms() -> None:
    for spec in ("alexnet", "alexnet-torchvision", "convnext-tiny", "googlenet-aux"):
        found = archspec.analyze(spec)
        figures = api.conventions(found).figures
        assert len(figures) == sum(len(tool.quantities) for tool in TOOLS)
        for figure in figures:
            assert figure.archspec == getattr(found.totals, figure.own)
            assert figure.value == figure.archspec + sum(term.amount for term in figure.terms)
            assert all(term.amount and term.layers > 0 for term in figure.terms)
    with pytest.raises(KeyError):
        api.conventions(found).figure("calflops", "MACs")


def test_the_document() -> None:
    run = command("alexnet", "--conventions", "--format", "json")
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout)["conventions"]["figures"]
    assert figures[0] == {
        "tool": "torchinfo",
        "version": "1.8.0",
        "quantity": "mult-adds",
        "unit": "MACs",
        "value": 725066088,
        "archspec": {"macs": 724406816},
        "terms": [
            {
                "reason": "bias: one MAC an output element",
                "amount": 659272,
                "layers": 8,
                "fault": False,
            }
        ],
        "skips": {},
        "asides": [],
        "impossible": None,
    }
    assert json.loads(run.stdout)["conventions"] == api.conventions(archspec.analyze()).to_json()
    run = command("alexnet", "--format", "json")
    assert "conventions" not in json.loads(run.stdout)


def test_markdown_and_table() -> None:
    run = command("alexnet", "--conventions", "--format", "markdown")
    assert run.returncode == 0, run.stderr
    assert "| torchinfo | mult-adds (MACs) | 725,066,088 | 724,406,816 | +659,272 |" in run.stdout
    assert "| - bias: one MAC an output element | 8 | +659,272 |" in run.stdout
    run = command("alexnet", "--conventions")
    assert run.returncode == 0, run.stderr
    assert (
        max(map(len, run.stdout.partition("other tools")[2].partition("note[")[0].split("\n")))
        <= 80
    )


def test_a_network_with_errors_has_no_figures() -> None:
    found = api.conventions(archspec.analyze("alexnet-224"))
    assert found.figures == ()
    (section,) = found.sections()
    assert section.rows == ()
    assert section.notes == ("no tool can count the network: with these errors it cannot be built",)
    run = command("alexnet-224", "--conventions")
    assert run.returncode == 1
    assert section.notes[0] in run.stdout


def test_a_layer_type_of_a_plug_in() -> None:
    """What its module is to a tool is not known; what it holds is."""
    layers = [
        layer("conv", "conv2d", filters=4, kernel_size=3),
        layer("mine", "batch_norm", eps=0.1, decay=0.9),
    ]
    graph = network(layers)
    found = archspec.analyze(graph)
    figures = conventions.compute(found, {**modules(graph), "mine": "LearnedSwish"}).figures
    reason = "what it counts for `batch_norm` (LearnedSwish) of a plug-in is not known"
    open_ = {(f.tool, f.quantity): f for f in figures if f.value is None}
    assert {figure.impossible for figure in open_.values()} == {reason}
    assert {f.quantity for f in figures if f.value is not None} == {
        "params",
        "trainable",
        "non-trainable",
    }
    assert ("thop", "params") in open_  # it leaves out the modules that it does not know
    notes = conventions.Conventions(figures).sections()[0].notes
    assert f"torchinfo has no figure for mult-adds: {reason}" in notes
