"""Events: the log of facts that merchants see, in the order of each payment's sequence."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EventType(StrEnum):
    PAYMENT_CREATED = "payment.created"
    PAYMENT_SUCCEEDED = "payment.succeeded"
    PAYMENT_CLOSED = "payment.closed"
    PAYMENT_LATE_SUCCEEDED = "payment.late_succeeded"
    PAYMENT_DUPLICATE_SUCCEEDED = "payment.duplicate_succeeded"
    ATTEMPT_FAILED = "attempt.failed"
    REFUND_CREATED = "refund.created"
    REFUND_SUCCEEDED = "refund.succeeded"
    REFUND_FAILED = "refund.failed"
    WEBHOOK_TEST = "webhook.test"


@dataclass(frozen=True, slots=True)
class Event:
    """`data` is the JSON text of the object as it was then; `sequence` orders the events of one payment."""

    app_id: str
    id: str
    type: EventType
    payment_id: str
    sequence: int
    data: str
    created_at: datetime
