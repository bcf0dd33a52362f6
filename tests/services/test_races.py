"""Many at once: one key, one order, shuffled and doubled reports, and an item that PostgreSQL refuses."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import made
from tests.simulated import SimClock, SimIds
from tongbao.bootstrap import App, build
from tongbao.config import read_settings
from tongbao.domain.errors import IdempotencyConflict, InvalidInput, TongbaoError
from tongbao.domain.money import CNY, Money
from tongbao.domain.payment import Attempt, Payment
from tongbao.domain.report import Accepted, AttemptEvent, Closed, Declined, Identity, NotFound, Paid, Report, Stated
from tongbao.services.idempotency import Intent
from tongbao.services.payments import Record
from tongbao.storage.database import Database
from tongbao.transport import AsgiTransport

ME = Identity("2021", "2088")


@pytest.fixture
async def services(database: Database, clock: SimClock, ids: SimIds, tmp_path: Path) -> AsyncIterator[App]:
    settings = read_settings({}, data_dir=str(tmp_path))
    app = await build(settings, clock=clock, ids=ids, transport=AsgiTransport({}), database=database)
    yield app
    broken = {rule: rows for rule, rows in (await app.verify()).items() if rows}
    assert not broken, broken
    await app.close()


def fresh(services: App, order_no: str, **changes: object) -> Payment:
    made_up = made.payment("x", order_no=order_no, event_seq=1)
    return replace(made_up, id=services.ids.make("pay"), **changes)  # type: ignore[arg-type]


async def count(database: Database, table: str) -> int:
    async with database.connection() as connection:
        found: int = await connection.fetchval(f"SELECT count(*) FROM {table}")
        return found


async def test_64_clients_with_one_key_make_one_payment(services: App, database: Database) -> None:
    intent = Intent("the key", b"f" * 32)
    orders = [services.attempts.create(fresh(services, "O1"), {}, None, intent) for _ in range(64)]
    answers = await asyncio.gather(*orders, return_exceptions=True)
    bodies = {answer.body for answer in answers if not isinstance(answer, BaseException)}
    assert len(bodies) == 1
    assert all(isinstance(a, IdempotencyConflict) for a in answers if isinstance(a, BaseException))
    assert await count(database, "payments") == 1


async def test_64_clients_with_one_order_no_make_one_payment(services: App, database: Database) -> None:
    orders = [services.attempts.create(fresh(services, "O1"), {}, None, Intent(f"k{n}", b"f" * 32)) for n in range(64)]
    answers = await asyncio.gather(*orders)
    assert len({answer.body for answer in answers}) == 1
    assert sorted(answer.status for answer in answers) == [200] * 63 + [201]
    assert await count(database, "payments") == 1


async def test_one_item_that_postgresql_refuses_hurts_no_neighbour(services: App, database: Database) -> None:
    """The door refuses NUL, so that no such item comes this far; the group commit must hold all the same."""
    orders = [fresh(services, f"O{n}") for n in range(512)]
    orders[300] = replace(orders[300], subject="a\x00b")
    answers = await asyncio.gather(
        *(services.attempts.create(order, {}, None, None) for order in orders), return_exceptions=True
    )
    refused = [n for n, answer in enumerate(answers) if isinstance(answer, BaseException)]
    assert refused == [300]
    assert isinstance(answers[300], InvalidInput)
    assert await count(database, "payments") == 511


async def test_a_batch_writes_with_a_fixed_number_of_statements(services: App, database: Database) -> None:
    """Speed is guarded by counting: 200 payments at once take two transactions, not 200."""
    before = database.transactions
    orders = [services.attempts.create(fresh(services, f"O{n}"), {}, None, None) for n in range(200)]
    await asyncio.gather(*orders)
    assert database.transactions - before <= 2


def reports_for(attempt: Attempt, rng: random.Random) -> list[Record]:
    """What a channel may say of one attempt: shuffled, and some of it twice."""
    stated = Stated(amount=attempt.amount, account=ME.account)
    events: list[AttemptEvent] = [Accepted("T"), Closed(), Declined("declined"), NotFound()]
    if rng.random() < 0.7:
        events.append(Paid(stated, channel_reference=f"T{attempt.reference}"))
    events = [
        replace(event, channel_reference=f"T{attempt.reference}") if isinstance(event, Accepted) else event
        for event in events
    ]
    events += rng.sample(events, 3)
    rng.shuffle(events)
    return [
        Record(attempt.app_id, attempt.channel_account_id, ME, (Report(attempt.reference, event),)) for event in events
    ]


async def test_200_recorders_of_shuffled_doubled_reports_on_shared_rows(
    services: App, database: Database, clock: SimClock, ids: SimIds, tmp_path: Path
) -> None:
    """Four gateways record on the same rows: no deadlock, one event per transition.

    `TONGBAO_RACE_SECONDS=20` runs it as long as one likes.
    """
    settings = read_settings({}, data_dir=str(tmp_path))
    others = [
        await build(settings, clock=clock, ids=ids, transport=AsgiTransport({}), database=database) for _ in range(3)
    ]
    gateways = [services, *others]
    seed, seconds = random.SystemRandom().randrange(2**32), float(os.environ.get("TONGBAO_RACE_SECONDS", "1"))
    rng, ends, recorded, rounds = random.Random(seed), time.monotonic() + seconds, 0, 0
    while rounds == 0 or time.monotonic() < ends:
        rounds += 1
        attempts = await shared_rows(services, database, f"{rounds}-", payments=40, attempts_each=3)
        queue = [record for attempt in attempts for record in reports_for(attempt, rng)]
        rng.shuffle(queue)
        recorded += len(queue)

        async def recorder(gateway: App, queue: list[Record]) -> None:
            while queue:
                await gateway.payments.record(queue.pop())

        await asyncio.gather(*(recorder(gateways[n % 4], queue) for n in range(200)))
    for gateway in others:
        await gateway.close()
    async with database.connection() as connection:
        deadlocks = await connection.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        print(f"seed {seed}: {recorded} reports in {rounds} rounds, {deadlocks} deadlocks")
        assert deadlocks == 0
        doubled = await connection.fetch(
            "SELECT payment_id, type FROM events WHERE type IN ('payment.succeeded', 'payment.closed')"
            " GROUP BY 1, 2 HAVING count(*) > 1"
        )
    assert doubled == []


async def shared_rows(
    services: App, database: Database, prefix: str, payments: int, attempts_each: int
) -> list[Attempt]:
    """Payments with several open attempts each."""
    attempts = []
    for number in range(payments):
        payment = fresh(services, f"R{prefix}{number}")
        await services.attempts.create(payment, {}, None, None)
        for _ in range(attempts_each):
            attempt = made.attempt(services.ids.make("")[1:], payment)
            attempts.append(replace(attempt, amount=Money(payment.amount.minor, CNY), next_query_at=payment.created_at))
    await database.transact(lambda tx: tx.insert_attempts(attempts))
    return attempts


async def test_an_error_of_the_use_case_reaches_only_its_caller(services: App) -> None:
    payment = fresh(services, "O1")
    await services.attempts.create(payment, {}, None, None)
    other = fresh(services, "O1", amount=Money(1, CNY))
    good = fresh(services, "O2")
    answers = await asyncio.gather(
        services.attempts.create(other, {}, None, None),
        services.attempts.create(good, {}, None, None),
        return_exceptions=True,
    )
    assert isinstance(answers[0], TongbaoError)
    assert not isinstance(answers[1], BaseException)
