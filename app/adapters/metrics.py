"""The Prometheus page: every number that the verifier shows of itself; names and meanings are in `app.adapters.shapes`.

The page is bounded: labels are sink, topic, state and a failure's class; partition only for the topics of ``metrics.per_partition``, never a
row's key, and at most `MAX_SERIES` label sets a metric. Without the label, partitions are summed up (numbers) or the worst
of them counts (ages). A worker shows the partitions that it owns, so a sum over workers is the whole.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from threading import Lock

from prometheus_client import CollectorRegistry, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.adapters.shapes import METRICS, ROW_STATES, Shape
from app.config.topics import is_match
from app.evidence.connector import Report, class_of
from app.model import BAD, Flag, Level, Ownership, State
from app.model.coverage import judged_cells
from app.model.effects import Contradicted, Finding, Orphan, SinkWatermark, UnknownSink, Unreadable
from app.model.words import SINK_STATES

SINK_COUNTERS = (
    "orphan_receipts", "contradicted_cells", "acknowledged_commands", "skipped_offsets", "doubtful_movements",
)  # fmt: skip
MAX_SERIES = 25_000
"""Label sets a metric may have: 300 topics of 8 sinks in 10 states are 24,000. What is beyond is left out, and counted."""

BATCH_BUCKETS_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""From an empty fetch to a batch that is slow enough to look at; half a decade a step."""

NOW = float("inf")
"""A time that nothing is older than: its age is 0."""

Labels = tuple[str, ...]
Place = tuple[str, int]
"""A topic and its partition number, whose values leave the page when the worker gives the partition up."""


