"""What merchants see of webhooks and events. One function per object; conventions as in views.py."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from tongbao.domain.endpoint import Delivery, WebhookEndpoint
from tongbao.domain.event import Event


class WebhookEndpointView(msgspec.Struct, frozen=True):
    """Where events are sent. `secret` is there once: when it was made."""

    id: str
    object: Literal["webhook_endpoint"]
    url: str
    event_types: tuple[str, ...]
    enabled: bool
    disabled_why: str | None
    previous_secret_until: datetime | None
    created_at: datetime
    livemode: bool
    metadata: Mapping[str, str]
    secret: str | msgspec.UnsetType = msgspec.UNSET


class DeliveryView(msgspec.Struct, frozen=True):
    """One event on its way to one endpoint."""

    id: str
    object: Literal["delivery"]
    endpoint: str
    event: str
    event_type: str
    payment: str | None
    sequence: int
    status: str
    tries: int
    next_try_at: datetime | None
    last_status: int | None
    last_error: str | None
    delivered_at: datetime | None
    created_at: datetime
    livemode: bool
    metadata: Mapping[str, str]


class EventView(msgspec.Struct, frozen=True):
    """A fact. `data` is the object as it was then, byte for byte as webhooks carry it."""

    id: str
    object: Literal["event"]
    type: str
    payment: str | None
    sequence: int
    created_at: datetime
    livemode: bool
    metadata: Mapping[str, str]
    data: msgspec.Raw


def _payment(event_id: str, payment_id: str) -> str | None:
    """An event that is part of no payment is numbered by itself."""
    return None if payment_id == event_id else payment_id


def endpoint_view(
    endpoint: WebhookEndpoint, livemode: bool, now: datetime, secret: str | None = None
) -> WebhookEndpointView:
    until = endpoint.previous_until
    return WebhookEndpointView(
        id=endpoint.id,
        object="webhook_endpoint",
        url=endpoint.url,
        event_types=endpoint.event_types,
        enabled=endpoint.enabled,
        disabled_why=endpoint.disabled_why,
        previous_secret_until=until if until is not None and now < until else None,
        created_at=endpoint.created_at,
        livemode=livemode,
        metadata=endpoint.metadata,
        secret=msgspec.UNSET if secret is None else secret,
    )


def delivery_view(delivery: Delivery, livemode: bool) -> DeliveryView:
    return DeliveryView(
        id=delivery.id,
        object="delivery",
        endpoint=delivery.endpoint_id,
        event=delivery.event_id,
        event_type=delivery.event_type,
        payment=_payment(delivery.event_id, delivery.payment_id),
        sequence=delivery.sequence,
        status=delivery.status,
        tries=delivery.tries,
        next_try_at=delivery.next_at,
        last_status=delivery.last_status,
        last_error=delivery.last_error,
        delivered_at=delivery.delivered_at,
        created_at=delivery.created_at,
        livemode=livemode,
        metadata={},
    )


def event_view(event: Event, livemode: bool) -> EventView:
    return EventView(
        id=event.id,
        object="event",
        type=event.type,
        payment=_payment(event.id, event.payment_id),
        sequence=event.sequence,
        created_at=event.created_at,
        livemode=livemode,
        metadata={},
        data=msgspec.Raw(event.data.encode()),
    )
