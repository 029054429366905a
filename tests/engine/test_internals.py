"""Contracts with Faust and aiokafka: every internal that the transport overrides or reads, by name and signature.

An upgrade that moves one of them fails here, with the name of what moved, and not in a group that reads on wrongly.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any
from weakref import WeakSet

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance, GroupCoordinator
from aiokafka.consumer.subscription_state import Assignment, TopicPartitionState
from aiokafka.record import control_record
from faust.app.base import App
from faust.tables.recovery import Recovery
from faust.transport import consumer as base
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from app.native import kernel
from topologies import fetching, raw_fetch, transport
from topologies.engine import EngineSettings, member_of


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def source(function: Any) -> str:
    return inspect.getsource(function)


@pytest.mark.parametrize(("package", "wanted"), [("faust-streaming", "0.15.3"), ("aiokafka", "0.14.0")])
def test_the_versions_are_those_whose_internals_were_read(package: str, wanted: str) -> None:
    assert version(package) == wanted


@pytest.mark.parametrize(
    ("owner", "name", "wanted"),
    [
        (base.Consumer, "seek_to_committed", "self"),
        (base.Consumer, "perform_seek", "self"),
        (base.Consumer, "on_partitions_revoked", "self revoked"),
        (base.Consumer, "force_commit", "self topics start_new_transaction"),
        (base.Consumer, "getmany", "self timeout"),
        (base.Consumer, "_wait_next_records", "self timeout"),
        (base.Consumer, "_add_gap", "self tp offset_from offset_to"),
        (base.Consumer, "on_stop", "self"),
        (driver.Consumer, "_new_consumer_thread", "self"),
        (driver.Consumer, "_to_message", "self tp record"),
        (driver.AIOKafkaConsumerThread, "_create_worker_consumer", "self transport"),
        (driver.AIOKafkaConsumerThread, "_ensure_consumer", "self"),
        (driver.AIOKafkaConsumerThread, "call_thread", "self fun args kwargs"),
        (
            driver.AIOKafkaConsumerThread,
            "_fetch_records",
            "self consumer active_partitions timeout max_records",
        ),
        (fetching._stock, "__init__", "self tp assignment partition_records backoff"),
        (fetching._stock, "getall", "self max_records"),
        (fetching._stock, "check_assignment", "self tp"),
        (fetching._stock, "has_more", "self"),
        (fetching._stock, "calculate_backoff", "self"),
        (fetching._stock, "_update_position", "self"),
        (
            fetching._stock_records,
            "__init__",
            (
                "self tp records aborted_transactions fetch_offset key_deserializer value_deserializer check_crcs "
                "isolation_level"
            ),
        ),
        (fetcher.Fetcher, "_notify", "self future"),
        (control_record.ControlRecord, "parse", "data"),
        (Assignment, "state_value", "self tp"),
        (GroupCoordinator, "fetch_committed_offsets", "self partitions"),
        (GroupCoordinator, "_push_error_to_user", "self exc"),
        (CoordinatorGroupRebalance, "_on_join_leader", "self response"),
        (driver.AIOKafkaConsumerThread, "on_start", "self"),
    ],
)
def test_what_is_overridden_or_called_has_its_signature(owner: type, name: str, wanted: str) -> None:
    assert parameters(getattr(owner, name)) == wanted.split()


def test_overrides_have_the_signature_of_what_they_override() -> None:
    ours = [transport.Consumer, transport.ConsumerThread, fetching.RangedFetchResult, fetching.RawFetchResult]
    checked = 0
    for owner in ours:
        for name, method in vars(owner).items():
            theirs = getattr(owner.__mro__[1], name, None)
            if inspect.isfunction(method) and inspect.isfunction(theirs) and name != "__init__":
                assert len(parameters(method)) == len(parameters(theirs)), f"{owner.__name__}.{name}"
                checked += 1

    assert checked >= 8


def test_a_consumer_is_made_of_our_parts() -> None:
    transport.register()

    assert TRANSPORTS.by_url("ranges://localhost:9092") is transport.Transport
    assert transport.Transport.Consumer is transport.Consumer
    assert fetcher.FetchResult is (fetching.RawFetchResult if kernel else fetching.RangedFetchResult)


@pytest.mark.parametrize(
    "name", ["_isolation_level", "_fetch_min_bytes", "_fetch_max_wait_ms", "_coordinator", "_subscription", "_fetcher"]
)
def test_aiokafka_keeps_its_settings_where_they_are_set(name: str) -> None:
    assert f"self.{name} =" in source(AIOKafkaConsumer)


@pytest.mark.parametrize("name", ["_isolation_level", "_fetch_min_bytes", "_fetch_max_wait_ms"])
def test_aiokafka_reads_its_settings_only_when_it_starts(name: str) -> None:
    assert f"=self.{name}" in source(AIOKafkaConsumer.start).replace(" ", "")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("_acked", defaultdict), ("_acked_index", defaultdict), ("_gap", defaultdict), ("_unacked_messages", WeakSet)],
)
def test_the_ledger_of_acks_is_what_the_commit_clears(name: str, kind: type) -> None:
    text = source(base.Consumer.__init__)

    assert f"self.{name} = {kind.__name__}(" in text


def test_faust_reads_its_dedupe_from_the_mapping_that_forgets() -> None:
    text = source(base.Consumer._drain_messages)

    assert "get_read_offset = self._read_offset.__getitem__" in text
    assert "set_read_offset = self._read_offset.__setitem__" in text
    forgets = transport._Forgets()
    forgets[TP("a", 0)] = 5
    forgets.update({TP("a", 0): 6})
    assert forgets[TP("a", 0)] is None


def test_stores_are_opened_while_the_flow_is_stopped() -> None:
    text = source(Recovery._resume_streams)

    assert text.index("consumer.perform_seek()") < text.index("consumer.resume_flow()")
    assert "timeout=self.app.conf.broker_request_timeout" in text
    assert "await self.seek_to_committed()" in source(base.Consumer.perform_seek)


def test_a_revocation_stops_the_flow_before_the_stores_are_closed() -> None:
    text = source(App._on_partitions_revoked)

    assert text.index("consumer.stop_flow") < text.index("flow_control.clear") < text.index("_consumer_wait_empty")
    assert source(base.Consumer.on_partitions_revoked).count("self._on_partitions_revoked") == 1


def test_the_assignor_that_keeps_numbers_together_is_chosen_by_standby_replicas() -> None:
    text = source(driver.AIOKafkaConsumerThread._create_worker_consumer)

    assert "if self.app.conf.table_standby_replicas > 0" in text
    assert "else RoundRobinPartitionAssignor" in text


def test_a_fetch_is_handed_on_by_the_class_that_is_replaced() -> None:
    text = source(fetcher.Fetcher.fetched_records)

    assert "type(res_or_error) is FetchResult" in text
    assert "records = res_or_error.getall(max_records)" in text
    assert "if not records:" in text  # so a range without records must say that it is something
    assert "self._records[tp] = FetchResult(" in source(fetcher.Fetcher._proc_fetch_request)


def test_what_is_fetched_is_what_ours_are_made_of() -> None:
    text = source(fetcher.Fetcher._proc_fetch_request)
    made = re.sub(r"\s+", "", text)

    assert "records = MemoryRecords(part_data[-1])" in text
    assert "if records.has_next():" in text
    assert "elif records.size_in_bytes() > 0:" in text
    assert (
        "PartitionRecords(tp,records,aborted_transactions,fetch_offset,self._key_deserializer,self._value_deserializer,"
        "self._check_crcs,self._isolation_level,)"
    ) in made
    assert "FetchResult(tp,partition_records=partition_records,assignment=assignment,backoff=" in made


def test_a_result_holds_what_ours_reads_of_it() -> None:
    text = source(fetching._stock.__init__)

    assert all(f"self.{name} = " in text for name in ("_topic_partition", "_partition_records", "_assignment"))
    assert "self._partition_records is not None" in source(fetching._stock.has_more)
    assert "self._partition_records.next_fetch_offset" in source(fetching._stock._update_position)


def test_a_result_that_waits_stops_its_node_by_its_backoff_alone() -> None:
    text = source(fetcher.Fetcher._get_actions_per_node)

    assert "backoff = record.calculate_backoff()" in text
    assert "if backoff:" in text
    assert not hasattr(Assignment, "__slots__")  # an attribute of ours says what is held
    assert not hasattr(TopicPartitionState, "__slots__")


def test_who_waits_for_records_looks_again_when_told() -> None:
    text = source(fetcher.Fetcher.fetched_records)

    assert "waiter = self._create_fetch_waiter()" in text
    assert text.index("while True:") < text.index("for tp in list(self._records.keys())") < text.index("waiter =")
    assert "self._fetch_waiters.add(fut)" in source(fetcher.Fetcher._create_fetch_waiter)


def test_the_isolation_and_the_marker_are_aiokafkas() -> None:
    assert raw_fetch.READ_COMMITTED == 1
    assert control_record.ControlRecord.parse(b"\x00\x00\x00\x00") == control_record.ABORT_MARKER


def test_an_aiokafka_that_nobody_has_read_is_read_record_by_record(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetching.mismatch() is None

    monkeypatch.setattr(fetching, "missing", lambda: None)
    monkeypatch.setattr(fetching, "version", lambda _: "0.15.0")
    assert "aiokafka is 0.15.0" in (fetching.slow_because() or "")
    fetching.install()
    assert fetcher.FetchResult is fetching.RangedFetchResult
    assert fetcher.MemoryRecords is fetching._stock_memory

    monkeypatch.undo()
    fetching.install()


@pytest.mark.parametrize("place", [*fetching.SIGNATURES, *fetching.USED])
def test_every_internal_that_moved_is_noticed(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name = place.split(".")
    monkeypatch.setattr(fetching.originals()[owner], name, lambda: None)

    assert place in (fetching.mismatch() or "")


def test_the_reader_is_asyncios_but_for_what_it_holds() -> None:
    text = source(asyncio.StreamReader._wait_for_data)

    assert "self._transport.resume_reading()" in text
    assert "self._waiter = self._loop.create_future()" in text
    assert {"_eof", "_exception", "_limit", "_paused", "_transport"} <= set(
        asyncio.StreamReader.__init__.__code__.co_names
    )
    assert "reader.feed_data(data)" in source(asyncio.StreamReaderProtocol.data_received)


def test_records_are_made_where_ours_are_handed_on_as_they_are() -> None:
    text = source(fetcher)

    assert "def _consumer_record(self, tp, record):" in text
    assert "consumer_record = self._consumer_record(tp, record)" in text


def test_a_position_moves_only_as_records_are_handed_on() -> None:
    assert "consumed_to" in source(fetching._stock._update_position)
    assert "position != self._partition_records.next_fetch_offset" in source(fetching._stock.check_assignment)
    assert isinstance(TopicPartitionState.position, property)


def test_a_message_takes_what_it_is_given() -> None:
    names = "topic partition offset timestamp timestamp_type headers key value checksum".split()

    assert parameters(ConsumerMessage.__init__)[1:10] == names
    assert "generation_id" in parameters(ConsumerMessage.__init__)
    assert hasattr(faust.App, "consumer_generation_id")


def test_a_worker_that_subscribes_to_other_topics_is_another_static_member(tmp_path: Path) -> None:
    def member(*topics: str, instance_id: str | None = "one") -> str | None:
        return member_of(
            EngineSettings(
                application_id="a", brokers=[], inputs=dict.fromkeys(topics, 1), data_dir=tmp_path,
                instance_id=instance_id,
            )
        )  # fmt: skip

    assert member("a", "b") == member("b", "a")
    assert member("a", "b") != member("a")
    assert member("a", instance_id=None) is None