class Metrics(Collector):
    """What the worker tells about itself; every method may be called from any thread.

    Args:
        per_partition: topics or patterns whose metrics have the label partition.
        clock: seconds since the epoch; only ages on the page ask it, and only when the page is read.
        registry: where it is registered.
    """

    def __init__(
        self,
        per_partition: Collection[str] = (),
        clock: Callable[[], float] = time.time,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self.registry = registry or CollectorRegistry()
        self._per_partition = tuple(per_partition)
        self._clock = clock
        self._lock = Lock()
        self._values: dict[str, dict[Labels, dict[Place, float]]] = {}
        self._since: dict[str, dict[Labels, dict[Place, float]]] = {}
        self._counts: dict[str, dict[Labels, float]] = {}
        self._seen: dict[tuple[str, Labels, Place], float] = {}
        self._dropped = 0
        self._batches = Histogram(
            "cdc_verifier_batch_seconds",
            METRICS["cdc_verifier_batch_seconds"].text,
            registry=self.registry,
            buckets=BATCH_BUCKETS_SECONDS,
        )
        self.registry.register(self)

    def watermark(
        self,
        watermark: SinkWatermark,
        *,
        ahead: int,
        unverified: int,
        oldest_open_ts_ms: int | None,
        fence_at_ms: int | None,
    ) -> None:
        """One sink on one source partition, on a timer; `opened` was called before.

        Args:
            watermark: as it is written to the watermarks topic.
            ahead: changes at or above the frontier; unverified: at or above the verified watermark. What the contract
                expects nothing of counts in neither, what was not read yet in both.
            oldest_open_ts_ms: source time of the oldest open cell, None where none is open.
            fence_at_ms: time of the last fence, None before the first.
        """
        place = (watermark.topic, watermark.partition)
        labels = (watermark.sink, *self._topic(*place))
        bad = sum(watermark.open_counts[state] for state in BAD)
        verified = oldest_open_ts_ms if watermark.verified_ts_ms is None else watermark.verified_ts_ms
        self._set("cdc_verifier_sink_lag_changes", labels, place, ahead)
        self._set("cdc_verifier_verified_lag_changes", labels, place, unverified)
        self._set_since("cdc_verifier_verified_lag_seconds", labels, place, verified if unverified else NOW)
        self._set_since(
            "cdc_verifier_open_cell_age_seconds", labels, place, NOW if oldest_open_ts_ms is None else oldest_open_ts_ms
        )
        self._set_since("cdc_verifier_fence_age_seconds", labels, place, fence_at_ms)
        self._set("cdc_verifier_bad_cells", labels, place, bad)
        for state in State:
            self._set("cdc_verifier_state_cells", (*labels, state.word), place, watermark.counts[state])
        self._set("cdc_verifier_judged_cells", labels, place, judged_cells(watermark))
        for level, count in zip(Level, watermark.levels, strict=False):
            self._set("cdc_verifier_evidence_cells", (*labels, level.word), place, count)
        for bit, flag in enumerate(Flag):
            self._count_to(f"cdc_verifier_{flag.words()[0]}_cells_total", labels, place, watermark.flags[bit])

    def opened(self, sink: str, topic: str, partition: int, rows: Mapping[str, int], flags: Sequence[int]) -> None:
        """A store was opened with these totals: what they grow by from here on is counted, so that a takeover is no new fault."""
        place = (topic, partition)
        labels = (sink, *self._topic(*place))
        totals = {
            (f"cdc_verifier_{flag.words()[0]}_cells_total", labels): count
            for flag, count in zip(Flag, flags, strict=False)
        }
        totals |= {("cdc_verifier_evidence_rows_total", (*labels, word)): count for word, count in _shown(rows).items()}
        with self._lock:
            for (name, where), total in totals.items():
                self._seen.setdefault((name, where, place), total)
        for name, where in totals:
            self._count(name, where, 0)
        for name in SINK_COUNTERS:
            self._count(f"cdc_verifier_{name}_total", (sink, topic), 0)

    def evidence_rows(self, sink: str, topic: str, partition: int, rows: Mapping[str, int]) -> None:
        """Where the rows of one lane went so far, by the words of `ROW_STATES`."""
        place = (topic, partition)
        for word, count in _shown(rows).items():
            self._count_to("cdc_verifier_evidence_rows_total", (sink, *self._topic(*place), word), place, count)

    def conservation(self, sink: str, topic: str, partition: int, difference_changes: int) -> None:
        """Changes read minus cells of one sink and source partition; shown without sign, so that two never cancel."""
        place = (topic, partition)
        labels = (sink, *self._topic(*place))
        self._set("cdc_verifier_conservation_difference_changes", labels, place, abs(difference_changes))

    def held(self, sink: str, topic: str, partition: int, *, is_held: bool) -> None:
        """Whether a lane waits at a fence for its changes."""
        self._set("cdc_verifier_held_lanes", (sink, *self._topic(topic, partition)), (topic, partition), is_held)

    def position(self, topic: str, partition: int, next_offset: int) -> None:
        """The next offset to read of one input."""
        labels = self._topic(topic, partition)
        self._set("cdc_verifier_input_position_offset", labels, (topic, partition), next_offset)

    def batch(self, seconds: float) -> None:
        """What a fetch brought of one partition number was taken."""
        self._batches.observe(seconds)

    def store(self, size_bytes: int) -> None:
        """Size of all stores of this worker."""
        self._set("cdc_verifier_store_bytes", (), ("", 0), size_bytes)

    def fetch(self, *, is_raw: bool) -> None:
        """How fetched records are read; said once, at the start."""
        self._set("cdc_verifier_fetch_raw", (), ("", 0), is_raw)

    def memory(self, size_bytes: int, loaded: int) -> None:
        """Size of the segments in memory of this worker's stores, and how many came from disk since this was told last."""
        self._set("cdc_verifier_segment_memory_bytes", (), ("", 0), size_bytes)
        self._count("cdc_verifier_loaded_segments_total", (), loaded)

    def found(self, finding: Finding) -> None:
        """One finding beside cells."""
        match finding:
            case Orphan():
                self._count("cdc_verifier_orphan_receipts_total", (finding.sink, finding.topic))
            case Contradicted():
                self._count("cdc_verifier_contradicted_cells_total", (finding.sink, finding.topic))
            case Unreadable():
                self._count("cdc_verifier_unreadable_records_total", (finding.topic,))
            case UnknownSink():
                self._count("cdc_verifier_unknown_sink_records_total", (finding.topic,))

    def command_acknowledged(self, sink: str, topic: str) -> None:
        """The broker has one replay command."""
        self._count("cdc_verifier_acknowledged_commands_total", (sink, topic))

    def lost(self, topic: str, offsets: int) -> None:
        """Retention has overtaken the reading of an input."""
        self._count("cdc_verifier_lost_offsets_total", (topic,), offsets)

    def log_replaced(self, topic: str) -> None:
        """An input partition's topic was deleted and made again."""
        self._count("cdc_verifier_replaced_logs_total", (topic,))

    def suspended(self, topic: str) -> None:
        """A topic is not read any more, nor judged about."""
        self._set("cdc_verifier_suspended_topics", (topic,), ("", 0), 1)

    def contract(self, sink: str, topic: str, whose: Ownership) -> None:
        """A sink's topic is judged, and whose it is; said once, at the start."""
        self._set("cdc_verifier_contract_info", (sink, topic, whose.owner or "", whose.severity or ""), ("", 0), 1)

    def kernel(self, *, is_used: bool) -> None:
        """Whether records are decoded by the kernel; said once, at the start."""
        self._set("cdc_verifier_kernel_up", (), ("", 0), int(is_used))

    def registry_error(self) -> None:
        """A request to the schema registry failed."""
        self._count("cdc_verifier_registry_errors_total", ())

    def broker_error(self) -> None:
        """A request to a broker failed."""
        self._count("cdc_verifier_broker_errors_total", ())

    def connect_answer(self, *, is_answered: bool) -> None:
        """A question to Connect was answered, or not."""
        self._set("cdc_verifier_connect_up", (), ("", 0), is_answered)
        self._count("cdc_verifier_connect_errors_total", (), 0 if is_answered else 1)

    def read_back(self, sink: str, rows: Mapping[str, int], *, is_up: bool) -> None:
        """What reading a sink's rows back has come to so far, and whether its store answers."""
        self._set("cdc_verifier_store_up", (sink,), ("", 0), is_up)
        for word, count in rows.items():
            self._count_to("cdc_verifier_read_back_rows_total", (sink, word), ("", 0), count)

    def change_log(self, sink: str, records: Mapping[str, int], *, is_up: bool) -> None:
        """What a sink's change log has come to so far, and whether it can be read."""
        self._set("cdc_verifier_change_log_up", (sink,), ("", 0), is_up)
        for word, count in records.items():
            self._count_to("cdc_verifier_change_log_records_total", (sink, word), ("", 0), count)

    def scrub(self, sink: str, rows: Mapping[str, int], *, is_up: bool) -> None:
        """What the scrub of a sink's rows has come to so far, and whether it can go on."""
        self._set("cdc_verifier_scrub_up", (sink,), ("", 0), is_up)
        for word, count in rows.items():
            self._count_to("cdc_verifier_scrubbed_rows_total", (sink, word), ("", 0), count)

    def scrubbed(
        self, sink: str, topic: str, partition: int, *, wrong: int, left: int, since_ms: int, passes: int
    ) -> None:
        """Where the scrub of one source partition stands: see `app.worker.scrubbed.Scrubbed`."""
        labels, place = (sink, *self._topic(topic, partition)), (topic, partition)
        self._set("cdc_verifier_scrub_wrong_rows", labels, place, wrong)
        self._set("cdc_verifier_scrub_left_changes", labels, place, left)
        self._set_since("cdc_verifier_scrub_age_seconds", labels, place, since_ms)
        self._set("cdc_verifier_scrub_passes", labels, place, passes)

    def sink_status(self, sink: str, report: Report | None) -> None:
        """What is believed of a sink's connector; None takes it off the page: nobody knows, or it is another worker's."""
        place = (f"|{sink}", 0)  # of no topic
        with self._lock:
            for name in ("cdc_verifier_sink_status", "cdc_verifier_sink_tasks", "cdc_verifier_sink_failures"):
                _drop(self._values.get(name, {}), place)
        if report is None:
            return
        tasks = Counter(task.state for task in report.tasks)
        for state in SINK_STATES:
            self._set("cdc_verifier_sink_status", (sink, state), place, state == report.state)
            self._set("cdc_verifier_sink_tasks", (sink, state), place, tasks[state])
        for cause, count in Counter(class_of(task.cause) for task in report.tasks if task.cause is not None).items():
            self._set("cdc_verifier_sink_failures", (sink, cause), place, count)

    def progress(self, sink: str, topic: str, partition: int, state: str) -> None:
        """What is known of a sink's progress on one source partition, a word of `app.evidence.progress.ProgressState`."""
        labels, place = (sink, *self._topic(topic, partition)), (topic, partition)
        with self._lock:
            for (*where, word), places in list(self._values.get("cdc_verifier_progress_partitions", {}).items()):
                if tuple(where) == labels and word != state and places.pop(place, None) is not None and not places:
                    del self._values["cdc_verifier_progress_partitions"][*labels, word]
        self._set("cdc_verifier_progress_partitions", (*labels, state), place, 1)

    def skipped(self, sink: str, topic: str, offsets: int) -> None:
        """A probe wrote a SKIP over so many offsets."""
        self._count("cdc_verifier_skipped_offsets_total", (sink, topic), offsets)

    def doubtful(self, sink: str, topic: str) -> None:
        """Progress moved, perhaps by hand, and nobody can prove it."""
        self._count("cdc_verifier_doubtful_movements_total", (sink, topic))

    def fence_delayed(self, sink: str, topic: str, partition: int, *, is_delayed: bool) -> None:
        """Whether a fence whose grace is over waits for a gate."""
        labels = (sink, *self._topic(topic, partition))
        self._set("cdc_verifier_delayed_fences", labels, (topic, partition), is_delayed)

    def forget(self, topic: str, partition: int) -> None:
        """The worker gave a partition up: its gauges leave the page; counters stay, as counters must."""
        place = (topic, partition)
        with self._lock:
            for values in (*self._values.values(), *self._since.values()):
                _drop(values, place)
            for key in [key for key in self._seen if key[2] == place]:
                del self._seen[key]

    def collect(self) -> Iterator[Metric]:
        """Called by prometheus_client when the page is read."""
        with self._lock:
            now = self._clock()
            for name, shape in METRICS.items():
                if name == "cdc_verifier_batch_seconds":
                    continue
                if shape.is_counter:
                    yield self._counter(name, shape)
                else:
                    yield self._gauge(name, shape, now)

    def _counter(self, name: str, shape: Shape) -> Metric:
        family = CounterMetricFamily(name, shape.text, labels=shape.labels)
        empty = {} if shape.labels else {(): 0.0}
        for labels, value in (self._counts.get(name) or empty).items():
            family.add_metric(labels, value)
        return family

    def _gauge(self, name: str, shape: Shape, now: float) -> Metric:
        family = GaugeMetricFamily(name, shape.text, labels=shape.labels)
        if name == "cdc_verifier_dropped_series":
            family.add_metric((), self._dropped)
        for labels, places in self._values.get(name, {}).items():
            family.add_metric(labels, sum(places.values()) if shape.fold == "sum" else max(places.values()))
        for labels, places in self._since.get(name, {}).items():
            family.add_metric(labels, max(now - min(places.values()) / 1000, 0.0))
        return family

    def _topic(self, topic: str, partition: int) -> Labels:
        """The labels topic and partition; the partition is empty, which is no label, unless it was asked for."""
        is_asked = any(is_match(wanted, topic) for wanted in self._per_partition)
        return topic, str(partition) if is_asked else ""

    def _set(self, name: str, labels: Labels, place: Place, value: float) -> None:
        with self._lock:
            values = self._values.setdefault(name, {})
            if labels in values or self._has_room(values):
                values.setdefault(labels, {})[place] = float(value)

    def _set_since(self, name: str, labels: Labels, place: Place, since_ms: float | None) -> None:
        """An age, counted from ``since_ms`` when the page is read; None takes it off the page: nobody knows."""
        with self._lock:
            values = self._since.setdefault(name, {})
            if since_ms is None:
                _drop(values, place)
            elif labels in values or self._has_room(values):
                values.setdefault(labels, {})[place] = since_ms

    def _count(self, name: str, labels: Labels, amount: float = 1) -> None:
        with self._lock:
            counts = self._counts.setdefault(name, {})
            if labels in counts or self._has_room(counts):
                counts[labels] = counts.get(labels, 0.0) + amount

    def _count_to(self, name: str, labels: Labels, place: Place, total: float) -> None:
        """Count what a total of the fold has grown by since its store was opened."""
        with self._lock:
            before = self._seen.get((name, labels, place), 0)
            self._seen[name, labels, place] = total
        self._count(name, labels, max(total - before, 0))

    def _has_room(self, values: Collection[Labels]) -> bool:
        if len(values) < MAX_SERIES:
            return True
        self._dropped += 1
        return False


def _shown(rows: Mapping[str, int]) -> dict[str, int]:
    """Rows by the words of `ROW_STATES`."""
    sums: dict[str, int] = {}
    for word, count in rows.items():
        shown = word if word in ROW_STATES else "other"
        sums[shown] = sums.get(shown, 0) + count
    return sums


def _drop(values: dict[Labels, dict[Place, float]], place: Place) -> None:
    for labels in [labels for labels, places in values.items() if places.pop(place, None) is not None]:
        if not values[labels]:
            del values[labels]


class Served:
    """A page that is being served; `close` ends it."""

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        self._server, self._thread = start_http_server(port, addr=host, registry=metrics.registry)
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stop serving and give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(metrics: Metrics, host: str, port: int) -> Served | None:
    """Serve the page on ``host:port``; port 0 serves none, as ``metrics.port`` says."""
    return Served(metrics, host, port) if port else None
