"""What settings must keep together: faults that no single value shows.

`problems_of` holds for every use; `live_problems` only where there is a cluster to watch, because a recording has no
Kafka, and its fences were written already.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from app.config import topics
from app.config.kinds import is_pattern
from app.config.settings import Settings, SinkSettings


def problems_of(settings: Settings) -> list[str]:
    """Every fault of the settings taken together, a line each; empty if there is none."""
    problems = [] if settings.source.topics else ["source.topics: must name at least one change topic"]
    problems += _name_problems(settings)
    for sink in settings.sinks.values():
        problems += [f"sinks.{sink.name}.{problem}" for problem in _sink_problems(settings, sink)]
    return problems


def _name_problems(settings: Settings) -> Iterator[str]:
    """Names are keys of topics and of environment variables, so two that fold to one can't both be addressed."""
    seen: dict[str, str] = {}
    for name in settings.sinks:
        if not name.strip() or name != name.strip() or "|" in name:
            yield f'sinks."{name}": a sink\'s name must not be empty, nor have blanks around it or "|" in it'
        if folded(name) in seen:
            yield f'sinks."{name}": differs from "{seen[folded(name)]}" only in case, or in signs such as - and _'
        seen.setdefault(folded(name), name)


def _topic_problems(settings: Settings, sink: SinkSettings) -> Iterator[str]:
    if settings.source.topics and not sink.topics:
        yield "topics = []: must name at least one change topic"
    for topic in sink.topics:
        if is_pattern(topic) or not settings.source.topics:
            continue
        if not any(topics.is_match(wanted, topic) for wanted in settings.source.topics):
            yield f'topics: "{topic}" is none of source.topics ({", ".join(settings.source.topics)})'
    for topic in sink.overrides:
        if not _is_consumed(settings, sink, topic):
            yield f'overrides."{topic}": is no change topic of this sink ({", ".join(sink.topics)})'


def _sink_problems(settings: Settings, sink: SinkSettings) -> Iterator[str]:
    yield from _topic_problems(settings, sink)
    if sink.evidence == "receipts" and not (sink.receipts or sink.success_topics):
        yield 'evidence = "receipts": must be "progress", or receipts (or success_topics) must list topics'
    yield from _row_problems(settings, sink)
    if sink.writes == "append" and (sink.recorded_tables or sink.change_log):
        yield 'writes = "append": rows are found by the key of their change, which a sink that appends does not keep; leave recorded_tables and change_log out'
    for topic in sorted(set(sink.change_log) & set(settings.source.topics)):
        yield f'change_log: "{topic}" is a change topic of the source'
    for topic in sorted({*sink.receipts, *sink.dead_letters, *sink.success_topics} & set(settings.source.topics)):
        yield f'receipts, dead_letters, success_topics: "{topic}" is a change topic'


def _row_problems(settings: Settings, sink: SinkSettings) -> Iterator[str]:
    """Rows that are chosen by values: whether a delete is of one of them must be told by something."""
    for column in sorted(sink.rows.keys() & sink.rows_out.keys()):
        both = sorted(set(sink.rows[column]) & set(sink.rows_out[column]))
        if both:
            yield f'rows, rows_out: "{column}" has {", ".join(both)} in both; such a row would be taken and left out'
    is_told = settings.source.before is not None or sink.deletes == "ignore" or "d" in sink.leave_out_operations
    if (sink.rows or sink.rows_out) and not is_told:
        yield (
            'rows, rows_out: whether a delete is of a row that is taken must be told by something. Say source.before = "key" if '
            'the columns are all of the key, source.before = "whole" if before images are whole (PostgreSQL: REPLICA IDENTITY '
            'FULL), or deletes = "ignore" if this sink applies none'
        )


def _is_consumed(settings: Settings, sink: SinkSettings, topic: str) -> bool:
    """Whether a topic may be one of the sink's; whether it exists is asked when the cluster is known."""
    wanted = (sink.topics, settings.source.topics)
    return all(not names or any(topics.is_match(name, topic) for name in names) for names in wanted)


def override_problems(settings: Settings, existing: Collection[str]) -> list[str]:
    """Overrides for topics that a pattern of the sink would mean and that do not exist, a line each.

    Args:
        existing: topics of the cluster.
    """
    return [
        f'sinks.{sink.name}.overrides."{topic}": topic {topic} does not exist; a pattern of this sink would mean it. Leave '
        "the override out until it does"
        for sink in settings.sinks.values()
        for topic in sink.overrides
        if topic not in settings.sink_topics(sink.name, existing)
    ]


def folded(sink: str) -> str:
    """A sink's name as environment variables spell it, in lower case.

    >>> folded("Data-Lake.2")
    'data_lake_2'
    """
    return re.sub(r"[^a-z0-9]", "_", sink.lower())


def live_problems(settings: Settings) -> list[str]:
    """What keeps these settings from watching a cluster, a line each; empty if nothing does."""
    problems = []
    if not settings.kafka.brokers:
        problems.append('kafka.brokers: must list at least one, such as "localhost:9092"')
    if settings.registry.url is None:
        problems.append('registry.url: must be the schema registry\'s address, such as "http://localhost:8081"')
    if not settings.sinks:
        problems.append("sinks: must have at least one table, [sinks.<name>]")
    if settings.kafka.security_protocol.startswith("SASL") and (
        settings.kafka.sasl_username is None or settings.kafka.sasl_password is None
    ):
        problems.append("kafka.sasl_username, kafka.sasl_password: security_protocol asks for both")
    for sink in settings.sinks.values():
        problems += [f"sinks.{sink.name}.{problem}" for problem in _live_sink_problems(sink)]
    return problems


def _live_sink_problems(sink: SinkSettings) -> Iterator[str]:
    if sink.fences == "progress" and sink.group is None:
        yield 'fences = "progress": needs connector or group, whose committed offsets are the progress'
    if sink.fences in {"emitter", "receipts"} and not sink.receipts:
        yield f'fences = "{sink.fences}": needs receipts, where the sink writes them'
    if sink.store is not None and sink.fences != "progress":
        yield f'store: rows are read back before fences of progress, and fences = "{sink.fences}"'
    if sink.store is not None and sink.writes == "append":
        yield "store: rows are read back by the key of their change, which a sink that appends does not keep"
    if sink.change_log and sink.fences != "progress":
        yield f'change_log: it is read before fences of progress, and fences = "{sink.fences}"'
    if sink.start == "committed" and sink.group is None:
        yield 'start = "committed": needs connector or group'
