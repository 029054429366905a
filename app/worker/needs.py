"""The rights that a worker needs on its cluster, by what it will do there."""

from __future__ import annotations

from collections.abc import Iterator

from app.adapters.rights import Need
from app.config.kinds import is_pattern
from app.config.settings import Settings
from app.worker.layout import Layout, lane_topic

OWN = {
    "verdicts": "write verdicts",
    "repair": "write replay commands",
    "watermarks": "write watermarks",
    "quarantine": "set aside what can't be read",
    "ledger": "write seals and checkpoints",
}
"""Our own topics that are written, by what is written there."""


def principal_of(settings: Settings) -> str:
    """Who we are to the authorizer, as far as the settings say."""
    kafka = settings.kafka
    if kafka.security_protocol.startswith("SASL"):
        return f"User:{kafka.sasl_username}"
    return "User:ANONYMOUS" if kafka.ssl_certificate_file is None else "User:NAME-OF-THE-CERTIFICATE"


def needs_of(settings: Settings, layout: Layout | None) -> list[Need]:
    """Every need, topics first; each once.

    Args:
        layout: None where topics are missing that it would be made of; what does not depend on it is asked all the same.
    """
    return list(dict.fromkeys([*_inputs(settings, layout), *_own(settings, layout), *_groups(settings)]))


def _inputs(settings: Settings, layout: Layout | None) -> Iterator[Need]:
    named = {topic for topic in settings.source.topics if not is_pattern(topic)} | settings.evidence_topics()
    for topic in sorted(named if layout is None else layout.inputs):
        yield _topic(topic, "Read", "judge what stands there")
    logs = {topic for sink in settings.sinks.values() for topic in sink.change_log if not is_pattern(topic)}
    for topic in sorted(logs):
        yield _topic(topic, "Read", "hold what a sink wrote against the changes")
    for topic in settings.source_topics(() if layout is None else layout.inputs):
        yield _topic(topic, "DescribeConfigs", "know whether Kafka compacts it")


def _own(settings: Settings, layout: Layout | None) -> Iterator[Need]:
    prefix = settings.verifier.prefix
    for name, purpose in OWN.items():
        yield _topic(f"{prefix}.{name}", "Write", purpose)
    yield _topic(f"{prefix}.ledger", "Read", "go on from checkpoints")
    for group in () if layout is None else layout.groups.values():
        for sink, topic in group.lanes.items():
            if topic == lane_topic(prefix, group.partitions):
                yield _topic(topic, "Write", "route evidence into it")
            elif settings.sinks[sink].fences != "emitter":
                yield _topic(topic, "Write", f"fence the sink {sink} there")
            elif settings.sinks[sink].connector is not None and settings.connect.url is not None:
                yield _topic(topic, "Write", f"tell there how the connector of the sink {sink} is")


def _groups(settings: Settings) -> Iterator[Need]:
    group = settings.verifier.application_id
    yield Need(kind="group", name=group, operation="Read", purpose="share partitions between workers")
    for name, sink in settings.sinks.items():
        if sink.group is not None and (sink.fences == "progress" or sink.start == "committed"):
            yield Need(
                kind="group", name=sink.group, operation="Describe", purpose=f"see how far the sink {name} has come"
            )


def _topic(name: str, operation: str, purpose: str) -> Need:
    return Need(kind="topic", name=name, operation=operation, purpose=purpose)
