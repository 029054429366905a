"""What a sink's own change log has told so far: the newest records of each of its tables, kept in memory and found by key.

What was forgotten, what can't be read and what was emptied is never taken for silence: a partition of the log begins anew
there. Called from threads, one call at a time.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from app.decode.images import Image, ImageDecoder
from app.evidence.keys import KeyText, key_text
from app.model import ChangeKind, RawBatch
from app.worker.ports import Input

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
        problem: why it proves nothing; empty where it does.
    """

    records: dict[Input, deque[Image]] = field(default_factory=dict)
    by_key: dict[KeyText, deque[Image]] = field(default_factory=dict)
    problem: str = ""

    def take(self, image: Image) -> None:
        """The next record of its partition."""
        self.records.setdefault(Input(image.topic, image.partition), deque()).append(image)
        key = log_key(image.key)
        if key is None:
            self.problem = f"{image.topic}:{image.partition} offset {image.offset} has no key that can be matched"
        else:
            known = self.by_key.setdefault(key, deque())
            if known and known[-1].partition != image.partition:
                self.problem = f"{image.topic} has records of one key in two partitions: they have no order"
            known.append(image)
        if len({log.topic for log in self.records}) > 1:
            self.problem = (
                f"{', '.join(sorted({log.topic for log in self.records}))} tell of one table: they have no order"
            )

    def newest(self) -> Image | None:
        """Some record of it that is no older than others of its partition."""
        return next((found[-1] for found in self.records.values() if found), None)

    def forget_first(self, log: Input) -> None:
        """The oldest record of a partition goes, of its key it is the oldest, too."""
        image = self.records[log].popleft()
        key = log_key(image.key)
        if key is not None:
            self.by_key[key].popleft()
            if not self.by_key[key]:
                del self.by_key[key]

    def forget(self, log: Input) -> None:
        """All records of a partition go."""
        while self.records.get(log):
            self.forget_first(log)


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
        self._told: dict[Input, OrderedDict[tuple[object, ...], None]] = {}

    def begin(self, log: Input) -> None:
        """A partition is read from somewhere on; what it told before is not known, or not any more."""
        self._partitions.setdefault(log.topic, set()).add(log.partition)
        self._told.pop(log, None)
        known = [table for table in self._tables.values() if table.records.get(log)]
        for table in known:
            table.forget(log)
        if known:
            self._arrived = deque(one for one in self._arrived if one[1] != log)

    def missing(self, raw: RawBatch) -> set[int]:
        """Schema ids that were not asked for yet."""
        return self._images.missing(raw)

    def take(self, raw: RawBatch) -> None:
        """Records of one partition, that follow those taken before."""
        log = Input(raw.topic, raw.partition)
        for image in self._images.decode(raw):
            if image.kind is ChangeKind.UNREADABLE:  # it may have been a write of any key
                self.begin(log)
            elif (
                image.kind is ChangeKind.TRUNCATE
            ):  # it has no key: where it stands among the other partitions is not known
                self._empty((image.schema, image.table))
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
        self._tables.setdefault(place, TableLog()).take(image)
        self._arrived.append((place, log))
        if len(self._arrived) > self._most:
            oldest, where = self._arrived.popleft()
            self._tables[oldest].forget_first(where)

    def _empty(self, place: tuple[str, str]) -> None:
        for log in list(self._tables.get(place, TableLog()).records):
            self._tables[place].forget(log)
        self._arrived = deque(one for one in self._arrived if one[0] != place)

    def _is_told(self, image: Image) -> bool:
        """Whether the log says it again, see `app.evidence.change_log.first_told`; of a bounded number of records."""
        if image.position is None:
            return False
        told = self._told.setdefault(Input(image.topic, image.partition), OrderedDict())
        place = (image.position, *sorted((image.key or {}).items()))
        if place in told:
            return True
        told[place] = None
        if len(told) > self._most:
            told.popitem(last=False)
        return False
