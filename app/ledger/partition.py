"""The fold of one partition number: every source partition of that number, and every sink's lane about it.

`take_changes` and `take_evidence` add what was read; `judge` reads every lane on as far as the changes allow and returns
what the fences decided. Nothing here depends on how the inputs interleave (law 2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from app.errors import require
from app.ledger import blocks
from app.ledger.changes import Changes
from app.ledger.far import gone, resolve
from app.ledger.fence import Outcome, evaluate
from app.ledger.lane import LaneRows
from app.ledger.replacing import begun_anew, close_log
from app.ledger.segments import Residents, Segments
from app.ledger.sink import SinkPartition
from app.model import MODES, ChangeBatch, Contract, Projection, SinkTopic


def projections_of(contracts: Iterable[Contract]) -> list[Projection]:
    """What the contracts take, each once; a sink's projection is the index of its own."""
    return list(dict.fromkeys(contract.projection() for contract in contracts)) or [Projection()]


class PartitionFold:
    """State of one partition number.

    Args:
        contracts: of every sink, with the topics it consumes.
        partition: the partition number.
        ends: where the ends of the change partitions are fixed beforehand (a recording).
        projections: the decoder's, where it makes more than these contracts need.
        compacted: change topics that Kafka compacts: an offset of theirs that holds nothing may have held a change.

    Attributes:
        residents: its segments that are in memory; replaced before anything is read, where there is a store.
    """

    def __init__(
        self,
        contracts: Sequence[Contract],
        partition: int,
        ends: Mapping[tuple[str, int], int] | None = None,
        projections: Sequence[Projection] | None = None,
        compacted: Iterable[str] = (),
    ) -> None:
        self.partition = partition
        self.compacted = frozenset(compacted)
        self.contracts = {contract.sink: contract for contract in contracts}
        self.projections = projections_of(contracts) if projections is None else list(projections)
        self.changes: dict[str, Changes] = {}
        self.sinks: dict[tuple[str, str], SinkPartition] = {}
        self._stirred: dict[tuple[str, str], None] = {}
        self.ends = ends
        self.unknown: Counter[str] = Counter()
        self.residents = Residents()

    def source(self, topic: str) -> Changes:
        """The changes of a topic, made when first asked for; the sinks that consume it come with it."""
        changes = self.changes.get(topic)
        if changes is None:
            segments = Segments(self.residents, ("cs", topic), blocks.unpack_changes)
            changes = self.changes[topic] = Changes(topic, self.partition, len(self.projections), segments)
            for contract in self.contracts.values():
                if topic in contract.topics:
                    self._add(contract, changes)
        return changes

    def _add(self, contract: Contract, changes: Changes) -> SinkPartition:
        projection = self.projections.index(contract.projection())
        cells = Segments(self.residents, ("ks", contract.sink, changes.topic), blocks.unpack_cells)
        sink = self.sinks[contract.sink, changes.topic] = SinkPartition(contract, changes, projection, cells)
        sink.is_compacted = changes.topic in self.compacted
        return sink

    def sinks_of(self, topic: str) -> Iterator[SinkPartition]:
        """The sinks that consume a topic, in the configuration's order."""
        for name in self.contracts:
            sink = self.sinks.get((name, topic))
            if sink is not None:
                yield sink

    def take_changes(self, batch: ChangeBatch) -> None:
        """Add changes that were read; receipts that waited for them are folded in."""
        require(batch.partition == self.partition, f"{batch.topic}:{batch.partition} is not of {self.partition}")
        self.source(batch.topic).take(batch)
        for sink in self.sinks_of(batch.topic):
            sink.take_changes()
            self._stirred[sink.contract.sink, batch.topic] = None

    def read_again(self, batch: ChangeBatch, earliest: int) -> None:
        """Judge the evidence that waits for changes that had been forgotten; they are forgotten again."""
        changes = Changes(batch.topic, self.partition, len(self.projections))
        changes.take(batch)
        for sink in self.sinks_of(batch.topic):
            gone(sink, earliest)
            resolve(sink, changes.segments, batch.start, batch.next)

    def far(self) -> Iterator[tuple[str, int]]:
        """Topics of which changes must be read again, each with the lowest offset that is asked for."""
        for (_, topic), sink in self.sinks.items():
            if sink.far:
                yield topic, min(offset for _, offset in sink.far)

    def is_known(self, name: SinkTopic) -> bool:
        """Whether evidence of this sink about this source partition is judged here."""
        contract = self.contracts.get(name.sink)
        return contract is not None and name.topic in contract.topics and name.partition == self.partition

    def take_evidence(self, name: SinkTopic, rows: LaneRows) -> None:
        """Add rows that follow in the lane of one sink and source partition."""
        require(self.is_known(name), f"evidence of an unknown sink reached the fold: {name}")
        self.source(name.topic)
        self.sinks[name.sink, name.topic].push(rows)
        self._stirred[name.sink, name.topic] = None

    def stirred(self) -> list[SinkPartition]:
        """The lanes to which something was added since this was asked last; nothing moves in the others, be they hundreds."""
        names, self._stirred = self._stirred, {}
        return [self.sinks[name] for name in names if name in self.sinks]

    def judge(self, sinks: Iterable[SinkPartition] | None = None) -> Iterator[tuple[SinkPartition, Outcome]]:
        """Read lanes on, all or some, and evaluate the fences in them.

        The caller finishes with each outcome before it asks for the next: commands and seals are made of the state as it
        is right after that fence.
        """
        for sink in list(self.sinks.values()) if sinks is None else sinks:
            while (found := sink.next_fence()) is not None:
                yield sink, evaluate(sink, *found)

    def replace(self, topic: str) -> Iterator[tuple[SinkPartition, Outcome]]:
        """The topic was made again: its cells close, and when the caller has finished with them the new log begins."""
        sinks = list(self.sinks_of(topic))
        for sink in sinks:
            yield sink, close_log(sink)
        self.changes.pop(topic).segments.clear()
        changes = self.source(topic)
        for sink in sinks:
            sink.cells.clear()
            name = sink.contract.sink
            self.sinks[name, topic] = begun_anew(sink, changes, self.sinks[name, topic].cells)

    def amend(
        self, contracts: Sequence[Contract], projections: Sequence[Projection], compacted: Iterable[str] = ()
    ) -> None:
        """A changed configuration, ours or a topic's: it judges what is read from now on.

        A sink that is new has no cells of what was read before; one that is gone leaves with its cells.
        """
        self.projections.extend(one for one in projections if one not in self.projections)
        self.contracts = {contract.sink: contract for contract in contracts}
        for name, topic in list(self.sinks):
            if name not in self.contracts or topic not in self.contracts[name].topics:
                self.sinks.pop((name, topic)).cells.clear()
        for topic, changes in self.changes.items():
            changes.projections = len(self.projections)
            for contract in contracts:
                if topic in contract.topics:
                    self._amend(contract, changes)
        self._know_compacted(compacted)

    def _know_compacted(self, topics: Iterable[str]) -> None:
        self.compacted = frozenset(topics)
        for (_, topic), sink in self.sinks.items():
            sink.is_compacted = topic in self.compacted

    def _amend(self, contract: Contract, changes: Changes) -> None:
        projection = self.projections.index(contract.projection())
        sink = self.sinks.get((contract.sink, changes.topic))
        if sink is None:
            sink = self._add(contract, changes)
            if changes.first >= 0:
                sink.begin_here()
        elif sink.contract != contract:
            if MODES.index(contract.mode) > MODES.index(sink.contract.mode):
                sink.stragglers.withdraw_commands()
            sink.terms.amend(contract, projection, changes.next)

    def recall(
        self, contracts: Sequence[Contract], projections: Sequence[Projection], compacted: Iterable[str] = ()
    ) -> None:
        """Give an empty fold the contracts that its state was made under, and which topics were compacted then."""
        self.compacted = frozenset(compacted)
        self.contracts = {contract.sink: contract for contract in contracts}
        self.projections = list(projections)

    def blocked(self) -> Iterator[tuple[SinkPartition, int]]:
        """Sinks whose lane waits for changes, with the offset up to which they must be read."""
        for sink in self.sinks.values():
            waiting = sink.blocked_by()
            if waiting is not None:
                yield sink, waiting[2]
