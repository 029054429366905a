"""Rows of a sink's store looked at, and looked at again: what is right is so at once, what is wrong must be so twice.

A sink may be ahead of its commits, and of this worker, too: its row may show a change that stands in the log and was not read
here yet. So a row is wrong only when two looks say so with no change of its key in between, and the changes have been read up
to the end that the log had after the row was first seen.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

from app.decode import atoms
from app.decode.atoms import Tag
from app.decode.images import Image
from app.errors import BadInput, Unavailable
from app.evidence.keys import KeyText, by_key, key_text, row_key, shared_text
from app.evidence.states import Absent, Different, Equal, Finding, State, judge, states
from app.evidence.tables import StoreTerms
from app.model import RawBatch
from app.worker.ports import Input

LOOKS = 5
"""A row that moved on is looked at again so often; its newest change is then judged at a later fence."""

Row = Mapping[str, bytes]
Filling = Callable[[str, str], Collection[object]]


def alone(_: str, topic: str) -> Collection[object]:
    """A table that nobody else fills."""
    return (topic,)


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

    def read(
        self, table: str, key: Sequence[str], keys: Sequence[Sequence[str]], *, is_fresh: bool = True
    ) -> Sequence[Row | None]:
        """The columns' atoms of each key asked, in that order, None where no row has it.

        Args:
            is_fresh: the table's columns are asked for anew; else what was known of them a minute ago will do.

        Raises:
            Unavailable: the store does not answer now.
            BadInput: it has no such table or column.
        """

    def finds(self, table: str, key: Sequence[str], values: Sequence[bytes]) -> bool:
        """Whether a row of a key would have been found by its texts, given its atoms; asked after `read`, does not block."""


class Past(Protocol):
    """The changes that rows may show."""

    @property
    def known(self) -> int:
        """Changes below it were read."""

    async def read_on(self) -> int:
        """Read as far as can be now, before rows are; returns `known`."""

    async def images(self, asked: Sequence[int]) -> tuple[list[Image], int]:
        """Of some cells' keys the changes asked for, all later ones that are known, and some earlier, ascending.

        Beside them the highest offset of a change that may have been of any key and that nobody can read any more, -1 for none.

        Raises:
            Unavailable: the broker or the registry does not answer now.
        """


@dataclass(slots=True)
class Tally:
    """What looking came to, in rows.

    ``equal``, ``present`` (not every column can be compared), ``different``, ``absent``, ``moving`` (its changes come faster
    than looks), ``unmatched`` (no row was found, and the store keeps the key in a form that the source's can't be matched
    with), ``shared`` (somebody else fills the table, too), ``gone`` (its change, or a later one that may have been of its key,
    is not in the log any more).
    """

    rows: Counter[str] = field(default_factory=Counter)
    problem: str = ""
    """Why rows can't be looked at now; empty while they can."""
    doubt: str = ""
    """Why some prove nothing though they can be looked at; empty where nothing stands against them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one look showed of a key.

    Attributes:
        image, finding: the change that something is said of, and what.
        row: as the store had it; known: what the changes of the key make that were known then.
    """

    image: Image
    finding: Finding
    row: Row | None
    known: Sequence[State]

    @property
    def newest(self) -> int:
        """The newest change of the key that was known then."""
        return self.known[-1].offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A row that was not right.

    Attributes:
        end: of the log, after the row was read: what the sink can have applied lies below.
    """

    row: Row | None
    newest: int
    end: int


class Looks:
    """Looks at the rows of one sink; one at a time, since a store is not to be pressed.

    Args:
        name: the sink's; terms: what its contract says of rows.
        progress: the offset that the sink has committed; 0 where nobody knows.
        second_look_s: between two looks at a row that is not right; sleep: waits for it.
        fillers: the sinks and topics that fill a table, by its name and one such topic: a row that somebody else may have
            written says nothing.
    """

    def __init__(
        self,
        name: str,
        terms: StoreTerms,
        rows: Rows,
        log: ChangeLog,
        progress: Callable[[Input], Awaitable[int]],
        second_look_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        fillers: Filling = alone,
    ) -> None:
        self.tally = Tally()
        self._name = name
        self._terms = terms
        self._rows = rows
        self._log = log
        self._progress = progress
        self._second_look_s = second_look_s
        self._sleep = sleep
        self._fillers = fillers
        self._thread = ThreadPoolExecutor(1, f"rows-of-{name}")  # a slow store holds up nobody else

    async def settle(
        self, past: Past, source: Input, below: int, asked: Sequence[int], *, may_be_gone: bool
    ) -> list[tuple[int, Sight]]:
        """Look until every row is right, or was wrong twice while no change of its key came.

        Args:
            below: what must have arrived lies below it.
            asked: cells, each the newest below of its key.
            may_be_gone: a truncate of another source partition may have taken rows.

        Returns:
            By cell asked, what was seen; nothing of those that nothing is known of.

        Raises:
            Unavailable: the store, the log or a schema can't be had now, or the log goes on beyond what was read here, and
                what a row shows may stand there.
        """
        settled: list[tuple[int, Sight]] = []
        suspects: dict[int, Suspect] = {}
        for look in range(LOOKS):
            if look:
                await self._sleep(self._second_look_s)
            read = await past.read_on()
            found = await self._look(past, below, asked, suspects, may_be_gone=may_be_gone)
            convicted = {o for o, sight in found.items() if _is_seen_twice(suspects.get(o), sight, read)}
            if convicted:
                await self._require_progress(source, below)
            again: dict[int, Suspect] = {}
            for offset, sight in found.items():
                if isinstance(sight.finding, Equal) or offset in convicted:
                    settled.append((offset, sight))
                else:
                    again[offset] = Suspect(row=sight.row, newest=sight.newest, end=-1)
            if not again:
                return settled
            end = await self._log.end(source, past.known)
            behind = [o for o in again if o in suspects and suspects[o].end > read]
            suspects = {offset: replace(suspect, end=end) for offset, suspect in again.items()}
            asked = list(again)
        if behind:
            where = f"{source.topic}:{source.partition}"
            raise Unavailable(f"{where} was read up to {past.known}, and rows may show what stands up to {end}")
        self.tally.rows["moving"] += len(asked)
        return settled

    async def _require_progress(self, source: Input, below: int) -> None:
        """Rows of a sink that was set back show older states until it has caught up; that convicts nobody."""
        now = await self._progress(source)
        if now < below:
            raise Unavailable(
                f"the progress of {self._name} has fallen from {below} to {now}: its rows may be of an older state"
            )

    async def _look(
        self, past: Past, below: int, asked: Sequence[int], suspects: Mapping[int, Suspect], *, may_be_gone: bool
    ) -> dict[int, Sight]:
        """One look: by offset asked for, what is said of its key; a row that is right by now was right when it was read."""
        images, lost = await past.images(asked)
        by_offset = {image.offset: image for image in images}
        histories = await asyncio.to_thread(by_key, images, self._terms)
        keys = {}
        for offset in asked:
            image = by_offset.get(offset)
            key = None if image is None else key_text(row_key(image, self._terms))
            if key is not None and key in histories:
                keys[offset] = key
            else:  # a change without the contract's key is there, and tells no row to look for
                self.tally.rows["unmatched" if image is not None and self._terms.keys else "gone"] += 1
        if self._terms.keys:  # a row that changes of several record keys wrote is asked for once, by the newest
            keys = {offset: key for key, offset in {key: offset for offset, key in keys.items()}.items()}
        rows = await self._read(keys, by_offset, is_fresh=bool(suspects))
        looked = await asyncio.to_thread(self._judged, keys, histories, rows, suspects, below, may_be_gone=may_be_gone)
        found = {}
        for offset, (finding, known) in looked.items():
            if not isinstance(finding, Equal) and histories[keys[offset]][0].offset < lost:
                self.tally.rows["gone"] += 1  # the row may show a change that nobody can read any more
                continue
            image = by_offset[finding.offset]
            found[offset] = Sight(image=image, finding=finding, row=rows[offset], known=known)
        return found

    def _judged(
        self,
        keys: Mapping[int, KeyText],
        histories: Mapping[KeyText, Sequence[Image]],
        rows: Mapping[int, Row | None],
        suspects: Mapping[int, Suspect],
        below: int,
        *,
        may_be_gone: bool,
    ) -> dict[int, tuple[Finding, Sequence[State]]]:
        """In a thread: what each row says, and of what changes of its key."""
        found: dict[int, tuple[Finding, Sequence[State]]] = {}
        for offset, row in rows.items():
            known = states(histories[keys[offset]], self._terms)
            finding = None
            for seen in [suspects[offset].row, row] if offset in suspects else [row]:
                finding = judge(known, max(below, offset + 1), seen, self._terms, may_be_gone=may_be_gone)
                if isinstance(finding, Equal):
                    break
            if finding is not None:
                found[offset] = (finding, known)
        return found

    async def _read(
        self, keys: Mapping[int, KeyText], images: Mapping[int, Image], *, is_fresh: bool
    ) -> dict[int, Row | None]:
        """The rows of some keys, by the offset of their change; a table at a time. Keys that can't be matched are left out."""
        terms = self._terms
        tables: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[int]] = {}
        for offset, key in keys.items():
            image = images[offset]
            names = tuple(name for name, _ in key)
            kept = tuple(terms.name_in_sink(image.table, name) for name in names)
            if not (table_of := terms.table_of(image)):
                self.tally.rows["unmatched"] += 1
            elif len(self._fillers(table_of, image.topic)) > 1:
                self.tally.rows["shared"] += 1
            else:
                tables.setdefault((table_of, names, kept), []).append(offset)
        found: dict[int, Row | None] = {}
        for (table, names, kept), offsets in tables.items():
            texts = [[text for _, text in keys[offset]] for offset in offsets]
            try:
                rows = await self._rows_of(table, kept, texts, is_fresh=is_fresh)
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

    async def _rows_of(
        self, table: str, kept: Sequence[str], texts: Sequence[Sequence[str]], *, is_fresh: bool
    ) -> Sequence[Row | None]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: self._rows.read(table, kept, texts, is_fresh=is_fresh))

    def _is_known_absent(self, table: str, names: Sequence[str], kept: Sequence[str], image: Image) -> bool:
        """Whether no row found means that there is none."""
        terms = self._terms
        key = row_key(image, terms) or {}
        is_exact = is_kept_exactly(key, terms, image.table)
        return is_exact and self._rows.finds(table, kept, [key[name] for name in names])

    def count(self, findings: Collection[Finding]) -> None:
        """Count what rows showed."""
        self.tally.rows.update(_word(finding) for finding in findings)


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


def _word(finding: Finding) -> str:
    match finding:
        case Equal():
            return "equal" if finding.is_whole or finding.is_delete else "present"
        case Different():
            return "different"
        case Absent():
            return "absent"
