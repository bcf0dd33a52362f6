"""Reports: what a channel told us, as domain values. Answer, notification, query result, statement line all end here.

An attempt's report carries one of Accepted, Paid, Declined, Closed, NotFound; a refund's report one of RefundAccepted,
RefundDone, RefundRejected, RefundNotFound. An unknown wire code is never a Declined: it is Accepted (still pending), or
the exception OutcomeUnknown where the step was interrupted.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tongbao.domain.money import Money


class NextActionKind(StrEnum):
    """What the buyer's side must do to go on."""

    REDIRECT = "redirect"
    QR_CODE = "qr_code"
    SDK = "sdk"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class NextAction:
    """`url` + `form` for redirect (form: action and fields, where the channel wants a posted form), `content` for
    qr_code, `params` for sdk; nothing for wait. `valid_until` is there where it dies before the attempt's deadline."""

    kind: NextActionKind
    url: str | None = None
    form_action: str | None = None
    form_fields: dict[str, str] | None = None
    content: str | None = None
    params: dict[str, str] | None = None
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stated:
    """What the channel itself says a trade is: compared with what we stored before anything is believed.

    None means "not stated". `required` names the fields that this kind of message must state (a notification must
    name the account and the amount); one that is missing is a mismatch too.
    """

    amount: Money | None = None
    account: str | None = None
    seller: str | None = None
    required: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a channel account is at its channel: the app or merchant id, and the seller who receives the money (None:
    the channel does not tell it apart)."""

    account: str
    seller: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The channel knows the attempt and waits for the buyer."""

    channel_reference: str | None = None
    next_action: NextAction | None = None
    stated: Stated = field(default_factory=Stated)


@dataclass(frozen=True, slots=True)
class Paid:
    """The money is in. `refunded` is what has gone back so far, where the channel tells (a 'closed' trade that was
    paid first and then refunded arrives as Paid with refunded)."""

    stated: Stated
    channel_reference: str | None = None
    paid_at: datetime | None = None
    buyer: str | None = None
    refunded: Money | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """A definite no: this attempt will never be paid. `code` is ours and stable; the channel's words ride along."""

    code: str
    message: str = ""
    channel_code: str | None = None
    channel_message: str | None = None
    stated: Stated = field(default_factory=Stated)


@dataclass(frozen=True, slots=True)
class Closed:
    """Unpaid and no longer payable at the channel."""

    channel_reference: str | None = None
    closed_at: datetime | None = None
    stated: Stated = field(default_factory=Stated)


@dataclass(frozen=True, slots=True)
class NotFound:
    """The channel knows no such trade. Before the channel's own deadline this proves nothing: an unscanned QR stays
    payable although no trade exists yet."""

    stated: Stated = field(default_factory=Stated)


AttemptEvent = Accepted | Paid | Declined | Closed | NotFound


@dataclass(frozen=True, slots=True)
class RefundAccepted:
    """The channel took the refund and works on it, or its outcome is not known yet."""

    channel_reference: str | None = None


@dataclass(frozen=True, slots=True)
class RefundDone:
    """The money went back."""

    amount: Money | None = None
    channel_reference: str | None = None
    refunded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RefundRejected:
    """The channel refused the refund, or gave the money back to us after trying."""

    code: str
    message: str = ""
    channel_code: str | None = None
    channel_message: str | None = None


@dataclass(frozen=True, slots=True)
class RefundNotFound:
    """The channel knows no such refund: it was not received, or not yet."""


RefundEvent = RefundAccepted | RefundDone | RefundRejected | RefundNotFound


@dataclass(frozen=True, slots=True)
class Report:
    """`reference` is the merchant reference of the attempt or of the refund, as the event's kind tells."""

    reference: str
    event: AttemptEvent | RefundEvent


@dataclass(frozen=True, slots=True)
class Notification:
    """A verified message from a channel: its id (the same on every retry) and the reports it makes."""

    notification_id: str
    reports: tuple[Report, ...]
    kind: str = ""
