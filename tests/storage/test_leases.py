"""Leases on a real database: one holder at a time, silent workers lose theirs, order is kept, sums are kept."""

import asyncio
import json
import random
from datetime import timedelta

import pytest

from tests import made
from tests.made import APP
from tests.simulated import START, SimClock
from tongbao.domain.errors import StorageUnavailable
from tongbao.domain.payment import AttemptStatus, PaymentStatus
from tongbao.domain.refund import RefundStatus
from tongbao.ports.leases import SILENT_AFTER, DueDelivery
from tongbao.storage.database import Database
from tongbao.storage.leases import CLAIM_DELIVERIES, Leases


@pytest.fixture
def leases(database: Database) -> Leases:
    return Leases(database)


async def store_due_attempts(database: Database, count: int, **changes: object) -> None:
    payments = [made.payment(number) for number in range(count)]
    due = {"next_query_at": START, **changes}
    await made.store_payments(database, payments, [made.attempt(n, p, **due) for n, p in enumerate(payments)])


# --- attempts


async def test_two_workers_never_claim_the_same_row(database: Database, leases: Leases, clock: SimClock) -> None:
    await store_due_attempts(database, 60)
    for name in ("a", "b", "c", "d"):
        await leases.heartbeat(name, clock.now())
    batches = await asyncio.gather(
        *(leases.claim_attempts(name, clock.now(), 7) for name in ("a", "b", "c", "d") for _ in range(5))
    )
    claimed = [key for batch in batches for key in batch]
    assert len(claimed) == len(set(claimed))
    while more := await leases.claim_attempts("a", clock.now(), 7):
        claimed += more
    assert len(claimed) == len(set(claimed)) == 60


async def test_what_is_not_due_is_not_claimed(database: Database, leases: Leases, clock: SimClock) -> None:
    await store_due_attempts(database, 1, next_query_at=START + timedelta(seconds=30))
    await leases.heartbeat("a", clock.now())
    assert await leases.claim_attempts("a", clock.advance(29), 10) == []
    assert await leases.claim_attempts("a", clock.advance(1), 10) == [(APP, "pay_0", "att_0")]


async def test_the_rows_of_a_silent_worker_come_back_after_8_seconds(
    database: Database, leases: Leases, clock: SimClock
) -> None:
    await store_due_attempts(database, 3)
    await leases.heartbeat("silent", clock.now())
    held = await leases.claim_attempts("silent", clock.now(), 10)
    assert len(held) == 3
    await leases.heartbeat("other", clock.advance(7.9))
    assert await leases.claim_attempts("other", clock.now(), 10) == []
    assert sorted(await leases.claim_attempts("other", clock.advance(0.1), 10)) == sorted(held)
    await leases.release_attempts("silent", held, clock.now(), clock.now())
    assert await made.fetch(database, "SELECT DISTINCT leased_by FROM attempts") == [{"leased_by": "other"}]


async def test_a_worker_that_keeps_beating_keeps_its_rows(database: Database, leases: Leases, clock: SimClock) -> None:
    await store_due_attempts(database, 1)
    await leases.heartbeat("a", clock.now())
    assert await leases.claim_attempts("a", clock.now(), 1)
    for _ in range(30):
        await leases.heartbeat("a", clock.advance(2))
        assert await leases.claim_attempts("b", clock.now(), 1) == []


async def test_a_retired_worker_gives_everything_back(database: Database, leases: Leases, clock: SimClock) -> None:
    await store_due_attempts(database, 1)
    await leases.heartbeat("a", clock.now())
    held = await leases.claim_attempts("a", clock.now(), 1)
    await leases.retire("a")
    assert await leases.claim_attempts("b", clock.now(), 1) == held


async def test_workers_silent_for_an_hour_are_forgotten(database: Database, leases: Leases, clock: SimClock) -> None:
    await leases.heartbeat("old", clock.now())
    await leases.heartbeat("new", clock.advance(minutes=60))
    assert len(await made.fetch(database, "SELECT id FROM workers")) == 2
    await leases.heartbeat("new", clock.advance(1))
    assert await made.fetch(database, "SELECT id FROM workers") == [{"id": "new"}]


async def test_a_release_postpones_only_what_is_still_due(database: Database, leases: Leases, clock: SimClock) -> None:
    await store_due_attempts(database, 3)
    await leases.heartbeat("a", clock.now())
    keys = sorted(await leases.claim_attempts("a", clock.now(), 3))
    planned = START + timedelta(hours=1)
    async with database.connection() as connection:
        await connection.execute("UPDATE attempts SET next_query_at = $1 WHERE id = 'att_1'", planned)
        await connection.execute("UPDATE attempts SET next_query_at = NULL WHERE id = 'att_2'")
    pause = START + timedelta(seconds=15)
    await leases.release_attempts("a", keys, clock.now(), pause)
    await leases.release_attempts("a", [], clock.now(), pause)
    found = await made.fetch(database, "SELECT next_query_at, leased_by FROM attempts ORDER BY id")
    assert [(row["next_query_at"], row["leased_by"]) for row in found] == [(pause, None), (planned, None), (None, None)]


