"""State as bytes: what a snapshot of the fold writes, block by block.

A block is ``uint32 header size`` (little-endian), a JSON header, then the arrays that the header names, back to back. The
header gives each array's name, dtype, shape and form in order (`app.ledger.columns`), so that a block explains itself.

Blocks are: one per (topic, segment) of changes, one per (sink, topic, segment) of cells, one of the small state of each
source partition and of each (sink, source partition). Loading the blocks of one snapshot gives the fold as it was.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from app.errors import InvariantBroken
from app.ledger import columns
from app.ledger.cells import COLUMNS as CELL_ARRAYS
from app.ledger.cells import CellSegment, Receipt
from app.ledger.changes import COLUMNS as CHANGE_ARRAYS
from app.ledger.changes import Changes, ChangeSegment
from app.ledger.keyed import Later
from app.ledger.lane import ROW_COLUMNS, LaneRows, concatenate
from app.ledger.sink import SinkPartition
from app.ledger.status import Status
from app.ledger.stragglers import Straggler
from app.ledger.terms import Agreed
from app.model import Batch, ChangeBatch, EvidenceBatch, Origin, SinkTopic, State

VERSION = 2
READABLE = (1, VERSION)
"""Version 1 knew no forms: every array stood whole."""
Header = dict[str, Any]
Arrays = dict[str, np.ndarray]

_BATCH_TEXTS = ("commands", "errors", "evidence", "reasons")


def pack(header: Header, arrays: Mapping[str, np.ndarray]) -> bytes:
    """One block."""
    described, parts = columns.packed(arrays)
    text = json.dumps({"version": VERSION, "arrays": described, **header}, separators=(",", ":")).encode()
    return b"".join([struct.pack("<I", len(text)), text, *parts])


def unpack(block: bytes) -> tuple[Header, Arrays]:
    """A block's header and arrays (copies, writable); raises `InvariantBroken` for a version that is not ours."""
    (size,) = struct.unpack_from("<I", block)
    header = json.loads(block[4 : 4 + size])
    if header.get("version") not in READABLE:
        raise InvariantBroken(
            f"the state on disk is of version {header.get('version')}, this program writes {VERSION}: "
            "run the version that wrote it, or delete the state directory to rebuild it from the ledger topic"
        )
    return header, columns.unpacked(header["arrays"], block, 4 + size)


# -------------------------------------------------------------------- segments


def pack_changes(segment: ChangeSegment) -> bytes:
    """The changes of one segment."""
    arrays = {name: getattr(segment, name) for name in CHANGE_ARRAYS}
    if not segment.left_out.any():  # most contracts leave nothing out
        del arrays["left_out"]
    return pack({"reasons": {str(index): text for index, text in segment.reasons.items()}}, arrays)


def unpack_changes(number: int, block: bytes) -> ChangeSegment:
    """The changes of one segment."""
    header, arrays = unpack(block)
    segment = ChangeSegment(number, arrays["fingerprints"].shape[1])
    for name in CHANGE_ARRAYS:
        if name in arrays:  # what nothing is left out of has no such array, nor has a store of an older version
            setattr(segment, name, arrays[name])
    segment.reasons = {int(index): text for index, text in header["reasons"].items()}
    return segment


def pack_cells(cells: CellSegment) -> bytes:
    """One sink's cells of one segment."""
    return pack({}, {name: getattr(cells, name) for name in CELL_ARRAYS})


def unpack_cells(number: int, block: bytes) -> CellSegment:
    """One sink's cells of one segment."""
    _, arrays = unpack(block)
    cells = CellSegment(number)
    for name in CELL_ARRAYS:
        setattr(cells, name, arrays[name])
    return cells


# -------------------------------------------------------------------- small state

_CHANGES_FIELDS = ("first", "next", "read", "expired", "forgotten")
_SINK_FIELDS = (
    "generation", "epoch", "beginning", "fence", "frontier", "horizon", "at", "fence_at", "is_ended", "is_evidence_lost",
    "is_compacted", "queued", "seals", "sealed_at", "since", "unseen", "is_begun",
)  # fmt: skip
_SINK_SETS = ("verified_stop", "truncates", "orphans", "unsealed")
_LATER_FIELDS = Later.__slots__


def pack_source(changes: Changes) -> bytes:
    """The counters of one source partition, and which segments it has."""
    header = {name: getattr(changes, name) for name in _CHANGES_FIELDS}
    return pack({**header, "segments": runs_of(changes.segments)}, {})


