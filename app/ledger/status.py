"""What a sink's connector was last said to be, as its lane tells it; no verdict depends on it.

`schemas/SinkStatus.avsc` is the record; a probe writes it, the decoder makes one row of it: the state in the texts' place
of the kind of evidence, the cause in that of the reason, and in ``to_offsets`` the offset that a rebuild is proposed from.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from app.ledger.lane import LaneRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The last status of one lane.

    Attributes:
        state: RUNNING, PAUSED, STOPPED, FAILED, UNASSIGNED, RESTARTING or UNKNOWN.
        at: when it was believed, ms since the epoch.
        cause: why it failed or is not known.
        rebuild_from: the offset that a START of a higher generation is proposed at; None where none is.
    """

    state: str
    at: int
    cause: str | None = None
    rebuild_from: int | None = None

    @classmethod
    def of(cls, rows: LaneRows, row: int) -> Status:
        """What one row says."""
        _, _, state, cause = rows.texts.get(row, (None, None, None, None))
        rebuild = int(rows.to_offsets[row])
        return cls(
            state=state or "UNKNOWN",
            at=int(rows.applied_at[row]),
            cause=cause,
            rebuild_from=None if rebuild < 0 else rebuild,
        )

    def packed(self) -> dict[str, Any]:
        """For a block."""
        return asdict(self)

    def says(self) -> str:
        """As people read it."""
        said = self.state if self.cause is None else f"{self.state}: {self.cause}"
        if self.rebuild_from is None:
            return said
        return f"{said}; progress fell to {self.rebuild_from}, was the sink rebuilt?"
