"""Offsets that hold no change, as in any log that a transaction wrote to: the end of a transaction takes one for its marker.

The embedded broker ends no transaction in the log, so the demo writes the marker itself: a batch of format 2 with the bit
of control records set. Consumers pass it over, and nobody will ever see what stands at its offset.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from app.errors import Unavailable

CRC, ATTRIBUTES = 17, 21
"""Where a batch of format 2 has its checksum (uint32, of all that follows it) and its attributes (int16)."""
IS_CONTROL = 0x20
COMMIT, COORDINATOR = b"\x00\x00\x00\x01", b"\x00" * 6
"""Key (version 0, type 1) and value (version 0, epoch 0) of the marker of a commit."""
ACKS_ALL, TIMEOUT_MS = -1, 10_000


def commit_marker() -> bytes:
    """A batch of one control record; the broker gives it its offset."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=1, producer_id=1, producer_epoch=0, base_sequence=-1, batch_size=1_000
    )  # fmt: skip
    builder.append(0, timestamp=1, key=COMMIT, value=COORDINATOR, headers=[])
    batch = bytearray(builder.build())
    (attributes,) = struct.unpack_from(">h", batch, ATTRIBUTES)
    struct.pack_into(">h", batch, ATTRIBUTES, attributes | IS_CONTROL)
    struct.pack_into(">I", batch, CRC, calc_crc32c(bytes(batch[ATTRIBUTES:])))
    return bytes(batch)


class Markers:
    """Writes markers into the partitions of some topics."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def to(cls, bootstrap: str, topics: tuple[str, ...]) -> AsyncIterator[Self]:
        """A connection of its own."""
        client = AIOKafkaClient(bootstrap_servers=bootstrap)
        await client.bootstrap()
        try:
            await client.set_topics(topics)
            yield cls(client)
        finally:
            await client.close()

    async def append(self, topic: str, partition: int) -> int:
        """Write one marker; returns its offset, which holds no record.

        Raises:
            Unavailable: the broker did not take it.
        """
        node = self._client.cluster.leader_for_partition(TopicPartition(topic, partition))
        request = ProduceRequest(None, ACKS_ALL, TIMEOUT_MS, [(topic, [(partition, commit_marker())])])
        response = await self._client.send(node, request)
        ((_, ((_, error, offset, *_),)),) = response.topics
        if error:
            raise Unavailable(f"the embedded broker took no marker for {topic}:{partition}: error {error}")
        return int(offset)
