"""Webhook endpoints: made, changed, rotated, tested by the merchant; and events sent again on the merchant's wish.

A secret is shown once, when it is made, and sealed at rest. While an endpoint is disabled nothing is sent to it, and
what was pending is canceled: after enabling it again, events are redelivered by hand.
"""

from collections.abc import Iterable, Mapping, Sequence

from tongbao.domain.account import App
from tongbao.domain.address_guard import Network, networks_from, vet_url
from tongbao.domain.endpoint import (
    ROTATION_OVERLAP,
    Delivery,
    DeliveryStatus,
    WebhookEndpoint,
    read_event_types,
)
from tongbao.domain.errors import InvalidInput, NotFound, TransitionRefused
from tongbao.domain.event import Event, EventType
from tongbao.domain.webhook import SECRET_BYTES_MIN, make_secret
from tongbao.ports import Clock, Ids, Vault
from tongbao.ports.events import EventReading
from tongbao.ports.reading import Page
from tongbao.ports.webhook import EndpointChange, WebhookStore
from tongbao.services.delivery import secret_context
from tongbao.services.pushes import Pushes
from tongbao.services.views import encoded
from tongbao.services.webhook_views import endpoint_view

ENDPOINTS_MAX = 16
"""Per app: every event is written once for each."""


class Webhooks:
    """`allowed_networks` are what the operator allows although it is not globally routable. Every method that names
    an endpoint raises NotFound where the app has none of that id."""

    def __init__(
        self,
        store: WebhookStore,
        events: EventReading,
        vault: Vault,
        clock: Clock,
        ids: Ids,
        pushes: Pushes,
        allowed_networks: Iterable[str | Network] = (),
    ) -> None:
        self._store = store
        self._events = events
        self._vault = vault
        self._clock = clock
        self._ids = ids
        self._pushes = pushes
        self._allowed = networks_from(allowed_networks)

    async def create(
        self, app: App, url: str, event_types: Sequence[str] = (), metadata: Mapping[str, str] | None = None
    ) -> tuple[WebhookEndpoint, str]:
        """The endpoint, and its secret. Raises InvalidInput with `param`."""
        vet_url(url, livemode=app.livemode, allowed=self._allowed)
        types = read_event_types(event_types)
        if await self._store.count_endpoints(app.id) >= ENDPOINTS_MAX:
            raise InvalidInput(f"an app has at most {ENDPOINTS_MAX} webhook endpoints", code="too_many_endpoints")
        endpoint_id = self._ids.make("we")
        secret, sealed = self._new_secret(endpoint_id)
        endpoint = WebhookEndpoint(
            app_id=app.id,
            id=endpoint_id,
            url=url,
            event_types=types,
            sealed_secret=sealed,
            created_at=self._clock.now(),
            metadata=metadata or {},
        )
        await self._store.insert_endpoint(endpoint)
        return endpoint, secret

    async def read(self, app_id: str, endpoint_id: str) -> WebhookEndpoint:
        return _found(await self._store.read_endpoint(app_id, endpoint_id), endpoint_id)

    async def list_endpoints(self, app_id: str, page: Page) -> tuple[list[WebhookEndpoint], bool]:
        return await self._store.list_endpoints(app_id, page)

    async def update(
        self,
        app: App,
        endpoint_id: str,
        *,
        url: str | None = None,
        event_types: Sequence[str] | None = None,
        enabled: bool | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> WebhookEndpoint:
        """Only what is given changes. Raises InvalidInput with `param`."""
        if url is not None:
            vet_url(url, livemode=app.livemode, allowed=self._allowed)
        types = None if event_types is None else read_event_types(event_types)
        change = EndpointChange(url, types, enabled, metadata)
        return _found(await self._store.change_endpoint(app.id, endpoint_id, change), endpoint_id)

    async def delete(self, app_id: str, endpoint_id: str) -> None:
        if not await self._store.delete_endpoint(app_id, endpoint_id):
            raise NotFound(f"no webhook endpoint {endpoint_id}")

    async def rotate_secret(self, app_id: str, endpoint_id: str) -> tuple[WebhookEndpoint, str]:
        """A new secret; the one before signs beside it for a day. Rotating again within that day ends the oldest."""
        secret, sealed = self._new_secret(endpoint_id)
        until = self._clock.now() + ROTATION_OVERLAP
        return _found(await self._store.rotate_secret(app_id, endpoint_id, sealed, until), endpoint_id), secret

    async def list_deliveries(
        self, app_id: str, endpoint_id: str, page: Page, status: str | None = None
    ) -> tuple[list[Delivery], bool]:
        await self.read(app_id, endpoint_id)
        return await self._store.list_deliveries(app_id, endpoint_id, _delivery_status(status), page)

    async def send_test(self, app: App, endpoint_id: str) -> Event:
        """A `webhook.test` event, part of no payment, to this endpoint only."""
        endpoint = _enabled(await self.read(app.id, endpoint_id))
        event_id, now = self._ids.make("evt"), self._clock.now()
        data = encoded(endpoint_view(endpoint, app.livemode, now))
        event = Event(app.id, event_id, EventType.WEBHOOK_TEST, event_id, 1, data, now)
        await self._store.insert_test_event(event, endpoint_id)
        self._pushes.publish([(app.id, event_id)])
        return event

    async def redeliver(self, app_id: str, event_id: str, endpoint_id: str | None = None) -> int:
        """Send an event again, at once and with a fresh schedule; returns to how many endpoints.

        To one endpoint, whatever types it wants, or to all that want the event's. Raises NotFound, and
        TransitionRefused for an endpoint that is disabled.
        """
        event = await self._events.event(app_id, event_id)
        if endpoint_id is not None:
            _enabled(await self.read(app_id, endpoint_id))
        count = await self._store.redeliver(app_id, event_id, endpoint_id, self._clock.now())
        self._pushes.publish([(app_id, event.payment_id)])
        return count

    def _new_secret(self, endpoint_id: str) -> tuple[str, bytes]:
        secret = make_secret(self._ids.random_bytes(SECRET_BYTES_MIN))
        return secret, self._vault.seal(secret.encode(), secret_context(endpoint_id))


def _found(endpoint: WebhookEndpoint | None, endpoint_id: str) -> WebhookEndpoint:
    if endpoint is None:
        raise NotFound(f"no webhook endpoint {endpoint_id}")
    return endpoint


def _enabled(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    if not endpoint.enabled:
        raise TransitionRefused("the webhook endpoint is disabled; enable it first", code="endpoint_disabled")
    return endpoint


def _delivery_status(name: str | None) -> DeliveryStatus | None:
    try:
        return None if name is None else DeliveryStatus(name)
    except ValueError:
        known = ", ".join(DeliveryStatus)
        raise InvalidInput(f"{name!r} is not a delivery status; known: {known}", param="status") from None
