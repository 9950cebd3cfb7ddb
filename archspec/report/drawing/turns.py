"""At which heights lines turn in the gap between two ranks, so that none runs along another."""

from __future__ import annotations

import heapq
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

# Ends of lines on one level are so far apart, in pixels.
APART = 2.0


@dataclass
class Intervals:
    """What is taken on a line: intervals that do not overlap."""

    taken: list[tuple[float, float]] = field(default_factory=list)

    def free(self, first: float, last: float) -> bool:
        """Whether nothing is taken from `first` to `last`, both included."""
        at = bisect_right(self.taken, (last, float("inf")))
        return at == 0 or self.taken[at - 1][1] < first

    def take(self, first: float, last: float) -> None:
        """Take what is free."""
        insort(self.taken, (first, last))


@dataclass(frozen=True)
class Turn:
    """A line in a gap: it comes from above at `top` and goes on below at `bottom`.

    `net` is what the line belongs to; `into` is the box that it ends at below the gap, None where
    it goes on past it. `late` where it comes from further above.
    """

    net: Hashable
    top: float
    bottom: float
    into: int | None = None
    late: bool = False


def levels_of(turns: Iterable[Turn]) -> tuple[Mapping[Hashable, int], int]:
    """The level at which each net turns, from 0 at the top, and how many levels there are.

    Lines of one net share a level, and so do nets that only lead into one box. Where a line
    comes from above and another one leaves below at the same place, the first turns first. Lines
    that could only do so in a circle keep to no order.
    """
    by_net: dict[Hashable, list[Turn]] = defaultdict(list)
    for turn in turns:
        by_net[turn.net].append(turn)
    tracks: dict[Hashable, list[Turn]] = defaultdict(list)
    track_of: dict[Hashable, Hashable] = {}
    for net, own in by_net.items():
        into = {turn.into for turn in own}
        shared = len(into) == 1 and None not in into
        track_of[net] = ("into", *into) if shared else ("net", net)
        tracks[track_of[net]] += own
    below: dict[float, set[Hashable]] = defaultdict(set)
    for track, own in tracks.items():
        for turn in own:
            below[round(turn.bottom, 1)].add(track)
    after: dict[Hashable, set[Hashable]] = {}
    waiting: dict[Hashable, int] = dict.fromkeys(tracks, 0)
    for track, own in tracks.items():
        found = {other for turn in own for other in below.get(round(turn.top, 1), ())}
        after[track] = found - {track}
        for other in after[track]:
            waiting[other] += 1
    ranked = {
        track: (any(t.late for t in own), min(min(t.top, t.bottom) for t in own), number)
        for number, (track, own) in enumerate(tracks.items())
    }
    levels: dict[Hashable, int] = {}
    least: dict[Hashable, int] = defaultdict(int)
    taken: list[Intervals] = []
    ready = [(ranked[track], track) for track, count in waiting.items() if not count]
    heapq.heapify(ready)
    circles = iter(sorted(tracks, key=lambda track: ranked[track]))
    while len(levels) < len(tracks):
        if ready:
            _, track = heapq.heappop(ready)
        else:
            track = next(track for track in circles if track not in levels)
        if track in levels:
            continue
        levels[track] = level = _place(tracks[track], least[track], taken)
        for other in after[track]:
            least[other] = max(least[other], level + 1)
            waiting[other] -= 1
            if not waiting[other] and other not in levels:
                heapq.heappush(ready, (ranked[other], other))
    return {net: levels[track] for net, track in track_of.items()}, len(taken)


def _place(turns: Iterable[Turn], least: int, taken: list[Intervals]) -> int:
    """The first level from `least` on at which the lines have room; they take it.

    Lines that run straight down need none.
    """
    xs = [x for turn in turns for x in (turn.top, turn.bottom)]
    first, last = min(xs), max(xs)
    if last - first < 0.01:
        return max(least - 1, 0)
    level = least
    while level < len(taken) and not taken[level].free(first - APART, last + APART):
        level += 1
    while level >= len(taken):
        taken.append(Intervals())
    taken[level].take(first, last)
    return level
