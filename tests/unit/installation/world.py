"""A clean installation as it is seen: two change topics, a receipts sink and a connector that is read back; tests change one thing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.evidence import connectors
from app.evidence.connector import Report
from app.evidence.connectors import SourceTable
from app.evidence.installation import (
    ConnectorSeen,
    Finding,
    Installation,
    LogSeen,
    ReaderSeen,
    Record,
    RightSeen,
    SinkSeen,
    TableSeen,
    TopicSeen,
    findings,
)
from app.evidence.installation.partitioner import partition_of
from app.evidence.tables import StoreTerms
from app.model import Contract

NOW, DAY = 1_800_000_000_000, 86_400_000
ORDERS, ITEMS = "shop.public.orders", "shop.public.items"
COUNT = 3
WEEK = {
    "cleanup.policy": "delete",
    "retention.ms": str(7 * DAY),
    "retention.bytes": "-1",
    "message.timestamp.type": "CreateTime",
}
FOREVER = WEEK | {"retention.ms": "-1"}
COMPACT = {"cleanup.policy": "compact", "retention.ms": str(7 * DAY), "retention.bytes": "-1"}
LETTERS = WEEK | {"message.timestamp.type": "LogAppendTime"}

SOURCE = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": "shop", "database.hostname": "db",
    "database.dbname": "shop",
}  # fmt: skip
SINK = {
    "connector.class": connectors.JDBC, "topics": f"{ORDERS},{ITEMS}", "insert.mode": "upsert", "primary.key.mode": "record_key",
    "delete.enabled": "true", "connection.url": "jdbc:postgresql://db/dw", "errors.tolerance": "all",
    "errors.deadletterqueue.topic.name": "dlq", "errors.deadletterqueue.context.headers.enable": "true",
}  # fmt: skip
TABLES = {
    ORDERS: SourceTable("orders", ("id", "total"), "shop", "public"),
    ITEMS: SourceTable("items", ("id", "sku"), "shop", "public"),
}
RUNNING = Report(state="RUNNING")


def record(offset: int, key: bytes | None, kind: str = "upsert", **more: Any) -> Record:
    """One of a second ago, of 100 bytes."""
    given = {"timestamp": NOW - 1_000, "size": 100, "source_ms": NOW - 1_500} | more
    return Record(offset=offset, key=key, kind=kind, **given)


def log(
    topic: str, partition: int, records: list[Record] | None = None, *, earliest: int = 0, end: int | None = None
) -> LogSeen:
    """One that holds ten records, their keys where the default partitioner puts them."""
    if records is None:
        mine = [key for number in range(200) if partition_of(key := b"k%d" % number, COUNT) == partition]
        records = [record(offset, key) for offset, key in enumerate(mine[:10])]
    last = records[-1].offset + 1 if records else 0
    return LogSeen(
        topic=topic, partition=partition, earliest=earliest, end=last if end is None else end, sample=tuple(records)
    )


def reader(sink: str, topic: str, partition: int, *, at: int = 10, open_ms: int | None = None) -> ReaderSeen:
    """One that has read everything, unless something is open since a time."""
    return ReaderSeen(sink=sink, topic=topic, partition=partition, committed=at, open=at, open_ms=open_ms)


def topic(name: str, role: Any, config: dict[str, str], partitions: int | None = COUNT, **more: Any) -> TopicSeen:
    return TopicSeen(name=name, role=role, config=config, partitions=partitions, **more)


def store_sink(**more: Any) -> SinkSeen:
    """A JDBC sink whose rows are read back."""
    config = more.pop("config", SINK)
    contract = Contract(
        sink="dw", topics=(ORDERS, ITEMS), connector="dw-sink", evidence="progress", fences="progress", expect="latest-state",
    )  # fmt: skip
    given: dict[str, Any] = {
        "contract": replace(contract, **more.pop("promises", {})),
        "group": "connect-dw-sink",
        "grace_ms": 30_000,
        "dead_letters": ("dlq",),
        "terms": StoreTerms(sets_every_column=True),
        "has_store": True,
        "connector": ConnectorSeen(config=config, report=RUNNING),
        "proposal": connectors.propose("dw-sink", config, TABLES) if connectors.is_sink(config) else None,
        "tables": {
            ORDERS: TableSeen(name="shop_public_orders", columns=("id", "total"), key=("id",), may_write=False),
            ITEMS: TableSeen(name="shop_public_items", columns=("ID", "sku"), key=("ID",), may_write=False),
        },
        "readers": tuple(reader("dw", name, n) for name in (ORDERS, ITEMS) for n in range(COUNT)),
    }
    return SinkSeen(**(given | more))


def receipts_sink(**more: Any) -> SinkSeen:
    """A service that writes receipts and fences."""
    contract = Contract(sink="search", topics=(ORDERS, ITEMS))
    given: dict[str, Any] = {
        "contract": replace(contract, **more.pop("promises", {})),
        "group": None,
        "grace_ms": 30_000,
        "receipts": ("receipts",),
        "readers": tuple(reader("search", name, n) for name in (ORDERS, ITEMS) for n in range(COUNT)),
    }
    return SinkSeen(**(given | more))


TOPICS = (
    topic(ORDERS, "change", WEEK, known=COUNT),
    topic(ITEMS, "change", WEEK),
    topic("receipts", "receipts", WEEK),
    topic("dlq", "dead letters", LETTERS, 1),
    topic("cdc-verifier.lane.3", "lane", FOREVER, wanted=3),
    topic("cdc-verifier.ledger", "ledger", COMPACT, wanted=3),
    topic("cdc-verifier.watermarks", "watermarks", COMPACT, 1, wanted=1),
    topic("cdc-verifier.control", "control", FOREVER, 1, wanted=1),
    topic("cdc-verifier.repair", "output", WEEK, None, wanted=3),
)


def clean(**more: Any) -> Installation:
    """Nothing is wrong with it."""
    given: dict[str, Any] = {
        "now_ms": NOW,
        "patterns": ("/shop[.]public[.].*/",),
        "unavailable_value": "__debezium_unavailable_value",
        "topics": TOPICS,
        "logs": tuple(log(name, n) for name in (ORDERS, ITEMS) for n in range(COUNT)),
        "sinks": (store_sink(), receipts_sink()),
        "own": tuple(reader("", name, n) for name in (ORDERS, ITEMS) for n in range(COUNT)),
        "rights": (
            RightSeen(
                kind="topic", name=ORDERS, operation="Read", purpose="judge", is_there=True, command="kafka-acls.sh"
            ),
        ),
        "connectors": connected(),
        "consumed": {"dw-sink": (ORDERS, ITEMS)},
        "clocks": {"Connect": 900},
        "tables": TABLES,
        "keys": {ORDERS: ("id",), ITEMS: ("id",)},
    }
    return Installation(**(given | more))


def connected(source: dict[str, str] | None = None, *, report: Report = RUNNING) -> dict[str, ConnectorSeen]:
    """What Connect tells: a source, with some options more, and the sink."""
    return {
        "shop-source": ConnectorSeen(config=SOURCE | (source or {}), report=report),
        "dw-sink": ConnectorSeen(config=SINK, report=RUNNING),
    }


def with_topic(name: str, **more: Any) -> Installation:
    """The clean one, one topic being otherwise; ``config`` is added to its settings."""
    found = next(one for one in TOPICS if one.name == name)
    config = dict(found.config or {}) | more.pop("config", {})
    other = replace(found, config=config, **more)
    return clean(topics=tuple(other if one.name == name else one for one in TOPICS))


def bad(seen: Installation) -> list[Finding]:
    """Everything that is not fine."""
    return [one for one in findings(seen) if one.level != "fine"]


def only(seen: Installation) -> Finding:
    """The one finding of an installation with one thing wrong: complete, or it is no help."""
    known = bad(seen)
    assert len(known) == 1, known
    (found,) = known
    assert all((found.place, found.says, found.means, found.do)), found
    return found
