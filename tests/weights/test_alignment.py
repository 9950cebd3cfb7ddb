"""The alignment of two lists of layers, against all alignments that there are."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.weights.alignment import Alignment, align

Pairs = tuple[tuple[int, int], ...]


def every_alignment(file: list[int], network: list[int]) -> list[Pairs]:
    """All ways to match equal layers without crossing, those with the most pairs."""
    for size in range(min(len(file), len(network)), -1, -1):
        found = [
            tuple(zip(rows, columns, strict=True))
            for rows in combinations(range(len(file)), size)
            for columns in combinations(range(len(network)), size)
            if all(file[i] == network[j] for i, j in zip(rows, columns, strict=True))
        ]
        if found:
            return found
    raise AssertionError


kinds = st.lists(st.integers(0, 3), min_size=1, max_size=6)


@settings(max_examples=300, deadline=None)
@given(file=kinds, network=kinds)
def test_the_best_alignment_and_whether_it_is_the_only_one(
    file: list[int], network: list[int]
) -> None:
    def fits(i: int, j: int) -> bool:
        return file[i] == network[j]

    found = align(file, network, fits, lambda i, j: False, ordered=True, types=[0] * len(network))
    assert found is not None
    assert all(fits(i, j) for i, j in found.pairs)
    best = every_alignment(file, network)
    if not found.by_order:
        # More layers were found by shape, and not in the order of the file.
        assert len(found.pairs) > len(best[0])
        assert all(file.count(file[i]) == network.count(file[i]) for i, _ in found.pairs)
        return
    assert tuple(found.pairs) in best
    assert bool(found.unsure) == (len(best) > 1)


@settings(max_examples=200, deadline=None)
@given(file=kinds, network=kinds)
def test_layers_without_an_order(file: list[int], network: list[int]) -> None:
    """Each kind by itself; as many of a kind in both, or it cannot be told which is which."""

    def fits(i: int, j: int) -> bool:
        return file[i] == network[j]

    found = align(file, network, fits, lambda i, j: False, ordered=False, types=[0] * len(network))
    assert found is not None
    for kind in {*file, *network}:
        rows = [i for i, k in enumerate(file) if k == kind]
        columns = [j for j, k in enumerate(network) if k == kind]
        matched = [pair for pair in found.pairs if pair[0] in rows]
        assert matched == list(zip(rows, columns, strict=False))
        unsure = [pair for pair in found.unsure if pair[0] in rows]
        assert unsure == (matched if len(rows) != len(columns) else [])


def test_a_layer_that_is_not_wanted_costs_no_other_its_place() -> None:
    """The first layer of the file could be the skipped one, but only without the second."""
    found = align(
        ["old head", "conv"],
        ["conv", "skipped head"],
        lambda i, j: (i, j) == (1, 0),
        lambda i, j: (i, j) == (0, 1),
        ordered=True,
        types=["conv", "dense"],
    )
    assert found == Alignment([(1, 0)], True, [])


def test_thousands_of_layers() -> None:
    """A thousand layers, with one too many in the middle."""
    network = [i % 97 for i in range(1000)]
    file = [*network[:500], 1000, *network[500:]]

    def fits(i: int, j: int) -> bool:
        return file[i] == network[j]

    found = align(file, network, fits, lambda i, j: False, ordered=True, types=network)
    assert found is not None
    assert [j for _, j in found.pairs] == list(range(1000))
    assert not found.unsure
