"""Read-back: before a fence of a sink's progress is written, the rows below it are read from the sink's own store.

For one sink and source partition: 1. Which cells. 2. Their changes, fetched again by their coordinates. 3. The rows of their
keys. 4. What is right enters the lane as a receipt. 5. What is not is looked at again, with the changes that came since; a
row that moves on is never convicted. 6. What was wrong at both looks enters the lane, and only then the fence may stand.

Nothing here decides a state: the fold reads receipts and marks, as it reads those of anybody.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from app.decode.images import Image, ImageDecoder
from app.errors import BadInput, Unavailable
from app.evidence.keys import KeyText, by_key, key_text
from app.evidence.receipts import evidence_of
from app.evidence.states import Absent, Different, Equal, Finding, judge, states
from app.evidence.tables import StoreTerms
from app.ledger.cells import Bit
from app.ledger.sink import SinkPartition
from app.model import RawBatch
from app.worker.ports import Input
from app.worker.wanted import Wanted, history_of, wanted, with_bad
from cdc_receipts.codec import Mark, Receipt

logger = logging.getLogger(__name__)

KIND = "read-back"
KEYS_AT_ONCE = 2_000
LOOKS = 5
"""A row that moved on is looked at again so often; its newest change is then judged at a later fence."""

Row = Mapping[str, bytes]
Fetch = Callable[[Input, Sequence[int]], Awaitable[RawBatch]]
"""The records at some offsets of a source partition; those that are gone are absent."""


class Rows(Protocol):
    """A sink's store, read by key; blocks."""

    def read(self, table: str, key: Sequence[str], keys: Sequence[Sequence[str]]) -> Sequence[Row | None]:
        """The columns' atoms of each key asked, in that order, None where no row has it.

        Raises:
            Unavailable: the store does not answer now.
            BadInput: it has no such table or column.
        """


@dataclass(slots=True)
class Tally:
    """What reading back came to, in rows.

    ``equal``, ``present`` (not every column can be compared), ``different``, ``absent``, ``moving`` (its changes come faster
    than looks), ``gone`` (its change is not in the log any more).
    """

    rows: Counter[str] = field(default_factory=Counter)
    problem: str = ""
    """Why rows can't be read back now; empty while they can."""


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


