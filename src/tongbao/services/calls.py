"""Calling a channel, holding nothing: what it needs to know, and what an interrupted call means.

Every channel call of the services goes through here. Expected answers come back as events; what interrupts a call
comes back as an `AttemptError` that says what is certain.
"""

import time
from collections.abc import Awaitable
from typing import TypeVar

from tongbao.domain.address_guard import is_refused, read_address
from tongbao.domain.errors import ChannelError, Outcome, Rejected, TongbaoError
from tongbao.domain.payment import Attempt, AttemptError, Payment
from tongbao.domain.refund import Refund
from tongbao.domain.report import Declined
from tongbao.ports import AttemptRequest, RefundRequest
from tongbao.services.metrics import Metrics
from tongbao.services.views import Views

E = TypeVar("E")


def attempt_request(payment: Payment, attempt: Attempt, views: Views, seen_at: str | None = None) -> AttemptRequest:
    """What a channel is told about an attempt. `seen_at` is the address of the buyer's browser where we saw it.

    The buyer comes back to the shop when the shop chose the method and named an address; otherwise to the checkout
    page that sent the buyer there, which knows when the money is in and links on to the shop.
    """
    buyer = payment.buyer or {}
    from_shop = payment.return_url if payment.method is not None else None
    return AttemptRequest(
        reference=attempt.reference,
        method=attempt.method,
        amount=attempt.amount,
        subject=payment.subject,
        expires_at=attempt.expires_at,
        created_at=attempt.created_at,
        notify_url=views.notify_url(attempt.channel_account_id),
        return_url=from_shop or views.checkout_url(payment.id),
        channel_reference=attempt.channel_reference,
        buyer_id=buyer.get("id"),
        buyer_ip=buyer_address(seen_at, buyer.get("ip")),
        options=attempt.options,
    )


def buyer_address(seen_at: str | None, told: str | None) -> str | None:
    """What we saw ourselves counts more than what the merchant told, unless it is of a network's inside: then it may be
    a proxy's that nobody named."""
    address = read_address(seen_at) if seen_at else None
    if address is not None and not is_refused(address):
        return seen_at
    return told or seen_at


def refund_request(refund: Refund, attempt: Attempt, views: Views) -> RefundRequest:
    """What a channel is told about a refund."""
    return RefundRequest(
        reference=refund.reference,
        attempt_reference=attempt.reference,
        amount=refund.amount,
        paid=attempt.amount,
        reason=refund.reason,
        channel_reference=attempt.channel_reference,
        notify_url=views.notify_url(attempt.channel_account_id),
    )


async def outcome_of(call: Awaitable[E], metrics: Metrics, channel: str, verb: str) -> E | AttemptError:
    """The event that the channel answered with, or why the call was interrupted; counted and timed."""
    started = time.perf_counter()
    try:
        answer: E | AttemptError = await call
    except (ChannelError, Rejected) as error:
        answer = attempt_error(error)
    outcome = answer.outcome if isinstance(answer, AttemptError) else "ok"
    metrics.channel_call(channel, verb, outcome, time.perf_counter() - started)
    return answer


def attempt_error(error: TongbaoError) -> AttemptError:
    """An interruption as it is stored; a message that cannot be trusted leaves the outcome unknown."""
    outcome = error.outcome or Outcome.UNKNOWN
    words = (error.channel_code, error.channel_message) if isinstance(error, ChannelError) else (None, None)
    return AttemptError(error.code, outcome, error.message, *words)


def as_declined(error: AttemptError) -> Declined | None:
    """A call that was certainly not executed ends the attempt; another may be tried at once."""
    if error.outcome != Outcome.NOT_EXECUTED:
        return None
    return Declined(error.code, error.message, error.channel_code, error.channel_message)
