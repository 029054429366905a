"""What a sink's change log tells of keys of which nothing is open: somebody changed the sink's rows, took them, or put some there.

A row that was right and is no more makes a closed cell `contradicted` (protocol section 4). A row under a key that no change
tells of has no coordinates: it is counted and logged with those of its record in the log, as `foreign` where every change
that there ever was on its partition is held here, and else as `unexplained`: a change that was forgotten may have been its.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import numpy as np
from xxhash import xxh64_intdigest

from app.decode.images import Image
from app.evidence.change_log import Coverage
from app.evidence.keys import KeyText
from app.evidence.receipts import described, evidence_of
from app.evidence.states import Different, Equal
from app.evidence.tables import StoreTerms
from app.ledger.changes import KEY
from app.ledger.sink import SinkPartition
from app.model import SEGMENT_BITS, ChangeKind
from app.model.words import INDEX
from app.worker.histories import Histories, Stretch, is_among, pieces, stretches_of
from app.worker.log_rows import LoggedSink, LogRows
from app.worker.looks import Looks
from app.worker.placing import FRAMING_BYTES, is_placed_here
from app.worker.ports import Input
from app.worker.readback import Changes, HeldPast, by_its_contract, histories_of
from app.worker.wanted import Wanted
from cdc_receipts.codec import Mark, Receipt

logger = logging.getLogger(__name__)

KIND = "change-log"
MOST_KEYS = 50_000
"""So many keys are remembered, of those whose changes were last compared with the log: about 300 bytes each."""
MOST_STRANGERS = 1_000
"""So many rows of unknown keys wait for a second look, and are looked at in one."""
SAMPLE = 64
"""Newest keys of a partition, by which it is told where keys are placed."""

Reaching = Callable[[SinkPartition, Input, Sequence[int]], Awaitable[Coverage]]


class LoggedPast(HeldPast):
    """The changes that the last rows of a log may show; before each look at them, the log is read on."""

    def __init__(
        self, logged: LoggedSink, sink: SinkPartition, source: Input, histories: Histories, changes: Changes
    ) -> None:
        super().__init__(sink, source, histories, changes)
        self._logged = logged

    async def read_on(self) -> int:
        """See `Past.read_on`."""
        await self._logged.catch_up(is_fresh=True)
        return self.known


class LogRest:
    """Looks at what the log told since it looked last.

    Args:
        coverage: which changes the log is sure to tell of, by what it tells of those near some offsets.
        partitions: of a change topic.
    """

    def __init__(
        self,
        terms: StoreTerms,
        logged: LoggedSink,
        rows: LogRows,
        looks: Looks,
        changes: Changes,
        coverage: Reaching,
        partitions: Callable[[str], int],
    ) -> None:
        self._terms = terms
        self._logged = logged
        self._rows = rows
        self._looks = looks
        self._changes = changes
        self._coverage = coverage
        self._partitions = partitions
        self._newest: OrderedDict[tuple[Input, KeyText], int] = OrderedDict()
        self._tables: dict[str, str] = {}
        self._samples: dict[Input, deque[Image]] = {}
        self._from: dict[Input, Mapping[Input, int]] = {}
        self._strangers: dict[Input, dict[KeyText, int]] = {}
        self._strangers_from: dict[Input, Mapping[Input, int]] = {}

    def remember(self, source: Input, table: str, keys: Mapping[KeyText, Image]) -> None:
        """Whose rows they are that the log may tell of later: of each key the newest change that was compared with it."""
        self._tables[source.topic] = table
        for key, image in keys.items():
            self._newest[source, key] = max(image.offset, self._newest.pop((source, key), -1))
            if image.key and image.key_bytes:
                self._samples.setdefault(source, deque(maxlen=SAMPLE)).appendleft(image)
        while len(self._newest) > MOST_KEYS:
            self._newest.popitem(last=False)

    async def look(self, sink: SinkPartition, source: Input, *, may_be_gone: bool) -> list[Receipt | Mark]:
        """What is said of closed cells whose rows the log has told of since the last look that came to its end.

        The log must have come beyond a change, else it may tell of an earlier one; what it has not is looked at again. What
        the sink itself writes again after it was set back shows by its progress (`Looks`).

        Raises:
            Unavailable: the log, the changes or the progress can't be had now.
        """
        positions = self._logged.positions()
        since = self._from.setdefault(source, positions)
        fresh = await asyncio.to_thread(self._rows.fresh, self._tables.get(source.topic, ""), since)
        found = [o for key in fresh if (o := self._newest.get((source, key), -1)) >= 0 and _is_closed(sink, o)]
        asked: list[int] = []
        if found:
            coverage = await self._coverage(sink, source, found)
            asked = sorted(offset for offset in found if sink.beginning <= offset < min(coverage.below, sink.fence))
        said = await self._contradictions(sink, source, asked, may_be_gone=may_be_gone) if asked else []
        await self._look_for_strangers(sink, source, positions)
        if len(asked) == len(found):
            self._from[source] = positions
        return said

    async def _contradictions(
        self, sink: SinkPartition, source: Input, asked: Sequence[int], *, may_be_gone: bool
    ) -> list[Receipt | Mark]:
        offsets = np.array(asked, np.int64)
        wanted = Wanted(offsets=offsets, keys=np.array([sink.changes.key(offset) or b"" for offset in asked], KEY))
        histories = await histories_of(sink, wanted, self._terms)
        past = LoggedPast(self._logged, sink, source, histories, self._changes)
        said: list[Receipt | Mark] = []
        for offset, sight in await self._looks.settle(past, source, sink.fence, asked, may_be_gone=may_be_gone):
            image, finding = sight.image, sight.finding
            if isinstance(finding, Equal) or finding.offset != offset or by_its_contract(sink, finding) is None:
                continue
            self._looks.count([finding])
            what = described(finding.columns) if isinstance(finding, Different) else "it shows no sign of its change"
            where = f"{source.topic}:{source.partition}:{offset}"
            name = sink.contract.sink
            logger.warning("%s: a row that was right is wrong by now, that of the change %s: %s", name, where, what)
            said.append(evidence_of(name, image, finding, self._terms, KIND, image.at, is_heard=True))
        return said

    # ---------------------------------------------------------------- rows of keys that no change tells of

    async def _look_for_strangers(self, sink: SinkPartition, source: Input, positions: Mapping[Input, int]) -> None:
        """Rows of keys that would stand on this partition, of which none of its changes tells, at two looks.

        In between, the changes are read up to the end that they had after the row was first seen.
        """
        waiting = self._strangers.setdefault(source, {})
        since, self._strangers_from[source] = self._strangers_from.get(source, positions), positions
        fresh = await asyncio.to_thread(self._rows.fresh, self._tables.get(source.topic, ""), since)
        keys = [key for key in fresh if (source, key) not in self._newest]
        if self._terms.keys or not (waiting or keys):
            return
        for key in keys[: MOST_STRANGERS - len(waiting)]:
            waiting.setdefault(key, -1)
        hashes = {key: found for key in waiting if (found := self._hash_here(source, key)) is not None}
        known: set[int] = set()
        for slices in pieces(sink.changes, max(sink.changes.first, 0), sink.changes.next):
            known |= await asyncio.to_thread(_held_among, stretches_of(slices), hashes.values())
        end = await self._changes.log.end(source, sink.changes.next)
        for key, seen_end in list(waiting.items()):
            is_here = key in hashes and hashes[key] not in known
            if is_here and seen_end < 0:
                waiting[key] = end
            elif not is_here or sink.changes.next >= seen_end:
                del waiting[key]
                if is_here:
                    self._tell(sink, source, key)

    def _hash_here(self, source: Input, key: KeyText) -> int | None:
        """The first half of the hash that a key of the log has at the source; None where it stands elsewhere, or can't be told."""
        samples = self._samples.get(source)
        records = self._rows.records_of(self._tables.get(source.topic, ""), key)
        if not samples or not records or records[-1].kind is not ChangeKind.UPSERT:
            return None
        newest = samples[0]
        there = {name.casefold(): atom for name, atom in (records[-1].key or {}).items()}
        columns = {
            name: there.get(self._terms.name_in_sink(newest.table, name).casefold()) for name in newest.key or {}
        }
        told = {name: atom for name, atom in columns.items() if atom is not None}
        written = self._changes.decoder.written_key(newest.key_bytes or b"", told)
        if written is None:
            return None
        placed = [image.key_bytes for image in samples if image.key_bytes]
        if not is_placed_here(written, placed, source.partition, self._partitions(source.topic)):
            return None
        return xxh64_intdigest(written[FRAMING_BYTES:], 0)

    def _tell(self, sink: SinkPartition, source: Input, key: KeyText) -> None:
        changes = sink.changes
        is_whole = changes.first == 0 and not changes.forgotten and not sink.beginning and _is_readable(sink)
        word = "foreign" if is_whole else "unexplained"
        self._looks.tally.rows[word] += 1
        newest = self._rows.records_of(self._tables[source.topic], key)[-1]
        logger.warning(
            "%s: a row of a key that no change of %s:%d tells of (%s) was written, see %s:%d offset %d of its change log",
            sink.contract.sink, *source, word, newest.topic, newest.partition, newest.offset,
        )  # fmt: skip


def _held_among(stretches: Sequence[Stretch], halves: Iterable[int]) -> set[int]:
    """In a thread: those of some key hashes' halves that are held."""
    asked = np.unique(np.array(list(halves), np.uint64))
    found: set[int] = set()
    for stretch in stretches:
        found.update(stretch.halves[is_among(stretch.halves, asked) & stretch.has_key].tolist())
    return found


def _is_readable(sink: SinkPartition) -> bool:
    """Whether no change is held that may be of any key."""
    return not sink.changes.numbers_of(ChangeKind.UNREADABLE, ChangeKind.LOST)


def _is_closed(sink: SinkPartition, offset: int) -> bool:
    cells = sink.cells.get(offset >> SEGMENT_BITS)
    return cells is not None and int(cells.closed[offset & INDEX]) > 0
