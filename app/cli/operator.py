"""Commands of an operator: they read the configuration of ``run``, look at the cluster, and write to lanes or tell; no worker.

`app.worker.marking` decides what is written, `app.worker.readiness` what is told; this module parses and prints.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import BadInput

if TYPE_CHECKING:
    from app.worker.marking import Step
    from app.worker.ports import Input
    from topologies.marks import Written
    from topologies.operating import Operator

Line = dict[str, Any]
Add = Callable[..., argparse.ArgumentParser]

OK = 0
STARTS = ("earliest", "committed", "held")


def add_commands(commands: Any, add: Add) -> None:
    """The operator's commands and their options."""
    onboard = _marking(
        commands, add, "onboard", _onboard, "begin to judge a sink where it stands: a START on each lane"
    )
    onboard.add_argument(
        "--at",
        choices=("committed", "earliest", "latest"),
        default="committed",
        help="where judging begins: what the sink's group has committed (the default), the log's start, or its end",
    )
    onboard.add_argument("--topic", metavar="T", help="one of the sink's change topics; default: all")
    onboard.add_argument("--again", action="store_true", help="move on a beginning that stands already, never back")
    rebuild = _marking(commands, add, "rebuild", _rebuild, "the sink is rebuilt: judge anew, as a higher generation")
    rebuild.add_argument(
        "--from",
        dest="start",
        required=True,
        metavar="START",
        help="earliest, committed, held (what the verifier still holds), or TOPIC:PARTITION:OFFSET[,...]",
    )
    rebuild.add_argument("--topic", metavar="T", help="one of the sink's change topics; default: all")
    rebuild.add_argument(
        "--generation",
        type=int,
        metavar="N",
        help="the one to begin; makes the command safe to repeat; default: the next",
    )
    _marking(commands, add, "retire", _retire, "the sink is gone: an END on each lane, its open cells leave the counts")
    waive = _marking(commands, add, "waive", _waive, "settle cells that are bad or unverifiable, as they are")
    waive.add_argument("cells", metavar="TOPIC:PARTITION:OFFSET[-OFFSET]", help="the changes' coordinates")
    waive.add_argument("--who", required=True, metavar="NAME", help="who decided it")
    waive.add_argument("--reason", required=True, metavar="TEXT", help="why")

    add(commands, "status", _status, "where every sink stands, and what is bad", config="required", is_json=True)
    text = "whether what was observed may raise alerts and make commands"
    _add_limits(add(commands, "readiness", _readiness, text, config="required", is_json=True))


def _add_limits(ready: argparse.ArgumentParser) -> None:
    ready.add_argument(
        "--within", type=_duration, metavar="DURATION", help='changes wait for a fence no longer; default "10m"'
    )
    ready.add_argument(
        "--window",
        type=_duration,
        metavar="DURATION",
        help='findings, and verdicts that were taken back, count for so long; default "1d"',
    )
    ready.add_argument("--late-share", type=_share, metavar="SHARE", help="of all cells, may be late; default 0.05")
    ready.add_argument(
        "--accept-bad", action="store_true", help="open bad cells were looked at; commands are to mend them"
    )


def _duration(text: str) -> int:
    from app.config.kinds import duration  # noqa: PLC0415

    try:
        return duration(1_000).read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be {error}") from None


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError("must be a number from 0 to 1")
    return share


def _status(options: argparse.Namespace) -> int:
    from app.cli.standings import status  # noqa: PLC0415

    return status(options)


def _readiness(options: argparse.Namespace) -> int:
    from app.cli.standings import report  # noqa: PLC0415

    return report(options)


