"""Recording: the one way in for whatever a channel tells us. Nothing else writes a status.

An answer, a notification, a query result: each arrives as a `Record` with one or more reports and is applied here, in
batches, under the payment's lock, together with everything that it causes: events, deliveries, transfers, the return
of surplus money, the close of a payment, the kept answer of an idempotency key.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

from tongbao.domain import errors
from tongbao.domain import payment as domain
from tongbao.domain import refund as refunds
from tongbao.domain.errors import AmountExceeded, TongbaoError
from tongbao.domain.event import EventType
from tongbao.domain.ledger import REFUND_CREATED_POSTING, REFUND_POSTINGS, Posting
from tongbao.domain.money import Money
from tongbao.domain.payment import OPEN_ATTEMPT, Attempt, AttemptError, Payment
from tongbao.domain.refund import Refund, RefundKind, RefundStatus
from tongbao.domain.report import Accepted, Closed, Declined, Identity, NotFound, Paid, RefundDone, Report
from tongbao.ports import Clock
from tongbao.ports.store import Answer, Grouping, Key, QuarantineItem, Resolved, Store, Transaction
from tongbao.services.dossier import Clerk, Dossier, file_dossiers, open_dossiers
from tongbao.services.pushes import Pushes
from tongbao.services.views import encoded

ATTEMPT_EVENTS = (Accepted, Closed, Declined, NotFound, Paid)
RESEND_REFUND_AFTER = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class NotificationSource:
    """The message behind a record: its id dedupes, its raw text goes to quarantine when it contradicts us."""

    notification_id: str
    raw: str


@dataclass(frozen=True, slots=True)
class Record:
    """Reports to record together. `identity` is who the channel account is; None in `interruption` means that the
    call was answered. `answer` keeps the payment's view as the answer of an idempotency key: (key, HTTP status)."""

    app_id: str
    channel_account_id: str
    identity: Identity
    reports: tuple[Report, ...]
    notification: NotificationSource | None = None
    interruption: AttemptError | None = None
    answer: tuple[str, int] | None = None


class RecordOutcome(StrEnum):
    APPLIED = "applied"
    UNCHANGED = "unchanged"
    CONTRADICTED = "contradicted"
    UNKNOWN_REFERENCE = "unknown_reference"


@dataclass(frozen=True, slots=True)
class Recorded:
    """The state after recording; `payment` is None only for an unknown reference."""

    outcome: RecordOutcome
    mismatches: tuple[str, ...] = ()
    payment: Payment | None = None
    latest: Attempt | None = None


