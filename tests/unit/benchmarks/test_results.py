"""What is told of the runs: medians, the worst of their verdicts, and who was left out; and how a process is accounted for."""

from __future__ import annotations

import sys
import time
from argparse import Namespace

from benchmarks.compare import summary
from benchmarks.peers.peer import Peer
from benchmarks.process import Measured
from benchmarks.table import Column, as_markdown, as_text, command_line

RIGHT = {"verdicts": "right (4 of 4)", "is_right": True}
WRONG = {"verdicts": "WRONG (1 of 4 missed, 0 false)", "is_right": False}


class Somebody(Peer):
    label = "somebody"

    def versions(self):
        return {"a": "1", "b": "2"}

    def launch(self, cluster, load, name, directory):
        raise NotImplementedError


def test_a_row_shows_medians_of_the_runs():
    runs = [RIGHT | {"changes_per_s": rate, "peak_rss_mb": 5.0} for rate in (10, 90, 30)]
    row = summary(Somebody(), runs)

    assert (row["changes_per_s"], row["peak_rss_mb"], row["runs"]) == (30, 5.0, 3)
    assert row["verdicts"] == "right (4 of 4)"
    assert row["versions"] == "a 1, b 2"


def test_one_wrong_run_makes_a_row_wrong():
    assert summary(Somebody(), [RIGHT, WRONG, RIGHT])["verdicts"] == WRONG["verdicts"]


def test_one_failed_run_makes_a_row_failed():
    row = summary(Somebody(), [RIGHT | {"changes_per_s": 10}, {"failed": "it ended"}])

    assert (row["verdicts"], row["runs"], row["changes_per_s"]) == ("failed", 1, 10)


def test_tables_leave_out_what_was_not_measured():
    columns = (Column("system", "label"), Column("rate", "rate"), Column("right", "is_right"))
    rows = [{"label": "one", "rate": 12_345, "is_right": True}, {"label": "two"}]

    assert as_markdown(columns, rows).splitlines()[2:] == ["| one | 12,345 | yes |", "| two |  |  |"]
    assert as_text(columns, rows).splitlines()[1].split() == ["one", "12,345", "yes"]


def test_what_was_measured_says_how_to_measure_it_again():
    told = Namespace(json=None, markdown=True, open_cells=5, peers="a,b")

    assert command_line("recovery", told) == "`python -m benchmarks.recovery --open-cells 5 --peers a,b`"


PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
began = time.process_time()
while time.process_time() - began < 0.3: pass
print("reading", flush=True)
began = time.process_time()
while time.process_time() - began < 0.4: pass
print("idle", flush=True)
while True: time.sleep(0.1)
"""


def test_processor_time_is_told_of_the_part_that_is_asked_for(tmp_path):
    with Measured([sys.executable, "-c", PROGRAM], tmp_path / "log", tmp_path / "state", b"reading") as program:
        deadline = time.monotonic() + 30
        while "idle" not in program.log():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)
        over = time.time()
        assert program.stop() == 0

    assert 0 <= program.cpu_at(over) - program.cpu_at(program.reading_s) <= program.cpu_s - 0.29  # what came before
    assert program.cpu_s >= 0.7
    assert program.peak_rss_bytes > 1 << 20
    assert program.others_cores(program.began_s + 0.1, over) >= -0.5
    assert program.cpu_at(program.began_s - 1) == 0.0


def test_a_program_does_not_outlive_who_started_it(tmp_path):
    with Measured([sys.executable, "-c", PROGRAM], tmp_path / "log", tmp_path / "state", b"reading") as program:
        assert program.is_running()

    assert not program.is_running()
