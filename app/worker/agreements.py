"""The contracts that a store's state was made under, kept in its head; a changed configuration is a delta like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from app.ledger.partition import PartitionFold
from app.ledger.terms import contract_of
from app.model import ChangeBatch, Contract
from app.worker.head import Head

Projections = Sequence[frozenset[str]]


def recall(fold: PartitionFold, head: Head) -> None:
    """Give an empty fold the contracts that its state was made under; a new state is made under those it has."""
    if head.contracts:
        contracts = [contract_of(one) for one in head.contracts]
        fold.recall(contracts, [frozenset(columns) for columns in head.projections])
    else:
        note(fold, head)


def note(fold: PartitionFold, head: Head) -> None:
    """Remember the fold's contracts."""
    head.contracts = [asdict(contract) for contract in fold.contracts.values()]
    head.projections = [sorted(columns) for columns in fold.projections]


def told(contracts: Sequence[Contract], projections: Projections) -> dict[str, Any]:
    """A changed configuration as a delta holds it."""
    return {
        "contracts": [asdict(contract) for contract in contracts],
        "projections": [sorted(columns) for columns in projections],
    }


def amend(
    fold: PartitionFold, head: Head, contracts: Sequence[dict[str, Any]], projections: Sequence[list[str]]
) -> None:
    """A changed configuration, as `told` told it, takes effect where every input stands now (design section 6)."""
    fold.amend([contract_of(one) for one in contracts], [frozenset(columns) for columns in projections])
    note(fold, head)


def projected(batch: ChangeBatch, decoded: Projections, kept: Projections) -> ChangeBatch:
    """The decoder's projections in the order of the store's; one that no contract asks for any more stays 0."""
    if decoded == kept:
        return batch
    columns = np.zeros((len(batch), len(kept)), np.uint64)
    for place, projection in enumerate(decoded):
        columns[:, kept.index(projection)] = batch.fingerprints[:, place]
    return replace(batch, fingerprints=columns)
