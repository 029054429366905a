"""The framing of a whole batch is that of its values one by one."""

from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decode import framing
from app.decode.framing import MOST_SCHEMAS, rows_by_schema, schema_ids, unframed
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
        by_schema = {schema_id: rows.tolist() for schema_id, rows in rows_by_schema(raw)}
    alone = [id_of(value) for value in written]

    assert raw.values() == written
    assert raw.keys() == [b"k"] * len(written)
    assert by_schema == {
        schema_id: [row for row, one in enumerate(alone) if one == schema_id] for schema_id in set(alone) - {None}
    }
    assert schema_ids(raw) == set(alone) - {None}


def test_a_batch_of_more_schemas_than_the_kernel_has_room_for_names_them_all():
    written = [b"\0" + number.to_bytes(4, "big") for number in range(2 * MOST_SCHEMAS)]
    raw = RawBatch.of("t", 0, [RawRecord(n, 0, b"k", value) for n, value in enumerate(written)], 0, len(written))

    assert schema_ids(raw) == set(range(2 * MOST_SCHEMAS))
