"""Where boxes stand and how the lines between them run: from top to bottom, rank by rank.

A box stands one rank below the lowest that it reads (longest paths). Lines run straight down
where nothing stands in between and otherwise through lanes beside the boxes, with their
horizontal pieces in the gaps between ranks, so that no line crosses a box. Everything is linear
in the boxes and edges but for sorting.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from archspec.report.drawing.turns import Intervals, Turn, levels_of

Point = tuple[float, float]

GAP = 22.0  # between ranks, when one line at most turns there
SMALL_GAP = 12.0  # where lines go on below and need no heads
TURN = 7.0  # what every further line needs
BETWEEN = 20.0  # between boxes of one rank
LANE = 12.0  # between lanes


@dataclass(frozen=True)
class Edge:
    """A line from a box to a later one: their numbers, and where at their middles it meets them.

    Edges with the same start and `start_at` are one line that branches.
    """

    start: int
    end: int
    start_at: float = 0.0
    end_at: float = 0.0

    @property
    def net(self) -> tuple[int, float]:
        """What is shared by the edges that leave one place."""
        return self.start, self.start_at


@dataclass
class Arrangement:
    """Upper left corners of the boxes and the corners of the lines, from (0, 0) on."""

    corners: list[Point]
    lines: list[list[Point]]
    width: float
    height: float


def ranks_of(count: int, edges: Iterable[Edge], last: int = 0) -> list[int]:
    """The rank of every box: 0 for those that read none. Edges lead to later boxes.

    The last boxes, as many as `last` says, stand below all others.
    """
    ranks = [0] * count
    incoming: list[list[int]] = [[] for _ in range(count)]
    for edge in edges:
        incoming[edge.end].append(edge.start)
    for number in range(count):
        ranks[number] = max((ranks[start] + 1 for start in incoming[number]), default=0)
    if last:
        lowest = max(ranks[: count - last], default=-1) + 1
        ranks[count - last :] = [lowest] * last
    return ranks


def crossings(ranks: Sequence[int], edges: Iterable[Edge]) -> list[int]:
    """How many lines run on below each rank; one that branches further down is one line."""
    last: dict[tuple[int, float], int] = defaultdict(int)
    for edge in edges:
        last[edge.net] = max(last[edge.net], ranks[edge.end])
    changes = [0] * (max(ranks, default=0) + 2)
    for (start, _), end in last.items():
        changes[ranks[start]] += 1
        changes[end] -= 1
    return list(accumulate(changes))[:-1]


def arrange(
    sizes: Sequence[tuple[float, float]], edges: Sequence[Edge], last: int = 0
) -> Arrangement:
    """Places for boxes of these widths and heights, which are in topological order.

    The `last` of them stand below all others.
    """
    return _Layout(sizes, edges, last).arrange()


class _Layout:
    def __init__(
        self, sizes: Sequence[tuple[float, float]], edges: Sequence[Edge], last: int
    ) -> None:
        self.sizes, self.edges = sizes, edges
        self.ranks = ranks_of(len(sizes), edges, last)
        self.height = max(self.ranks, default=0) + 1
        self.columns: list[Intervals] = []
        self.column = [0] * len(sizes)
        # The way of an edge past boxes: the number of a column, or -1 - a lane's number.
        self.way: dict[int, int] = {}
        self.ways_from: dict[int, list[int]] = {}  # columns, by the first rank passed
        self.passing = [0] * (self.height + 1)  # edges in columns, as differences
        self.in_rank: list[list[int]] = [[] for _ in range(self.height)]
        for number, rank in enumerate(self.ranks):
            self.in_rank[rank].append(number)

    def arrange(self) -> Arrangement:
        self._choose_columns()
        self._choose_lanes()
        self._choose_x()
        return self._route()

    def _choose_columns(self) -> None:
        """A column for every box and for every edge that finds one free past the boxes."""
        incoming: list[list[int]] = [[] for _ in self.sizes]
        for number, edge in enumerate(self.edges):
            incoming[edge.end].append(number)
        for members in self.in_rank:
            after: dict[int, int] = {}  # where the search for a column goes on in this rank
            for box in members:
                rank = self.ranks[box]
                reads = [self.edges[number].start for number in incoming[box]]
                main = max(reads, key=lambda start: self.ranks[start], default=None)
                wanted = self.column[main] if main is not None else 0
                since = self.ranks[main] + 1 if main is not None else rank
                self.column[box] = self._first_free(after.get(wanted, wanted), since, rank)
                after[wanted] = self.column[box] + 1
                self._column(self.column[box]).take(rank, rank)
            for box in members:
                for number in incoming[box]:
                    self._choose_way(number)

    def _first_free(self, wanted: int, first: int, last: int) -> int:
        column = wanted
        while not self._column(column).free(first, last):
            column += 1
        return column

    def _column(self, number: int) -> Intervals:
        while number >= len(self.columns):
            self.columns.append(Intervals())
        return self.columns[number]

    def _choose_way(self, number: int) -> None:
        edge = self.edges[number]
        first, last = self.ranks[edge.start] + 1, self.ranks[edge.end] - 1
        if first > last:
            return
        for column in (self.column[edge.end], self.column[edge.start]):
            if self._column(column).free(first, last):
                self._column(column).take(first, last)
                self.way[number] = column
                self.ways_from.setdefault(first, []).append(column)
                self.passing[first] += 1
                self.passing[last + 1] -= 1
                return

    def _choose_lanes(self) -> None:
        """A lane for the edges of a net that found no column, outside of all shorter ones."""
        spans: dict[tuple[int, float], list[int]] = {}
        for number, edge in enumerate(self.edges):
            first, last = self.ranks[edge.start] + 1, self.ranks[edge.end] - 1
            if first <= last and number not in self.way:
                span = spans.setdefault(edge.net, [first, last])
                span[1] = max(span[1], last)
        lanes: dict[tuple[int, float], int] = {}
        outermost = [-1] * self.height
        for net, (first, last) in sorted(spans.items(), key=lambda n: (n[1][1] - n[1][0], n[0])):
            lanes[net] = max(outermost[first : last + 1]) + 1
            outermost[first : last + 1] = [lanes[net]] * (last - first + 1)
        for number, edge in enumerate(self.edges):
            if number not in self.way and self.ranks[edge.end] - self.ranks[edge.start] > 1:
                self.way[number] = -1 - lanes[edge.net]

    def _choose_x(self) -> None:
        """The middles of boxes and columns; a box that has its rank to itself is on the axis.

        Between two such ranks the columns are as wide as their boxes there, around the axis.
        """
        passing = 0
        shared = []
        for rank, members in enumerate(self.in_rank):
            passing += self.passing[rank]
            shared.append(len(members) + passing > 1)
        self.middle: list[dict[int, float]] = []  # of each rank's columns
        self.x = [0.0] * len(self.sizes)
        extent = 0.0
        rank = 0
        while rank < self.height:
            if not shared[rank]:
                self.middle.append({})
                for box in self.in_rank[rank]:
                    extent = max(extent, self.sizes[box][0] / 2)
                rank += 1
                continue
            end = rank
            while end < self.height and shared[end]:
                end += 1
            middles, half = self._columns_between(rank, end)
            extent = max(extent, half)
            for here in range(rank, end):
                self.middle.append(middles)
                for box in self.in_rank[here]:
                    self.x[box] = middles[self.column[box]]
            rank = end
        self.extent = extent

    def _columns_between(self, first: int, end: int) -> tuple[dict[int, float], float]:
        """The middles of the columns in ranks [first, end), and half of what they take."""
        widths: dict[int, float] = {}
        for rank in range(first, end):
            for box in self.in_rank[rank]:
                column = self.column[box]
                widths[column] = max(widths.get(column, 0), self.sizes[box][0])
            for way in self.ways_from.get(rank, ()):
                widths.setdefault(way, 0)
        total = sum(widths.values()) + BETWEEN * (len(widths) - 1)
        x, middles = -total / 2, {}
        for column in sorted(widths):
            middles[column] = x + widths[column] / 2
            x += widths[column] + BETWEEN
        return middles, total / 2

    def _way_x(self, number: int, rank: int) -> float:
        way = self.way[number]
        if way < 0:
            return self.extent + LANE * -way
        return self.middle[rank][way]

    def _turns(self) -> tuple[list[Mapping[Hashable, int]], list[int]]:
        """For every gap the level at which each net turns there, and the number of levels."""
        gaps: list[list[Turn]] = [[] for _ in range(self.height)]
        for number, edge in enumerate(self.edges):
            first, last = self.ranks[edge.start], self.ranks[edge.end] - 1
            start, end = self.x[edge.start] + edge.start_at, self.x[edge.end] + edge.end_at
            # Where a line goes on inside a block, others that end there are not the same one.
            into = edge.end if not edge.end_at else None
            if first == last:
                gaps[first].append(Turn(edge.net, start, end, into))
            else:
                gaps[first].append(Turn(edge.net, start, self._way_x(number, first + 1)))
                before = self._way_x(number, last)
                gaps[last].append(Turn(edge.net, before, end, into, late=True))
        found = [levels_of(turns) for turns in gaps]
        return [levels for levels, _ in found], [count for _, count in found]

    def _route(self) -> Arrangement:
        levels, counts = self._turns()
        tops, bottoms, y = [], [], 0.0
        for rank, members in enumerate(self.in_rank):
            tops.append(y)
            y += max((self.sizes[box][1] for box in members), default=0)
            bottoms.append(y)
            y += TURN * max(counts[rank] - 1, 0)
            below = self.in_rank[rank + 1] if rank + 1 < self.height else []
            y += GAP if any(self.sizes[box][1] for box in below) else SMALL_GAP
        lanes = max((-way for way in self.way.values() if way < 0), default=0)
        corners = []
        for box, (width, height) in enumerate(self.sizes):
            rank = self.ranks[box]
            spare = (bottoms[rank] - tops[rank] - height) / 2
            corners.append((self.x[box] - width / 2 + self.extent, tops[rank] + spare))
        lines = []
        for number, edge in enumerate(self.edges):
            first, last = self.ranks[edge.start], self.ranks[edge.end] - 1

            def level(gap: int, net: tuple[int, float] = edge.net) -> float:
                return bottoms[gap] + 8 + TURN * levels[gap][net]

            start = self.x[edge.start] + edge.start_at
            end = self.x[edge.end] + edge.end_at
            points = [(start, corners[edge.start][1] + self.sizes[edge.start][1])]
            if first == last:
                points += [(start, level(first)), (end, level(first))]
            else:
                down, up = self._way_x(number, first + 1), self._way_x(number, last)
                points += [(start, level(first)), (down, level(first))]
                points += [(up, level(last)), (end, level(last))]
            points.append((end, corners[edge.end][1]))
            lines.append(straightened([(x + self.extent, y) for x, y in points]))
        width = 2 * self.extent + (LANE * (lanes + 0.5) if lanes else 0)
        return Arrangement(corners, lines, width, bottoms[-1] if bottoms else 0)


def straightened(points: Sequence[Point]) -> list[Point]:
    """The same line without corners at which it goes straight on."""
    found: list[Point] = []
    for point in points:
        while len(found) > 1 and (
            found[-2][0] == found[-1][0] == point[0] or found[-2][1] == found[-1][1] == point[1]
        ):
            found.pop()
        if not found or found[-1] != point:
            found.append(point)
    return found
