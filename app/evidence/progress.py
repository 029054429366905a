"""What committed offsets prove, look by look: PROGRESS, SKIP, or nothing (protocol section 3).

A probe looks at a sink's consumer group now and then, in this order: who its members are, where the log begins, what was
committed, where the log ends, who its members are. This module says what two such looks prove. It is a pure fold over looks: it asks nobody, and
reads no clock.

**SKIP by hand.** Progress that moved while the group had no member was moved by somebody's hand. The danger is the sink's
own last commit: a connector that stops commits, and then leaves.

    1. look 1: a member, progress 100      2. it commits 140, and leaves      3. look 2: no member, progress 140

That is work, and no SKIP. So the group must have been without members *before* the first offsets were read, and both before
and after the second ones: whoever commits in between must then have come and gone between two askings. Three things exclude
that as well as can be:

- Where Connect is asked, the connector must be idle each time: STOPPED and without tasks (the only state in which Connect
  lets offsets be altered), or not there. A failed task that is started again, works, commits and fails again, all between
  two looks, is seen in practice; a connector that is resumed and stopped within one interval is not.
- A commit that carries a leader epoch is a consumer's; altered offsets carry none. (Connect's own commits have none either,
  so that its absence proves nothing.)
- Two looks further apart than ``longest_s`` prove nothing together: the machine slept, or the cluster did not answer.

What remains where Connect is not asked is a consumer that joins, commits without a leader epoch, and leaves within one
interval. A group without a protocol (consumers that assign partitions to themselves) never has members, and says nothing.

A SKIP begins at the highest progress known of this life of the sink: whoever moves offsets back and forth again has skipped
nothing.

**SKIP by expiry.** Progress below the log's start, of a group without members: it will go on at the start, or above it.
With members it proves nothing: they may have read on for long, and not committed yet. (Where the log begins is asked first,
so that whoever comes after that begins above it.) What a member applied and never committed counts as not done, here as
everywhere: a sink without receipts has said nothing of it.

**What can't be proved is no SKIP**, and is told (`Step.doubt`): stopped, altered and resumed between two looks, say. Its
cells are at best `attempted`, which is ignorance, never "delivered".

**A fall** is a redelivery. Of more than a segment below the highest fence it may be a rebuild, which only an operator can
tell: it is proposed. After a START of a higher generation progress is the old life's until it stands at the beginning or
has fallen, else a fence made of it would call the new life's changes missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.model import SEGMENT_OFFSETS


class ProgressState(StrEnum):
    """What is known of the progress of a sink on one source partition."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    """Nothing was committed, which is no progress, and no lag of 0 either."""
    UNREADABLE = "unreadable"
    """The cluster does not tell."""
    BELOW_LOG = "below_log"
    """The log begins above it."""
    BEYOND_LOG = "beyond_log"
    """The log ends below it: it was committed for another log of this name."""
    OLD_LIFE = "old_life"
    """It is still that of the life before the last START."""
    FALLEN = "fallen"
    """More than a segment below the highest fence: was the sink rebuilt?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Who is in a sink's group at one moment.

    Attributes:
        members: their ids; None where nobody tells.
        is_idle: whether Connect says that nothing of the connector runs; None where Connect is not asked.
    """

    members: frozenset[str] | None = None
    is_idle: bool | None = None

    @property
    def is_vacant(self) -> bool:
        """Whether the group has no member."""
        return self.members is not None and not self.members

    @property
    def is_proved(self) -> bool:
        """Whether it has none, as far as everybody says who is asked."""
        return self.is_vacant and self.is_idle is not False


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at one sink and source partition, in the order in which the cluster was asked.

    Attributes:
        began, ended: when, s on a monotonic clock.
        before: who was there; first: where the log began then; progress: what was committed then, None for nothing;
            is_consumers: that commit carries a leader epoch; end: where the log ended then. None where nobody tells.
        after: who was there then; None where it was not asked again, which `Progress.asks_again` tells.
    """

    began: float
    before: Presence
    progress: int | None
    is_consumers: bool = False
    first: int | None = None
    end: int | None = None
    after: Presence | None = None
    ended: float

    @property
    def is_proved_vacant(self) -> bool:
        """Whether nobody was there at any moment of it that was asked about."""
        return self.before.is_proved and (self.after is None or self.after.is_proved)

    @property
    def is_below(self) -> bool:
        """Whether progress lies below the log."""
        return self.progress is not None and self.first is not None and self.progress < self.first

    @property
    def members(self) -> frozenset[str] | None:
        """Everybody who was seen; None where nobody tells."""
        if self.after is None or self.before.members is None:
            return self.before.members
        return None if self.after.members is None else self.before.members | self.after.members


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Where the fold stands with a sink on one source partition."""

    generation: int = 0
    beginning: int = 0
    frontier: int = 0
    fence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one look proves.

    Attributes:
        progress: what a PROGRESS may name; None where nothing is known of this life.
        skip: what a SKIP may name, ``(offset, to_offset)``.
        doubt: why a movement may have been somebody's hand, and can't be proved to be.
        rebuild_from: the lowest offset that progress fell to, where a rebuild is proposed.
    """

    state: ProgressState
    progress: int | None = None
    skip: tuple[int, int] | None = None
    doubt: str | None = None
    rebuild_from: int | None = None


