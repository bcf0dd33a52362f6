"""Reads for the API and the workers. No locks; always by app, except where an unguessable token opened the door."""

from collections.abc import Mapping
from typing import Any

from tongbao.domain.errors import NotFound
from tongbao.domain.ledger import Posting, Transfer
from tongbao.domain.money import CURRENCIES, Money
from tongbao.domain.payment import Attempt, Payment
from tongbao.domain.refund import Refund
from tongbao.ports.reading import Balance, Page, PaymentFilter
from tongbao.storage import rows
from tongbao.storage.database import Database
from tongbao.storage.rows import names

PAYMENT = f"SELECT {names(rows.PAYMENT_COLUMNS)} FROM payments WHERE app_id = $1 AND id = $2"
PAYMENT_BY_ID = f"SELECT {names(rows.PAYMENT_COLUMNS)} FROM payments WHERE id = $1 LIMIT 1"
ATTEMPTS = f"SELECT {names(rows.ATTEMPT_COLUMNS)} FROM attempts WHERE app_id = $1 AND payment_id = $2 ORDER BY id"
LIST_PAYMENTS = f"""
    SELECT {names(rows.PAYMENT_COLUMNS, "p.")} FROM payments p
    WHERE p.app_id = $1
      AND ($2::text IS NULL OR p.order_no = $2) AND ($3::text IS NULL OR p.status = $3)
      AND ($4::text IS NULL OR EXISTS (SELECT 1 FROM attempts a WHERE a.app_id = p.app_id AND a.payment_id = p.id
                                       AND a.channel = $4))
      AND ($5::timestamptz IS NULL OR p.created_at > $5) AND ($6::timestamptz IS NULL OR p.created_at < $6)
      AND {{cursor}}
    ORDER BY p.id {{direction}} LIMIT $7"""
LATEST_ATTEMPTS = f"""
    SELECT {names(rows.ATTEMPT_COLUMNS)} FROM attempts WHERE app_id = $1 AND payment_id = ANY ($2) ORDER BY id"""
REFUND = f"""
    SELECT {names(rows.REFUND_COLUMNS, "r.")}, p.livemode FROM refunds r
    JOIN payments p ON p.app_id = r.app_id AND p.id = r.payment_id"""
LIST_REFUNDS = f"""{REFUND}
    WHERE r.app_id = $1 AND ($2::text IS NULL OR r.payment_id = $2) AND ($3::text IS NULL OR r.status = $3)
      AND {{cursor}}
    ORDER BY r.id {{direction}} LIMIT $4"""
LIST_TRANSFERS = f"""
    SELECT {names(rows.TRANSFER_COLUMNS, "r.")} FROM transfers r WHERE r.app_id = $1 AND {{cursor}}
    ORDER BY r.id {{direction}} LIMIT $2"""
BALANCES = """
    SELECT kind, channel_account_id, currency, sum(minor)::bigint AS minor FROM balance_deltas WHERE app_id = $1
    GROUP BY kind, channel_account_id, currency ORDER BY kind, channel_account_id, currency"""


def settled_or_newest(payment: Payment, attempts: list[Attempt]) -> Attempt | None:
    """The attempt that a payment shows: the one that settled it, else the newest."""
    for attempt in attempts:
        if attempt.id == payment.settled_attempt_id:
            return attempt
    return attempts[-1] if attempts else None


def _paged(statement: str, column: str, page: Page, next_parameter: int) -> tuple[str, list[str]]:
    """The statement with its cursor; `ending_before` reads upwards and is turned around by the caller."""
    if page.starting_after is not None:
        return statement.format(cursor=f"{column} < ${next_parameter}", direction="DESC"), [page.starting_after]
    if page.ending_before is not None:
        return statement.format(cursor=f"{column} > ${next_parameter}", direction="ASC"), [page.ending_before]
    return statement.format(cursor="true", direction="DESC"), []


