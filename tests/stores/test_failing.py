"""What a store does while its database is away, frozen or locked; the same of both engines."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from app.adapters.sql import DatabaseStore, Limits, open_store
from app.config.kinds import Secret
from app.errors import Unavailable
from tests.stack.process import wait_until
from tests.stores import mariadb, postgres
from tests.stores.mariadb import MariaDb
from tests.stores.postgres import Postgres

BRISK = Limits(
    rows_per_second=0, connect_timeout_ms=1, statement_timeout_ms=300, failures_to_open=3, first_pause_ms=10_000
)
Server = Postgres | MariaDb
PASSWORDS = {Postgres: postgres.PASSWORD, MariaDb: mariadb.PASSWORD}


class HandMoved:
    """A clock that stands until it is moved, or something sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(params=["pg", "maria"])
def server(request) -> Server:
    found: Server = request.getfixturevalue(request.param)
    found.execute(
        "DROP TABLE IF EXISTS kept",
        "CREATE TABLE kept (id int PRIMARY KEY, n text)",
        "INSERT INTO kept VALUES (1, 'one')",
    )
    return found


@pytest.fixture(params=["pg", "maria"])
def mortal(request) -> Iterator[Server]:
    """A server of the test's own, which it may kill."""
    module = {"pg": postgres, "maria": mariadb}[request.param]
    if reason := module.is_missing():
        pytest.skip(reason)
    found: Server = {"pg": Postgres, "maria": MariaDb}[request.param]()
    try:
        found.start()
        found.execute("CREATE TABLE kept (id int PRIMARY KEY, n text)", "INSERT INTO kept VALUES (1, 'one')")
        yield found
    finally:
        found.stop()


def opened(server: Server, limits: Limits = BRISK, **more: Any) -> DatabaseStore:
    return open_store(server.url(), Secret(PASSWORDS[type(server)]), limits, **more)


def read(store: DatabaseStore) -> list[Any]:
    return store.read("kept", ["id"], [["1"], ["2"]], ["n"])


def test_a_server_killed_in_between_is_unavailable_until_it_is_back_and_the_breaker_spares_it(mortal):
    clock = HandMoved()
    store = opened(mortal, clock=clock, sleep=clock.sleep)
    found = [("one",), None]
    assert read(store) == found

    mortal.kill()
    for _ in range(3):
        with pytest.raises(Unavailable, match=rf"127.0.0.1:{mortal.port}/\w+, table kept: "):
            read(store)
    assert store.breaker.state == "open"
    mortal.start()
    with pytest.raises(Unavailable, match=r"left alone for 10.0 s more"):
        read(store)
    clock.now += 10.0

    assert store.breaker.state == "half-open"
    assert read(store) == found
    assert store.breaker.state == "closed"
    assert (store.stats.connects, store.stats.failures) == (2, 3)
    store.close()


def test_a_frozen_server_is_hung_up_on(mortal, monkeypatch):
    monkeypatch.setattr("app.adapters.sql.postgres.GRACE_S", 0.2)
    monkeypatch.setattr("app.adapters.sql.mysql.GRACE_S", 0.2)
    store = opened(mortal)
    assert read(store) == [("one",), None]
    mortal.send(signal.SIGSTOP)  # the first, so that it starts no more
    pids = _processes(mortal)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: all(map(_stands, pids)), "every thread stands")
        with pytest.raises(Unavailable, match=r"did not answer within 0.5 s|timed out"):
            read(store)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: _reads(store), "it is read again")
    store.close()


def test_a_locked_table_costs_the_timeout_and_no_more(server):
    store = opened(server)
    assert read(store) == [("one",), None]

    with server.connect() as holder:
        cursor = holder.cursor()
        for statement in ["BEGIN", "LOCK TABLE kept"] if isinstance(server, Postgres) else ["LOCK TABLES kept WRITE"]:
            cursor.execute(statement)
        with pytest.raises(Unavailable, match=r"table kept: .*(timeout|too long|max_statement_time)"):
            read(store)

    assert store.stats.busy_seconds < 20
    assert read(store) == [("one",), None]
    store.close()


def test_a_wrong_password_is_unavailable_and_never_told(server):
    store = open_store(server.url(), Secret("wr0ng-äöü-☃"), BRISK)

    with pytest.raises(Unavailable, match=r"(?i)password") as caught:
        read(store)

    told = "".join(traceback.format_exception(caught.value)) + repr(store) + repr(caught.value) + str(vars(store))
    assert "wr0ng" not in told
    assert "127.0.0.1" in str(caught.value)


