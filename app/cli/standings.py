"""``status`` and ``readiness``: where every sink stands, by what the verifier's own topics tell; no worker is asked."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from app.adapters.encode import encode_watermark
from app.cli.coverage import coverage_lines, coverage_text
from app.cli.operator import Line, open_operator, print_lines
from app.model import BAD, Ownership
from app.model.effects import SinkWatermark
from app.worker import readiness
from app.worker.readiness import History, Limits, Point, age
from topologies.operating import Operator, ToldAt, now_ms

OK, WRONG = 0, 1


# ---------------------------------------------------------------- status


def status(options: argparse.Namespace) -> int:
    """``status``; 1 where a configured sink has bad or unverifiable cells."""
    operator = open_operator(options.config)
    lines = list(_standings(operator))
    now = now_ms()
    print_lines(lines, options, lambda found: _table(found, now))
    return WRONG if any(line.get("wrong") for line in lines) else OK


def _standings(operator: Operator) -> Iterator[Line]:
    """One object for each sink and source partition that is configured or was told of."""
    operator.require(operator.may_read("watermarks"))
    configured = operator.configured()
    told = operator.watermarks()
    for sink, source in sorted(configured | told.keys()):
        whose = operator.settings.ownership(sink, source.topic)
        if (sink, source) in told:
            yield _standing(told[sink, source], whose, is_configured=(sink, source) in configured)
        else:
            place = {"kind": "untold", "sink": sink, "topic": source.topic, "partition": source.partition}
            yield place | whose._asdict()
    found = (one.told for name, one in told.items() if name in configured)
    yield from coverage_lines(one for one in found if isinstance(one, SinkWatermark))


def _standing(one: ToldAt, whose: Ownership, *, is_configured: bool) -> Line:
    told = one.told
    if not isinstance(told, SinkWatermark):
        raise TypeError(told)
    line = encode_watermark(told)
    line["seal_hash"] = told.seal_hash.hex() or None
    bad = sum(told.open_counts[state] for state in BAD)
    is_unverified = told.verified_watermark < told.settled_watermark
    return {
        "kind": "sink",
        **line,
        **whose._asdict(),
        "bad": bad,
        "told_at": one.at_ms,
        "configured": is_configured,
        "wrong": is_configured and bool(bad or is_unverified),
    }


HEAD = ("sink", "source partition", "frontier", "settled", "verified", "behind", "told", "open")


def _table(lines: Sequence[Line], now: int) -> Iterator[str]:
    rows = [HEAD, *(_row(line, now) for line in lines if line["kind"] != "coverage")]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD) - 1)]
    for row in rows:
        yield "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]])
    yield ""
    coverage = {(line["sink"], line["topic"]): line for line in lines if line["kind"] == "coverage"}
    yield from _totals((line for line in lines if line["kind"] == "sink" and line["configured"]), coverage)
    if not lines:
        yield "Nothing is configured here that exists on the cluster."


def _row(line: Line, now: int) -> tuple[str, ...]:
    place = (line["sink"], f"{line['topic']}:{line['partition']}")
    if line["kind"] == "untold":
        return (*place, "-", "-", "-", "-", "never", "no worker has told of it")
    behind = "-" if line["verified_ts_ms"] is None else age(max(now - line["verified_ts_ms"], 0))
    return (
        *place,
        str(line["frontier"]),
        str(line["settled_watermark"]),
        str(line["verified_watermark"]),
        behind if sum(line["open_counts"].values()) or line["wrong"] else "0s",
        f"{age(max(now - line['told_at'], 0))} ago",
        _opened(line),
    )


def _opened(line: Line) -> str:
    """What is open, what stands in the way, and why it is not judged."""
    said = [f"{count} {state}" for state, count in line["open_counts"].items()]
    if line["verified_watermark"] < line["settled_watermark"]:
        said.append(f"unverifiable at {line['verified_watermark']}, not waived")
    said += ["retired"] if line["ended"] else []
    said += [] if line["configured"] else ["not configured any more"]
    return ", ".join(said)


def _totals(lines: Iterable[Line], coverage: Mapping[tuple[str, str], Line]) -> Iterator[str]:
    """By sink and topic: partitions, all cells by state, what is bad, whose it is, and which evidence the judged ones stand on."""
    partitions: Counter[tuple[str, str]] = Counter()
    counts: dict[tuple[str, str], Counter[str]] = {}
    bad: Counter[tuple[str, str]] = Counter()
    whose: dict[tuple[str, str], str] = {}
    for line in lines:
        place = (line["sink"], line["topic"])
        partitions[place] += 1
        counts.setdefault(place, Counter()).update(line["counts"])
        bad[place] += line["bad"]
        whose[place] = "".join(f"  {word}" for word in Ownership(line["owner"], line["severity"]).words())
    for place, cells in counts.items():
        told = ", ".join(f"{count} {state}" for state, count in cells.items()) or "no cells"
        wrong = f"  BAD: {bad[place]} open" if bad[place] else ""
        many = "" if partitions[place] == 1 else "s"
        yield f"{place[0]}  {place[1]}  {partitions[place]} partition{many}: {told}{wrong}{whose[place]}"
        yield from coverage_text(coverage[place]) if place in coverage else ()


# ---------------------------------------------------------------- readiness


def report(options: argparse.Namespace) -> int:
    """``readiness``; 1 where some sink is not ready."""
    given = {"within_ms": options.within, "window_ms": options.window, "late_share": options.late_share}
    limits = replace(Limits(is_bad_accepted=options.accept_bad), **{k: v for k, v in given.items() if v is not None})
    lines = list(_reports(open_operator(options.config), limits, now_ms()))
    print_lines(lines, options, _told)
    return OK if all(line["ready"] for line in lines) else WRONG


def _reports(operator: Operator, limits: Limits, now: int) -> Iterator[Line]:
    operator.require(operator.may_read("watermarks", "verdicts", "ledger"))
    layout = operator.layout()
    seen = operator.seen(layout, operator.watermarks())
    history = History(since_ms=now - limits.window_ms, listeners=operator.listeners(layout))
    for one in operator.told("verdicts"):
        if not isinstance(one.told, SinkWatermark):
            history.note(one.told, one.at_ms)
    for sink in operator.settings.sinks:
        contract = operator.settings.contract(sink, layout.inputs)
        found = readiness.points(contract, seen[sink], history, limits, now)
        yield {
            "kind": "readiness",
            "sink": sink,
            "mode": contract.mode,
            "ready": readiness.is_ready(found),
            "points": [_point(point) for point in found],
        }


def _point(point: Point) -> Line:
    return {name: getattr(point, name) for name in Point.__slots__} | {"places": list(point.places)}


SHOWN = 10
"""Coordinates of one point that the text names; ``--json`` names up to `readiness.PLACES_SHOWN`."""


def _told(lines: Sequence[Line]) -> Iterator[str]:
    for line in lines:
        yield f"{line['sink']} ({line['mode']}): {'ready' if line['ready'] else 'NOT READY'}"
        for point in line["points"]:
            count = f"{point['count']}: " if point["count"] > 1 else ""
            yield f"  {point['level']:<6}  {point['what']}: {count}{point['says']}"
            for place in point["places"][:SHOWN]:
                yield f"            {place}"
            if len(point["places"]) > SHOWN:
                yield f"            and {max(point['count'], len(point['places'])) - SHOWN} more"
            yield f"          {point['do']}"
