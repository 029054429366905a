"""Ranges of records to batches: which decoder a topic has, and the schemas that it lacks yet."""

from __future__ import annotations

from app.adapters.registry import Registry
from app.config.settings import Settings
from app.decode.decoders import change_decoder, evidence_decoder
from app.model import Batch, ChangeBatch, RawBatch
from app.model.projection import Projections
from app.worker.effects import Effect
from app.worker.lanes import reader_of
from app.worker.layout import Layout
from app.worker.routing import Router, unreadable


class Decoding:
    """The decoders of one worker.

    Args:
        projections: the columns that fingerprints are taken of.
    """

    def __init__(
        self, settings: Settings, layout: Layout, registry: Registry, router: Router, projections: Projections
    ) -> None:
        self._registry = registry
        self._router = router
        self._changes = change_decoder(
            registry, projections, settings.source.unavailable_value, dict(settings.source.column_types)
        )
        self._evidence = evidence_decoder(registry)
        self._readers = {
            topic: reader_of(settings, topic, self._evidence.decode)
            for topic in layout.inputs
            if topic not in settings.source_topics(layout.inputs)
        }

    async def fetch_schemas(self, raw: RawBatch) -> None:
        """Ask the registry for what a range needs and nobody has asked for."""
        missing = (self._evidence if raw.topic in self._readers else self._changes).missing(raw)
        if missing:
            await self._registry.fetch(missing)

    def batch(self, raw: RawBatch) -> tuple[Batch, list[Effect]]:
        """A range decoded, and what its reading makes besides: records routed to lanes, records for quarantine."""
        if raw.topic not in self._readers:
            return self._changes.decode(raw), []
        batch = self._readers[raw.topic](raw)
        return batch, [
            *unreadable(raw, batch),
            *self._router.routed(raw, batch),
            *self._router.unroutable(raw, batch),
        ]

    async def changes(self, raw: RawBatch) -> ChangeBatch:
        """Changes of a stretch that was read again."""
        await self.fetch_schemas(raw)
        return self._changes.decode(raw)
