"""Which decoder is taken: the kernel where there is one, the reference where not, and a word about why."""

import pytest

from app import native
from app.decode import decoders
from app.decode.changes import ReferenceChangeDecoder
from app.decode.compiled.changes import CompiledChangeDecoder
from app.decode.schemas import RecordedSchemas
from app.model import RawBatch, RawRecord
from cdc_receipts import SCHEMAS, Receipt, Status, encode_receipt

SCHEMAS_OF_RECEIPTS = RecordedSchemas({1: SCHEMAS["DeliveryReceipt"]})
RECEIPT = Receipt(
    sink="s", topic="t", partition=0, offset=1, status=Status.APPLIED, fingerprint=b"12345678", applied_at=5
)


def receipts_read() -> list[int]:
    records = [RawRecord(at, 0, None, encode_receipt(RECEIPT, 1)) for at in range(20)]
    found = decoders.evidence_decoder(SCHEMAS_OF_RECEIPTS).decode(RawBatch.of("r", 0, records, 0, 20))
    return found.fingerprints.tolist()


@pytest.mark.skipif(native.kernel is None, reason=native.missing() or "")
def test_the_kernel_decodes_where_there_is_one() -> None:
    assert isinstance(decoders.change_decoder(RecordedSchemas({}), [frozenset()], "p"), CompiledChangeDecoder)
    assert receipts_read() == [int.from_bytes(b"12345678", "little")] * 20
    assert decoders.described() == "decoding with the kernel"


def test_the_reference_decodes_where_there_is_no_kernel_and_the_log_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "kernel", None)
    monkeypatch.setattr(decoders, "missing", lambda: "no compiler")

    assert isinstance(decoders.change_decoder(RecordedSchemas({}), [frozenset()], "p"), ReferenceChangeDecoder)
    assert receipts_read() == [int.from_bytes(b"12345678", "little")] * 20
    assert decoders.described() == "decoding with the reference, which is slower: no compiler"