class Payments:
    """Records reports. `record` is the single write path of every status that a channel can change."""

    def __init__(self, store: Store, grouping: Grouping, clock: Clock, clerk: Clerk, pushes: Pushes) -> None:
        self._store = store
        self._clock = clock
        self._clerk = clerk
        self._pushes = pushes
        self._queue = grouping(self._execute, in_flight_max=1)

    async def record(self, record: Record) -> Recorded:
        """Applies the reports; committed when it returns. Raises StorageUnavailable when the database is away."""
        return await self._queue.submit(record)

    async def conclude(self, app_id: str, payment_id: str, *, cancel: bool = False) -> None:
        """Close a payment whose time is over or, with `cancel`, whose merchant wishes it, once no attempt can be paid.

        Raises NotFound, and TransitionRefused (`payment_succeeded`) for a cancel after money is in.
        """
        if await self._store.transact(partial(self._conclude_one, (app_id, payment_id), cancel)):
            self._pushes.publish([(app_id, payment_id)])

    async def _conclude_one(self, key: Key, cancel: bool, tx: Transaction) -> bool:
        now = self._clock.now()
        before = await open_dossiers(tx, [key])
        if key not in before:
            raise errors.NotFound(f"no payment {key[1]}")
        draft = before[key].copy()
        if cancel:
            draft.payment = domain.want_cancel(draft.payment, now)
        self._conclude(draft, now)
        await file_dossiers(tx, before, {key: draft})
        return draft.payment is not before[key].payment

    async def _execute(self, records: Sequence[Record]) -> Sequence[Recorded | TongbaoError]:
        results = await self._store.transact(partial(self._record_batch, records))
        self._pushes.publish((r.payment.app_id, r.payment.id) for r in results if r.outcome == "applied" and r.payment)
        return results

    async def _record_batch(self, records: Sequence[Record], tx: Transaction) -> list[Recorded]:
        now = self._clock.now()
        answered = [(record.app_id, record.answer[0]) for record in records if record.answer is not None]
        held = await tx.read_claims(answered) if answered else {}  # keys are locked before payments, everywhere
        found = await tx.resolve((record.app_id, report.reference) for record in records for report in record.reports)
        before = await open_dossiers(
            tx,
            {(r.app_id, r.payment_id) for r in found.values()},
            {(r.app_id, r.refund_id) for r in found.values() if r.refund_id},
        )
        after = {key: dossier.copy() for key, dossier in before.items()}
        results = [self._decide(record, found, after, now) for record in records]
        await file_dossiers(tx, before, after)
        await self._note_notifications(tx, records, results, now)
        await self._answer(tx, records, results, held.keys())
        return results

    def _decide(
        self, record: Record, found: dict[Key, Resolved], dossiers: dict[Key, Dossier], now: datetime
    ) -> Recorded:
        targets = [found.get((record.app_id, report.reference)) for report in record.reports]
        known = [t for t in targets if t is not None and t.channel_account_id == record.channel_account_id]
        if len(known) < len(targets) or not known:
            return Recorded(RecordOutcome.UNKNOWN_REFERENCE, ("reference",))
        if len({target.payment_id for target in known}) > 1:
            return Recorded(RecordOutcome.CONTRADICTED, ("reference",))
        key = (record.app_id, known[0].payment_id)
        draft = dossiers[key].copy()
        mismatches = self._apply_all(record, known, draft, now)
        if mismatches:
            stored = dossiers[key]
            return Recorded(RecordOutcome.CONTRADICTED, tuple(mismatches), stored.payment, stored.latest)
        changed = draft != dossiers[key]
        dossiers[key] = draft
        outcome = RecordOutcome.APPLIED if changed else RecordOutcome.UNCHANGED
        return Recorded(outcome, (), draft.payment, draft.latest)

    def _apply_all(self, record: Record, targets: Sequence[Resolved], draft: Dossier, now: datetime) -> list[str]:
        for report, target in zip(record.reports, targets, strict=True):
            if target.refund_id is None:
                mismatches = self._apply_to_attempt(record, report, target, draft, now)
            else:
                mismatches = self._apply_to_refund(report, target.refund_id, draft, now)
            if mismatches:
                return mismatches
        if record.interruption is not None:
            self._interrupt(record.interruption, targets[0], draft, now)
        self._conclude(draft, now)
        return []

    # --- attempts

    def _apply_to_attempt(
        self, record: Record, report: Report, target: Resolved, draft: Dossier, now: datetime
    ) -> list[str]:
        attempt = draft.attempts[target.attempt_id]
        event = report.event
        if not isinstance(event, ATTEMPT_EVENTS):
            return ["kind"]
        mismatches = domain.mismatches(attempt, event, record.identity)
        if mismatches:
            return mismatches
        if record.interruption is None:  # after an interruption 'not found' is our own word, and proves nothing
            event = domain.believable(attempt, event, now)
        applied = domain.apply_report(draft.payment, attempt, event, now)
        draft.payment = applied.payment
        draft.attempts[attempt.id] = self._scheduled(attempt, applied.attempt, event, now)
        gone = event.refunded.minor if isinstance(event, Paid) and event.refunded is not None else 0
        for fact in applied.facts:
            self._carry_out(fact, draft, now, gone)
        return []

    @staticmethod
    def _scheduled(before: Attempt, after: Attempt, event: object, now: datetime) -> Attempt:
        """When an open attempt is asked about next; the create call is over once its answer is recorded."""
        if after.status not in OPEN_ATTEMPT:
            return after
        if isinstance(event, Accepted) and event.next_action is not None:
            after = replace(after, call_until=None)
        if before.next_query_at is not None and before.next_query_at > now and before.status is after.status:
            return after
        return replace(after, next_query_at=domain.next_query(after, now))

    def _carry_out(self, fact: domain.Fact, draft: Dossier, now: datetime, gone: int = 0) -> None:
        """A fact's consequences, in the same transaction. `gone` is what of new money the channel has paid back."""
        match fact:
            case domain.PaymentSucceeded(attempt_id):
                attempt = draft.attempts[attempt_id]
                self._clerk.post(draft, Posting.PAID, attempt_id, attempt.channel_account_id, attempt.amount, now)
                self._clerk.payment_event(draft, EventType.PAYMENT_SUCCEEDED, now)
                self._want_closed(draft, attempt_id, now)
                if gone:
                    self._gone_back(draft, attempt_id, RefundKind.MERCHANT, gone, "paid back at the channel", now)
            case domain.SurplusReceived(attempt_id, late):
                self._return_surplus(draft, draft.attempts[attempt_id], late, gone, now)
            case domain.AttemptFailed(attempt_id):
                view = self._clerk.views.attempt(draft.payment, draft.attempts[attempt_id])
                self._clerk.event(draft, EventType.ATTEMPT_FAILED, view, now)
            case domain.PaymentClosed():
                self._clerk.payment_event(draft, EventType.PAYMENT_CLOSED, now)

    @staticmethod
    def _want_closed(draft: Dossier, paid_attempt_id: str, now: datetime) -> None:
        for attempt_id, attempt in draft.attempts.items():
            if attempt_id != paid_attempt_id and attempt.status in OPEN_ATTEMPT:
                draft.attempts[attempt_id] = replace(attempt, close_wanted=True, next_query_at=now)

    def _return_surplus(self, draft: Dossier, attempt: Attempt, late: bool, gone: int, now: datetime) -> None:
        """Late or second money lands in suspense and goes back by itself, but for what went back already."""
        kind = EventType.PAYMENT_LATE_SUCCEEDED if late else EventType.PAYMENT_DUPLICATE_SUCCEEDED
        self._clerk.post(draft, Posting.SURPLUS_PAID, attempt.id, attempt.channel_account_id, attempt.amount, now)
        self._clerk.event(draft, kind, self._clerk.views.payment(draft.payment, attempt), now)
        reason = "paid after the payment was closed" if late else "the payment was paid twice"
        if gone:
            self._gone_back(draft, attempt.id, RefundKind.SURPLUS, gone, reason, now)
        if gone < attempt.amount.minor:
            self._open_refund(draft, attempt.id, RefundKind.SURPLUS, attempt.amount.minor - gone, reason, now)

    def _gone_back(
        self, draft: Dossier, attempt_id: str, kind: RefundKind, minor: int, reason: str, now: datetime
    ) -> None:
        """What the channel paid back of its own accord (a cancel that came too late) is a refund that is done."""
        refund = self._open_refund(draft, attempt_id, kind, minor, reason, now)
        self._apply_to_refund(Report(refund.reference, RefundDone()), refund.id, draft, now)

    def _open_refund(
        self, draft: Dossier, attempt_id: str, kind: RefundKind, minor: int, reason: str, now: datetime
    ) -> Refund:
        attempt = draft.attempts[attempt_id]
        refund_id = self._clerk.ids.make("re")
        refund = Refund(
            app_id=attempt.app_id,
            id=refund_id,
            payment_id=attempt.payment_id,
            attempt_id=attempt.id,
            kind=kind,
            refund_no=f"{kind}-{refund_id}",  # nobody can have taken it
            reference=self._clerk.ids.reference(),
            amount=Money(minor, attempt.amount.currency),
            created_at=now,
            reason=reason,
            next_try_at=now,
        )
        draft.attempts[attempt.id] = refunds.reserve(attempt, refund)
        draft.refunds[refund.id] = refund
        draft.new_refunds.append(refund.id)
        if kind is RefundKind.MERCHANT:
            draft.payment = refunds.resum(draft.payment, refund, (None, refund.status))
        posting = REFUND_CREATED_POSTING[kind]
        self._clerk.post(draft, posting, refund.id, attempt.channel_account_id, refund.amount, now)
        self._clerk.refund_event(draft, refund, EventType.REFUND_CREATED, now)
        return refund

    def _conclude(self, draft: Dossier, now: datetime) -> None:
        draft.payment, closed = domain.conclude(draft.payment, list(draft.attempts.values()), now)
        if closed is not None:
            self._carry_out(closed, draft, now)

    @staticmethod
    def _interrupt(error: AttemptError, target: Resolved, draft: Dossier, now: datetime) -> None:
        if target.refund_id is None:
            attempt = draft.attempts[target.attempt_id]
            draft.attempts[target.attempt_id] = domain.interrupted(attempt, error, now)
            return
        refund = draft.refunds[target.refund_id]
        if refund.status is RefundStatus.PENDING:
            pause = RESEND_REFUND_AFTER * 2 ** min(refund.tries, 9)
            draft.refunds[refund.id] = replace(refund, error=error, next_try_at=now + pause)

    # --- refunds

    def _apply_to_refund(self, report: Report, refund_id: str, draft: Dossier, now: datetime) -> list[str]:
        refund = draft.refunds[refund_id]
        event = report.event
        if isinstance(event, ATTEMPT_EVENTS):
            return ["kind"]
        mismatches = refunds.mismatches(refund, event)
        if mismatches:
            return mismatches
        try:
            applied = refunds.apply_refund_report(refund, draft.attempts[refund.attempt_id], event, now)
        except AmountExceeded:
            return ["refunded_more_than_paid"]
        after = applied.refund
        if applied.moved is None and after.status is RefundStatus.PENDING:
            pause = RESEND_REFUND_AFTER * 2 ** min(refund.tries, 9)
            after = replace(after, next_try_at=now + pause)
        draft.refunds[refund_id] = after
        draft.attempts[refund.attempt_id] = applied.attempt
        if applied.moved is not None:
            self._refund_moved(draft, after, applied.moved, now)
        return []

    def _refund_moved(
        self, draft: Dossier, refund: Refund, moved: tuple[RefundStatus, RefundStatus], now: datetime
    ) -> None:
        account = draft.attempts[refund.attempt_id].channel_account_id
        self._clerk.post(draft, REFUND_POSTINGS[refund.kind][moved], refund.id, account, refund.amount, now)
        if refund.kind is RefundKind.MERCHANT:
            draft.payment = refunds.resum(draft.payment, refund, moved)
        done = refund.status is RefundStatus.SUCCEEDED
        self._clerk.refund_event(draft, refund, EventType.REFUND_SUCCEEDED if done else EventType.REFUND_FAILED, now)

    # --- what commits together with the effect

    async def _note_notifications(
        self, tx: Transaction, records: Sequence[Record], results: Sequence[Recorded], now: datetime
    ) -> None:
        accepted, refused = [], []
        for record, result in zip(records, results, strict=True):
            if record.notification is None:
                continue
            if result.outcome in (RecordOutcome.APPLIED, RecordOutcome.UNCHANGED):
                accepted.append((record.app_id, record.channel_account_id, record.notification.notification_id))
            else:
                refused.append(self._quarantined(record, record.notification, result, now))
        if accepted:
            await tx.insert_notifications(accepted, now)
        if refused:
            await tx.insert_quarantine(refused)

    def _quarantined(
        self, record: Record, source: NotificationSource, result: Recorded, now: datetime
    ) -> QuarantineItem:
        return QuarantineItem(
            app_id=record.app_id,
            id=self._clerk.ids.make("qr"),
            channel_account_id=record.channel_account_id,
            notification_id=source.notification_id,
            reference=record.reports[0].reference if record.reports else None,
            mismatches=result.mismatches,
            raw=source.raw,
            created_at=now,
        )

    async def _answer(
        self, tx: Transaction, records: Sequence[Record], results: Sequence[Recorded], held: Collection[Key]
    ) -> None:
        answers = []
        for record, result in zip(records, results, strict=True):
            if record.answer is not None and result.payment is not None and (record.app_id, record.answer[0]) in held:
                key, status = record.answer
                body = encoded(self._clerk.views.payment(result.payment, result.latest))
                answers.append(Answer(record.app_id, key, status, body, result.payment.id))
        if answers:
            await tx.answer_claims(answers)
