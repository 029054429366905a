"""What a recording holds of the sinks' stores, as evidence: the change log of a sink's own database, and its tables.

The tables stand for a read-back at the recording's end, and the committed offsets beside them for the progress that the
probe saw before it; so the fence that follows is the probe's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.adapters.recording import RecordedTable, Recording
from app.config import topics
from app.config.settings import Settings, SinkSettings
from app.decode.evidence import EvidenceDecoder
from app.decode.images import Image, ImageDecoder
from app.decode.schemas import RecordedSchemas
from app.evidence import change_log
from app.evidence.keys import KeyText, by_key, key_text
from app.evidence.postgres import atom_of_text
from app.evidence.receipts import evidence_of
from app.evidence.states import Absent, Different, judge, states
from app.evidence.tables import StoreTerms
from app.ledger.lane import LaneRows, lane_ranks, split
from app.model import RawBatch, RawRecord, SinkTopic
from app.worker.stores import store_terms
from cdc_receipts.codec import SCHEMAS, Mark, MarkKind, Receipt, encode_mark, encode_receipt

LOG, TABLES = "change-log", "read-back"
Said = tuple[int, Receipt | Mark]
"""When it was said, ms, and what."""


@dataclass(slots=True)
class StoreEvidence:
    """What the stores of a recording say.

    Attributes:
        lanes: rows that follow what other evidence of the sink there is, by whom they speak of.
        logs: the same for receipts of change logs, which have times of their own.
        columns: of each change that a row differs from, what is wrong with its columns.
    """

    lanes: dict[SinkTopic, LaneRows] = field(default_factory=dict)
    logs: dict[SinkTopic, LaneRows] = field(default_factory=dict)
    columns: dict[tuple[SinkTopic, int], dict[str, str]] = field(default_factory=dict)


class RecordedStores:
    """Reads them.

    Args:
        topics: by sink, the change topics that it consumes.
        ends: of each source partition, the recording's end.
    """

    def __init__(
        self,
        settings: Settings,
        recording: Recording,
        topics: dict[str, tuple[str, ...]],
        ends: dict[tuple[str, int], int],
    ) -> None:
        self._settings = settings
        self._recording = recording
        self._topics = topics
        self._ends = ends
        self._images = ImageDecoder(
            recording.schemas(), settings.source.unavailable_value, dict(settings.source.column_types)
        )
        self._changes: dict[str, list[list[Image]]] = {}
        self._latest = 0

    def read(self) -> StoreEvidence:
        """The evidence of every sink that names a change log or tables of this recording."""
        found = StoreEvidence()
        for name, sink in self._settings.sinks.items():
            if sink.change_log or sink.recorded_tables:
                self._read_sink(name, sink, found)
        return found

    def _read_sink(self, name: str, sink: SinkSettings, found: StoreEvidence) -> None:
        terms = store_terms(self._settings, name)
        tables = self._recording.tables(sink.recorded_tables) if sink.recorded_tables else {}
        logged = self._logged(sink)
        progress = self._recording.committed(sink.group) if sink.group else {}
        for topic in self._topics[name]:
            for images in self._partitions(topic):
                of = _Source(SinkTopic(name, topic, images[0].partition), images, terms)
                log = logged.get(of.sink_table.rpartition(".")[2], [])
                walked = change_log.walk(of.known, log, terms, of.table, of.key)
                if walked:
                    found.columns |= {(of.where, f.offset): f.columns for _, f in walked if isinstance(f, Different)}
                    said = [(at, evidence_of(name, of.by_offset[f.offset], f, terms, LOG, at)) for at, f in walked]
                    found.logs[of.where] = _rows(LOG, of.where, said, self._ends)
                below = progress.get((topic, of.where.partition))
                if below is None or not (tables or logged):
                    continue
                seen = _Seen(of, tables.get(of.sink_table), change_log.replica(log, terms, of.table, of.key))
                self._judge(of, seen, below, {f.offset: at for at, f in walked}, found)

    def _judge(self, of: _Source, seen: _Seen, below: int, applied: dict[int, int], found: StoreEvidence) -> None:
        """What the sink holds at the end, of every key that has a change below the progress."""
        said: list[Said] = [(self._latest, _mark(of.where, MarkKind.PROGRESS, below, self._latest))]
        for key, known in of.known.items():
            finding = judge(known, below, seen.row(key), of.terms)
            if finding is None:
                continue
            if isinstance(finding, Different):
                found.columns[of.where, finding.offset] = finding.columns
            elif not isinstance(finding, Absent) and finding.offset in applied:
                continue  # the log has said so already
            image = of.by_offset[finding.offset]
            at = applied.get(finding.offset, image.at)
            said.append((self._latest, evidence_of(of.where.sink, image, finding, of.terms, seen.kind, at)))
        said.append((self._latest, _mark(of.where, MarkKind.FENCE, below, self._latest)))
        found.lanes[of.where] = _rows(seen.kind, of.where, said, self._ends)

    # ---------------------------------------------------------------- reading

    def _partitions(self, topic: str) -> list[list[Image]]:
        if topic not in self._changes:
            raws = self._recording.partitions(topic)
            self._latest = max([self._latest, *(int(raw.timestamps.max()) for raw in raws)])
            self._changes[topic] = [found for raw in raws if (found := list(self._images.decode(raw)))]
        return self._changes[topic]

    def _logged(self, sink: SinkSettings) -> dict[str, list[Image]]:
        """The records of a sink's change log by table, in the order of their log."""
        found: dict[str, list[Image]] = {}
        for topic in topics.resolve(sink.change_log, self._recording.topics(), only=True):
            for image in (image for raw in self._recording.partitions(topic) for image in self._images.decode(raw)):
                found.setdefault(image.table, []).append(image)
        return found


