"""Whether a key stands on the partition where its newest change would stand today.

After a topic's partition count was raised, or its keys' schema got another id, changes of one key stand on two partitions, and
the older partition does not show it. Which way keys are placed is learned from the newest ones (Kafka's own clients have two
ways); a key that this way would put elsewhere today may have newer changes there.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from app.decode.framing import is_framed
from app.evidence.installation.partitioner import partition_of

FRAMING_BYTES = 5
WAYS: Sequence[Callable[[bytes, int], int]] = (
    partition_of,
    lambda key, count: zlib.crc32(key) % count,  # librdkafka's
)


def is_placed_here(key: bytes, newest: Sequence[bytes], partition: int, count: int) -> bool:
    """Whether the newest change of a key would stand on this partition; False where nobody can say.

    Args:
        key: the record's, as it is; newest: the newest records' keys of this partition, the newest first.
        count: how many partitions the topic has.
    """
    return Placing(newest, partition, count).has(key)


class Placing:
    """How the newest keys of a partition were placed; see `is_placed_here`."""

    def __init__(self, newest: Sequence[bytes], partition: int, count: int) -> None:
        self._partition = partition
        self._count = count
        self._newest = newest[0] if newest else b""
        ways = WAYS if count > 1 and newest else ()
        self._ways = [way for way in ways if all(way(one, count) == partition for one in newest)]

    def has(self, key: bytes) -> bool:
        """Whether the newest change of a key would stand here; False where nobody can say."""
        if self._count == 1:
            return True
        if is_framed(key) and is_framed(self._newest):
            key = self._newest[:FRAMING_BYTES] + key[FRAMING_BYTES:]
        return bool(self._ways) and all(way(key, self._count) == self._partition for way in self._ways)
