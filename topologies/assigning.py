"""Whether an assignment keeps inputs together that go together: one partition number of all topics of one partition count."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from faust.types import TP


def apart(
    tps: AbstractSet[TP], counts: Mapping[str, int], absent: AbstractSet[str]
) -> list[tuple[int, set[str], set[str]]]:
    """Partition numbers whose inputs did not come together: the number, the topics wanted, those that came.

    Args:
        counts: partition count by input topic; absent: topics that nobody is assigned.
    """
    found = []
    for number, group in {(tp.partition, counts[tp.topic]) for tp in tps}:
        here = {tp.topic for tp in tps if tp.partition == number and counts[tp.topic] == group}
        wanted = {topic for topic, count in counts.items() if count == group} - absent
        if here != wanted:
            found.append((number, wanted, here))
    return found
