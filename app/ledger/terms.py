"""The contracts of one sink over time: a changed contract holds from a recorded offset on, and what lies below keeps its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from app.ledger.changes import ChangeSegment
from app.ledger.rules import Expectations
from app.model import SEGMENT_OFFSETS, Contract
from app.model.batches import Places, UInt8s, UInt64s, numbers_of


class Terms:
    """One contract and where it begins to hold.

    Attributes:
        start: the first offset that it judges.
        projection: the column of ``ChangeSegment.fingerprints`` and ``left_out`` that is this contract's.
    """

    __slots__ = ("contract", "expectations", "projection", "start")

    def __init__(self, contract: Contract, projection: int, start: int = 0) -> None:
        self.contract = contract
        self.projection = projection
        self.start = start
        self.expectations = Expectations(contract, projection)

    def packed(self) -> list[Any]:
        """For a block."""
        return [self.start, self.projection, asdict(self.contract)]

    @classmethod
    def unpacked(cls, packed: Sequence[Any]) -> Terms:
        """As `packed` gave it."""
        start, projection, contract = packed
        return cls(contract_of(contract), projection, start)


def contract_of(told: Mapping[str, Any]) -> Contract:
    """A contract as `dataclasses.asdict` gave it, perhaps through JSON."""
    known = {item.name for item in fields(Contract)}
    values: dict[str, Any] = {name: value for name, value in told.items() if name in known}
    return Contract(**{name: _frozen(value) for name, value in values.items()})


def _frozen(value: Any) -> Any:
    """Lists, and lists in them, as the tuples that they were."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def same(one: Sequence[Contract], other: Sequence[Contract]) -> bool:
    """Whether two configurations promise the same, in whatever order."""
    return sorted(json.dumps(asdict(c)) for c in one) == sorted(json.dumps(asdict(c)) for c in other)


class Agreed:
    """All contracts of one sink on one source partition, ascending by the offset from which they hold; mostly one."""

    def __init__(self, terms: Sequence[Terms]) -> None:
        self._terms = list(terms)

    def __iter__(self) -> Iterator[Terms]:
        return iter(self._terms)

    @property
    def newest(self) -> Terms:
        """The contract in force for what is read next."""
        return self._terms[-1]

    def at(self, offset: int) -> Terms:
        """The contract that judges one offset."""
        return next((terms for terms in reversed(self._terms) if offset >= terms.start), self._terms[0])

    def compares_alike(self, offset: int) -> bool:
        """Whether rows are compared now as the contract that judges an offset compared them."""
        then, now = self.at(offset).contract, self.newest.contract
        if then is now:
            return True
        return (then.projection(), then.deletes, then.truncates) == (now.projection(), now.deletes, now.truncates)

    def pieces(self, base: int, lo: int, hi: int) -> Iterator[tuple[Terms, int, int]]:
        """A segment's index range ``[lo, hi)`` cut where another contract begins to hold."""
        stops = [*(min(max(terms.start - base, lo), hi) for terms in self._terms[1:]), hi]
        for terms, stop in zip(self._terms, stops, strict=True):
            if stop > lo:
                yield terms, lo, stop
                lo = stop

    def amend(self, contract: Contract, projection: int, start: int) -> None:
        """Another contract judges from ``start`` on, the end of what was read."""
        self._terms = [terms for terms in self._terms if terms.start < start]
        self._terms.append(Terms(contract, projection, start if self._terms else 0))

    def expected_fingerprints(self, changes: ChangeSegment, index: Places) -> UInt64s:
        """``uint64[n]``: what each change's row should look like at this sink; ``index`` are places in the segment."""
        found: UInt64s = changes.fingerprints[index, self._terms[0].projection]
        for later in self._terms[1:]:
            held = numbers_of(index) + changes.base >= later.start
            if held.any():
                found = np.where(held, changes.fingerprints[index, later.projection], found)
        return found

    def kinds(self, changes: ChangeSegment, index: Places) -> UInt8s:
        """``uint8[n]``: kinds as each change's contract sees them (`Expectations.seen`); ``index`` are places in the segment."""
        found: UInt8s = changes.kinds[index]
        if not changes.left_out.any():
            return found
        index, found = numbers_of(index), found.copy()
        for terms, lo, hi in self.pieces(changes.base, 0, SEGMENT_OFFSETS):
            here = np.flatnonzero((index >= lo) & (index < hi))
            if len(here):
                found[here] = terms.expectations.seen(found[here], changes.left_out[index[here], terms.projection])
        return found

    def packed(self) -> list[list[Any]]:
        """For a block."""
        return [terms.packed() for terms in self._terms]

    @classmethod
    def unpacked(cls, packed: Sequence[Sequence[Any]]) -> Agreed:
        """As `packed` gave it."""
        return cls([Terms.unpacked(terms) for terms in packed])