# --- refunds


async def test_refunds_of_one_attempt_go_one_at_a_time(database: Database, leases: Leases, clock: SimClock) -> None:
    payment, other = made.payment(1), made.payment(2)
    paid = made.attempt(1, payment, status=AttemptStatus.SUCCEEDED)
    elsewhere = made.attempt(2, other, status=AttemptStatus.SUCCEEDED)
    refunds = [
        made.refund(1, paid, status=RefundStatus.SUCCEEDED),
        made.refund(2, paid, next_try_at=START + timedelta(seconds=5)),
        made.refund(3, paid, next_try_at=START),
        made.refund(4, elsewhere, next_try_at=START),
    ]
    await made.store_payments(database, [payment, other], [paid, elsewhere], refunds)
    await leases.heartbeat("a", clock.now())
    assert await leases.claim_refunds("a", clock.now(), 10) == [(APP, "pay_2", "re_4")]
    assert await leases.claim_refunds("a", clock.advance(5), 10) == [(APP, "pay_1", "re_2")]
    assert await leases.claim_refunds("a", clock.now(), 10) == []
    async with database.connection() as connection:
        await connection.execute("UPDATE refunds SET status = 'succeeded', next_try_at = NULL WHERE id = 're_2'")
    await leases.release_refunds("a", [(APP, "pay_1", "re_2")], clock.now(), clock.now())
    assert await leases.claim_refunds("a", clock.now(), 10) == [(APP, "pay_1", "re_3")]


# --- deliveries


async def claim(leases: Leases, clock: SimClock, worker: str = "a", **in_flight: int) -> list[DueDelivery]:
    await leases.heartbeat(worker, clock.now())
    found = await leases.claim_deliveries(worker, clock.now(), 100, in_flight, 8)
    return sorted(found, key=lambda due: (due.endpoint_id, due.payment_id, due.sequence))


async def finish(database: Database, due: DueDelivery, *, tries: int, again: float | None) -> None:
    next_at = None if again is None else START + timedelta(seconds=again)
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE deliveries SET tries = $3, next_at = $4, leased_by = NULL WHERE app_id = $1 AND id = $2",
            due.app_id,
            due.id,
            tries,
            next_at,
        )


async def store_sequence(database: Database, *, payments: int = 1, events: int = 3, endpoints: int = 1) -> None:
    await made.store_app(database)
    for number in range(endpoints):
        await made.insert_endpoint(database, f"we_{number:06}")
    await made.store_events(
        database, [made.event(f"{p}{s}", f"pay_{p}", s) for p in range(payments) for s in range(1, events + 1)]
    )


async def test_events_of_a_payment_are_claimed_in_their_order(
    database: Database, leases: Leases, clock: SimClock
) -> None:
    await store_sequence(database, payments=2, endpoints=2)
    for sequence in (1, 2, 3):
        found = await claim(leases, clock)
        assert [(d.endpoint_id, d.payment_id, d.sequence) for d in found] == [
            (endpoint, payment, sequence) for endpoint in ("we_000000", "we_000001") for payment in ("pay_0", "pay_1")
        ]
        assert await claim(leases, clock, "b") == []
        for due in found:
            await finish(database, due, tries=1, again=None)
    assert await claim(leases, clock) == []


async def test_after_five_tries_later_events_pass(database: Database, leases: Leases, clock: SimClock) -> None:
    await store_sequence(database, events=2)
    for tries in range(1, 6):
        (first,) = await claim(leases, clock)
        assert (first.sequence, first.tries) == (1, tries - 1)
        await finish(database, first, tries=tries, again=tries * 10)
        if tries < 5:
            assert await claim(leases, clock) == [], "the later event waits"
            clock.advance(10)
    assert [due.sequence for due in await claim(leases, clock)] == [2]
    assert [due.sequence for due in await claim(leases, SimClock(START + timedelta(seconds=50)))] == [1]


async def test_a_claimed_delivery_carries_what_sending_needs(
    database: Database, leases: Leases, clock: SimClock
) -> None:
    await store_sequence(database, events=1)
    (due,) = await claim(leases, clock)
    stored = made.event("01", "pay_0", 1)
    assert (due.event_id, due.event_type, due.data) == (stored.id, stored.type, stored.data)
    assert due.target is not None
    assert (due.target.url, due.target.livemode) == ("https://shop.example/hook", False)
    assert due.leased_by == "a"


async def test_a_disabled_endpoint_is_no_target(database: Database, leases: Leases, clock: SimClock) -> None:
    await store_sequence(database, events=1)
    async with database.connection() as connection:
        await connection.execute("UPDATE webhook_endpoints SET enabled = false")
    assert [due.target for due in await claim(leases, clock)] == [None]


