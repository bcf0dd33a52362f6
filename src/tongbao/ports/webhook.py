"""The way to merchants as protocols: who sends, where endpoints are kept, where results are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tongbao.domain.endpoint import Delivery, DeliveryStatus, DisabledWhy, WebhookEndpoint
from tongbao.domain.event import Event, EventType
from tongbao.domain.webhook import WebhookResult
from tongbao.ports.reading import Page


class WebhookSender(Protocol):
    """Posts to merchants' endpoints; the merchant's faults are values in the result, never exceptions."""

    async def send(
        self, url: str, headers: Mapping[str, str], body: bytes, *, livemode: bool, now: datetime
    ) -> WebhookResult: ...


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What a merchant changes; None leaves a field as it is."""

    url: str | None = None
    event_types: tuple[EventType, ...] | None = None
    enabled: bool | None = None
    metadata: Mapping[str, str] | None = None


class WebhookStore(Protocol):
    """Endpoints and their deliveries, always by app. Methods that name an endpoint return None, or 0, where the app
    has no such endpoint."""

    async def insert_endpoint(self, endpoint: WebhookEndpoint) -> None: ...
    async def count_endpoints(self, app_id: str) -> int: ...
    async def read_endpoint(self, app_id: str, endpoint_id: str) -> WebhookEndpoint | None: ...
    async def list_endpoints(self, app_id: str, page: Page) -> tuple[list[WebhookEndpoint], bool]: ...
    async def change_endpoint(self, app_id: str, endpoint_id: str, change: EndpointChange) -> WebhookEndpoint | None:
        """Disabling cancels what is pending, in the same transaction."""
        ...

    async def rotate_secret(
        self, app_id: str, endpoint_id: str, sealed: bytes, previous_until: datetime
    ) -> WebhookEndpoint | None:
        """The present secret becomes the previous one."""
        ...

    async def delete_endpoint(self, app_id: str, endpoint_id: str) -> bool:
        """With it, what is pending is canceled."""
        ...

    async def list_deliveries(
        self, app_id: str, endpoint_id: str, status: DeliveryStatus | None, page: Page
    ) -> tuple[list[Delivery], bool]: ...
    async def insert_test_event(self, event: Event, endpoint_id: str) -> None:
        """The event, and one delivery of it to this endpoint only."""
        ...

    async def redeliver(self, app_id: str, event_id: str, endpoint_id: str | None, now: datetime) -> int:
        """Makes the event due again, now, with a fresh schedule: at one endpoint, or at all that want its type.
        Returns at how many."""
        ...


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What is written down after a try. `next_at` is None when the delivery is over; `disables` says why its endpoint
    is switched off with it."""

    app_id: str
    id: str
    endpoint_id: str
    payment_id: str
    sequence: int
    leased_by: str
    status: DeliveryStatus
    tries: int
    next_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None
    delivered_at: datetime | None = None
    disables: DisabledWhy | None = None


class DeliveryStore(Protocol):
    """Writes results."""

    async def finish(self, results: Sequence[DeliveryResult]) -> list[bool]:
        """One transaction. False for a result whose lease was lost in the meantime: nothing was written. While a
        delivery waits for its next ordered try, later events of its payment to the same endpoint wait with it."""
        ...
