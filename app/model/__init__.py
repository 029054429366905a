"""Words every part shares: vocabularies, batches, contracts. Imports nothing of the other stages."""

from app.model.batches import Batch, ChangeBatch, EvidenceBatch, Origin, RawBatch, RawRecord, SinkTopic
from app.model.contract import MODES, Contract, Mode
from app.model.ownership import Ownership
from app.model.projection import LeftOut, Projection
from app.model.words import (
    BAD,
    NO_TIME,
    SEGMENT_BITS,
    SEGMENT_OFFSETS,
    SETTLED,
    TAIL_OFFSETS,
    ChangeKind,
    EvidenceKind,
    Flag,
    Level,
    ReceiptStatus,
    State,
)

__all__ = [
    "BAD",
    "MODES",
    "NO_TIME",
    "SEGMENT_BITS",
    "SEGMENT_OFFSETS",
    "SETTLED",
    "TAIL_OFFSETS",
    "Batch",
    "ChangeBatch",
    "ChangeKind",
    "Contract",
    "EvidenceBatch",
    "EvidenceKind",
    "Flag",
    "LeftOut",
    "Level",
    "Mode",
    "Origin",
    "Ownership",
    "Projection",
    "RawBatch",
    "RawRecord",
    "ReceiptStatus",
    "SinkTopic",
    "State",
]
