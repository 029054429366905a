"""The thread that aiokafka's consumer runs in.

Faust makes it; what is overridden, and why:

- it reads committed records only, and fetches as our settings say: neither is a setting of Faust's.
- what ends the membership in the group ends the process: aiokafka would wait for ever for somebody to ask.
- `_fetch_records` says which inputs are held: what was fetched of them waits where it is, and nothing more is fetched. It
  waits for data in vain where a held input is released, so `wake` has it look again. What comes while the flow is
  stopped is put back: nobody takes it, and the seek of an opening may be over already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from app.worker.ports import Committed, Input
from topologies import fetching
from topologies.ending import end_process

logger = logging.getLogger(__name__)

HELD_LOOK_S = 0.2
"""How soon it is seen at the latest that a held input was released, by whatever it was."""


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """aiokafka's side; every method here runs in its own thread and event loop."""

    app: Any  # Faust's, as `build_app` made it
    is_any_held = False

    async def on_start(self) -> None:
        """Start aiokafka's consumer, and hear of what ends its membership.

        aiokafka keeps such an error for a call that Faust never makes, and stands still: a worker that looks alive.
        """
        await super().on_start()
        coordinator: Any = self._ensure_consumer()._coordinator  # noqa: SLF001
        coordinator._push_error_to_user = self._on_coordination_error  # noqa: SLF001
        coordinator._coordination_task.add_done_callback(self._on_coordination_done)  # noqa: SLF001

    async def _on_coordination_error(self, error: BaseException) -> None:
        end_process(error)

    def _on_coordination_done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            end_process(error)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - not a setting of Faust's
        consumer._fetch_min_bytes = self.app.fetch_min_bytes  # noqa: SLF001
        consumer._fetch_max_wait_ms = self.app.fetch_wait_ms  # noqa: SLF001
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> Any:
        assignment = consumer._subscription.subscription.assignment  # noqa: SLF001 - what fetches belong to
        if assignment is not None:
            fetching.hold(assignment, self._is_held)
        if any(map(self._is_held, active_partitions)):
            timeout = HELD_LOOK_S if timeout is None else min(timeout, HELD_LOOK_S)
        found: Mapping[TP, Any] = await super()._fetch_records(
            consumer, active_partitions, timeout=timeout, max_records=max_records
        )
        if self.consumer.flow_active:
            return found
        for one in found.values():
            one.put_back()
        return {}

    def _is_held(self, tp: Any) -> bool:
        is_held: bool = self.app.worker.is_held(Input(tp.topic, tp.partition))
        self.is_any_held = self.is_any_held or is_held
        return is_held

    def wake(self) -> None:
        """Look again at what is held; called from the app's thread after a batch was taken, which may release some."""
        if self.is_any_held:
            self.thread_loop.call_soon_threadsafe(self._look_again)

    def _look_again(self) -> None:
        self.is_any_held = False
        fetcher = self._ensure_consumer()._fetcher  # noqa: SLF001 - whoever waits for records waits there
        for waiter in list(fetcher._fetch_waiters):  # noqa: SLF001
            fetcher._notify(waiter)  # noqa: SLF001

    async def seek_many(self, positions: Mapping[TP, int]) -> None:
        """Go on at other offsets."""
        consumer = self._ensure_consumer()
        for tp, offset in positions.items():
            consumer.seek(TopicPartition(*tp), offset)
            assignment = consumer._subscription.subscription.assignment  # noqa: SLF001 - where positions are kept
            fetching.expect(assignment.state_value(TopicPartition(*tp)), offset)

    async def counts(self, topics: set[str], *, is_fresh: bool) -> dict[str, int]:
        """Partition counts, 0 for a topic that is gone, as this consumer knows of them, or as the cluster has them now."""
        client = self._ensure_consumer()._client  # noqa: SLF001
        if is_fresh:
            await client.force_metadata_update()
        return {topic: len(client.cluster.partitions_for_topic(topic) or ()) for topic in topics}

    async def bounds(self, tps: set[TP]) -> tuple[dict[TP, int], dict[TP, int]]:
        """Earliest offsets and ends; under read_committed an end is the last stable offset."""
        consumer = self._ensure_consumer()
        wanted = [TopicPartition(*tp) for tp in tps]
        earliest, ends = await asyncio.gather(consumer.beginning_offsets(wanted), consumer.end_offsets(wanted))
        return {TP(*tp): o for tp, o in earliest.items()}, {TP(*tp): o for tp, o in ends.items()}

    async def rejoin(self) -> None:
        """Ask the group to assign anew."""
        self._ensure_consumer()._coordinator.request_rejoin()  # noqa: SLF001 - it is not public

    async def committed_with_metadata(self, tps: set[TP]) -> dict[TP, Committed]:
        """What the group committed last."""
        consumer = self._ensure_consumer()
        found = await consumer._coordinator.fetch_committed_offsets(  # noqa: SLF001 - the metadata is not public
            [TopicPartition(*tp) for tp in tps]
        )
        return {TP(*tp): Committed(told.offset, told.metadata or "") for tp, told in found.items()}

    async def commit_with_metadata(self, offsets: Mapping[TP, Committed]) -> bool:
        """Commit for the partitions that are still ours; a failure is logged, since nothing depends on it."""
        consumer = self._ensure_consumer()
        ours = consumer.assignment()
        told = {
            TopicPartition(*tp): OffsetAndMetadata(*committed)
            for tp, committed in offsets.items()
            if TopicPartition(*tp) in ours
        }
        try:
            if told:
                await consumer.commit(told)
        except (CommitFailedError, IllegalStateError, KafkaError) as error:
            logger.warning("the advisory commit failed, the next one will tell the same: %r", error)
            return False
        return True
