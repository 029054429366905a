"""Names, labels and meanings of every metric; docs/metrics.md says the same, and a test compares them.

A name is ``cdc_verifier_<noun>_<unit>``, counters end in ``_total``; units are seconds, bytes, or what is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from app.model import Flag

ROW_STATES = frozenset(
    {
        "after_closing",
        "beyond_end",
        "cells",
        "compacted",
        "ended",
        "fences_below",
        "losses",
        "marks",
        "old_generation",
        "orphans",
        "replaced",
        "routed_twice",
        "statuses",
        "too_late",
        "waiting",
        "waivers",
    }
)
"""Where a row of evidence can go (law 1); any other word is shown as ``other``."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One metric: what it says, its labels, and whether partitions are summed up or the worst of them counts."""

    text: str
    labels: tuple[str, ...] = ()
    fold: Literal["sum", "max"] = "sum"
    is_counter: bool = False


_LANE = ("sink", "topic", "partition")
_BY_STATE = (*_LANE, "state")
_METRICS = {
    "cdc_verifier_verified_lag_seconds": Shape("age of the newest verified change, 0 if all are", _LANE, "max"),
    "cdc_verifier_verified_lag_changes": Shape(
        "expected changes at or above the verified watermark, and offsets not read yet", _LANE
    ),
    "cdc_verifier_sink_lag_changes": Shape(
        "expected changes at or above the sink's frontier, and offsets not read yet", _LANE
    ),
    "cdc_verifier_open_cell_age_seconds": Shape("age of the oldest open cell, 0 if none is open", _LANE, "max"),
    "cdc_verifier_fence_age_seconds": Shape("time since the last fence was written", _LANE, "max"),
    "cdc_verifier_state_cells": Shape("cells by state", ("sink", "topic", "partition", "state")),
    "cdc_verifier_evidence_cells": Shape(
        "closed cells that are delivered or attempted, by the strength of their evidence",
        ("sink", "topic", "partition", "state"),
    ),
    "cdc_verifier_judged_cells": Shape(
        "cells that a fence has passed and the contract expects something of: closed, or open and bad", _LANE
    ),
    "cdc_verifier_bad_cells": Shape("open cells that are missing, diverged, rejected or duplicated", _LANE),
    "cdc_verifier_conservation_difference_changes": Shape("changes read minus cells; anything but 0 is a bug", _LANE),
    "cdc_verifier_held_lanes": Shape("lanes that wait at a fence for their changes", _LANE),
    "cdc_verifier_delayed_fences": Shape("fences past their grace that wait for other evidence", _LANE),
    "cdc_verifier_progress_partitions": Shape("partitions by what is known of the sink's progress", _BY_STATE),
    "cdc_verifier_sink_status": Shape(
        "1 for the state that the sink's connector is believed to be in", ("sink", "state")
    ),
    "cdc_verifier_sink_tasks": Shape("tasks of the sink's connector by state", ("sink", "state")),
    "cdc_verifier_sink_failures": Shape("failed tasks by the class of the exception", ("sink", "cause")),
    "cdc_verifier_store_up": Shape(
        "1 if the sink's store answered the last look; else no fence is written", ("sink",), "max"
    ),
    "cdc_verifier_change_log_up": Shape(
        "1 if the sink's own change log could be read at the last look, else no fence is written, and if it has an order in every table",
        ("sink",),
        "max",
    ),
    "cdc_verifier_scrub_up": Shape(
        "1 if the last look at rows at rest was answered; 0 while they can't be looked at", ("sink",), "max"
    ),
    "cdc_verifier_scrub_wrong_rows": Shape("rows at rest that were wrong when they were looked at last", _LANE),
    "cdc_verifier_scrub_left_changes": Shape("changes that the pass under way has still to go over", _LANE),
    "cdc_verifier_scrub_age_seconds": Shape(
        "every row at rest was looked at since; of the oldest partition", _LANE, "max"
    ),
    "cdc_verifier_scrub_passes": Shape("whole passes over rows at rest, summed over partitions", _LANE),
    "cdc_verifier_connect_up": Shape("1 if Connect answered the last question", fold="max"),
    "cdc_verifier_kernel_up": Shape("1 if records are decoded by the kernel, 0 if by the slower reference", fold="max"),
    "cdc_verifier_contract_info": Shape(
        "1; whose a sink's topic is, to be joined with the others", ("sink", "topic", "owner", "severity"), "max"
    ),
    "cdc_verifier_suspended_topics": Shape("1 for a topic that is not read, nor judged about", ("topic",), "max"),
    "cdc_verifier_input_position_offset": Shape("next offset to read of every input", ("topic", "partition")),
    "cdc_verifier_fetch_raw": Shape(
        "1 if fetched records are read by the kernel, 0 if one by one, which is slower", fold="max"
    ),
    "cdc_verifier_store_bytes": Shape("size of the stores on disk"),
    "cdc_verifier_segment_memory_bytes": Shape("segments of changes and cells that are in memory"),
    "cdc_verifier_dropped_series": Shape("label sets left out because a metric had too many"),
    **{
        f"cdc_verifier_{flag.words()[0]}_cells_total": Shape(
            f"closed cells with flag {flag.words()[0]}", _LANE, is_counter=True
        )
        for flag in Flag
    },
    "cdc_verifier_evidence_rows_total": Shape(
        "rows of evidence by what became of them", ("sink", "topic", "partition", "state"), is_counter=True
    ),
    "cdc_verifier_loaded_segments_total": Shape("segments that were read from disk into memory", is_counter=True),
    "cdc_verifier_orphan_receipts_total": Shape(
        "receipts for offsets that hold no change", ("sink", "topic"), is_counter=True
    ),
    "cdc_verifier_contradicted_cells_total": Shape(
        "closed cells that evidence disagrees with", ("sink", "topic"), is_counter=True
    ),
    "cdc_verifier_unreadable_records_total": Shape("evidence that can't be decoded", ("topic",), is_counter=True),
    "cdc_verifier_unknown_sink_records_total": Shape(
        "evidence of nobody's sink, or of a topic not the sink's", ("topic",), is_counter=True
    ),
    "cdc_verifier_skipped_offsets_total": Shape(
        "offsets in SKIPs that a probe wrote", ("sink", "topic"), is_counter=True
    ),
    "cdc_verifier_doubtful_movements_total": Shape(
        "movements of progress that may have been a hand's, and can't be proved", ("sink", "topic"), is_counter=True
    ),
    "cdc_verifier_acknowledged_commands_total": Shape(
        "replay commands that the broker has", ("sink", "topic"), is_counter=True
    ),
    "cdc_verifier_lost_offsets_total": Shape(
        "offsets that retention deleted before they were read", ("topic",), is_counter=True
    ),
    "cdc_verifier_replaced_logs_total": Shape(
        "partitions whose topic was deleted and made again", ("topic",), is_counter=True
    ),
    "cdc_verifier_registry_errors_total": Shape("failed requests to the schema registry", is_counter=True),
    "cdc_verifier_read_back_rows_total": Shape(
        "rows read back from the sink's store, by what they showed", ("sink", "state"), is_counter=True
    ),
    "cdc_verifier_change_log_records_total": Shape(
        "records of the sink's own change log, by what they showed", ("sink", "state"), is_counter=True
    ),
    "cdc_verifier_scrubbed_rows_total": Shape(
        "rows at rest that were looked at, by what they showed", ("sink", "state"), is_counter=True
    ),
    "cdc_verifier_connect_errors_total": Shape("failed questions to Connect", is_counter=True),
    "cdc_verifier_broker_errors_total": Shape("failed requests to brokers", is_counter=True),
    "cdc_verifier_batch_seconds": Shape("time that what a fetch brought of one partition number took, a histogram"),
}

METRICS: Mapping[str, Shape] = MappingProxyType(_METRICS)
"""Every metric, in the order of the page."""
