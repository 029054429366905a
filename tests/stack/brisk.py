"""The main job in a hurry: it looks every second for what happens to topics, its session in the group ends after six, and rows
at rest are gone over without a pause.

    python -m tests.stack.brisk run --config FILE

A static member that ends keeps its partitions until its session does, which is what most of a test's time would go to.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from app.cli.main import main
from app.worker import logs
from topologies import engine, scrubbing, verifier

LOOK_S = 1.0
SESSION_S = 6.0

made = verifier._engine


def brisk(*args: Any) -> engine.EngineSettings:
    """The engine's settings with a short session."""
    return replace(made(*args), session_timeout_s=SESSION_S)


if __name__ == "__main__":
    verifier.LOOK_S = logs.LOOK_S = scrubbing.PASS_S = LOOK_S
    verifier._engine = brisk
    engine.METADATA_MS = int(LOOK_S * 1_000)
    sys.exit(main())
