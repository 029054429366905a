"""Row fingerprints and delivery receipts: what a sink installs so that the CDC verifier can judge it."""

from cdc_receipts.codec import SCHEMAS, Mark, MarkKind, Receipt, Status, encode_batch, encode_mark, encode_receipt
from cdc_receipts.emitter import BlockedError, BrokenError, ClosedError, ReceiptEmitter, UndeliveredError
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE, RowFingerprinter

__all__ = [
    "SCHEMAS",
    "UNAVAILABLE_VALUE",
    "BlockedError",
    "BrokenError",
    "ClosedError",
    "Mark",
    "MarkKind",
    "Receipt",
    "ReceiptEmitter",
    "RowFingerprinter",
    "Status",
    "UndeliveredError",
    "encode_batch",
    "encode_mark",
    "encode_receipt",
]
