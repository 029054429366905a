"""Sink connectors of Connect, as tests write them."""

from __future__ import annotations

from app.evidence import connectors
from app.evidence.connectors import Kind, SourceTable, propose

TOPICS = {
    "shop.public.orders": SourceTable("orders", ("id", "total", "note"), "shop", "public"),
    "shop.public.items": SourceTable("items", ("id", "sku"), "shop", "public"),
}
JDBC = {
    "connector.class": connectors.JDBC, "topics": "shop.public.orders,shop.public.items", "insert.mode": "upsert",
    "primary.key.mode": "record_key", "delete.enabled": "true", "connection.url": "jdbc:postgresql://db:5433/store?user=u",
}  # fmt: skip
CONFLUENT = {
    "connector.class": connectors.CONFLUENT_JDBC, "topics": "shop.public.orders", "insert.mode": "upsert",
    "pk.mode": "record_key", "delete.enabled": "true", "connection.url": "jdbc:postgresql://db/store",
    "transforms": "unwrap", "transforms.unwrap.type": connectors.UNWRAP,
}  # fmt: skip


def chain(*transforms, base=JDBC, **options):
    """A sink with transforms, each of its type and options."""
    return propose("s", configured(dict(base) | options, *transforms), TOPICS)


def configured(config, *transforms):
    """A configuration with transforms."""
    config = config | {"transforms": ",".join(name for name, _ in transforms)}
    for name, given in transforms:
        config |= {f"transforms.{name}.{option}": value for option, value in given.items()}
    return config


def noted(found):
    """What is told of a sink, but for the truncated rows that most of them keep."""
    return [note for note in found.notes if not note.startswith("truncates don't reach")]


def unwrap(**options):
    return ("unwrap", {"type": connectors.UNWRAP} | {name.replace("_", "."): value for name, value in options.items()})


def router(regex, replacement):
    return (
        "route",
        {"type": "org.apache.kafka.connect.transforms.RegexRouter", "regex": regex, "replacement": replacement},
    )


KAFKA, DEBEZIUM, CONNECT = "org.apache.kafka.connect.transforms.", "io.debezium.", "org.apache.kafka.connect.data."
PREDICATES = KAFKA + "predicates."
KINDS = {
    "id": Kind("long"), "code": Kind("string"), "small": Kind("int"), "flag": Kind("boolean"), "ratio": Kind("double"),
    "part": Kind("float"), "total": Kind("bytes", CONNECT + "Decimal"), "made": Kind("long", DEBEZIUM + "time.MicroTimestamp"),
    "seen": Kind("string", DEBEZIUM + "time.ZonedTimestamp"), "day": Kind("int", DEBEZIUM + "time.Date"),
    "at": Kind("long", CONNECT + "Timestamp"), "place": Kind("record", DEBEZIUM + "data.geometry.Point"),
    "raw": Kind("bytes"), "vector": Kind("array", DEBEZIUM + "data.FloatVector"),
}  # fmt: skip
TYPED = {"shop.public.things": SourceTable("things", tuple(KINDS), "shop", "public", ("id",), KINDS)}
"""A topic whose columns' types are known."""


def typed(*transforms, **options):
    """The JDBC sink of that topic, behind the unwrapping of envelopes."""
    return raw(unwrap(), *transforms, **options)


def raw(*transforms, topics=TYPED, **options):
    """The same without unwrapping."""
    config = configured(
        JDBC | {"topics": ",".join(topics)} | {n.replace("__", "."): v for n, v in options.items()}, *transforms
    )
    return propose("s", config, topics)


def predicate(name, kind, /, **options):
    """The options of a predicate."""
    return {f"predicates.{name}.{key}": value for key, value in {"type": PREDICATES + kind, **options}.items()}
