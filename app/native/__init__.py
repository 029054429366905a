"""The kernel in C: decoding and fetching without a Python object for each record.

It is never needed: where it could not be built, or is switched off, the reference does the same work, slower. ``kernel``
is the extension, or None; `missing` says why.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

SWITCH = "CDC_VERIFIER_KERNEL"
"""Set to ``off`` in the environment, nothing uses the kernel: to compare, and for a doubt at night."""

_is_off = os.environ.get(SWITCH, "").lower() == "off"
_error = ""
kernel: Any = None
if not _is_off:
    try:
        kernel = importlib.import_module("app.native._kernel")
    except ImportError as error:
        _error = str(error)


def missing() -> str | None:
    """Why there is no kernel, and what to do; None where there is one."""
    if kernel is not None:
        return None
    if _is_off:
        return f"the environment variable {SWITCH} switches the kernel off"
    return f"the kernel was not built ({_error}): install a C compiler, then install this program again"
