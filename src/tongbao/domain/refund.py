"""Refund: money back against one paid attempt, with its own lifecycle.

Channels do change their mind, so `failed` and `succeeded` may follow each other, each change with its reversing
transfers. Per attempt, pending + succeeded never exceed what was paid; the database holds the same constraint.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from tongbao.domain.errors import AmountExceeded, TransitionRefused
from tongbao.domain.lifecycle import next_status
from tongbao.domain.money import Money
from tongbao.domain.payment import Attempt, AttemptError, AttemptStatus, Payment
from tongbao.domain.report import RefundAccepted, RefundDone, RefundEvent, RefundNotFound, RefundRejected


class RefundStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class RefundKind(StrEnum):
    MERCHANT = "merchant"
    SURPLUS = "surplus"


REFUND_LIFECYCLE: dict[RefundStatus, dict[type, RefundStatus]] = {
    RefundStatus.PENDING: {
        RefundAccepted: RefundStatus.PENDING,
        RefundNotFound: RefundStatus.PENDING,
        RefundDone: RefundStatus.SUCCEEDED,
        RefundRejected: RefundStatus.FAILED,
    },
    RefundStatus.SUCCEEDED: {
        RefundAccepted: RefundStatus.SUCCEEDED,
        RefundNotFound: RefundStatus.SUCCEEDED,
        RefundDone: RefundStatus.SUCCEEDED,
        RefundRejected: RefundStatus.FAILED,
    },
    RefundStatus.FAILED: {
        RefundAccepted: RefundStatus.FAILED,
        RefundNotFound: RefundStatus.FAILED,
        RefundDone: RefundStatus.SUCCEEDED,
        RefundRejected: RefundStatus.FAILED,
    },
}


@dataclass(frozen=True, slots=True)
class Refund:
    """`reference` is our number at the channel and the idempotency key there; `sent_at` is set before the first send,
    so that a crash behind it is followed by a query, never by a blind second send."""

    app_id: str
    id: str
    payment_id: str
    attempt_id: str
    kind: RefundKind
    refund_no: str
    reference: str
    amount: Money
    created_at: datetime
    reason: str | None = None
    status: RefundStatus = RefundStatus.PENDING
    channel_reference: str | None = None
    error: AttemptError | None = None
    sent_at: datetime | None = None
    next_try_at: datetime | None = None
    tries: int = 0
    succeeded_at: datetime | None = None
    failed_at: datetime | None = None


def room_for_refund(attempt: Attempt) -> int:
    """Minor units that may still go back."""
    return attempt.amount.minor - attempt.amount_refunded - attempt.amount_refunding


def reserve(attempt: Attempt, refund: Refund) -> Attempt:
    """The attempt with the refund's amount under way; raises TransitionRefused or AmountExceeded."""
    if attempt.status is not AttemptStatus.SUCCEEDED:
        raise TransitionRefused("only a paid attempt can be refunded", code="payment_not_succeeded")
    room = room_for_refund(attempt)
    if refund.amount.minor > room:
        raise AmountExceeded(f"{refund.amount.minor} is more than what is left to refund: {room}")
    return replace(attempt, amount_refunding=attempt.amount_refunding + refund.amount.minor)


@dataclass(frozen=True, slots=True)
class RefundApplied:
    """`moved` names the status change (before, after), None for a harmless repeat."""

    refund: Refund
    attempt: Attempt
    moved: tuple[RefundStatus, RefundStatus] | None


def apply_refund_report(refund: Refund, attempt: Attempt, event: RefundEvent, now: datetime) -> RefundApplied:
    """Move the refund, and the attempt's sums with it.

    Raises AmountExceeded when a refund that had failed is reported done although its money was promised elsewhere in
    the meantime: that contradicts the channel's own books and is for a person to look at.
    """
    status = next_status(REFUND_LIFECYCLE, refund.status, event)
    reference = getattr(event, "channel_reference", None) or refund.channel_reference
    if status is refund.status:
        return RefundApplied(replace(refund, channel_reference=reference), attempt, None)
    amount = refund.amount.minor
    refunding = attempt.amount_refunding - (amount if refund.status is RefundStatus.PENDING else 0)
    refunded = attempt.amount_refunded - (amount if refund.status is RefundStatus.SUCCEEDED else 0)
    if status is RefundStatus.SUCCEEDED:
        refunded += amount
    if refunding + refunded > attempt.amount.minor:
        raise AmountExceeded("the channel reports more refunded than was paid")
    after = replace(refund, status=status, channel_reference=reference, next_try_at=None)
    if isinstance(event, RefundRejected):
        error = AttemptError(event.code, "not_executed", event.message, event.channel_code, event.channel_message)
        after = replace(after, failed_at=now, error=error)
    elif isinstance(event, RefundDone):
        after = replace(after, succeeded_at=event.refunded_at or now, error=None)
    summed = replace(attempt, amount_refunding=refunding, amount_refunded=refunded)
    return RefundApplied(after, summed, (refund.status, status))


def resum(payment: Payment, refund: Refund, moved: tuple[RefundStatus | None, RefundStatus]) -> Payment:
    """The payment's sums after a merchant refund moved (from None: it was created)."""
    amount = refund.amount.minor
    before, after = moved
    refunding = payment.amount_refunding + (amount if after is RefundStatus.PENDING else 0)
    refunding -= amount if before is RefundStatus.PENDING else 0
    refunded = payment.amount_refunded + (amount if after is RefundStatus.SUCCEEDED else 0)
    refunded -= amount if before is RefundStatus.SUCCEEDED else 0
    return replace(payment, amount_refunding=refunding, amount_refunded=refunded)


def mismatches(refund: Refund, event: RefundEvent) -> list[str]:
    """What the channel states about a refund that contradicts ours."""
    if isinstance(event, RefundDone) and event.amount is not None and event.amount != refund.amount:
        return ["amount"]
    return []
