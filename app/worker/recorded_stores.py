"""What a recording holds of the sinks' stores, as evidence: the change log of a sink's own database, and its tables.

The tables stand for a read-back at the recording's end, and the committed offsets beside them for the progress that the
probe saw before it; so the fence that follows is the probe's. Of a sink that says nothing itself and whose rows nobody can look at,
those offsets are all there is: what it has passed is `attempted`. One that writes receipts gets no fence of them for their own sake:
its receipts may come long after its commits, and what they have not told yet would be called missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.adapters.recording import RecordedTable, Recording
from app.config import topics
from app.config.settings import Settings, SinkSettings
from app.decode.evidence import EvidenceDecoder
from app.decode.images import Image
from app.decode.schemas import RecordedSchemas
from app.errors import BadInput
from app.evidence import change_log
from app.evidence.receipts import evidence_of
from app.evidence.states import Absent, Different, Equal, Finding, judge
from app.evidence.tables import named
from app.ledger.lane import LaneRows, lane_ranks, split
from app.model import ChangeKind, RawBatch, RawRecord, SinkTopic
from app.worker.recorded_rows import LogRows, Rows, Source, TableRows
from app.worker.recorded_strangers import Filled, Strangers, strangers
from app.worker.stores import image_decoder, store_terms
from cdc_receipts.codec import SCHEMAS, Mark, MarkKind, Receipt, encode_mark, encode_receipt

LOG, TABLES = "change-log", "read-back"
Said = tuple[int, Receipt | Mark]
"""When it was said, ms, and what."""
Progress = dict[tuple[str, int], int]
"""Committed offsets by topic and partition."""
Written = dict[int, tuple[int, bool]]
"""By offset: when a log last showed that the sink wrote a change, ms, and whether it was right."""


@dataclass(slots=True)
class StoreEvidence:
    """What the stores of a recording say.

    Attributes:
        lanes: rows that follow what other evidence of the sink there is, by whom they speak of.
        logs: the same for receipts of change logs, which have times of their own.
        columns: of each change that a row differs from, what is wrong with its columns.
        problems: why rows of a sink can't be compared with a source partition's changes.
        strangers: rows under keys that no change tells of.
    """

    lanes: dict[SinkTopic, LaneRows] = field(default_factory=dict)
    logs: dict[SinkTopic, LaneRows] = field(default_factory=dict)
    columns: dict[tuple[SinkTopic, int], dict[str, str]] = field(default_factory=dict)
    problems: dict[SinkTopic, str] = field(default_factory=dict)
    strangers: list[Strangers] = field(default_factory=list)


class RecordedStores:
    """Reads them.

    Args:
        topics: by sink, the change topics that it consumes.
        ends: of each source partition, the recording's end.
        latest: when the newest of all changes was recorded, ms.
        heard: by whom they speak of and offset, when the sink itself says that it applied a change, ms.
        fenced: whose lanes have fences without what is read here.
    """

    def __init__(
        self,
        settings: Settings,
        recording: Recording,
        topics: dict[str, tuple[str, ...]],
        ends: dict[tuple[str, int], int],
        latest: int,
        heard: Mapping[SinkTopic, Mapping[int, int]],
        fenced: Collection[SinkTopic],
    ) -> None:
        self._settings = settings
        self._recording = recording
        self._topics = topics
        self._ends = ends
        self._heard = heard
        self._fenced = fenced
        self._images = image_decoder(settings, recording.schemas())
        self._changes: dict[str, list[list[Image]]] = {}
        self._whole: set[str] = set()
        """Topics from their first offset on and without holes, all of which can be read: nothing of them was ever forgotten."""
        self._latest = latest

    def read(self) -> StoreEvidence:
        """The evidence of every sink that names a change log or tables of this recording, or of which nothing but its progress is asked for."""
        found, filled = StoreEvidence(), list[Filled]()
        for name, sink in self._settings.sinks.items():
            if sink.change_log or sink.recorded_tables:
                filled += self._read_sink(name, sink, found)
            elif _is_told_by_progress(sink):
                self._read_progress(name, sink, found)
        found.strangers += strangers(filled)
        return found

    def _read_progress(self, name: str, sink: SinkSettings, found: StoreEvidence) -> None:
        """The committed offsets of a sink whose rows can't be looked at; a source partition that has none stays as it is."""
        appends = "it appends, and keeps no row by the key of a change"
        problem = appends if sink.writes == "append" else "the contract names no recorded tables and no change log"
        for (topic, partition), below in self._progress(sink).items():
            where = SinkTopic(name, topic, partition)
            is_held = topic in self._topics[name] and (topic, partition) in self._ends
            if is_held and where not in self._fenced:
                found.problems[where] = problem
                found.lanes[where] = self._passed(where, below, [])

    def _read_sink(self, name: str, sink: SinkSettings, found: StoreEvidence) -> Iterator[Filled]:
        """What its stores say of each topic; these beside the rows that they fill."""
        terms = store_terms(self._settings, name)
        tables = self._recording.tables(sink.recorded_tables) if sink.recorded_tables else None
        logs = self._logged(name, sink)
        progress = self._progress(sink)
        sources = [
            [Source(SinkTopic(name, topic, images[0].partition), images, terms) for images in self._partitions(topic)]
            for topic in self._topics[name]
        ]
        kept_by = Counter(partitions[0].sink_table.casefold() for partitions in sources if partitions)
        for partitions in filter(None, sources):
            kept: list[Rows] = []
            for of in partitions:
                is_shared = kept_by[of.sink_table.casefold()] > 1
                log = [] if is_shared else _log_of(logs, of.sink_table)
                rows = LogRows(of, log) if tables is None else TableRows(of, _table_of(tables, of.sink_table))
                if is_shared:
                    rows.problem = f"several change topics share the table {of.sink_table}"
                kept.append(rows)
                written = self._walk(of, log, found)
                below = progress.get((of.where.topic, of.where.partition))
                is_silent = tables is None and not logs
                if below is not None and not (is_silent and self._is_fenced_otherwise(of.where, sink)):
                    self._read_rows(of, rows, below, written, found)
            yield self._filled(sink, partitions, kept, progress)

    def _read_rows(self, of: Source, rows: Rows, below: int, written: Written, found: StoreEvidence) -> None:
        if rows.problem:
            found.problems[of.where] = rows.problem
        said = [] if rows.problem else self._judge(of, rows, below, written, found)
        found.lanes[of.where] = self._passed(of.where, below, said)

    def _is_fenced_otherwise(self, where: SinkTopic, sink: SinkSettings) -> bool:
        return where in self._fenced or not _is_told_by_progress(sink)

    def _filled(
        self, sink: SinkSettings, partitions: Sequence[Source], kept: Sequence[Rows], progress: Progress
    ) -> Filled:
        topic = partitions[0].where.topic
        return Filled(
            stores=frozenset(filter(None, (sink.recorded_tables, *sink.change_log))),
            sources=partitions,
            rows=kept,
            is_whole=topic in self._whole,
            is_passed=any(at > self._ends.get(place, 0) for place, at in progress.items() if place[0] == topic),
        )

    def _passed(self, where: SinkTopic, below: int, said: Sequence[Said]) -> LaneRows:
        """What rows say, between a sink's progress and the fence that follows, if that is not for others to write."""
        progressed, fenced = (
            (self._latest, _mark(where, kind, below, self._latest)) for kind in (MarkKind.PROGRESS, MarkKind.FENCE)
        )
        fences = [fenced] if self._settings.sinks[where.sink].fences == "progress" else []
        return _rows(TABLES, where, [progressed, *said, *fences], self._ends)

    def _walk(self, of: Source, log: Sequence[Image], found: StoreEvidence) -> Written:
        """What a log proves."""
        walked = change_log.walk(of.known, log, of.terms, of.table, tuple(of.key)) if of.key else []
        heard = self._heard.get(of.where, {})
        said: list[Said] = []
        written: Written = {}
        for at, finding in walked:
            if isinstance(finding, Different):
                found.columns[of.where, finding.offset] = _sorted(finding.columns)
            written[finding.offset] = (at, isinstance(finding, Equal))
            applied_at = heard.get(finding.offset, at)
            image = of.by_offset[finding.offset]
            said.append((at, evidence_of(of.where.sink, image, finding, of.terms, LOG, applied_at)))
        if said:
            found.logs[of.where] = _rows(LOG, of.where, said, self._ends)
        return written

    def _judge(self, of: Source, rows: Rows, below: int, written: Written, found: StoreEvidence) -> list[Said]:
        """What the sink holds at the end, of every key that has a change below the progress."""
        findings = self._findings(of, rows, below)
        lost = {finding.offset for finding in findings if isinstance(finding, Absent)}
        findings += [
            Equal(offset=offset, is_whole=False, is_delete=False) for offset in sorted(_emptied(of, rows, below) - lost)
        ]
        newest = _newest_written(of, written)
        heard = self._heard.get(of.where, {})
        kind = LOG if isinstance(rows, LogRows) else TABLES
        said: list[Said] = []
        for finding in findings:
            offset = finding.offset
            log_at, is_right = written.get(offset, (None, False))
            if isinstance(finding, Different):
                found.columns[of.where, offset] = _sorted(finding.columns)
            elif isinstance(finding, Equal) and (is_right or newest.get(offset, -1) > offset):
                continue  # the log has said so already, or that of a later change
            image = of.by_offset[offset]
            at = heard.get(offset, image.at if log_at is None else log_at)
            is_heard = offset in heard or log_at is not None
            one = evidence_of(of.where.sink, image, finding, of.terms, kind, at, is_heard=is_heard)
            said.append((self._latest, one))
        return said

    def _findings(self, of: Source, rows: Rows, below: int) -> list[Finding]:
        """What every row says; only what is right, where the sink has passed changes that the recording lacks."""
        may_be_gone = of.terms.truncates and any(
            image.kind is ChangeKind.TRUNCATE
            for images in self._partitions(of.where.topic)
            for image in images
            if image.partition != of.where.partition
        )
        is_complete = below <= self._ends[of.where.topic, of.where.partition]
        found = []
        for key, known in of.known.items():
            due = of.due(key, below)
            if due is not None and rows.tells(due, key):
                finding = judge(known, below, rows.row(key), of.terms, may_be_gone=may_be_gone)
                if finding is not None and (is_complete or isinstance(finding, Equal)):
                    found.append(finding)
        return found

    # ---------------------------------------------------------------- reading

    def _progress(self, sink: SinkSettings) -> Progress:
        return self._recording.committed(sink.group) if sink.group else {}

    def _partitions(self, topic: str) -> list[list[Image]]:
        if topic not in self._changes:
            raws = self._recording.partitions(topic)
            self._changes[topic] = [found for raw in raws if (found := list(self._images.decode(raw)))]
            images = (image for partition in self._changes[topic] for image in partition)
            has_all = all(raw.start == 0 and len(raw) == raw.next for raw in raws)
            if has_all and not any(image.kind is ChangeKind.UNREADABLE for image in images):
                self._whole.add(topic)
        return self._changes[topic]

    def _logged(self, name: str, sink: SinkSettings) -> dict[tuple[str, str], list[Image]]:
        """The records of a sink's change log by schema and table, in the order of their log."""
        found: dict[tuple[str, str], list[Image]] = {}
        existing = topics.resolve(sink.change_log, self._recording.topics(), only=True)
        if sink.change_log and not existing:
            raise BadInput(f"sinks.{name}.change_log: the recording has no topic {', '.join(sink.change_log)}")
        for topic in existing:
            for image in (image for raw in self._recording.partitions(topic) for image in self._images.decode(raw)):
                found.setdefault((image.schema, image.table), []).append(image)
        return {table: change_log.first_told(images) for table, images in found.items()}


