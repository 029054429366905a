"""The first contact with a cluster: waiting for brokers that are away, and saying why they let nobody in."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from app.adapters.groups import renew_by
from app.adapters.topics import counts_of
from app.errors import ConfigError, Unavailable

logger = logging.getLogger(__name__)

ATTEMPT_S = 3.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0

REFUSALS = {
    KafkaError._AUTHENTICATION: "kafka.sasl_mechanism, kafka.sasl_username and kafka.sasl_password",  # noqa: SLF001 - public
    KafkaError._SSL: "kafka.security_protocol, kafka.ssl_ca_file, kafka.ssl_certificate_file and kafka.ssl_key_file",  # noqa: SLF001
}
"""Errors that waiting does not mend, and the settings to check; librdkafka tells them beside a call, not as its answer."""


class Connection:
    """An administrator's client that knows why a broker refused it.

    Args:
        client: librdkafka's connection settings.
        wait_s: how long brokers that are away are waited for.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        wait_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._refusal: KafkaError | None = None
        self._brokers = client["bootstrap.servers"]
        self._wait_s = wait_s
        self._clock = clock
        self._sleep = sleep
        config: dict[str, Any] = {**client, "error_cb": self._on_error}
        self.admin = AdminClient(config)
        renew_by(self.admin, partial(AdminClient, dict(client)))

    def partition_counts(self) -> dict[str, int]:
        """Partition count of every topic that we may see; the first question that a start asks.

        Raises:
            ConfigError: the brokers don't let us in.
            Unavailable: none answered, for as long as we wait.
        """
        pause_s = FIRST_PAUSE_S
        deadline = self._clock() + self._wait_s
        while True:
            try:
                return counts_of(self.admin.list_topics(timeout=ATTEMPT_S))
            except KafkaException as error:
                reason = error.args[0].str()
                cause = error
            self.admin.poll(0)
            if self._refusal is not None:
                raise ConfigError([_refused(self._refusal)]) from cause
            left_s = deadline - self._clock()
            if left_s <= 0:
                raise Unavailable(
                    f"no broker of {self._brokers} answered within {self._wait_s:.0f} s ({reason}). Check that they run, "
                    "kafka.brokers, kafka.security_protocol and the network; kafka.start_wait is how long a start waits"
                ) from cause
            logger.warning("no broker of %s answers, next try in %.1f s: %s", self._brokers, pause_s, reason)
            self._sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in REFUSALS:
            self._refusal = error


def _refused(error: KafkaError) -> str:
    return f"kafka: the brokers don't let us in: {error.str()}. Check {REFUSALS[error.code()]}"
