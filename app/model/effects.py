"""What the fold emits: plain records, made of state alone, that the outbox carries to Kafka.

Every effect can be made twice and means the same (law 7): verdicts and commands carry ids from `app.model.identity`.
Avro forms stand in ``schemas/``, their encoders in `app.adapters.encode`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.model.batches import Origin
from app.model.words import ChangeKind, Flag, Level, State


class CommandReason(StrEnum):
    """Why a change is commanded (protocol section 5)."""

    MISSING = "MISSING"
    DIVERGED = "DIVERGED"
    REJECTED = "REJECTED"

    @classmethod
    def of(cls, state: State) -> CommandReason:
        """The reason that a bad state gives; raises KeyError for a state that is never commanded."""
        return cls[state.name]


class CommandKind(StrEnum):
    """What a commanded change is; UNKNOWN is one that can't be read."""

    UPSERT = "UPSERT"
    DELETE = "DELETE"
    TRUNCATE = "TRUNCATE"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def of(cls, kind: ChangeKind) -> CommandKind:
        """The commanded kind of a change."""
        return cls.__members__.get(kind.name, cls.UNKNOWN)


class CommandAction(StrEnum):
    """What a command asks for: the change again, or the whole table anew."""

    REDELIVER = "REDELIVER"
    SNAPSHOT = "SNAPSHOT"


class CommandMode(StrEnum):
    """Whether a command is to be carried out or only shown."""

    APPLY = "APPLY"
    DRY_RUN = "DRY_RUN"

    @classmethod
    def of(cls, setting: str) -> CommandMode:
        """The mode that a contract's ``mode`` means: ``apply`` or ``dry-run``; one that observes makes no commands."""
        return cls(setting.upper().replace("-", "_"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a fence found about one cell that is bad or unverifiable, or how such a cell closed.

    Attributes:
        id: `identity.verdict_id` of the cell and the fence.
        change: the kind of change.
        key_hash: 16 bytes, None for a null key.
        expected_fingerprint, seen_fingerprint: 8 bytes little-endian; the last word's is the seen one.
        fence, fence_origin: the fence's offset, and its coordinates in its evidence log.
        closed: nothing changes the cell any more, so an alert of it can clear.
        reason: why a change is undecodable or what a sink's error said, where there is such a text.
        at: the highest ``at`` of the lane's marks, ms since the epoch.
        level: of the evidence that it stands on; None where that is silence, or nothing is known.
    """

    id: str
    sink: str
    generation: int
    topic: str
    epoch: int
    partition: int
    offset: int
    state: State
    flags: Flag
    change: ChangeKind
    key_hash: bytes | None
    expected_fingerprint: bytes | None
    seen_fingerprint: bytes | None
    fence: int
    fence_origin: Origin
    closed: bool
    at: int
    reason: str | None = None
    level: Level | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandItem:
    """One change that a command names; ``newest_offset`` is the newest change of its key that was read."""

    offset: int
    reason: CommandReason
    key_hash: bytes | None
    kind: CommandKind
    fingerprint: bytes | None
    newest_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A replay command (protocol section 5), for one sink, source partition and segment.

    Attributes:
        id: `identity.command_id`; a restart makes the same one, with perhaps fewer items.
        attempt: 1 for the first.
        issued_at, expires_at: ms since the epoch, of the lane's mark time.
    """

    id: str
    sink: str
    generation: int
    incident: str
    topic: str
    partition: int
    items: tuple[CommandItem, ...]
    action: CommandAction
    mode: CommandMode
    attempt: int
    issued_at: int
    expires_at: int
    trace_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The ledger's record of one closed range; the chain of a sink and source partition is in order of making.

    Attributes:
        number: place in the chain, from 0.
        first_offset, last_offset: lowest and highest cell covered, both inclusive.
        counts: cells per `State`, 10 of them; flags: cells per bit of `Flag`, 8 of them.
        open_offsets: cells of the segment below the fence that were still open, ascending.
        source_sum, sink_sum: sums of expected and of seen fingerprints, mod 2**64.
        first_ts_ms, last_ts_ms: lowest and highest source time.
        contract: `Contract.digest`.
        previous: hash of the seal before it, empty bytes for the first.
        at: the highest ``at`` of the lane's marks when it was made, ms.
        hash: `identity.seal_hash` of all the rest; empty bytes until it is set.
        levels: the cells that are delivered or attempted per `Level`, 4 of them; empty in a seal of an older version.
    """

    sink: str
    generation: int
    topic: str
    epoch: int
    partition: int
    number: int
    segment: int
    first_offset: int
    last_offset: int
    counts: tuple[int, ...]
    flags: tuple[int, ...]
    open_offsets: tuple[int, ...]
    source_sum: int
    sink_sum: int
    first_ts_ms: int
    last_ts_ms: int
    contract: str
    at: int
    previous: bytes = b""
    hash: bytes = b""
    levels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkWatermark:
    """Where one sink stands on one source partition; what status pages read.

    Attributes:
        settled_ts_ms, verified_ts_ms: source time of the newest change below each watermark, ms; None where unknown.
        open_counts: open cells per `State`; counts: all cells per `State`; flags: closed cells per bit of `Flag`.
        seals, seal_hash: how many seals were made and the last one's hash, so that a cut-off tail shows.
        at: the highest ``at`` of the lane's marks, ms.
        owner: address of the worker that says so, empty offline.
        beginning: the START, None before the first; next_offset: the changes below it were read.
        fence: the highest fence; fence_at: when the newest was written, ms, None before the first.
        is_ended: an END was read, and no START of a higher generation since.
        held_from: the changes below are forgotten.
        rows: rows of evidence by what became of them.
        levels: closed cells that are delivered or attempted, per `Level`; bad_levels: open bad cells of which something
            was said, per `Level` of that.
        status, status_cause, rebuild_from: of the sink's connector, as the lane told last.
    """

    sink: str
    generation: int
    topic: str
    epoch: int
    partition: int
    frontier: int
    settled_watermark: int
    verified_watermark: int
    settled_ts_ms: int | None
    verified_ts_ms: int | None
    open_counts: tuple[int, ...]
    counts: tuple[int, ...]
    flags: tuple[int, ...]
    seals: int
    seal_hash: bytes
    at: int
    owner: str = ""
    beginning: int | None = None
    next_offset: int = 0
    fence: int = 0
    fence_at: int | None = None
    is_ended: bool = False
    held_from: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    levels: tuple[int, ...] = ()
    bad_levels: tuple[int, ...] = ()
    status: str | None = None
    status_cause: str | None = None
    rebuild_from: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A receipt for an offset that holds no change; the coordinates are the source's."""

    sink: str
    topic: str
    partition: int
    offset: int
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradicted:
    """Evidence that disagrees with a closed cell, which stays as it is; the coordinates are the source's."""

    sink: str
    topic: str
    partition: int
    offset: int
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Evidence that could not be decoded; the coordinates are its own."""

    topic: str
    partition: int
    offset: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownSink:
    """Evidence of a sink that nobody configured, or about a topic that is not the sink's; the coordinates are its own."""

    topic: str
    partition: int
    offset: int
    sink: str
    reason: str


Finding = Orphan | Contradicted | Unreadable | UnknownSink
