"""Which evidence the router calls nobody's: what a sink does not list, or says of a topic that is not its own."""

from __future__ import annotations

import pytest

from app.model import Contract, RawBatch, SinkTopic
from app.model.effects import UnknownSink
from app.testing import Row, evidence_batch
from app.worker.layout import Group, Layout
from app.worker.routing import Router

WIDE, NARROW = Contract(sink="routed", topics=("wide",)), Contract(sink="routed", topics=("narrow",))
OTHER = Contract(sink="direct", topics=("wide",))
LAYOUT = Layout(
    inputs={"wide": 3, "narrow": 1, "receipts": 3, "dlq": 2, "lane.3": 3, "lane.1": 1},
    groups={
        3: Group(
            partitions=3,
            sources=frozenset({"wide"}),
            contracts=(WIDE, OTHER),
            lanes={"routed": "lane.3", "direct": "receipts"},
        ),
        2: Group(partitions=2, sources=frozenset(), contracts=(), lanes={}),
        1: Group(partitions=1, sources=frozenset({"narrow"}), contracts=(NARROW,), lanes={"routed": "lane.1"}),
    },
    routed={"receipts": frozenset({"routed"}), "dlq": frozenset({"routed"})},
)


def nobodys(topic: str, name: SinkTopic) -> list[tuple[str, int, int]]:
    batch = evidence_batch([(name, Row(offset=0))], topic=topic, partition=1, start=7)
    raw = RawBatch.of(topic, 1, [(7, 0, None, b"v", ())], 7, 8)
    found = list(Router(LAYOUT, {}).unroutable(raw, batch))
    return [(one.topic, one.partition, one.offset) for one in found if isinstance(one, UnknownSink)]


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("receipts", SinkTopic("stranger", "wide", 0)),
        ("receipts", SinkTopic("", "wide", 0)),
        ("receipts", SinkTopic("routed", "elsewhere", 0)),
        ("receipts", SinkTopic("routed", "narrow", 1)),
        ("dlq", SinkTopic("direct", "wide", 1)),
    ],
)
def test_what_no_sink_lists_or_speaks_of_another_s_topic_is_a_finding_at_its_own_place(
    topic: str, name: SinkTopic
) -> None:
    assert nobodys(topic, name) == [(topic, 1, 7)]


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("dlq", SinkTopic("routed", "wide", 0)),
        ("dlq", SinkTopic("routed", "narrow", 0)),
        ("receipts", SinkTopic("routed", "wide", 2)),
        ("receipts", SinkTopic("direct", "wide", 1)),
    ],
)
def test_what_is_routed_or_judged_in_its_place_is_nobody_s_finding(topic: str, name: SinkTopic) -> None:
    assert nobodys(topic, name) == []
