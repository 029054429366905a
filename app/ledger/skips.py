"""SKIPs as ranges that neither overlap nor touch: a probe may write the same one again after every takeover."""

from __future__ import annotations

from collections.abc import Sequence

Ranges = list[tuple[int, int]]


def joined(skips: Sequence[tuple[int, int]], start: int, end: int) -> Ranges:
    """The same offsets and those of ``[start, end)``, ascending.

    >>> joined([(2, 5), (9, 12)], 5, 8)
    [(2, 8), (9, 12)]
    """
    found: Ranges = []
    for lo, hi in sorted([*skips, (start, end)]):
        if found and lo <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], hi))
        else:
            found.append((lo, hi))
    return found
