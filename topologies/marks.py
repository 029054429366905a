"""Writing what an operator's command decided: marks and waivers into lanes, acknowledged by the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from confluent_kafka import KafkaError, Message, Producer

import schemas
from app.adapters.encode import framed
from app.adapters.kafka_config import client_config
from app.config import Settings
from app.errors import Unavailable
from app.worker.marking import Step, Waiver
from cdc_receipts.codec import SCHEMAS, Mark, encode_mark
from topologies.operating import TIMEOUT_S, patiently, registry_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A step with the offset that its record has in the lane; None where nothing was written."""

    step: Step
    lane_offset: int | None = None


def write(settings: Settings, steps: Sequence[Step]) -> list[Written]:
    """Write what steps hold to the lanes; returns when the broker has all of it.

    Raises:
        Unavailable: it has not; the message says which are written, and repeating the command is right.
    """
    due = [step for step in steps if step.record is not None]
    if not due:
        return [Written(step=step) for step in steps]
    ids = patiently(lambda: registry_of(settings).register(_schemas_of(due)))
    producer = Producer(
        client_config(settings)
        | {"enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": int(TIMEOUT_S * 1000)}
    )
    offsets: dict[int, int] = {}
    failed: list[str] = []
    for place, step in enumerate(steps):
        if step.record is not None:
            producer.produce(
                step.standing.lane,
                _encoded(step.record, ids),
                partition=step.standing.source.partition,
                on_delivery=_noting(place, offsets, failed),
            )
            producer.poll(0)
    left = producer.flush(TIMEOUT_S + 5)
    if failed or left:
        reasons = "; ".join(dict.fromkeys(failed)) or "no answer in time"
        raise Unavailable(
            f"the broker has {len(offsets)} of {len(due)} records: {reasons}. Repeat the command: what is there already "
            "stays as it is"
        )
    return [Written(step=step, lane_offset=offsets.get(place)) for place, step in enumerate(steps)]


def _noting(place: int, offsets: dict[int, int], failed: list[str]) -> Callable[[KafkaError | None, Message], None]:
    def done(error: KafkaError | None, message: Message) -> None:
        if error is None:
            offsets[place] = message.offset() or 0
        else:
            failed.append(error.str())

    return done


def _encoded(record: Mark | Waiver, ids: Mapping[str, int]) -> bytes:
    if isinstance(record, Waiver):
        return framed("Waiver", asdict(record), ids["Waiver"])
    return encode_mark(record, ids["SinkMark"])


def _schemas_of(steps: Iterable[Step]) -> dict[str, str]:
    known = {"SinkMark": SCHEMAS["SinkMark"], "Waiver": schemas.text("Waiver")}
    names = {"Waiver" if isinstance(step.record, Waiver) else "SinkMark" for step in steps}
    return {name: known[name] for name in sorted(names)}