def test_the_right_password_is_in_no_repr_either(server):
    store = opened(server)
    read(store)

    assert "s3cret" not in repr(store) + str(vars(store)) + repr(store._session) + str(store.stats)
    store.close()
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(store)


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_something_that_listens_and_says_nothing_is_unavailable_in_time(engine, monkeypatch):
    monkeypatch.setattr("app.adapters.sql.mysql.GRACE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = open_store(f"{engine}://me@127.0.0.1:{silent.getsockname()[1]}/db", None, BRISK)

        with pytest.raises(Unavailable, match=f"{engine} 127.0.0.1:"):
            read(store)


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x05\0\0\0\x0a5.5.\0", b"\0" * 300, b"\x01\0\0\0\x0a"], ids=len
)
def test_something_that_speaks_another_language_is_unavailable(engine, greeting):
    def answer() -> None:
        with suppress(OSError):  # TLS is asked for, and again without
            while True:
                talking, _ = other.accept()
                talking.sendall(greeting)
                talking.shutdown(socket.SHUT_WR)
                talking.close()

    with socket.create_server(("127.0.0.1", 0)) as other:
        Thread(target=answer, daemon=True).start()
        store = open_store(f"{engine}://me@127.0.0.1:{other.getsockname()[1]}/db", None, BRISK)

        with pytest.raises(Unavailable, match=f"{engine} 127.0.0.1:"):
            read(store)
        other.shutdown(socket.SHUT_RDWR)


def test_rows_are_read_no_faster_than_the_limit_and_cost_its_seconds(server):
    clock = HandMoved()
    store = opened(
        server, Limits(rows_per_second=50, statement_timeout_ms=5_000, idle_ms=10**9), clock=clock, sleep=clock.sleep
    )

    store.read("kept", ["id"], [[str(n)] for n in range(500)], ["n"])

    assert store.stats.statements == 10 + 1
    assert clock.now == pytest.approx(9.0)
    assert store.stats.waited_seconds == pytest.approx(9.0)
    store.close()


def test_large_rows_come_a_few_at_a_time(server):
    server.execute(
        "DROP TABLE IF EXISTS large",
        "CREATE TABLE large (id int PRIMARY KEY, b text)"
        if isinstance(server, Postgres)
        else "CREATE TABLE large (id int PRIMARY KEY, b longtext)",
        *(f"INSERT INTO large VALUES ({n}, repeat('x', 1000000))" for n in range(40)),
    )
    store = opened(server, Limits(rows_per_second=0, chunk_rows=4))
    keys = [[str(n)] for n in range(40)]
    store.read("large", ["id"], keys[:1], ["b"])
    store._chunk = 1_000

    assert None not in store.read("large", ["id"], keys, ["b"])
    assert store.stats.statements == 1 + 1 + 5
    assert store.stats.bytes == 41_000_000
    store.close()


def test_a_connection_is_closed_when_it_was_idle_and_opened_again_at_need(server):
    clock = HandMoved()
    store = opened(server, clock=clock, sleep=clock.sleep)
    read(store)
    store.close_idle()
    assert store._session is not None

    clock.now += 60.0
    store.close_idle()

    assert store._session is None
    assert read(store) == [("one",), None]
    assert store.stats.connects == 2
    clock.now += 60.0
    assert read(store) == [("one",), None]
    assert store.stats.connects == 3
    store.close()


def test_many_threads_share_one_connection_in_turns(server):
    store = opened(server, Limits(rows_per_second=0))
    found: list[Any] = []
    threads = [Thread(target=lambda: found.append(read(store))) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert found == [[("one",), None]] * 8
    assert store.stats.connects == 1
    store.close()


def _processes(server: Server) -> list[int]:
    """The server's process and those that it started."""
    assert server.process is not None
    main = server.process.pid
    return [main, *map(int, Path(f"/proc/{main}/task/{main}/children").read_text().split())]


def _stands(pid: int) -> bool:
    """Whether every thread of a process is stopped, or ended; a signal reaches them one by one."""
    states = [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) <= {"T", "Z"}


def _reads(store: DatabaseStore) -> bool:
    try:
        return read(store) == [("one",), None]
    except Unavailable:
        return False
