"""Kafka's default partitioner: murmur2 of the key's bytes, as its Java client computes it (``Utils.murmur2``)."""

from __future__ import annotations

_SEED, _M, _R = 0x9747B28C, 0x5BD1E995, 24
_WORD = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """32 bits, unsigned.

    >>> murmur2(b"21") - (1 << 32), murmur2(b"foobar") - (1 << 32), murmur2(b"abc")
    (-973932308, -790332482, 479470107)
    """
    whole = len(data) & ~3
    found = (_SEED ^ len(data)) & _WORD
    for place in range(0, whole, 4):
        part = int.from_bytes(data[place : place + 4], "little") * _M & _WORD
        part = (part ^ part >> _R) * _M & _WORD
        found = found * _M & _WORD ^ part
    if whole < len(data):
        found = (found ^ int.from_bytes(data[whole:], "little")) * _M & _WORD
    found = (found ^ found >> 13) * _M & _WORD
    return found ^ found >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """Where the default partitioner puts a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
