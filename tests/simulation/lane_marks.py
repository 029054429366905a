"""A sink's course over one source partition: chunks and fences, outages, moved offsets, rebuilds, its end, and wild marks."""

from __future__ import annotations

from tests.simulation.faults import (
    diverged_then_rejected,
    healthy,
    plant,
    plant_exempt,
    plant_undecodable,
    rejected,
    skipped,
)
from tests.simulation.lane_events import Lane


class Course:
    """Walks one lane from its first change to the last, life after life."""

    def __init__(self, lane: Lane, *, is_clean: bool) -> None:
        self.lane = lane
        self.rng = lane.rng
        self.is_clean = is_clean
        self.at = 0.0
        self.skipped: set[int] = set()

    def run(self) -> None:
        """All of it."""
        size = len(self.lane.changes)
        if self.is_clean or not self.lane.sink.has_fences:
            self._live(0, size)
            return
        if self._chance(0.15):
            self._start(self.rng.randrange(3), generation=self.rng.choice([0, 0, 1]))
        first = 0
        while self._chance(0.3) and self.lane.generation < 3:
            until = self.rng.randrange(first + 1, size + 1)
            self._live(first, until)
            first = self._rebirth(self.rng.randrange(until))
        until = max(first + 1, size - self.rng.randrange(3, 9)) if self._chance(0.3) else size
        self._live(first, until)
        self._pass_over(until)
        self._after()

    def _chance(self, chance: float) -> bool:
        return self.rng.random() < chance

    def _live(self, first: int, until: int) -> None:
        self._plan_skip(first, until)
        outage_at = self.rng.randrange(first, until) if self._chance(0.3) else -1
        index = first
        while index < until:
            chunk = min(until, index + self.rng.randrange(1, 9))
            for one in range(index, chunk):
                self._one(one)
            index = chunk
            self._marks(index - 1)
            if index > outage_at >= first:
                outage_at = -1
                if self._outage(index - 1):
                    return

    def _one(self, index: int) -> None:
        lane, change = self.lane, self.lane.changes[index]
        self.at += 1
        if not self.is_clean:
            for gap in lane.gaps_before(index):
                if self._chance(0.25):
                    lane.planted["orphan"] += 1
                    lane.receipt(self.at, change, self.rng.choice(["APPLIED", "REJECTED"]), offset=gap)
        if index in self.skipped:
            if self._chance(0.15):
                lane.receipt(self.at + 10, change)
            return
        if self.is_clean:
            if lane.expects(change):
                healthy(lane, change, self.at)
        elif change.kind == "undecodable":
            plant_undecodable(lane, change, self.at)
        elif lane.expects(change):
            plant(lane, change, self.at)
        else:
            plant_exempt(lane, change, self.at)

    def _marks(self, index: int) -> None:
        lane = self.lane
        at, offset = self.at + 0.5, lane.next_offset(index)
        if self._chance(0.5):
            lane.mark(at, "PROGRESS", offset)
            if lane.sink.contract.evidence == "progress" and not self.is_clean:
                lane.planted["progress without receipts"] += 1
        if self._chance(0.6):
            lane.mark(at + 0.1, "FENCE", offset)
        if self.is_clean or not lane.sink.has_fences:
            return
        self._others_say(at, index)
        if self._chance(0.12):
            lane.planted["regressing fence"] += 1
            lane.mark(at + 0.2, "FENCE", max(0, offset - self.rng.randrange(1, 30)))
        if self._chance(0.06):
            lane.planted["beyond the end"] += 1
            lane.mark(at + 0.2, "PROGRESS", lane.end + self.rng.randrange(1, 500))
        if self._chance(0.04):
            lane.planted["START forward"] += 1
            self._start(max(0, index - self.rng.randrange(8)), generation=lane.generation)
        if self._chance(0.03):
            lane.mark(at + 0.3, "START", 0)
        if lane.generation and self._chance(0.3):
            lane.planted["mark of an old life"] += 1
            kind = self.rng.choice(["FENCE", "PROGRESS", "START", "SKIP", "END"])
            lane.mark(at + 0.3, kind, lane.end, lane.end if kind == "SKIP" else None, generation=lane.generation - 1)

    def _others_say(self, at: float, index: int) -> None:
        """Beside the sink, the router tells of losses in the lane, and operators waive what they know."""
        lane = self.lane
        if self._chance(0.04):
            lane.planted["evidence lost"] += 1
            lane.mark(at + self.rng.choice([-0.05, 0.25]), "LOSS", 0)
        if self._chance(0.12):
            lane.planted["waiver"] += 1
            lane.mark(at + self.rng.choice([-0.05, 0.25]), "WAIVER", self.rng.choice(lane.changes[: index + 3]).offset)

    def _start(self, index: int, *, generation: int) -> None:
        lane = self.lane
        lane.generation = generation
        lane.mark(self.at + 0.4, "START", lane.changes[index].offset + self.rng.choice([0, 0, 1]))

    def _plan_skip(self, first: int, until: int) -> None:
        lane = self.lane
        self.skipped = set()
        if self.is_clean or until - first < 12 or self._chance(0.5):
            return
        start = self.rng.randrange(first, until - 10)
        stop = start + self.rng.randrange(2, 7)
        lane.planted["SKIP"] += stop - start
        self.skipped = set(range(start, stop))
        at = self.at + (stop - first) + self.rng.choice([0.2, 5])
        lane.mark(at, "SKIP", lane.changes[start].offset, lane.changes[stop].offset)

    def _pass_over(self, first: int) -> None:
        """The last changes are passed without looking, and yet of some the sink has something to say."""
        lane = self.lane
        tail = lane.changes[first:]
        if not tail:
            return
        lane.planted["SKIP"] += len(tail)
        self.at += 1
        lane.mark(self.at, "SKIP", tail[0].offset, lane.end + self.rng.choice([0, 0, 9]))
        for change in tail:
            if self._chance(0.3):
                says = self.rng.choice([skipped, rejected, diverged_then_rejected])
                says(lane, change, self.at + self.rng.choice([-0.5, 0.5]))

    def _outage(self, index: int) -> bool:
        """The sink stands still: its marks say the same, again and again. Returns whether for good."""
        lane = self.lane
        lane.planted["outage"] += 1
        offset = lane.changes[index].offset + 1
        for _ in range(self.rng.randrange(2, 6)):
            self.at += 1
            lane.mark(self.at, "PROGRESS", offset)
            if lane.sink.has_fences and self._chance(0.4):
                lane.mark(self.at + 0.1, "FENCE", offset)
        return self._chance(0.4)

    def _rebirth(self, index: int) -> int:
        lane = self.lane
        self.at += 1
        if self._chance(0.4):
            self._end()
        lane.planted["rebuild"] += 1
        self._start(index, generation=lane.generation + 1)
        self.at += 1
        return index

    def _end(self) -> None:
        lane = self.lane
        lane.planted["END"] += 1
        lane.mark(self.at, "END", lane.end)
        for change in self.rng.sample(lane.changes, min(3, len(lane.changes))):
            lane.receipt(self.at + 0.2, change, self.rng.choice(["APPLIED", "REJECTED"]))
        lane.mark(self.at + 0.3, "FENCE", lane.end)

    def _after(self) -> None:
        lane = self.lane
        self.at += 2
        if self._chance(0.3):
            lane.planted["beyond the end"] += 1
            lane.mark(self.at, "FENCE", lane.end + self.rng.randrange(1, 10**6))
        for change in self.rng.sample(lane.far_below(), min(4, len(lane.far_below()))):
            self.at += 1
            lane.planted["evidence far below"] += 1
            for _ in range(self.rng.randrange(1, 3)):
                plant(lane, change, self.at)
        if self._chance(0.3):
            self.at += 1
            lane.planted["waiver"] += 1
            lane.mark(self.at, "WAIVER", self.rng.choice(lane.changes).offset)
        for change in lane.at_the_edge():
            self.at += 1
            lane.planted["evidence at the tail's edge"] += 1
            plant(lane, change, self.at)
        if self._chance(0.3):
            lane.planted["below the log"] += 1
            lane.receipt(self.at, lane.changes[0], offset=max(0, lane.changes[0].offset - 3))
            lane.receipt(self.at, lane.changes[0], offset=lane.end + 2)
        if self._chance(0.08):
            self.at += 1
            lane.planted["START forward"] += 1
            lane.mark(self.at, "START", lane.end + self.rng.choice([-2, 0, 5]))
        if self._chance(0.2):
            self.at += 1
            self._end()
