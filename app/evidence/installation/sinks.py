"""Sinks' connectors against their contracts: topics, group, dead letters, transforms, and what rows must look like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.evidence.connectors import Config, Proposal, is_sink, is_source
from app.evidence.installation.finding import Finding, Level, listed
from app.evidence.installation.seen import Installation, SinkSeen
from app.evidence.installation.sources import sources_of
from app.evidence.options import is_true, transforms_of

HEADERS = "errors.deadletterqueue.context.headers.enable"
LETTERS = "errors.deadletterqueue.topic.name"
UNTOLD = "the changes of these topics stay pending for ever: its group never comes to them"
DEFAULTS: Mapping[str, Any] = {"expect": "every-change", "writes": "upsert", "deletes": "apply", "truncates": "ignore"}
"""Of keys that a proposal leaves out."""


def sinks(seen: Installation) -> Iterator[Finding]:
    """Everything about the connectors of sinks; nothing where Connect was not asked, which is a gap."""
    for sink in seen.sinks:
        yield from _change_log(seen, sink)
    if seen.connectors is None:
        return
    for sink in seen.sinks:
        if sink.contract.connector is None:
            continue
        if sink.contract.connector not in seen.connectors:
            yield _finding(
                "error", sink, "Connect has no connector of this name",
                "nobody tells how it is, and a group that nobody is in commits nothing: its changes stay pending",
                f"sinks.{sink.name}.connector; there are: {listed(sorted(seen.connectors)) or 'none'}",
            )  # fmt: skip
        elif sink.connector is not None and not is_sink(sink.connector.config):
            yield _finding(
                "error", sink, "consumes no topics: it is no sink", "it has no consumer group and no progress: nothing is fenced",
                f"sinks.{sink.name}.connector must be the sink's, not the source's",
            )  # fmt: skip
        elif sink.connector is not None:
            yield from _status(sink)
            yield from _consumed(seen, sink)
            yield from _group(sink, sink.connector.config)
            yield from _letters(sink, sink.connector.config)
            yield from _tombstones(seen, sink, sink.connector.config)


def _finding(level: Level, sink: SinkSeen, says: str, means: str, do: str, about: str = "connectors") -> Finding:
    place = f"connector {sink.contract.connector} (sinks.{sink.name})"
    return Finding(level=level, about=about, place=place, says=says, means=means, do=do)


def _status(sink: SinkSeen) -> Iterator[Finding]:
    report = sink.connector.report if sink.connector else None
    if report is not None and report.state != "RUNNING":
        yield _finding(
            "error" if report.state == "FAILED" else "warning", sink,
            f"is {report.state}" + (f": {report.cause}" if report.cause else ""),
            "it stands still: its changes stay pending, which is lag and no loss",
            f"mend the cause, then POST /connectors/{sink.contract.connector}/restart?includeTasks=true&onlyFailed=true"
            if report.state == "FAILED" else f"PUT /connectors/{sink.contract.connector}/resume",
        )  # fmt: skip


def _change_log(seen: Installation, sink: SinkSeen) -> Iterator[Finding]:
    """The change log of its own database, and whoever writes it."""
    lost = "what it says of the sink's writes is not known: they are attempted, unless its store is read back"
    if sink.change_log and not sink.logged and seen.is_cluster_known:
        yield _finding(
            "warning", sink, f"no topic that we may see is its change log: {listed(sink.change_log)}", lost,
            f"start the connector that writes it, or take it out of sinks.{sink.name}.change_log",
        )  # fmt: skip
    for name, one in (seen.connectors or {}).items():
        prefix = one.config.get("topic.prefix", "")
        is_writer = is_source(one.config) and any(topic.startswith(f"{prefix}.") for topic in sink.logged)
        if is_writer and one.report.state != "RUNNING":
            yield _finding(
                "warning", sink, f"connector {name}, which writes its change log, is {one.report.state}"
                + (f": {one.report.cause}" if one.report.cause else ""), lost,
                f"mend the cause, then POST /connectors/{name}/restart?includeTasks=true&onlyFailed=true",
            )  # fmt: skip


def _consumed(seen: Installation, sink: SinkSeen) -> Iterator[Finding]:
    sources = {topic.name for topic in seen.of("change") if topic.partitions is not None}
    consumed = set(seen.consumed.get(sink.contract.connector or "", ()))
    promised = sources.intersection(sink.contract.topics)
    config: Config = sink.connector.config if sink.connector else {}
    if not config.get("topics") and not consumed:
        yield _finding(
            "unknown", sink, "its topics.regex matches no topic as it is read here (it may be an expression of Java's only)",
            "whether it consumes what its contract says was not looked at", "name its topics with topics, or compare by hand",
        )  # fmt: skip
        return
    if lacking := sorted(promised - consumed):
        yield _finding(
            "error", sink, f"does not consume {listed(lacking)}, which its contract promises", UNTOLD,
            f"add them to the connector's topics, or take them out of sinks.{sink.name}.topics",
        )  # fmt: skip
    if beside := sorted(consumed & sources - promised):
        yield _finding(
            "warning", sink, f"consumes {listed(beside)}, which its contract leaves out",
            "nobody judges what it makes of these topics", f"add them to sinks.{sink.name}.topics",
        )  # fmt: skip


def _group(sink: SinkSeen, config: Config) -> Iterator[Finding]:
    group = config.get("consumer.override.group.id") or f"connect-{sink.contract.connector}"
    if sink.group != group:
        yield _finding(
            "error", sink, f"its consumer group is {group}, and its contract names {sink.group}",
            "progress is read from another group: what this sink has not read may be fenced, and called missing",
            f'sinks.{sink.name}.group = "{group}"',
        )  # fmt: skip


def _letters(sink: SinkSeen, config: Config) -> Iterator[Finding]:
    """Where what it can't convert or write goes, and whether the verifier reads it there."""
    topic, does_tolerate = config.get(LETTERS), config.get("errors.tolerance") == "all"
    if does_tolerate and not topic:
        yield _finding(
            "warning", sink, "errors.tolerance is all, and it has no dead letter topic",
            "what it can't convert vanishes without a word: it is attempted, or missing where receipts are expected, and never "
            "rejected", f"{LETTERS}=dlq.{sink.name}, {HEADERS}=true",
        )  # fmt: skip
    if topic and topic not in sink.dead_letters:
        yield _finding(
            "error", sink, f"its dead letters go to {topic}, which its contract does not list",
            "what it refuses is attempted (missing, where receipts are expected), and its rejection is hidden",
            f'sinks.{sink.name}.dead_letters = ["{topic}"]',
        )  # fmt: skip
    if topic and not is_true(config, HEADERS):
        yield _finding(
            "error", sink, f"{HEADERS} is not true", "its dead letters name no change: each is unreadable, and rejects nothing",
            f"{HEADERS}=true",
        )  # fmt: skip
    if others := [name for name in sink.dead_letters if name != topic]:
        yield _finding(
            "warning", sink, f"its contract lists dead letters in {listed(others)}, and it writes {topic or 'none'}",
            "nothing of this sink comes there: what it refuses may be looked for in the wrong place",
            f"{LETTERS}={others[0]}, or sinks.{sink.name}.dead_letters = {[topic] if topic else []}",
        )  # fmt: skip


