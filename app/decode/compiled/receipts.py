"""Plain receipts as columns: those of our own schema, to the letter, that say no more than coordinates, status and content.

A command id, an error and a kind of evidence are rare, and texts: such a receipt is read by itself (`app.decode.evidence`), as
is whatever the kernel reports a code for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from app.decode.compiled.shapes import Action, Shapes
from app.decode.compiled.tables import DECODED, UNTOUCHED, Names, tables
from app.decode.framing import rows_by_schema
from app.decode.plain import LEAST_RUN, PlainReceipts, none_plain
from app.model import RawBatch, SinkTopic
from cdc_receipts.codec import SCHEMAS
from cdc_receipts.fingerprint import Placeholder
from cdc_receipts.schemas import NamedTypes, loaded

MOST_HEADS = 64
"""Sinks and source partitions of one fetch; each is compared with others', and a log with more gains less."""


class ReceiptColumns:
    """Reads plain receipts with the kernel, whose slots are the schema's fields in order.

    Args:
        kernel: the extension.
    """

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        schema = loaded(json.loads(SCHEMAS["DeliveryReceipt"]))
        root = Shapes(NamedTypes(schema)).of(schema, "")
        for slot, node in enumerate(root.children):
            node.action, node.slot = Action.SLOT, slot
        found = tables(root, (), Names(), Placeholder())
        self._program = (found.nodes, found.columns, found.names, found.name_ends)

    def read(self, raw: RawBatch, is_ours: Callable[[int], bool]) -> PlainReceipts:
        """The plain receipts of one fetch.

        Args:
            is_ours: whether a schema id stands for our schema of receipts, to the letter.
        """
        found = none_plain(len(raw))
        if len(raw) < LEAST_RUN:
            return found
        ours = [rows for schema_id, rows in rows_by_schema(raw) if is_ours(schema_id)]
        if not ours:
            return found
        rows = np.concatenate(ours)
        codes, heads = np.full(len(raw), UNTOUCHED, np.uint8), np.zeros((MOST_HEADS, 5), np.int64)
        count = self._kernel.receipts(
            *self._program, raw.buffer, *map(np.ascontiguousarray, (raw.value_starts, raw.value_sizes)), rows, codes,
            found.name_index, found.offsets, found.statuses, found.fingerprints, found.has_fingerprint,
            found.applied_at, found.sequences, found.has_sequence, heads,
        )  # fmt: skip
        found.is_plain[:] = codes == DECODED
        for sink, sink_size, topic, topic_size, partition in heads[:count].tolist():
            found.names.append(
                SinkTopic(
                    str(raw.buffer[sink : sink + sink_size], "utf-8"),
                    str(raw.buffer[topic : topic + topic_size], "utf-8"),
                    partition,
                )
            )
        return found
