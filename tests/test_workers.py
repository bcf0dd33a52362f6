"""The workers' loops over real leases: what is claimed, given back, postponed, and how they stop and recover."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from tests import made
from tests.made import APP
from tests.simulated import START, SimClock
from tongbao.domain.errors import StorageUnavailable
from tongbao.ports import DueDelivery, JobKey
from tongbao.services.metrics import Metrics
from tongbao.services.pushes import Pushes
from tongbao.storage.database import Database
from tongbao.storage.leases import Leases
from tongbao.workers import ASK_PAUSE, Workers


class Recorder:
    """Stands for the services: notes its calls, and does what the test says."""

    def __init__(self) -> None:
        self.calls: list[JobKey] = []
        self.behaviour: Callable[[JobKey], Awaitable[None]] | None = None
        self.changed = asyncio.Event()

    async def note(self, key: JobKey) -> None:
        self.calls.append(key)
        self.changed.set()
        if self.behaviour is not None:
            await self.behaviour(key)

    async def pursue(self, app_id: str, payment_id: str, object_id: str) -> None:
        await self.note((app_id, payment_id, object_id))

    async def expire(self, app_id: str, payment_id: str) -> None:
        await self.note((app_id, payment_id, payment_id))

    async def deliver(self, due: DueDelivery) -> None:
        await self.note(due.key)

    async def called(self, times: int) -> None:
        async with asyncio.timeout(5):
            while len(self.calls) < times:
                self.changed.clear()
                await self.changed.wait()


@dataclass
class FakeApp:
    """Real leases on a real database; the services are recorders."""

    clock: SimClock
    leases: Leases
    asking: Recorder = field(default_factory=Recorder)
    refunds: Recorder = field(default_factory=Recorder)
    delivery: Recorder = field(default_factory=Recorder)
    pushes: Pushes = field(default_factory=Pushes)
    metrics: Metrics = field(default_factory=Metrics)


@pytest.fixture
def app(database: Database, clock: SimClock) -> FakeApp:
    return FakeApp(clock, Leases(database))


async def store_due_attempts(database: Database, count: int) -> None:
    payments = [made.payment(number) for number in range(count)]
    attempts = [made.attempt(n, p, next_query_at=START) for n, p in enumerate(payments)]
    await made.store_payments(database, payments, attempts)


async def failing(_: JobKey) -> None:
    raise RuntimeError("a bug")


@asynccontextmanager
async def running(workers: Workers) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(workers.run())
    try:
        yield task
    finally:
        workers.stop()
        await asyncio.wait_for(task, 5)


# --- single steps


async def test_an_attempt_is_asked_about_and_given_back(database: Database, app: FakeApp, clock: SimClock) -> None:
    await store_due_attempts(database, 2)
    workers = Workers(app, "w")
    assert await workers.ask_once() == 2
    assert sorted(app.asking.calls) == [(APP, "pay_0", "att_0"), (APP, "pay_1", "att_1")]
    found = await made.fetch(database, "SELECT leased_by, next_query_at FROM attempts")
    assert found == [{"leased_by": None, "next_query_at": START + ASK_PAUSE}] * 2
    assert await workers.ask_once() == 0
    clock.advance(ASK_PAUSE.total_seconds())
    assert await workers.ask_once() == 2


async def test_a_failing_job_waits_longer_each_time_and_hurts_no_other(
    database: Database, app: FakeApp, clock: SimClock
) -> None:
    payment, other = made.payment(1), made.payment(2)
    refunds = [made.refund(n, made.attempt(n, p), next_try_at=START) for n, p in ((1, payment), (2, other))]
    await made.store_payments(database, [payment, other], [], refunds)
    done = asyncio.Event()

    async def one_fails(key: JobKey) -> None:
        if key[2] == "re_1":
            raise RuntimeError("a bug")
        done.set()

    app.refunds.behaviour = one_fails
    workers = Workers(app, "w")
    waits = []
    for _ in range(7):
        await workers.refund_once()
        (row,) = await made.fetch(database, "SELECT next_try_at, leased_by FROM refunds WHERE id = 're_1'")
        assert row["leased_by"] is None
        waits.append((row["next_try_at"] - clock.now()).total_seconds())
        clock.advance(waits[-1])
    assert waits == [1, 2, 5, 10, 30, 60, 60]
    assert done.is_set()
    app.refunds.behaviour = None
    await workers.refund_once()
    clock.advance(5)
    app.refunds.behaviour = one_fails
    await workers.refund_once()
    (row,) = await made.fetch(database, "SELECT next_try_at FROM refunds WHERE id = 're_1'")
    assert row["next_try_at"] == clock.now() + timedelta(seconds=1), "a success makes the next failure the first again"


async def test_a_payment_that_cannot_be_expired_is_left_alone_for_a_while(
    database: Database, app: FakeApp, clock: SimClock
) -> None:
    await made.store_payments(database, [made.payment(1), made.payment(2)])
    clock.advance(minutes=30)
    app.asking.behaviour = failing
    workers = Workers(app, "w")
    assert await workers.expire_once() == 2
    assert await workers.expire_once() == 0
    clock.advance(1)
    assert await workers.expire_once() == 2
    assert {key[:2] for key in app.asking.calls} == {(APP, "pay_1"), (APP, "pay_2")}


async def test_a_delivery_that_fails_inside_is_given_back(database: Database, app: FakeApp, clock: SimClock) -> None:
    await made.store_app(database)
    await made.insert_endpoint(database, "we_000001")
    await made.store_events(database, [made.event(1, "pay_1")])
    app.delivery.behaviour = failing
    workers = Workers(app, "w")
    assert await workers.deliver_once() == 1
    assert await workers.deliver_once() == 0
    clock.advance(1)
    app.delivery.behaviour = None
    assert await workers.deliver_once() == 1
    (row,) = await made.fetch(database, "SELECT leased_by FROM deliveries")
    assert row["leased_by"] == workers.worker_id, "a delivery's result ends its lease, not the worker"


async def test_the_house_is_kept(database: Database, app: FakeApp, clock: SimClock) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO idempotency_keys (app_id, key, fingerprint, created_at) VALUES ('a', 'k', '', $1)", START
        )
        await connection.execute(
            "INSERT INTO balance_deltas (app_id, kind, channel_account_id, currency, minor)"
            " SELECT 'a', 'fees', 'ca_1', 'CNY', n FROM generate_series(1, 4) n"
        )
    workers = Workers(app, "w")
    assert await workers.fold_once() is False
    assert [row["minor"] for row in await made.fetch(database, "SELECT minor FROM balance_deltas")] == [10]
    clock.advance(hours=24)
    assert await workers.purge_once() is False
    assert await made.fetch(database, "SELECT key FROM idempotency_keys") == [{"key": "k"}]
    clock.advance(1)
    await workers.purge_once()
    assert await made.fetch(database, "SELECT key FROM idempotency_keys") == []


async def test_a_worker_that_slept_beats_before_it_claims(database: Database, app: FakeApp, clock: SimClock) -> None:
    workers = Workers(app, "w")
    await workers.ask_once()
    clock.advance(60)
    await workers.ask_once()
    assert await made.fetch(database, "SELECT id, heartbeat_at FROM workers") == [
        {"id": workers.worker_id, "heartbeat_at": clock.now()}
    ]


# --- loops


async def test_the_loops_find_everything_that_is_due(database: Database, app: FakeApp, clock: SimClock) -> None:
    await store_due_attempts(database, 300)
    await made.store_payments(database, [made.payment("old", expires_at=START)])
    async with running(Workers(app, "w")):
        await app.asking.called(301)
    assert len(set(app.asking.calls)) == 301
    assert await made.fetch(database, "SELECT id FROM attempts WHERE leased_by IS NOT NULL") == []
    assert await made.fetch(database, "SELECT id FROM workers") == []


async def test_a_push_wakes_the_deliveries(database: Database, app: FakeApp) -> None:
    await made.store_app(database)
    await made.insert_endpoint(database, "we_000001")
    workers = Workers(app, "w")
    workers._deliver._idle_seconds = 60
    async with running(workers):
        await asyncio.sleep(0.1)
        await made.store_events(database, [made.event(1, "pay_1")])
        app.pushes.publish([(APP, "pay_1")])
        await app.delivery.called(1)
    assert app.pushes.listeners == []


async def test_stopping_waits_for_what_is_in_flight(database: Database, app: FakeApp) -> None:
    await store_due_attempts(database, 1)
    going_on, finished = asyncio.Event(), []

    async def slow(key: JobKey) -> None:
        await going_on.wait()
        finished.append(key)

    app.asking.behaviour = slow
    workers = Workers(app, "w")
    task = asyncio.create_task(workers.run())
    await app.asking.called(1)
    workers.stop()
    await asyncio.sleep(0.02)
    assert not task.done()
    going_on.set()
    await asyncio.wait_for(task, 5)
    assert len(finished) == 1
    assert await made.fetch(database, "SELECT leased_by FROM attempts") == [{"leased_by": None}]


async def test_what_does_not_finish_is_ended_and_given_back(
    database: Database, app: FakeApp, clock: SimClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tongbao.workers.lane.STOP_SECONDS_MAX", 0.01)
    await store_due_attempts(database, 1)

    async def stuck(_: JobKey) -> None:
        await asyncio.Event().wait()

    app.asking.behaviour = stuck
    async with running(Workers(app, "w")):
        await app.asking.called(1)
    row = {"leased_by": None, "next_query_at": clock.now()}
    assert await made.fetch(database, "SELECT leased_by, next_query_at FROM attempts") == [row]


class Interrupted:
    """Leases whose database goes away: the claim is carried out, and its answer lost."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self.away = False
        self.lost = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._leases, name)

        async def call(*arguments: Any) -> Any:
            result = await method(*arguments)
            if self.away:
                if name == "claim_attempts" and result:
                    self.lost.set()
                raise StorageUnavailable
            return result

        return call


async def test_work_goes_on_when_the_database_is_back(
    database: Database, clock: SimClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of the claim whose answer was lost come back, because the worker goes on under another name."""
    monkeypatch.setattr("tongbao.workers.loops.AWAY_SECONDS", 0.01)
    interrupted: Any = Interrupted(Leases(database))
    app = FakeApp(clock, interrupted)
    workers = Workers(app, "w")
    workers._ask._idle_seconds = 0.01
    await workers.ask_once()
    before = workers.worker_id
    await store_due_attempts(database, 3)
    interrupted.away = True
    async with running(workers):
        await asyncio.wait_for(interrupted.lost.wait(), 5)
        interrupted.away = False
        assert app.asking.calls == []
        clock.advance(8)
        await app.asking.called(3)
    assert workers.worker_id != before
