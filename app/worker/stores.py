"""A sink's contract as what is said of the rows of its store."""

from __future__ import annotations

from app.config.settings import Settings
from app.decode.images import ImageDecoder
from app.decode.schemas import SchemaSource
from app.evidence.tables import StoreTerms


def store_terms(settings: Settings, sink: str) -> StoreTerms:
    """What the contract of a sink says of its rows."""
    given = settings.sinks[sink]
    return StoreTerms(
        table_name=given.table_name,
        tables=given.tables,
        keys=given.keys,
        ignore_columns=given.ignore_columns,
        projection=settings.contract(sink).projection(),
        columns_due=given.columns_due,
        renames=given.renames,
        tolerances=given.tolerances,
        deletes=given.deletes,
        soft_delete=given.soft_delete,
        truncates=given.truncates == "apply",
        sets_every_column=given.sets == "every-column",
        is_every_change=given.expect == "every-change",
        unavailable_value=settings.source.unavailable_value,
    )


def image_decoder(settings: Settings, schemas: SchemaSource) -> ImageDecoder:
    """What reads changes whole, as the source is configured."""
    source = settings.source
    return ImageDecoder(
        schemas, source.unavailable_value, dict(source.column_types), reads_before=source.before == "whole"
    )
