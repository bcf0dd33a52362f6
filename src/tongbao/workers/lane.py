"""A lane: one kind of job of the workers. Claims what is due, does a bounded number at a time, gives it back."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import structlog

from tongbao.domain.errors import StorageUnavailable
from tongbao.ports import Clock, JobKey
from tongbao.services.metrics import Metrics

log = structlog.get_logger()
J = TypeVar("J")

JOB_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 40.0
"""A channel call in flight is over by then."""
CLAIM_GAP_SECONDS = 0.01
BACKOFF_SECONDS = (1, 2, 5, 10, 30, 60)


class Release(Protocol):
    def __call__(
        self, worker_id: str, keys: Sequence[JobKey], now: datetime, not_before: datetime
    ) -> Awaitable[None]: ...


class Host(Protocol):
    """What a lane needs of the workers it belongs to."""

    @property
    def clock(self) -> Clock: ...
    @property
    def metrics(self) -> Metrics: ...
    async def fresh_id(self) -> str:
        """The worker's id, with a heartbeat young enough to claim under it."""
        ...

    async def guarded(self, name: str, work: Callable[[], Awaitable[object]]) -> object:
        """What `work` returned; None after a failure, which is logged and followed by a pause."""
        ...


class Lane(Generic[J]):
    """One kind of job: claims what is due, does at most `size` at a time, gives it back."""

    def __init__(
        self,
        host: Host,
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
        self._host = host
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
        worker_id = await self._host.fresh_id()
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
            self._host.metrics.job(self.name, "ok")
        if pause is not None:
            self._done.append((worker_id, key, pause))

    def _failed(self, key: JobKey, error: Exception) -> timedelta:
        """Logs why, and says how long the job waits: longer each time."""
        if len(self._failures) > 10_000:
            self._failures.clear()
        pause = BACKOFF_SECONDS[min(self._failures[key], len(BACKOFF_SECONDS) - 1)]
        self._failures[key] += 1
        self._host.metrics.job(self.name, "failed")
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
        now = self._host.clock.now()
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
            await self._host.guarded(self.name, self.step)
            await asyncio.sleep(CLAIM_GAP_SECONDS)
            await set_within(self._woken, self._idle_seconds)

    async def finish(self) -> None:
        """Waits for the jobs in flight, ends those that take too long, gives everything back."""
        if self.jobs:
            _, late = await asyncio.wait(list(self.jobs), timeout=STOP_SECONDS_MAX)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._host.guarded(self.name, self.give_back)


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


async def set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # wait_for would swallow a cancel that comes together with the event
            await event.wait()
