"""What a sink's change log tells of keys of which nothing is open: somebody changed the sink's rows, took them, or put some there.

A row that was right and is no more makes a closed cell `contradicted` (protocol section 4). A row under a key that no change
tells of has no coordinates: it is counted and logged with those of its record in the log, as `foreign` where every change
that there ever was on its partition is held here, and else as `unexplained`: a change that was forgotten may have been its.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from xxhash import xxh64_intdigest

from app.decode.images import Image
from app.evidence.keys import KeyText
from app.evidence.receipts import described, evidence_of
from app.evidence.states import Different, Equal
from app.evidence.tables import StoreTerms
from app.ledger.changes import KEY
from app.ledger.sink import SinkPartition
from app.model import ChangeKind
from app.worker.histories import Histories, Stretch, is_among, pieces, stretches_of
from app.worker.log_proof import LogProof, Sights, holds_every_change
from app.worker.log_rows import LoggedSink, LogRows, Place, Position
from app.worker.looks import Looks, Sight
from app.worker.placing import FRAMING_BYTES, Placing
from app.worker.ports import Input
from app.worker.readback import KEYS_AT_ONCE, Changes, HeldPast, by_its_contract, histories_of
from app.worker.scrub import is_closed, is_waived
from app.worker.wanted import Wanted
from cdc_receipts.codec import Mark, Receipt

logger = logging.getLogger(__name__)

KIND = "change-log"
MOST_KEYS = 50_000
"""So many keys are remembered, of those whose changes were last compared with the log: about 300 bytes each."""
MOST_PENDING = 10_000
"""So many keys wait until the log has come beyond their changes, or until these are closed."""
MOST_FRESH = 20_000
"""So many unknown keys are told apart in one look."""
MOST_STRANGERS = 1_000
"""So many rows of unknown keys wait for a second look, and are looked at in one."""
SAMPLE = 64
"""Newest keys of a partition, by which it is told where keys are placed."""


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


class Compared(NamedTuple):
    """The newest change of a key that was compared with the log.

    Attributes:
        passed_ms: since when the sink is known to have passed it, ms since the epoch.
        place: of the record that was right then; None where none was.
    """

    offset: int
    passed_ms: int
    place: Place | None


NOT_YET_MS = 1 << 62


class LogRest:
    """Looks at what the log told since it looked last.

    Args:
        looks: by what a contract says of rows at rest; proof: of the same log.
        partitions: of a change topic; wall_ms: now, ms since the epoch.
    """

    def __init__(
        self,
        terms: StoreTerms,
        logged: LoggedSink,
        rows: LogRows,
        looks: Looks,
        proof: LogProof,
        changes: Changes,
        partitions: Callable[[str], int],
        wall_ms: Callable[[], int],
    ) -> None:
        self._terms = terms
        self._logged = logged
        self._rows = rows
        self._looks = looks
        self._proof = proof
        self._changes = changes
        self._partitions = partitions
        self._wall_ms = wall_ms
        self._compared: OrderedDict[tuple[Input, KeyText], Compared] = OrderedDict()
        self._tables: dict[str, str] = {}
        self._samples: dict[Input, list[Image]] = {}
        self._from: dict[Input, Mapping[Input, Position]] = {}
        self._pending: dict[Input, set[KeyText]] = {}
        self._strangers: dict[Input, dict[KeyText, int]] = {}

    def remember(self, source: Input, below: int, sights: Sights) -> None:
        """In a thread: whose rows they are that the log may tell of later: of each key the newest change that was compared with it.

        Args:
            below: the sink's progress.
        """
        if self._terms.is_table_by_value(source.topic) or self._terms.keys:
            return
        found = [sight for _, sight in sights if sight.image.key and self._proof.is_matched(sight.image)]
        for sight in found:
            image, key = sight.image, self._proof.key_there(sight.image)
            table = self._tables[source.topic] = self._terms.table_of(image)
            is_right = isinstance(sight.finding, Equal) and self._rows.last(table, key)[0] == sight.row
            place = self._rows.place(table, key) if is_right else None
            before = self._compared.pop((source, key), Compared(-1, NOT_YET_MS, None))
            offset = max(before.offset, image.offset)
            passed_ms = self._wall_ms() if offset < below else NOT_YET_MS
            if before.offset == offset:
                passed_ms = min(before.passed_ms, passed_ms)
            self._compared[source, key] = Compared(offset, passed_ms, place if image.offset == offset else None)
        while len(self._compared) > MOST_KEYS:
            self._compared.popitem(last=False)
        samples = {
            image.offset: image
            for image in (*self._samples.get(source, ()), *(one.image for one in found))
            if image.key_bytes
        }
        self._samples[source] = [samples[offset] for offset in sorted(samples, reverse=True)[:SAMPLE]]

    async def look(self, sink: SinkPartition, source: Input, *, may_be_gone: bool) -> list[Receipt | Mark]:
        """What is said of closed cells whose rows the log has told of since the last look that came to its end.

        What shows an older state may be one that a sink which began again after a crash is about to overwrite, so that the log
        must have come beyond it (`LogProof.sure_at_rest`); what it has not is looked at again. What the sink itself
        writes again after it was set back shows by its progress (`Looks`).

        Raises:
            Unavailable: the log, the changes or the progress can't be had now.
        """
        self._looks.tally.rows["again"] = self._logged.log.again()
        positions = self._logged.positions()
        since = self._from.setdefault(source, positions)
        fresh = await asyncio.to_thread(self._rows.fresh, self._tables.get(source.topic, ""), since)
        keys = fresh | self._pending.get(source, set())
        told = await asyncio.to_thread(self._told, source, keys)
        self._count("passed_over", len(keys) - len(told))  # the log was forgotten meanwhile
        news = {key: found.offset for key, place in told.items() if (found := self._news(source, key, place))}
        closed = {
            offset: key for offset, key in sorted((o, key) for key, o in news.items()) if _is_at_rest(sink, offset)
        }
        pending = {key for key, offset in news.items() if offset >= sink.fence}
        passed_ms = {offset: self._compared[source, key].passed_ms for offset, key in closed.items()}
        said: list[Receipt | Mark] = []
        asked = sorted(closed)
        for start in range(0, len(asked), KEYS_AT_ONCE):
            wrong = await self._wrong(sink, source, asked[start : start + KEYS_AT_ONCE], may_be_gone=may_be_gone)
            sure = await self._proof.sure_at_rest(sink, source, wrong, passed_ms)
            said += [found for offset, sight in sure for found in self._contradiction(sink, source, offset, sight)]
            pending |= {closed[offset] for offset, _ in wrong} - {closed[offset] for offset, _ in sure}
        await self._look_for_strangers(sink, source, fresh)
        self._from[source] = positions
        self._pending[source] = set(list(pending)[:MOST_PENDING])
        self._count("passed_over", len(pending) - len(self._pending[source]))
        return said

    def _told(self, source: Input, keys: Iterable[KeyText]) -> dict[KeyText, Place]:
        """In a thread: where the last records of some keys stand, of those that the log knows yet."""
        table = self._tables.get(source.topic, "")
        return {key: place for key in keys if (place := self._rows.place(table, key)) is not None}

    def _news(self, source: Input, key: KeyText, place: Place) -> Compared | None:
        """What was compared of a key of which the log has told since; None for no such key."""
        found = self._compared.get((source, key))
        return None if found is None or found.place == place else found

    async def _wrong(self, sink: SinkPartition, source: Input, asked: Sequence[int], *, may_be_gone: bool) -> Sights:
        """The rows of some closed cells that were seen to be wrong twice."""
        held_now = {offset: key for offset in asked if (key := sink.changes.key(offset)) is not None}
        wanted = Wanted(offsets=np.array(list(held_now), np.int64), keys=np.array(list(held_now.values()), KEY))
        histories = await histories_of(sink, wanted, self._terms)
        past = LoggedPast(self._logged, sink, source, histories, self._changes)
        sights = await self._looks.settle(past, source, sink.fence, list(held_now), may_be_gone=may_be_gone)
        return [
            (offset, sight) for offset, sight in sights
            if sight.finding.offset == offset and not isinstance(sight.finding, Equal)
            and by_its_contract(sink, sight.finding) is not None
        ]  # fmt: skip

    def _contradiction(self, sink: SinkPartition, source: Input, offset: int, sight: Sight) -> list[Receipt | Mark]:
        image, finding = sight.image, sight.finding
        if image.key_bytes is None or not self._placing(source).has(image.key_bytes):
            self._count("unplaced", 1)  # a newer change of the key may stand on another partition
            return []
        self._looks.count([finding])
        what = described(finding.columns) if isinstance(finding, Different) else "it shows no sign of its change"
        where = f"{source.topic}:{source.partition}:{offset}"
        name = sink.contract.sink
        logger.warning("%s: a row that was right is wrong by now, that of the change %s: %s", name, where, what)
        return [evidence_of(name, image, finding, self._terms, KIND, image.at, is_heard=True)]

    def _placing(self, source: Input) -> Placing:
        newest = [image.key_bytes for image in self._samples.get(source, ()) if image.key_bytes]
        return Placing(newest, source.partition, self._partitions(source.topic))

    def _count(self, word: str, rows: int) -> None:
        if rows:
            self._looks.tally.rows[word] += rows

    # ---------------------------------------------------------------- rows of keys that no change tells of

    async def _look_for_strangers(self, sink: SinkPartition, source: Input, fresh: Collection[KeyText]) -> None:
        """Rows of keys that would stand on this partition, of which none of its changes tells, at two looks.

        In between, the changes are read up to the end that they had after the row was first seen.
        """
        waiting = self._strangers.setdefault(source, {})
        unknown = [key for key in fresh if (source, key) not in self._compared and key not in waiting]
        if not (waiting or unknown):
            return
        asked = [*waiting, *unknown[:MOST_FRESH]]
        self._count("passed_over", len(unknown) - len(unknown[:MOST_FRESH]))
        hashes = await asyncio.to_thread(self._hashes_here, source, asked)
        upto = sink.changes.next
        known: set[int] = set()
        for slices in pieces(sink.changes, max(sink.changes.first, 0), upto):
            known |= await asyncio.to_thread(_held_among, stretches_of(slices), hashes.values())
        end = await self._changes.log.end(source, upto)
        strangers = {key for key, found in hashes.items() if found not in known}
        for key, seen_end in list(waiting.items()):
            if key not in strangers or upto >= seen_end:
                del waiting[key]
                if key in strangers:
                    self._tell(sink, source, key)
        new = [key for key in unknown if key in strangers]
        room = max(MOST_STRANGERS - len(waiting), 0)
        waiting.update(dict.fromkeys(new[:room], end))
        self._count("passed_over", len(new[room:]))

    def _hashes_here(self, source: Input, keys: Iterable[KeyText]) -> dict[KeyText, int]:
        """In a thread: the first half of the hash that a key of the log has at the source, of those that stand on its partition."""
        samples = self._samples.get(source)
        if not samples:
            return {}
        placing, found = self._placing(source), {}
        for key in keys:
            records = self._rows.records_of(self._tables.get(source.topic, ""), key)
            if records and records[-1].kind is ChangeKind.UPSERT:
                written = self._written(samples[0], records[-1])
                if written is not None and placing.has(written):
                    found[key] = xxh64_intdigest(written[FRAMING_BYTES:], 0)
        return found

    def _written(self, newest: Image, told: Image) -> bytes | None:
        """The key of a record of the log as the source would write it; None where that can't be told."""
        there = {name.casefold(): atom for name, atom in (told.key or {}).items()}
        columns = {
            name: there.get(self._terms.name_in_sink(newest.table, name).casefold()) for name in newest.key or {}
        }
        known = {name: atom for name, atom in columns.items() if atom is not None}
        return self._changes.decoder.written_key(newest.key_bytes or b"", known)

    def _tell(self, sink: SinkPartition, source: Input, key: KeyText) -> None:
        word = "foreign" if holds_every_change(sink) else "unexplained"
        self._count(word, 1)
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


def _is_at_rest(sink: SinkPartition, offset: int) -> bool:
    """Whether a cell is closed, its row was right, and its change is held."""
    return is_closed(sink, offset) and not is_waived(sink, offset) and sink.changes.key(offset) is not None
