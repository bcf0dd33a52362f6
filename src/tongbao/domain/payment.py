"""Payment and attempt: what they are, and the two tables by which they move.

Rule 1: attempt statuses are ranked CREATED < PENDING < FAILED < CLOSED < SUCCEEDED and a report only raises the rank,
so duplicate, late and reordered messages end alike. Every cell is there. Money that arrives after we gave up is real,
so it is believed.
Rule 2: the first paid attempt settles the payment; money of any other, or after close, is surplus and goes back.
Rule 3: functions are (state, event, now) -> (state, facts). Facts become events, transfers and refunds elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from tongbao.domain.errors import TransitionRefused
from tongbao.domain.lifecycle import next_status
from tongbao.domain.money import Money
from tongbao.domain.report import (
    Accepted,
    AttemptEvent,
    Closed,
    Declined,
    Identity,
    NextAction,
    NextActionKind,
    NotFound,
    Paid,
    Stated,
)

DEADLINE_GRACE = timedelta(seconds=60)
"""A trade that a query still cannot find this long after the channel's deadline was never opened."""
AT_THE_COUNTER = timedelta(minutes=2)
"""For so long somebody waits beside a buyer who types a password."""
CALL_DEADLINE = timedelta(seconds=35)
"""A channel call is over by then (30 s in total, and some air)."""


class PaymentStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    CLOSED = "closed"


class ClosedReason(StrEnum):
    CANCELED = "canceled"
    EXPIRED = "expired"


class AttemptStatus(StrEnum):
    CREATED = "created"
    PENDING = "pending"
    FAILED = "failed"
    CLOSED = "closed"
    SUCCEEDED = "succeeded"


OPEN_ATTEMPT = frozenset({AttemptStatus.CREATED, AttemptStatus.PENDING})


@dataclass(frozen=True, slots=True)
class Settled:
    """An attempt of the payment was paid."""


@dataclass(frozen=True, slots=True)
class Concluded:
    """No attempt can be paid any more, and the payment was canceled or has expired."""


ATTEMPT_LIFECYCLE: dict[AttemptStatus, dict[type, AttemptStatus]] = {
    AttemptStatus.CREATED: {
        Accepted: AttemptStatus.PENDING,
        NotFound: AttemptStatus.CREATED,
        Declined: AttemptStatus.FAILED,
        Closed: AttemptStatus.CLOSED,
        Paid: AttemptStatus.SUCCEEDED,
    },
    AttemptStatus.PENDING: {
        Accepted: AttemptStatus.PENDING,
        NotFound: AttemptStatus.PENDING,
        Declined: AttemptStatus.FAILED,
        Closed: AttemptStatus.CLOSED,
        Paid: AttemptStatus.SUCCEEDED,
    },
    AttemptStatus.FAILED: {
        Accepted: AttemptStatus.FAILED,
        NotFound: AttemptStatus.FAILED,
        Declined: AttemptStatus.FAILED,
        Closed: AttemptStatus.CLOSED,
        Paid: AttemptStatus.SUCCEEDED,
    },
    AttemptStatus.CLOSED: {
        Accepted: AttemptStatus.CLOSED,
        NotFound: AttemptStatus.CLOSED,
        Declined: AttemptStatus.CLOSED,
        Closed: AttemptStatus.CLOSED,
        Paid: AttemptStatus.SUCCEEDED,
    },
    AttemptStatus.SUCCEEDED: {
        Accepted: AttemptStatus.SUCCEEDED,
        NotFound: AttemptStatus.SUCCEEDED,
        Declined: AttemptStatus.SUCCEEDED,
        Closed: AttemptStatus.SUCCEEDED,
        Paid: AttemptStatus.SUCCEEDED,
    },
}

PAYMENT_LIFECYCLE: dict[PaymentStatus, dict[type, PaymentStatus]] = {
    PaymentStatus.PENDING: {Settled: PaymentStatus.SUCCEEDED, Concluded: PaymentStatus.CLOSED},
    PaymentStatus.SUCCEEDED: {Settled: PaymentStatus.SUCCEEDED},
    PaymentStatus.CLOSED: {Settled: PaymentStatus.CLOSED, Concluded: PaymentStatus.CLOSED},
}