class Progress:
    """Looks at one sink and source partition, one after another.

    Args:
        longest_s: looks further apart prove nothing together.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._last: Look | None = None
        self._generation = -1
        self._highest: int | None = None
        self._lowest: int | None = None

    def forget(self) -> None:
        """A look failed: the next one is compared with none."""
        self._last = None

    def asks_again(self, look: Look, life: Life) -> bool:
        """Whether a SKIP depends on who is there after the offsets were read."""
        return look.is_proved_vacant and (look.is_below or self._has_moved(self._before(look), look, life))

    def see(self, look: Look, life: Life) -> Step:
        """Take one look; ``life`` is read after it."""
        before = self._before(look)
        self._last = look
        if look.progress is None:
            return Step(state=ProgressState.UNKNOWN)
        if look.end is not None and look.progress > look.end:
            return Step(state=ProgressState.BEYOND_LOG)
        if self._is_of_old_life(look.progress, life):
            return Step(state=ProgressState.OLD_LIFE)
        skip, doubt = self._judged(before, look, look.progress, life)
        self._highest = max(self._known(life), look.progress, 0 if skip is None else skip[1])
        rebuild = self._fallen(look.progress, life)
        state = (
            ProgressState.BELOW_LOG
            if look.is_below
            else ProgressState.FALLEN
            if rebuild is not None
            else ProgressState.KNOWN
        )
        return Step(state=state, progress=look.progress, skip=skip, doubt=doubt, rebuild_from=rebuild)

    def _before(self, look: Look) -> Look | None:
        last = self._last
        return None if last is None or look.ended - last.began > self._longest_s else last

    def _known(self, life: Life) -> int:
        """The highest progress known of this life before a look."""
        return max(self._highest or 0, life.frontier)

    def _has_moved(self, before: Look | None, look: Look, life: Life) -> bool:
        if before is None or before.progress is None or look.progress is None:
            return False
        return look.progress > max(before.progress, self._known(life))

    def _judged(
        self, before: Look | None, look: Look, progress: int, life: Life
    ) -> tuple[tuple[int, int] | None, str | None]:
        """The SKIP that is proved, and the doubt about what is not."""
        is_sure = look.is_proved_vacant and look.after is not None
        start, end, doubt = max(self._known(life), life.beginning, progress), 0, None
        if before is not None and before.progress is not None and self._has_moved(before, look, life):
            if is_sure and before.is_proved_vacant and not look.is_consumers:
                start, end = max(self._known(life), life.beginning, before.progress), progress
            else:
                doubt = _doubt(before, look)
        if is_sure and look.first is not None:
            end = max(end, look.first)
        return ((start, end) if start < end else None), doubt

    def _is_of_old_life(self, progress: int, life: Life) -> bool:
        if life.generation == self._generation:
            return False
        highest = self._highest
        is_first = life.generation == 0 or life.frontier > life.beginning
        if is_first or progress <= life.beginning or (highest is not None and progress < highest):
            self._generation = life.generation
            self._highest = self._lowest = None
            return False
        self._highest = progress if highest is None else max(highest, progress)
        return True

    def _fallen(self, progress: int, life: Life) -> int | None:
        if progress >= life.fence:
            self._lowest = None
        elif life.fence - progress > SEGMENT_OFFSETS:
            self._lowest = progress if self._lowest is None else min(self._lowest, progress)
        return self._lowest


def _doubt(before: Look, look: Look) -> str | None:
    """Why a movement that is no proved SKIP may be one all the same."""
    if before.is_below:
        return "the log began above it, and members may have read on before that"
    if before.is_consumers and not look.is_consumers:
        return "the last commit is not a consumer's"
    if before.members is None or look.members is None:
        return None
    if not before.members and not look.members:
        return None if look.is_consumers else "the group had no members, and Connect does not say that it was STOPPED"
    return None if before.members & look.members else "all members of the group are others than before"
