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
    if count == 1:
        return True
    ways = [way for way in WAYS if all(way(one, count) == partition for one in newest)]
    if is_framed(key) and newest and is_framed(newest[0]):
        key = newest[0][:FRAMING_BYTES] + key[FRAMING_BYTES:]
    return bool(ways) and bool(newest) and all(way(key, count) == partition for way in ways)
