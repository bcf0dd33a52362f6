"""Ready-made domain values, and a few lines to store them: a test says only what it is about."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.simulated import START, SimIds
from tongbao.domain.account import App
from tongbao.domain.event import Event, EventType
from tongbao.domain.money import CURRENCIES, Money
from tongbao.domain.payment import Attempt, AttemptStatus, Payment
from tongbao.domain.refund import Refund, RefundKind
from tongbao.storage.accounts import Accounts
from tongbao.storage.database import Database

APP = "app_1"
CNY = CURRENCIES["CNY"]
_ids = SimIds(start=1_000_000)


def payment(number: int | str, **changes: Any) -> Payment:
    made = Payment(
        app_id=APP,
        id=f"pay_{number}",
        livemode=False,
        order_no=f"ORDER-{number}",
        amount=Money(9_999, CNY),
        subject="Tea",
        expires_at=START + timedelta(minutes=30),
        created_at=START,
    )
    return replace(made, **changes)


def attempt(number: int | str, of: Payment, **changes: Any) -> Attempt:
    made = Attempt(
        app_id=of.app_id,
        id=f"att_{number}",
        payment_id=of.id,
        method="alipay_qr",
        channel="alipay",
        channel_account_id="ca_1",
        reference=_ids.reference(),
        amount=of.amount,
        expires_at=of.expires_at,
        created_at=of.created_at,
        status=AttemptStatus.PENDING,
    )
    return replace(made, **changes)


def refund(number: int | str, of: Attempt, **changes: Any) -> Refund:
    made = Refund(
        app_id=of.app_id,
        id=f"re_{number}",
        payment_id=of.payment_id,
        attempt_id=of.id,
        kind=RefundKind.MERCHANT,
        refund_no=f"REFUND-{number}",
        reference=_ids.reference(),
        amount=Money(100, CNY),
        created_at=of.created_at,
    )
    return replace(made, **changes)


def event(number: int | str, payment_id: str, sequence: int = 1, **changes: Any) -> Event:
    kind = EventType.PAYMENT_CREATED if sequence == 1 else EventType.PAYMENT_SUCCEEDED
    data = f'{{"id":"{payment_id}","object":"payment","note":"茶  \\u0041"}}'
    return replace(Event(APP, f"evt_{number:0>6}", kind, payment_id, sequence, data, START), **changes)


async def store_app(database: Database, app_id: str = APP, *, livemode: bool = False) -> App:
    app = App(app_id, "Tea shop", livemode, START)
    await Accounts(database).insert_app(app)
    return app


async def store_payments(
    database: Database, payments: Sequence[Payment], attempts: Sequence[Attempt] = (), refunds: Sequence[Refund] = ()
) -> None:
    async def work(tx: Any) -> None:
        await tx.insert_payments(payments)
        if attempts:
            await tx.insert_attempts(attempts)
        if refunds:
            await tx.insert_refunds(refunds)

    await database.transact(work)


async def store_events(database: Database, events: Sequence[Event]) -> int:
    """With the deliveries that belong to them; returns how many."""

    async def work(tx: Any) -> int:
        return int(await tx.insert_events(events))

    return await database.transact(work)


async def fetch(database: Database, statement: str, *arguments: Any) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return [dict(row) for row in await connection.fetch(statement, *arguments)]


async def insert_endpoint(
    database: Database, endpoint_id: str, url: str = "https://shop.example/hook", *, at: datetime = START
) -> None:
    """An endpoint whose secret nobody will ask for."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO webhook_endpoints (app_id, id, url, event_types, enabled, sealed_secret, metadata, created_at)"
            " VALUES ($1, $2, $3, '{}', true, ''::bytea, '{}', $4)",
            APP,
            endpoint_id,
            url,
            at,
        )


async def settle(database: Database) -> None:
    """Waits until readers may see every event: transaction numbers are the whole server's, so a test that runs beside
    this one, in a database of its own, can hold the log back for a moment."""
    held_back = "SELECT 1 FROM events WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()) LIMIT 1"
    async with asyncio.timeout(30):
        while await fetch(database, held_back):  # noqa: ASYNC110 - the server has no event to wait for
            await asyncio.sleep(0.005)