async def test_no_endpoint_takes_more_than_its_share(database: Database, leases: Leases, clock: SimClock) -> None:
    await store_sequence(database, payments=30, events=1, endpoints=2)
    found = await claim(leases, clock, "a", we_000000=8, we_000001=5)
    assert [due.endpoint_id for due in found] == ["we_000001"] * 3


async def test_a_dead_endpoint_with_many_rows_costs_the_others_nothing(
    database: Database, leases: Leases, clock: SimClock
) -> None:
    """Judged by the pages that PostgreSQL looks at, not by a stopwatch."""
    await store_sequence(database, payments=10, events=1, endpoints=1)
    await made.insert_endpoint(database, "we_dead")
    await leases.heartbeat("a", clock.now())
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO deliveries (app_id, id, endpoint_id, event_id, payment_id, sequence, status, tries, next_at,"
            " created_at) SELECT $1, 'del_' || n, 'we_dead', 'evt_000001', 'pay_' || n / 2, n % 2 + 1, 'pending', 0,"
            " $2, $2 FROM generate_series(1, 20000) n",
            APP,
            START - timedelta(hours=1),
        )
        await connection.execute("ANALYZE deliveries, webhook_endpoints, workers")  # as autovacuum does sooner or later
        for held, found in ((8, 8), (0, 16)):
            silent = clock.now() - SILENT_AFTER
            arguments = ("a", clock.now(), silent, 100, ["we_dead"], [held], 8)
            transaction = connection.transaction()
            await transaction.start()
            explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {CLAIM_DELIVERIES}"
            plan = json.loads(await connection.fetchval(explain, *arguments))[0]["Plan"]
            await transaction.rollback()
            assert plan["Actual Rows"] == found
            assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 1500


# --- payments whose time is over


async def test_payments_that_nothing_holds_are_due_at_their_expiry(
    database: Database, leases: Leases, clock: SimClock
) -> None:
    late = START + timedelta(hours=1)
    payments = [
        made.payment("bare"),
        made.payment("failed"),
        made.payment("open"),
        made.payment("done", status=PaymentStatus.SUCCEEDED),
        made.payment("later", expires_at=late),
    ]
    attempts = [
        made.attempt("failed", payments[1], status=AttemptStatus.FAILED),
        made.attempt("open", payments[2], status=AttemptStatus.CREATED),
    ]
    await made.store_payments(database, payments, attempts)
    assert await leases.due_payments(clock.advance(minutes=29), 10) == []
    clock.advance(minutes=1)
    assert sorted(await leases.due_payments(clock.now(), 10)) == [(APP, "pay_bare"), (APP, "pay_failed")]
    assert len(await leases.due_payments(clock.now(), 1)) == 1
    assert len(await leases.due_payments(late, 10)) == 3


# --- housekeeping


async def test_folding_keeps_every_sum_while_others_post_and_fold(database: Database, leases: Leases) -> None:
    seed = 20260501
    chance = random.Random(seed)
    posts = [(f"app_{chance.randrange(2)}", chance.choice("xyz"), chance.randrange(-50, 100)) for _ in range(400)]
    expected: dict[tuple[str, str], int] = {}
    for app, account, minor in posts:
        expected[app, account] = expected.get((app, account), 0) + minor
    done = asyncio.Event()

    async def post(part: list[tuple[str, str, int]]) -> None:
        for app, account, minor in part:
            async with database.connection() as connection:
                await connection.execute(
                    "INSERT INTO balance_deltas (app_id, kind, channel_account_id, currency, minor)"
                    " VALUES ($1, 'app_pending', $2, 'CNY', $3)",
                    app,
                    account,
                    minor,
                )

    async def fold() -> None:
        while not done.is_set():
            await leases.fold_balances(50)

    async def post_all() -> None:
        await asyncio.gather(post(posts[:200]), post(posts[200:]))
        done.set()

    await asyncio.gather(post_all(), fold(), fold())
    while await leases.fold_balances(1000):
        pass
    found = await made.fetch(database, "SELECT app_id, channel_account_id AS account, minor FROM balance_deltas")
    assert {(row["app_id"], row["account"]): row["minor"] for row in found} == expected, f"seed {seed}"
    assert len(found) == len(expected)
    assert await leases.fold_balances(1000) == 0


async def test_old_idempotency_keys_are_purged_in_portions(database: Database, leases: Leases, clock: SimClock) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO idempotency_keys (app_id, key, fingerprint, created_at)"
            " SELECT $1, 'k' || n, ''::bytea, $2::timestamptz + n * interval '1 minute' FROM generate_series(0, 9) n",
            APP,
            START,
        )
    before = START + timedelta(minutes=7)
    assert [await leases.purge_idempotency(before, 4) for _ in range(3)] == [4, 3, 0]
    assert len(await made.fetch(database, "SELECT key FROM idempotency_keys")) == 3


async def test_a_database_that_is_away_is_told_as_such(database: Database, leases: Leases, clock: SimClock) -> None:
    await database.close()
    with pytest.raises(StorageUnavailable):
        await leases.claim_attempts("a", clock.now(), 1)
