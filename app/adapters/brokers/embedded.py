"""librdkafka's mock cluster, which comes with confluent-kafka: a broker inside this process (design section 10).

It serves aiokafka, Faust and librdkafka with groups, idempotent and transactional producers, up to 5 MiB or 100,000
records a partition, in memory only. It can't create topics over the protocol; `EmbeddedBroker.create_topic` does it
through the library that confluent-kafka bundles.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Self

import confluent_kafka

from app.errors import Unavailable

_PRODUCER = 0
_ERROR_BYTES = 512


def _library() -> ctypes.CDLL:
    """Librdkafka as the wheel brings it, or as the system has it."""
    package = Path(confluent_kafka.__file__).parent
    found = sorted([*package.parent.glob("confluent_kafka.libs/librdkafka*"), *package.glob(".dylibs/librdkafka*")])
    try:
        library = ctypes.CDLL(str(found[0]) if found else "librdkafka.so.1")
    except OSError as error:
        raise Unavailable(f"no librdkafka with a mock cluster beside confluent-kafka: {error}") from error
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    library.rd_kafka_conf_new.restype = pointer
    library.rd_kafka_new.restype = pointer
    library.rd_kafka_new.argtypes = [number, pointer, text, ctypes.c_size_t]
    library.rd_kafka_conf_set.argtypes = [pointer, text, text, text, ctypes.c_size_t]
    library.rd_kafka_mock_cluster_new.restype = pointer
    library.rd_kafka_mock_cluster_new.argtypes = [pointer, number]
    library.rd_kafka_mock_cluster_bootstraps.restype = text
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [pointer]
    library.rd_kafka_mock_topic_create.argtypes = [pointer, text, number, number]
    library.rd_kafka_mock_cluster_destroy.argtypes = [pointer]
    library.rd_kafka_mock_group_initial_rebalance_delay_ms.argtypes = [pointer, ctypes.c_int32]
    library.rd_kafka_destroy.argtypes = [pointer]
    return library


class EmbeddedBroker:
    """A cluster of one broker; a context manager.

    Raises:
        Unavailable: this confluent-kafka brings no mock cluster.
    """

    def __init__(self, rebalance_delay_ms: int = 0) -> None:
        self._library = _library()
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        conf = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(conf, b"log_level", b"3", error, _ERROR_BYTES)
        self._client = self._library.rd_kafka_new(_PRODUCER, conf, error, _ERROR_BYTES)
        if not self._client:
            raise Unavailable(f"librdkafka did not start: {error.value.decode()}")
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, rebalance_delay_ms)
        self.bootstrap: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, topic: str, partitions: int) -> None:
        """A topic with a partition count."""
        status = self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1)
        if status:
            raise Unavailable(f"the embedded broker did not create {topic} with {partitions} partitions: {status}")

    def close(self) -> None:
        """Stop it; everything in it is gone."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._client)
            self._cluster = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
