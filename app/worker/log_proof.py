"""What the last rows of a sink's change log prove of their changes: a log shows what it has come to, and may be hours behind.

A row that it tells of proves something of a change where

1. it is that of this change alone, in every column (or but for texts that stand for values): no earlier change of the key that
   is held made the same row, and it was written when the change had happened; or
2. behind the key's last record, in its partition, the log shows a later change for the first time (`app.worker.reach`): a sink
   that begins again after a crash writes older rows behind newer ones, and its log may stand among them; or
3. it is wrong, was written long after the sink had passed the change, and no earlier change at hand made it.

A key that the log does not know proves that its row was never put there, where

1. the change is an insert, the first of its key that is held, and told once; of a row of a snapshot also nothing was forgotten;
2. the log shows a later change in each of its partitions, and an earlier one before it; and
3. nothing that is not held of the log was written when the change had happened: a sink writes no change before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from app.decode.images import Image
from app.evidence.change_log import CLOCKS_MS, INSERTS, Reach, reach, shows_none_below, shows_only
from app.evidence.keys import KeyText, row_key
from app.evidence.states import Absent, Equal, agreement
from app.evidence.tables import StoreTerms
from app.ledger.sink import SinkPartition
from app.model import ChangeKind, SinkTopic
from app.model.words import INDEX
from app.worker.histories import Histories
from app.worker.log_rows import LogRows
from app.worker.looks import Filling, Sight
from app.worker.neighbours import neighbours
from app.worker.ports import Input
from app.worker.reach import Reached, affordable, combined, unique
from app.worker.readback import KEYS_AT_ONCE, Changes, HeldPast, histories_of
from app.worker.recorded_rows import Source
from app.worker.sink_log import log_key
from app.worker.wanted import Wanted

NEAR = 1_000
"""So many offsets below and above the changes that are asked about are looked at for how far the log reaches."""
MOST_CHANGES = 10_000
"""So many changes are fetched at most to see how far it reaches."""

Sights = list[tuple[int, Sight]]
"""By offset asked for, what was seen."""


class LogProof:
    """Tells for one sink which rows of its log prove something.

    Args:
        fillers: see `Looks`.
    """

    def __init__(self, sink: str, terms: StoreTerms, rows: LogRows, changes: Changes, fillers: Filling) -> None:
        self._sink = sink
        self._terms = terms
        self._rows = rows
        self._changes = changes
        self._fillers = fillers

    def key_there(self, image: Image) -> KeyText:
        """A change's key as the log has it; one that it can't have is empty."""
        columns = row_key(image, self._terms) or {}
        return log_key({self._terms.name_in_sink(image.table, name): atom for name, atom in columns.items()}) or ()

    def is_matched(self, image: Image) -> bool:
        """Whether its key can't stand in the log in another form, and nobody else fills its table."""
        terms = self._terms
        is_loose = any(terms.allowed(image.table, column) for column in row_key(image, terms) or ())
        return not is_loose and len(self._fillers(terms.table_of(image), image.topic)) < 2

    async def sure(self, sink: SinkPartition, source: Input, sights: Sights) -> Sights:
        """What rows prove something. The log was not read on since the last of them was seen.

        Raises:
            Unavailable: the changes can't be had now.
        """
        told, silent = await asyncio.to_thread(self._split, sights)
        silent = [(offset, sight) for offset, sight in silent if _is_first(sink, sight)]
        alone = await asyncio.to_thread(self._alone, told)
        own = await unique(sink, alone)
        rest = [(offset, sight, last) for offset, sight, last in told if sight.finding.offset not in own]
        found = [(offset, sight) for offset, sight, _ in told if sight.finding.offset in own]
        asked = [sight.finding.offset for _, sight in (*silent, *((offset, sight) for offset, sight, _ in rest))]
        if asked:
            reached = await self._reached(sink, source, min(asked), max(asked))
            found += [(o, sight) for o, sight, last in rest if reached.is_beyond(sight.finding.offset, last)]
            found += [(o, sight) for o, sight in silent if reached.must_tell(sight.finding.offset)]
        return sorted(found, key=lambda one: one[0])

    async def sure_at_rest(
        self, sink: SinkPartition, source: Input, sights: Sights, passed_ms: Mapping[int, int]
    ) -> Sights:
        """What rows that are wrong at rest prove something: they show no older state that the sink may write again.

        Args:
            passed_ms: by offset asked for, since when the sink is known to have passed the change, ms since the epoch.
        """
        told, _ = await asyncio.to_thread(self._split, sights)
        found, rest = [], []
        for offset, sight, last in told:
            is_late = last.at > passed_ms[offset] + CLOCKS_MS
            if is_late and shows_none_below(sight.known, sight.finding.offset, sight.row, self._terms):
                found.append((offset, sight))
            else:
                rest.append((offset, sight, last))
        if rest:
            reached = await self._reached(sink, source, sink.fence, sink.fence)
            found += [(offset, sight) for offset, sight, last in rest if reached.is_beyond(sight.finding.offset, last)]
        return sorted(found, key=lambda one: one[0])

    def _split(self, sights: Sights) -> tuple[list[tuple[int, Sight, Image]], Sights]:
        """In a thread: rows that the log shows still as they were seen, each with its last record; and keys whose silence may prove something."""
        told, silent = [], []
        for offset, sight in sights:
            row, last = self._rows.last(self._terms.table_of(sight.image), self.key_there(sight.image))
            if sight.image.kind is ChangeKind.TRUNCATE or row != sight.row or not self._is_so_still(sight):
                continue  # of a truncate one row proves nothing
            if last is not None:
                told.append((offset, sight, last))
            elif self._may_silence_prove(sight):
                silent.append((offset, sight))
        return told, silent

    def _is_so_still(self, sight: Sight) -> bool:
        """Whether a row that is right is so as it was seen last, and was not only at the look before."""
        finding = sight.finding
        own = (state for state in sight.known if state.offset == finding.offset)
        return not isinstance(finding, Equal) or any(agreement(one, sight.row, self._terms) is not False for one in own)

    def _alone(self, told: Sequence[tuple[int, Sight, Image]]) -> dict[int, bool]:
        """In a thread: the changes whose rows are those of no earlier one at hand, nor written before them; whether in every column."""
        found: dict[int, bool] = {}
        for _, sight, last in told:
            finding = sight.finding
            if isinstance(finding, Absent) or last.at < sight.image.at - CLOCKS_MS:
                continue
            verdict = shows_only(sight.known, finding, sight.row, self._terms)
            if verdict is not False:
                found[finding.offset] = verdict is True
        return found

    def _may_silence_prove(self, sight: Sight) -> bool:
        image, forgotten_ms = sight.image, self._rows.forgotten_ms(self._terms.table_of(sight.image))
        if not isinstance(sight.finding, Absent) or image.op not in INSERTS or forgotten_ms is None:
            return False
        was_forgotten = forgotten_ms >= 0 and image.at <= forgotten_ms + CLOCKS_MS
        return sight.known[0].offset == image.offset and not was_forgotten

    # ---------------------------------------------------------------- how far it reaches

    async def _reached(self, sink: SinkPartition, source: Input, low: int, high: int) -> Reached:
        """How far the log reaches, by what it tells of changes near the lowest and the highest of some offsets."""
        near = neighbours(sink, [(low - NEAR, low + 1), (max(low + 1, high - NEAR), high + NEAR)])
        histories = await histories_of(sink, near, self._terms)
        past = HeldPast(sink, source, histories, self._changes)
        where = SinkTopic(self._sink, source.topic, source.partition)
        reaches: list[Mapping[Input, Reach]] = []
        for part in _parts(near, histories):
            images, _ = await past.images(part)
            if images:
                reaches.append(await asyncio.to_thread(self._reaches, where, images))
        return await combined(sink, reaches)

    def _reaches(self, where: SinkTopic, images: Sequence[Image]) -> Mapping[Input, Reach]:
        """In a thread: of each partition of the log, what its records of the keys of some changes show."""
        of = Source(where, images, self._terms)
        newest = next((image for image in reversed(images) if image.table == of.table), images[-1])
        if not of.key or not self.is_matched(newest):
            return {}
        keys = {self.key_there(image) for image in images}
        return {
            place: reach(of.known, told, of.terms, of.table, tuple(of.key), self._rows.newest(of.sink_table, place))
            for place, told in self._rows.records(of.sink_table, keys).items()
        }


def _parts(near: Wanted, histories: Histories) -> list[list[int]]:
    """The cells to ask for at once; keys that are changed all the time are left out."""
    offsets = near.offsets[affordable(histories.counts(near.offsets), MOST_CHANGES)].tolist()
    return [offsets[start : start + KEYS_AT_ONCE] for start in range(0, len(offsets), KEYS_AT_ONCE)]


def _is_first(sink: SinkPartition, sight: Sight) -> bool:
    """Whether an insert is told for the first time, and a row of a snapshot the first change there ever was of its key."""
    offset = sight.image.offset
    segment = sink.changes.segment_of(offset)
    if segment is None or segment.duplicates[offset & INDEX]:
        return False
    return sight.image.op == "c" or holds_every_change(sink)


def holds_every_change(sink: SinkPartition) -> bool:
    """Whether every change that there ever was on a source partition is held, and can be told of its key."""
    changes = sink.changes
    is_whole = changes.first == 0 and not changes.forgotten and not sink.beginning
    return is_whole and not changes.numbers_of(ChangeKind.UNREADABLE, ChangeKind.LOST)
