"""Ids and hashes: the same for the same, different for anything else; checkpoints survive JSON."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model import ChangeKind, Origin, State
from app.model.effects import CommandKind, CommandMode, CommandReason, Seal
from app.model.identity import canonical, command_id, seal_hash, sealed, verdict_id

SEAL = Seal(
    sink="warehouse",
    generation=0,
    topic="orders",
    epoch=0,
    partition=1,
    number=2,
    segment=3,
    first_offset=12288,
    last_offset=16383,
    counts=(0, 0, 0, 0, 4096, 0, 0, 0, 0, 0),
    flags=(0,) * 8,
    open_offsets=(12300,),
    source_sum=2**64 - 1,
    sink_sum=5,
    first_ts_ms=1,
    last_ts_ms=2,
    contract="abc",
    at=9,
    previous=b"\x01" * 32,
)
FENCE = Origin("receipts", 1, 77)

atoms = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=4) | st.binary(max_size=4)
field_lists = st.lists(st.recursive(atoms, lambda inner: st.lists(inner, max_size=3), max_leaves=6), max_size=4)


@given(field_lists, field_lists)
def test_different_fields_never_share_canonical_bytes(one: list[object], other: list[object]) -> None:
    assert (canonical(one) == canonical(other)) == (one == other)


def test_a_command_is_known_by_cell_segment_fence_and_attempt() -> None:
    """Pinned: readers of other versions must come to the same id."""
    same = {"sink": "s", "generation": 0, "topic": "t", "epoch": 0, "partition": 1, "segment": 2}

    assert command_id(**same, fence_origin=FENCE) == "561658cf757e5c9e3f2d1535908e5976"
    assert command_id(**same, fence_origin=FENCE, attempt=2) != command_id(**same, fence_origin=FENCE)
    assert command_id(**same, fence_origin=FENCE._replace(offset=78)) != command_id(**same, fence_origin=FENCE)


def test_a_verdict_is_known_by_cell_and_fence() -> None:
    """Pinned: readers of other versions must come to the same id."""
    cell = {"sink": "s", "generation": 0, "topic": "t", "epoch": 0, "partition": 1, "offset": 2}

    assert verdict_id(**cell, fence_origin=FENCE) == "a2146eba593b721c13ede320c65d7e23"
    assert verdict_id(**cell | {"offset": 3}, fence_origin=FENCE) != verdict_id(**cell, fence_origin=FENCE)


def test_a_seals_hash_is_of_everything_but_itself() -> None:
    """Pinned: a seal of today must still check years from now; so must one of before levels were counted."""
    assert seal_hash(SEAL).hex() == "b219f07fe8738ca6e0f89c71e81a4dbe52f415be81fa30fde01b082c5e2a6f33"
    assert (
        seal_hash(replace(SEAL, levels=(1, 2, 3, 4))).hex()
        == "db835aa87434497af37764cc546ae4fad4c5125e126c7636ce2426bea3c56661"
    )
    assert sealed(SEAL).hash == seal_hash(SEAL) == seal_hash(sealed(SEAL))


@pytest.mark.parametrize("name", [item.name for item in fields(Seal) if item.name != "hash"])
def test_every_field_of_a_seal_is_in_its_hash(name: str) -> None:
    value = getattr(SEAL, name)
    match value:
        case int():
            other: object = value ^ 1
        case str():
            other = value + "x"
        case bytes():
            other = value[:-1]
        case _:
            other = (*value, 1)

    assert seal_hash(replace(SEAL, **{name: other})) != seal_hash(SEAL)


def test_commands_speak_of_states_kinds_and_modes_by_the_protocols_words() -> None:
    assert CommandReason.of(State.DIVERGED) is CommandReason.DIVERGED
    assert CommandKind.of(ChangeKind.TRUNCATE) is CommandKind.TRUNCATE
    assert CommandKind.of(ChangeKind.UNREADABLE) is CommandKind.UNKNOWN
    assert CommandMode.of("dry-run") is CommandMode.DRY_RUN
    assert CommandMode.of("apply") is CommandMode.APPLY
    with pytest.raises(KeyError):
        CommandReason.of(State.DELIVERED)
