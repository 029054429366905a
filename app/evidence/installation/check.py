"""All checks of an installation, and what each says where nothing was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from app.evidence.installation import deletes, reach, records, retention, sinks, sources, topics
from app.evidence.installation.finding import LEVELS, Finding
from app.evidence.installation.seen import Installation

Check = Callable[[Installation], Iterable[Finding]]


def _progress(seen: Installation) -> Iterator[Finding]:
    yield from retention.progress(seen)
    yield from retention.unknown_progress(seen)


def _isolation(seen: Installation) -> Iterator[Finding]:
    yield from records.isolation(seen, sources.exactly_once(seen))


def _sources(seen: Installation) -> Iterator[Finding]:
    yield from sources.sources(seen)
    yield from deletes.marked_rows(seen)


def _nothing(_: Installation) -> Iterable[Finding]:
    return ()


CHECKS: Mapping[str, tuple[Check, str]] = {
    "brokers": (_nothing, "the brokers let us in"),
    "topics": (topics.existence, "topics exist, or the first start makes them: {topics}"),
    "partitions": (topics.partitions, "partition counts go together, and none was changed: {topics} topics"),
    "compaction": (topics.cleanup, "cleanup.policy of own, evidence and change topics is as it must be"),
    "retention": (retention.retention, "nothing that somebody still needs is deleted within a day: {logs} partitions"),
    "progress": (_progress, "committed offsets are within their logs: {sinks} sinks"),
    "timestamps": (records.timestamps, "dead letter topics have the broker's time, or there are none"),
    "clocks": (
        records.clocks,
        "no clock that told its time differs by more than two seconds: {records} records, {clocks} servers",
    ),
    "keys": (records.keys, "keys lie where the default partitioner puts them: {records} sampled records"),
    "decoding": (records.decoding, "sampled records can be read, and the registry knows their schemas: {records}"),
    "isolation": (_isolation, "no sink reads what was not committed, as far as transactions were seen"),
    "rights": (reach.rights, "all rights of a worker are there: {rights}"),
    "registry": (reach.registry, "it answers, and takes the schemas of this version"),
    "sources": (_sources, "sources write as the configuration expects: {sources} connectors"),
    "connectors": (sinks.sinks, "sinks' connectors run, and are as their contracts say: {connectors}"),
    "contracts": (sinks.contracts, "contracts say what the connectors' configurations call for: {proposals} compared"),
    "stores": (reach.stores, "stores answer, and hold the tables and their keys: {tables}"),
}
"""By word: the check, and what is said where it finds nothing and nothing of it could not be asked; in order of reading."""
ABOUT = tuple(CHECKS)


def findings(seen: Installation) -> list[Finding]:
    """Everything to know, in the order of `CHECKS`, the worst of each first; a check that finds nothing says so."""
    counts = _counts(seen)
    found = []
    for about, (check, fine) in CHECKS.items():
        mine = [*_gaps(seen, about), *check(seen)]
        clean = Finding(level="fine", about=about, place=about, says=fine.format(**counts))
        found += sorted(mine, key=lambda one: LEVELS.index(one.level)) or [clean]
    return found


def is_fine(found: Iterable[Finding]) -> bool:
    """Whether nothing is to be done or to be asked."""
    return all(one.level == "fine" for one in found)


def _gaps(seen: Installation, about: str) -> Iterator[Finding]:
    for gap in seen.gaps:
        if gap.about == about:
            is_gap = gap.level == "unknown"
            yield Finding(
                level=gap.level, about=about, place=gap.place,
                says=f"could not be asked, because {gap.why}" if is_gap else gap.why,
                means="nothing is known of it, which is not the same as fine" if is_gap else "a worker does not start",
                do=gap.do,
            )  # fmt: skip


def _counts(seen: Installation) -> dict[str, int]:
    connected = [sink for sink in seen.sinks if sink.connector is not None]
    return {
        "topics": len(seen.topics),
        "logs": len(seen.logs),
        "sinks": len(seen.sinks),
        "records": sum(len(log.sample) for log in seen.logs),
        "clocks": len(seen.clocks),
        "rights": len(seen.rights),
        "sources": len(sources.sources_of(seen)),
        "connectors": len(connected),
        "proposals": sum(sink.proposal is not None for sink in seen.sinks),
        "tables": sum(len(sink.tables) for sink in seen.sinks),
    }
