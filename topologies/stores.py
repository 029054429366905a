"""What looks into sinks' stores: for each sink that names its store, who reads rows back before fences, and who scrubs them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka.admin import AdminClient

from app.adapters.groups import SILENT, committed_offsets
from app.adapters.registry import Registry
from app.adapters.sql import Limits, open_store
from app.config.settings import Settings, SinkSettings
from app.errors import Unavailable
from app.worker.filling import Fillers
from app.worker.layout import Layout
from app.worker.looks import Looks
from app.worker.ports import Input
from app.worker.readback import Contract, ReadBack
from app.worker.scrub import Scrub, at_rest
from app.worker.store_rows import StoreRows
from app.worker.stores import image_decoder, store_terms
from topologies.changes import ChangeReader
from topologies.scrubbing import SlowRows

SCRUB_ROWS = 100
"""Rows of one statement of the scrub, fewer where its rate is lower: what a fence's look may have to wait for."""
SLOW_READER = {"queued.min.messages": 2_000, "queued.max.messages.kbytes": 4_096}
"""Who reads a log backwards has no use for what stands behind a stretch."""


@dataclass(frozen=True, slots=True)
class Stores:
    """By sink: who reads its rows back, who scrubs them, and the store that they share."""

    readers: Mapping[str, ReadBack]
    scrubs: Mapping[str, Scrub]
    rows: Mapping[str, StoreRows]

    async def close_idle(self) -> None:
        """Give connections back that nobody used for a minute: a database has only so many."""
        for one in self.rows.values():
            await asyncio.to_thread(one.close_idle)


def open_stores(
    settings: Settings,
    layout: Layout,
    registry: Registry,
    admin: AdminClient,
    client: Mapping[str, Any],
    group: str,
    fillers: Fillers,
) -> Stores:
    """The stores of all sinks that name one; no connection is made yet.

    Args:
        admin: asks what sinks have committed.
        client: librdkafka's connection settings; group: it wants one, nothing is committed.
    """
    sinks = {name: sink for name, sink in settings.sinks.items() if sink.store is not None}
    rows = {name: _rows(sink) for name, sink in sinks.items()}
    changes = ChangeReader(client, group)
    slow = ChangeReader({**client, **SLOW_READER}, group)
    return Stores(
        {name: _reader(settings, sink, rows[name], changes, registry, admin, fillers) for name, sink in sinks.items()},
        {
            name: _scrub(settings, sink, rows[name], slow, registry, admin, layout, fillers)
            for name, sink in sinks.items()
            if sink.scrub_rate
        },
        rows,
    )


def _rows(sink: SinkSettings) -> StoreRows:
    limits = Limits(rows_per_second=sink.read_back_rate or None, statement_timeout_ms=sink.read_back_timeout_ms)
    url = sink.store or ""
    return StoreRows(open_store(url, sink.store_password, limits), url.partition(":")[0])


def _progress(admin: AdminClient, sink: SinkSettings) -> Callable[[Input], Awaitable[int]]:
    return partial(committed, admin, sink.group or "")


async def committed(admin: AdminClient, group: str, source: Input) -> int:
    """The offset that a group will read next; 0 where nobody knows."""
    try:
        found = await asyncio.to_thread(committed_offsets, admin, group, [source])
    except SILENT as error:
        raise Unavailable(f"the committed offsets of {group} can't be read: {error}") from error
    return found.get(source, 0)


def _reader(
    settings: Settings,
    sink: SinkSettings,
    rows: StoreRows,
    changes: ChangeReader,
    registry: Registry,
    admin: AdminClient,
    fillers: Fillers,
) -> ReadBack:
    return ReadBack(
        Contract(
            sink=sink.name,
            terms=store_terms(settings, sink.name),
            share=sink.read_back_share,
            second_look_s=sink.second_look_ms / 1000,
        ),
        rows,
        changes,
        image_decoder(settings, registry),
        registry.fetch,
        _progress(admin, sink),
        _wall_ms,
        fillers=partial(fillers.of, sink.name),
    )


def _scrub(
    settings: Settings,
    sink: SinkSettings,
    rows: StoreRows,
    changes: ChangeReader,
    registry: Registry,
    admin: AdminClient,
    layout: Layout,
    fillers: Fillers,
) -> Scrub:
    terms = at_rest(store_terms(settings, sink.name))
    slow = SlowRows(rows, sink.scrub_rate)
    return Scrub(
        sink=sink.name,
        terms=terms,
        looks=Looks(
            sink.name,
            terms,
            slow,
            changes,
            _progress(admin, sink),
            sink.second_look_ms / 1000,
            fillers=partial(fillers.of, sink.name),
        ),
        log=changes,
        decoder=image_decoder(settings, registry),
        fetch_schemas=registry.fetch,
        rows_at_once=min(SCRUB_ROWS, sink.scrub_rate),
        partitions=layout.inputs.__getitem__,
        wall_ms=_wall_ms,
        clock=time.monotonic,
    )


def _wall_ms() -> int:
    return int(time.time() * 1000)
