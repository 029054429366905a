"""Which cells are read back before a fence."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np

from app.ledger.cells import Bit, CellSegment
from app.ledger.changes import KEY, ChangeSegment
from app.ledger.sink import SinkPartition
from app.model import BAD, SEGMENT_BITS, ChangeKind, State
from app.model.batches import Bools, Int64s, UInt64s

SEGMENTS_AT_ONCE = 8
"""Segments that are looked at before the event loop goes on with something else: some tens of milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Cells to be read back: ``int64[n]`` offsets ascending, and ``S16[n]`` the hashes of their keys."""

    offsets: Int64s
    keys: np.ndarray

    @property
    def halves(self) -> UInt64s:
        """``uint64[n]``: of each key's hash the first half."""
        return self.keys.view(np.uint64).reshape(-1, 2)[:, 0]


async def wanted(sink: SinkPartition, below: int, share: float) -> Wanted:
    """The cells below a progress that a fence there would judge and of whose content nothing is known.

    Of several changes of a key the newest: a store keeps no others. A cell without a key can't be read back. The fold may go on
    meanwhile: what it settles then is looked at for nothing.

    Args:
        share: the part of the cells that the fence would not call bad which are wanted all the same, 0 to 1; which ones
            follows from their keys and offsets alone.
    """
    offsets, keys, risks = [], [], []
    slices = sink.changes.slices(max(sink.fence, sink.beginning), below)
    for number, (segment, lo, hi) in enumerate(slices, 1):
        cells = sink.cells.get(segment.base >> SEGMENT_BITS)
        rows = np.flatnonzero(_is_wanted(sink, segment, cells, lo, hi)) + lo
        offsets.append(rows + segment.base)
        keys.append(segment.keys[rows])
        if share < 1:
            risks.append(_is_at_risk(sink, segment, cells, lo, hi)[rows - lo])
        if number % SEGMENTS_AT_ONCE == 0:
            await asyncio.sleep(0)
    if not offsets:
        return Wanted(offsets=np.zeros(0, np.int64), keys=np.zeros(0, KEY))
    return await asyncio.to_thread(_chosen, offsets, keys, risks, share)


def _is_wanted(sink: SinkPartition, segment: ChangeSegment, cells: CellSegment | None, lo: int, hi: int) -> Bools:
    states = sink.states(segment, cells, lo, hi)
    kinds = segment.kinds[lo:hi]
    mask: Bools = segment.has_key[lo:hi] & ((kinds == ChangeKind.UPSERT) | (kinds == ChangeKind.DELETE))
    mask &= states != State.EXEMPT
    if cells is not None:
        bits = cells.bits[lo:hi]  # a delete has no content: that its row is gone is seen in the store alone
        known = np.where(kinds == ChangeKind.DELETE, Bit.READ_BACK, Bit.WORD_HAS_FINGERPRINT)
        is_told = ((bits & Bit.GOOD) != 0) & ((bits & known) != 0)
        mask &= ~is_told & (cells.closed[lo:hi] == 0) & (states != State.REJECTED)
    return mask


def _is_at_risk(sink: SinkPartition, segment: ChangeSegment, cells: CellSegment | None, lo: int, hi: int) -> Bools:
    """``bool[hi - lo]``: whether a fence would call a cell bad by what is known of it."""
    is_silent = np.full(hi - lo, sink.contract.evidence == "receipts") | sink.view().skipped(segment.base, lo, hi)
    if cells is None:
        return is_silent
    bits = cells.bits[lo:hi]
    found: Bools = np.where(bits & Bit.HAS_RECEIPT, (bits & Bit.GOOD) == 0, is_silent)
    return found


def _chosen(offsets: list[Int64s], keys: list[np.ndarray], risks: list[Bools], share: float) -> Wanted:
    """Of each key the last row; of those, the ones at risk and a share of the others."""
    all_offsets, all_keys = np.concatenate(offsets), np.concatenate(keys)
    rows = _newest(all_keys)
    if share < 1:
        numbers = all_keys[rows].view(np.uint64).reshape(-1, 2)[:, 0]
        numbers = numbers ^ (all_offsets[rows].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
        lucky = (numbers >> np.uint64(11)) < np.uint64(int(share * (1 << 53)))
        rows = rows[lucky | np.concatenate(risks)[rows]]
    return Wanted(offsets=all_offsets[rows], keys=all_keys[rows])


def _newest(keys: np.ndarray) -> Int64s:
    """Of each key the last row, ascending."""
    first, second = np.ascontiguousarray(keys).view(np.uint64).reshape(-1, 2).T.copy()
    order = np.lexsort((second, first))  # stable: of one key the last row comes last
    first, second = first.take(order), second.take(order)  # other threads go on meanwhile
    is_last = np.ones(len(order), np.bool_)
    is_last[:-1] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    found: Int64s = np.sort(order.compress(is_last))
    return found


def with_bad(sink: SinkPartition, found: Wanted) -> Wanted:
    """With the open cells below the fence: a repair that nobody reports shows in the store."""
    bad = {
        straggler.offset: straggler.key
        for straggler in sink.stragglers.by_offset.values()
        if straggler.key is not None and straggler.state in BAD and straggler.state is not State.REJECTED
    }
    if not bad:
        return found
    offsets = np.array(sorted(bad), np.int64)
    keys = np.frombuffer(b"".join(bad[offset] or b"" for offset in offsets.tolist()), KEY)
    all_offsets, all_keys = np.concatenate([offsets, found.offsets]), np.concatenate([keys, found.keys])
    rows = _newest(all_keys)
    return Wanted(offsets=all_offsets[rows], keys=all_keys[rows])
