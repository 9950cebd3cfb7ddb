"""Which layer of a file is which layer of a network, where names do not tell.

Whole layers are compared, weight, bias and running statistics together. Where the file keeps the
order of its layers, the longest common subsequence of the two orders is sought; where it does
not, or that leaves something over, layers are matched by shape, equal ones in the order of their
names. What could as well be matched otherwise is told, not guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

# The longest common subsequence takes one cell for each pair of layers.
MAX_CELLS = 4_000_000
# What a match counts: a skipped layer is placed only where that costs no other match.
_FULL, _FAINT = 1000, 1

Pairs = list[tuple[int, int]]
Fits = Callable[[int, int], bool]


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
    fits: Fits,
    faintly: Fits,
    *,
    ordered: bool,
    types: Sequence[object],
) -> Alignment | None:
    """Match the layers of a file with those of a network; None where there are too many to try.

    `file` and `network`, both not empty, say what each layer is: equal ones fit the same. `fits`
    says whether two positions may be one, `faintly` whether they may be if nothing else is for it
    (a layer that is not wanted, under another shape). `types` are the network's layers by type:
    a file with all convolutions before all normalisations keeps the order within each type. One
    that does not keep it either tells nothing about layers that are alike.
    """
    count, wanted = len(file), len(network)
    if count == wanted and all(fits(i, i) or faintly(i, i) for i in range(count)):
        return Alignment([(i, i) for i in range(count)], ordered, [])
    by_shape = _by_shape(file, network, fits)
    if not ordered:
        return by_shape
    if count * wanted > MAX_CELLS:
        return None if by_shape.unsure else by_shape
    scores = _scores(file, network, fits, faintly)
    best = _best(scores)
    first = _path(scores, best, first=True)
    if len(by_shape.pairs) > sum(fits(i, j) for i, j in first) and not by_shape.unsure:
        if not _keeps_order(by_shape.pairs, types):
            alike = {j for same in _kinds(network).values() if len(same) > 1 for j in same}
            by_shape = replace(by_shape, unsure=[p for p in by_shape.pairs if p[1] in alike])
        return by_shape
    agreed = set(first).intersection(_path(scores, best, first=False))
    return Alignment(first, True, [pair for pair in first if pair not in agreed])


def _keeps_order(pairs: Pairs, types: Sequence[object]) -> bool:
    """Whether the layers of each type stand in the file in the order of the network."""
    last: dict[object, int] = {}
    for i, j in sorted(pairs, key=lambda pair: pair[1]):
        if last.get(types[j], -1) > i:
            return False
        last[types[j]] = i
    return True


def _by_shape(file: Sequence[object], network: Sequence[object], fits: Fits) -> Alignment:
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


def _scores(
    file: Sequence[object], network: Sequence[object], fits: Fits, faintly: Fits
) -> list[list[int]]:
    """What each match counts; layers of the same kind have a row in common."""
    places = _kinds(network).values()
    rows: dict[object, list[int]] = {}
    for i, kind in enumerate(file):
        if kind not in rows:
            rows[kind] = row = [0] * len(network)
            for same in places:
                score = _FULL if fits(i, same[0]) else _FAINT if faintly(i, same[0]) else 0
                for j in same:
                    row[j] = score
    return [rows[kind] for kind in file]


def _best(scores: list[list[int]]) -> list[list[int]]:
    """The best that the layers from i and from j on can reach together."""
    count, wanted = len(scores), len(scores[0])
    best = [[0] * (wanted + 1) for _ in range(count + 1)]
    for i in reversed(range(count)):
        row, below, own = best[i], best[i + 1], scores[i]
        for j in reversed(range(wanted)):
            without = max(below[j], row[j + 1])
            row[j] = max(without, own[j] + below[j + 1]) if own[j] else without
    return best


def _path(scores: list[list[int]], best: list[list[int]], *, first: bool) -> Pairs:
    """The first or the last of the best alignments, in the order of the file's layers."""
    count, wanted = len(scores), len(scores[0])
    pairs: Pairs = []
    i = j = 0
    while best[i][j]:
        step = (i, j)
        for a in range(i, count):
            if best[a][j] < best[i][j]:
                break
            found = [
                b
                for b in range(j, wanted)
                if scores[a][b] and scores[a][b] + best[a + 1][b + 1] == best[i][j]
            ]
            if found:
                step = (a, found[0] if first else found[-1])
                if first:
                    break
        pairs.append(step)
        i, j = step[0] + 1, step[1] + 1
    return pairs
