"""Read-back: before a fence of a sink's progress is written, the rows below it are read from the sink's own store.

For one sink and source partition: 1. Which cells. 2. Their changes, fetched again by their coordinates. 3. The rows of their
keys. 4. What is right enters the lane as a receipt. 5. What is not is looked at again, with the changes that came since; a
row that moves on is never convicted. 6. What was wrong at both looks enters the lane, and only then the fence may stand.

A sink may be ahead of its commits, and of this worker, too: its row may show a change that stands in the log and was not read
here yet. So a row is wrong only when the changes have been read up to the end that the log had after the row was, and
as long as they have not, no fence is written.

Nothing here decides a state: the fold reads receipts and marks, as it reads those of anybody.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

from app.decode.images import Image, ImageDecoder
from app.errors import BadInput, Unavailable
from app.evidence import atoms
from app.evidence.atoms import Tag
from app.evidence.keys import KeyText, by_key, key_text, row_key, shared_text
from app.evidence.receipts import evidence_of
from app.evidence.states import Absent, Different, Equal, Finding, judge, states
from app.evidence.tables import StoreTerms
from app.ledger.cells import NEVER, Bit, Word
from app.ledger.sink import SinkPartition
from app.model import SEGMENT_BITS, RawBatch
from app.model.words import INDEX
from app.worker.ports import Input
from app.worker.wanted import Wanted, history_of, last_lost, wanted, with_bad
from cdc_receipts.codec import Mark, Receipt, Status

logger = logging.getLogger(__name__)

KIND = "read-back"
KEYS_AT_ONCE = 2_000
LOOKS = 5
"""A row that moved on is looked at again so often; its newest change is then judged at a later fence."""

Row = Mapping[str, bytes]


class ChangeLog(Protocol):
    """The change topics, read beside the fold."""

    async def fetch(self, source: Input, offsets: Sequence[int]) -> RawBatch:
        """The records at some ascending offsets of a source partition; those that are gone are absent.

        Raises:
            Unavailable: the broker does not answer now.
        """

    async def end(self, source: Input, start: int) -> int:
        """Where a source partition ends now; ``start`` where no record stands from there on.

        Raises:
            Unavailable: the broker does not answer now.
        """


class Rows(Protocol):
    """A sink's store, read by key; blocks."""

    def read(self, table: str, key: Sequence[str], keys: Sequence[Sequence[str]]) -> Sequence[Row | None]:
        """The columns' atoms of each key asked, in that order, None where no row has it.

        Raises:
            Unavailable: the store does not answer now.
            BadInput: it has no such table or column.
        """

    def finds(self, table: str, key: Sequence[str], values: Sequence[bytes]) -> bool:
        """Whether a row of a key would have been found by its texts, given its atoms; asked after `read`, does not block."""


