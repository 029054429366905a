"""Reading back from a PostgreSQL on this machine: rows by key in random order, and what a limit makes of it.

200,000 rows of 8 columns, 1,000 keys a statement. CPU seconds are this process's: the reader's share of the work, on
whatever core the server's is done.
"""

from __future__ import annotations

import random
import time

from app.adapters.sql import Limits, open_store
from app.config.kinds import Secret
from tests.stores.postgres import PASSWORD, Postgres

ROWS, LIMITED_ROWS, RATE = 200_000, 20_000, 2_000
COLUMNS = ("id", "customer_id", "status", "total", "placed", "paid", "meta", "channel")

TABLE = """
CREATE TABLE orders (id int8 PRIMARY KEY, customer_id int8 NOT NULL, status text NOT NULL, total numeric(12,2) NOT NULL,
  placed timestamptz NOT NULL, paid bool, meta jsonb, channel varchar(20))
"""
FILL = f"""
INSERT INTO orders
SELECT n, n % 5000, 'NEW', n / 100.0, timestamptz '2026-01-01' + n * interval '1 second', n % 3 = 0,
  jsonb_build_object('n', n, 'u', md5(n::text)), 'web'
FROM generate_series(1, {ROWS}) n
"""


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
        return {"unlimited": _read(server, ROWS, 0), f"limit_{RATE}": _read(server, LIMITED_ROWS, RATE)}
    finally:
        server.stop()


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
