"""What a checkout page shows of a payment: one state, decided here from the payment's view and the time. Pure.

The page, the status answer and the stream all speak of this state; `version` changes whenever the page would look
different, so whoever shows another version looks again.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2s

import msgspec

from tongbao.domain.payment import OPEN_ATTEMPT, AttemptStatus, ClosedReason, PaymentStatus
from tongbao.services.views import PaymentView


class PageState(StrEnum):
    """What the page is in."""

    CHOOSE = "choose"
    FAILED = "failed"
    """choose again: the last attempt came to nothing"""
    SCAN = "scan"
    REDIRECT = "redirect"
    PROCESSING = "processing"
    """an attempt is open and the buyer has nothing to do here"""
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    EXPIRED = "expired"
    CANCELED = "canceled"
    CLOSED = "closed"


CHOOSING = frozenset({PageState.CHOOSE, PageState.FAILED, PageState.SCAN, PageState.REDIRECT, PageState.PROCESSING})
"""A method can be chosen: at first, or as another way."""
_CLOSED_STATES: dict[str, PageState] = {
    ClosedReason.CANCELED: PageState.CANCELED,
    ClosedReason.EXPIRED: PageState.EXPIRED,
}
_ACTION_STATES = {"redirect": PageState.REDIRECT, "qr_code": PageState.SCAN}


class StatusView(msgspec.Struct, frozen=True):
    """The status of a payment for the buyer's page. `now` is our time, for the countdown."""

    payment: str
    status: str
    state: PageState
    version: str
    final: bool
    method: str | None
    expires_at: datetime
    paid_at: datetime | None
    closed_reason: str | None
    now: datetime | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at a payment."""

    app_id: str
    view: PaymentView
    shown: StatusView


def state_of(view: PaymentView, now: datetime) -> PageState:
    """The page's state at `now`."""
    if view.status == PaymentStatus.SUCCEEDED:
        return PageState.SUCCEEDED
    if view.status == PaymentStatus.CLOSED:
        return _CLOSED_STATES.get(view.closed_reason or "", PageState.CLOSED)
    if view.cancel_requested_at is not None:
        return PageState.CANCELING
    if now >= view.expires_at:
        return PageState.EXPIRED
    return _state_of_attempt(view)


def _state_of_attempt(view: PaymentView) -> PageState:
    attempt = view.latest_attempt
    if attempt is None:
        return PageState.CHOOSE
    if attempt.status in OPEN_ATTEMPT:
        action = attempt.next_action
        return _ACTION_STATES.get(action.type if action else "", PageState.PROCESSING)
    return PageState.FAILED if attempt.status == AttemptStatus.FAILED else PageState.CHOOSE


def shown_of(view: PaymentView, now: datetime) -> StatusView:
    """The status that is told to pages; without the time, which the teller adds."""
    state = state_of(view, now)
    attempt = view.latest_attempt
    marks = (view.status, state, attempt.id if attempt else "", attempt.status if attempt else "")
    return StatusView(
        payment=view.id,
        status=view.status,
        state=state,
        version=blake2s("|".join(marks).encode(), digest_size=6).hexdigest(),
        final=view.status != PaymentStatus.PENDING,
        method=view.method,
        expires_at=view.expires_at,
        paid_at=view.paid_at,
        closed_reason=view.closed_reason,
    )
