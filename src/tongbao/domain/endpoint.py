"""Webhook endpoints and what was sent to them, as values; the rules of one try are in webhook.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from tongbao.domain.errors import InvalidInput
from tongbao.domain.event import EventType

ROTATION_OVERLAP = timedelta(hours=24)
"""How long the old secret signs beside the new one."""


class DisabledWhy(StrEnum):
    MERCHANT = "merchant"
    GONE = "gone"
    """it answered 410"""


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    """every try failed; it can be redelivered by hand"""
    CANCELED = "canceled"
    """its endpoint was disabled or deleted first"""


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """Where events go. No `event_types` means all; the secrets are sealed."""

    app_id: str
    id: str
    url: str
    event_types: tuple[EventType, ...]
    sealed_secret: bytes
    created_at: datetime
    enabled: bool = True
    disabled_why: DisabledWhy | None = None
    sealed_previous: bytes | None = None
    previous_until: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint. `next_at` is None when it is over."""

    app_id: str
    id: str
    endpoint_id: str
    event_id: str
    event_type: EventType
    payment_id: str
    sequence: int
    status: DeliveryStatus
    tries: int
    next_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None


def read_event_types(names: Sequence[str]) -> tuple[EventType, ...]:
    """Each once, in the given order; raises InvalidInput that points at an unknown one."""
    types = []
    for index, name in enumerate(names):
        try:
            types.append(EventType(name))
        except ValueError:
            known = ", ".join(EventType)
            raise InvalidInput(
                f"{name!r} is not an event type; known: {known}", param=f"/event_types/{index}", code="unknown_type"
            ) from None
    return tuple(dict.fromkeys(types))
