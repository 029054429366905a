"""Topics of an installation: existence, partitions, cleanup, retention against lag, and what committed offsets say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.evidence.installation import ABOUT, Gap, ReaderSeen, findings, is_fine
from app.evidence.installation.partitioner import partition_of
from tests.unit.installation.world import (
    COMPACT,
    DAY,
    ITEMS,
    NOW,
    ORDERS,
    TOPICS,
    bad,
    clean,
    log,
    only,
    reader,
    receipts_sink,
    record,
    store_sink,
    with_topic,
)

ALTER = "kafka-configs.sh --bootstrap-server HOST:PORT --alter --entity-type topics --entity-name "


def sinks_with(**more):
    """The clean installation, the store's sink being otherwise."""
    return clean(sinks=(store_sink(**more), receipts_sink()))


def test_a_clean_installation_has_no_finding_and_every_check_says_what_it_looked_at():
    found = findings(clean())

    assert [one.level for one in found] == ["fine"] * len(ABOUT)
    assert [one.about for one in found] == list(ABOUT)
    assert is_fine(found)
    assert all("{" not in one.says for one in found)


def test_findings_of_a_check_stand_together_the_worst_first():
    gap = Gap(about="topics", place="x", why="it was away", do="try again")
    found = findings(
        clean(gaps=(gap,), topics=(*TOPICS, replace(TOPICS[2], name="gone", partitions=None, config=None)))
    )

    assert [one.level for one in found[:3]] == ["fine", "error", "unknown"]
    assert not is_fine(found)


@pytest.mark.parametrize("about", ABOUT)
def test_what_could_not_be_asked_is_unknown_and_its_check_is_not_fine(about):
    found = findings(clean(gaps=(Gap(about=about, place="somewhere", why="it was away", do="try again"),)))

    assert [(one.level, one.says) for one in found if one.about == about] == [
        ("unknown", "could not be asked, because it was away")
    ]


def test_brokers_that_let_nobody_in_are_an_error_and_no_topic_is_called_missing():
    gap = Gap(about="brokers", place="kafka.brokers", why="refused", do="kafka.sasl_password", level="error")
    found = bad(clean(gaps=(gap,), topics=(), logs=(), sinks=(), own=(), rights=(), connectors=None))

    assert [(one.level, one.about, one.says) for one in found] == [("error", "brokers", "refused")]


def test_a_pattern_that_matches_nothing():
    found = bad(clean(topics=TOPICS[3:], logs=(), own=(), sinks=(), connectors={}))

    assert [(one.about, one.place) for one in found] == [("topics", "source.topics")]
    assert "/shop[.]public[.].*/" in found[0].says


def test_a_topic_that_does_not_exist():
    found = only(with_topic("receipts", partitions=None))

    assert (found.level, found.about, found.place) == ("error", "topics", "topic receipts")
    assert found.do.startswith("kafka-topics.sh --bootstrap-server HOST:PORT --create --topic receipts")


@pytest.mark.parametrize("name", ["receipts", "cdc-verifier.repair"])
def test_a_topic_that_is_hidden_is_not_called_missing(name):
    assert bad(with_topic(name, partitions=None, is_hidden=True)) == []


def test_an_own_topic_that_can_not_be_made():
    found = only(with_topic("cdc-verifier.repair", refusal="Create it: kafka-topics.sh …"))

    assert (found.level, found.place, found.do) == (
        "error",
        "topic cdc-verifier.repair",
        "Create it: kafka-topics.sh …",
    )


def test_a_topic_whose_partition_count_was_raised():
    found = only(with_topic(ORDERS, known=2))

    assert (found.level, found.about, found.place) == ("error", "partitions", f"topic {ORDERS}")
    assert found.says == "has 3 partitions, and its state was made under 2"


@pytest.mark.parametrize(
    ("name", "count"), [("cdc-verifier.lane.3", 2), ("cdc-verifier.lane.3", 4), ("cdc-verifier.control", 2)]
)
def test_an_own_topic_of_another_partition_count(name, count):
    found = only(with_topic(name, partitions=count))

    assert (found.level, found.about, found.place) == ("error", "partitions", f"topic {name}")
    assert ("--alter" in found.do) == (count == 2 and "lane" in name)


