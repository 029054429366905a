"""What the verifier is let in to: rights on the cluster, the schema registry, sinks' stores."""

from __future__ import annotations

from collections.abc import Iterator

from app.evidence.installation.finding import Finding, listed
from app.evidence.installation.seen import Installation, SinkSeen, TableSeen
from app.evidence.tables import named


def rights(seen: Installation) -> Iterator[Finding]:
    """Rights that a worker needs and does not have."""
    for right in seen.rights:
        if not right.is_there:
            yield Finding(
                level="error", about="rights", place=f"{right.kind} {right.name}",
                says=f"the right {right.operation} is missing, needed to {right.purpose}",
                means="a worker does not start", do=right.command,
            )  # fmt: skip


def registry(seen: Installation) -> Iterator[Finding]:
    """Schemas of ours that may not follow what stands there."""
    for refusal in seen.refusals:
        subject, _, why = refusal.removeprefix("registry: ").partition(": ")
        yield Finding(
            level="error", about="registry", place=subject, says=why, means="a worker does not start",
            do="schemas/README.md has the rules; registry.username and registry.password say who asks",
        )  # fmt: skip


def stores(seen: Installation) -> Iterator[Finding]:
    """Tables and columns that rows are read back from."""
    for sink in seen.sinks:
        written = [table.name for table in sink.tables.values() if table.may_write]
        for topic, table in sink.tables.items():
            yield from _table(seen, sink, topic, table)
        if written:
            yield Finding(
                level="warning", about="stores", place=f"sinks.{sink.name}.store",
                says=f"its user may write {listed(sorted(written))}",
                means="none: the verifier never writes there; but it needs SELECT alone, and its password is worth more than that",
                do="name a user with SELECT alone (docs/read-back.md)",
            )  # fmt: skip


def _table(seen: Installation, sink: SinkSeen, topic: str, table: TableSeen) -> Iterator[Finding]:
    place = f"sinks.{sink.name}.store, table {table.name}"
    if table.problem:
        yield Finding(
            level="error", about="stores", place=place, says=table.problem,
            means=f"rows of {topic} are not compared, and its changes are attempted",
            do=f"GRANT SELECT on it, or say its name in sinks.{sink.name}.table_name or .tables",
        )  # fmt: skip
        return
    source = seen.tables.get(topic)
    if source is None:
        return
    known = dict.fromkeys(table.columns, True)
    key = sink.terms.keys.get(source.table) or seen.keys.get(topic, ())
    keys = [sink.terms.name_in_sink(source.table, column) for column in key]
    if absent := [column for column in keys if not named(known, column)]:
        yield Finding(
            level="error", about="stores", place=place, says=f"lacks columns of the changes' key: {listed(absent)}",
            means=f"rows of {topic} can't be found: its changes are attempted",
            do=f"sinks.{sink.name}.renames, or GRANT SELECT on these columns",
        )  # fmt: skip
    elif keys and {column.casefold() for column in table.key} != {column.casefold() for column in keys}:
        yield Finding(
            level="warning", about="stores", place=place,
            says=f"its primary key is {listed(table.key) or 'none'}, and the changes' key {listed(keys)}",
            means="without an index on these columns each look reads the whole table; a key that finds two rows is refused, and "
            "no fence is written",
            do=f"a unique index on {', '.join(keys)}",
        )  # fmt: skip
    columns = [column for column in source.columns if not sink.terms.is_ignored(source.table, column)]
    lacking = [c for c in columns if not named(known, sink.terms.name_in_sink(source.table, c)) and c not in key]
    if lacking:
        yield Finding(
            level="warning", about="stores", place=place, says=f"lacks columns of the source: {listed(lacking)}",
            means="a change with a value there is diverged (absent)",
            do=f"sinks.{sink.name}.renames or .ignore_columns, or GRANT SELECT on these columns",
        )  # fmt: skip
