"""Faults that must leave no trace: each is there for a while, and several of different parts at once.

What breaks last is mended first, so that a part is only asked to come back when what it needs is there.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from tests.stack.connectors import TASKS
from tests.stack.watching import ROLE

if TYPE_CHECKING:
    from tests.soak.run import Soak

Fault = Callable[["Soak"], AbstractContextManager[str]]
"""A context manager that breaks something, says what, and mends it."""


# ---------------------------------------------------------------- Connect and the sinks


@contextmanager
def connect_killed(soak: Soak) -> Iterator[str]:
    """``kill -9`` in the middle of the work."""
    soak.connect.kill()
    yield "Connect killed"
    soak.connect.begin()
    soak.connect.await_up()


@contextmanager
def sink_stopped(soak: Soak) -> Iterator[str]:
    """Its tasks are gone, and nobody is in its group."""
    sink = soak.any_sink()
    soak.connect.halt(sink)
    yield f"{sink} stopped"
    soak.connect.resume(sink)


@contextmanager
def sink_paused(soak: Soak) -> Iterator[str]:
    """Its tasks stay in the group, and do nothing."""
    sink = soak.any_sink()
    soak.connect.pause(sink)
    yield f"{sink} paused"
    soak.connect.resume(sink)


@contextmanager
def sink_rebalanced(soak: Soak) -> Iterator[str]:
    """More or fewer tasks while it works."""
    sink, tasks = soak.any_sink(), soak.rng.choice([1, TASKS + 1])
    with soak.connect.rebalanced(sink, tasks=tasks):
        yield f"{sink} with {tasks} tasks"


@contextmanager
def task_restarted(soak: Soak) -> Iterator[str]:
    sink, task = soak.any_sink(), soak.rng.randrange(TASKS)
    soak.connect.restart_task(sink, task)
    yield f"task {task} of {sink} restarted"


# ---------------------------------------------------------------- the worker


@contextmanager
def worker_killed(soak: Soak) -> Iterator[str]:
    soak.kill(soak.worker)
    yield "worker killed"
    soak.start(soak.worker)


@contextmanager
def worker_restarted(soak: Soak) -> Iterator[str]:
    """In order, as a deployment does."""
    soak.stop(soak.worker)
    yield "worker stopped"
    soak.start(soak.worker)


@contextmanager
def disk_lost(soak: Soak) -> Iterator[str]:
    """The worker comes again with an empty disk."""
    soak.kill(soak.worker)
    shutil.rmtree(soak.worker.state, ignore_errors=True)  # not there where it had not come so far
    yield "worker killed, its disk lost"
    soak.start(soak.worker)


@contextmanager
def worker_frozen(soak: Soak) -> Iterator[str]:
    """For longer than its session, perhaps: then it goes on as if nothing had been."""
    assert soak.worker.process is not None
    soak.worker.process.send_signal(signal.SIGSTOP)
    try:
        yield "worker frozen"
    finally:
        soak.worker.process.send_signal(signal.SIGCONT)


@contextmanager
def second_worker(soak: Soak) -> Iterator[str]:
    """It takes half of the partitions, and gives them back, or dies with them."""
    soak.start(soak.second)
    is_orderly = soak.rng.random() < 0.5
    yield "a second worker"
    if is_orderly:
        soak.stop(soak.second)
    else:
        soak.kill(soak.second)


# ---------------------------------------------------------------- what both stand on


@contextmanager
def store_shut(soak: Soak) -> Iterator[str]:
    """To the verifier alone."""
    sql = soak.pipeline.world.postgres.sql
    sql("postgres", f"alter role {ROLE} nologin")
    sql("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [ROLE])
    yield "stores shut to the verifier"
    sql("postgres", f"alter role {ROLE} login")


@contextmanager
def store_away(soak: Soak) -> Iterator[str]:
    """To the sink, too, whose tasks may fail."""
    sink, sql = soak.any_sink(), soak.pipeline.world.postgres.sql
    sql("postgres", f'alter database "{sink}" allow_connections false')
    sql("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [sink])
    yield f"store of {sink} away"
    sql("postgres", f'alter database "{sink}" allow_connections true')


@contextmanager
def registry_frozen(soak: Soak) -> Iterator[str]:
    """It takes connections and answers nothing: what it knows is in its memory, so it can't be killed."""
    os.kill(soak.pipeline.world.registry.pid, signal.SIGSTOP)
    try:
        yield "registry frozen"
    finally:
        os.kill(soak.pipeline.world.registry.pid, signal.SIGCONT)


@contextmanager
def broker_away(soak: Soak) -> Iterator[str]:
    """Stopped in order, or killed."""
    is_killed = soak.rng.random() < 0.5
    soak.broker.stop(signal.SIGKILL if is_killed else signal.SIGTERM)
    yield "broker killed" if is_killed else "broker stopped"
    soak.broker.start()


FAULTS: tuple[tuple[Fault, ...], ...] = (
    (connect_killed, sink_stopped, sink_stopped, sink_paused, sink_rebalanced, task_restarted),
    (worker_killed, worker_restarted, disk_lost, worker_frozen, second_worker),
    (store_shut, store_away, registry_frozen, broker_away),
)
"""Of each group at most one at a time, in this order."""
