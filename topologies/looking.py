"""Everything that looks at the outside world on a timer: probes, gates before fences, the scrub."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from confluent_kafka.admin import AdminClient

from app.adapters.connect_rest import ConnectClient
from app.adapters.kafka_config import client_config
from app.adapters.metrics import Metrics
from app.adapters.registry import Registry
from app.config import Settings
from app.worker.filling import Fillers
from app.worker.layout import Layout
from app.worker.live import LiveWorker
from app.worker.stores import store_terms
from topologies.change_logs import ChangeLogGate, walks
from topologies.gates import Gate, RoutedGate, RoutedLogs
from topologies.marking import Marks
from topologies.probing import FenceProbe
from topologies.progress import ProgressProbe
from topologies.readback import ReadBackGate
from topologies.scrubbing import Scrubbing
from topologies.statuses import StatusProbe
from topologies.stores import open_stores


def looks(
    settings: Settings,
    layout: Layout,
    registry: Registry,
    admin: AdminClient,
    worker: LiveWorker,
    marks: Marks,
    metrics: Metrics,
) -> Mapping[str, Callable[[], Awaitable[None]]]:
    """By name, what is to be called again and again."""
    client = client_config(settings)
    group = settings.verifier.application_id  # never joined: a right on a second group would be one to ask for
    fillers = _fillers(settings, layout)
    stores = open_stores(settings, layout, registry, admin, client, group, fillers)
    told = walks(settings, layout, registry, admin, client, group, worker.lanes, fillers)
    change_logs = ChangeLogGate(told, worker, layout, marks, metrics)
    read_back = ReadBackGate(stores.readers, worker, layout, marks, metrics)
    scrubbing = Scrubbing(stores.scrubs, worker, marks, metrics, read_back.is_busy)
    probe = _probe(settings, worker, marks, admin, metrics, [change_logs, read_back])
    return {
        "logs": change_logs.recheck,
        "recheck": read_back.recheck,
        "scrub": scrubbing.look,
        "idle stores": stores.close_idle,
        "probe": probe.look,
    }


def _fillers(settings: Settings, layout: Layout) -> Fillers:
    """Who fills which table, as far as sinks say where their rows are: in one store, or told by one change log."""
    places = {
        name: sink.store or f"change log {sorted(sink.change_log)}"
        for name, sink in settings.sinks.items()
        if sink.store is not None or sink.change_log
    }
    terms = {name: store_terms(settings, name) for name in places}
    return Fillers(places, terms, {name: settings.sink_topics(name, layout.inputs) for name in places})


def _probe(
    settings: Settings, worker: LiveWorker, marks: Marks, admin: AdminClient, metrics: Metrics, rows: Sequence[Gate]
) -> FenceProbe:
    """What looks at sinks that do not tell of themselves."""
    statuses = StatusProbe(settings.sinks, _connect(settings, metrics), marks, metrics)
    interval_s = settings.verifier.probe_interval_ms / 1000
    progress = ProgressProbe(admin, marks, metrics, statuses.is_idle, interval_s)
    logs = RoutedLogs(admin, settings.verifier.application_id)
    gates: list[Gate] = [RoutedGate(worker, logs), *rows]
    return FenceProbe(settings, worker, marks, logs, statuses, progress, metrics, gates)


def _connect(settings: Settings, metrics: Metrics) -> ConnectClient | None:
    given = settings.connect
    if given.url is None:
        return None
    password = None if given.password is None else given.password.reveal()
    return ConnectClient(
        given.url,
        username=given.username,
        password=password,
        on_answer=lambda is_answered: metrics.connect_answer(is_answered=is_answered),
    )
