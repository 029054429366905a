"""The kernel's hash is XXH64, as the library makes it."""

from __future__ import annotations

import random

import pytest
from xxhash import xxh64_intdigest

from app.native import kernel, missing

pytestmark = pytest.mark.skipif(kernel is None, reason=missing() or "")


def test_the_kernels_hash_is_the_librarys_for_every_length_and_seed() -> None:
    chance = random.Random(1)
    for size in (*range(200), 4096, 65_537):
        data, seed = chance.randbytes(size), chance.getrandbits(64)
        assert kernel.xxh64(data, seed) == xxh64_intdigest(data, seed), size