def _cut(found: list[Any], page: Page) -> tuple[list[Any], bool]:
    more = len(found) > page.limit
    kept = found[: page.limit]
    return (kept[::-1] if page.ending_before is not None else kept), more


def _transfer(row: Mapping[str, Any]) -> Transfer:
    return Transfer(
        app_id=row["app_id"],
        id=row["id"],
        posting=Posting(row["posting"]),
        fact_id=row["fact_id"],
        channel_account_id=row["channel_account_id"],
        amount=Money(row["amount"], CURRENCIES[row["currency"]]),
        created_at=row["created_at"],
    )


class Queries:
    """Implements `ports.reading.Reading`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def payment(self, app_id: str, payment_id: str) -> tuple[Payment, Attempt | None]:
        payment, attempts = await self.payment_with_attempts(app_id, payment_id)
        return payment, settled_or_newest(payment, attempts)

    async def payment_with_attempts(self, app_id: str, payment_id: str) -> tuple[Payment, list[Attempt]]:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(PAYMENT, app_id, payment_id)
            if row is None:
                raise NotFound(f"no payment {payment_id}")
            attempts = await connection.fetch(ATTEMPTS, app_id, payment_id)
        return rows.payment_from(row), [rows.attempt_from(attempt) for attempt in attempts]

    async def payment_by_id(self, payment_id: str) -> tuple[Payment, Attempt | None]:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(PAYMENT_BY_ID, payment_id)
            if row is None:
                raise NotFound(f"no payment {payment_id}")
            payment = rows.payment_from(row)
            attempts = await connection.fetch(ATTEMPTS, payment.app_id, payment.id)
        return payment, settled_or_newest(payment, [rows.attempt_from(attempt) for attempt in attempts])

    async def list_payments(
        self, app_id: str, filters: PaymentFilter, page: Page
    ) -> tuple[list[tuple[Payment, Attempt | None]], bool]:
        statement, cursor = _paged(LIST_PAYMENTS, "p.id", page, 8)
        chosen = (filters.order_no, filters.status, filters.channel, filters.created_after, filters.created_before)
        async with self._database.connection() as connection:
            found = await connection.fetch(statement, app_id, *chosen, page.limit + 1, *cursor)
            kept, more = _cut(found, page)
            payments = [rows.payment_from(row) for row in kept]
            attempts: dict[str, list[Attempt]] = {payment.id: [] for payment in payments}
            if payments:
                for row in await connection.fetch(LATEST_ATTEMPTS, app_id, list(attempts)):
                    attempts[row["payment_id"]].append(rows.attempt_from(row))
        return [(payment, settled_or_newest(payment, attempts[payment.id])) for payment in payments], more

    async def refund(self, app_id: str, refund_id: str) -> tuple[Refund, bool]:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(f"{REFUND} WHERE r.app_id = $1 AND r.id = $2", app_id, refund_id)
        if row is None:
            raise NotFound(f"no refund {refund_id}")
        return rows.refund_from(row), row["livemode"]

    async def list_refunds(
        self, app_id: str, payment_id: str | None, status: str | None, page: Page
    ) -> tuple[list[tuple[Refund, bool]], bool]:
        statement, cursor = _paged(LIST_REFUNDS, "r.id", page, 5)
        async with self._database.connection() as connection:
            found = await connection.fetch(statement, app_id, payment_id, status, page.limit + 1, *cursor)
        kept, more = _cut(found, page)
        return [(rows.refund_from(row), row["livemode"]) for row in kept], more

    async def list_transfers(self, app_id: str, page: Page) -> tuple[list[Transfer], bool]:
        statement, cursor = _paged(LIST_TRANSFERS, "r.id", page, 3)
        async with self._database.connection() as connection:
            found = await connection.fetch(statement, app_id, page.limit + 1, *cursor)
        kept, more = _cut(found, page)
        return [_transfer(row) for row in kept], more

    async def balances(self, app_id: str) -> list[Balance]:
        async with self._database.connection() as connection:
            return [Balance(**row) for row in await connection.fetch(BALANCES, app_id)]
