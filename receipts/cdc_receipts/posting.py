"""The emitter's client: an idempotent producer that is replaced after a fatal error, and the registry's ids."""

from __future__ import annotations

import json
import logging
import threading
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import confluent_kafka

from cdc_receipts.codec import SCHEMAS
from cdc_receipts.tracking import Fate

_LOG = logging.getLogger(__name__)
_GUARANTEES = {"enable.idempotence": True, "acks": "all"}


class Producer(Protocol):
    """The part of ``confluent_kafka.Producer`` that is used."""

    def produce(self, topic: str, value: bytes, *, partition: int, on_delivery: Callable[[Any, Any], None]) -> None: ...

    def poll(self, timeout: float) -> int: ...

    def purge(self, *, blocking: bool) -> None: ...

    def __len__(self) -> int: ...


def ids_of(given: Mapping[str, int] | None, registry_url: str | None, receipts_topic: str) -> dict[str, int]:
    """The id of every evidence schema by record name: those given, or what the registry answers.

    Raises:
        ValueError: a schema has no id, and there is no registry to ask.
        OSError: see `register`.
    """
    found = dict(given) if given is not None else register(registry_url, receipts_topic) if registry_url else {}
    missing = SCHEMAS.keys() - found.keys()
    if missing:
        raise ValueError(f"no schema id for {', '.join(sorted(missing))}: give schema_ids or registry_url")
    return found


def register(registry_url: str, receipts_topic: str, timeout_s: float = 10.0) -> dict[str, int]:
    """Register the evidence schemas under ``<topic>-<full record name>`` and return their ids by record name.

    Raises:
        ValueError: the registry's address is not http or https.
        OSError: the registry did not answer, or refused (``urllib.error.HTTPError``).
    """
    if not registry_url.startswith(("http://", "https://")):
        raise ValueError(f"registry_url {registry_url!r} is neither http nor https")
    ids = {}
    for name, schema in SCHEMAS.items():
        url = f"{registry_url.rstrip('/')}/subjects/{receipts_topic}-cdc_verifier.{name}/versions"
        body = json.dumps({"schema": schema}).encode()
        headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
        request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310  # checked above
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310  # checked above
            ids[name] = int(json.load(answer)["id"])
    return ids


class Post:
    """Messages to one topic, each with one answer: acknowledged, or failed for good.

    ``errors`` counts what failed for good and what the client refused to take. A client given from outside is not
    replaced after a fatal error: nothing leaves any more.

    Raises:
        ValueError: neither a producer nor brokers to make one for.
        confluent_kafka.KafkaException: the configuration is wrong.
    """

    def __init__(self, config: Mapping[str, Any], producer: Producer | None, topic: str) -> None:
        self._config = dict(config) | _GUARANTEES
        self._topic = topic
        self._owned = producer is None
        self._producer: Producer = self._made() if producer is None else producer
        self._broken = False
        self._lock = threading.Lock()
        self.errors = 0

    def send(self, partition: int, value: bytes, decided: Callable[[Fate], None]) -> bool:
        """Hand a message to the client; False if it has no room or refuses, and ``decided`` is never called then."""
        if self._broken:
            return False
        try:
            self._producer.produce(
                self._topic,
                value,
                partition=partition,
                on_delivery=lambda error, _message: decided(self._fate(error, partition)),
            )
        except BufferError:
            return False
        except confluent_kafka.KafkaException as refusal:
            self._fate(refusal.args[0], partition)
            return False
        return True

    def poll(self, timeout_s: float) -> None:
        """Serve answers; wait for the first at most so many seconds."""
        self._producer.poll(timeout_s)

    def revive(self) -> None:
        """After a fatal error: give up what is under way, and once all of it is answered, begin with a new client."""
        if not self._broken or not self._owned:
            return
        if len(self._producer):
            self._producer.purge(blocking=False)
        else:
            self._producer, self._broken = self._made(), False

    def _fate(self, error: Any, partition: int) -> Fate:
        if error is None:
            return Fate.ACKNOWLEDGED
        with self._lock:
            self.errors += 1
        if error.fatal() or error.code() == confluent_kafka.KafkaError._FATAL:  # noqa: SLF001  # that is its name
            self._broken = True
        _LOG.error("not delivered to %s [%d]: %s", self._topic, partition, error)
        return Fate.FAILED

    def _made(self) -> Producer:
        if not {"bootstrap.servers", "metadata.broker.list", "test.mock.num.brokers"} & self._config.keys():
            raise ValueError("give brokers, producer_config with bootstrap.servers, or a producer")
        made: Producer = confluent_kafka.Producer(self._config)
        return made
