"""Where keys stand: learned from the newest, and asked of an old one whether it would still stand there."""

from __future__ import annotations

import zlib

import pytest

from app.evidence.installation.partitioner import murmur2
from app.worker.placing import is_placed_here


def placed(count: int, partition: int, prefix: str = "") -> list[bytes]:
    """Keys that Kafka's Java client puts on a partition."""
    keys = [f"{prefix}{number}".encode() for number in range(200)]
    return [key for key in keys if (murmur2(key) & 0x7FFFFFFF) % count == partition]


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_that_of_kafkas_java_client(key: bytes, found: int) -> None:
    assert murmur2(key) == found % (1 << 32)


def test_a_key_that_goes_elsewhere_since_the_count_was_raised_is_not_placed_here() -> None:
    newest = placed(4, 1)
    moved = [key for key in placed(2, 1, "old") if key not in placed(4, 1, "old")]

    assert all(is_placed_here(key, newest, 1, 4) for key in placed(4, 1, "old"))
    assert not any(is_placed_here(key, newest, 1, 4) for key in moved)


def test_librdkafkas_way_is_known_too() -> None:
    keys = [str(number).encode() for number in range(100)]
    here = [key for key in keys if zlib.crc32(key) % 3 == 2]

    assert [key for key in keys if is_placed_here(key, here, 2, 3)] == here


def test_a_schema_id_that_changed_is_that_of_today() -> None:
    """It is part of what the client hashes."""
    old, new = b"\x00\x00\x00\x00\x01", b"\x00\x00\x00\x00\x02"
    bodies = [f"{number:03}".encode() for number in range(200)]
    here = [body for body in bodies if (murmur2(new + body) & 0x7FFFFFFF) % 3 == 0]

    assert [body for body in bodies if is_placed_here(old + body, [new + body for body in here], 0, 3)] == here


def test_where_keys_are_placed_in_a_way_that_nobody_knows_none_is_said_to_be_here() -> None:
    newest = [str(number).encode() for number in range(20)]

    assert not is_placed_here(b"1", newest, 0, 3)
    assert not is_placed_here(b"1", [], 0, 3)
    assert is_placed_here(b"1", newest, 0, 1)
