"""A world whose rows at rest are scrubbed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from app.decode.evidence import EvidenceDecoder
from app.decode.images import ImageDecoder
from app.decode.schemas import RecordedSchemas
from app.evidence.tables import StoreTerms
from app.ledger.lane import lane_ranks, split
from app.model import RawBatch, RawRecord
from app.worker.looks import Looks
from app.worker.ports import Input
from app.worker.scrub import Lost, Pass, Scrub, at_rest
from app.worker.scrubbed import Scrubbed
from cdc_receipts.atoms import integer, text
from cdc_receipts.codec import SCHEMAS, Receipt
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from tests.unit.worker.test_readback import EVIDENCE, SOURCE, WHOM, WRITERS, World, _encoded


class Resting(World):
    """See `World`; its rows are read back before fences, and scrubbed long after."""

    def __init__(self, *changes: tuple[int, str, Any], partitions: int = 1, fillers: int = 1, **given: Any) -> None:
        self.earliest = 0
        self.now_ms = 1_000
        self.scrubbed = Scrubbed()
        self.meanwhile: list[Callable[[], None]] = []
        self.is_ours = True
        super().__init__(*changes, **given)
        names = StoreTerms.__dataclass_fields__.keys() & given.keys()
        terms = at_rest(StoreTerms(is_every_change=False, **{name: given[name] for name in names}))
        self.scrub = Scrub(
            sink="s",
            terms=terms,
            looks=Looks("s", terms, self, self, self._progress, 1, self._sleep, fillers=lambda *_: range(fillers)),
            log=self,
            decoder=ImageDecoder(WRITERS, UNAVAILABLE_VALUE),
            fetch_schemas=self._no_schemas,
            rows_at_once=2,
            partitions=lambda _: partitions,
            wall_ms=lambda: self.now_ms,
            clock=lambda: 0.0,
            sleep=self._rest,
        )
        self.said: list[Receipt] = []

    @property
    def rows(self) -> dict[str, int]:
        """What scrubbed rows have shown."""
        return {word: count for word, count in self.scrub.looks.tally.rows.items() if count}

    def holds_one(self, key: int, name: str) -> None:
        """Somebody writes a row of the sink."""
        self.store[key] = {"id": integer(key), "name": text(name), "body": text("b")}

    def begin(self) -> Pass:
        """A pass that goes on where the last one stood."""
        return Pass(self.scrub, self.sink, SOURCE, self.scrubbed, self._turn, self.said.append)

    def passes(self, one: Pass | None = None) -> list[int]:
        """A pass comes to its end; what it says is heard. The offsets that were told of."""
        asyncio.run(self._pass(one or self.begin()))
        said, self.said = self.said, []
        if said:
            self.hears_said(said)
        return [one.offset for one in said]

    def hears_said(self, said: list[Receipt]) -> None:
        """The lane brings what the scrub has said."""
        records = [RawRecord(place, 0, None, _encoded(one)) for place, one in enumerate(said)]
        raw = RawBatch.of("lane", 0, records, 0, len(records))
        batch = EvidenceDecoder(RecordedSchemas({n: SCHEMAS[name] for name, n in EVIDENCE.items()})).decode(raw)
        rank = (sum(len(part) for part in self.lane) << 24) + (1 << 39)
        rows = split(batch, lane_ranks(batch) + rank)[WHOM]
        self.lane.append(rows)
        self.fold.take_evidence(WHOM, rows)
        for _ in self.fold.judge():
            pass

    @property
    def contradicted(self) -> list[int]:
        """Closed cells that evidence disagrees with."""
        return [remark.offset for remark in self.sink.remarks if remark.kind == "contradicted"]

    async def bounds(self, source: Input) -> tuple[int, int]:
        assert source == SOURCE
        return self.earliest, len(self.records)

    async def _pass(self, one: Pass) -> None:
        while not one.is_over:
            await one.step()

    async def _turn(self) -> None:
        if self.meanwhile:
            self.meanwhile.pop(0)()
        if not self.is_ours:
            raise Lost

    async def _rest(self, _: float) -> None: ...
