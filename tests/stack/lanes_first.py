"""The main job with one thing changed: no change is read before all evidence that waited has been.

    python -m tests.stack.lanes_first run --config FILE

Evidence is small and changes are large, so that this is what a restart after hours does now and then by itself.
"""

from __future__ import annotations

import sys

from app.cli.main import main
from app.worker.live import LiveWorker, Place
from app.worker.ports import Assignment, Input


class LanesFirst:
    """Holds change topics while some evidence is unread."""

    def __init__(self) -> None:
        self.opened = LiveWorker.open
        self.held = LiveWorker.is_held
        self.ends: dict[Input, int] = {}

    def install(self) -> None:
        """Put it around the worker's own decisions."""

        async def opened(worker: LiveWorker, assignment: Assignment) -> object:
            self.ends = {source: end for source, end in assignment.ends.items() if not is_change(worker, source)}
            return await self.opened(worker, assignment)

        def is_held(worker: LiveWorker, source: Input) -> bool:
            return self.held(worker, source) or (is_change(worker, source) and self.is_unread(worker))

        LiveWorker.open = opened
        LiveWorker.is_held = is_held

    def is_unread(self, worker: LiveWorker) -> bool:
        """Whether evidence that stood there at the start has not been read."""
        return any(position(worker, source) < end for source, end in self.ends.items())


def is_change(worker: LiveWorker, source: Input) -> bool:
    return source.topic in worker.layout.group_of(source.topic).sources


def position(worker: LiveWorker, source: Input) -> int:
    found = worker._workers.get(Place(worker.layout.inputs[source.topic], source.partition))
    return 0 if found is None else found.position(source.topic) or 0


if __name__ == "__main__":
    LanesFirst().install()
    sys.exit(main())