def _is_told_by_progress(sink: SinkSettings) -> bool:
    """Whether a sink says nothing itself, and a probe fences it at its committed offsets."""
    return sink.evidence == "progress" and sink.fences == "progress" and not sink.receipts


def _sorted(columns: Mapping[str, str]) -> dict[str, str]:
    """Columns that a change leaves out are found in no order: two runs over one recording tell the same."""
    return dict(sorted(columns.items()))


def _newest_written(of: Source, written: Written) -> dict[int, int]:
    """Of each change, the newest one of its key that the log shows."""
    found: dict[int, int] = {}
    for known in of.known.values():
        newest = max((state.offset for state in known if state.offset in written), default=-1)
        found |= {state.offset: newest for state in known if state.kind is not ChangeKind.TRUNCATE}
    return found


def _emptied(of: Source, rows: Rows, below: int) -> set[int]:
    """Truncates that are the newest change of some key which has no row any more."""
    found = set()
    for key in of.known:
        due = of.due(key, below)
        if due is not None and due.kind is ChangeKind.TRUNCATE and rows.tells(due, key) and rows.row(key) is None:
            found.add(due.offset)
    return found


def _table_of(tables: Mapping[str, RecordedTable], name: str) -> RecordedTable | None:
    """The table of a name; the file names tables without their schema."""
    found = named(tables, name)
    return named(tables, name.rpartition(".")[2]) if found is None else found


def _log_of(logs: Mapping[tuple[str, str], list[Image]], name: str) -> list[Image]:
    """The log of a table; of a name without schema that two schemas have, none."""
    schema, _, table = name.casefold().rpartition(".")
    found = [
        log for (kept_schema, kept), log in logs.items()
        if kept.casefold() == table and schema.rpartition(".")[2] in ("", kept_schema.casefold())
    ]  # fmt: skip
    return found[0] if len(found) == 1 else []


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
