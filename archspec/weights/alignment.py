"""Which layer of a file is which layer of a network, where names do not tell.

Whole layers are compared, weight, bias and running statistics together. Where the file keeps the
order of its layers, the longest common subsequence of the two orders is sought; where it does
not, or that leaves something over, layers are matched by shape, equal ones in the order of their
names. What could as well be matched otherwise is told, not guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

# The longest common subsequence takes one cell for each pair of layers.
MAX_CELLS = 4_000_000
# What a match counts: a skipped layer is placed only where that costs no other match.
_FULL, _FAINT = 1000, 1

Pairs = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Alignment:
    """Pairs of a file's layer and a network's, by position.

    `by_order` says that the order of the file was followed. `unsure` holds the pairs that could
    be others: as many layers fit in another way.
    """

    pairs: Pairs
    by_order: bool
    unsure: Pairs


def align(
    file: Sequence[object],
    network: Sequence[object],
    fits: Callable[[int, int], bool],
    faintly: Callable[[int, int], bool],
    *,
    ordered: bool,
) -> Alignment | None:
    """Match the layers of a file with those of a network; None where there are too many to try.

    `file` and `network` say what each layer is: layers that are equal there fit the same. `fits`
    says whether two positions may be one, `faintly` whether they may be if nothing else is for it
    (a layer that is not wanted, under another shape).
    """
    count, wanted = len(file), len(network)
    if count == wanted and all(fits(i, i) or faintly(i, i) for i in range(count)):
        return Alignment([(i, i) for i in range(count)], ordered, [])
    by_shape = _by_shape(file, network, fits)
    if not ordered:
        return by_shape
    if count * wanted > MAX_CELLS:
        return None if by_shape.unsure else by_shape
    table = _table(count, wanted, fits, faintly)
    first = _path(table, fits, faintly, first=True)
    if len(by_shape.pairs) > sum(fits(i, j) for i, j in first) and not by_shape.unsure:
        return by_shape
    agreed = set(first).intersection(_path(table, fits, faintly, first=False))
    return Alignment(first, True, [pair for pair in first if pair not in agreed])


def _by_shape(
    file: Sequence[object], network: Sequence[object], fits: Callable[[int, int], bool]
) -> Alignment:
    """Layers that fit only one another, group by group; equal ones in the order of their names."""
    kinds = _kinds(file)
    groups: list[tuple[set[int], set[int]]] = []
    for places in _kinds(network).values():
        members = {i for same in kinds.values() if fits(same[0], places[0]) for i in same}
        joined = [group for group in groups if not group[0].isdisjoint(members)]
        groups = [group for group in groups if group not in joined]
        groups.append(
            (
                members.union(*(group[0] for group in joined)),
                set(places).union(*(group[1] for group in joined)),
            )
        )
    pairs: Pairs = []
    unsure: Pairs = []
    for members, wanted in groups:
        both = zip(sorted(members), sorted(wanted), strict=False)
        matched = [(i, j) for i, j in both if fits(i, j)]
        pairs += matched
        if len(members) != len(wanted) or len(matched) < len(members):
            unsure += matched
    return Alignment(sorted(pairs), False, sorted(unsure))


def _kinds(layers: Sequence[object]) -> dict[object, list[int]]:
    found: dict[object, list[int]] = {}
    for position, kind in enumerate(layers):
        found.setdefault(kind, []).append(position)
    return found


def _score(
    i: int, j: int, fits: Callable[[int, int], bool], faintly: Callable[[int, int], bool]
) -> int:
    return _FULL if fits(i, j) else _FAINT if faintly(i, j) else 0


def _table(
    count: int,
    wanted: int,
    fits: Callable[[int, int], bool],
    faintly: Callable[[int, int], bool],
) -> list[list[int]]:
    """The best that the layers from i and from j on can reach together."""
    best = [[0] * (wanted + 1) for _ in range(count + 1)]
    for i in reversed(range(count)):
        row, below = best[i], best[i + 1]
        for j in reversed(range(wanted)):
            score = _score(i, j, fits, faintly)
            without = max(below[j], row[j + 1])
            row[j] = max(without, score + below[j + 1]) if score else without
    return best


def _path(
    best: list[list[int]],
    fits: Callable[[int, int], bool],
    faintly: Callable[[int, int], bool],
    *,
    first: bool,
) -> Pairs:
    """The first or the last of the best alignments, in the order of the file's layers."""
    count, wanted = len(best) - 1, len(best[0]) - 1
    pairs: Pairs = []
    i = j = 0
    while best[i][j]:
        found = None
        for a in range(i, count):
            if found is not None and (first or best[a][j] < best[i][j]):
                break
            for b in range(j, wanted):
                score = _score(a, b, fits, faintly)
                if score and score + best[a + 1][b + 1] == best[i][j]:
                    found = (a, b)
                    if first:
                        break
        assert found is not None
        pairs.append(found)
        i, j = found[0] + 1, found[1] + 1
    return pairs
