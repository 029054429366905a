"""Arrays as bytes, each in the smallest of four forms that gives it back to the bit.

Most columns of most batches say one thing: every receipt is APPLIED, none has a sequence, offsets count up by one, times lie
within seconds of each other. The forms, by what stands in an array's description behind name, dtype and shape:

    (nothing)           the elements, as they are
    "same"              one element
    "steps"             the first element and the step, int64 each; of int64 in one dimension
    "near", dtype       the least element, int64, then what each is above it in a narrower dtype; likewise
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

LEAST = 256
"""Elements below which an array is written as it is: looking at it would cost more than its bytes."""
_NARROW = (np.dtype("<u1"), np.dtype("<u2"), np.dtype("<u4"))
_INT64 = np.dtype("<i8")
_PAIR = 2 * _INT64.itemsize

Described = list[Any]


def packed(arrays: Mapping[str, np.ndarray]) -> tuple[list[Described], list[bytes]]:
    """Descriptions and bytes of some arrays by name, in their order."""
    described, parts = [], []
    for name, array in arrays.items():
        form, data = _packed(array)
        described.append([name, array.dtype.str, list(array.shape), *form])
        parts.append(data)
    return described, parts


def unpacked(described: Iterable[Sequence[Any]], block: bytes, at: int) -> dict[str, np.ndarray]:
    """The arrays that `packed` was given, as writable copies; their bytes begin at ``at``."""
    arrays = {}
    for name, dtype, shape, *form in described:
        found, at = _unpacked(np.dtype(dtype), int(np.prod(shape, dtype=np.int64)), form, block, at)
        arrays[name] = found.reshape(shape)
    return arrays


def _packed(array: np.ndarray) -> tuple[Described, bytes]:
    if array.size >= LEAST and array.ndim == 1:
        first = array[0]
        if first == array[-1] and bool((array == first).all()):
            return ["same"], array[:1].tobytes()
        if array.dtype == _INT64:
            return _packed_int64(array)
    return [], np.ascontiguousarray(array).tobytes()


def _packed_int64(array: np.ndarray) -> tuple[Described, bytes]:
    first, step = int(array[0]), int(array[1]) - int(array[0])
    if int(array[-1]) - first == step * (len(array) - 1) and _are_steps(array, first, step):
        return ["steps"], np.array([first, step], _INT64).tobytes()
    least = int(array.min())
    distance = int(array.max()) - least
    for dtype in _NARROW:
        if distance <= np.iinfo(dtype).max:
            return ["near", dtype.str], np.int64(least).tobytes() + (array - least).astype(dtype).tobytes()
    return [], np.ascontiguousarray(array).tobytes()


def _are_steps(array: np.ndarray, first: int, step: int) -> bool:
    """The ends fit; Python's ints, so that nothing overflows before that is known."""
    return bool((array == first + step * np.arange(len(array), dtype=_INT64)).all())


def _unpacked(dtype: np.dtype[Any], count: int, form: Sequence[Any], block: bytes, at: int) -> tuple[np.ndarray, int]:
    match form:
        case ["same"]:
            return np.full(count, np.frombuffer(block, dtype, 1, at)[0], dtype), at + dtype.itemsize
        case ["steps"]:
            first, step = np.frombuffer(block, _INT64, 2, at)
            return first + step * np.arange(count, dtype=_INT64), at + _PAIR
        case ["near", narrow]:
            least = np.frombuffer(block, _INT64, 1, at)[0]
            above = np.frombuffer(block, np.dtype(narrow), count, at + _INT64.itemsize)
            return above.astype(_INT64) + least, at + _INT64.itemsize + above.nbytes
        case _:
            found = np.frombuffer(block, dtype, count, at).copy()
            return found, at + found.nbytes
