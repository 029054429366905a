"""The cluster as `app.evidence.installation` wants it: topics, settings, samples, offsets, rights; nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from app.adapters.connection import Connection
from app.adapters.groups import SILENT, commits, ends, starts
from app.adapters.kafka_config import client_config
from app.adapters.rights import acl_command, rights_of, said
from app.adapters.topics import configs_of, own_topics, refusals
from app.config import Settings
from app.errors import BadInput, Unavailable
from app.evidence.installation import Gap, ReaderSeen, RightSeen, TopicSeen
from app.evidence.installation.finding import listed
from app.evidence.installation.seen import Role
from app.model import RawBatch
from app.model.effects import SinkWatermark
from app.worker.layout import Layout, lane_topic, missing_topics, plan
from app.worker.needs import needs_of, principal_of
from app.worker.ports import Input
from topologies.operating import Operator
from topologies.sampling import Place, Sampler
from topologies.starting import as_known, ledger_topic

SAMPLE, LEAST, OF_TOPIC = 50, 5, 2_000
"""Offsets of each partition that are looked at; fewer of a wide topic, so that a check takes minutes at most."""
WAIT_S = 10.0
"""Brokers that don't answer a check within it are away."""
OF_BROKERS = (
    "topics", "partitions", "compaction", "retention", "progress", "timestamps", "keys", "decoding", "isolation", "rights",
    "sources", "connectors", "contracts", "stores",
)  # fmt: skip
"""Checks of which nothing is known without brokers."""
ROLES: Mapping[str, Role] = {"ledger": "ledger", "watermarks": "watermarks", "control": "control"}


