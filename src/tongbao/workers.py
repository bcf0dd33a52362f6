"""Workers: bounded loops that do what is due. Ask again, refund, expire, deliver, and keep the house.

Rule 1: any number of them, in any number of processes, share the work by lease; there is no leader to lose.
Rule 2: a job that fails is logged, given back and waits longer each time; it holds up nobody.
Rule 3: while the database is away everything pauses, and goes on by itself. A claim whose answer was lost may hold rows
        that we do not know of: the worker goes on under another name, and they come back when the old one is silent.
Rule 4: every step can be called alone (`ask_once`, `deliver_once`, ...), so that a test moves the clock and counts.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import structlog

from tongbao.domain.errors import StorageUnavailable
from tongbao.ports import Clock, DueDelivery, JobKey, Leases
from tongbao.services.idempotency import KEPT_FOR
from tongbao.services.metrics import Metrics
from tongbao.services.pushes import Pushes

log = structlog.get_logger()
J = TypeVar("J")

HEARTBEAT_SECONDS = 2.0
HEARTBEAT_FRESH = timedelta(seconds=4)
"""Before it claims, a worker whose last heartbeat is older than this renews it: it may have slept."""
JOB_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 40.0
"""A channel call in flight is over by then."""
CLAIM_GAP_SECONDS = 0.01
AWAY_SECONDS = 1.0
BACKOFF_SECONDS = (1, 2, 5, 10, 30, 60)
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


class Release(Protocol):
    def __call__(
        self, worker_id: str, keys: Sequence[JobKey], now: datetime, not_before: datetime
    ) -> Awaitable[None]: ...


class Lane(Generic[J]):
    """One kind of job: claims what is due, does at most `size` at a time, gives it back."""

    def __init__(
        self,
        workers: "Workers",
        name: str,
        *,
        claim: Callable[[str, int], Awaitable[list[J]]],
        key: Callable[[J], JobKey],
        work: Callable[[J], Awaitable[object]],
        release: Release,
        pause: timedelta | None,
        size: int,
        idle_seconds: float,
    ) -> None:
        self.name = name
        self.jobs: dict[asyncio.Task[None], J] = {}
        self._workers = workers
        self._claim = claim
        self._key = key
        self._work = work
        self._release = release
        self._pause = pause
        self._size = size
        self._idle_seconds = idle_seconds
        self._failures: Counter[Hashable] = Counter()
        self._done: list[tuple[str, JobKey, timedelta]] = []
        self._woken = asyncio.Event()
        self._more = False

    def wake(self) -> None:
        """Look now, not only at the next poll."""
        self._woken.set()

    async def step(self) -> int:
        """Gives back what is done and starts what is due and has room; returns how many jobs were started."""
        await self.give_back()
        room = self._size - len(self.jobs)
        if room <= 0:
            return 0
        worker_id = await self._workers.fresh_id()
        found = await self._claim(worker_id, room)
        for job in found:
            task = asyncio.create_task(self._do(worker_id, job), name=f"{self.name} {self._key(job)[-1]}")
            self.jobs[task] = job
            task.add_done_callback(self._ended)
        self._more = bool(found)
        return len(found)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self.jobs[task]
        if self._more:
            self._woken.set()

    async def _do(self, worker_id: str, job: J) -> None:
        key = self._key(job)
        pause = self._pause
        try:
            async with asyncio.timeout(JOB_SECONDS_MAX):
                await self._work(job)
        except asyncio.CancelledError:
            self._done.append((worker_id, key, timedelta(0)))
            raise
        except Exception as error:
            pause = self._failed(key, error)
        else:
            self._failures.pop(key, None)
            self._workers.app.metrics.job(self.name, "ok")
        if pause is not None:
            self._done.append((worker_id, key, pause))

    def _failed(self, key: JobKey, error: Exception) -> timedelta:
        """Logs why, and says how long the job waits: longer each time."""
        if len(self._failures) > 10_000:
            self._failures.clear()
        pause = BACKOFF_SECONDS[min(self._failures[key], len(BACKOFF_SECONDS) - 1)]
        self._failures[key] += 1
        self._workers.app.metrics.job(self.name, "failed")
        facts = {"job": self.name, "app_id": key[0], "payment_id": key[1], "id": key[2], "again_in_seconds": pause}
        if isinstance(error, StorageUnavailable):
            log.warning("job_postponed", **facts, why=error.message)
        else:
            log.error("job_failed", **facts, exc_info=error)
        return timedelta(seconds=pause)

    async def give_back(self) -> None:
        """Releases the jobs that are done, those with the same pause together."""
        groups: dict[tuple[str, timedelta], list[JobKey]] = {}
        taken, self._done = self._done, []
        for worker_id, key, pause in taken:
            groups.setdefault((worker_id, pause), []).append(key)
        now = self._workers.app.clock.now()
        try:
            for (worker_id, pause), keys in groups.items():
                await self._release(worker_id, keys, now, now + pause)
        except BaseException:
            self._done = taken + self._done
            raise

    async def once(self) -> int:
        """One batch, from claim to release."""
        started = await self.step()
        await asyncio.gather(*self.jobs)
        await self.give_back()
        return started

    async def run(self) -> None:
        while True:
            self._woken.clear()
            await self._workers.guarded(self.name, self.step)
            await asyncio.sleep(CLAIM_GAP_SECONDS)
            await _set_within(self._woken, self._idle_seconds)

    async def finish(self) -> None:
        """Waits for the jobs in flight, ends those that take too long, gives everything back."""
        if self.jobs:
            _, late = await asyncio.wait(list(self.jobs), timeout=STOP_SECONDS_MAX)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._workers.guarded(self.name, self.give_back)


class Postponed:
    """For jobs without a lease: what was just done, or failed, is left alone for its pause. Repeating does no harm,
    so other processes need not know."""

    def __init__(self) -> None:
        self._until: dict[JobKey, datetime] = {}

    def left_alone(self, now: datetime) -> set[JobKey]:
        self._until = {key: at for key, at in self._until.items() if at > now}
        return set(self._until)

    async def release(self, worker_id: str, keys: Sequence[JobKey], now: datetime, not_before: datetime) -> None:
        self._until.update((key, not_before) for key in keys)


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


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # wait_for would swallow a cancel that comes together with the event
            await event.wait()


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
