"""reading.py BOOTSTRAP SCHEMAS STATE NAME RECORDS: reads every record once, and ends."""

from __future__ import annotations

import sys

from confluent_kafka import Consumer
from topics import CHANGES, RECEIPTS


def main(bootstrap: str, name: str, total: int) -> None:
    """Read in large batches, with the settings that make librdkafka fast."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": name, "auto.offset.reset": "earliest", "enable.auto.commit": False,
        "queued.min.messages": 100_000, "fetch.queue.backoff.ms": 5,
    })  # fmt: skip
    consumer.subscribe([CHANGES, *RECEIPTS])
    seen = 0
    while seen < total:
        for message in consumer.consume(10_000, 0.2):
            if message.error() is None and message.value() is not None:
                seen += 1
                if seen == 1:
                    print("reading", flush=True)
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[4], int(sys.argv[5]))
