"""The workers themselves: which lanes there are, the heartbeat, the chores, and the end."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from tongbao.domain.errors import StorageUnavailable
from tongbao.ports import Clock, DueDelivery, JobKey, Leases
from tongbao.services.idempotency import KEPT_FOR
from tongbao.services.metrics import Metrics
from tongbao.services.pushes import Pushes
from tongbao.workers.lane import Lane, Postponed, Release

log = structlog.get_logger()

HEARTBEAT_SECONDS = 2.0
HEARTBEAT_FRESH = timedelta(seconds=4)
"""Before it claims, a worker whose last heartbeat is older than this renews it: it may have slept."""
AWAY_SECONDS = 1.0
ASK_PAUSE = timedelta(seconds=10)
"""An attempt that is still due after it was asked about (no answer, no budget) waits this long."""
REFUND_PAUSE = timedelta(seconds=5)
EXPIRE_PAUSE = timedelta(seconds=5)
PER_ENDPOINT_MAX = 16
FOLD_LIMIT = 10_000
PURGE_LIMIT = 5_000


class Asking(Protocol):
    async def pursue(self, app_id: str, payment_id: str, attempt_id: str) -> object: ...
    async def expire(self, app_id: str, payment_id: str) -> object: ...


class Refunds(Protocol):
    async def pursue(self, app_id: str, payment_id: str, refund_id: str) -> object: ...


class Delivery(Protocol):
    async def deliver(self, due: DueDelivery) -> object: ...


class App(Protocol):
    """What workers need of the services."""

    @property
    def clock(self) -> Clock: ...
    @property
    def leases(self) -> Leases: ...
    @property
    def asking(self) -> Asking: ...
    @property
    def refunds(self) -> Refunds: ...
    @property
    def delivery(self) -> Delivery: ...
    @property
    def pushes(self) -> Pushes: ...
    @property
    def metrics(self) -> Metrics: ...


class Workers:
    """All loops of one process. `run` ends after `stop`, or when it is cancelled, with its work given back."""

    def __init__(self, app: App, worker_id: str) -> None:
        self.app = app
        self._name = worker_id
        self._generation = 0
        self._beaten_at: datetime | None = None
        self._stopping = asyncio.Event()
        self._postponed = Postponed()
        leases, asking, refunds = app.leases, app.asking, app.refunds
        self._ask = self._leased("ask", leases.claim_attempts, asking.pursue, leases.release_attempts, ASK_PAUSE, 64)
        self._refund = self._leased(
            "refund", leases.claim_refunds, refunds.pursue, leases.release_refunds, REFUND_PAUSE, 32
        )
        self._expire = self._expiring()
        self._deliver = self._delivering()
        self._lanes = (self._ask, self._refund, self._expire, self._deliver)

    def _expiring(self) -> Lane[JobKey]:
        return Lane(
            self,
            "expire",
            claim=self._claim_expired,
            key=_itself,
            work=lambda key: self.app.asking.expire(key[0], key[1]),
            release=self._postponed.release,
            pause=EXPIRE_PAUSE,
            size=256,
            idle_seconds=1.0,
        )

    def _delivering(self) -> Lane[DueDelivery]:
        return Lane(
            self,
            "deliver",
            claim=self._claim_deliveries,
            key=lambda due: due.key,
            work=self.app.delivery.deliver,
            release=self.app.leases.release_deliveries,
            pause=None,
            size=512,
            idle_seconds=0.25,
        )

    @property
    def clock(self) -> Clock:
        return self.app.clock

    @property
    def metrics(self) -> Metrics:
        return self.app.metrics

    def _leased(
        self,
        name: str,
        claim: Callable[[str, datetime, int], Awaitable[list[JobKey]]],
        pursue: Callable[[str, str, str], Awaitable[object]],
        release: Release,
        pause: timedelta,
        size: int,
    ) -> Lane[JobKey]:
        return Lane(
            self,
            name,
            claim=lambda worker_id, room: claim(worker_id, self.app.clock.now(), room),
            key=_itself,
            work=lambda key: pursue(*key),
            release=release,
            pause=pause,
            size=size,
            idle_seconds=0.5,
        )

    @property
    def worker_id(self) -> str:
        """The name under which rows are leased now."""
        return f"{self._name}.{self._generation}"

    # --- claims

    async def fresh_id(self) -> str:
        """The worker's id, with a heartbeat young enough to claim under it."""
        while self._beaten_at is None or self.app.clock.now() - self._beaten_at > HEARTBEAT_FRESH:
            await self.beat()
        return self.worker_id

    async def beat(self) -> None:
        worker_id, now = self.worker_id, self.app.clock.now()
        await self.app.leases.heartbeat(worker_id, now)
        if worker_id == self.worker_id:
            self._beaten_at = now

    async def _claim_expired(self, _: str, room: int) -> list[JobKey]:
        now = self.app.clock.now()
        left_alone = self._postponed.left_alone(now) | set(self._expire.jobs.values())
        found = await self.app.leases.due_payments(now, room + len(left_alone))
        keys = [(app_id, payment_id, payment_id) for app_id, payment_id in found]
        return [key for key in keys if key not in left_alone][:room]

    async def _claim_deliveries(self, worker_id: str, room: int) -> list[DueDelivery]:
        in_flight = Counter(due.endpoint_id for due in self._deliver.jobs.values())
        now = self.app.clock.now()
        return await self.app.leases.claim_deliveries(worker_id, now, room, in_flight, PER_ENDPOINT_MAX)

    # --- single steps

    async def ask_once(self) -> int:
        """Asks about one batch of attempts; returns how many. The other steps are alike."""
        return await self._ask.once()

    async def refund_once(self) -> int:
        return await self._refund.once()

    async def expire_once(self) -> int:
        return await self._expire.once()

    async def deliver_once(self) -> int:
        return await self._deliver.once()

    async def fold_once(self) -> bool:
        """Folds balances; True when there may be more."""
        return await self.app.leases.fold_balances(FOLD_LIMIT) > FOLD_LIMIT // 2

    async def purge_once(self) -> bool:
        """Forgets idempotency keys that were kept long enough; True when there may be more."""
        before = self.app.clock.now() - KEPT_FOR
        return await self.app.leases.purge_idempotency(before, PURGE_LIMIT) == PURGE_LIMIT

    # --- loops

    async def run(self) -> None:
        """Works until `stop`; then finishes what is in flight and gives the rest back."""
        self.app.pushes.listeners.append(self._deliver.wake)
        loops = [asyncio.create_task(lane.run(), name=lane.name) for lane in self._lanes]
        loops += [
            asyncio.create_task(self._chore("fold", self.fold_once, 5.0)),
            asyncio.create_task(self._chore("purge", self.purge_once, 60.0)),
        ]
        heart = asyncio.create_task(self._chore("heartbeat", self.beat, HEARTBEAT_SECONDS))
        log.info("workers_started", worker_id=self.worker_id)
        try:
            await self._stopping.wait()
        finally:
            self.app.pushes.listeners.remove(self._deliver.wake)
            await _end(loops)
            await asyncio.gather(*(lane.finish() for lane in self._lanes))
            await _end([heart])
            await self.guarded("retire", lambda: self.app.leases.retire(self.worker_id))
            log.info("workers_stopped", worker_id=self.worker_id)

    def stop(self) -> None:
        """Ends `run`; may be called from a signal handler."""
        self._stopping.set()

    async def _chore(self, name: str, work: Callable[[], Awaitable[object]], every_seconds: float) -> None:
        while True:
            if not await self.guarded(name, work):
                await asyncio.sleep(every_seconds)

    async def guarded(self, name: str, work: Callable[[], Awaitable[object]]) -> object:
        """What `work` returned; None after a failure, which is logged and followed by a pause."""
        try:
            return await work()
        except StorageUnavailable as error:
            log.warning("worker_waits_for_database", loop=name, why=error.message)
            if self._beaten_at is not None:
                self._generation += 1
                self._beaten_at = None
        except Exception:
            log.exception("worker_loop_failed", loop=name)
        await asyncio.sleep(AWAY_SECONDS)
        return None


def _itself(key: JobKey) -> JobKey:
    return key


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
