"""How a worker ends that must not go on: at once, with the evidence on stderr, and with a status that says why."""

from __future__ import annotations

import logging
import os
import traceback

logger = logging.getLogger(__name__)

BROKEN, DISK, NOT_COPARTITIONED = 70, 74, 71
DISK_WORDS = ("IO error", "No space left on device", "Read-only file system")
"""RocksDB's binding raises plain exceptions, whose text is all that tells a full disk."""


def status_of(error: BaseException) -> int:
    """The exit status that an error calls for.

    >>> status_of(OSError(28, "full")), status_of(ConnectionError()), status_of(Exception("IO error: x"))
    (74, 70, 74)
    """
    if isinstance(error, OSError):
        return BROKEN if isinstance(error, ConnectionError | TimeoutError) else DISK
    return DISK if any(word in str(error) for word in DISK_WORDS) else BROKEN


def end_process(error: BaseException) -> None:
    """Stop at once, with the evidence on stderr; nothing is acknowledged, nothing is closed half."""
    status = status_of(error)
    logger.critical(
        "the worker stops with status %d: %s\n%s", status, error, "".join(traceback.format_exception(error))
    )
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(status)
