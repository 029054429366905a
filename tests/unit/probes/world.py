"""A world for probes: a cluster and a Connect that say what a test lets them, a fold that hears what the probes write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import MappingProxyType, SimpleNamespace
from typing import Any

import httpx
from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, TopicPartition

import schemas
from app.adapters.connect_rest import ConnectClient
from app.adapters.metrics import Metrics
from app.config.settings import OverrideSettings, Settings, SinkSettings, VerifierSettings
from app.decode.evidence import EvidenceDecoder
from app.ledger.fence import evaluate
from app.ledger.lane import lane_ranks, split
from app.ledger.partition import PartitionFold
from app.ledger.sink import SinkPartition
from app.model import Contract, EvidenceKind, RawBatch, SinkTopic
from app.model.batches import RawRecord
from app.testing import Change, Row, change_batch, evidence_batch
from app.worker.effects import Routed
from app.worker.layout import Group, Layout
from app.worker.ports import Input
from topologies.gates import Gate, RoutedGate, RoutedLogs
from topologies.marking import Marks
from topologies.probing import FenceProbe
from topologies.progress import ProgressProbe
from topologies.statuses import StatusProbe

SOURCE = Input("t", 0)
LANE = ("s", SOURCE)
NAME = SinkTopic("s", "t", 0)
GROUP, OURS = "connect-c", "cdc-verifier"
IDS = {"SinkMark": 1, "SinkStatus": 2}
GRACE_S = 30.0
INTERVAL_S = 5.0


class Schemas:
    """What was registered."""

    def get(self, schema_id: int) -> Any:
        return json.loads({1: schemas.text("SinkMark"), 2: schemas.text("SinkStatus")}[schema_id])


def answered(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
    return future


def refusal(code: int) -> KafkaException:
    return KafkaException(KafkaError(code, "the broker's reason"))


@dataclass(eq=False)
class Cluster:
    """Answers an administrator's questions.

    Attributes:
        commits: by group and place; None in place of an offset is no commit. has_epochs: whether they carry epochs.
        members: of every group, or what describing one raises; states: those of a group without members.
        bounds: where logs begin and end; a log that is not here does not tell.
        patience: how long questions about groups may take, s.
        meanwhile: called when the group is described, with the number of that question: what happens in between.
    """

    commits: dict[str, dict[tuple[str, int], int | None]] = field(default_factory=dict)
    has_epochs: bool = False
    members: list[str] | Exception = field(default_factory=lambda: ["a"])
    empty: ConsumerGroupState = ConsumerGroupState.EMPTY
    is_simple: bool = False
    bounds: dict[tuple[str, int], tuple[int, int]] = field(default_factory=lambda: {SOURCE: (0, 10_000)})
    silent: Exception | None = None
    described: int = 0
    asked: list[str] = field(default_factory=list)
    patience: set[float] = field(default_factory=set)
    meanwhile: Any = None

    def describe_consumer_groups(self, groups: list[str], request_timeout: float) -> dict[str, Future[Any]]:
        self.asked.append("members")
        self.patience.add(request_timeout)
        if self.meanwhile is not None:
            self.meanwhile(self.described)
        self.described += 1
        if isinstance(self.members, Exception):
            return {group: answered(self.members) for group in groups}
        members = [SimpleNamespace(member_id=name) for name in self.members]
        state = ConsumerGroupState.STABLE if members else self.empty
        found = SimpleNamespace(members=members, state=state, is_simple_consumer_group=self.is_simple)
        return {group: answered(found) for group in groups}

    def list_consumer_group_offsets(self, asked: Any, request_timeout: float) -> dict[str, Future[Any]]:
        self.asked.append("offsets")
        self.patience.add(request_timeout)
        (group,) = asked
        if self.silent is not None:
            return {group.group_id: answered(self.silent)}
        told = self.commits.get(group.group_id, {})
        places = []
        for asked_for in group.topic_partitions:
            offset = told.get((asked_for.topic, asked_for.partition))
            place = TopicPartition(asked_for.topic, asked_for.partition, -1001 if offset is None else offset)
            epoch = 3 if self.has_epochs else None
            places.append(
                SimpleNamespace(topic=place.topic, partition=place.partition, offset=place.offset, leader_epoch=epoch)
            )
        return {group.group_id: answered(SimpleNamespace(topic_partitions=places))}

    def list_offsets(self, asked: Any, isolation_level: object, request_timeout: float) -> dict[Any, Future[Any]]:
        self.asked.append("bounds")
        found = {}
        for place, spec in asked.items():
            bounds = self.bounds.get((place.topic, place.partition))
            which = 0 if type(spec).__name__ == "EarliestSpec" else 1
            answer = (
                refusal(KafkaError.LEADER_NOT_AVAILABLE) if bounds is None else SimpleNamespace(offset=bounds[which])
            )
            found[place] = answered(answer)
        return found


class Connect:
    """Connect's REST API; ``state`` None: it is away, "" : there is no such connector."""

    def __init__(self, state: str | None = "RUNNING", *tasks: str, trace: str = "x.Bad: no") -> None:
        self.state, self.tasks, self.trace = state, list(tasks), trace
        self.asked = 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.state is None:
            raise httpx.ConnectError("refused", request=request)
        if not self.state:
            return httpx.Response(404, json={"error_code": 404, "message": "Connector c not found"})
        tasks = [{"id": n, "state": state, "worker_id": "w", "trace": self.trace} for n, state in enumerate(self.tasks)]
        return httpx.Response(200, json={"connector": {"state": self.state, "worker_id": "w"}, "tasks": tasks})


