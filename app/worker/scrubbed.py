"""What is known of the scrub of one sink and source partition, as it is kept in the partition's own store.

It is no part of the fold: where it is lost (an empty disk, another worker), the scrub begins at the log's end again, and may tell
once more of a row that it has told of.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from app.adapters.store import Store
from app.worker.head import pair_name

PREFIX = b"w"
MOST_WRONG = 10_000
"""Wrong rows that are remembered of one sink and source partition, half a megabyte; further ones are counted, and not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A row that was wrong when it was looked at last.

    Attributes:
        row: a hash of what it showed; identity: of its key.
        is_waived: an operator had settled its cell as it is: it is no news.
    """

    row: int
    identity: int
    is_waived: bool = False


@dataclass(slots=True, kw_only=True)
class Scrubbed:
    """Where the scrub stands.

    Attributes:
        generation, epoch: the life of the sink and of the log that all of it is about.
        low: everything from it up was looked at in the pass that is under way; -1 for none.
        passes: whole ones; began_ms: when the pass under way began.
        since_ms: everything was looked at since; before the first whole pass, when the scrub began.
        wrong: by the offset of their change; untold: further ones of the pass that are not remembered.
    """

    generation: int = 0
    epoch: int = 0
    low: int = -1
    passes: int = 0
    began_ms: int = 0
    since_ms: int = 0
    wrong: dict[int, Wrong] = field(default_factory=dict)
    untold: int = 0

    @property
    def wrong_rows(self) -> int:
        """How many rows are wrong, as far as is known; those that an operator has waived are not."""
        return sum(not one.is_waived for one in self.wrong.values()) + self.untold

    def dump(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> Scrubbed:
        """From JSON."""
        found: dict[str, Any] = json.loads(data)
        wrong = {int(offset): Wrong(**one) for offset, one in found.pop("wrong").items()}
        return cls(**found, wrong=wrong)


def recalled(store: Store, sink: str, topic: str, generation: int, epoch: int, now_ms: int) -> Scrubbed:
    """What a store knows of a scrub; nothing where it is of another life."""
    data = store.get(PREFIX + pair_name(sink, topic).encode())
    try:
        found = None if data is None else Scrubbed.load(data)
    except (ValueError, TypeError, KeyError, AttributeError):  # written by another version: the scrub begins again
        found = None
    if found is None or (found.generation, found.epoch) != (generation, epoch):
        return Scrubbed(generation=generation, epoch=epoch, since_ms=now_ms)
    return found


def keep(store: Store, sink: str, topic: str, scrubbed: Scrubbed) -> None:
    """Write it down."""
    store.write([(PREFIX + pair_name(sink, topic).encode(), scrubbed.dump())])
