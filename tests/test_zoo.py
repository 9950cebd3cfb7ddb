"""The zoo: well-known networks as shipped specs, against their published totals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec import verification
from archspec.api import expand

DATA = Path(__file__).parent / "data"
ZOO: dict[str, dict[str, Any]] = json.loads((DATA / "zoo.json").read_text())
del ZOO["_note"]
VERIFIED = [name for name, row in ZOO.items() if "verify" in row]


@pytest.mark.parametrize("name", ZOO)
def test_totals(name: str) -> None:
    row = ZOO[name]
    found = archspec.analyze(name)
    assert found.graph.input_shape[1:] == (row["input"], row["input"])
    assert found.totals.params == row["params"]
    assert found.totals.macs == row["exact_macs"]
    if "gmacs" in row:
        assert round(found.totals.macs / 1e9, 3) == row["gmacs"]
    # Roundings are notes; claims that do not hold would be warnings.
    assert [d for d in found.diagnostics if d.severity != "note"] == []


@pytest.mark.parametrize("name", ZOO)
def test_every_claim_holds(name: str) -> None:
    claims = archspec.analyze(name).claims
    assert claims
    assert {claim.verdict for claim in claims} == {"holds"}


@pytest.mark.parametrize("name", ZOO)
def test_the_plain_spec_is_the_same_network(name: str, tmp_path: Path) -> None:
    found = archspec.analyze(name)
    plain = tmp_path / "plain.yaml"
    plain.write_text(expand(found.graph))
    again = archspec.analyze(plain)
    assert again.graph.hash == found.graph.hash
    assert again.totals == found.totals
    assert [claim.computed for claim in again.claims] == [c.computed for c in found.claims]
    assert expand(again.graph) == plain.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", VERIFIED)
def test_one_of_each_family_is_equal_in_every_backend(name: str) -> None:
    row = ZOO[name]
    graph = archspec.load(name, input=tuple(row["verify"]), **row.get("variables", {}))
    assert verification.verify(graph).equal


# One at a time: the VGG networks take 12 GB each, in float64 and in three backends.
@pytest.mark.xdist_group("full")
@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("name", ZOO)
def test_all_are_equal_in_every_backend_at_full_size(name: str) -> None:
    # With one image, batch normalisation of Inception's auxiliary head sees a single value.
    batch = 2 if name.startswith("inception") else 1
    assert verification.verify(archspec.load(name), batch=batch).equal
