"""Arrays as bytes: smaller where they say little, the same to the bit in every case."""

from __future__ import annotations

import json
import struct
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from app.ledger import blocks, columns
from app.native import kernel, missing

INT64 = np.iinfo(np.int64)
DTYPES = st.sampled_from([np.int64, np.int32, np.uint64, np.uint16, np.uint8, np.bool_])
SHAPES = st.one_of(st.tuples(st.integers(0, 300)), st.tuples(st.integers(0, 40), st.integers(1, 3)))


def there_and_back(arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
    described, parts = columns.packed(arrays)
    data = b"".join(parts)
    return columns.unpacked(json.loads(json.dumps(described)), b"head" + data, 4), len(data)


@pytest.mark.skipif(kernel is None, reason=missing() or "")
@given(
    hnp.arrays(st.sampled_from([np.int64, np.uint8]), st.integers(columns.LEAST, 300))
    | hnp.arrays(np.int64, st.integers(columns.LEAST, 300), elements=st.integers(-5, 1 << 20), fill=st.integers(0, 9))
)
def test_the_kernel_takes_the_same_form(array: np.ndarray) -> None:
    described, parts = columns.packed({"a": array})
    with mock.patch.object(columns, "kernel", None):
        assert (described, [bytes(part) for part in columns.packed({"a": array})[1]]) == (
            columns.packed({"a": array})[0],
            [bytes(part) for part in parts],
        )


@given(hnp.arrays(DTYPES, SHAPES))
def test_every_array_comes_back_to_the_bit(array: np.ndarray) -> None:
    found, _ = there_and_back({"a": array, "b": array})
    for name in ("a", "b"):
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert found[name].flags.writeable


@given(st.integers(INT64.min, INT64.max), st.integers(-(1 << 62), 1 << 62), st.integers(250, 300))
def test_int64s_at_the_edge_come_back_to_the_bit(first: int, step: int, count: int) -> None:
    values = [min(max(first + place * step, INT64.min), INT64.max) for place in range(count)]
    array = np.array(values, np.int64)
    assert there_and_back({"a": array})[0]["a"].tolist() == values


@pytest.mark.parametrize(
    ("array", "size"),
    [
        (np.zeros(4_000, np.uint64), 8),
        (np.arange(7, 12_007, 3), 16),
        (1_700_000_000_000 + np.arange(4_000) % 200, 8 + 4_000),
        (1_700_000_000_000 + np.arange(4_000) ** 2 % 60_000, 8 + 2 * 4_000),
        (np.array([INT64.min, INT64.max] * 128), 2048),
    ],
)
def test_what_says_little_takes_little_room(array: np.ndarray, size: int) -> None:
    found, used = there_and_back({"a": array})
    assert used == size
    assert found["a"].tolist() == array.tolist()


def test_a_block_of_the_first_version_is_read() -> None:
    array = np.arange(3, dtype=np.int64)
    text = json.dumps({"version": 1, "arrays": [["a", "<i8", [3]]], "more": 5}).encode()
    header, arrays = blocks.unpack(struct.pack("<I", len(text)) + text + array.tobytes())
    assert header["more"] == 5
    assert arrays["a"].tolist() == [0, 1, 2]