class _Source:
    """One source partition as a sink sees it."""

    def __init__(self, where: SinkTopic, images: list[Image], terms: StoreTerms) -> None:
        self.where = where
        self.terms = terms
        self.by_offset = {image.offset: image for image in images}
        self.known = {key: states(history, terms) for key, history in by_key(images, terms).items()}
        named = next((image for image in images if image.table), images[0])
        self.table = named.table
        self.sink_table = terms.table_of(named)
        self.key = [name for name, _ in next(iter(self.known), ())]


class _Seen:
    """The rows of one table: of the recorded one, else the last ones of the log."""

    def __init__(self, of: _Source, table: RecordedTable | None, replica: change_log.Replica) -> None:
        self.kind = LOG if table is None else TABLES
        self._replica = replica
        self._rows: dict[KeyText, dict[str, bytes]] | None = None if table is None else _indexed(of, table)

    def row(self, key: KeyText) -> dict[str, bytes] | None:
        """The sink's columns of a key by the sink's names; None where it has no such row."""
        return self._replica.row(key) if self._rows is None else self._rows.get(key)


def _indexed(of: _Source, table: RecordedTable) -> dict[KeyText, dict[str, bytes]]:
    """The rows by key; none where the table lacks a column of the key."""
    names = {column: of.terms.name_in_sink(of.table, column) for column in of.key}
    found = {}
    for row in table.rows:
        atoms = {name: atom_of_text(kind, text) for (name, kind), text in zip(table.columns, row, strict=True)}
        key = (
            key_text({column: atoms[name] for column, name in names.items()})
            if set(names.values()) <= atoms.keys()
            else None
        )
        if key is not None:
            found[key] = atoms
    return found


def _mark(where: SinkTopic, kind: MarkKind, offset: int, at: int) -> Mark:
    return Mark(
        sink=where.sink, topic=where.topic, partition=where.partition, kind=kind, offset=offset, at=at,
        reason="recorded progress",
    )  # fmt: skip


_IDS = {name: number for number, name in enumerate(SCHEMAS, 1)}
_DECODER = EvidenceDecoder(RecordedSchemas({number: SCHEMAS[name] for name, number in _IDS.items()}))


def _encoded(one: Receipt | Mark) -> bytes:
    if isinstance(one, Receipt):
        return encode_receipt(one, _IDS["DeliveryReceipt"])
    return encode_mark(one, _IDS["SinkMark"])


def _rows(log: str, where: SinkTopic, said: Iterable[Said], ends: dict[tuple[str, int], int]) -> LaneRows:
    """Receipts and marks as a lane reads them: written, and decoded again."""
    records = [RawRecord(place, at, None, _encoded(one)) for place, (at, one) in enumerate(said)]
    raw = RawBatch.of(log, where.partition, records, 0, len(records))
    batch = _DECODER.decode(raw)
    return split(batch, lane_ranks(batch), ends)[where]
