"""A store on a database: one connection, statements of bounded size at a bounded rate, and a breaker.

What a statement says is the session's part (`app.adapters.sql.postgres`, `app.adapters.sql.mysql`).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

from app.adapters.sql.address import Address, table_parts
from app.adapters.sql.breaker import Breaker
from app.adapters.sql.limiting import RowLimit
from app.adapters.sql.session import Numbered, Session, SessionError, Table
from app.adapters.sql.store import Cells, ColumnType, Key, Limits, Stats
from app.errors import AmbiguousKey, NoSuchTable, Unavailable, require

FIRST_ROWS = 100
"""Rows of the first statement to a table, whose rows may be of any size."""
STATEMENT_BYTES = 8 << 20
"""What a statement is to bring at most, by the mean of the one before: rows of a megabyte come by eights."""
DESCRIBED_S = 60.0
"""How long a table's description is believed: an ALTER TABLE shows within a minute, a chunk costs no look-up."""


class DatabaseStore:
    """A `Store`; calls may come from any thread and take turns.

    Args:
        connect: opens a session; raises `SessionError`.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        address: Address,
        connect: Callable[[], Session],
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.address = address
        self.stats = Stats()
        self.breaker = Breaker(
            limits.failures_to_open, limits.first_pause_ms / 1_000, limits.longest_pause_ms / 1_000, clock
        )
        self._connect = connect
        self._chunk = limits.rows_per_statement
        self._idle_s = limits.idle_ms / 1_000
        self._clock = clock
        self._limit = RowLimit(limits.rows_per_second, clock, sleep)
        self._lock = Lock()
        self._session: Session | None = None
        self._used_at = 0.0
        self._tables: dict[str, tuple[float, Table]] = {}
        self._row_bytes: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<DatabaseStore {self.address} as {self.address.user}>"

    def columns(self, table: str) -> list[ColumnType]:
        """See `Store.columns`; always asks the database."""
        return list(self._described(table, is_fresh=True).columns)

    def key(self, table: str) -> tuple[str, ...]:
        """See `Store.key`; always asks the database."""
        return self._described(table, is_fresh=True).key

    def may_write(self, table: str) -> bool:
        """Whether the user may change rows of a table, which a reader need not."""
        with self._talking(table) as session:
            self.stats.statements += 1
            return session.may_write(*table_parts(table))

    def read(self, table: str, key: Sequence[str], keys: Sequence[Key], columns: Sequence[str]) -> list[Cells | None]:
        """See `Store.read`."""
        require(
            all(len(values) == len(key) for values in keys), f"a key of {table} has another number of values than {key}"
        )
        found: list[Cells | None] = [None] * len(keys)
        for places in _alike(keys):
            left = places
            while left:
                rows = self._rows_of_statement(table)
                chunk, left = left[:rows], left[rows:]
                answer = self._read_chunk(table, key, [keys[place] for place in chunk], columns)
                self._fill(found, chunk, answer, table, key)
        return found

    def close(self) -> None:
        """See `Store.close`."""
        with self._lock:
            self._hang_up()

    def close_idle(self) -> None:
        """See `Store.close_idle`; of a store that is being asked it is none."""
        if self._lock.acquire(blocking=False):
            try:
                if self._clock() - self._used_at >= self._idle_s:
                    self._hang_up()
            finally:
                self._lock.release()

    def _read_chunk(
        self, table: str, key: Sequence[str], keys: Sequence[Key], columns: Sequence[str]
    ) -> list[Numbered]:
        with self._talking(table, len(keys)) as session:
            described = self._known(session, table)
            self._check(described, table, (*key, *columns))
            self.stats.statements += 1
            self.stats.keys += len(keys)
            return session.read(described, key, keys, columns)

    def _described(self, table: str, *, is_fresh: bool) -> Table:
        with self._talking(table) as session:
            if is_fresh:
                self._tables.pop(table, None)
            return self._known(session, table)

    def _known(self, session: Session, table: str) -> Table:
        now = self._clock()
        at, described = self._tables.get(table, (now, None))
        if described is None or now - at >= DESCRIBED_S:
            self.stats.statements += 1
            described = session.describe(*table_parts(table))
            self._tables[table] = (now, described)
        return described

    def _check(self, described: Table, table: str, names: Sequence[str]) -> None:
        missing = [name for name in dict.fromkeys(names) if name not in described.cells]
        if missing:
            del self._tables[table]
            raise NoSuchTable(
                f"{self.address}, table {table}: {self.address.user} may read no column {', '.join(missing)} there, only "
                f"{', '.join(described.cells)}. Name it as the database does, or grant SELECT on it"
            )

    @contextmanager
    def _talking(self, table: str, rows: int = 0) -> Iterator[Session]:
        """A session to one table: 1. breaker 2. limit 3. connection 4. what the caller does; errors get coordinates."""
        where = f"{self.address}, table {table}"
        with self._lock:
            if (left_s := self.breaker.left_s) > 0:
                raise Unavailable(f"{where}: left alone for {left_s:.1f} s more, since it failed again and again")
            self.stats.waited_seconds += self._limit.take(rows)
            began = self._clock()
            try:
                yield self._connected()
            except SessionError as error:
                self._tables.clear()
                if error.is_refusal:
                    self.breaker.succeeded()
                    raise NoSuchTable(f"{where}: {error}") from error
                self._hang_up()
                self.breaker.failed()
                self.stats.failures += 1
                raise Unavailable(f"{where}: {error}") from error
            except NoSuchTable:
                raise
            except BaseException:
                self._hang_up()  # in the middle of an answer, perhaps
                raise
            finally:
                self._used_at = self._clock()
                self.stats.busy_seconds += self._used_at - began
            self.breaker.succeeded()

    def _connected(self) -> Session:
        if self._clock() - self._used_at >= self._idle_s:
            self._hang_up()  # a server, or a firewall between, may have forgotten it
        if self._session is None:
            self._session = self._connect()
            self.stats.connects += 1
        return self._session

    def _hang_up(self) -> None:
        self._tables.clear()
        if self._session is not None:
            self._session.close()
            self._session = None

    def _fill(
        self,
        found: list[Cells | None],
        places: Sequence[int],
        rows: Sequence[Numbered],
        table: str,
        key: Sequence[str],
    ) -> None:
        """Put rows where their keys were asked."""
        for row in rows:
            number: Any = row[0]
            place = places[number - 1]
            if found[place] is not None:
                raise AmbiguousKey(
                    f"{self.address}, table {table}: one key finds more than one row by the columns {', '.join(key)}. "
                    "Name the columns of a key that is unique"
                )
            cells: Any = tuple(row[1:])
            found[place] = cells
        self._count(table, [cells for place in places if (cells := found[place]) is not None])

    def _count(self, table: str, rows: Sequence[Cells]) -> None:
        size = sum(_utf8_bytes(cell) for row in rows for cell in row if cell is not None)
        self.stats.rows += len(rows)
        self.stats.bytes += size
        if rows:
            self._row_bytes[table] = size / len(rows)

    def _rows_of_statement(self, table: str) -> int:
        """How many keys or rows the next statement to a table may have."""
        mean = self._row_bytes.get(table)
        return min(self._chunk, FIRST_ROWS if mean is None else max(1, int(STATEMENT_BYTES / max(1.0, mean))))


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _alike(keys: Sequence[Key]) -> list[list[int]]:
    """Places of the keys, together those that are NULL in the same columns: their statements are the same."""
    places: dict[tuple[bool, ...], list[int]] = defaultdict(list)
    for place, values in enumerate(keys):
        places[tuple(value is None for value in values)].append(place)
    return list(places.values())
