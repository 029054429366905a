"""Consumer groups of sinks: what they have committed."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

TIMEOUT_S = 10.0


def committed_offsets(admin: AdminClient, group: str, sources: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Committed offsets by (topic, partition); one without a commit is not there, which is "nothing known".

    Raises:
        KafkaException: the cluster does not tell.
    """
    asked = [ConsumerGroupTopicPartitions(group, [TopicPartition(*source) for source in sources])]
    answer = admin.list_consumer_group_offsets(asked, request_timeout=TIMEOUT_S)[group].result(TIMEOUT_S)
    return {(p.topic, p.partition): p.offset for p in answer.topic_partitions if p.offset >= 0}
