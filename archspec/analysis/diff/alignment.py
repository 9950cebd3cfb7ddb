"""Which layer of one network is which layer of another.

Sequence alignment (Needleman and Wunsch, 1970) of the two topological orders: layers of one type
may be matched, the more gladly the more they have in common and the more the layer matters, and
a layer that finds no partner costs nothing. A name is one of the things to have in common, so
that layers under other names are matched by what they are, and a name that two layers share by
accident does not tear the rest apart.

The table has one cell for each pair of layers, too many for thousands of layers. Three things
bound it. Networks that are equal up to names are found by their hashes, without a table. Where
versions of one file agree (runs of layers that are equal, name included), they are matched and
only what lies between is aligned. What is still larger than MAX_CELLS is aligned inside a band
around the straight line from its first pair to its last, BAND_CELLS in all: the best alignment
that does not stray from it. So time grows with the number of layers, not with its square.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

MAX_CELLS = 1_000_000
BAND_CELLS = 2_500_000
# How many pairs of matched layers may lie between two layers for one to be the other one, moved.
NEAR = 3

# What a match is worth, times the weight of the layer. One layer that is what it was is worth more
# than two that are half of it, or else a row of layers would shift along where one is put in and
# another taken out. A name outweighs that, but for a layer that has next to nothing else in common.
ALIKE = 16
PARTLY = 5  # at most, and 2 for the type
NAME = 12
SIMILAR_NAME = 2  # conv1, Conv1

Pairs = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a layer for finding its partner.

    `traits` are what it computes and the shapes it reads and gives, by what they are called;
    `family` holds the kinds of layers that it is one of, `weight` says how much it matters
    (1 for an activation, 4 for a layer of neurons). `inputs` are positions in the same network,
    -1 for the image; `commutes` that their order does not matter.
    """

    name: str
    type: str
    family: frozenset[str]
    traits: Mapping[str, Hashable]
    weight: int
    inputs: tuple[int, ...]
    commutes: bool = False


@dataclass(frozen=True, slots=True)
class Alignment:
    """The pairs of positions that are one layer, in the order of the first network.

    `moved` are those of them that stand elsewhere among the others.
    """

    pairs: tuple[tuple[int, int], ...]
    moved: frozenset[tuple[int, int]]


def align(a: Sequence[Profile], b: Sequence[Profile]) -> Alignment:
    """Match the layers of two networks, each in topological order.

    Which of them comes first makes no difference, where several matches are equally good too.
    """
    if _comes_before(b, a):
        found = align(b, a)
        pairs = sorted((i, j) for j, i in found.pairs)
        return Alignment(tuple(pairs), frozenset((i, j) for j, i in found.moved))
    same = _isomorphism(a, b)
    if same is not None:
        return Alignment(tuple(same), frozenset())
    table = _Table(a, b)
    pairs = []
    for anchor, gap in _gaps(_anchors(table, exact=True), len(a), len(b)):
        pairs += _fill(table, gap)
        pairs += anchor
    moved = _moved(table, pairs)
    return Alignment(tuple(sorted([*pairs, *moved])), frozenset(moved))


def _comes_before(a: Sequence[Profile], b: Sequence[Profile]) -> bool:
    """An order of two networks that does not depend on which was given first."""
    if len(a) != len(b):
        return len(a) < len(b)
    for one, two in zip(a, b, strict=True):
        if (one.name, one.type) != (two.name, two.type):
            return (one.name, one.type) < (two.name, two.type)
        if one.traits != two.traits:
            return [*map(str, one.traits.items())] < [*map(str, two.traits.items())]
    return False


@dataclass(frozen=True, slots=True)
class _Gap:
    """The layers from `a` to before `a_end` and from `b` to before `b_end`."""

    a: int
    a_end: int
    b: int
    b_end: int

    @property
    def cells(self) -> int:
        return (self.a_end - self.a) * (self.b_end - self.b)


