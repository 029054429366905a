"""The load of the benchmarks: its bytes are what the reference reads, and what it plants is what the verifier finds in it."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator

import fastavro
import pytest

from app.cli.offline import verify_lines
from benchmarks import accounts
from benchmarks.load import Fault, Load, Shape
from benchmarks.peers.programs import topics as known
from cdc_receipts.codec import SCHEMAS, Receipt, Status, encode_receipt
from cdc_receipts.fingerprint import RowFingerprinter
from cdc_receipts.schemas import loaded
from tests.simulation.recording import Record, as_line

TEXTS = {"Key": accounts.key_schema(), "Envelope": accounts.value_schema(), **SCHEMAS}
IDS = {name: number for number, name in enumerate(TEXTS, 1)}
SHAPE = Shape(changes=4_000, partitions=2, fence_every=1_000, fault_rate=2e-3)


def made(shape=SHAPE):
    load = Load(shape, IDS)
    return load, list(load.records())


def decoded(value, name):
    body = io.BytesIO(value[5:])
    told = fastavro.schemaless_reader(body, fastavro.parse_schema(loaded(TEXTS[name])), None)

    assert value[:5] == b"\x00" + IDS[name].to_bytes(4, "big")
    assert not body.read()
    return told


def offsets(records) -> Iterator[tuple[int, object]]:
    """Records with the offsets that a broker gives them."""
    ends = Counter()
    for record in records:
        yield ends[record.topic, record.partition], record
        ends[record.topic, record.partition] += 1


def test_changes_are_envelopes_of_a_usual_size():
    load, records = made()
    changes = [record for record in records if record.topic in load.shape.topics]

    assert len(changes) == load.shape.total == load.planted.records[load.shape.topics[0]]
    assert 300 < sum(len(change.value) for change in changes) / len(changes) < 320
    for change in changes[:: len(changes) // 50]:
        told = decoded(change.value, "Envelope")
        assert told["op"] == "u"
        assert told["before"]["id"] == told["after"]["id"] == decoded(change.key, "Key")["id"]
        assert told["source"]["ts_ms"] == change.timestamp


def test_changes_have_places_of_their_own_in_the_source_and_keys_that_come_again():
    _, records = made()
    told = [decoded(record.value, "Envelope") for record in records if record.key is not None]
    keys = Counter(one["after"]["id"] for one in told)

    assert len({(one["source"]["lsn"], one["source"]["txId"]) for one in told}) == len(told)
    assert max(keys.values()) > 1


def test_fingerprints_are_the_references():
    rows = RowFingerprinter(json.dumps(json.loads(TEXTS["Envelope"])["fields"][0]["type"][1]))
    table = accounts.Accounts(IDS["Key"], IDS["Envelope"])
    for account, content in ((1, 0), (70_000, 5), (800_003, accounts.CONTENTS - 1)):
        _, value = table.change(account, content, 7, 1_790_000_000_000)

        assert rows.fingerprint_int(decoded(value, "Envelope")["after"]) == table.fingerprint(account, content)


def test_receipts_are_what_an_emitter_writes_and_right_but_where_planted():
    load, records = made()
    rows = RowFingerprinter(json.dumps(json.loads(TEXTS["Envelope"])["fields"][0]["type"][1]))
    truth = {
        (record.partition, offset): rows.fingerprint(decoded(record.value, "Envelope")["after"])
        for offset, record in offsets(records)
        if record.key is not None
    }
    wrong = set()
    for record in records:
        if record.key is not None or record.value[4] != IDS["DeliveryReceipt"]:
            continue
        told = decoded(record.value, "DeliveryReceipt")
        again = Receipt(**told | {"status": Status[told["status"]]})
        assert record.value == encode_receipt(again, IDS["DeliveryReceipt"])
        assert record.partition == again.partition
        if again.fingerprint != truth[again.partition, again.offset]:
            wrong.add(Fault(again.sink, again.topic, again.partition, again.offset, "DIVERGED"))

    assert wrong == {fault for fault in load.planted.faults if fault.state == "DIVERGED"}


def test_the_last_stretch_of_every_sink_and_partition_has_a_lost_receipt():
    load, _ = made()
    last = {
        (fault.sink, fault.partition)
        for fault in load.planted.faults
        if fault.state == "MISSING" and fault.offset >= load.shape.per_place - load.shape.fence_every
    }

    assert last == {(sink, partition) for sink in load.shape.sinks for partition in range(load.shape.partitions)}


def test_a_load_that_goes_on_with_another_names_the_offsets_that_follow():
    load, records = made(Shape(changes=2_000, partitions=2, first=5_000))
    fences = [decoded(r.value, "SinkMark")["offset"] for r in records if r.value[4] == IDS["SinkMark"]]

    assert set(fences) == {6_000}
    assert all(5_000 <= fault.offset < 6_000 for fault in load.planted.faults)


def test_a_silent_sink_says_nothing():
    load, records = made(Shape(changes=2_000, silent=frozenset({"warehouse-two"})))

    assert load.shape.receipts("warehouse-two") not in {record.topic for record in records}
    assert {fault.sink for fault in load.planted.faults} == {"warehouse-one"}


def test_the_same_seed_gives_the_same_load():
    assert made()[1] == made()[1]


def test_the_programs_of_the_peers_know_the_topics_and_sinks():
    shape = Shape()

    assert shape.topics == (known.CHANGES,)
    assert shape.sinks == known.SINKS
    assert [shape.receipts(sink) for sink in shape.sinks] == known.RECEIPTS


@pytest.mark.parametrize("rate", [0, 2e-3])
def test_the_verifier_finds_what_was_planted_and_nothing_else(tmp_path, rate):
    """Offline, by the rules that run live."""
    load, records = made(Shape(changes=4_000, partitions=2, fence_every=1_000, fault_rate=rate))
    files: dict[str, list[str]] = {}
    for offset, record in offsets(records):
        line = Record(
            topic=record.topic, partition=record.partition, offset=offset, timestamp=record.timestamp,
            key=record.key, value=record.value,
        )  # fmt: skip
        files.setdefault(record.topic, []).append(as_line(line))
    for topic, lines in files.items():
        (tmp_path / f"{topic}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode(), 1))
    (tmp_path / "schemas.json").write_text(json.dumps({number: TEXTS[name] for name, number in IDS.items()}))
    sinks = "".join(f'[sinks.{sink}]\nreceipts = ["{load.shape.receipts(sink)}"]\n' for sink in load.shape.sinks)
    (tmp_path / "config.toml").write_text(f"[source]\ntopics = {list(load.shape.topics)}\n{sinks}")

    told = verify_lines(tmp_path)
    cells = [line for line in told if line["kind"] == "cell" and line["state"] != "delivered"]
    found = {Fault(c["sink"], c["topic"], c["partition"], c["offset"], c["state"].upper()) for c in cells}

    assert found == load.planted.faults
    assert bool(found) == bool(rate)
    assert not [line for line in told if line["kind"] in {"orphan", "contradicted", "unreadable", "unknown_sink"}]