def _tombstones(seen: Installation, sink: SinkSeen, config: Config) -> Iterator[Finding]:
    """Unwrapped as before Debezium 3.2, deletes come as tombstones alone, which a source may leave out."""
    drops = [given for _, given in transforms_of(config) if given.get("drop.tombstones") == "false"]
    if sink.contract.deletes != "apply" or not any(g.get("delete.handling.mode", "drop") == "drop" for g in drops):
        return
    for source in sources_of(seen):
        if source.config.get("tombstones.on.delete") == "false" and set(source.topics) & set(sink.contract.topics):
            yield _finding(
                "error", sink, f"deletes come to it as tombstones, and connector {source.name} writes none (tombstones.on.delete)",
                "no delete comes to its store, and each is called missing or the row wrong", "tombstones.on.delete=true",
            )  # fmt: skip


def contracts(seen: Installation) -> Iterator[Finding]:
    """What a connector's configuration calls for, and its contract says otherwise."""
    for sink in seen.sinks:
        if sink.proposal is None or not sink.proposal.values["topics"]:
            continue
        yield from _unmirrored(sink, sink.proposal)
        yield from _promises(sink, sink.proposal)
        if sink.has_store:
            yield from _rows(seen, sink, sink.proposal)


def _is_judged_by_content(sink: SinkSeen) -> bool:
    return sink.has_store or sink.contract.evidence == "receipts"


def _unmirrored(sink: SinkSeen, proposal: Proposal) -> Iterator[Finding]:
    for note in proposal.doubts if sink.has_store else proposal.unmirrored:
        yield _finding(
            "warning", sink, note,
            "a change that it drops or alters is missing or diverged, though the sink does what it was told"
            if _is_judged_by_content(sink) else "a change that it drops is attempted, as if it had been written",
            "say what it leaves out in the contract (topics, deletes, ignore_columns); take store out where its rows can't be compared"
            if sink.has_store else "say what it leaves out in the contract: topics, deletes, truncates, ignore_columns",
            "contracts",
        )  # fmt: skip