def test_a_receipts_topic_with_too_few_partitions():
    found = only(with_topic("receipts", partitions=1))

    assert (found.level, found.about) == ("warning", "partitions")
    assert "sinks.search consumes change topics of up to 3" in found.says


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
@pytest.mark.parametrize("name", ["ledger", "watermarks"])
def test_state_that_is_deleted_by_age(name, policy):
    found = only(with_topic(f"cdc-verifier.{name}", config={"cleanup.policy": policy}))

    assert (found.level, found.about) == ("error", "compaction")
    assert found.do == f"{ALTER}cdc-verifier.{name} --add-config cleanup.policy=compact"


@pytest.mark.parametrize("name", ["cdc-verifier.lane.3", "receipts", "dlq", "cdc-verifier.control"])
def test_evidence_that_is_compacted(name):
    found = only(with_topic(name, config={"cleanup.policy": "compact"}))

    assert (found.level, found.about, found.place) == ("error", "compaction", f"topic {name}")
    assert found.do == f"{ALTER}{name} --add-config cleanup.policy=delete"


@pytest.mark.parametrize(
    ("room_ms", "open_ms", "level"),
    [(0, None, "error"), (20_000, None, "error"), (60_000, None, "warning"), (2 * DAY, None, None), (2 * DAY, 3 * DAY, "error"),
     (2 * DAY, 3 * DAY // 2, "warning")],
)  # fmt: skip
def test_a_compacted_change_topic_of_which_every_change_is_expected(room_ms, open_ms, level):
    readers = [reader("search", ORDERS, 0, open_ms=None if open_ms is None else NOW - open_ms)]
    sinks = (store_sink(), receipts_sink(readers=tuple(readers)))
    seen = with_topic(ORDERS, config={"cleanup.policy": "compact", "min.compaction.lag.ms": str(room_ms)})
    seen = replace(seen, sinks=sinks, logs=tuple(log for log in seen.logs if log.topic != ITEMS and log.partition == 0))

    found = bad(seen)
    assert [(one.level, one.about, one.place) for one in found] == (
        [(level, "compaction", f"topic {ORDERS}")] if level else []
    )
    if found:
        assert "sinks.search expects every change" in found[0].says
        assert 'sinks.search.expect = "latest-state"' in found[0].do


@pytest.mark.parametrize(
    ("age_ms", "level"),
    [(5 * DAY, None), (6 * DAY + DAY // 2, "warning"), (7 * DAY - 50_000, "error"), (8 * DAY, "error")],
)
def test_a_sink_that_retention_is_about_to_overtake(age_ms, level):
    late = reader("dw", ORDERS, 1, at=4, open_ms=NOW - age_ms)
    readers = tuple(late if (one.topic, one.partition) == (ORDERS, 1) else one for one in store_sink().readers)

    found = bad(sinks_with(readers=readers))
    assert [(one.level, one.about, one.place) for one in found if "topic dlq" not in one.place] == (
        [(level, "retention", f"{ORDERS}:1:4")] if level else []
    )
    if level == "warning":
        assert "sinks.dw has not settled is 6 d old, and Kafka may delete it in 12 h" in found[0].says


@pytest.mark.parametrize(
    ("kept_bytes", "left", "level"), [(1_600, "100 s", "warning"), (500, "0 ms", "error"), (10**8, "", None)]
)
def test_retention_by_bytes_is_a_forecast_from_the_samples_size_and_pace(kept_bytes, left, level):
    """Ten records of 100 bytes came in the last 100 s and six of them wait: what is left of the bytes fills as fast."""
    sample = [
        record(n, key, timestamp=(at := NOW - 100_000 + 10_000 * n), source_ms=at) for n, key in enumerate(keys_of(0))
    ]
    late = reader("dw", ORDERS, 0, at=4, open_ms=NOW - 60_000)
    seen = with_topic(ORDERS, config={"retention.bytes": str(kept_bytes)})
    logs = tuple(log(ORDERS, 0, sample) if (one.topic, one.partition) == (ORDERS, 0) else one for one in seen.logs)
    readers = tuple(late if (one.topic, one.partition) == (ORDERS, 0) else one for one in store_sink().readers)

    found = bad(replace(seen, logs=logs, sinks=(store_sink(readers=readers), receipts_sink())))
    assert [(one.level, one.about, one.place) for one in found] == (
        [(level, "retention", f"{ORDERS}:0:4")] if level else []
    )
    if level:
        assert f"may delete it in {left} (retention.bytes)" in found[0].says
        assert found[0].do.startswith(f"{ALTER}{ORDERS} --add-config retention.bytes=")


def keys_of(partition: int) -> list[bytes]:
    return [key for number in range(200) if partition_of(key := b"k%d" % number, 3) == partition][:10]


def test_what_the_verifier_has_not_read_and_kafka_may_delete():
    late = ReaderSeen(sink="", topic="dlq", partition=0, committed=3, open=3, open_ms=NOW - 7 * DAY + 3_600_000)
    found = only(clean(own=(late,)))

    assert (found.level, found.about, found.place) == ("warning", "retention", "dlq:0:3")
    assert "the verifier has not settled" in found.says


@pytest.mark.parametrize(("kept_ms", "level"), [(3_600_000, "warning"), (50_000, "error")])
def test_a_change_topic_that_is_kept_for_less_than_an_outage(kept_ms, level):
    found = only(with_topic(ORDERS, config={"retention.ms": str(kept_ms)}))

    assert (found.level, found.about, found.place) == (level, "retention", f"topic {ORDERS}")
    assert ("grace is 30 s" in found.says) == (level == "error")


def test_topics_that_are_kept_for_equally_little_are_one_finding_and_a_sink_that_is_up_to_date_there_is_none():
    """Half of what is kept is yet to come for what is open since a second."""
    kept = {"retention.ms": "3600000"}
    seen = with_topic(ORDERS, config=kept)
    topics = tuple(replace(one, config=one.config | kept) if one.name == ITEMS else one for one in seen.topics)
    readers = (reader("dw", ORDERS, 0, at=9, open_ms=NOW - 1_000), *store_sink().readers[1:])
    found = only(replace(seen, topics=topics, sinks=(store_sink(readers=readers), receipts_sink())))

    assert found.place == f"topics {ORDERS}, {ITEMS}"


def test_evidence_that_is_kept_for_less_than_a_day():
    found = only(with_topic("receipts", config={"retention.ms": "3600000"}))

    assert (found.level, found.about, found.place) == ("warning", "retention", "topic receipts")


def test_evidence_that_is_kept_by_bytes():
    found = only(with_topic("receipts", config={"retention.bytes": "1000000"}))

    assert (found.level, found.about, found.place) == ("unknown", "retention", "topic receipts")


def test_evidence_that_is_kept_for_less_than_a_change_has_been_open():
    readers = (reader("search", ORDERS, 0, at=4, open_ms=NOW - 3 * DAY), *receipts_sink().readers[1:])
    seen = with_topic("receipts", config={"retention.ms": str(2 * DAY)})
    found = only(replace(seen, sinks=(store_sink(), receipts_sink(readers=readers))))

    assert (found.level, found.about, found.place) == ("warning", "retention", "topic receipts")
    assert "open since 3 d" in found.says


@pytest.mark.parametrize("setting", [{"retention.ms": str(2 * DAY)}, {"retention.bytes": "1000"}])
def test_a_lane_that_keeps_less_than_its_change_topics(setting):
    found = only(with_topic("cdc-verifier.lane.3", config=setting))

    assert (found.level, found.about, found.place) == ("warning", "retention", "topic cdc-verifier.lane.3")
    assert ORDERS in found.says


def test_a_topic_that_is_compacted_only_is_not_deleted_by_age():
    assert only(with_topic(ORDERS, config=COMPACT | {"retention.ms": "1000"})).about == "compaction"


def test_a_group_that_has_committed_nothing():
    readers = tuple(replace(one, committed=None, open=None) for one in store_sink().readers)
    found = only(sinks_with(readers=readers))

    assert (found.level, found.about, found.place) == ("warning", "progress", "group connect-dw-sink")
    assert "never fenced" in found.means


def test_a_group_below_the_logs_start():
    readers = (reader("dw", ORDERS, 0, at=2), *store_sink().readers[1:])
    logs = tuple(
        replace(one, earliest=5) if one.partition == 0 and one.topic == ORDERS else one for one in clean().logs
    )
    found = only(replace(sinks_with(readers=readers), logs=logs))

    assert (found.level, found.about) == ("error", "progress")
    assert f"{ORDERS}:0 (committed 2, the log holds 5 to 10)" in found.says


def test_a_group_beyond_the_logs_end():
    found = only(sinks_with(readers=(reader("dw", ORDERS, 0, at=99), *store_sink().readers[1:])))

    assert (found.level, found.about) == ("error", "progress")
    assert "cdc-verifier rebuild dw" in found.do


def test_a_sink_of_which_nobody_knows_how_far_it_is():
    readers = tuple(replace(one, committed=None, open=None) for one in receipts_sink().readers)
    found = only(clean(sinks=(store_sink(), receipts_sink(readers=readers))))

    assert (found.level, found.about, found.place) == ("unknown", "progress", "sinks.search")
    assert f"{ORDERS}:0" in found.says
