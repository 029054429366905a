"""Read-back: before a fence of a sink's progress is written, the rows below it are read from the sink's own store.

For one sink and source partition: 1. Which cells. 2. Their changes, fetched again by their coordinates. 3. The rows of their
keys. 4. What is right enters the lane as a receipt. 5. What is not is looked at again, with the changes that came since; a
row that moves on is never convicted. 6. What was wrong at both looks enters the lane, and only then the fence may stand.
Looks are `app.worker.looks`; as long as the log goes on beyond what was read here, no fence is written.

Nothing here decides a state: the fold reads receipts and marks, as it reads those of anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.decode.images import Image, ImageDecoder
from app.evidence.receipts import evidence_of
from app.evidence.states import Absent, Equal, Finding
from app.evidence.tables import StoreTerms
from app.ledger.cells import NEVER, Bit, Word
from app.ledger.sink import SinkPartition
from app.model import SEGMENT_BITS, ChangeKind, State
from app.model.words import INDEX
from app.worker.histories import Histories
from app.worker.looks import ChangeLog, Filling, Looks, Rows, Sight, Tally, alone
from app.worker.ports import Input
from app.worker.wanted import Wanted, wanted, with_bad
from cdc_receipts.codec import Mark, Receipt, Status

KIND = "read-back"
KEYS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What reading back needs of one sink's contract.

    Attributes:
        share: the part of the cells that no fence would call bad which are read back, 0 to 1.
        second_look_s: between two looks at a row that is not right.
    """

    sink: str
    terms: StoreTerms
    share: float
    second_look_s: float


@dataclass(frozen=True, slots=True)
class Changes:
    """Fetches changes and makes images of them."""

    log: ChangeLog
    decoder: ImageDecoder
    fetch_schemas: Callable[[set[int]], Awaitable[None]]

    async def images(self, source: Input, offsets: Sequence[int]) -> tuple[list[Image], int]:
        """The changes at some offsets, and the highest of those that are gone, -1 for none."""
        raw = await self.log.fetch(source, offsets)
        await self.fetch_schemas(self.decoder.missing(raw))
        found = await asyncio.to_thread(lambda: list(self.decoder.decode(raw)))
        return found, max(set(offsets).difference(raw.offsets.tolist()), default=-1)


async def histories_of(sink: SinkPartition, asked: Wanted, terms: StoreTerms) -> Histories:
    """Where the changes of some cells' keys stand among those that are held."""
    found = Histories(sink.changes, asked.offsets, asked.halves, has_truncates=terms.truncates)
    await found.build()
    return found


class HeldPast:
    """What the fold holds of the keys asked for, as a `Past`."""

    def __init__(self, sink: SinkPartition, source: Input, histories: Histories, changes: Changes) -> None:
        self._sink = sink
        self._source = source
        self._histories = histories
        self._changes = changes

    @property
    def known(self) -> int:
        """See `Past.known`: the fold reads on by itself."""
        return self._sink.changes.next

    async def read_on(self) -> int:
        """See `Past.read_on`."""
        return self.known

    async def images(self, asked: Sequence[int]) -> tuple[list[Image], int]:
        """See `Past.images`."""
        lost = last_lost(self._sink)
        images, gone = await self._changes.images(self._source, self._histories.of(list(asked)))
        return images, max(lost, gone)


