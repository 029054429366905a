"""The Prometheus page, over a clock that is moved by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.request import urlopen

import pytest
from prometheus_client import generate_latest

from app.adapters import metrics as module
from app.adapters.metrics import Metrics, Served, serve
from app.adapters.shapes import METRICS
from app.config import Settings
from app.errors import ConfigError
from app.model import Flag, Origin, Ownership
from app.model.effects import Contradicted, Orphan, SinkWatermark, UnknownSink, Unreadable
from topologies.verifier import _served

NOW_MS = 1_000_000
WATERMARK = SinkWatermark(
    sink="s",
    generation=0,
    topic="orders",
    epoch=0,
    partition=0,
    frontier=90,
    settled_watermark=80,
    verified_watermark=70,
    settled_ts_ms=None,
    verified_ts_ms=NOW_MS - 30_000,
    open_counts=(0, 1, 0, 1, 0, 0, 1, 0, 2, 5),
    counts=(0, 1, 0, 1, 60, 0, 1, 0, 2, 5),
    flags=(3, 0, 0, 0, 0, 0, 0, 0),
    seals=0,
    seal_hash=b"",
    at=0,
)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(per_partition=["/asked.*/"], clock=lambda: NOW_MS / 1000)


def page(metrics: Metrics) -> dict[str, float]:
    """Every series of the page by its name and labels that are not empty."""
    found = {}
    for line in generate_latest(metrics.registry).decode().splitlines():
        if not line.startswith("#"):
            series, value = line.rsplit(" ", 1)
            found[re.sub(r'partition="",?', "", series).replace(",}", "}")] = float(value)
    return found


def show(metrics: Metrics, watermark: SinkWatermark, left: int = 30, oldest: int | None = NOW_MS - 60_000) -> None:
    metrics.watermark(watermark, ahead=left // 3, unverified=left, oldest_open_ts_ms=oldest, fence_at_ms=NOW_MS - 5_000)


def test_one_sinks_watermark_becomes_lag_ages_and_cells(metrics: Metrics) -> None:
    show(metrics, WATERMARK)
    found = page(metrics)

    assert found['cdc_verifier_verified_lag_changes{sink="s",topic="orders"}'] == 30
    assert found['cdc_verifier_sink_lag_changes{sink="s",topic="orders"}'] == 10
    assert found['cdc_verifier_verified_lag_seconds{sink="s",topic="orders"}'] == 30
    assert found['cdc_verifier_open_cell_age_seconds{sink="s",topic="orders"}'] == 60
    assert found['cdc_verifier_fence_age_seconds{sink="s",topic="orders"}'] == 5
    assert found['cdc_verifier_bad_cells{sink="s",topic="orders"}'] == 5
    assert found['cdc_verifier_state_cells{sink="s",state="delivered",topic="orders"}'] == 60


def test_what_was_judged_and_by_which_evidence_are_cells_that_add_up(metrics: Metrics) -> None:
    """60 delivered and closed, 5 bad and open; a share is a quotient of sums, whichever worker holds a partition."""
    for partition in range(2):
        show(metrics, replace(WATERMARK, partition=partition, levels=(0, 10, 20, 30)))
    found = page(metrics)

    assert found['cdc_verifier_judged_cells{sink="s",topic="orders"}'] == 130
    assert found['cdc_verifier_evidence_cells{sink="s",state="read_back",topic="orders"}'] == 60


def test_partitions_are_summed_up_and_the_worst_age_counts(metrics: Metrics) -> None:
    show(metrics, WATERMARK)
    show(metrics, replace(WATERMARK, partition=1, verified_ts_ms=NOW_MS - 90_000), left=5)
    found = page(metrics)

    assert found['cdc_verifier_verified_lag_changes{sink="s",topic="orders"}'] == 35
    assert found['cdc_verifier_verified_lag_seconds{sink="s",topic="orders"}'] == 90


def test_topics_that_were_asked_for_have_partitions(metrics: Metrics) -> None:
    show(metrics, replace(WATERMARK, topic="asked.a", partition=3))

    assert page(metrics)['cdc_verifier_bad_cells{partition="3",sink="s",topic="asked.a"}'] == 5


def test_what_is_all_verified_has_no_lag(metrics: Metrics) -> None:
    show(metrics, WATERMARK, left=0, oldest=None)
    found = page(metrics)

    assert found['cdc_verifier_verified_lag_seconds{sink="s",topic="orders"}'] == 0
    assert found['cdc_verifier_open_cell_age_seconds{sink="s",topic="orders"}'] == 0


def test_an_unknown_age_is_not_on_the_page(metrics: Metrics) -> None:
    """Ignorance is never 0."""
    metrics.watermark(
        replace(WATERMARK, verified_ts_ms=None), ahead=30, unverified=30, oldest_open_ts_ms=None, fence_at_ms=None
    )

    assert not [series for series in page(metrics) if "fence_age" in series or "lag_seconds" in series]


def test_flags_count_from_the_moment_the_partition_was_taken_over(metrics: Metrics) -> None:
    series = 'cdc_verifier_late_cells_total{sink="s",topic="orders"}'
    metrics.opened("s", "orders", 0, {}, WATERMARK.flags)
    show(metrics, WATERMARK)

    assert page(metrics)[series] == 0

    show(metrics, replace(WATERMARK, flags=(7, 0, 0, 0, 0, 0, 0, 0)))

    assert page(metrics)[series] == 4


def test_what_can_be_counted_of_a_sink_is_on_the_page_before_it_happens(metrics: Metrics) -> None:
    """Else the first one would be no increase."""
    metrics.opened("s", "orders", 0, {}, (0,) * 8)
    found = page(metrics)

    for name in ("late_cells", *module.SINK_COUNTERS):
        assert found[f'cdc_verifier_{name}_total{{sink="s",topic="orders"}}'] == 0


def test_a_partition_given_up_leaves_the_page_but_not_the_counters(metrics: Metrics) -> None:
    for partition in range(2):
        metrics.opened("s", "orders", partition, {}, WATERMARK.flags)
    show(metrics, WATERMARK)
    show(metrics, replace(WATERMARK, flags=(7, 0, 0, 0, 0, 0, 0, 0)))
    show(metrics, replace(WATERMARK, partition=1))
    metrics.forget("orders", 0)
    metrics.forget("orders", 1)
    found = page(metrics)

    assert 'cdc_verifier_bad_cells{sink="s",topic="orders"}' not in found
    assert found['cdc_verifier_late_cells_total{sink="s",topic="orders"}'] == 4


def test_each_flag_has_a_counter() -> None:
    assert {f"cdc_verifier_{word}_cells_total" for flag in Flag for word in flag.words()} <= set(METRICS)


def test_findings_errors_and_commands_are_counted(metrics: Metrics) -> None:
    origin = Origin("receipts", 0, 1)
    metrics.found(Orphan(sink="s", topic="orders", partition=0, offset=1, origin=origin))
    metrics.found(Contradicted(sink="s", topic="orders", partition=0, offset=1, origin=origin))
    metrics.found(Unreadable(topic="receipts", partition=0, offset=1, reason="x"))
    metrics.found(UnknownSink(topic="receipts", partition=0, offset=1, sink="x", reason="x"))
    metrics.command_acknowledged("s", "orders")
    metrics.registry_error()
    metrics.broker_error()
    metrics.connect_answer(is_answered=False)
    metrics.connect_answer(is_answered=True)
    metrics.skipped("s", "orders", 1)
    metrics.doubtful("s", "orders")
    metrics.memory(1_000, 1)
    found = page(metrics)

    assert [found[series] for series in found if "_total" in series] == [1.0] * 11


def test_evidence_rows_of_a_new_word_are_other(metrics: Metrics) -> None:
    metrics.opened("s", "orders", 0, {"cells": 1, "new": 0, "newer": 0}, WATERMARK.flags)
    metrics.evidence_rows("s", "orders", 0, {"cells": 4, "new": 1, "newer": 1})
    found = page(metrics)

    assert found['cdc_verifier_evidence_rows_total{sink="s",state="cells",topic="orders"}'] == 3
    assert found['cdc_verifier_evidence_rows_total{sink="s",state="other",topic="orders"}'] == 2


def test_positions_lanes_stores_conservation_and_batches(metrics: Metrics) -> None:
    metrics.position("orders", 0, 10)
    metrics.position("orders", 1, 5)
    metrics.held("s", "orders", 0, is_held=True)
    metrics.held("s", "orders", 1, is_held=False)
    metrics.store(4096)
    metrics.conservation("s", "orders", 0, 2)
    metrics.conservation("s", "orders", 1, -2)
    metrics.batch(0.02)
    found = page(metrics)

    assert found['cdc_verifier_input_position_offset{topic="orders"}'] == 15
    assert found['cdc_verifier_held_lanes{sink="s",topic="orders"}'] == 1
    assert found["cdc_verifier_store_bytes"] == 4096
    assert found['cdc_verifier_conservation_difference_changes{sink="s",topic="orders"}'] == 4
    assert found['cdc_verifier_batch_seconds_bucket{le="0.03"}'] == 1


def test_a_metric_has_only_so_many_label_sets(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SERIES", 2)
    for number in range(5):
        metrics.position(f"t{number}", 0, 1)
    found = page(metrics)

    assert len([series for series in found if "input_position" in series]) == 2
    assert found["cdc_verifier_dropped_series"] == 3


def test_names_and_labels_are_those_of_the_house() -> None:
    for name, shape in METRICS.items():
        assert re.fullmatch(r"cdc_verifier_[a-z]+(_[a-z]+)+", name), name
        assert name.endswith("_total") == shape.is_counter, name
        allowed = {"sink", "topic", "partition", "state"}
        if name == "cdc_verifier_sink_failures":
            allowed.add("cause")  # a class of Java, of tasks that are failed now; no more of what they say
        if name == "cdc_verifier_contract_info":
            allowed |= {"owner", "severity"}  # texts of the configuration, bounded there
        assert set(shape.labels) <= allowed, name


def test_the_page_is_served_and_port_0_serves_none(metrics: Metrics) -> None:
    assert serve(metrics, "127.0.0.1", 0) is None

    served = Served(metrics, "127.0.0.1", 0)
    try:
        with urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=5) as answer:
            assert b"cdc_verifier_dropped_series 0.0" in answer.read()
    finally:
        served.close()


def test_a_port_that_is_taken_is_a_mistake_of_the_configuration(metrics: Metrics) -> None:
    served = Served(metrics, "127.0.0.1", 0)
    settings = Settings(metrics=replace(Settings().metrics, port=served.port))
    try:
        with pytest.raises(ConfigError, match=f"metrics.port: 127.0.0.1:{served.port} can't be served"):
            _served(settings, metrics)
    finally:
        served.close()


def test_whose_a_topic_is_stands_on_the_page_and_stays_when_partitions_go(metrics: Metrics) -> None:
    """A topic of which the contract says nothing has empty labels, which are none."""
    metrics.contract("s", "orders", Ownership("ada", "high"))
    metrics.contract("s", "items", Ownership())
    metrics.forget("orders", 0)
    found = page(metrics)

    assert found['cdc_verifier_contract_info{owner="ada",severity="high",sink="s",topic="orders"}'] == 1
    assert found['cdc_verifier_contract_info{owner="",severity="",sink="s",topic="items"}'] == 1