class ClusterLook:
    """One look at the cluster; what does not answer becomes a gap.

    Attributes:
        counts: partition count of every topic that we may see; None where no broker let us in.
        sources: the change topics, those that are named and do not exist among them.
        rights: what a worker needs, and whether it may.
    """

    def __init__(self, settings: Settings, gaps: list[Gap]) -> None:
        self.settings = settings
        self.gaps = gaps
        self.known: dict[str, int] = {}
        self.layout: Layout | None = None
        self._client = client_config(settings)
        self._connection = Connection(self._client, min(settings.kafka.start_wait_ms / 1000, WAIT_S))
        self._admin = self._connection.admin
        self._operator: Operator | None = None
        self._bounds: dict[Place, tuple[int, int]] = {}
        self._hidden: set[str] = set()
        self.counts = self._connect()
        self.sources = settings.source_topics(self.counts or ())
        if self.counts is not None:
            self._plan(self.counts)
        self.rights = self._rights()

    def gap(self, abouts: Iterable[str], place: str, why: str | Exception, do: str) -> None:
        """Something could not be asked, and these checks lack it."""
        told = said(why) if isinstance(why, Exception) else why
        self.gaps.extend(Gap(about=about, place=place, why=told, do=do) for about in abouts)

    def _connect(self) -> dict[str, int] | None:
        try:
            found = self._connection.partition_counts()
            self._operator = Operator(self.settings)
        except BadInput as error:
            do = "kafka.security_protocol, kafka.sasl_* and kafka.ssl_*"
            self.gaps.append(Gap(about="brokers", place="kafka.brokers", why=str(error), do=do, level="error"))
            self.gap(OF_BROKERS, "kafka.brokers", "the brokers don't let us in", do)
            return None
        except Unavailable as error:
            do = "see that brokers run; kafka.brokers, kafka.security_protocol"
            self.gap(("brokers", *OF_BROKERS), "kafka.brokers", error, do)
            return None
        return found

    def _plan(self, counts: Mapping[str, int]) -> None:
        """The partition counts that state was made under, and where every lane is."""
        try:
            self.known = {} if self._operator is None else self._operator.known()
        except (BadInput, Unavailable) as error:
            self.gap(("partitions",), f"topic {ledger_topic(self.settings)}", error, "give the right, and check again")
        if not missing_topics(self.settings, counts) and self.sources:
            self.layout = plan(self.settings, as_known(counts, self.known))

    # ---------------------------------------------------------------- topics

    def topics(self) -> tuple[TopicSeen, ...]:
        """Every topic that the installation needs, with its settings."""
        if self.counts is None:
            return ()
        roles: dict[str, Role] = dict.fromkeys(self.sources, "change")
        for sink in self.settings.sinks.values():
            roles |= dict.fromkeys(sink.receipts, "receipts")
            roles |= dict.fromkeys(sink.dead_letters, "dead letters")
            roles |= dict.fromkeys(sink.success_topics, "success")
        own = self._own()
        prefix = f"{self.settings.verifier.prefix}."
        for name in own:
            word = name.removeprefix(prefix)
            roles[name] = "lane" if word.startswith("lane.") else ROLES.get(word, "output")
        configs, refused = (
            self._configs([name for name in roles if name in self.counts]),
            self._refusals(own, self.counts),
        )
        return tuple(
            TopicSeen(
                name=name,
                role=role,
                partitions=self.counts.get(name),
                config=configs.get(name),
                known=self.known.get(name),
                wanted=own[name][0] if name in own else None,
                refusal=refused.get(name),
                is_hidden=name in self._hidden,
            )
            for name, role in roles.items()
        )

    def _own(self) -> dict[str, tuple[int, dict[str, str]]]:
        """Our own topics as a start would make them, internal lanes that are read among them."""
        prefix, layout = self.settings.verifier.prefix, self.layout
        widths = (
            [] if layout is None else [width for width in layout.groups if lane_topic(prefix, width) in layout.inputs]
        )
        widest = 1 if layout is None else max(layout.groups)
        return own_topics(prefix, {lane_topic(prefix, width): width for width in widths}, widest)

    def _refusals(self, own: Mapping[str, tuple[int, dict[str, str]]], counts: Mapping[str, int]) -> dict[str, str]:
        """Why the first start could not make topics of ours; only asked, and nothing is made."""
        missing = {name: how for name, how in own.items() if name not in counts and name not in self._hidden}
        try:
            return refusals(self._admin, missing, principal_of(self.settings))
        except SILENT as error:
            self.gap(("topics",), listed(missing), error, "see that brokers are up, and check again")
            return {}

    def _configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        try:
            found, silent = configs_of(self._admin, names)
        except SILENT as error:
            found, silent = {}, dict.fromkeys(names, said(error))
        for name, why in silent.items():
            do = f"see that brokers are up, and allow it: {acl_command(principal_of(self.settings), 'topic', name, 'DescribeConfigs')}"
            self.gap(("compaction", "retention", "timestamps"), f"topic {name}", why, do)
        return found

    # ---------------------------------------------------------------- logs

    def bounds(self) -> dict[Place, tuple[int, int]]:
        """Where every input's partitions begin and end."""
        if self.counts is None:
            return {}
        inputs = {*self.sources, *self.settings.evidence_topics(), *(self.layout.inputs if self.layout else ())}
        places = [(name, n) for name in sorted(inputs) for n in range(self.counts.get(name, 0))]
        try:
            first, last = starts(self._admin, places), ends(self._admin, places)
        except SILENT as error:
            self.gap(("retention", "progress", "keys", "decoding"), "all inputs", error, "see that all brokers are up")
            return {}
        silent = [f"{topic}:{n}" for topic, n in places if (topic, n) not in first or (topic, n) not in last]
        if silent:
            do = "see that its brokers are up, and that Describe on it is allowed"
            self.gap(
                ("retention", "progress", "keys", "decoding"), ", ".join(silent), "it does not tell its bounds", do
            )
        self._bounds = {place: (first[place], last[place]) for place in places if place in first and place in last}
        return self._bounds

    def samples(self) -> list[RawBatch]:
        """The newest records of every change partition."""
        found = []
        with Sampler(self._client, self.settings.verifier.application_id) as sampler:
            for topic in self.sources:
                mine = {place: pair for place, pair in self._bounds.items() if place[0] == topic}
                try:
                    newest = sampler.newest(mine, max(LEAST, min(SAMPLE, OF_TOPIC // max(len(mine), 1))))
                except Unavailable as error:
                    do = acl_command(principal_of(self.settings), "topic", topic, "Read")
                    self.gap(("keys", "decoding", "isolation", "contracts"), f"topic {topic}", error, do)
                    continue
                found += [RawBatch.of(*place, records, *self._bounds[place]) for place, records in newest.items()]
        return found

    # ---------------------------------------------------------------- offsets

    def readers(self) -> tuple[dict[str, tuple[ReaderSeen, ...]], tuple[ReaderSeen, ...]]:
        """How far every sink is, by name, and how far the verifier is."""
        if self.counts is None:
            return {}, ()
        told = self._watermarks()
        by_sink = {name: self._readers_of(name, told) for name in self.settings.sinks}
        own = [ReaderSeen(sink="", topic=t, partition=n, committed=at, open=at, open_ms=None)
               for (t, n), at in self._committed(self.settings.verifier.application_id, list(self._bounds)).items()]  # fmt: skip
        times = self._times([*own, *(one for readers in by_sink.values() for one in readers)])
        dated = {name: tuple(_dated(one, times) for one in readers) for name, readers in by_sink.items()}
        return dated, tuple(_dated(one, times) for one in own)

    def _readers_of(self, sink: str, told: Mapping[tuple[str, Input], SinkWatermark]) -> list[ReaderSeen]:
        places = [
            place
            for topic in self.settings.sink_topics(sink, self.counts or ())
            for place in self._bounds
            if place[0] == topic
        ]
        group = self.settings.sinks[sink].group
        committed = {} if group is None else self._committed(group, places)
        found = []
        for place in places:
            mark, end = told.get((sink, Input(*place))), self._bounds[place][1]
            first = committed.get(place)
            if mark is not None and (mark.is_ended or mark.settled_watermark <= end):
                first = end if mark.is_ended else mark.settled_watermark
            found.append(
                ReaderSeen(
                    sink=sink,
                    topic=place[0],
                    partition=place[1],
                    committed=committed.get(place),
                    open=first,
                    open_ms=None,
                )
            )
        return found

    def _committed(self, group: str, places: Sequence[Place]) -> dict[Place, int]:
        try:
            return (
                {place: commit.offset for place, commit in commits(self._admin, group, places).items()}
                if places
                else {}
            )
        except SILENT as error:
            do = acl_command(principal_of(self.settings), "group", group, "Describe")
            self.gap(("progress", "retention", "compaction"), f"group {group}", error, do)
            return {}

    def _watermarks(self) -> dict[tuple[str, Input], SinkWatermark]:
        if self._operator is None:
            return {}
        try:
            self._operator.require(self._operator.may_read("watermarks"))
            told = {name: one.told for name, one in self._operator.watermarks().items()}
        except (BadInput, Unavailable) as error:
            self.gap(
                ("retention",),
                f"topic {self._operator.own('watermarks')}",
                error,
                "give the right Read on it, and check again",
            )
            return {}
        return {name: one for name, one in told.items() if isinstance(one, SinkWatermark)}

    def _times(self, readers: Iterable[ReaderSeen]) -> dict[tuple[str, int, int], int]:
        wanted = []
        for one in readers:
            earliest, end = self._bounds[one.topic, one.partition]
            if one.open is not None and max(one.open, earliest) < end:
                wanted.append((one.topic, one.partition, one.open))
        if not wanted:
            return {}
        with Sampler(self._client, self.settings.verifier.application_id) as sampler:
            try:
                return sampler.times(wanted)
            except Unavailable as error:
                self.gap(
                    ("retention",),
                    "the oldest open changes",
                    error,
                    "give the right Read on the inputs, and check again",
                )
                return {}

    # ---------------------------------------------------------------- rights

    def _rights(self) -> tuple[RightSeen, ...]:
        if self.counts is None:
            return ()
        needs, principal = needs_of(self.settings, self.layout), principal_of(self.settings)
        topics = {need.name for need in needs if need.kind == "topic"}
        try:
            told = rights_of(self._admin, topics, {need.name for need in needs if need.kind == "group"})
        except (Unavailable, *SILENT) as error:
            self.gap(("rights",), "kafka.brokers", error, "see that all brokers are up, and check again")
            return ()
        self._hidden = told.hidden()
        for name in sorted(self._hidden):
            more = ("keys", "decoding") if name in self.sources else ()
            do = acl_command(principal, "topic", name, "Describe")
            self.gap(("partitions", "compaction", "retention", *more), f"topic {name}", "we may not see it", do)
        return tuple(
            RightSeen(
                kind=need.kind,
                name=need.name,
                operation=need.operation,
                purpose=need.purpose,
                is_there=told.has(need),
                command=acl_command(principal, need.kind, need.name, need.operation),
            )
            for need in needs
        )


def _dated(one: ReaderSeen, times: Mapping[tuple[str, int, int], int]) -> ReaderSeen:
    return replace(one, open_ms=None if one.open is None else times.get((one.topic, one.partition, one.open)))
