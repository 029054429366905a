"""The limit of the stores' size on disk."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class Disk:
    """At its limit no more changes are read; evidence is, since only that closes cells and frees room.

    Args:
        limit: of all stores together, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.is_full = False

    def look(self, size: int) -> bool:
        """Note the size in bytes; whether the limit was just reached, or is no longer."""
        is_full = size > self._limit
        if is_full == self.is_full:
            return False
        self.is_full = is_full
        how = "no more changes are read: look for the sink that stands still" if is_full else "changes are read again"
        logger.error("the stores have %d bytes, state.max_disk is %d: %s", size, self._limit, how)
        return True
