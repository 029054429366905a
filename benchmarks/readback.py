"""Reading back from a PostgreSQL on this machine: rows by key in random order, and what a limit makes of it.

200,000 rows of 8 columns, 1,000 keys a statement. CPU seconds are this process's: the reader's share of the work, on
whatever core the server's is done. "whole" is all that a worker does before a fence but fetching the changes from Kafka again:
which cells, their changes decoded, rows read, compared column by column, receipts made.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import random
import time
from collections.abc import Sequence
from typing import Any

from app.adapters.sql import Limits, open_store
from app.config.kinds import Secret
from app.decode.changes import ReferenceChangeDecoder
from app.decode.images import ImageDecoder
from app.decode.schemas import RecordedSchemas
from app.evidence.tables import StoreTerms
from app.ledger.partition import PartitionFold
from app.model import Contract, RawBatch, RawRecord
from app.worker.ports import Input
from app.worker.readback import Contract as ReadBackContract
from app.worker.readback import ReadBack
from app.worker.store_rows import StoreRows
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.stores.postgres import PASSWORD, Postgres
from tests.unit.decode.envelopes import change, envelope, framed, record

ROWS, LIMITED_ROWS, RATE = 200_000, 20_000, 2_000
WHOLE_ROWS = 50_000
COLUMNS = ("id", "customer_id", "status", "total", "placed", "paid", "meta", "channel")

TABLE = """
CREATE TABLE orders (id int8 PRIMARY KEY, customer_id int8 NOT NULL, status text NOT NULL, total numeric(12,2) NOT NULL,
  placed timestamptz NOT NULL, paid bool, meta jsonb, channel varchar(20))
"""
FILL = f"""
INSERT INTO orders
SELECT n, n % 5000, 'NEW', n / 100.0, timestamptz '2026-01-01Z' + n * interval '1 second', n % 3 = 0,
  jsonb_build_object('n', n, 'u', md5(n::text)), 'web'
FROM generate_series(1, {ROWS}) n
"""


DECIMAL = {"connect.name": "org.apache.kafka.connect.data.Decimal", "connect.parameters": {"scale": "2"}}
VALUE = envelope((
    ("id", "long"), ("customer_id", "long"), ("status", "string"), ("total", {"type": "bytes", **DECIMAL}),
    ("placed", {"type": "string", "connect.name": "io.debezium.time.ZonedTimestamp"}), ("paid", ["null", "boolean"]),
    ("meta", {"type": "string", "connect.name": "io.debezium.data.Json"}), ("channel", ["null", "string"]),
))  # fmt: skip
KEY = record("Key", (("id", "long"),))
WRITERS = RecordedSchemas({1: json.dumps(VALUE), 2: json.dumps(KEY)})


class Skipping:
    """A clock that real time moves and that a sleep moves on: a limit's waits are counted and not waited for."""

    def __init__(self) -> None:
        self._skipped_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._skipped_s

    def sleep(self, seconds: float) -> None:
        self._skipped_s += seconds


def run() -> dict[str, object]:
    """Rows a second without a limit and with one of 2,000."""
    server = Postgres()
    try:
        server.start()
        server.execute(TABLE, FILL, "ANALYZE orders")
        limited = {f"limit_{RATE}": _read(server, LIMITED_ROWS, RATE)}
        return {"unlimited": _read(server, ROWS, 0), **limited, "whole": _whole(server)}
    finally:
        server.stop()


def _whole(server: Postgres) -> dict[str, float]:
    """Of the first rows, each written by one change; every one of them must be right."""
    log = _Log(WHOLE_ROWS)
    fold = PartitionFold([Contract(sink="s", topics=("t",), evidence="progress", expect="latest-state")], 0)
    fold.take_changes(ReferenceChangeDecoder(WRITERS, [frozenset()], UNAVAILABLE_VALUE).decode(log.raw))
    store = open_store(server.url(), Secret(PASSWORD), Limits(rows_per_second=0))
    terms = ReadBackContract(sink="s", terms=StoreTerms(tables={"t": "orders"}), share=1.0, second_look_s=0)
    reader = ReadBack(
        terms, StoreRows(store, "postgresql"), log, ImageDecoder(WRITERS, UNAVAILABLE_VALUE), _none, _none, lambda: 0
    )
    began, cpu = time.monotonic(), time.process_time()
    said = asyncio.run(reader.look(fold.sinks["s", "t"], Input("t", 0), WHOLE_ROWS))
    seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu
    store.close()
    assert len(said) == reader.tally.rows["equal"] == WHOLE_ROWS, reader.tally
    return {"rows_per_second": WHOLE_ROWS / seconds, "rows_per_cpu_second": WHOLE_ROWS / cpu_s}


async def _none(_: object) -> Any:
    return WHOLE_ROWS


class _Log:
    """The changes that wrote the first rows of the table, each of one; see `app.worker.readback.ChangeLog`."""

    def __init__(self, rows: int) -> None:
        self._records = [
            RawRecord(at, 0, framed(KEY, {"id": at + 1}, 2), framed(VALUE, change("c", _row(at + 1), {"lsn": at}), 1))
            for at in range(rows)
        ]
        self.raw = RawBatch.of("t", 0, self._records, 0, rows)

    async def fetch(self, source: Input, offsets: Sequence[int]) -> RawBatch:
        found = [self._records[offset] for offset in offsets]
        return RawBatch.of(source.topic, source.partition, found, 0, len(self._records))

    async def end(self, _: Input, start: int) -> int:
        assert start <= len(self._records)
        return len(self._records)


def _row(number: int) -> dict[str, Any]:
    placed = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=number)
    return {
        "id": number,
        "customer_id": number % 5000,
        "status": "NEW",
        "total": number.to_bytes(4, "big", signed=True),
        "placed": placed.isoformat().replace("+00:00", "Z"),
        "paid": number % 3 == 0,
        "meta": json.dumps({"n": number, "u": hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()}),
        "channel": "web",
    }


def _read(server: Postgres, rows: int, rate: int) -> dict[str, float]:
    keys = [(str(n),) for n in range(1, ROWS + 1)]
    random.Random(1).shuffle(keys)
    clock = Skipping()
    store = open_store(server.url(), Secret(PASSWORD), Limits(rows_per_second=rate), clock=clock, sleep=clock.sleep)
    store.read("orders", ["id"], keys[-1_000:], COLUMNS)  # connects, and has the limit begin with something to pay for
    began, cpu = clock(), time.process_time()
    found = store.read("orders", ["id"], keys[:rows], COLUMNS)
    seconds, cpu_s = clock() - began, time.process_time() - cpu
    store.close()
    assert [row and row[0] for row in found] == [key for (key,) in keys[:rows]]
    return {
        "rows_per_second": rows / seconds,
        "rows_per_cpu_second": rows / cpu_s,
        "waited_seconds": store.stats.waited_seconds,
    }