@dataclass(slots=True)
class Tally:
    """What reading back came to, in rows.

    ``equal``, ``present`` (not every column can be compared), ``different``, ``absent``, ``moving`` (its changes come faster
    than looks), ``unmatched`` (no row was found, and the store keeps the key in a form that the source's can't be matched
    with), ``gone`` (its change, or a later one that may have been of its key, is not in the log any more).
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one look showed of a key.

    Attributes:
        image, finding: the change that something is said of, and what.
        row: as the store had it; newest: the newest change of the key that was known then.
    """

    image: Image
    finding: Finding
    row: Row | None
    newest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A row that was not right.

    Attributes:
        end: of the log, after the row was read: what the sink can have applied lies below.
    """

    row: Row | None
    newest: int
    end: int


class ReadBack:
    """Reads back the rows of one sink; one at a time, since a store is not to be pressed.

    Args:
        progress: the offset that the sink has committed; 0 where nobody knows.
        sleep: waits between looks.
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
    ) -> None:
        self.tally = Tally()
        self._contract = contract
        self._rows = rows
        self._log = log
        self._images = images
        self._fetch_schemas = fetch_schemas
        self._progress = progress
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
        """Look until every row is right, or was wrong twice while no change of its key came.

        Raises:
            Unavailable: the log goes on beyond what was read here, and what a row shows may stand there.
        """
        said: list[Receipt | Mark] = []
        suspects: dict[int, Suspect] = {}
        for look in range(LOOKS):
            if look:
                await self._sleep(self._contract.second_look_s)
            read = sink.changes.next
            found = await self._look(sink, source, below, asked, suspects, may_be_gone=may_be_gone)
            convicted = {o for o, sight in found.items() if _is_seen_twice(suspects.get(o), sight, read)}
            if convicted:
                await self._require_progress(source, below)
            again: dict[int, Suspect] = {}
            for offset, sight in found.items():
                if isinstance(sight.finding, Equal) or offset in convicted:
                    said += self._said(sink, sight, offset, below)
                else:
                    again[offset] = Suspect(row=sight.row, newest=sight.newest, end=-1)
            if not again:
                return said
            end = await self._log.end(source, sink.changes.next)
            behind = [o for o in again if o in suspects and suspects[o].end > read]
            suspects = {offset: replace(suspect, end=end) for offset, suspect in again.items()}
            asked = asked.only(list(again))
        if behind:
            where = f"{source.topic}:{source.partition}"
            raise Unavailable(f"{where} was read up to {sink.changes.next}, and rows may show what stands up to {end}")
        self.tally.rows["moving"] += len(asked.offsets)
        return said

    async def _require_progress(self, source: Input, below: int) -> None:
        """Rows of a sink that was set back show older states until it has caught up; that convicts nobody."""
        now = await self._progress(source)
        if now < below:
            name = self._contract.sink
            raise Unavailable(
                f"the progress of {name} has fallen from {below} to {now}: its rows may be of an older state"
            )

    def _said(self, sink: SinkPartition, sight: Sight, asked: int, below: int) -> list[Receipt | Mark]:
        """The evidence of a finding about a cell that was asked for, none where the lane holds it."""
        finding, image = sight.finding, sight.image
        self.tally.rows[_word(finding)] += 1
        word = sink.word(finding.offset)
        is_heard = bool(word.bits & Bit.GOOD)
        if isinstance(finding, Absent) and not is_heard:
            if sink.contract.evidence == "receipts" or sink.view().is_skipped(finding.offset):
                return []  # silence below a fence says so, or a SKIP has
            at = self._wall_ms()
        else:  # of a write that the sink told of this is no second one
            at = image.at if word.apply_rank == NEVER else word.apply_at
        if isinstance(finding, Equal) and _is_told(sink, finding, asked, below):
            return []
        terms, generation = self._contract.terms, sink.generation
        found = evidence_of(self._contract.sink, image, finding, terms, KIND, at, generation, is_heard=is_heard)
        if isinstance(found, Receipt) and _is_last_word(word, found):
            return []
        return [found]

    async def _look(
        self,
        sink: SinkPartition,
        source: Input,
        below: int,
        asked: Wanted,
        suspects: Mapping[int, Suspect],
        *,
        may_be_gone: bool,
    ) -> dict[int, Sight]:
        """One look: by offset asked for, what is said of its key; a row that is right by now was right when it was read."""
        terms = self._contract.terms
        lost = last_lost(sink)
        offsets = history_of(sink, asked, has_truncates=terms.truncates)
        raw = await self._log.fetch(source, offsets)
        lost = max([lost, *set(offsets).difference(raw.offsets.tolist())])
        await self._fetch_schemas(self._images.missing(raw))
        images = await asyncio.to_thread(lambda: list(self._images.decode(raw)))
        by_offset = {image.offset: image for image in images}
        histories = by_key(images, terms)
        keys = {}
        for offset in asked.offsets.tolist():
            image = by_offset.get(offset)
            key = None if image is None else key_text(row_key(image, terms))
            if key is not None and key in histories:
                keys[offset] = key
            else:  # a change without the contract's key is there, and tells no row to look for
                self.tally.rows["unmatched" if image is not None and terms.keys else "gone"] += 1
        if terms.keys:  # a row that changes of several record keys wrote is asked for once, by the newest
            keys = {offset: key for key, offset in {key: offset for offset, key in keys.items()}.items()}
        rows = await self._read(keys, by_offset)
        found = {}
        for offset in rows:
            key = keys[offset]
            known = states(histories[key], terms)
            seen = [suspects[offset].row, rows[offset]] if offset in suspects else [rows[offset]]
            for row in seen:
                finding = judge(known, max(below, offset + 1), row, terms, may_be_gone=may_be_gone)
                if isinstance(finding, Equal):
                    break
            if finding is None:
                continue
            if not isinstance(finding, Equal) and histories[key][0].offset < lost:
                self.tally.rows["gone"] += 1  # the row may show a change that nobody can read any more
                continue
            image = by_offset[finding.offset]
            found[offset] = Sight(image=image, finding=finding, row=rows[offset], newest=known[-1].offset)
        return found

    async def _read(self, keys: Mapping[int, KeyText], images: Mapping[int, Image]) -> dict[int, Row | None]:
        """The rows of some keys, by the offset of their change; a table at a time. Keys that can't be matched are left out."""
        terms = self._contract.terms
        tables: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[int]] = {}
        for offset, key in keys.items():
            image = images[offset]
            names = tuple(name for name, _ in key)
            kept = tuple(terms.name_in_sink(image.table, name) for name in names)
            if table_of := terms.table_of(image):
                tables.setdefault((table_of, names, kept), []).append(offset)
            else:
                self.tally.rows["unmatched"] += 1
        found: dict[int, Row | None] = {}
        loop = asyncio.get_running_loop()
        for (table, names, kept), offsets in tables.items():
            texts = [[text for _, text in keys[offset]] for offset in offsets]
            try:
                rows = await loop.run_in_executor(self._thread, self._rows.read, table, kept, texts)
            except BadInput as error:  # a table or a column is not there: that proves nothing of a row
                if not terms.is_table_by_value(images[offsets[0]].topic):
                    raise Unavailable(str(error)) from error
                self.tally.rows["unmatched"] += len(offsets)  # one value's table, which holds up no other's
                continue
            for offset, row in zip(offsets, rows, strict=True):
                if row is None and not self._is_known_absent(table, names, kept, images[offset]):
                    self.tally.rows["unmatched"] += 1
                else:
                    found[offset] = row
        return found

    def _is_known_absent(self, table: str, names: Sequence[str], kept: Sequence[str], image: Image) -> bool:
        """Whether no row found means that there is none."""
        terms = self._contract.terms
        key = row_key(image, terms) or {}
        is_exact = is_kept_exactly(key, terms, image.table)
        return is_exact and self._rows.finds(table, kept, [key[name] for name in names])


