"""The whole house against the independent model of the domain's tests: random stories on PostgreSQL, in batches.

A quick run tells 60 stories of 40 steps; `HYPOTHESIS_PROFILE=nightly` thousands of them. The seed is printed.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable
from datetime import timedelta

from tests.domain.model import RANKS, Model, ModelAttempt
from tests.examples import NIGHTLY
from tests.services.book import Book, paid_in, record_of, seeded
from tongbao.domain.errors import Rejected
from tongbao.domain.payment import Attempt
from tongbao.domain.report import (
    Accepted,
    AttemptEvent,
    Closed,
    Declined,
    NotFound,
    RefundAccepted,
    RefundDone,
    RefundEvent,
    RefundNotFound,
    RefundRejected,
)
from tongbao.services.payments import RecordOutcome

STORIES, STEPS = (5_000, 100) if NIGHTLY else (60, 40)
TOGETHER = 20
"""So many stories take their next step at once, so that they share transactions."""
SAID_OF_REFUND: dict[str, RefundEvent] = {
    "accepted": RefundAccepted(),
    "done": RefundDone(),
    "rejected": RefundRejected("no"),
    "not_found": RefundNotFound(),
}
TOLD = {
    "payment.succeeded": "succeeded",
    "payment.closed": "closed",
    "attempt.failed": "failed",
    "payment.late_succeeded": "late",
    "payment.duplicate_succeeded": "second",
}


class Told:
    """One story: the same choices for the house and for the model."""

    def __init__(self, book: Book, rng: random.Random, number: int) -> None:
        self.book = book
        self.rng = rng
        self.name = f"S{number}"
        self.expires_in = rng.choice((60, 1_800, 86_400))
        self.began = book.clock.now()
        self.attempts: list[Attempt] = []
        self.model: Model
        self.refunds = 0

    async def begin(self) -> None:
        expires_at = self.began + timedelta(seconds=self.expires_in)
        self.attempts = await self.book.order(self.name, self.rng.choice((1, 1, 2, 3)), expires_at=expires_at)
        self.model = Model(9_999, self.expires_in, attempts=[ModelAttempt(rank=1) for _ in self.attempts])

    @property
    def now(self) -> int:
        return int((self.book.clock.now() - self.began).total_seconds())

    def step(self) -> Awaitable[None]:
        return self.rng.choices(
            (self.hear, self.hear_of_refund, self.refund, self.cancel, self.look), (10, 6, 5, 1, 2)
        )[0]()

    async def hear(self) -> None:
        index = self.rng.randrange(len(self.attempts))
        attempt, said = self.attempts[index], self.rng.choice(("accepted", "paid", "declined", "closed", "not_found"))
        events: dict[str, AttemptEvent] = {"accepted": Accepted(), "declined": Declined("no"), "closed": Closed()}
        event = events.get(said) or (paid_in(attempt) if said == "paid" else NotFound())
        self.model.hear(index, said, self.now)
        await self.book.record(attempt, event, notification=self.rng.choice((None, f"{self.name}{said}{index}")))

    async def hear_of_refund(self) -> None:
        statement = "SELECT reference, attempt_id FROM refunds WHERE payment_id = $1 ORDER BY id"
        rows = await self.book.rows(statement, self.attempts[0].payment_id)
        if not rows:
            return
        number, said = self.rng.randrange(len(rows)), self.rng.choice(sorted(SAID_OF_REFUND))
        agrees = self.model.hear_of_refund(number, said)
        record = record_of(self.attempts[0], (rows[number]["reference"], SAID_OF_REFUND[said]))
        answer = await self.book.services.payments.record(record)
        assert (answer.outcome is not RecordOutcome.CONTRADICTED) is agrees

    async def refund(self) -> None:
        amount = self.rng.choice((1, 100, 5_000, 9_999, 10_000))
        fits = self.model.refund(amount)
        self.refunds += 1
        key, name = self.attempts[0], f"{self.name}.{self.refunds}"
        created = self.book.services.refunds.create(key.app_id, key.payment_id, name, amount, None, None)
        await expect(created, fits)

    async def cancel(self) -> None:
        allowed = self.model.cancel(self.now)
        attempt = self.attempts[0]
        await expect(self.book.services.payments.conclude(attempt.app_id, attempt.payment_id, cancel=True), allowed)

    async def look(self) -> None:
        self.model.look(self.now)
        await self.book.services.asking.expire(self.attempts[0].app_id, self.attempts[0].payment_id)

    async def compare(self) -> None:
        payment, attempts = await self.book.services.reading.payment_with_attempts(
            self.attempts[0].app_id, self.attempts[0].payment_id
        )
        model = self.model
        assert (payment.status, payment.closed_reason) == (model.status, model.reason)
        assert [attempt.status for attempt in attempts] == [RANKS[attempt.rank] for attempt in model.attempts]
        assert payment.settled_attempt_id == (None if model.settled is None else attempts[model.settled].id)
        assert payment.amount_refunded == model.returned("succeeded", surplus=False)
        assert payment.amount_refunding == model.returned("pending", surplus=False)
        found = await self.book.rows(
            "SELECT kind, status, amount FROM refunds WHERE payment_id = $1 ORDER BY id", payment.id
        )
        expected = [("surplus" if r.surplus else "merchant", r.state, r.amount) for r in model.refunds]
        assert [tuple(row) for row in found] == expected
        told = Counter(TOLD[name] for name in await self.book.events(self.attempts[0]) if name in TOLD)
        assert told == model.told


async def expect(call: Awaitable[object], allowed: bool) -> None:
    try:
        await call
    except Rejected:
        assert not allowed
    else:
        assert allowed


async def test_random_stories_are_told_as_the_model_tells_them(book: Book) -> None:
    rng = seeded()
    money: Counter[str] = Counter()
    for start in range(0, STORIES, TOGETHER):
        stories = [Told(book, rng, start + n) for n in range(TOGETHER)]
        await asyncio.gather(*(story.begin() for story in stories))
        for _ in range(STEPS):
            await asyncio.gather(*(story.step() for story in stories))
            book.clock.advance(rng.choice((0, 1, 5, 30, 61)))
        for story in stories:
            await story.compare()
            money.update(story.model.money)
    names = {"refunds_under_way": "under_way"}
    balances = {names.get(kind, kind): minor for kind, minor in (await book.balances()).items()}
    assert balances == {kind: minor for kind, minor in money.items() if minor}
    print("told", Counter(story.model.status for story in stories), money)
