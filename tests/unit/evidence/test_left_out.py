"""What a row of a sink says where its contract leaves changes out, and where a column need not be there yet."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from app.evidence.change_log import walk
from app.evidence.keys import by_key, shared_text
from app.evidence.receipts import fingerprint
from app.evidence.states import Absent, Different, Equal, judge, states
from app.evidence.tables import StoreTerms
from app.model import LeftOut, Projection
from cdc_receipts.atoms import integer
from tests.unit.evidence.rows import UNAVAILABLE, delete, row, upsert

EU = StoreTerms(projection=Projection(rows=(("orders.region", ("EU",)),), before="whole"))
ALL = 1_000
IN, OUT = upsert(1, region="EU", name="a"), upsert(5, region="US", name="b")
AS_IT_WAS, AS_IT_IS = row(id=1, region="EU", name="a"), row(id=1, region="US", name="b")


def said(history, held, terms=EU, below=ALL):
    """What a row says of the changes of its key."""
    return judge(states(history, terms), below, held, terms)


def before(image, **columns):
    """A change with its before image."""
    return replace(image, before={"id": integer(1), **row(**columns)})


def test_a_row_that_left_may_be_as_it_was_gone_or_as_the_change_says() -> None:
    """Only the first proves something; nobody says what a sink does with a row that it takes no more."""
    assert said([IN, OUT], AS_IT_WAS) == Equal(offset=1, is_whole=True, is_delete=False)
    assert said([IN, OUT], None) is None
    assert said([IN, OUT], AS_IT_IS) is None


def test_a_row_that_left_and_is_nothing_of_all_that_is_wrong() -> None:
    assert isinstance(said([IN, OUT], row(id=1, region="EU", name="?")), Different)


def test_a_row_that_was_never_taken_asks_for_nothing() -> None:
    assert said([OUT], None) is None
    assert said([OUT], AS_IT_IS) is None


def test_a_row_that_came_back_must_be_there() -> None:
    back = upsert(9, region="EU", name="c")

    assert said([OUT, back], row(id=1, region="EU", name="c")) == Equal(offset=9, is_whole=True, is_delete=False)
    assert said([IN, OUT, back], AS_IT_WAS) == Absent(offset=9)
    assert said([IN, OUT, back], None) == Absent(offset=9)
    assert said([IN, OUT, back], AS_IT_IS) == Absent(offset=9)


def test_a_delete_is_asked_for_where_the_row_that_it_takes_is_the_sinks() -> None:
    gone, other = before(delete(9), region="EU"), before(delete(9), region="US")

    assert said([IN, gone], AS_IT_WAS) == Absent(offset=9)
    assert said([IN, gone], None) == Equal(offset=9, is_whole=True, is_delete=True)
    assert said([IN, OUT, other], AS_IT_WAS) == Equal(offset=1, is_whole=True, is_delete=False)
    assert said([IN, OUT, other], None) is None


def test_of_a_change_that_may_be_left_out_or_not_a_row_says_nothing() -> None:
    unknown = upsert(5, unavailable="region", name="b")

    assert EU.left_out(unknown) is LeftOut.UNKNOWN
    assert said([IN, unknown], AS_IT_WAS) is None
    assert said([IN, unknown], None) is None


def test_a_value_that_a_change_leaves_out_is_not_that_of_a_change_that_the_sink_never_got() -> None:
    """Between them a change that is left out may have set it."""
    history = [IN, upsert(5, region="US", name="b"), upsert(9, unavailable="name", region="EU")]

    assert said(history, row(id=1, region="EU", name="a")) == Equal(offset=9, is_whole=False, is_delete=False)
    assert said(history, row(id=1, region="EU", name="b")) == Equal(offset=9, is_whole=False, is_delete=False)
    assert isinstance(said(history, row(id=1, region="EU", name=UNAVAILABLE)), Different)


def test_a_row_before_tells_a_value_that_is_unavailable() -> None:
    told = before(upsert(5, unavailable="region", name="b"), region="EU", name="a")

    assert EU.left_out(told) is LeftOut.NO
    assert said([IN, told], AS_IT_WAS) == Absent(offset=5)


def test_operations_that_are_left_out_leave_the_row_to_the_others() -> None:
    terms = StoreTerms(projection=Projection(operations=frozenset("r")))
    snapshot = replace(upsert(1, name="a"), op="r")
    update = replace(upsert(5, name="b"), op="u")

    assert said([snapshot], None, terms) is None
    assert said([snapshot, update], None, terms) == Absent(offset=5)
    assert said([snapshot, update], row(id=1, name="a"), terms) == Absent(offset=5)


def test_a_table_that_is_left_out_has_no_rows_in_the_sink() -> None:
    """Its keys may be those of another table of the topic."""
    terms = StoreTerms(projection=Projection(tables=frozenset({"items"})))
    images = [upsert(1, name="a"), replace(upsert(2, name="x"), table="items")]
    (history,) = by_key(images, terms).values()

    assert [image.offset for image in history] == [1]


def test_a_log_of_the_sink_proves_nothing_by_what_is_left_out() -> None:
    images = [IN, OUT, upsert(9, region="EU", name="c")]
    key = shared_text(IN.key, EU, "orders")
    assert key is not None
    log = [
        upsert(n, **columns) for n, columns in enumerate([{"region": "EU", "name": "a"}, {"region": "US", "name": "b"}])
    ]

    found = walk({key: states(images, EU)}, log, EU, "orders", ("id",))
    assert [finding.offset for _, finding in found] == [1]


def test_only_listed_columns_are_compared_and_fingerprinted() -> None:
    terms = StoreTerms(
        ignore_columns=("orders.name",),
        projection=Projection(listed=frozenset({"orders.id", "orders.name"}), ignored=frozenset({"orders.name"})),
    )
    image = upsert(1, region="EU", name="a")

    assert said([image], row(id=1), terms) == Equal(offset=1, is_whole=True, is_delete=False)
    assert fingerprint(image, terms) == fingerprint(upsert(1), StoreTerms())
    assert terms.is_ignored("orders", "region")
    assert not terms.is_ignored("items", "region")


# ---------------------------------------------------------------- histories of one key


def history_of(rng):
    """Changes of one key whose row moves in and out, comes and goes; each with its before image, none repeats a name."""
    images, held = [], None
    for offset in range(1, rng.randint(2, 9)):
        if held is not None and rng.random() < 0.25:
            images.append(before(delete(offset), **held))
            held = None
        else:
            now = {"region": rng.choice(["EU", "EU", "US"]), "name": f"n{offset}"}
            change = upsert(offset, **now)
            images.append(change if held is None else before(change, **held))
            held = now
    return images


def applied(images, habit):
    """The row of a sink that has read some changes: it applies what it takes, and of the rest nothing, or its delete, or all."""
    held = None
    for image in images:
        is_taken = EU.left_out(image) is LeftOut.NO
        if is_taken or habit == "leaks":
            held = image.row
        elif habit == "tidies":
            held = None
    return held


@pytest.mark.parametrize("habit", ["ignores", "tidies", "leaks"])
def test_no_row_of_a_sink_that_does_what_it_should_is_called_wrong(habit) -> None:
    """However far it is ahead of its commits, and whatever it does with rows that it takes no more."""
    rng = random.Random(habit)
    proved = 0
    for _ in range(2_000):
        images = history_of(rng)
        read = rng.randint(0, len(images))
        below = rng.randint(0, read) + 1
        finding = said(images, applied(images[:read], habit), below=below)

        assert finding is None or isinstance(finding, Equal), (images, read, below)
        if isinstance(finding, Equal):
            proved += 1
            assert EU.left_out(images[finding.offset - 1]) is LeftOut.NO
            assert finding.offset <= read

    assert proved > 500


def test_no_lost_change_that_the_sink_takes_is_called_right() -> None:
    """Its name stands nowhere else, so a row that lacks it can't be what it says."""
    rng = random.Random(7)
    convicted = 0
    for _ in range(2_000):
        images = history_of(rng)
        taken = [image for image in images if EU.left_out(image) is LeftOut.NO]
        if not taken or taken[-1].row is None:
            continue
        lost = taken[-1]
        finding = said(images, applied([image for image in images if image is not lost], "ignores"))

        assert not (isinstance(finding, Equal) and finding.offset == lost.offset)
        convicted += isinstance(finding, Absent) and finding.offset == lost.offset

    assert convicted > 300