class Worker:
    """What probes ask a worker; one fold, whose lane hears what the probes write."""

    def __init__(self, contract: Contract, changes: int) -> None:
        self.fold = PartitionFold([contract], 0)
        self.fold.take_changes(change_batch([Change(offset=offset) for offset in range(changes)]))
        self.is_owned = True
        self.routed: dict[Input, int | None] = {}
        self.generation = 0

    def lanes(self, *, is_caught_up: bool = False) -> dict[tuple[str, Input], SinkPartition]:
        return {LANE: self.fold.sinks["s", "t"]} if self.is_owned else {}

    @property
    def layout(self) -> Any:
        return SimpleNamespace(routed_logs=lambda _: sorted(self.routed))

    def routed_position(self, source: Input) -> int | None:
        return self.routed[source]


class World:
    """One sink of one source partition, its probes, and a clock that is moved by hand."""

    def __init__(
        self,
        *,
        changes: int = 10_000,
        connect: Connect | None = None,
        gates: Sequence[Gate] = (),
        fences: str = "progress",
        evidence: str = "progress",
        overrides: Mapping[str, OverrideSettings] = MappingProxyType({}),
    ) -> None:
        self.now = 100.0
        self.cluster, self.connect = Cluster(), connect
        self.worker = Worker(Contract(sink="s", topics=("t",), evidence=evidence), changes)  # type: ignore[arg-type]
        self.metrics = Metrics()
        self.said: list[str] = []
        self.has_room = True
        self._written = 0
        self._decoder = EvidenceDecoder(Schemas())  # type: ignore[arg-type]
        sink = SinkSettings(
            name="s",
            topics=("t",),
            connector="c",
            group=GROUP,
            fences=fences,
            grace_ms=int(GRACE_S * 1000),
            overrides=overrides,
        )  # type: ignore[arg-type]
        settings = Settings(sinks={"s": sink}, verifier=VerifierSettings(probe_interval_ms=int(INTERVAL_S * 1000)))
        group = Group(partitions=1, sources=frozenset({"t"}), contracts=(), lanes={"s": "lane"})
        layout = Layout(inputs={"t": 1, "lane": 1}, groups={1: group}, routed={})
        client = None
        if connect is not None:
            client = ConnectClient(
                "http://connect",
                transport=httpx.MockTransport(connect.answer),
                sleep=self._pause,
                on_answer=lambda is_answered: self.metrics.connect_answer(is_answered=is_answered),
            )
        worker: Any = self.worker
        admin: Any = self.cluster
        marks = Marks(layout, self, IDS, wall_ms=lambda: int(self.now * 1000))  # type: ignore[arg-type]
        self.statuses = StatusProbe(settings.sinks, client, marks, self.metrics)
        progress = ProgressProbe(admin, marks, self.metrics, self.statuses.is_idle, INTERVAL_S, self.clock)
        logs = RoutedLogs(admin, OURS)
        self.probe = FenceProbe(
            settings, worker, marks, logs, self.statuses, progress, self.metrics, [RoutedGate(worker, logs), *gates],
            self.clock,
        )  # fmt: skip

    async def _pause(self, _: float) -> None:
        """No waiting in tests."""

    def clock(self) -> float:
        return self.now

    @property
    def sink(self) -> SinkPartition:
        """The fold of the sink."""
        return self.worker.fold.sinks["s", "t"]

    def commit(self, offset: int | None) -> None:
        """The sink's group has committed an offset, by whomever."""
        self.cluster.commits[GROUP] = {SOURCE: offset}

    async def look(self, *, after_s: float = INTERVAL_S) -> list[str]:
        """Time passes, and the probes look once; what they wrote."""
        self.now += after_s
        before = len(self.said)
        await self.probe.look()
        return self.said[before:]

    def send(self, effect: object) -> bool:
        """The producer: what is written stands in the lane at once."""
        if not self.has_room:
            return False
        assert isinstance(effect, Routed)
        raw = RawBatch.of(
            "lane", 0, [RawRecord(self._written, 0, None, effect.value)], self._written, self._written + 1
        )
        self._written += 1
        batch = self._decoder.decode(raw)
        assert batch.unreadable == []
        kind = EvidenceKind(int(batch.kinds[0]))
        words = [kind.name, str(batch.offsets[0])]
        if kind is EvidenceKind.SKIP:
            words.append(str(batch.to_offsets[0]))
        if kind is EvidenceKind.STATUS:
            words[1:] = [batch.evidence[0], *batch.reasons.values()]
        if batch.generations[0]:
            words.append(f"of {batch.generations[0]}")
        self.said.append(" ".join(words))
        self.hear(batch)
        return True

    def write(self, *rows: Row) -> None:
        """Somebody else writes into the lane."""
        batch = evidence_batch([(NAME, row) for row in rows], "lane", start=self._written)
        self._written += len(rows)
        self.hear(batch)

    def hear(self, batch: Any) -> None:
        for name, rows in split(batch, lane_ranks(batch)).items():
            self.worker.fold.take_evidence(name, rows)
        sink = self.sink
        while (found := sink.next_fence()) is not None:
            evaluate(sink, *found)
