"""A whole installation, checked: everything that it needs and every setting around it that a verdict depends on.

Pure decisions over what `topologies.checking` saw (`Installation`). A finding names what was seen, what it means for verdicts and
what mends it; what could not be asked is ``unknown``, and a check without findings says what it looked at. Sources of the rules:
the protocol, and Kafka's, Connect's and Debezium's documentation of the options that are named.
"""

from app.evidence.installation.check import ABOUT, findings, is_fine
from app.evidence.installation.finding import LEVELS, Finding, Gap, Level
from app.evidence.installation.seen import (
    ConnectorSeen,
    Installation,
    LogSeen,
    ReaderSeen,
    Record,
    RightSeen,
    SinkSeen,
    TableSeen,
    TopicSeen,
)

__all__ = [
    "ABOUT",
    "LEVELS",
    "ConnectorSeen",
    "Finding",
    "Gap",
    "Installation",
    "Level",
    "LogSeen",
    "ReaderSeen",
    "Record",
    "RightSeen",
    "SinkSeen",
    "TableSeen",
    "TopicSeen",
    "findings",
    "is_fine",
]
