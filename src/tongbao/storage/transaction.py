"""One transaction: locks in the house's order, and writes for whole batches. Hand-written SQL, `unnest` everywhere.

Lock order: idempotency, payment, attempt, refund. Ids are resolved without locks first; then per table
`... ORDER BY key FOR NO KEY UPDATE`; inserts are sorted by their unique key. Rows that conflicted are read by a second
statement (read committed).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from tongbao.domain.event import Event
from tongbao.domain.ledger import Transfer, deltas
from tongbao.domain.payment import Attempt, Payment
from tongbao.domain.refund import Refund
from tongbao.ports.store import Answer, Claim, Key, NotificationKey, QuarantineItem, Resolved, StoredClaim
from tongbao.storage import rows
from tongbao.storage import statements as sql
from tongbao.storage.rows import transpose


def _split(keys: Iterable[Key]) -> tuple[list[str], list[str]]:
    ordered = sorted(set(keys))
    return [app for app, _ in ordered], [name for _, name in ordered]


class Transaction:
    """Implements `ports.store.Transaction` on one asyncpg connection."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.events: Counter[str] = Counter()

    # --- idempotency

    async def insert_claims(self, claims: Sequence[Claim]) -> set[Key]:
        ordered = sorted(claims, key=lambda claim: (claim.app_id, claim.key))
        values = [(c.app_id, c.key, c.fingerprint, c.object_id, c.status, c.body, c.created_at) for c in ordered]
        found = await self.connection.fetch(sql.INSERT_CLAIMS, *transpose(values))
        return {(row["app_id"], row["key"]) for row in found}

    async def read_claims(self, keys: Iterable[Key]) -> dict[Key, StoredClaim]:
        found = await self.connection.fetch(sql.READ_CLAIMS, *_split(keys))
        return {(row["app_id"], row["key"]): StoredClaim(**row) for row in found}

    async def answer_claims(self, answers: Sequence[Answer]) -> None:
        values = [(a.app_id, a.key, a.status, a.body, a.object_id) for a in answers]
        await self.connection.execute(sql.ANSWER_CLAIMS, *transpose(values))

    async def renew_claims(self, keys: Iterable[Key], now: datetime) -> None:
        await self.connection.execute(sql.RENEW_CLAIMS, *_split(keys), now)

    async def drop_claims(self, keys: Iterable[Key]) -> None:
        await self.connection.execute(sql.DROP_CLAIMS, *_split(keys))

    # --- payments and attempts

    async def insert_payments(self, payments: Sequence[Payment]) -> set[Key]:
        ordered = sorted(payments, key=lambda payment: (payment.app_id, payment.order_no))
        found = await self.connection.fetch(sql.INSERT_PAYMENTS, *transpose([rows.new_payment_row(p) for p in ordered]))
        return {(row["app_id"], row["order_no"]) for row in found}

    async def payments_by_order_no(self, keys: Iterable[Key]) -> dict[Key, Payment]:
        found = await self.connection.fetch(sql.PAYMENTS_BY_ORDER_NO, *_split(keys))
        return {(row["app_id"], row["order_no"]): rows.payment_from(row) for row in found}

    async def attempts_of(self, keys: Iterable[Key]) -> list[Attempt]:
        found = await self.connection.fetch(sql.ATTEMPTS_OF, *_split(keys))
        return [rows.attempt_from(row) for row in found]

    async def resolve(self, references: Iterable[Key]) -> dict[Key, Resolved]:
        found = await self.connection.fetch(sql.RESOLVE, *_split(references))
        return {(row["app_id"], row["reference"]): Resolved(**row) for row in found}

    async def lock_payments(self, keys: Iterable[Key]) -> list[Payment]:
        found = await self.connection.fetch(sql.LOCK_PAYMENTS, *_split(keys))
        return [rows.payment_from(row) for row in found]

    async def lock_attempts_of(self, keys: Iterable[Key]) -> list[Attempt]:
        found = await self.connection.fetch(sql.LOCK_ATTEMPTS_OF, *_split(keys))
        return [rows.attempt_from(row) for row in found]

    async def update_payments(self, payments: Sequence[Payment]) -> None:
        await self.connection.execute(sql.UPDATE_PAYMENTS, *transpose([rows.payment_row(p) for p in payments]))

    async def insert_attempts(self, attempts: Sequence[Attempt]) -> None:
        ordered = sorted(attempts, key=lambda attempt: (attempt.app_id, attempt.id))
        await self.connection.execute(sql.INSERT_ATTEMPTS, *transpose([rows.attempt_row(a) for a in ordered]))

    async def update_attempts(self, attempts: Sequence[Attempt]) -> None:
        await self.connection.execute(sql.UPDATE_ATTEMPTS, *transpose([rows.attempt_row(a) for a in attempts]))

    # --- refunds

    async def lock_refunds(self, keys: Iterable[Key]) -> list[Refund]:
        found = await self.connection.fetch(sql.LOCK_REFUNDS, *_split(keys))
        return [rows.refund_from(row) for row in found]

    async def refunds_by_no(self, keys: Iterable[Key]) -> dict[Key, Refund]:
        found = await self.connection.fetch(sql.REFUNDS_BY_NO, *_split(keys))
        return {(row["app_id"], row["refund_no"]): rows.refund_from(row) for row in found}

    async def insert_refunds(self, refunds: Sequence[Refund]) -> None:
        ordered = sorted(refunds, key=lambda refund: (refund.app_id, refund.refund_no))
        await self.connection.execute(sql.INSERT_REFUNDS, *transpose([rows.refund_row(r) for r in ordered]))

    async def update_refunds(self, refunds: Sequence[Refund]) -> None:
        await self.connection.execute(sql.UPDATE_REFUNDS, *transpose([rows.refund_row(r) for r in refunds]))

    async def last_refund_sent_at(self, attempt: Key) -> datetime | None:
        found: datetime | None = await self.connection.fetchval(sql.LAST_REFUND_SENT_AT, *attempt)
        return found

    # --- what facts cause

    async def insert_events(self, events: Sequence[Event]) -> int:
        """Returns how many deliveries were made with them, in the same statement."""
        ordered = sorted(events, key=lambda event: (event.app_id, event.id))
        self.events.update([event.type for event in ordered])
        values = transpose([rows.event_row(event) for event in ordered])
        done: str = await self.connection.execute(sql.INSERT_EVENTS_AND_DELIVERIES, *values)
        return int(done.rsplit(" ", 1)[1])

    async def insert_transfers(self, transfers: Sequence[Transfer]) -> None:
        await self.connection.execute(sql.INSERT_TRANSFERS, *transpose([rows.transfer_row(t) for t in transfers]))
        values = [(d.app_id, d.kind, d.channel_account_id, d.currency, d.minor) for d in deltas(list(transfers))]
        if values:
            await self.connection.execute(sql.INSERT_DELTAS, *transpose(values))

    # --- notifications

    async def insert_notifications(self, keys: Iterable[NotificationKey], now: datetime) -> set[NotificationKey]:
        values = [(*key, now) for key in sorted(set(keys))]
        found = await self.connection.fetch(sql.INSERT_NOTIFICATIONS, *transpose(values))
        return {(row["app_id"], row["channel_account_id"], row["notification_id"]) for row in found}

    async def insert_quarantine(self, items: Sequence[QuarantineItem]) -> None:
        for item in sorted(items, key=lambda i: (i.app_id, i.channel_account_id, i.notification_id)):
            await self.connection.execute(
                sql.INSERT_QUARANTINE,
                item.app_id,
                item.id,
                item.channel_account_id,
                item.notification_id,
                item.reference,
                list(item.mismatches),
                item.raw,
                item.created_at,
            )
