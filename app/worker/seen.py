"""Which keys were seen: a filter that forgets none, and of few says that they were when they were not."""

from __future__ import annotations

MARKS = 7
"""Bits of a key; with ten bits a key in the filter, one key in a hundred is taken for one that was seen."""
LEAST_BITS, MOST_BITS = 1 << 16, 1 << 28
"""8 KiB to 32 MiB: good for 26 million keys. With more, more are taken for seen, and are looked at in another pass."""
BITS_A_KEY = 10


class Seen:
    """A Bloom filter over 64-bit hashes.

    Args:
        keys: how many there may be.
        seed: differs between passes, so that another pass mistakes other keys.
    """

    def __init__(self, keys: int, seed: int) -> None:
        bits = min(max(1 << (BITS_A_KEY * max(keys, 1)).bit_length(), LEAST_BITS), MOST_BITS)
        self._mask = bits - 1
        self._bits = bytearray(bits >> 3)
        self._seed = (seed * 0x9E3779B97F4A7C15 | 1) & 0xFFFFFFFFFFFFFFFF

    def has(self, number: int) -> bool:
        """Whether a hash was perhaps added; False where it certainly was not."""
        bits, mask = self._bits, self._mask
        first, step = self._places(number)
        for _ in range(MARKS):
            place = first & mask
            if not bits[place >> 3] & (1 << (place & 7)):
                return False
            first += step
        return True

    def add(self, number: int) -> None:
        """Note a hash."""
        bits, mask = self._bits, self._mask
        first, step = self._places(number)
        for _ in range(MARKS):
            place = first & mask
            bits[place >> 3] |= 1 << (place & 7)
            first += step

    def _places(self, number: int) -> tuple[int, int]:
        mixed = (number ^ number >> 31) * self._seed & 0xFFFFFFFFFFFFFFFF
        mixed ^= mixed >> 29
        return mixed, (mixed >> 32) | 1
