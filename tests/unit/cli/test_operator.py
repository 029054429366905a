"""What operators type wrongly is told before any cluster is asked; what commands tell is told in words, too."""

from __future__ import annotations

import pytest

from app.cli.coverage import coverage_lines, coverage_text
from app.cli.main import main
from app.cli.operator import _line, _rows
from app.cli.standings import _standing, _table, _told
from app.model import Ownership
from app.model.effects import SinkWatermark
from app.worker import marking
from app.worker.marking import Standing
from app.worker.ports import Input
from topologies.marks import Written
from topologies.operating import ToldAt

CONFIG = ("--config", "absent.toml")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("waive", "s", "orders:0", "--who", "ada", "--reason", "r"),
            "'orders:0' names no changes; say TOPIC:PARTITION",
        ),
        (("waive", "s", "orders:0:4-x", "--who", "ada", "--reason", "r"), "or TOPIC:PARTITION:FIRST-LAST"),
        (("rebuild", "s", "--from", "yesterday"), "say earliest, committed, held, or TOPIC:PARTITION:OFFSET[,...]"),
        (("rebuild", "s", "--from", "orders:0:1,orders:1"), "--from 'orders:0:1,orders:1'"),
        (("onboard", "s"), "absent.toml: can't be read"),
    ],
)
def test_bad_input_ends_with_status_2_and_what_to_say(words, told, capsys):
    assert main([*words, *CONFIG]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("--within", "10"), ("--late-share", "2"), ("--late-share", "x"), ("--window", "1ms")]
)
def test_limits_that_are_none_are_refused(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["readiness", *CONFIG, *words])

    assert ended.value.code == 2
    assert "must be a" in capsys.readouterr().err


def test_what_was_written_is_told_with_the_coordinates_that_the_broker_gave():
    one = Standing(sink="s", source=Input("t", 3), lane="receipts", earliest=0, end=9, committed=5)
    (start,) = marking.onboard([one], "committed", 1)
    done, dry = (
        list(_rows([_line(w)], is_dry=d))
        for w, d in ((Written(step=start, lane_offset=7), False), (Written(step=start), True))
    )

    assert done == ["s  t:3  START 5, generation 0  stands at receipts:3:7"]
    assert dry == ["s  t:3  START 5, generation 0  would go to receipts:3"]


def watermark(**more) -> SinkWatermark:
    counts = (0, 0, 0, 0, 7, 0, 0, 0, 2, 1)
    return SinkWatermark(
        **{
            "sink": "s", "generation": 0, "topic": "t", "epoch": 0, "partition": 0, "frontier": 9, "settled_watermark": 4,
            "verified_watermark": 4, "settled_ts_ms": 1_000, "verified_ts_ms": 1_000, "counts": counts,
            "open_counts": (0, 0, 0, 0, 0, 0, 0, 0, 2, 1), "flags": (0,) * 8, "seals": 0, "seal_hash": b"", "at": 1,
            **more,
        }
    )  # fmt: skip


def test_status_tells_rows_totals_and_what_is_bad():
    told = _standing(ToldAt(told=watermark(), at_ms=60_000), Ownership("ada", "high"), is_configured=True)
    gone = _standing(ToldAt(told=watermark(sink="old"), at_ms=60_000), Ownership(), is_configured=False)
    table = list(_table([told, gone, {"kind": "untold", "sink": "s", "topic": "t", "partition": 1}], 61_000))

    assert table[0].split() == "sink source partition frontier settled verified behind told open".split()
    assert table[1].split() == "s t:0 9 4 4 1m 1s ago 2 missing, 1 pending".split()
    assert table[2].endswith("2 missing, 1 pending, not configured any more")
    assert table[3].endswith("never   no worker has told of it")
    assert table[-1] == "s  t  1 partition: 7 delivered, 2 missing, 1 pending  BAD: 2 open  owner ada  severity high"
    assert (told["owner"], gone["owner"]) == ("ada", None)
    assert (told["wrong"], gone["wrong"]) == (True, False)


def test_status_tells_of_each_sink_and_topic_what_was_judged_by_which_evidence():
    levels = {"levels": (1, 0, 0, 6), "counts": (0, 0, 0, 0, 6, 2, 1, 1, 0, 1), "bad_levels": (0, 0, 0, 1)}
    of_open = {"open_counts": (0, 0, 0, 0, 0, 0, 1, 0, 0, 1)}
    parts = [watermark(**levels, **of_open), watermark(**levels, **of_open, partition=1)]
    coverage = list(coverage_lines(parts))
    lines = [_standing(ToldAt(told=one, at_ms=60_000), Ownership(), is_configured=True) for one in parts]

    assert list(_table([*lines, *coverage], 61_000))[-3:] == [
        "s  t  2 partitions: 12 delivered, 4 superseded, 2 diverged, 2 attempted, 2 pending  BAD: 2 open",
        "    judged 20: 12 delivered by read_back (60.0%), 2 attempted (10.0%), 4 superseded (20.0%), 2 diverged (10.0%)",
        "    read back: 12 of 14 equal",
    ]
    assert coverage == [
        {
            "kind": "coverage",
            "sink": "s",
            "topic": "t",
            "judged": 20,
            "cells": [
                {"state": "delivered", "level": "read_back", "count": 12, "share": 0.6},
                {"state": "attempted", "level": "attempted", "count": 2, "share": 0.1},
                {"state": "superseded", "level": None, "count": 4, "share": 0.2},
                {"state": "diverged", "level": None, "count": 2, "share": 0.1},
            ],
            "read_back": {"cells": 14, "equal": 12},
        }
    ]


def test_where_nothing_was_judged_no_share_is_told():
    (line,) = coverage_lines([watermark(counts=(0,) * 10, open_counts=(0,) * 10)])

    assert list(coverage_text(line)) == []


def test_readiness_tells_each_reason_with_coordinates_and_what_to_do():
    point = {"level": "blocks", "what": "bad", "says": "cells are bad and open", "do": "Look.", "count": 12}
    places = [f"t:0:{n} missing" for n in range(12)]
    lines = list(_told([{"sink": "s", "mode": "observe", "ready": False, "points": [point | {"places": places}]}]))

    assert lines[:3] == [
        "s (observe): NOT READY",
        "  blocks  bad: 12: cells are bad and open",
        "            t:0:0 missing",
    ]
    assert lines[-2:] == ["            and 2 more", "          Look."]
