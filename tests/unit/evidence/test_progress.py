"""What looks at a consumer group prove: every interleaving that is told of in the module, and then random ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.evidence.progress import Life, Look, Presence, Progress, ProgressState, Step
from tests.unit.evidence.groups import Kind, Watcher

KNOWN, UNKNOWN = ProgressState.KNOWN, ProgressState.UNKNOWN


def who(said: str) -> Presence:
    """``a,b`` members, ``-`` none, ``?`` nobody tells; then ``/`` and Connect: ``idle``, ``busy``."""
    members, _, connect = said.partition("/")
    is_idle = None if not connect else connect == "idle"
    return Presence(members=None if members == "?" else frozenset(members.split(",")) - {"-"}, is_idle=is_idle)


def look(
    progress: int | None,
    before: str = "-",
    after: str | None = None,
    *,
    at: float = 0.0,
    epoch: bool = False,
    first: int | None = 0,
    end: int | None = 10_000,
) -> Look:
    return Look(
        began=at, ended=at, before=who(before), after=None if after is None else who(after), progress=progress,
        is_consumers=epoch, first=first, end=end,
    )  # fmt: skip


def steps(*looks: Look, life: Life = Life()) -> list[Step]:  # noqa: B008 - frozen
    """Every look, five seconds apart, asked again where it asks for that."""
    progress = Progress(longest_s=15)
    found = []
    for number, one in enumerate(looks):
        values = {name: getattr(one, name) for name in Look.__slots__}
        values["began"] = values["ended"] = one.began or 5.0 * number
        seen = Look(**values | {"after": None})
        if progress.asks_again(seen, life):
            seen = Look(**values | {"after": one.after or one.before})
        found.append(progress.see(seen, life))
    return found


def last(*looks: Look, life: Life = Life()) -> Step:  # noqa: B008 - frozen
    return steps(*looks, life=life)[-1]


def test_offsets_that_move_while_nobody_is_there_were_moved_by_hand() -> None:
    assert last(look(100), look(140)) == Step(state=KNOWN, progress=140, skip=(100, 140))


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("it commits and leaves between the looks", look(100, "a"), look(140)),
        ("it commits and leaves while it is looked at", look(100, "a"), look(140, "-", "-")),
        ("it comes while it is looked at", look(100), look(140, "-", "b")),
        ("it works", look(100, "a"), look(140, "a")),
        ("it has come", look(100), look(140, "b")),
        ("nobody tells who is there", look(100, "?"), look(140, "?")),
        ("nobody told before", look(100, "?"), look(140)),
        ("it came and went, and its commit has an epoch", look(100, epoch=True), look(140, epoch=True)),
        ("Connect says that it may run", look(100, "-/busy"), look(140, "-/busy")),
        ("Connect says that it may have run", look(100, "-/busy"), look(140, "-/idle")),
        ("it was resumed while it was looked at", look(100, "-/idle"), look(140, "-/idle", "-/busy")),
        ("nothing was committed before", look(None), look(140)),
        ("too much time is between", look(100, at=1), look(140, at=17)),
    ],
)  # fmt: skip
def test_no_skip(name: str, one: Look, other: Look) -> None:
    assert last(one, other).skip is None, name


def test_a_connector_that_is_stopped_at_both_looks_is_proof() -> None:
    assert last(look(100, "-/idle"), look(140, "-/idle")).skip == (100, 140)


@pytest.mark.parametrize(
    ("one", "other", "doubt"),
    [
        (look(100, "a"), look(140, "b"), "others than before"),  # stopped, moved and resumed between the looks
        (look(100, "a,b"), look(140, "b,c"), None),
        (look(100, "a"), look(100, "b"), None),
        (look(100, "a", epoch=True), look(140, "a", epoch=False), "not a consumer's"),
        (look(100, "-/busy"), look(140, "-/busy"), "not say that it was STOPPED"),
        (look(100, "-", epoch=True), look(140, "-", epoch=True), None),
        (look(100, "a", first=120), look(140, "a", first=120), "the log began above it"),
        (look(100, "?"), look(140, "?"), None),
    ],
)
def test_what_may_have_been_a_hand_and_can_not_be_proved_is_told(one: Look, other: Look, doubt: str | None) -> None:
    found = last(one, other)

    assert found.skip is None
    assert (found.doubt or "").endswith(doubt or "") if doubt is None else doubt in (found.doubt or "")
    assert (found.doubt is None) == (doubt is None)


def test_a_look_that_failed_is_compared_with_none() -> None:
    progress = Progress(longest_s=15)
    progress.see(look(100), Life())
    progress.forget()

    assert not progress.asks_again(look(140), Life())
    assert progress.see(look(140, after="-"), Life()).skip is None


def test_nothing_committed_is_nothing_known() -> None:
    assert last(look(None)) == Step(state=UNKNOWN)


def test_offsets_of_another_log_are_no_progress() -> None:
    """The topic was made again; the group's commits are of the old one."""
    assert last(look(5_000, end=10)) == Step(state=ProgressState.BEYOND_LOG)


