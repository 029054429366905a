"""The closed vocabularies of the protocol (sections 1, 3 and 4) as small integers, because arrays hold them.

Every enum is an ``IntEnum`` whose values are stored on disk: values are never renumbered, only added.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

NO_TIME = -(2**63)
"""int64 that stands for "no such time" in arrays of milliseconds."""

SEGMENT_BITS = 12
SEGMENT_OFFSETS = 1 << SEGMENT_BITS
"""A segment is 4,096 consecutive offsets (protocol section 5, design section 3)."""

INDEX = SEGMENT_OFFSETS - 1
"""Mask that gives an offset's place in its segment."""

TAIL_OFFSETS = 65_536
"""How far below the highest fence closed cells are still compared with evidence (protocol section 4)."""


class ChangeKind(IntEnum):
    """What one record of a change topic is. ``ABSENT`` is an offset that holds no record (transactions, compaction)."""

    ABSENT = 0
    UPSERT = 1
    DELETE = 2
    TRUNCATE = 3
    MESSAGE = 4
    TOMBSTONE = 5
    UNREADABLE = 6
    LOST = 7
    """Expired before it was read: the offset counts as one unverifiable cell."""

    @property
    def word(self) -> str:
        """The word of the ``changes`` command."""
        return self.name.lower()


class ReceiptStatus(IntEnum):
    """Avro enum ``ReceiptStatus``; the value is the enum's index."""

    APPLIED = 0
    DELETED = 1
    SKIPPED = 2
    REJECTED = 3


class EvidenceKind(IntEnum):
    """What one row of an `EvidenceBatch` is; 1 to 5 are Avro enum ``MarkKind`` plus one."""

    RECEIPT = 0
    PROGRESS = 1
    FENCE = 2
    START = 3
    SKIP = 4
    END = 5
    LOSS = 6
    """Evidence was lost before it could be read (written by the router or by the fold's reader)."""
    WAIVER = 7
    """An operator settled one bad or unverifiable cell."""
    STATUS = 8
    """What a sink's connector is believed to be; it moves no verdict."""


class State(IntEnum):
    """States of a cell (protocol section 4), in the order of their rules."""

    EXEMPT = 0
    REJECTED = 1
    UNVERIFIABLE = 2
    DUPLICATED = 3
    DELIVERED = 4
    SUPERSEDED = 5
    DIVERGED = 6
    ATTEMPTED = 7
    MISSING = 8
    PENDING = 9

    @property
    def word(self) -> str:
        """The state as the outputs print it."""
        return self.name.lower()


BAD = frozenset({State.MISSING, State.DIVERGED, State.REJECTED, State.DUPLICATED})
SETTLED = frozenset({State.EXEMPT, State.DELIVERED, State.ATTEMPTED, State.SUPERSEDED, State.UNVERIFIABLE})


class Level(IntEnum):
    """How strong the evidence is that a settled cell rests on, from weak to strong."""

    ATTEMPTED = 0
    """The sink passed it; more is not known."""
    PRESENT = 1
    """It says that it applied the change, and nothing of the content."""
    FINGERPRINT = 2
    """It says what it stored, and that is the change's."""
    READ_BACK = 3
    """What its store holds was seen by somebody else, and is the change's."""

    @property
    def word(self) -> str:
        """The level as the outputs print it."""
        return self.name.lower()


class Flag(IntFlag):
    """Flags of a cell (protocol section 4)."""

    LATE = 1
    REDELIVERED = 2
    OUT_OF_ORDER = 4
    RECOVERED = 8
    REPAIRED = 16
    GUARDED = 32
    UNEXPECTED = 64
    SOURCE_DUPLICATE = 128

    def words(self) -> list[str]:
        """The flags' words, sorted, as the outputs print them."""
        return sorted(member.name.lower() for member in Flag if member.name and member & self)


ANY_KIND = 255
"""In `EvidenceBatch.statuses` only: a presence receipt "of the kind its change expects" (success topics)."""

UNKNOWN = "UNKNOWN"
SINK_STATES = ("RUNNING", "PAUSED", "STOPPED", "FAILED", "UNASSIGNED", "RESTARTING", UNKNOWN)
"""What a sink's connector or one of its tasks can be: Kafka Connect's words, and that nobody knows."""
