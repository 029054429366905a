"""Both decoders, held equal in everything that they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from app.decode.changes import ReferenceChangeDecoder
from app.decode.compiled.changes import CompiledChangeDecoder
from app.decode.schemas import SchemaSource
from app.errors import Unavailable
from app.model import ChangeBatch, EvidenceBatch, RawBatch
from app.model.projection import Projections
from app.native import kernel
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE


def assert_same(expected: ChangeBatch | EvidenceBatch, actual: ChangeBatch | EvidenceBatch) -> None:
    """Every field, types and shapes too."""
    assert type(actual) is type(expected)
    for field in fields(expected):
        one, other = getattr(expected, field.name), getattr(actual, field.name)
        if isinstance(one, np.ndarray):
            assert isinstance(other, np.ndarray), field.name
            assert (other.dtype, other.shape) == (one.dtype, one.shape), field.name
            if not np.array_equal(one, other):
                rows = np.flatnonzero((one != other).reshape(len(one), -1).any(axis=1))
                raise AssertionError(f"{field.name} of rows {rows[:9].tolist()}: {one[rows[:9]]} and {other[rows[:9]]}")
        else:
            assert other == one, field.name


class BothDecoders:
    """The reference's interface; what it gives has been compared with the kernel's, where there is a kernel.

    Attributes:
        compiled: None without a kernel.
    """

    def __init__(
        self,
        schemas: SchemaSource,
        projections: Projections,
        unavailable_value: str = UNAVAILABLE_VALUE,
        column_types: Mapping[str, str] | None = None,
    ) -> None:
        arguments: tuple[Any, ...] = (schemas, projections, unavailable_value, column_types or {})
        self.reference = ReferenceChangeDecoder(*arguments)
        self.compiled = None if kernel is None else CompiledChangeDecoder(kernel, *arguments)

    def decode(self, raw: RawBatch) -> ChangeBatch:
        try:
            expected = self.reference.decode(raw)
        except Unavailable:
            if self.compiled is not None:
                with pytest.raises(Unavailable):
                    self.compiled.decode(raw)
            raise
        if self.compiled is not None:
            assert_same(expected, self.compiled.decode(raw))
        return expected

    def missing(self, raw: RawBatch) -> set[int]:
        expected = self.reference.missing(raw)
        assert self.compiled is None or self.compiled.missing(raw) == expected
        return expected

    @property
    def left(self) -> int:
        """Records that the kernel left to the reference."""
        return 0 if self.compiled is None else self.compiled.left
