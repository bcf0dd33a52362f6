"""Payments with open attempts on real PostgreSQL, and reports recorded on them as if a channel had spoken."""

import asyncio
import random
from dataclasses import replace
from typing import Any

from tests import made
from tests.simulated import SimClock
from tongbao.bootstrap import App
from tongbao.domain.payment import Attempt, Payment
from tongbao.domain.report import AttemptEvent, Identity, Paid, RefundEvent, Report, Stated
from tongbao.services.payments import NotificationSource, Record, Recorded
from tongbao.storage.database import Database

ME = Identity("2021", "2088")


def record_of(
    attempt: Attempt, *reports: tuple[str, AttemptEvent | RefundEvent], notification: str | None = None
) -> Record:
    """Reports, each with the reference that it names, about an attempt's channel account."""
    source = None if notification is None else NotificationSource(notification, "raw")
    named = tuple(Report(reference, event) for reference, event in reports)
    return Record(attempt.app_id, attempt.channel_account_id, ME, named, source)


def paid_in(attempt: Attempt, **more: Any) -> Paid:
    return Paid(Stated(attempt.amount, ME.account), **more)


def seeded() -> random.Random:
    """A seed of its own for each run, printed when the test fails."""
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    return random.Random(seed)


class Book:
    """What a test of recording drives."""

    def __init__(self, services: App, database: Database, clock: SimClock) -> None:
        self.services = services
        self.database = database
        self.clock = clock

    def payment(self, order_no: str, **changes: Any) -> Payment:
        blank = made.payment("x", order_no=order_no, event_seq=1, created_at=self.clock.now())
        return replace(blank, id=self.services.ids.make("pay"), **changes)

    async def order(self, order_no: str, attempts: int = 1, **changes: Any) -> list[Attempt]:
        """A pending payment; its open attempts."""
        payment = self.payment(order_no, **changes)
        await self.services.attempts.create(payment, {}, None, None)
        opened = [
            made.attempt(self.services.ids.make("")[1:], payment, next_query_at=self.clock.now())
            for _ in range(attempts)
        ]
        if opened:
            await self.database.transact(lambda tx: tx.insert_attempts(opened))
        return opened

    async def record(self, attempt: Attempt, event: AttemptEvent, notification: str | None = None) -> Recorded:
        return await self.services.payments.record(
            record_of(attempt, (attempt.reference, event), notification=notification)
        )

    async def paid(self, order_no: str, **changes: Any) -> Attempt:
        (attempt,) = await self.order(order_no, **changes)
        await self.record(attempt, paid_in(attempt))
        return attempt

    async def view(self, attempt: Attempt) -> Payment:
        return (await self.services.reading.payment(attempt.app_id, attempt.payment_id))[0]

    async def rows(self, statement: str, *values: object) -> list[Any]:
        async with self.database.connection() as connection:
            return list(await connection.fetch(statement, *values))

    async def events(self, attempt: Attempt) -> list[str]:
        found = await self.rows("SELECT type FROM events WHERE payment_id = $1 ORDER BY sequence", attempt.payment_id)
        return [row["type"] for row in found]

    async def refunds(self, attempt: Attempt) -> list[tuple[str, str, int]]:
        statement = "SELECT kind, status, amount FROM refunds WHERE attempt_id = $1 ORDER BY id"
        return [tuple(row) for row in await self.rows(statement, attempt.id)]

    async def balances(self) -> dict[str, int]:
        """Of all apps and accounts together, what is not zero."""
        found = await self.rows("SELECT kind, sum(minor)::bigint AS minor FROM balance_deltas GROUP BY kind")
        return {row["kind"]: row["minor"] for row in found if row["minor"]}

    async def someone_waits(self) -> None:
        """Until a statement waits for a lock."""
        async with asyncio.timeout(10):
            waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            while not await self.rows(waiting):
                pass

    async def verify(self) -> None:
        broken = {rule: rows for rule, rows in (await self.services.verify()).items() if rows}
        assert not broken, broken
