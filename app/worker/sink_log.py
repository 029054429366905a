"""What a sink's own change log has told so far: the newest records of each of its tables, kept in memory and found by key.

What was forgotten, what can't be read and what was emptied is never taken for silence: of each partition is known up to when
what is not held any more was written. Called from threads, one call at a time.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from app.decode.images import Image, ImageDecoder
from app.evidence.keys import KeyText, key_text
from app.model import ChangeKind, RawBatch
from app.worker.ports import Input

logger = logging.getLogger(__name__)

MOST_RECORDS = 50_000
"""Records that are kept of one sink's log, about 1 to 2 KB each; what a sink writes while a fence waits must fit in."""


def log_key(columns: Mapping[str, bytes] | None) -> KeyText | None:
    """A key by the sink's names, whatever their letter case, and its values as text; None for one that can't be told so."""
    folded = {name.casefold(): atom for name, atom in (columns or {}).items()}
    return key_text(folded) if len(folded) == len(columns or {}) else None


@dataclass(slots=True)
class TableLog:
    """One table of the sink.

    Attributes:
        records: by partition of the log, its records in their order.
        by_key: the same by `log_key`; a key's records stand in one partition.
        problem: why it proves nothing; empty where it does. It stays as long as anything is held of the table.
        again: records that wrote a row just as the one of their key before had left it.
    """

    name: str = ""
    records: dict[Input, deque[Image]] = field(default_factory=dict)
    by_key: dict[KeyText, deque[Image]] = field(default_factory=dict)
    problem: str = ""
    again: int = 0

    def take(self, image: Image) -> None:
        """The next record of its partition."""
        self.records.setdefault(Input(image.topic, image.partition), deque()).append(image)
        key = log_key(image.key)
        if key is None:
            self._doubt(f"{image.topic}:{image.partition} offset {image.offset} has no key that can be matched")
        else:
            known = self.by_key.setdefault(key, deque())
            if known and known[-1].partition != image.partition:
                self._doubt(f"{image.topic} has records of one key in two partitions: they have no order")
            self.again += bool(known) and _is_again(known[-1], image)
            known.append(image)
        topics = {log.topic for log, records in self.records.items() if records}
        if len(topics) > 1:
            self._doubt(f"{', '.join(sorted(topics))} tell of one table: they have no order")

    def _doubt(self, problem: str) -> None:
        if not self.problem:
            logger.warning("a change log proves nothing of the table %s: %s", self.name, problem)
            self.problem = problem

    def newest(self) -> Image | None:
        """Some record of it that is no older than others of its partition."""
        return next((found[-1] for found in self.records.values() if found), None)

    def forget_first(self, log: Input) -> Image:
        """The oldest record of a partition goes, of its key it is the oldest, too."""
        image = self.records[log].popleft()
        key = log_key(image.key)
        if key is not None:
            self.by_key[key].popleft()
            if not self.by_key[key]:
                del self.by_key[key]
        return image

    def forget(self, log: Input) -> int:
        """All records of a partition go; when the newest was written, ms, -1 for none."""
        newest = -1
        while self.records.get(log):
            newest = max(newest, self.forget_first(log).at)
        return newest


def _is_again(before: Image, image: Image) -> bool:
    """Whether a write left a row as it was. Rows of a snapshot are no writes."""
    is_write = image.kind is ChangeKind.UPSERT and image.op != "r"
    return is_write and (image.row, image.unavailable) == (before.row, before.unavailable)


