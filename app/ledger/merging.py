"""Making a lane offline, where a sink has several evidence logs (protocol section 3, "The lane").

Again and again the log whose head has the smallest (timestamp, topic, partition) gives its head. A log is one evidence
partition restricted to one sink and source partition; the order inside a log is never changed.
"""

from __future__ import annotations

import heapq

import numpy as np

from app.ledger.lane import RANK_BITS, ROW_COLUMNS, LaneRows, concatenate


def merge(logs: list[LaneRows]) -> LaneRows:
    """One lane of several logs; its ranks are places in the merged order.

    Each log is one `LaneRows` of a single evidence partition. The heads are records: the receipts of one batch stay
    together.
    """
    joined = concatenate(logs)
    order = _order(logs)
    columns = {name: getattr(joined, name)[order] for name in ROW_COLUMNS}
    columns["ranks"] = np.arange(len(order), dtype=np.int64)
    place = {int(row): index for index, row in enumerate(order)} if joined.texts else {}
    return LaneRows(logs=joined.logs, texts={place[row]: text for row, text in joined.texts.items()}, **columns)


def followed(lane: LaneRows, rows: LaneRows) -> LaneRows:
    """A lane with more rows behind it."""
    joined = concatenate([lane, rows])
    columns = {name: getattr(joined, name) for name in ROW_COLUMNS}
    columns["ranks"] = np.arange(len(joined), dtype=np.int64)
    return LaneRows(logs=joined.logs, texts=joined.texts, **columns)


def _order(logs: list[LaneRows]) -> np.ndarray:
    """Rows of the concatenated logs in merged order."""
    if len(logs) == 1:
        return np.arange(len(logs[0]))
    starts = np.cumsum([0, *(len(log) for log in logs)])
    heads: list[tuple[int, str, int, int, int]] = []
    spans = [_records(log) for log in logs]
    for number, log in enumerate(logs):
        if len(log):
            topic, partition = log.logs[int(log.log_index[0])]
            heads.append((int(log.timestamps[0]), topic, partition, number, 0))
    heapq.heapify(heads)
    order: list[np.ndarray] = []
    while heads:
        _, topic, partition, number, record = heapq.heappop(heads)
        lo, hi = spans[number][record], spans[number][record + 1]
        order.append(np.arange(lo, hi) + starts[number])
        if record + 2 < len(spans[number]):
            timestamp = int(logs[number].timestamps[hi])
            heapq.heappush(heads, (timestamp, topic, partition, number, record + 1))
    return np.concatenate(order) if order else np.zeros(0, np.int64)


def _records(log: LaneRows) -> list[int]:
    """First rows of a log's records, and its length."""
    if not len(log):
        return [0]
    changed = np.flatnonzero(np.diff(log.records) != 0) + 1
    return [0, *changed.tolist(), len(log)]


def without_repeats(lane: LaneRows) -> LaneRows:
    """An internal lane in its own order: routing is at least once, a routed record counts once.

    A record counts if its origin offset is not below the next one expected of its origin partition. The ranks are those of
    `lane_ranks`: rows of one lane record stay together, and the same record right behind it is a repetition.
    """
    expected: dict[int, int] = {}
    keep = np.ones(len(lane), np.bool_)
    place, is_new = -1, True
    origins = zip((lane.ranks >> RANK_BITS).tolist(), lane.log_index.tolist(), lane.records.tolist(), strict=True)
    for row, (record, log, offset) in enumerate(origins):
        if record != place:
            place, is_new = record, offset >= expected.get(log, 0)
            if is_new:
                expected[log] = offset + 1
        keep[row] = is_new
    rows = np.flatnonzero(keep)
    columns = {name: getattr(lane, name)[rows] for name in ROW_COLUMNS}
    columns["ranks"] = np.arange(len(rows), dtype=np.int64)
    places = {int(row): index for index, row in enumerate(rows)}
    texts = {places[row]: text for row, text in lane.texts.items() if row in places}
    return LaneRows(logs=lane.logs, texts=texts, **columns)
