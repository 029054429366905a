"""Whether a key stands on the partition where its newest change would stand today.

After a topic's partition count was raised, or its keys' schema got another id, changes of one key stand on two partitions, and
the older partition does not show it. Which way keys are placed is learned from the newest ones (Kafka's own clients have two
ways); a key that this way would put elsewhere today may have newer changes there.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from app.decode.framing import is_framed

_SEED, _FACTOR, _MASK = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF
FRAMING_BYTES = 5


def murmur2(data: bytes) -> int:
    """Kafka's Java client's hash of a key, without sign.

    >>> murmur2(b"foobar") - (1 << 32)
    -790332482
    """
    found = _SEED ^ len(data)
    whole = len(data) & ~3
    for place in range(0, whole, 4):
        part = int.from_bytes(data[place : place + 4], "little") * _FACTOR & _MASK
        part = (part ^ part >> 24) * _FACTOR & _MASK
        found = (found * _FACTOR & _MASK) ^ part
    if whole < len(data):
        found = (found ^ int.from_bytes(data[whole:], "little")) * _FACTOR & _MASK
    found = (found ^ found >> 13) * _FACTOR & _MASK
    return found ^ found >> 15


WAYS: Sequence[Callable[[bytes, int], int]] = (
    lambda key, count: (murmur2(key) & 0x7FFFFFFF) % count,
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