def is_kept_exactly(key: Row, terms: StoreTerms, table: str) -> bool:
    """Whether the contract lets no column of a key lose anything of its value: a text that is found as it is written."""
    shared = shared_text(key, terms, table)
    if shared is None or shared != shared_text(key, replace(terms, tolerances={}), table):
        return False
    for name, atom in key.items():
        allowed = terms.allowed(table, name)
        if atoms.tag(atom) is Tag.TEXT and ("case" in allowed or ("blanks" in allowed and atom.endswith(b" "))):
            return False
    return True


def _is_seen_twice(before: Suspect | None, sight: Sight, read: int) -> bool:
    """Whether a row was wrong at two looks, with no change of its key in between, and all was read that it may have shown."""
    if before is None or isinstance(sight.finding, Equal):
        return False
    return before.newest == sight.newest and before.end <= read


def _is_told(sink: SinkPartition, finding: Equal, asked: int, below: int) -> bool:
    """Whether a row that is right is no news: its cell is closed, or the sink, which told of what is below, will tell of it."""
    cells = sink.cells.get(finding.offset >> SEGMENT_BITS)
    is_closed = cells is not None and cells.closed[finding.offset & INDEX] > 0
    is_ahead = finding.offset != asked and finding.offset >= below
    return is_closed or (is_ahead and bool(sink.word(asked).bits & Bit.GOOD))


def _is_last_word(word: Word, found: Receipt) -> bool:
    """Whether a receipt says no more than the last word did."""
    if not word.bits & Bit.HAS_RECEIPT or found.status != word.status:
        return False
    if found.fingerprint is not None:
        is_same = word.fingerprint == int.from_bytes(found.fingerprint, "little")
        return bool(word.bits & Bit.WORD_HAS_FINGERPRINT) and is_same
    return found.status == Status.APPLIED or bool(word.bits & Bit.READ_BACK)


def _word(finding: Finding) -> str:
    match finding:
        case Equal():
            return "equal" if finding.is_whole or finding.is_delete else "present"
        case Different():
            return "different"
        case Absent():
            return "absent"