def test_offsets_that_were_moved_back_and_forth_skip_only_what_is_new() -> None:
    """What a member consumed stays consumed."""
    assert last(look(100), look(20), look(90)).skip is None
    assert last(look(100), look(20), look(130)).skip == (100, 130)


def test_what_the_lane_knows_of_the_sink_counts_too() -> None:
    assert last(look(10), look(90), life=Life(frontier=70)).skip == (70, 90)
    assert last(look(10), look(90), life=Life(beginning=80)).skip == (80, 90)


def test_a_log_that_expired_under_a_sink_that_is_away_was_skipped() -> None:
    assert last(look(100, first=120)) == Step(state=ProgressState.BELOW_LOG, progress=100, skip=(100, 120))
    assert [step.skip for step in steps(look(100, first=120), look(100, first=120), look(100, first=150))] == [
        (100, 120), None, (120, 150),
    ]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), [("a", "a"), ("-", "a"), ("?", "?"), ("-/busy", "-/busy")])
def test_a_log_that_expired_under_a_sink_that_is_there_proves_nothing(before: str, after: str) -> None:
    """It may have read on, and not committed yet."""
    found = last(look(100, before, after, first=120))

    assert (found.state, found.skip) == (ProgressState.BELOW_LOG, None)


def test_a_hand_that_moves_offsets_to_below_the_log_skips_up_to_its_start() -> None:
    assert last(look(100), look(110, first=120)).skip == (100, 120)


@pytest.mark.parametrize(
    ("progress", "fence", "rebuild"), [(904, 5_000, None), (903, 5_000, 903), (4_999, 5_000, None), (0, 4_096, None)]
)
def test_a_fall_of_more_than_a_segment_may_be_a_rebuild(progress: int, fence: int, rebuild: int | None) -> None:
    found = last(look(5_000), look(progress), life=Life(fence=fence, frontier=fence))

    assert (found.state is ProgressState.FALLEN, found.rebuild_from) == (rebuild is not None, rebuild)


def test_a_rebuild_is_proposed_from_the_lowest_until_the_sink_has_come_back() -> None:
    life = Life(fence=9_000, frontier=9_000)
    looks = [look(9_000), look(100), look(50), look(4_000), look(8_000), look(9_000), look(8_000)]

    assert [step.rebuild_from for step in steps(*looks, life=life)] == [None, 100, 50, 50, 50, None, None]


class TestANewLife:
    """A START of generation 1 at 0, whose sink had come to 1,000 in its old life."""

    def test_old_progress_is_not_the_new_lifes(self) -> None:
        progress = Progress(longest_s=15)
        progress.see(look(1_000, "a"), Life(fence=1_000, frontier=1_000))
        new = Life(generation=1)

        found = [progress.see(look(offset, "a"), new) for offset in (1_000, 1_001, 400, 450)]

        assert [step.progress for step in found] == [None, None, 400, 450]
        assert found[0].state is ProgressState.OLD_LIFE

    def test_whoever_takes_over_does_not_believe_it_either(self) -> None:
        assert last(look(1_000, "a"), life=Life(generation=1)).state is ProgressState.OLD_LIFE

    def test_what_stands_at_the_beginning_is_new(self) -> None:
        assert last(look(0, "a"), look(7, "a"), life=Life(generation=1)).progress == 7

    def test_a_lane_that_tells_of_progress_in_this_life_is_believed(self) -> None:
        assert last(look(1_000, "a"), life=Life(generation=1, frontier=10)).progress == 1_000


KINDS: tuple[Kind, ...] = ("connect", "epochs", "bare")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_skip_is_over_what_a_member_consumed_and_every_hand_that_can_be_proved_is(kind: Kind, seed: int) -> None:
    seen = Watcher(seed, kind).run(looks=40)

    assert seen.wrong == []
    assert seen.owed == []


@pytest.mark.parametrize("kind", KINDS)
def test_such_histories_have_skips_and_doubts_in_them(kind: Kind) -> None:
    seen = [Watcher(seed, kind).run(looks=40) for seed in range(30)]

    assert sum(len(one.skips) for one in seen) > 10
    assert sum(one.by_hand for one in seen) > 10
    assert sum(one.doubts for one in seen) > 10
