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

from app.native import kernel

LEAST = 256
"""Elements below which an array is written as it is: looking at it would cost more than its bytes."""
_NARROW = (np.dtype("<u1"), np.dtype("<u2"), np.dtype("<u4"))
_INT64 = np.dtype("<i8")
_PAIR = 2 * _INT64.itemsize

Described = list[Any]
_FORMS: tuple[Described, ...] = ([], ["same"], ["steps"], *(["near", dtype.str] for dtype in _NARROW))
"""By the kernel's numbers of them (app/native/src/columns.c)."""


def packed(arrays: Mapping[str, np.ndarray]) -> tuple[list[Described], list[Any]]:
    """Descriptions and bytes, or what holds them, of some arrays by name, in their order."""
    described, parts = [], []
    for name, array in arrays.items():
        is_whole = array.size < LEAST or array.ndim != 1
        form, data = (_whole if is_whole else _packed if kernel is None else _packed_by_kernel)(array)
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


def _whole(array: np.ndarray) -> tuple[Described, Any]:
    return [], np.ascontiguousarray(array)


def _packed_by_kernel(array: np.ndarray) -> tuple[Described, Any]:
    array = np.ascontiguousarray(array)
    number, data = kernel.narrowed(array, array.itemsize, array.dtype == _INT64)
    return _FORMS[number], array if data is None else data


def _packed(array: np.ndarray) -> tuple[Described, Any]:
    first = array[0]
    if first == array[-1] and bool((array == first).all()):
        return ["same"], array[:1].tobytes()
    return _packed_int64(array) if array.dtype == _INT64 else _whole(array)


def _packed_int64(array: np.ndarray) -> tuple[Described, Any]:
    first, step = int(array[0]), int(array[1]) - int(array[0])
    if int(array[-1]) - first == step * (len(array) - 1) and _are_steps(array, first, step):
        return ["steps"], np.array([first, step], _INT64).tobytes()
    least = int(array.min())
    distance = int(array.max()) - least
    for dtype in _NARROW:
        if distance <= np.iinfo(dtype).max:
            return ["near", dtype.str], np.int64(least).tobytes() + (array - least).astype(dtype).tobytes()
    return _whole(array)


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
