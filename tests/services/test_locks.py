"""Locks in one order everywhere: every use case at once, in two processes, on the same few rows, without a deadlock."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

import pytest

from tests.services.book import ME, Book, paid_in, record_of, seeded
from tongbao.bootstrap import App
from tongbao.domain.errors import Rejected
from tongbao.domain.payment import Attempt
from tongbao.domain.report import Accepted, AttemptEvent, Closed, Declined, NotFound, Report
from tongbao.services.attempts import Begin
from tongbao.services.idempotency import Intent
from tongbao.services.payments import Record
from tongbao.storage.database import Database
from tongbao.workers import FOLD_LIMIT

Step = Callable[[], Awaitable[object]]


class Crowd:
    """Draws what one of many callers does next."""

    def __init__(self, book: Book, houses: list[App], attempts: list[Attempt], rng: random.Random) -> None:
        self.book = book
        self.houses = houses
        self.attempts = attempts
        self.rng = rng
        self.number = 0

    def step(self) -> Step:
        house, attempt = self.rng.choice(self.houses), self.rng.choice(self.attempts)
        kinds = (self.record, self.record, self.answer, self.refund, self.begin, self.conclude, self.create, self.work)
        return self.rng.choice(kinds)(house, attempt)

    def record(self, house: App, attempt: Attempt) -> Step:
        events: list[AttemptEvent] = [Accepted(), NotFound(), Declined("no"), Closed(), paid_in(attempt)]
        record = record_of(attempt, (attempt.reference, self.rng.choice(events)), notification=f"n{self.rng.random()}")
        return lambda: house.payments.record(record)

    def answer(self, house: App, attempt: Attempt) -> Step:
        report = (Report(attempt.reference, Accepted()),)
        record = Record(attempt.app_id, attempt.channel_account_id, ME, report, answer=(self.key(), 201))
        return lambda: house.payments.record(record)

    def refund(self, house: App, attempt: Attempt) -> Step:
        name, intent = f"R{self.rng.randrange(40)}", Intent(self.key(), b"r" * 32)
        return lambda: house.refunds.create(attempt.app_id, attempt.payment_id, name, 1, None, intent)

    def begin(self, house: App, attempt: Attempt) -> Step:
        ids, intent = house.ids, Intent(self.key(), b"b" * 32)
        where = (attempt.app_id, attempt.payment_id, ids.make("att"), ids.reference(), attempt.method)
        command = Begin(*where, attempt.channel, attempt.channel_account_id, {}, intent)
        return lambda: house.attempts._queue.submit(command)

    def conclude(self, house: App, attempt: Attempt) -> Step:
        return lambda: house.payments.conclude(attempt.app_id, attempt.payment_id, cancel=True)

    def create(self, house: App, attempt: Attempt) -> Step:
        payment, intent = self.book.payment(f"O{self.rng.randrange(30)}"), Intent(self.key(), b"c" * 32)
        return lambda: house.attempts.create(payment, {}, None, intent)

    def work(self, house: App, attempt: Attempt) -> Step:
        async def claim_and_release() -> None:
            now, name = self.book.clock.now(), f"w{self.rng.randrange(4)}"
            await house.leases.heartbeat(name, now)
            await house.leases.release_attempts(name, await house.leases.claim_attempts(name, now, 20), now, now)
            await house.leases.release_refunds(name, await house.leases.claim_refunds(name, now, 20), now, now)
            await house.leases.fold_balances(FOLD_LIMIT)

        return claim_and_release

    def key(self) -> str:
        return f"k{self.rng.randrange(12)}"


@pytest.mark.parametrize("callers", [64])
async def test_everything_at_once_without_a_deadlock(book: Book, twin: App, callers: int) -> None:
    rng = seeded()
    attempts = [attempt for n in range(8) for attempt in await book.order(f"P{n}", attempts=3)]
    crowd = Crowd(book, [book.services, twin], attempts, rng)
    steps = [crowd.step() for _ in range(2_000)]

    async def caller() -> None:
        while steps:
            with contextlib.suppress(Rejected):  # refused, in conflict, too much: all of them are answers
                await steps.pop()()

    await asyncio.gather(*(caller() for _ in range(callers)))
    for store in (book.database, twin.payments._store):
        assert isinstance(store, Database)
        assert store.contentions == 0
    assert len(await book.rows("SELECT FROM payments")) <= 38