class ReadBack:
    """Reads back the rows of one sink.

    Args:
        progress: the offset that the sink has committed; 0 where nobody knows.
        sleep: waits between looks; fillers: see `Looks`.
        wall_ms: stamps marks.
    """

    def __init__(
        self,
        contract: Contract,
        rows: Rows,
        log: ChangeLog,
        images: ImageDecoder,
        fetch_schemas: Callable[[set[int]], Awaitable[None]],
        progress: Callable[[Input], Awaitable[int]],
        wall_ms: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        fillers: Filling = alone,
    ) -> None:
        self._contract = contract
        self._changes = Changes(log, images, fetch_schemas)
        self._wall_ms = wall_ms
        self._looks = Looks(contract.sink, contract.terms, rows, log, progress, contract.second_look_s, sleep, fillers)

    @property
    def tally(self) -> Tally:
        """What it came to so far."""
        return self._looks.tally

    async def look(
        self, sink: SinkPartition, source: Input, below: int, *, has_bad: bool = False, may_be_gone: bool = False
    ) -> list[Receipt | Mark]:
        """What the store says of the cells below a progress, as far as it is news.

        Args:
            has_bad: the bad cells below the last fence are read back, too.
            may_be_gone: a truncate of another source partition may have taken rows.

        Raises:
            Unavailable: the store, or a schema, can't be had now: no fence may be written.
        """
        asked = await wanted(sink, below, self._contract.share)
        if has_bad:
            asked = with_bad(sink, asked)
        if not len(asked.offsets):
            return []
        histories = await histories_of(sink, asked, self._contract.terms)
        past = HeldPast(sink, source, histories, self._changes)
        said: list[Receipt | Mark] = []
        for start in range(0, len(asked.offsets), KEYS_AT_ONCE):
            part = asked.offsets[start : start + KEYS_AT_ONCE].tolist()
            settled = await self._looks.settle(past, source, below, part, may_be_gone=may_be_gone)
            self._looks.count([sight.finding for _, sight in settled])
            for offset, sight in settled:
                said += news_of(sink, sight, offset, below, self._contract.terms, KIND, self._wall_ms)
        return said


def news_of(
    sink: SinkPartition, sight: Sight, asked: int, below: int, terms: StoreTerms, kind: str, wall_ms: Callable[[], int]
) -> list[Receipt | Mark]:
    """The evidence of what was seen of a cell that was asked for, none where the lane holds it.

    Args:
        kind: the receipt's ``evidence``.
    """
    finding, image = sight.finding, sight.image
    found_by_now = by_its_contract(sink, finding)
    if found_by_now is None:
        return []
    finding = found_by_now
    word = sink.word(finding.offset)
    is_heard = bool(word.bits & Bit.GOOD)
    if isinstance(finding, Absent) and not is_heard:
        if sink.contract.evidence == "receipts" or sink.view().is_skipped(finding.offset):
            return []  # silence below a fence says so, or a SKIP has
        at = wall_ms()
    else:  # of a write that the sink told of this is no second one
        at = image.at if word.apply_rank == NEVER else word.apply_at
    if isinstance(finding, Equal) and _is_told(sink, finding, asked, below):
        return []
    found = evidence_of(sink.contract.sink, image, finding, terms, kind, at, sink.generation, is_heard=is_heard)
    return [] if isinstance(found, Receipt) and is_last_word(word, found) else [found]


def by_its_contract(sink: SinkPartition, finding: Finding) -> Finding | None:
    """What a finding says by the contract of its change's time, which may be another than the one that rows are compared by.

    Then a row that is right by now is there, and its fingerprint would be another; one that is wrong by now may have been right.
    """
    if sink.plain_state(finding.offset) is State.EXEMPT:
        return None
    if sink.terms.compares_alike(finding.offset):
        return finding
    return replace(finding, is_whole=False) if isinstance(finding, Equal) else None


def last_lost(sink: SinkPartition) -> int:
    """The highest offset that is held and expired before it was read: it may have been a change of any key; -1 for none."""
    numbers = sink.changes.numbers_of(ChangeKind.LOST)
    if not numbers:
        return -1
    segment = sink.changes.segments[numbers[-1]]
    return segment.base + int(np.flatnonzero(segment.kinds == ChangeKind.LOST)[-1])


def _is_told(sink: SinkPartition, finding: Equal, asked: int, below: int) -> bool:
    """Whether a row that is right is no news: its cell is closed, or the sink, which told of what is below, will tell of it."""
    cells = sink.cells.get(finding.offset >> SEGMENT_BITS)
    is_closed = cells is not None and cells.closed[finding.offset & INDEX] > 0
    is_ahead = finding.offset != asked and finding.offset >= below
    return is_closed or (is_ahead and bool(sink.word(asked).bits & Bit.GOOD))


def is_last_word(word: Word, found: Receipt) -> bool:
    """Whether a receipt says no more than the last word did."""
    if not word.bits & Bit.HAS_RECEIPT or found.status != word.status:
        return False
    if found.fingerprint is not None:
        is_same = word.fingerprint == int.from_bytes(found.fingerprint, "little")
        return bool(word.bits & Bit.WORD_HAS_FINGERPRINT) and is_same
    return found.status == Status.APPLIED or bool(word.bits & Bit.READ_BACK)