def _marking(
    commands: Any, add: Add, name: str, run: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    command = add(commands, name, run, text, config="required", is_json=True)
    command.add_argument("sink", metavar="SINK", help="its name in the configuration")
    command.add_argument("--dry-run", action="store_true", help="show what would be written, and write nothing")
    return command


def _onboard(options: argparse.Namespace) -> int:
    from app.worker import marking  # noqa: PLC0415 - the client is not needed by the other commands
    from topologies.operating import now_ms  # noqa: PLC0415

    operator = open_operator(options.config)
    standings = operator.standings(options.sink, options.topic, is_committed=options.at == "committed")
    return _write(operator, marking.onboard(standings, options.at, now_ms(), is_again=options.again), options)


def _rebuild(options: argparse.Namespace) -> int:
    from app.worker import marking  # noqa: PLC0415
    from topologies.operating import now_ms  # noqa: PLC0415

    start = options.start if options.start in STARTS else _offsets(options.start)
    operator = open_operator(options.config)
    everywhere = operator.standings(options.sink, is_committed=start == "committed")
    meant = _meant(everywhere, options, start)
    present = max((one.generation for one in everywhere), default=0)
    steps = marking.rebuild(meant, start, now_ms(), present=present, generation=options.generation)
    status = _write(operator, steps, options)
    begun = {getattr(step.record, "generation", None) for step in steps if step.record is not None}
    if begun and operator.settings.sinks[options.sink].fences == "emitter" and not options.json:
        print(
            f"The marks of its emitter must say generation {begun.pop()} from now on (ReceiptEmitter(generation=...)); those of a "
            "lower one are counted and ignored."
        )
    return status


def _meant(everywhere: Sequence[Any], options: argparse.Namespace, start: Any) -> list[Any]:
    """The source partitions that a rebuild is about."""
    meant = [one for one in everywhere if options.topic in {None, one.source.topic}]
    if not meant:
        topics = sorted({one.source.topic for one in everywhere})
        raise BadInput(f"{options.topic}: is no change topic of {options.sink}; there are: {', '.join(topics)}")
    if isinstance(start, str):
        return meant
    unknown = sorted(f"{one.topic}:{one.partition}" for one in start.keys() - {one.source for one in meant})
    if unknown:
        raise BadInput(f"--from: {', '.join(unknown)} is no source partition of {options.sink}")
    return [one for one in meant if one.source in start]


def _retire(options: argparse.Namespace) -> int:
    from app.worker import marking  # noqa: PLC0415
    from topologies.operating import now_ms  # noqa: PLC0415

    operator = open_operator(options.config)
    return _write(operator, marking.retire(operator.standings(options.sink), now_ms()), options)


def _waive(options: argparse.Namespace) -> int:
    from app.worker import marking  # noqa: PLC0415
    from topologies.operating import now_ms  # noqa: PLC0415

    topic, partition, first, last = _cells(options.cells)
    operator = open_operator(options.config)
    standings = operator.standings(options.sink, topic)
    found = [one for one in standings if one.source.partition == partition]
    if not found:
        raise BadInput(f"{options.cells}: {topic} has the partitions 0 to {len(standings) - 1}")
    steps = marking.waive(found[0], first, last, who=options.who, reason=options.reason, now_ms=now_ms())
    return _write(operator, steps, options)


def open_operator(config: Path) -> Operator:
    """A command's look at the cluster that a configuration names."""
    from app.config.load import load  # noqa: PLC0415
    from topologies.operating import Operator  # noqa: PLC0415

    return Operator(load(config, os.environ))


def _offsets(text: str) -> dict[Input, int]:
    """``TOPIC:PARTITION:OFFSET[,...]`` as offsets by source partition."""
    from app.worker.ports import Input  # noqa: PLC0415

    found = {}
    for one in text.split(","):
        match = re.fullmatch(r"(.+):(\d+):(\d+)", one.strip(), re.ASCII)
        if match is None:
            raise BadInput(f"--from {text!r}: say {', '.join(STARTS)}, or TOPIC:PARTITION:OFFSET[,...]")
        found[Input(match[1], int(match[2]))] = int(match[3])
    return found


def _cells(text: str) -> tuple[str, int, int, int]:
    match = re.fullmatch(r"(.+):(\d+):(\d+)(?:-(\d+))?", text, re.ASCII)
    if match is None:
        raise BadInput(f"{text!r} names no changes; say TOPIC:PARTITION:OFFSET, or TOPIC:PARTITION:FIRST-LAST")
    return match[1], int(match[2]), int(match[3]), int(match[4] or match[3])


# ---------------------------------------------------------------- printing


def _write(operator: Operator, steps: Sequence[Step], options: argparse.Namespace) -> int:
    from topologies.marks import Written, write  # noqa: PLC0415

    written = [Written(step=step) for step in steps] if options.dry_run else write(operator.settings, steps)
    print_lines(map(_line, written), options, lambda lines: _rows(lines, is_dry=options.dry_run))
    return OK


def _line(written: Written) -> Line:
    """One step as an object; coordinates in the lane stand there once the broker has it."""
    step = written.step
    one, record = step.standing, step.record
    line: Line = {"sink": one.sink, "topic": one.source.topic, "partition": one.source.partition}
    if record is None:
        return {"kind": "nothing", **line, "says": step.says}
    kind = getattr(record, "kind", None)
    line = {"kind": "WAIVER" if kind is None else kind.name, **line, "offset": record.offset}
    if kind is not None:
        line["generation"] = getattr(record, "generation", 0)
    place = {"topic": one.lane, "partition": one.source.partition, "offset": written.lane_offset}
    return {**line, "lane": place, "says": step.says}


def _rows(lines: Iterable[Line], *, is_dry: bool) -> Iterator[str]:
    for line in lines:
        place = f"{line['sink']}  {line['topic']}:{line['partition']}"
        rest = f" ({line['says']})" if line["says"] else ""
        if line["kind"] == "nothing":
            yield f"{place}  nothing to write: {line['says']}"
            continue
        lane = f"{line['lane']['topic']}:{line['lane']['partition']}"
        to = f"would go to {lane}" if is_dry else f"stands at {lane}:{line['lane']['offset']}"
        generation = f", generation {line['generation']}" if "generation" in line else ""
        at = "" if line["kind"] == "END" else f" {line['offset']}"
        yield f"{place}  {line['kind']}{at}{generation}  {to}{rest}"


def print_lines(
    lines: Iterable[Line], options: argparse.Namespace, text: Callable[[list[Line]], Iterable[str]]
) -> None:
    """Lines as JSON, or as the text that is made of them."""
    found = list(lines)
    for row in map(json.dumps, found) if options.json else text(found):
        print(row)
