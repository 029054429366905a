"""The contracts that a store's state was made under, kept in its head; a changed configuration is a delta like any other.

So is a change topic that Kafka compacts from now on, or no more: it, too, says how evidence is to be read.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from app.ledger.partition import PartitionFold
from app.ledger.terms import contract_of
from app.model import Batch, Contract, EvidenceBatch, Projection
from app.worker.head import Head

Projections = Sequence[Projection]


def recall(fold: PartitionFold, head: Head) -> None:
    """Give an empty fold the contracts that its state was made under; a new state is made under those it has."""
    if head.contracts:
        contracts = [contract_of(one) for one in head.contracts]
        fold.recall(contracts, [Projection.unpacked(one) for one in head.projections], head.compacted)
    else:
        note(fold, head)


def note(fold: PartitionFold, head: Head) -> None:
    """Remember the fold's contracts, and which topics are compacted."""
    head.compacted = sorted(fold.compacted)
    head.contracts = [asdict(contract) for contract in fold.contracts.values()]
    head.projections = [one.packed() for one in fold.projections]


def told(contracts: Sequence[Contract], projections: Projections, compacted: Iterable[str]) -> dict[str, Any]:
    """A changed configuration as a delta holds it."""
    return {
        "compacted": sorted(compacted),
        "contracts": [asdict(contract) for contract in contracts],
        "projections": [one.packed() for one in projections],
    }


def amend(
    fold: PartitionFold,
    head: Head,
    contracts: Sequence[dict[str, Any]],
    projections: Sequence[dict[str, Any] | list[str]],
    compacted: Sequence[str] = (),
) -> None:
    """A changed configuration, as `told` told it, takes effect where every input stands now (design section 6)."""
    fold.amend([contract_of(one) for one in contracts], [Projection.unpacked(one) for one in projections], compacted)
    note(fold, head)


def projected(batch: Batch, decoded: Projections, kept: Projections) -> Batch:
    """The decoder's projections in the order of the store's; one that no contract asks for any more stays 0."""
    if isinstance(batch, EvidenceBatch) or decoded == kept:
        return batch
    places = [kept.index(projection) for projection in decoded]
    columns = np.zeros((len(batch), len(kept)), np.uint64)
    columns[:, places] = batch.fingerprints
    left_out = None
    if batch.left_out is not None:
        left_out = np.zeros((len(batch), len(kept)), np.uint8)
        left_out[:, places] = batch.left_out
    return replace(batch, fingerprints=columns, left_out=left_out)


def lagging(contracts: Iterable[Contract], compacted: Container[str]) -> Iterator[str]:
    """Contracts that no sink can keep which lags behind Kafka's compactor, in words."""
    for contract in contracts:
        for topic in contract.topics:
            if topic in compacted and contract.expect == "every-change":
                yield (
                    f"topic {topic} is compacted, and sinks.{contract.sink} expects every change of it: what Kafka takes "
                    'before the sink reads it will be missing. Say expect = "latest-state", or raise the topic\'s '
                    "min.compaction.lag.ms above any lag of the sink"
                )
