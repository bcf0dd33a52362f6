"""A dossier: one payment with its attempts and refunds, under lock, and what a batch has decided about it.

Use cases that change payments work on dossiers: open them (locks in the house's order), decide on each command in its
order of arrival, and file them (one row per id, and every event). Decisions are made on a copy, so a refused command
leaves nothing behind.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from tongbao.domain.event import Event, EventType
from tongbao.domain.ledger import Posting, Transfer
from tongbao.domain.money import Money
from tongbao.domain.payment import Attempt, Payment
from tongbao.domain.refund import Refund
from tongbao.ports import Ids
from tongbao.ports.store import Key, Transaction
from tongbao.services.views import Views, encoded


@dataclass(slots=True)
class Dossier:
    """`attempts` and `refunds` are by id; `refunds` holds those that the batch asked for, and new ones."""

    payment: Payment
    attempts: dict[str, Attempt]
    refunds: dict[str, Refund] = field(default_factory=dict)
    new_refunds: list[str] = field(default_factory=list)
    new_attempts: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)

    def copy(self) -> Self:
        return replace(
            self,
            attempts=dict(self.attempts),
            refunds=dict(self.refunds),
            new_refunds=list(self.new_refunds),
            new_attempts=list(self.new_attempts),
            events=list(self.events),
            transfers=list(self.transfers),
        )

    @property
    def latest(self) -> Attempt | None:
        """The attempt that settled the payment, else the newest."""
        if self.payment.settled_attempt_id is not None:
            return self.attempts[self.payment.settled_attempt_id]
        return self.attempts[max(self.attempts)] if self.attempts else None


class Clerk:
    """Writes down what was decided: events in the payment's sequence, transfers, sums."""

    def __init__(self, ids: Ids, views: Views) -> None:
        self.ids = ids
        self.views = views

    def event(self, dossier: Dossier, kind: EventType, data: object, now: datetime) -> None:
        payment = dossier.payment
        sequence = payment.event_seq + 1
        dossier.payment = replace(payment, event_seq=sequence)
        dossier.events.append(
            Event(payment.app_id, self.ids.make("evt"), kind, payment.id, sequence, encoded(data), now)
        )

    def payment_event(self, dossier: Dossier, kind: EventType, now: datetime) -> None:
        self.event(dossier, kind, self.views.payment(dossier.payment, dossier.latest), now)

    def refund_event(self, dossier: Dossier, refund: Refund, kind: EventType, now: datetime) -> None:
        self.event(dossier, kind, self.views.refund(refund, dossier.payment.livemode), now)

    def post(
        self, dossier: Dossier, posting: Posting, fact_id: str, channel_account_id: str, amount: Money, now: datetime
    ) -> None:
        transfer_id = self.ids.make("tr")
        app_id = dossier.payment.app_id
        dossier.transfers.append(Transfer(app_id, transfer_id, posting, fact_id, channel_account_id, amount, now))


async def open_dossiers(tx: Transaction, payments: Iterable[Key], refunds: Iterable[Key] = ()) -> dict[Key, Dossier]:
    """Locks payments, then all their attempts, then the named refunds; missing ones are simply absent."""
    keys = set(payments)
    if not keys:
        return {}
    dossiers = {(p.app_id, p.id): Dossier(p, {}) for p in await tx.lock_payments(keys)}
    for attempt in await tx.lock_attempts_of(keys):
        dossiers[attempt.app_id, attempt.payment_id].attempts[attempt.id] = attempt
    wanted = set(refunds)
    if wanted:
        for refund in await tx.lock_refunds(wanted):
            dossiers[refund.app_id, refund.payment_id].refunds[refund.id] = refund
    return dossiers


async def file_dossiers(tx: Transaction, before: dict[Key, Dossier], after: dict[Key, Dossier]) -> None:
    """Writes what differs: one row per id, then transfers and events. New rows first, so that sums find them."""
    payments: list[Payment] = []
    attempts: list[Attempt] = []
    refunds: list[Refund] = []
    new_attempts: list[Attempt] = []
    new_refunds: list[Refund] = []
    for key, dossier in after.items():
        was = before[key]
        if dossier.payment is not was.payment:
            payments.append(dossier.payment)
        attempts.extend(a for i, a in dossier.attempts.items() if i in was.attempts and a is not was.attempts[i])
        refunds.extend(r for i, r in dossier.refunds.items() if i in was.refunds and r is not was.refunds[i])
        new_attempts.extend(dossier.attempts[i] for i in dossier.new_attempts)
        new_refunds.extend(dossier.refunds[i] for i in dossier.new_refunds)
    await _write(tx, payments, attempts, refunds, new_attempts, new_refunds)
    transfers = [transfer for dossier in after.values() for transfer in dossier.transfers]
    if transfers:
        await tx.insert_transfers(transfers)
    events = [event for dossier in after.values() for event in dossier.events]
    if events:
        await tx.insert_events(events)


async def _write(
    tx: Transaction,
    payments: Sequence[Payment],
    attempts: Sequence[Attempt],
    refunds: Sequence[Refund],
    new_attempts: Sequence[Attempt],
    new_refunds: Sequence[Refund],
) -> None:
    if payments:
        await tx.update_payments(payments)
    if attempts:
        await tx.update_attempts(attempts)
    if new_attempts:
        await tx.insert_attempts(new_attempts)
    if refunds:
        await tx.update_refunds(refunds)
    if new_refunds:
        await tx.insert_refunds(new_refunds)