class ReadBack:
    """Reads back the rows of one sink; one at a time, since a store is not to be pressed.

    Args:
        sleep: waits between looks.
        wall_ms: stamps marks.
    """

    def __init__(
        self,
        contract: Contract,
        rows: Rows,
        fetch: Fetch,
        images: ImageDecoder,
        fetch_schemas: Callable[[set[int]], Awaitable[None]],
        wall_ms: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.tally = Tally()
        self._contract = contract
        self._rows = rows
        self._fetch = fetch
        self._images = images
        self._fetch_schemas = fetch_schemas
        self._wall_ms = wall_ms
        self._sleep = sleep
        self._thread = ThreadPoolExecutor(1, f"read-back-{contract.sink}")  # a slow store holds up nobody else

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
        asked = wanted(sink, below, self._contract.share)
        if has_bad:
            asked = with_bad(sink, asked)
        said: list[Receipt | Mark] = []
        for start in range(0, len(asked.offsets), KEYS_AT_ONCE):
            part = asked.part(start, start + KEYS_AT_ONCE)
            said += await self._settle(sink, source, below, part, may_be_gone=may_be_gone)
        return said

    async def _settle(
        self, sink: SinkPartition, source: Input, below: int, asked: Wanted, *, may_be_gone: bool
    ) -> list[Receipt | Mark]:
        """Look until every row is right, or was wrong twice while no change of its key came."""
        said: list[Receipt | Mark] = []
        suspected: dict[int, tuple[Finding, int]] = {}
        for look in range(LOOKS):
            if look:
                await self._sleep(self._contract.second_look_s)
            found = await self._judge(sink, source, below, asked, may_be_gone=may_be_gone)
            again = []
            for offset, (image, finding, newest) in found.items():
                if isinstance(finding, Equal) or suspected.get(offset, (None, -1))[1] == newest:
                    said += self._said(sink, image, finding)
                else:
                    suspected[offset] = (finding, newest)
                    again.append(offset)
            asked = asked.only(again)
            if not again:
                break
        self.tally.rows["moving"] += len(asked.offsets)
        return said

    def _said(self, sink: SinkPartition, image: Image, finding: Finding) -> list[Receipt | Mark]:
        """The evidence of a finding, none where the lane holds it."""
        self.tally.rows[_word(finding)] += 1
        word = sink.word(finding.offset)
        is_heard = bool(word.bits & Bit.GOOD)
        if (
            isinstance(finding, Absent)
            and not is_heard
            and (sink.contract.evidence == "receipts" or sink.view().is_skipped(finding.offset))
        ):
            return []  # silence below a fence says so, or a SKIP has
        at = self._wall_ms() if isinstance(finding, Absent) and not is_heard else image.at
        terms, generation = self._contract.terms, sink.generation
        found = evidence_of(self._contract.sink, image, finding, terms, KIND, at, generation, is_heard=is_heard)
        if (
            isinstance(found, Receipt)
            and found.fingerprint is not None
            and word.bits & Bit.WORD_HAS_FINGERPRINT
            and word.fingerprint == int.from_bytes(found.fingerprint, "little")
        ):
            return []  # the last word is the same
        return [found]

    async def _judge(
        self, sink: SinkPartition, source: Input, below: int, asked: Wanted, *, may_be_gone: bool
    ) -> dict[int, tuple[Image, Finding, int]]:
        """One look: by offset asked for, the change that something is said of, what, and the newest change of its key."""
        offsets = history_of(sink, asked, has_truncates=self._contract.terms.truncates)
        raw = await self._fetch(source, offsets)
        await self._fetch_schemas(self._images.missing(raw))
        images = await asyncio.to_thread(lambda: list(self._images.decode(raw)))
        by_offset = {image.offset: image for image in images}
        histories = by_key(images, self._contract.terms)
        keys = {}
        for offset in asked.offsets:
            image = by_offset.get(offset)
            key = None if image is None else key_text(image.key)
            if key is None:
                self.tally.rows["gone"] += 1
            else:
                keys[offset] = key
        rows = await self._read(keys, by_offset)
        found = {}
        for offset, key in keys.items():
            known = states(histories[key], self._contract.terms)
            finding = judge(known, max(below, offset + 1), rows[offset], self._contract.terms, may_be_gone=may_be_gone)
            if finding is not None:
                found[offset] = (by_offset[finding.offset], finding, known[-1].offset)
        return found

    async def _read(self, keys: Mapping[int, KeyText], images: Mapping[int, Image]) -> dict[int, Row | None]:
        """The rows of some keys, by the offset of their change; a table at a time."""
        terms = self._contract.terms
        tables: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[int]] = {}
        for offset, key in keys.items():
            image = images[offset]
            names = tuple(name for name, _ in key)
            kept = tuple(terms.name_in_sink(image.table, name) for name in names)
            tables.setdefault((terms.table_of(image), names, kept), []).append(offset)
        found: dict[int, Row | None] = {}
        loop = asyncio.get_running_loop()
        for (table, _, kept), offsets in tables.items():
            texts = [[text for _, text in keys[offset]] for offset in offsets]
            try:
                rows = await loop.run_in_executor(self._thread, self._rows.read, table, kept, texts)
            except BadInput as error:  # a table or a column is not there: that proves nothing of a row
                raise Unavailable(str(error)) from error
            found |= dict(zip(offsets, rows, strict=True))
        return found


def _word(finding: Finding) -> str:
    match finding:
        case Equal():
            return "equal" if finding.is_whole or finding.is_delete else "present"
        case Different():
            return "different"
        case Absent():
            return "absent"