def runs_of(numbers: Iterable[int]) -> list[list[int]]:
    """Ascending numbers as runs, the last of each included.

    >>> runs_of([3, 4, 5, 9])
    [[3, 5], [9, 9]]
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def segments_of(block: bytes) -> list[int] | None:
    """Numbers of the segments that a block of `pack_source` or `pack_sink` tells; None where an older version wrote it."""
    found = unpack(block)[0].get("segments")
    return None if found is None else [number for first, last in found for number in range(first, last + 1)]


def restore_source(changes: Changes, block: bytes) -> None:
    """Give a source partition its counters; which segments it has is known before."""
    header, _ = unpack(block)
    for name in _CHANGES_FIELDS:
        setattr(changes, name, header.get(name, 0))  # a store of an older version knows less
    changes.remember_positions()


def pack_sink(sink: SinkPartition) -> bytes:
    """Everything of one (sink, source partition) that is not in its segments."""
    header: Header = {name: getattr(sink, name) for name in _SINK_FIELDS}
    header["segments"] = runs_of(sink.cells)
    header["seal_hash"] = sink.seal_hash.hex()
    header["skips"] = sink.skips
    header["status"] = None if sink.status is None else sink.status.packed()
    header["terms"] = sink.terms.packed()
    header["tally"] = {
        "rows": dict(sorted(sink.tally.rows.items())),
        "closed": sink.tally.closed.tolist(),
        "flags": sink.tally.flags.tolist(),
        "levels": sink.tally.levels.tolist(),
        "left": sink.tally.left,
    }
    header["parked"] = [[_receipt(receipt), offset] for receipt, offset in sink.parked]
    header["errors"] = {str(offset): text for offset, text in sink.errors.items()}
    header["far"] = [[_receipt(receipt), offset] for receipt, offset in sink.far]
    arrays: Arrays = {"touched": np.concatenate([np.zeros(0, np.int64), *sink.touched])}
    arrays |= {name: _sorted(getattr(sink, name)) for name in _SINK_SETS}
    arrays["dirty"] = _sorted(sink.stragglers.dirty)
    header["commands"] = sorted({s.command for s in sink.stragglers.by_offset.values() if s.command is not None})
    arrays |= _straggler_arrays([s for _, s in sorted(sink.stragglers.by_offset.items())], header["commands"])
    if sink.queue:
        queue = concatenate(list(sink.queue))
        header["queue"] = {"logs": queue.logs, "texts": {str(row): text for row, text in queue.texts.items()}}
        arrays |= {name: getattr(queue, name) for name in ROW_COLUMNS}
    return pack(header, arrays)


def restore_sink(sink: SinkPartition, block: bytes) -> None:
    """Give a (sink, source partition) its state; which segments it has is known before."""
    header, arrays = unpack(block)
    for name in _SINK_FIELDS:
        setattr(sink, name, header.get(name, getattr(sink, name)))  # a store of an older version knows less
    for name in _SINK_SETS:  # an older version had them, as the stragglers, in the header
        setattr(sink, name, set(header[name] if name in header else arrays[name].tolist()))
    sink.seal_hash = bytes.fromhex(header["seal_hash"])
    sink.terms = Agreed.unpacked(header["terms"])
    sink.skips = [(lo, hi) for lo, hi in header["skips"]]
    status = header.get("status")  # none in what an older version wrote
    sink.status = None if status is None else Status(**status)
    tally = header["tally"]
    sink.tally.rows.update(tally["rows"])
    sink.tally.closed[:] = tally["closed"]
    sink.tally.flags[:] = tally["flags"]
    sink.tally.levels[:] = tally.get("levels", 0)  # a store of an older version has not counted them
    sink.tally.left = tally["left"]
    sink.parked = [(Receipt(**receipt), offset) for receipt, offset in header["parked"]]
    sink.errors = {int(offset): text for offset, text in header.get("errors", {}).items()}
    sink.far = [(Receipt(**receipt), offset) for receipt, offset in header["far"]]
    for straggler in _stragglers(header, arrays):
        sink.stragglers.add(straggler)
    sink.stragglers.dirty = set(header["dirty"] if "dirty" in header else arrays["dirty"].tolist())
    sink.touched = [arrays["touched"]] if len(arrays["touched"]) else []
    if "queue" in header:
        sink.queue.append(
            LaneRows(
                logs=[(topic, partition) for topic, partition in header["queue"]["logs"]],
                texts={int(row): tuple(text) for row, text in header["queue"]["texts"].items()},
                **{name: arrays[name] for name in ROW_COLUMNS},
            )
        )


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {name: getattr(receipt, name) for name in Receipt.__dataclass_fields__}


def _sorted(offsets: Collection[int]) -> np.ndarray:
    return np.sort(np.fromiter(offsets, np.int64, len(offsets)))


_STRAGGLER_FIELDS = ("offset", "kind", "state", "flags")


def _straggler_arrays(stragglers: Sequence[Straggler], commands: Sequence[str]) -> Arrays:
    """Columns of the stragglers: a sink may have a hundred thousand, and every snapshot writes them."""
    places = {command: place for place, command in enumerate(commands)}
    found = {name: _column(getattr(s, name) for s in stragglers) for name in _STRAGGLER_FIELDS}
    for name in _LATER_FIELDS:
        column = _column(getattr(s.later, name) for s in stragglers)
        found[name] = column.astype(np.bool_) if name.startswith("is_") else column
    found["command"] = _column(-1 if s.command is None else places[s.command] for s in stragglers)
    found["has_key"] = _column(s.key is not None for s in stragglers)
    found["key"] = np.frombuffer(b"".join(s.key or bytes(16) for s in stragglers), np.uint8)
    return {f"straggler_{name}": array for name, array in found.items()}


def _column(values: Iterable[int]) -> np.ndarray:
    return np.fromiter(values, np.int64)


def _stragglers(header: Header, arrays: Arrays) -> Iterator[Straggler]:
    for fields in header.get("stragglers", ()):
        yield _to_straggler(fields)
    if "straggler_key" not in arrays:
        return
    keys, commands = arrays["straggler_key"].tobytes(), [*header["commands"], None]
    columns = [arrays[f"straggler_{name}"] for name in (*_STRAGGLER_FIELDS, "command", "has_key", *_LATER_FIELDS)]
    for row, told in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        offset, kind, state, flags, command, has_key, *later = told
        key = keys[16 * row : 16 * row + 16] if has_key else None
        straggler = Straggler(offset, key, kind, State(state), flags)
        straggler.command = commands[command]
        for name, value in zip(_LATER_FIELDS, later, strict=True):
            setattr(straggler.later, name, value)
        yield straggler


def _to_straggler(fields: dict[str, Any]) -> Straggler:
    key = None if fields["key"] is None else bytes.fromhex(fields["key"])
    straggler = Straggler(fields["offset"], key, fields["kind"], State(fields["state"]), fields["flags"])
    straggler.command = fields["command"]
    for name, value in fields["later"].items():
        setattr(straggler.later, name, value)
    return straggler


# -------------------------------------------------------------------- input batches (the deltas between snapshots)

_CHANGE_COLUMNS = tuple(
    name for name in ChangeBatch.__dataclass_fields__ if name not in {"topic", "partition", "start", "next", "reasons"}
)
_EVIDENCE_COLUMNS = tuple(
    name
    for name in EvidenceBatch.__dataclass_fields__
    if name not in {"topic", "partition", "start", "next", "names", "origins", "unreadable", *_BATCH_TEXTS}
)


def pack_batch(batch: Batch) -> bytes:
    """One decoded batch."""
    return _pack_changes(batch) if isinstance(batch, ChangeBatch) else _pack_evidence(batch)


def _pack_changes(batch: ChangeBatch) -> bytes:
    header = {"topic": batch.topic, "partition": batch.partition, "start": batch.start, "next": batch.next}
    header["reasons"] = {str(row): text for row, text in batch.reasons.items()}
    columns = {name: getattr(batch, name) for name in _CHANGE_COLUMNS}
    return pack({"kind": "changes", **header}, {name: array for name, array in columns.items() if array is not None})


def _pack_evidence(batch: EvidenceBatch) -> bytes:
    header: Header = {"topic": batch.topic, "partition": batch.partition, "start": batch.start, "next": batch.next}
    header["names"] = [list(name) for name in batch.names]
    header["origins"] = {str(row): list(origin) for row, origin in batch.origins.items()}
    header["unreadable"] = batch.unreadable
    header |= {name: {str(row): text for row, text in getattr(batch, name).items()} for name in _BATCH_TEXTS}
    return pack({"kind": "evidence", **header}, {name: getattr(batch, name) for name in _EVIDENCE_COLUMNS})


def unpack_batch(block: bytes) -> Batch:
    """A batch as it was packed."""
    header, arrays = unpack(block)
    columns: dict[str, Any] = arrays
    where: dict[str, Any] = {name: header[name] for name in ("topic", "partition", "start", "next")}
    if header["kind"] == "changes":
        reasons = _rows(header["reasons"], str)
        return ChangeBatch(**where, reasons=reasons, **columns)
    return EvidenceBatch(
        **where,
        names=[SinkTopic(*name) for name in header["names"]],
        origins=_rows(header["origins"], lambda origin: Origin(*origin)),
        unreadable=[(offset, reason) for offset, reason in header["unreadable"]],
        commands=_rows(header["commands"], str),
        errors=_rows(header["errors"], lambda error: (error[0], error[1])),
        evidence=_rows(header["evidence"], str),
        reasons=_rows(header["reasons"], str),
        **columns,
    )


def _rows(texts: dict[str, Any], make: Callable[[Any], Any]) -> dict[int, Any]:
    return {int(row): make(text) for row, text in texts.items()}
