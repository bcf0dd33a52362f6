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
from tongbao.services.views import AttemptView, PaymentView
from tongbao.web.bridges import is_bridged


class PageState(StrEnum):
    """What the page is in."""

    CHOOSE = "choose"
    FAILED = "failed"
    """choose again: the last attempt came to nothing"""
    SCAN = "scan"
    REDIRECT = "redirect"
    IN_APP = "in_app"
    """the wallet's own browser opens its cashier over this page"""
    PROCESSING = "processing"
    """an attempt is open and the buyer has nothing to do here"""
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    EXPIRED = "expired"
    CANCELED = "canceled"
    CLOSED = "closed"


CHOOSING = frozenset(
    {
        PageState.CHOOSE,
        PageState.FAILED,
        PageState.SCAN,
        PageState.REDIRECT,
        PageState.IN_APP,
        PageState.PROCESSING,
    }
)
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
    return _state_of_attempt(view.latest_attempt, now)


def _state_of_attempt(attempt: AttemptView | None, now: datetime) -> PageState:
    if attempt is None:
        return PageState.CHOOSE
    if attempt.status in OPEN_ATTEMPT:
        return _state_of_action(attempt, now)
    return PageState.FAILED if attempt.status == AttemptStatus.FAILED else PageState.CHOOSE


def _state_of_action(attempt: AttemptView, now: datetime) -> PageState:
    """What can no longer be opened is not shown. A redirect stays: whoever went there may still be paying, and its
    button begins anew when it must."""
    action = attempt.next_action
    if action is None:
        return PageState.PROCESSING
    if action.type == "sdk" and is_bridged(attempt.method):
        state = PageState.IN_APP
    else:
        state = _ACTION_STATES.get(action.type, PageState.PROCESSING)
    is_dead = action.expires_at is not None and now >= action.expires_at
    return PageState.CHOOSE if is_dead and state in (PageState.SCAN, PageState.IN_APP) else state


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
