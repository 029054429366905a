"""docker/break-a-sink.sh before a Connect and a broker that only say what they are told to: what it does in which order."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

CONNECT = r"""#!/bin/sh
# curl --silent --show-error --fail-with-body --request METHOD ... URL
for url; do :; done
cd "$(dirname "$0")"
[ "$5" = GET ] || echo "$5 ${url##*/sink-a}" >>done
case "$5 $url" in
  *pause) echo PAUSED >state ;;
  *stop) echo STOPPED >state ;;
  *resume) echo RUNNING >state ;;
  *status)
    state=$(cat state)
    [ "$state" = STOPPED ] && tasks= || tasks='{"id": 0, "state": "'$state'", "worker_id": "w:8083"}'
    echo '{"name": "sink-a", "connector": {"state": "'$state'", "worker_id": "w:8083"}, "tasks": ['$tasks'], "type": "sink"}'
    ;;
  *offsets)
    echo '{"offsets": [{"partition": {"kafka_topic": "shop.public.orders", "kafka_partition": 0}, "offset": {"kafka_offset": 1730}}]}'
    ;;
esac
"""

COMPOSE = r"""#!/bin/sh
# ... exec -T SERVICE COMMAND...: an order is placed, or the log's end is asked for; it moves by one word of `ends` at each look
cd "$(dirname "$0")"
case "$*" in
  *place_order*) echo order >>done ;;
  *kafka-get-offsets.sh*)
    read -r end rest <ends || exit 1
    echo "${rest:-$end}" >ends
    echo "end $end" >>done
    echo "shop.public.orders:0:$end"
    ;;
esac
"""

Run = Callable[..., tuple[subprocess.CompletedProcess[str], list[str]]]


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Run:
    """Runs the script; what it said, and what it did."""
    for name, text in {"curl": CONNECT, "compose": COMPOSE, "sleep": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "done").touch()

    def ran(command: str, ends: str = "") -> tuple[subprocess.CompletedProcess[str], list[str]]:
        (tmp_path / "ends").write_text(ends and f"{ends}\n")
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "COMPOSE": str(tmp_path / "compose")}
        said = subprocess.run(
            ["sh", root / "docker/break-a-sink.sh", command],
            env=environment, check=False, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return said, (tmp_path / "done").read_text().splitlines()

    return ran


@pytest.mark.parametrize("command", ["lose", "hide"])
def test_a_sink_is_moved_only_over_a_change_that_stands_in_its_topic(run: Run, command: str) -> None:
    said, done = run(command, ends="1730 1730 1730 1731")

    assert (said.returncode, said.stderr) == (0, "")
    assert done == [
        "PUT /pause", "end 1730", "order", "end 1730", "end 1730", "end 1731", "PUT /stop", "PATCH /offsets", "PUT /resume",
    ]  # fmt: skip
    assert "missing, of sink-a, shop.public.orders:0:1730" in said.stdout


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        ("1730", "no change of it came to shop.public.orders"),
        ("", "Kafka does not tell how far shop.public.orders goes"),
    ],
)
def test_where_no_change_comes_nothing_is_broken_and_nothing_is_promised(run: Run, ends: str, why: str) -> None:
    said, done = run("hide", ends)

    assert said.returncode == 1
    assert why in said.stderr
    assert "missing" not in said.stdout
    assert "PATCH /offsets" not in done
    assert done[-1] == "PUT /resume"


def test_undo_lets_the_sink_read_everything_again_and_says_what_becomes_of_the_verdict(run: Run) -> None:
    said, done = run("undo")

    assert (said.returncode, said.stderr) == (0, "")
    assert done == ["PUT /stop", "DELETE /offsets", "PUT /resume"]
    assert "verdict  delivered, with the flag recovered" in said.stdout
    assert "waive" not in said.stdout
