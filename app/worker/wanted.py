"""Which cells are read back before a fence, and which changes say what their rows must be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.ledger.cells import Bit
from app.ledger.changes import KEY
from app.ledger.rules import View
from app.ledger.sink import SinkPartition
from app.model import BAD, ChangeKind, State
from app.model.batches import Int64s

CARRIED = 8
"""How many earlier changes of a key are fetched for the values that a change leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Cells to be read back: ``int64[n]`` offsets ascending, and ``S16[n]`` the hashes of their keys."""

    offsets: Int64s
    keys: np.ndarray

    def part(self, lo: int, hi: int) -> Wanted:
        """Some of them."""
        return Wanted(offsets=self.offsets[lo:hi], keys=self.keys[lo:hi])

    def only(self, offsets: list[int]) -> Wanted:
        """Those at some offsets."""
        rows = np.isin(self.offsets, offsets)
        return Wanted(offsets=self.offsets[rows], keys=self.keys[rows])


def wanted(sink: SinkPartition, below: int, share: float) -> Wanted:
    """The cells below a progress that a fence there would judge and of whose content nothing is known.

    Of several changes of a key the newest: a store keeps no others. A cell without a key can't be read back.

    Args:
        share: the part of the cells that the fence would not call bad which are wanted all the same, 0 to 1; which ones
            follows from their keys and offsets alone.
    """
    offsets, keys = [], []
    for segment, lo, hi in sink.changes.slices(max(sink.fence, sink.beginning), below):
        cells = sink.cells.get(segment.base >> 12)
        states = sink.states(segment, cells, lo, hi)
        kinds = segment.kinds[lo:hi]
        mask = segment.has_key[lo:hi] & ((kinds == ChangeKind.UPSERT) | (kinds == ChangeKind.DELETE))
        mask &= states != State.EXEMPT
        if cells is not None:
            bits = cells.bits[lo:hi]  # a delete has no content: that its row is gone is seen in the store alone
            known = np.where(kinds == ChangeKind.DELETE, Bit.READ_BACK, Bit.WORD_HAS_FINGERPRINT)
            is_told = ((bits & Bit.GOOD) != 0) & ((bits & known) != 0)
            mask &= ~is_told & (cells.closed[lo:hi] == 0) & (states != State.REJECTED)
        rows = np.flatnonzero(mask) + lo
        offsets.append(rows + segment.base)
        keys.append(segment.keys[rows])
    found = _newest(np.concatenate(offsets), np.concatenate(keys)) if offsets else _nothing()
    if share < 1:
        found = _sampled(sink, found, share)
    return found


def _nothing() -> Wanted:
    return Wanted(offsets=np.zeros(0, np.int64), keys=np.zeros(0, KEY))


def _newest(offsets: Int64s, keys: np.ndarray) -> Wanted:
    """Of each key the last row."""
    _, last = np.unique(keys[::-1], return_index=True)
    rows = np.sort(len(keys) - 1 - last)
    return Wanted(offsets=offsets[rows], keys=keys[rows])


def _sampled(sink: SinkPartition, found: Wanted, share: float) -> Wanted:
    """Those that a fence would call bad, and a share of the others."""
    numbers = found.keys.view(np.uint64).reshape(-1, 2)[:, 0] ^ (
        found.offsets.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    )
    lucky = (numbers >> np.uint64(11)) < np.uint64(int(share * (1 << 53)))
    view = sink.view()
    rows = lucky | np.array([_is_at_risk(sink, view, offset) for offset in found.offsets.tolist()], np.bool_)
    return Wanted(offsets=found.offsets[rows], keys=found.keys[rows])


def _is_at_risk(sink: SinkPartition, view: View, offset: int) -> bool:
    """Whether a fence would call a cell bad by what is known of it."""
    bits = sink.word(offset).bits
    if bits & Bit.HAS_RECEIPT:
        return not bits & Bit.GOOD
    return sink.contract.evidence == "receipts" or view.is_skipped(offset)


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
    return _newest(np.concatenate([offsets, found.offsets]), np.concatenate([keys, found.keys]))


def last_lost(sink: SinkPartition) -> int:
    """The highest offset that is held and expired before it was read: it may have been a change of any key; -1 for none."""
    for number in sorted(sink.changes.segments, reverse=True):
        segment = sink.changes.segments[number]
        rows = np.flatnonzero(segment.kinds == ChangeKind.LOST)
        if len(rows):
            return segment.base + int(rows[-1])
    return -1


def history_of(sink: SinkPartition, asked: Wanted, *, has_truncates: bool) -> list[int]:
    """Offsets of the changes that say what the rows must be: of each key those asked for, all later ones, some earlier.

    Args:
        has_truncates: whether truncates empty the sink's table, so that they are changes of every key.
    """
    if not len(asked.offsets):
        return []
    offsets, keys, others = [], [], []
    for segment, lo, hi in sink.changes.slices(max(sink.changes.first, 0), sink.changes.next):
        kinds = segment.kinds[lo:hi]
        has_key, is_unreadable = segment.has_key[lo:hi], kinds == ChangeKind.UNREADABLE
        mask = has_key & ((kinds == ChangeKind.UPSERT) | (kinds == ChangeKind.DELETE) | is_unreadable)
        mask &= np.isin(segment.keys[lo:hi], asked.keys)
        rows = np.flatnonzero(mask) + lo
        offsets.append(rows + segment.base)
        keys.append(segment.keys[rows])
        mask = is_unreadable & ~has_key  # it may be a change of any key
        if has_truncates:
            mask |= kinds == ChangeKind.TRUNCATE
        others.append(np.flatnonzero(mask) + lo + segment.base)
    all_offsets, all_keys = np.concatenate(offsets), np.concatenate(keys)
    lowest = dict(zip(asked.keys.tolist(), asked.offsets.tolist(), strict=True))  # a key is asked for once
    found: set[int] = set(asked.offsets.tolist())
    earlier: dict[bytes, list[int]] = {}
    for offset, key in zip(all_offsets.tolist(), all_keys.tolist(), strict=True):
        if offset >= lowest[key]:
            found.add(offset)
        else:
            earlier.setdefault(key, []).append(offset)
    for before in earlier.values():
        found.update(before[-CARRIED:])
    first = min(found)
    found.update(offset for part in others for offset in part.tolist() if offset >= first)
    return sorted(found)
