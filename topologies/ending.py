"""How a worker ends that must not go on: at once, with the evidence on stderr, and with a status that says why."""

from __future__ import annotations

import logging
import os
import traceback

logger = logging.getLogger(__name__)

BROKEN, DISK, NOT_COPARTITIONED = 70, 74, 71


def end_process(error: BaseException) -> None:
    """Stop at once, with the evidence on stderr; nothing is acknowledged, nothing is closed half."""
    status = DISK if isinstance(error, OSError) else BROKEN
    logger.critical(
        "the worker stops with status %d: %s\n%s", status, error, "".join(traceback.format_exception(error))
    )
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(status)
