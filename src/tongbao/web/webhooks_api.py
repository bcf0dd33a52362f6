"""Handlers for webhook endpoints and the log of events."""

import msgspec

from tongbao.domain.errors import InvalidInput
from tongbao.ports.events import EventFilter
from tongbao.services.webhook_views import delivery_view, endpoint_view, event_view
from tongbao.web import schemas
from tongbao.web.door import Answer, Call, answer_json
from tongbao.web.payments_api import answer_list, page_of
from tongbao.web.schemas import decode, decoder

_create = decoder(schemas.CreateWebhookEndpoint)
_update = decoder(schemas.UpdateWebhookEndpoint)
_redeliver = decoder(schemas.Redeliver)
_empty = decoder(schemas.Empty)


class Deleted(msgspec.Struct, frozen=True):
    """What was deleted."""

    id: str
    object: str
    deleted: bool


class Redelivered(msgspec.Struct, frozen=True):
    """To how many endpoints the event goes again."""

    id: str
    object: str
    endpoints: int


async def create_endpoint(call: Call) -> Answer:
    """The secret is shown this once."""
    given = decode(call.body, _create)
    endpoint, secret = await call.services.webhooks.create(call.app, given.url, given.event_types, given.metadata)
    return answer_json(201, endpoint_view(endpoint, call.app.livemode, call.services.clock.now(), secret))


async def list_endpoints(call: Call) -> Answer:
    found, more = await call.services.webhooks.list_endpoints(call.app.id, page_of(call, "we"))
    now = call.services.clock.now()
    return answer_list([endpoint_view(endpoint, call.app.livemode, now) for endpoint in found], more)


async def read_endpoint(call: Call) -> Answer:
    endpoint = await call.services.webhooks.read(call.app.id, call.params["endpoint_id"])
    return answer_json(200, endpoint_view(endpoint, call.app.livemode, call.services.clock.now()))


async def update_endpoint(call: Call) -> Answer:
    given = decode(call.body, _update)
    endpoint = await call.services.webhooks.update(
        call.app,
        call.params["endpoint_id"],
        url=given.url,
        event_types=given.event_types,
        enabled=given.enabled,
        metadata=given.metadata,
    )
    return answer_json(200, endpoint_view(endpoint, call.app.livemode, call.services.clock.now()))


async def delete_endpoint(call: Call) -> Answer:
    endpoint_id = call.params["endpoint_id"]
    await call.services.webhooks.delete(call.app.id, endpoint_id)
    return answer_json(200, Deleted(endpoint_id, "webhook_endpoint", deleted=True))


async def rotate_secret(call: Call) -> Answer:
    """The new secret is shown this once; the old one signs beside it for 24 hours."""
    decode(call.body, _empty)
    endpoint, secret = await call.services.webhooks.rotate_secret(call.app.id, call.params["endpoint_id"])
    return answer_json(200, endpoint_view(endpoint, call.app.livemode, call.services.clock.now(), secret))


async def list_deliveries(call: Call) -> Answer:
    page = page_of(call, "del")
    endpoint_id, status = call.params["endpoint_id"], call.query.get("status")
    found, more = await call.services.webhooks.list_deliveries(call.app.id, endpoint_id, page, status)
    return answer_list([delivery_view(delivery, call.app.livemode) for delivery in found], more)


async def send_test(call: Call) -> Answer:
    decode(call.body, _empty)
    event = await call.services.webhooks.send_test(call.app, call.params["endpoint_id"])
    return answer_json(201, event_view(event, call.app.livemode))


async def list_events(call: Call) -> Answer:
    page = page_of(call, "evt")
    filters = EventFilter(call.query.get("type"), call.query.get("payment"))
    found, more = await call.services.events.list_events(call.app.id, filters, page)
    return answer_list([event_view(event, call.app.livemode) for event in found], more)


async def read_event(call: Call) -> Answer:
    event = await call.services.events.event(call.app.id, call.params["event_id"])
    return answer_json(200, event_view(event, call.app.livemode))


async def redeliver_event(call: Call) -> Answer:
    given = decode(call.body, _redeliver)
    event_id = call.params["event_id"]
    count = await call.services.webhooks.redeliver(call.app.id, event_id, given.webhook_endpoint)
    if count == 0:
        raise InvalidInput("no enabled webhook endpoint wants this event", code="no_endpoint")
    return answer_json(202, Redelivered(event_id, "event", count))