class SinkLog:
    """All tables of one sink.

    Args:
        images: reads the log's records.
        most: records that are kept.
    """

    def __init__(self, images: ImageDecoder, most: int = MOST_RECORDS) -> None:
        self._images = images
        self._most = most
        self._tables: dict[tuple[str, str], TableLog] = {}
        self._partitions: dict[str, set[int]] = {}
        self._arrived: deque[tuple[tuple[str, str], Input]] = deque()
        self._told: OrderedDict[tuple[object, ...], None] = OrderedDict()
        self._forgotten: dict[Input, int] = {}
        self._lives: Counter[Input] = Counter()

    def begin(self, log: Input, unread_ms: int = -1) -> None:
        """A partition is read from somewhere on; what it told before is not known, or not any more.

        Args:
            unread_ms: what is not read was written no later, ms since the epoch.
        """
        self._partitions.setdefault(log.topic, set()).add(log.partition)
        self._lives[log] += 1
        self._note_forgotten(log, unread_ms)
        known = [table for table in self._tables.values() if table.records.get(log)]
        for table in known:
            self._note_forgotten(log, table.forget(log))
            if not any(table.records.values()):
                table.problem = ""
        if known:
            self._arrived = deque(one for one in self._arrived if one[1] != log)

    def drop(self, log: Input) -> None:
        """A partition is there no more."""
        self.begin(log)
        self._partitions[log.topic].discard(log.partition)

    def life(self, log: Input) -> int:
        """How often a partition has begun; offsets of different lives have nothing to do with each other."""
        return self._lives[log]

    def forgotten_ms(self, table: TableLog) -> int:
        """Up to when writes to a table were made that are not held, ms since the epoch; -1 where none is known of."""
        topics = {log.topic for log in table.records}
        return max((at for log, at in self._forgotten.items() if log.topic in topics), default=-1)

    def again(self) -> int:
        """Records that wrote a row as it was before, of all tables."""
        return sum(table.again for table in self._tables.values())

    def problem(self) -> str:
        """Why some table proves nothing; empty where all do."""
        return next((table.problem for table in self._tables.values() if table.problem), "")

    def missing(self, raw: RawBatch) -> set[int]:
        """Schema ids that were not asked for yet."""
        return self._images.missing(raw)

    def take(self, raw: RawBatch) -> None:
        """Records of one partition, that follow those taken before."""
        log = Input(raw.topic, raw.partition)
        for image in self._images.decode(raw):
            if image.kind is ChangeKind.UNREADABLE:  # it may have been a write of any key
                self.begin(log, max(image.at, image.timestamp))
            elif image.kind is ChangeKind.TRUNCATE:  # it has no key: among the other partitions it has no place
                self._empty(image)
            elif image.kind in (ChangeKind.UPSERT, ChangeKind.DELETE) and not self._is_told(image):
                self._keep(image, log)

    def table(self, name: str) -> TableLog | None:
        """The records of a table, by its name with or without the schema; None where there are none, or two schemas have it."""
        schema, _, table = name.casefold().rpartition(".")
        found = [
            log for (kept_schema, kept), log in self._tables.items()
            if kept.casefold() == table and schema.rpartition(".")[2] in ("", kept_schema.casefold())
        ]  # fmt: skip
        return found[0] if len(found) == 1 else None

    def partitions(self, table: TableLog) -> Iterator[Input]:
        """Every partition that may hold records of a table, those without any, too."""
        for topic in {log.topic for log in table.records}:
            yield from (Input(topic, number) for number in sorted(self._partitions.get(topic, ())))

    def _keep(self, image: Image, log: Input) -> None:
        place = (image.schema, image.table)
        self._tables.setdefault(place, TableLog(f"{image.schema}.{image.table}".lstrip("."))).take(image)
        self._arrived.append((place, log))
        if len(self._arrived) > self._most:
            oldest, where = self._arrived.popleft()
            self._note_forgotten(where, self._tables[oldest].forget_first(where).at)

    def _empty(self, truncate: Image) -> None:
        place = (truncate.schema, truncate.table)
        table = self._tables.get(place, TableLog())
        for log in {
            *table.records,
            *(Input(truncate.topic, number) for number in self._partitions.get(truncate.topic, ())),
        }:
            self._note_forgotten(log, max(truncate.at, table.forget(log)))
        self._arrived = deque(one for one in self._arrived if one[0] != place)

    def _note_forgotten(self, log: Input, at: int) -> None:
        if at >= 0:
            self._forgotten[log] = max(at, self._forgotten.get(log, -1))

    def _is_told(self, image: Image) -> bool:
        """Whether the log says it again, see `app.evidence.change_log.first_told`; of a bounded number of records."""
        if image.position is None:
            return False
        log = Input(image.topic, image.partition)
        place = (log, self._lives[log], image.position, *sorted((image.key or {}).items()))
        if place in self._told:
            return True
        self._told[place] = None
        if len(self._told) > self._most:
            self._told.popitem(last=False)
        return False