@dataclass(frozen=True, slots=True)
class AttemptError:
    """Why an attempt could not go on: `outcome` is what is certain."""

    code: str
    outcome: str
    message: str = ""
    channel_code: str | None = None
    channel_message: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a payment through one channel account.

    `reference` is our number at the channel; `expires_at` the absolute deadline the channel was given;
    `call_until` bounds a create call in flight; `next_query_at` is when a worker asks next (None: nothing to ask).
    """

    app_id: str
    id: str
    payment_id: str
    method: str
    channel: str
    channel_account_id: str
    reference: str
    amount: Money
    expires_at: datetime
    created_at: datetime
    options: Mapping[str, object] = field(default_factory=dict)
    status: AttemptStatus = AttemptStatus.CREATED
    channel_reference: str | None = None
    next_action: NextAction | None = None
    error: AttemptError | None = None
    call_until: datetime | None = None
    next_query_at: datetime | None = None
    close_wanted: bool = False
    paid_at: datetime | None = None
    amount_refunded: int = 0
    amount_refunding: int = 0


@dataclass(frozen=True, slots=True)
class Payment:
    """Our promise to collect `amount` for one order. `event_seq` orders its events and is raised under its lock."""

    app_id: str
    id: str
    livemode: bool
    order_no: str
    amount: Money
    subject: str
    expires_at: datetime
    created_at: datetime
    status: PaymentStatus = PaymentStatus.PENDING
    closed_reason: ClosedReason | None = None
    method: str | None = None
    return_url: str | None = None
    buyer: Mapping[str, str] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    paid_at: datetime | None = None
    closed_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    settled_attempt_id: str | None = None
    amount_refunded: int = 0
    amount_refunding: int = 0
    event_seq: int = 0


# --- facts: what happened, past tense; the services turn them into events, transfers and refunds ------------------


@dataclass(frozen=True, slots=True)
class PaymentSucceeded:
    attempt_id: str


@dataclass(frozen=True, slots=True)
class PaymentClosed:
    reason: ClosedReason


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    attempt_id: str


@dataclass(frozen=True, slots=True)
class SurplusReceived:
    """Money that the payment does not need: `late` after it was closed, otherwise a second attempt was paid."""

    attempt_id: str
    late: bool


Fact = PaymentSucceeded | PaymentClosed | AttemptFailed | SurplusReceived


@dataclass(frozen=True, slots=True)
class Applied:
    """The state after a report, and the facts it made; `changed` is False for a harmless repeat."""

    payment: Payment
    attempt: Attempt
    facts: tuple[Fact, ...]
    changed: bool


def mismatches(attempt: Attempt, event: AttemptEvent, identity: Identity) -> list[str]:
    """What the channel states that contradicts what we stored: field names, empty when all is well.

    Source: reliability invariant I7. A field that must be stated and is not counts as contradicting.
    """
    stated: Stated = event.stated
    found = [name for name in sorted(stated.required) if getattr(stated, name) is None]
    if stated.amount is not None and stated.amount.minor != attempt.amount.minor:
        found.append("amount")
    if stated.amount is not None and stated.amount.currency != attempt.amount.currency:
        found.append("currency")
    if stated.account is not None and stated.account != identity.account:
        found.append("account")
    if stated.seller is not None and identity.seller is not None and stated.seller != identity.seller:
        found.append("seller")
    if isinstance(event, Paid) and event.refunded is not None and not _refundable(event.refunded, attempt.amount):
        found.append("refunded")
    reference = getattr(event, "channel_reference", None)
    if reference is not None and attempt.channel_reference not in (None, reference):
        found.append("channel_reference")
    return found


def _refundable(refunded: Money, paid: Money) -> bool:
    return refunded.currency == paid.currency and 0 <= refunded.minor <= paid.minor


def believable(attempt: Attempt, event: AttemptEvent, now: datetime) -> AttemptEvent:
    """What an event means at `now`: 'no such trade' after the deadline and its grace proves that it was never opened.

    Before that it proves nothing, and neither does it while the create call may still be under way.
    """
    if isinstance(event, NotFound) and attempt.status in OPEN_ATTEMPT:
        in_flight = attempt.call_until is not None and now < attempt.call_until
        if now >= attempt.expires_at + DEADLINE_GRACE and not in_flight:
            return Closed(closed_at=now, stated=event.stated)
    return event


def apply_report(payment: Payment, attempt: Attempt, event: AttemptEvent, now: datetime) -> Applied:
    """Raise the attempt by the event, settle the payment if this is its first money, and tell the facts."""
    status = next_status(ATTEMPT_LIFECYCLE, attempt.status, event)
    raised = status is not attempt.status
    after = _attempt_after(attempt, status, event, now)
    facts: list[Fact] = []
    settled = payment
    if raised and status is AttemptStatus.SUCCEEDED:
        settled, fact = _settle(payment, after, now)
        facts.append(fact)
    elif raised and status is AttemptStatus.FAILED:
        facts.append(AttemptFailed(attempt.id))
    return Applied(settled, after, tuple(facts), changed=after != attempt)


def _attempt_after(attempt: Attempt, status: AttemptStatus, event: AttemptEvent, now: datetime) -> Attempt:
    reference = getattr(event, "channel_reference", None) or attempt.channel_reference
    if status is not attempt.status and status not in OPEN_ATTEMPT:
        attempt = replace(attempt, next_action=None, next_query_at=None, close_wanted=False, call_until=None)
    if isinstance(event, Paid) and attempt.status is not AttemptStatus.SUCCEEDED:
        return replace(attempt, status=status, channel_reference=reference, paid_at=event.paid_at or now, error=None)
    if isinstance(event, Declined) and status is not attempt.status:
        error = AttemptError(event.code, "not_executed", event.message, event.channel_code, event.channel_message)
        return replace(attempt, status=status, channel_reference=reference, error=error)
    if isinstance(event, Closed) and status is not attempt.status:
        return replace(attempt, status=status, channel_reference=reference, error=None)
    if isinstance(event, Accepted) and status in OPEN_ATTEMPT:
        action = event.next_action or attempt.next_action
        return replace(attempt, status=status, channel_reference=reference, next_action=action, error=None)
    return replace(attempt, status=status, channel_reference=reference)


def _settle(payment: Payment, attempt: Attempt, now: datetime) -> tuple[Payment, Fact]:
    status = next_status(PAYMENT_LIFECYCLE, payment.status, Settled())
    if payment.status is PaymentStatus.PENDING:
        settled = replace(
            payment,
            status=status,
            method=attempt.method,
            paid_at=attempt.paid_at or now,
            settled_attempt_id=attempt.id,
        )
        return settled, PaymentSucceeded(attempt.id)
    return payment, SurplusReceived(attempt.id, late=payment.status is PaymentStatus.CLOSED)


def conclude(payment: Payment, attempts: Sequence[Attempt], now: datetime) -> tuple[Payment, PaymentClosed | None]:
    """Close a pending payment whose time is over or whose cancel was asked for, once no attempt can be paid."""
    if payment.status is not PaymentStatus.PENDING or any(attempt.status in OPEN_ATTEMPT for attempt in attempts):
        return payment, None
    if payment.cancel_requested_at is not None:
        reason = ClosedReason.CANCELED
    elif now >= payment.expires_at:
        reason = ClosedReason.EXPIRED
    else:
        return payment, None
    status = next_status(PAYMENT_LIFECYCLE, payment.status, Concluded())
    return replace(payment, status=status, closed_reason=reason, closed_at=now), PaymentClosed(reason)


def want_cancel(payment: Payment, now: datetime) -> Payment:
    """The merchant's wish, noted once; a closed payment stays as it is, a paid one refuses."""
    if payment.status is PaymentStatus.SUCCEEDED:
        raise TransitionRefused("the payment has been paid already; refund it instead", code="payment_succeeded")
    if payment.status is PaymentStatus.CLOSED or payment.cancel_requested_at is not None:
        return payment
    return replace(payment, cancel_requested_at=now)