def _promises(sink: SinkSeen, proposal: Proposal) -> Iterator[Finding]:
    """Keys of the contract that decide what is expected."""
    if "sets" not in proposal.values:  # of a connector that nobody knows
        return
    keys = ["writes", "deletes", "truncates"]
    if sink.has_store:
        keys.append("expect")
    for key in keys:
        wanted, has = proposal.values.get(key, DEFAULTS[key]), getattr(sink.contract, key)
        if key == "deletes" and not _is_judged_by_content(sink):  # a delete that marks the row is one that was applied
            wanted, has = (word.replace("soft", "apply") for word in (wanted, has))
        if wanted != has:
            yield _finding(
                "warning", sink, f'its configuration calls for {key} = "{wanted}", and its contract says "{has}"',
                _PROMISES[key], f'sinks.{sink.name}.{key} = "{wanted}"', "contracts",
            )  # fmt: skip


_PROMISES: Mapping[str, str] = {
    "writes": "commands, and rows that are read back, take it for a sink of the other kind",
    "deletes": "deletes are exempt though it applies them, or called missing or diverged though it does as it was told",
    "truncates": "truncates are exempt though it applies them, or called missing though it ignores them",
    "expect": "its store shows the newest change of a key alone: older ones are missing instead of superseded",
}


def _rows(seen: Installation, sink: SinkSeen, proposal: Proposal) -> Iterator[Finding]:
    """What decides how rows of its store are compared."""
    has, wanted = sink.terms, proposal.values
    if "sets" in wanted and not has.sets_every_column:
        yield _finding(
            "warning", sink, 'a write of it sets every column, and its contract says sets = "changed-columns"',
            "a placeholder in its change log is taken for a value that was left as it was",
            f'sinks.{sink.name}.sets = "every-column"', "contracts",
        )  # fmt: skip
    yield from _tables(seen, sink, proposal)
    left_out = sorted(place for place in wanted.get("ignore_columns", ()) if not has.is_ignored(*place.split(".", 1)))
    if left_out:
        yield _finding(
            "warning", sink, f"it leaves out or alters {listed(left_out)}, and its contract compares them",
            "their rows are diverged, though the sink does as it was told",
            f"add them to sinks.{sink.name}.ignore_columns", "contracts",
        )  # fmt: skip
    keys = {
        table: names for table, names in wanted.get("keys", {}).items() if set(has.keys.get(table, ())) != set(names)
    }
    if keys:
        yield _finding(
            "warning", sink, f"it keeps rows by other columns than the record key's, or than its contract says: {listed(keys)}",
            "its contract looks for them by other columns: what is not found is called missing",
            f"sinks.{sink.name}.keys", "contracts",
        )  # fmt: skip
    named = {place: name for place, name in wanted.get("renames", {}).items() if has.renames.get(place) != name}
    if named:
        yield _finding(
            "warning", sink, f"it renames {listed(f'{place} to {name}' for place, name in named.items())}",
            "its contract looks for columns of other names: their values are diverged (absent)",
            f"sinks.{sink.name}.renames", "contracts",
        )  # fmt: skip
    yield from _tolerances(sink, wanted.get("tolerances", {}))


def _tables(seen: Installation, sink: SinkSeen, proposal: Proposal) -> Iterator[Finding]:
    terms = proposal.terms()
    for topic in proposal.values["topics"]:
        source = seen.tables.get(topic)
        if source is None or not ({"tables", "table_name"} & proposal.values.keys()):
            continue
        wanted, has = (
            one.table_named(topic, source.database, source.schema, source.table) for one in (terms, sink.terms)
        )
        if wanted.casefold() != has.casefold():
            yield _finding(
                "warning", sink, f"it writes {topic} to the table {wanted}, and its contract names {has}",
                "rows are looked for in another table: they are attempted, or missing", f"sinks.{sink.name}.table_name, or .tables",
                "contracts",
            )  # fmt: skip


def _tolerances(sink: SinkSeen, wanted: Mapping[str, list[str]]) -> Iterator[Finding]:
    lacking = {}
    for place, words in wanted.items():
        table, _, column = place.partition(".")
        if more := [word for word in words if word not in sink.terms.allowed(table, column)]:
            lacking[place] = more
    if lacking:
        yield _finding(
            "warning", sink, f"types of its store lose something: {listed(f'{p} ({chr(44).join(w)})' for p, w in lacking.items())}",
            "a value that the type can't hold exactly is diverged",
            f"sinks.{sink.name}.tolerances = {{ " + ", ".join(f'"{p}" = {w}' for p, w in lacking.items()).replace("'", '"') + " }",
            "contracts",
        )  # fmt: skip