class _Table:
    """How well any two layers go together; layers that are alike are looked at once."""

    def __init__(self, a: Sequence[Profile], b: Sequence[Profile]) -> None:
        self.a, self.b = a, b
        kinds: dict[Hashable, int] = {}
        self.representatives: list[tuple[Profile, tuple[str, str]]] = []
        self.kinds_a = [self._kind(kinds, p, around) for p, around in _with_neighbours(a)]
        self.kinds_b = [self._kind(kinds, p, around) for p, around in _with_neighbours(b)]
        self.known: dict[int, dict[int, int]] = {}
        self.position_b = {profile.name: j for j, profile in enumerate(b)}
        self.folded_b: dict[str, int] = {}
        for j, profile in enumerate(b):
            self.folded_b.setdefault(profile.name.lower(), j)

    def _kind(self, kinds: dict[Hashable, int], profile: Profile, around: tuple[str, str]) -> int:
        key = (profile.type, tuple(profile.traits.items()), around)
        kind = kinds.setdefault(key, len(kinds))
        if kind == len(self.representatives):
            self.representatives.append((profile, around))
        return kind

    def alike(self, i: int, j: int) -> bool:
        """Whether the layers compute the same on the same shapes."""
        one, other = self.a[i], self.b[j]
        return one.type == other.type and one.traits == other.traits

    def row(self, i: int, first: int, end: int) -> list[int]:
        """What matching layer `i` with each of the layers `first` to before `end` is worth.

        0 where they cannot be matched.
        """
        kind, others = self.kinds_a[i], self.kinds_b[first:end]
        known = self.known.setdefault(kind, {})
        for other in set(others) - known.keys():
            known[other] = self._worth(kind, other)
        row = [known[other] for other in others]
        profile = self.a[i]
        named = self.position_b.get(profile.name)
        if named is not None and first <= named < end:
            row[named - first] += NAME * profile.weight
        else:
            named = self.folded_b.get(profile.name.lower())
            if named is not None and first <= named < end and row[named - first]:
                row[named - first] += SIMILAR_NAME * profile.weight
        return row

    def _worth(self, kind: int, other: int) -> int:
        (one, around), (two, around_two) = self.representatives[kind], self.representatives[other]
        if one.type != two.type:
            return 2 if one.family & two.family else 0
        neighbours = (around[0] == around_two[0]) + (around[1] == around_two[1])
        if one.traits == two.traits:
            return one.weight * ALIKE + neighbours
        keys = one.traits.keys() | two.traits.keys()
        equal = sum(
            key in one.traits and key in two.traits and one.traits[key] == two.traits[key]
            for key in keys
        )
        return one.weight * (2 + PARTLY * equal // len(keys)) + neighbours


def _with_neighbours(profiles: Sequence[Profile]) -> Iterator[tuple[Profile, tuple[str, str]]]:
    """Each layer with the types of the first layer that it reads and of the first that reads it."""
    readers: dict[int, str] = {}
    for profile in profiles:
        for position in profile.inputs:
            readers.setdefault(position, profile.type)
    for index, profile in enumerate(profiles):
        source = profile.inputs[0] if profile.inputs else -1
        before = profiles[source].type if source >= 0 else ""
        yield profile, (before, readers.get(index, ""))


def _isomorphism(a: Sequence[Profile], b: Sequence[Profile]) -> Pairs | None:
    """The pairs, where the networks are equal up to names and the order of their branches."""
    if len(a) != len(b):
        return None
    keys: dict[Hashable, int] = {}
    below_a, below_b = _hashes(a, keys), _hashes(b, keys)
    if sorted(below_a) != sorted(below_b):
        return None
    waiting: dict[int, list[int]] = defaultdict(list)
    for j in reversed(range(len(b))):
        waiting[below_b[j]].append(j)
    if all(len(positions) == 1 for positions in waiting.values()):
        return [(i, waiting[key][0]) for i, key in enumerate(below_a)]
    return _paired_from_the_end(a, b, below_a, below_b)


def _hashes(profiles: Sequence[Profile], keys: dict[Hashable, int]) -> list[int]:
    """A number for each layer that stands for all that it computes from the image."""
    found: list[int] = []
    for profile in profiles:
        read = [found[position] if position >= 0 else -1 for position in profile.inputs]
        if profile.commutes:
            read.sort()
        key = (profile.type, tuple(profile.traits.items()), tuple(read))
        found.append(keys.setdefault(key, len(keys)))
    return found


def _paired_from_the_end(
    a: Sequence[Profile], b: Sequence[Profile], keys_a: Sequence[int], keys_b: Sequence[int]
) -> Pairs | None:
    """Pair equal layers so that their readers are paired too, from the outputs backwards."""
    readers_a, readers_b = _readers(a), _readers(b)
    partner: dict[int, int] = {}
    open_b: dict[Hashable, list[int]] = defaultdict(list)
    by_name = {profile.name: j for j, profile in enumerate(b)}
    contexts = [
        (key, tuple(sorted(readers))) for key, readers in zip(keys_b, readers_b, strict=True)
    ]
    for j in range(len(b)):
        open_b[contexts[j]].append(j)
    for i in reversed(range(len(a))):
        context = (
            keys_a[i],
            tuple(sorted((partner[reader], place) for reader, place in readers_a[i])),
        )
        candidates = open_b.get(context)
        if not candidates:
            return None
        named = by_name.get(a[i].name)
        chosen = named if named in candidates else candidates[-1]
        candidates.remove(chosen)
        partner[i] = chosen
    return sorted(partner.items())


def _readers(profiles: Sequence[Profile]) -> list[list[tuple[int, int]]]:
    """For each layer who reads it, and as which of its inputs (0 where that does not matter)."""
    found: list[list[tuple[int, int]]] = [[] for _ in profiles]
    for index, profile in enumerate(profiles):
        for place, position in enumerate(profile.inputs):
            if position >= 0:
                found[position].append((index, 0 if profile.commutes else place))
    return found


def _anchors(table: _Table, *, exact: bool, gap: _Gap | None = None) -> Pairs:
    """Pairs of layers of one name that are surely one layer, in the order of both networks.

    Their neighbours have equal names too. With `exact` the layers must be alike, otherwise of
    one type.
    """
    a, b = table.a, table.b
    found: Pairs = []
    named: set[tuple[int, int]] = set()
    start, end = (gap.a, gap.a_end) if gap else (0, len(a))
    low, high = (gap.b, gap.b_end) if gap else (0, len(b))
    for i in range(start, end):
        j = table.position_b.get(a[i].name, -1)
        if not low <= j < high or a[i].type != b[j].type:
            continue
        if not exact or table.alike(i, j):
            named.add((i, j))
    for i, j in sorted(named):
        edges = ((i, j) == (start, low)) or ((i, j) == (end - 1, high - 1))
        if edges or (i - 1, j - 1) in named or (i + 1, j + 1) in named:
            found.append((i, j))
    return _increasing(found)


def _increasing(pairs: Pairs) -> Pairs:
    """The most of the pairs, ordered by the first number, that are ordered by the second too."""
    tails: list[int] = []
    last: list[int] = []
    before: list[int] = [-1] * len(pairs)
    for index, (_, j) in enumerate(pairs):
        length = bisect_left(tails, j)
        if length:
            before[index] = last[length - 1]
        if length == len(tails):
            tails.append(j)
            last.append(index)
        else:
            tails[length], last[length] = j, index
    found: Pairs = []
    index = last[-1] if last else -1
    while index >= 0:
        found.append(pairs[index])
        index = before[index]
    return found[::-1]


def _gaps(
    anchors: Pairs, a_end: int, b_end: int, a: int = 0, b: int = 0
) -> Iterator[tuple[Pairs, _Gap]]:
    """The gap before each anchor with the anchor, then the last gap with none."""
    for i, j in anchors:
        yield [(i, j)], _Gap(a, i, b, j)
        a, b = i + 1, j + 1
    yield [], _Gap(a, a_end, b, b_end)


def _fill(table: _Table, gap: _Gap) -> Pairs:
    """The best alignment of what lies between two anchors."""
    if not gap.cells:
        return []
    if gap.cells <= MAX_CELLS:
        return _best(table, gap, gap.b_end - gap.b)
    pairs: Pairs = []
    anchors = _anchors(table, exact=False, gap=gap)
    for anchor, rest in _gaps(anchors, gap.a_end, gap.b_end, gap.a, gap.b):
        wide = rest.b_end - rest.b
        if rest.cells > MAX_CELLS:
            wide = max(BAND_CELLS // (rest.a_end - rest.a), 1)
        if rest.cells:
            pairs += _best(table, rest, wide)
        pairs += anchor
    return pairs


def _best(table: _Table, gap: _Gap, wide: int) -> Pairs:
    """The alignment of a gap that is worth most, within `wide` cells of each row.

    `moves` says for each cell where its value comes from: 2 the pair of both layers, 1 the
    layer of the first network left out, 0 the one of the second.
    """
    rows, columns = gap.a_end - gap.a, gap.b_end - gap.b
    step = columns / rows
    moves: list[tuple[int, bytearray]] = []
    # values[j]: the best worth of what stands before column `first + j` of the gap.
    first, values = 0, [0] * (min(columns, wide) + 1)
    for i in range(rows):
        start = min(max(round((i + 0.5) * step) - wide // 2, first), max(columns - wide, 0))
        end = min(start + wide, columns)
        worth = table.row(gap.a + i, gap.b + start, gap.b + end)
        # The row before, over the same columns: what lies beyond its end is what its end is.
        before = values[start - first :] or values[-1:]
        before += before[-1:] * (end - start + 1 - len(before))
        left = before[0]
        row, taken = [left], bytearray(end - start)
        for j, value in enumerate(worth):
            best, move = left, 0
            above = before[j + 1]
            if above >= best:
                best, move = above, 1
            if value:
                paired = before[j] + value
                if paired >= best:
                    best, move = paired, 2
            row.append(best)
            taken[j] = move
            left = best
        moves.append((start, taken))
        first, values = start, row
    return _path(gap, moves)


def _path(gap: _Gap, moves: Sequence[tuple[int, bytearray]]) -> Pairs:
    """The pairs of the best alignment, followed from its end back."""
    found: Pairs = []
    i, j = len(moves) - 1, gap.b_end - gap.b - 1
    while i >= 0 and j >= 0:
        start, taken = moves[i]
        if j < start:  # left of the band: the layer of the first network has no partner
            i -= 1
            continue
        j = min(j, start + len(taken) - 1)
        move = taken[j - start]
        if move == 2:
            found.append((gap.a + i, gap.b + j))
        if move:
            i -= 1
        if move != 1:
            j -= 1
    return found[::-1]


def _moved(table: _Table, pairs: Pairs) -> Pairs:
    """Pairs of layers without a partner that are one layer in another place.

    They have one name and type, or are alike and stand near one another.
    """
    firsts, seconds = [i for i, _ in pairs], [j for _, j in pairs]
    matched_a, matched_b = set(firsts), set(seconds)
    rest = [i for i in range(len(table.a)) if i not in matched_a]
    free = {j for j in range(len(table.b)) if j not in matched_b}
    by_kind: dict[Hashable, list[int]] = defaultdict(list)
    for j in sorted(free):
        by_kind[_lasting(table.b[j])].append(j)

    def passed(i: int, j: int) -> int:
        """How many pairs of matched layers lie between the two."""
        return abs(bisect_left(seconds, j) - bisect_left(firsts, i))

    found: Pairs = []
    for i in rest:
        j = table.position_b.get(table.a[i].name, -1)
        if j in free and table.a[i].type == table.b[j].type:
            same = _lasting(table.a[i]) == _lasting(table.b[j])
            if same or passed(i, j) <= NEAR:
                found.append((i, j))
                free.discard(j)
    named = {i for i, _ in found}
    for i in rest:
        if i not in named:
            alike = by_kind.get(_lasting(table.a[i]), ())
            near = [j for j in alike if j in free and 0 < passed(i, j) <= NEAR]
            if near:
                j = min(near, key=lambda j: passed(i, j))
                found.append((i, j))
                free.discard(j)
    return found


def _lasting(profile: Profile) -> Hashable:
    """What a layer stays when it is moved: all but the shapes."""
    traits = profile.traits.items()
    return profile.type, tuple((key, value) for key, value in traits if key not in SHAPES)


# The traits that a layer has from its place.
SHAPES = ("reads", "gives")