def refuse_unless_payable(payment: Payment, now: datetime) -> None:
    """Raises TransitionRefused unless a new attempt may be started now."""
    if payment.status is PaymentStatus.SUCCEEDED:
        raise TransitionRefused("the payment has been paid already", code="payment_succeeded")
    if payment.status is PaymentStatus.CLOSED:
        raise TransitionRefused(f"the payment is closed ({payment.closed_reason})", code="payment_closed")
    if payment.cancel_requested_at is not None:
        raise TransitionRefused("the payment is being canceled", code="payment_canceling")
    if now >= payment.expires_at:
        raise TransitionRefused("the payment has expired", code="payment_expired")


def next_query(attempt: Attempt, now: datetime) -> datetime:
    """When to ask the channel next, if no notification comes and no page is open.

    While somebody waits at the counter every 5 s for the first 2 minutes; else every 30 s for the first 5 minutes, then
    every 60 s; and once right after the channel's deadline and its grace.
    """
    age = now - attempt.created_at
    if attempt.next_action is not None and attempt.next_action.kind is NextActionKind.WAIT and age < AT_THE_COUNTER:
        gap = timedelta(seconds=5)
    else:
        gap = timedelta(seconds=30 if age < timedelta(minutes=5) else 60)
    planned = now + gap
    for moment in (attempt.expires_at, attempt.expires_at + DEADLINE_GRACE):
        if now < moment < planned:
            return moment
    return planned


def interrupted(attempt: Attempt, error: AttemptError, now: datetime) -> Attempt:
    """The attempt after its call was cut off: what is certain stands in `error`, and it is asked about at once."""
    if attempt.status not in OPEN_ATTEMPT:
        return attempt
    return replace(attempt, error=error, call_until=None, next_query_at=now + timedelta(seconds=2))
