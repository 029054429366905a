"""Which topics are read, and where every sink's lane is."""

from __future__ import annotations

import pytest

from app.config import load
from app.errors import ConfigError
from app.worker.layout import narrow_lanes, plan

CONFIG = """
[source]
topics = ["orders", "customers"]
[sinks.direct]
topics = ["orders"]
receipts = ["r.direct"]
[sinks.mixed]
receipts = ["r.mixed"]
[sinks.dead]
topics = ["customers"]
dead_letters = ["dlq"]
connector = "c"
"""
COUNTS = {"orders": 4, "customers": 2, "r.direct": 4, "r.mixed": 4, "dlq": 1}


@pytest.fixture
def settings(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)
    return load(file, {})


def test_one_receipts_topic_with_as_many_partitions_is_the_lane_itself(settings):
    assert plan(settings, COUNTS).groups[4].lanes["direct"] == "r.direct"


def test_every_other_sink_is_routed_into_an_internal_lane_of_its_topics_partition_count(settings):
    layout = plan(settings, COUNTS)

    assert layout.groups[4].lanes["mixed"] == "cdc-verifier.lane.4"
    assert layout.groups[2].lanes == {"mixed": "cdc-verifier.lane.2", "dead": "cdc-verifier.lane.2"}
    assert layout.routed == {"r.mixed": {"mixed"}, "dlq": {"dead"}}
    assert set(layout.inputs) == {
        "orders",
        "customers",
        "r.direct",
        "r.mixed",
        "dlq",
        "cdc-verifier.lane.4",
        "cdc-verifier.lane.2",
    }


def test_an_internal_lane_with_too_few_partitions_is_named_with_what_to_type(settings):
    lanes = {"cdc-verifier.lane.4": 1, "cdc-verifier.lane.2": 3}
    (problem,) = narrow_lanes("cdc-verifier", plan(settings, COUNTS), {**COUNTS, **lanes})

    assert problem.startswith("topic cdc-verifier.lane.4 has 1 partitions and needs 4")
    assert "--alter --topic cdc-verifier.lane.4 --partitions 4" in problem


def test_topics_that_do_not_exist_are_named_all_at_once_with_what_to_type(settings):
    with pytest.raises(ConfigError) as raised:
        plan(settings, {"orders": 4})

    assert len(raised.value.problems) == 4
    assert all("kafka-topics.sh" in problem for problem in raised.value.problems)