# ---------------------------------------------------------------- columns that the sink lacks yet

DUE = StoreTerms(columns_due={"orders.note": 100})


def noted(at: int, note: str | None = "n"):
    """A change of a column that is due at 100, made at a time."""
    return replace(upsert(at, name="a", note=note), at=at)


def test_a_column_that_is_not_due_yet_may_be_absent_and_then_only_presence_is_known() -> None:
    assert said([noted(99)], row(id=1, name="a"), DUE) == Equal(offset=99, is_whole=False, is_delete=False)
    assert said([noted(99)], row(id=1, name="a", note="n"), DUE) == Equal(offset=99, is_whole=True, is_delete=False)
    assert said([noted(99, None)], row(id=1, name="a"), DUE) == Equal(offset=99, is_whole=True, is_delete=False)


def test_a_value_in_a_column_that_is_not_due_is_compared_and_null_may_be_older_than_the_column() -> None:
    assert isinstance(said([noted(99)], row(id=1, name="a", note="x"), DUE), Different)
    assert isinstance(said([noted(99)], row(id=1, name="a", note=None), DUE), Equal)


def test_other_columns_are_compared_all_the_same() -> None:
    found = said([noted(99)], row(id=1, name="b"), DUE)

    assert isinstance(found, Different)
    assert found.columns == {"name": "value"}


def test_from_its_moment_on_a_column_that_is_absent_is_wrong_by_the_changes_own_time() -> None:
    found = said([noted(99), noted(100)], row(id=1, name="a"), DUE)

    assert isinstance(found, Different)
    assert (found.offset, found.columns) == (100, {"note": "absent"})
