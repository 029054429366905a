"""True histories of a sink's consumer group, sampled at random moments: what `app.evidence.progress` is tried on.

Three kinds of sinks: a connector whose Connect is asked, a consumer that commits with leader epochs, and one that commits
without. Each may fail and start again whenever it likes, as far as `app.evidence.progress` names no exception:

- a connector is not resumed and stopped again between two askings;
- with epochs, no member lives between two looks that offsets are moved by hand between, too, nor only during one look;
- without epochs, a member lives until it was asked for at least once;
- offsets are moved back by hand only when a look has seen how far they had come.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

from app.evidence.progress import Life, Look, Presence, Progress, Step

LONGEST_S = 15.0
Kind = Literal["connect", "epochs", "bare"]


@dataclass(slots=True)
class Seen:
    """What the looks of one history gave, and what was true.

    Attributes:
        wrong: SKIPs over offsets that a member had consumed and committed.
        owed: movements by hand between two looks at an empty group that no SKIP covers.
        skips: all SKIPs; doubts: how many movements were told as doubtful; by_hand: how many were owed.
    """

    wrong: list[tuple[int, int]] = field(default_factory=list)
    owed: list[tuple[int, int]] = field(default_factory=list)
    skips: list[tuple[int, int]] = field(default_factory=list)
    doubts: int = 0
    by_hand: int = 0


class Group:
    """One partition's group and log; `act` lets something true happen."""

    def __init__(self, rng: random.Random, kind: Kind) -> None:
        self.rng, self.kind = rng, kind
        self.first, self.end = 0, 50
        self.committed: int | None = None
        self.is_members_commit = True
        self.members: dict[int, int] = {}
        self.consumed: set[int] = set()
        self.uncommitted: set[int] = set()
        self.is_stopped = False
        self.highest = 0
        self.now = 0.0
        self._born = 0
        self._unasked: set[int] = set()
        self._was_resumed = False
        self.has_lived = False
        self.is_seen = True
        self.is_looked_at = False
        self.is_quiet = True
        """Nobody was in the group, nor could be, since this was last set."""

    def act(self) -> None:
        """One thing happens."""
        self.now += self.rng.choice([0.0, 0.1, 1.0, 3.0])
        actions = [self.produce, self.expire, self.commit, self.commit, self.leave, self.start, self.move, self.switch]
        self.rng.choice(actions)()
        if self.members or (self.kind == "connect" and not self.is_stopped):
            self.is_quiet = False

    def produce(self) -> None:
        self.end += self.rng.randint(0, 30)

    def expire(self) -> None:
        if self.rng.random() < 0.3:
            self.first = min(self.end, self.first + self.rng.randint(0, 40))

    def start(self) -> None:
        if self.members or (self.kind == "connect" and self.is_stopped):
            return
        self._born += 1
        self.members[self._born] = max(self.committed or 0, self.first)
        self._unasked.add(self._born)
        self.has_lived = True

    def commit(self) -> None:
        """A member reads on, and commits what it has read, or a part of it."""
        for member, left_at in self.members.items():
            position = max(left_at, self.first)
            upto = min(self.end, position + self.rng.randint(0, 20))
            self.uncommitted |= set(range(position, upto))
            self.members[member] = upto
            if self.rng.random() < 0.7:
                self._commit(upto)

    def _commit(self, offset: int) -> None:
        self.committed, self.is_members_commit, self.is_seen = offset, True, False
        self.consumed |= {o for o in self.uncommitted if o < offset}
        self.highest = max(self.highest, offset)

    def leave(self) -> None:
        """A member goes: it commits on its way out, or it crashes."""
        for member in list(self.members):
            if member in self._unasked and (self.kind == "bare" or self.is_looked_at):
                continue
            position = self.members.pop(member)
            if self.rng.random() < 0.8:
                self._commit(position)
            self.uncommitted.clear()

    def switch(self) -> None:
        """An operator stops or resumes a connector; what is stopped goes a while later."""
        if self.kind != "connect" or (self._was_resumed and not self.is_stopped):
            return
        self.is_stopped = not self.is_stopped
        self._was_resumed = not self.is_stopped

    def move(self) -> None:
        """A hand moves the committed offsets, which is refused while there are members."""
        if self.members or (self.kind == "connect" and not self.is_stopped):
            return
        if self.kind == "epochs" and self.has_lived:
            return
        to = self.rng.randint(0, self.end)
        if to < self.highest and not self.is_seen:
            return
        self.committed, self.is_members_commit, self.is_seen = to, False, False

    def presence(self) -> Presence:
        """The group is asked for, and Connect before."""
        is_idle = None if self.kind != "connect" else self.is_stopped and not self.members
        self._was_resumed = False
        if self.rng.random() < 0.1:
            self.act()
        self._unasked.clear()
        return Presence(members=frozenset(map(str, self.members)), is_idle=is_idle)


class Watcher:
    """Looks at a group as the probe does, with true things happening between its questions."""

    def __init__(self, seed: int, kind: Kind) -> None:
        self.rng = random.Random(seed)
        self.group = Group(self.rng, kind)
        self.progress = Progress(LONGEST_S)
        self.life = Life()
        self.seen = Seen()
        self._known: int | None = None
        self._last_began = 0.0
        self._skipped = 0

    def run(self, looks: int) -> Seen:
        for _ in range(looks):
            for _ in range(self.rng.choice([0, 1, 1, 2, 4, 8])):
                self.group.act()
            self.look()
        return self.seen

    def _meanwhile(self) -> None:
        while self.rng.random() < 0.3:
            self.group.act()

    def look(self) -> None:
        group = self.group
        began = group.now
        was_quiet, group.is_quiet = group.is_quiet, not group.members and (group.kind != "connect" or group.is_stopped)
        before, group.is_looked_at = group.presence(), True
        self._meanwhile()
        first = group.first
        self._meanwhile()
        offsets, is_members, highest = group.committed, group.is_members_commit, group.highest
        group.is_seen = True
        self._meanwhile()
        end = group.end
        look = Look(
            began=began, before=before, progress=offsets, first=first, end=end, ended=group.now,
            is_consumers=group.kind == "epochs" and is_members,
        )  # fmt: skip
        self._meanwhile()
        if self.progress.asks_again(look, self.life):
            look = Look(**{name: getattr(look, name) for name in Look.__slots__} | {"after": group.presence()})
        group.is_looked_at, group.has_lived = False, bool(group.members)
        step = self.progress.see(look, self.life)
        self._check(step, is_whole=was_quiet and group.is_quiet, highest=highest, began=began, ended=look.ended)
        frontier = max(self.life.frontier, step.progress or 0, 0 if step.skip is None else step.skip[1])
        self.life = Life(frontier=frontier)
        self._known, self._last_began = offsets, began

    def _check(self, step: Step, *, is_whole: bool, highest: int, began: float, ended: float) -> None:
        """Compare with the truth: ``is_whole`` where nobody was there from the last look's beginning to this one's end."""
        seen = self.seen
        seen.doubts += step.doubt is not None
        if step.skip is not None:
            seen.skips.append(step.skip)
            if self.group.consumed & set(range(*step.skip)):
                seen.wrong.append(step.skip)
        if not is_whole or self._known is None or step.progress is None or ended - self._last_began > LONGEST_S:
            return
        start = max(highest, self.life.frontier, self._known)
        if step.progress > start:
            seen.by_hand += 1
            if step.skip is None or step.skip[0] > start or step.skip[1] < step.progress:
                seen.owed.append((start, step.progress))
