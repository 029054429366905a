"""The rights that a worker asks for: what it will do, and no more."""

from __future__ import annotations

import pytest

from app.adapters.rights import Need, Rights, problems
from app.config import load
from app.worker.layout import plan
from app.worker.needs import needs_of, principal_of

CONFIG = """
[source]
topics = ["orders", "/shop[.].*/"]
[sinks.direct]
topics = ["orders"]
receipts = ["r.direct"]
[sinks.probed]
topics = ["orders"]
receipts = ["r.probed"]
fences = "receipts"
[sinks.dead]
topics = ["orders"]
dead_letters = ["dlq"]
connector = "c"
"""
COUNTS = {"orders": 4, "shop.a": 4, "r.direct": 4, "r.probed": 4, "dlq": 1}


def settings_of(tmp_path, text=CONFIG):
    file = tmp_path / "config.toml"
    file.write_text(text)
    return load(file, {})


def asked(needs):
    return {(need.kind, need.name, need.operation) for need in needs}


def test_what_it_will_read_write_and_join_is_asked_for(tmp_path):
    settings = settings_of(tmp_path)

    assert asked(needs_of(settings, plan(settings, COUNTS))) == {
        *(("topic", name, "Read") for name in ("orders", "shop.a", "r.direct", "r.probed", "dlq")),
        *(("topic", f"cdc-verifier.{name}", "Write") for name in ("verdicts", "repair", "watermarks", "quarantine")),
        *(("topic", f"cdc-verifier.{name}", operation) for name in ("ledger", "lane.4") for operation in ("Read", "Write")),
        ("topic", "r.probed", "Write"),
        *(("topic", name, "DescribeConfigs") for name in ("orders", "shop.a")),
        ("group", "cdc-verifier", "Read"),
        ("group", "connect-c", "Describe"),
    }  # fmt: skip


def test_where_topics_are_missing_it_asks_for_what_is_known_all_the_same(tmp_path):
    found = asked(needs_of(settings_of(tmp_path), None))

    assert {name for kind, name, operation in found if (kind, operation) == ("topic", "Read")} == {
        "orders", "r.direct", "r.probed", "dlq", "cdc-verifier.ledger",
    }  # fmt: skip


def test_a_sink_that_is_judged_from_its_committed_offsets_on_has_its_group_looked_at(tmp_path):
    text = CONFIG.replace("[sinks.probed]", '[sinks.probed]\nstart = "committed"\ngroup = "loader"')

    assert ("group", "loader", "Describe") in asked(needs_of(settings_of(tmp_path, text), None))
    assert ("group", "loader", "Describe") not in asked(needs_of(settings_of(tmp_path), None))


def test_where_connect_is_asked_its_word_is_written_into_the_lanes_of_connectors(tmp_path):
    text = CONFIG.replace("[sinks.direct]", '[sinks.direct]\nconnector = "d"')
    for url, is_asked in (("", False), ('[connect]\nurl = "http://connect:8083"\n', True)):
        settings = settings_of(tmp_path, url + text)
        found = asked(needs_of(settings, plan(settings, COUNTS)))

        assert (("topic", "r.direct", "Write") in found) == is_asked


@pytest.mark.parametrize(
    ("kafka", "principal"),
    [
        ("", "User:ANONYMOUS"),
        ('security_protocol = "SASL_SSL"\nsasl_username = "v"\nsasl_password = "p"', "User:v"),
        ('security_protocol = "SSL"\nssl_certificate_file = "c"', "User:NAME-OF-THE-CERTIFICATE"),
    ],
)
def test_the_commands_name_who_it_is(tmp_path, kafka, principal):
    assert principal_of(settings_of(tmp_path, f"[kafka]\n{kafka}\n{CONFIG}")) == principal


def test_a_need_that_is_met_is_no_problem_nor_one_that_nobody_knows_of():
    read, write = (Need(kind="topic", name="t", operation=operation, purpose="try") for operation in ("Read", "Write"))

    assert problems([read, write], Rights(topics={"t": None}), "User:v") == []
    assert problems([read, write], Rights(), "User:v") == []
    (problem,) = problems([read, write], Rights(topics={"t": frozenset({"READ"})}), "User:v")

    assert problem.startswith("topic t: User:v lacks the right Write on it, needed to try. Allow it: ")
    assert problem.endswith(
        "kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal 'User:v' --operation Write --topic t"
    )


def test_a_right_is_found_however_its_name_is_spelled():
    """``kafka-acls.sh`` says DescribeConfigs, and the broker DESCRIBE_CONFIGS, which is read without underscores."""
    need = Need(kind="topic", name="t", operation="DescribeConfigs", purpose="try")

    assert Rights(topics={"t": frozenset({"DESCRIBECONFIGS"})}).has(need)
    assert not Rights(topics={"t": frozenset({"DESCRIBE"})}).has(need)


def test_a_topic_on_which_nothing_is_allowed_is_hidden():
    assert Rights(topics={"t": frozenset(), "u": None, "v": frozenset({"READ"})}).hidden() == {"t"}
