"""What merchants see: the JSON objects of the API, of events and of webhooks. One function per object.

Times are RFC 3339 UTC, amounts integers of minor units. The same text is the answer, the event's data and the kept
answer of an idempotency key, so it is encoded once.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from tongbao.crypto import hmac_sha256
from tongbao.domain.payment import Attempt, AttemptError, Payment, PaymentStatus
from tongbao.domain.refund import Refund
from tongbao.domain.report import NextAction, NextActionKind

encode_json = msgspec.json.Encoder().encode


class ErrorView(msgspec.Struct, frozen=True):
    """Why an attempt or a refund failed; `outcome` is not_executed, executed or unknown."""

    code: str
    outcome: str
    message: str = ""
    channel_code: str | None = None
    channel_message: str | None = None


class FormView(msgspec.Struct, frozen=True):
    """A form that the buyer's browser must post."""

    action: str
    fields: dict[str, str]


class NextActionView(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the buyer's side does next."""

    type: Literal["redirect", "qr_code", "sdk", "wait"]
    url: str | None = None
    form: FormView | None = None
    content: str | None = None
    image_svg_url: str | None = None
    params: dict[str, str] | None = None
    expires_at: datetime | None = None
    """there where it dies before the attempt does"""


class AttemptView(msgspec.Struct, frozen=True):
    """One try at a payment through one channel account."""

    id: str
    object: Literal["attempt"]
    payment: str
    status: str
    method: str
    channel: str
    channel_account: str
    merchant_reference: str
    channel_reference: str | None
    amount: int
    currency: str
    next_action: NextActionView | None
    error: ErrorView | None
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    livemode: bool
    metadata: Mapping[str, str]


class PaymentView(msgspec.Struct, frozen=True):
    """Our promise to collect one amount for one order."""

    id: str
    object: Literal["payment"]
    status: str
    order_no: str
    amount: int
    amount_refunded: int
    amount_refunding: int
    currency: str
    subject: str
    method: str | None
    channel: str | None
    channel_account: str | None
    next_action: NextActionView | None
    checkout_url: str
    return_url: str | None
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    closed_at: datetime | None
    closed_reason: str | None
    cancel_requested_at: datetime | None
    latest_attempt: AttemptView | None
    buyer: Mapping[str, str] | None
    livemode: bool
    metadata: Mapping[str, str]


class RefundView(msgspec.Struct, frozen=True):
    """Money back against one payment; `kind` is merchant, or surplus for money that we returned by ourselves."""

    id: str
    object: Literal["refund"]
    payment: str
    attempt: str
    kind: str
    refund_no: str
    amount: int
    currency: str
    reason: str | None
    status: str
    channel_reference: str | None
    error: ErrorView | None
    created_at: datetime
    succeeded_at: datetime | None
    failed_at: datetime | None
    livemode: bool
    metadata: Mapping[str, str]


def _error_view(error: AttemptError | None) -> ErrorView | None:
    if error is None:
        return None
    return ErrorView(error.code, error.outcome, error.message, error.channel_code, error.channel_message)


class Views:
    """Makes views; knows the public base address and the key that checkout tokens are made with."""

    def __init__(self, base_url: str, checkout_key: bytes) -> None:
        self.base_url = base_url.rstrip("/")
        self._checkout_key = checkout_key

    def checkout_token(self, payment_id: str) -> str:
        """The unguessable token (128 bit, hex) that opens one payment's checkout page; made, not stored."""
        return hmac_sha256(self._checkout_key, payment_id.encode())[:16].hex()

    def checkout_url(self, payment_id: str) -> str:
        return f"{self.base_url}/checkout/{payment_id}?cs={self.checkout_token(payment_id)}"

    def notify_url(self, channel_account_id: str) -> str:
        """Where the channel sends its notifications."""
        return f"{self.base_url}/notify/{channel_account_id}"

    def next_action(self, payment_id: str, action: NextAction | None) -> NextActionView | None:
        if action is None:
            return None
        if action.kind is NextActionKind.REDIRECT:
            url, form = action.url, None
            if action.form_action is not None:
                token = self.checkout_token(payment_id)
                url = f"{self.base_url}/checkout/{payment_id}/post?cs={token}"
                form = FormView(action.form_action, action.form_fields or {})
            return NextActionView("redirect", url=url, form=form, expires_at=action.valid_until)
        if action.kind is NextActionKind.QR_CODE:
            image = f"{self.base_url}/checkout/{payment_id}/qr.svg?cs={self.checkout_token(payment_id)}"
            return NextActionView("qr_code", content=action.content, image_svg_url=image, expires_at=action.valid_until)
        if action.kind is NextActionKind.SDK:
            return NextActionView("sdk", params=action.params, expires_at=action.valid_until)
        return NextActionView("wait")

    def attempt(self, payment: Payment, attempt: Attempt) -> AttemptView:
        return AttemptView(
            id=attempt.id,
            object="attempt",
            payment=attempt.payment_id,
            status=attempt.status,
            method=attempt.method,
            channel=attempt.channel,
            channel_account=attempt.channel_account_id,
            merchant_reference=attempt.reference,
            channel_reference=attempt.channel_reference,
            amount=attempt.amount.minor,
            currency=attempt.amount.currency.code,
            next_action=self.next_action(payment.id, self._holding(payment, attempt)),
            error=_error_view(attempt.error),
            created_at=attempt.created_at,
            expires_at=attempt.expires_at,
            paid_at=attempt.paid_at,
            livemode=payment.livemode,
            metadata={},
        )

    def _holding(self, payment: Payment, attempt: Attempt) -> NextAction | None:
        holds = payment.status is PaymentStatus.PENDING and payment.cancel_requested_at is None
        return attempt.next_action if holds and not attempt.close_wanted else None

    def payment(self, payment: Payment, latest: Attempt | None) -> PaymentView:
        """`latest` is the newest attempt, or the one that settled the payment."""
        attempt = None if latest is None else self.attempt(payment, latest)
        return PaymentView(
            id=payment.id,
            object="payment",
            status=payment.status,
            order_no=payment.order_no,
            amount=payment.amount.minor,
            amount_refunded=payment.amount_refunded,
            amount_refunding=payment.amount_refunding,
            currency=payment.amount.currency.code,
            subject=payment.subject,
            method=payment.method or (attempt.method if attempt else None),
            channel=attempt.channel if attempt else None,
            channel_account=attempt.channel_account if attempt else None,
            next_action=attempt.next_action if attempt else None,
            checkout_url=self.checkout_url(payment.id),
            return_url=payment.return_url,
            created_at=payment.created_at,
            expires_at=payment.expires_at,
            paid_at=payment.paid_at,
            closed_at=payment.closed_at,
            closed_reason=payment.closed_reason,
            cancel_requested_at=payment.cancel_requested_at,
            latest_attempt=attempt,
            buyer=payment.buyer,
            livemode=payment.livemode,
            metadata=payment.metadata,
        )

    def refund(self, refund: Refund, livemode: bool) -> RefundView:
        return RefundView(
            id=refund.id,
            object="refund",
            payment=refund.payment_id,
            attempt=refund.attempt_id,
            kind=refund.kind,
            refund_no=refund.refund_no,
            amount=refund.amount.minor,
            currency=refund.amount.currency.code,
            reason=refund.reason,
            status=refund.status,
            channel_reference=refund.channel_reference,
            error=_error_view(refund.error),
            created_at=refund.created_at,
            succeeded_at=refund.succeeded_at,
            failed_at=refund.failed_at,
            livemode=livemode,
            metadata={},
        )


def encoded(view: Any) -> str:
    """The JSON text of a view."""
    return encode_json(view).decode()
