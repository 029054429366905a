"""The framing of a whole batch is that of its values one by one."""

from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decode import framing
from app.decode.framing import framed_ids, schema_ids, unframed
from app.errors import Undecodable
from app.model import RawBatch, RawRecord

values = st.none() | st.binary(max_size=7) | st.binary(max_size=6).map(lambda rest: b"\0" + rest)


def id_of(value):
    try:
        return None if value is None else unframed(value)[0]
    except Undecodable:
        return None


@pytest.mark.parametrize("kernel", [framing.kernel, None], ids=["as here", "without a kernel"])
@given(written=st.lists(values, max_size=5))
def test_a_batch_names_the_schema_ids_of_its_framed_values(kernel, written):
    raw = RawBatch.of("t", 0, [RawRecord(n, 0, b"k", value) for n, value in enumerate(written)], 0, len(written))
    with mock.patch.object(framing, "kernel", kernel):
        ids, is_framed = framed_ids(raw)
    alone = [id_of(value) for value in written]

    assert raw.values() == written
    assert raw.keys() == [b"k"] * len(written)
    assert [int(number) if is_one else None for number, is_one in zip(ids, is_framed, strict=True)] == alone
    assert schema_ids(raw) == set(alone) - {None}
