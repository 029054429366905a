"""What a check prints."""

from __future__ import annotations

from app.cli.check import Checked
from app.evidence.installation import Finding

FOUND = [
    Finding(level="error", about="keys", place="topic t", says="they lie apart", means="no order", do="mend it"),
    Finding(level="fine", about="rights", place="rights", says="all are there: 7"),
]


def test_what_is_not_fine_is_told_with_its_meaning_and_what_to_do_and_all_is_counted():
    assert list(Checked(FOUND).text()) == [
        "error    keys: topic t",
        "         they lie apart",
        "         means: no order",
        "         do: mend it",
        "fine     rights: all are there: 7",
        "1 error, 0 warning, 0 unknown, 1 fine",
    ]
    assert not Checked(FOUND).is_fine
    assert Checked(FOUND[1:]).is_fine


def test_as_json_every_finding_is_one_object_with_all_it_says():
    first, second = Checked(FOUND).lines()

    assert first == {
        "kind": "finding", "level": "error", "about": "keys", "place": "topic t", "says": "they lie apart", "means": "no order",
        "do": "mend it",
    }  # fmt: skip
    assert second["level"] == "fine"
