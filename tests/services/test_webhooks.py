"""Webhook endpoints as merchants handle them: made, changed, rotated, tested, deleted; events sent again."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tests import made
from tests.made import APP
from tests.simulated import SimClock, SimIds
from tongbao.domain.account import App
from tongbao.domain.errors import InvalidInput, NotFound, TransitionRefused
from tongbao.domain.event import EventType
from tongbao.ports import DueDelivery
from tongbao.ports.reading import Page
from tongbao.services.delivery import secret_context
from tongbao.services.pushes import Pushes
from tongbao.services.vault import Vault
from tongbao.services.views import encoded
from tongbao.services.webhook_views import delivery_view, endpoint_view, event_view
from tongbao.services.webhooks import ENDPOINTS_MAX, Webhooks
from tongbao.storage.database import Database
from tongbao.storage.events import Events
from tongbao.storage.leases import Leases
from tongbao.storage.webhooks import Webhooks as WebhookStore
from tongbao.system import SystemIds

URL = "https://shop.example/hook"


@pytest.fixture
async def app(database: Database) -> App:
    return await made.store_app(database)


@pytest.fixture
def vault() -> Vault:
    return Vault([bytes(32)], SystemIds())


@pytest.fixture
def webhooks(database: Database, vault: Vault, clock: SimClock, ids: SimIds) -> Webhooks:
    return Webhooks(WebhookStore(database), Events(database), vault, clock, ids, Pushes())


async def due(database: Database, clock: SimClock) -> list[DueDelivery]:
    leases = Leases(database)
    await leases.heartbeat("w", clock.now())
    found = await leases.claim_deliveries("w", clock.now(), 100, {}, 100)
    await leases.release_deliveries("w", [d.key for d in found], clock.now(), clock.now())
    return sorted(found, key=lambda delivery: delivery.endpoint_id)


def seen(view: Any) -> dict[str, Any]:
    return dict(json.loads(encoded(view)))


# --- making


async def test_the_secret_is_shown_once_and_sealed_at_rest(
    database: Database, webhooks: Webhooks, app: App, vault: Vault, clock: SimClock
) -> None:
    endpoint, secret = await webhooks.create(app, URL, ["payment.succeeded"], {"shop": "茶"})
    assert secret.startswith("whsec_")
    stored = await webhooks.read(APP, endpoint.id)
    assert stored == endpoint
    assert vault.open(stored.sealed_secret, secret_context(endpoint.id)).decode() == secret
    everything = await made.fetch(database, "SELECT row_to_json(w)::text AS row FROM webhook_endpoints w")
    assert secret[6:] not in everything[0]["row"]
    first = seen(endpoint_view(endpoint, False, clock.now(), secret))
    assert first.pop("secret") == secret
    assert seen(endpoint_view(stored, False, clock.now())) == first
    assert first == {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "url": URL,
        "event_types": ["payment.succeeded"],
        "enabled": True,
        "disabled_why": None,
        "previous_secret_until": None,
        "created_at": "2026-05-01T12:00:00Z",
        "livemode": False,
        "metadata": {"shop": "茶"},
    }


@pytest.mark.parametrize(
    ("livemode", "url", "code"),
    [
        (True, "http://shop.example/hook", "refused_scheme"),
        (True, "https://shop.example:8080/hook", "refused_port"),
        (False, "https://127.0.0.1/hook", "refused_address"),
        (False, "https://u:p@shop.example/hook", "invalid_url"),
        (False, "nonsense", "invalid_url"),
    ],
)
async def test_an_address_that_will_not_do_is_refused(
    webhooks: Webhooks, app: App, livemode: bool, url: str, code: str
) -> None:
    app = replace(app, livemode=livemode)
    endpoint, _ = await webhooks.create(app, URL)
    for refused in (webhooks.create(app, url), webhooks.update(app, endpoint.id, url=url)):
        with pytest.raises(InvalidInput) as error:
            await refused
        assert (error.value.code, error.value.param) == (code, "/url")


async def test_plain_http_is_for_test_apps(webhooks: Webhooks, app: App) -> None:
    endpoint, _ = await webhooks.create(app, "http://shop.example/hook")
    assert endpoint.event_types == ()


async def test_an_unknown_event_type_is_refused_with_its_place(webhooks: Webhooks, app: App) -> None:
    with pytest.raises(InvalidInput) as error:
        await webhooks.create(app, URL, ["payment.succeeded", "payment.exploded"])
    assert error.value.param == "/event_types/1"
    assert "payment.exploded" in error.value.message


async def test_an_app_has_only_so_many_endpoints(webhooks: Webhooks, app: App) -> None:
    for _ in range(ENDPOINTS_MAX):
        await webhooks.create(app, URL)
    with pytest.raises(InvalidInput):
        await webhooks.create(app, URL)


async def test_endpoints_are_listed_newest_first_in_pages(webhooks: Webhooks, app: App) -> None:
    made_ids = [(await webhooks.create(app, URL))[0].id for _ in range(5)][::-1]

    async def listed(page: Page) -> tuple[list[str], bool]:
        found, more = await webhooks.list_endpoints(APP, page)
        return [endpoint.id for endpoint in found], more

    assert await listed(Page(3)) == (made_ids[:3], True)
    assert await listed(Page(3, starting_after=made_ids[2])) == (made_ids[3:], False)
    assert await listed(Page(3, ending_before=made_ids[4])) == (made_ids[1:4], True)
    assert await webhooks.list_endpoints("app_2", Page(3)) == ([], False)


# --- changing


async def test_only_what_is_given_changes(webhooks: Webhooks, app: App) -> None:
    endpoint, _ = await webhooks.create(app, URL, ["payment.closed"], {"a": "1"})
    changed = await webhooks.update(app, endpoint.id, metadata={"b": "2"})
    assert changed == replace(endpoint, metadata={"b": "2"})
    changed = await webhooks.update(app, endpoint.id, url="https://other.example/", event_types=[])
    assert (changed.url, changed.event_types, changed.metadata) == ("https://other.example/", (), {"b": "2"})


async def test_disabling_cancels_what_is_pending_and_enabling_starts_anew(
    database: Database, webhooks: Webhooks, app: App, clock: SimClock
) -> None:
    endpoint, _ = await webhooks.create(app, URL)
    await made.store_events(database, [made.event(1, "pay_1")])
    disabled = await webhooks.update(app, endpoint.id, enabled=False)
    assert (disabled.enabled, disabled.disabled_why) == (False, "merchant")
    assert await due(database, clock) == []
    assert await made.store_events(database, [made.event(2, "pay_1", 2)]) == 0
    enabled = await webhooks.update(app, endpoint.id, enabled=True)
    assert (enabled.enabled, enabled.disabled_why) == (True, None)
    assert await made.store_events(database, [made.event(3, "pay_1", 3)]) == 1
    assert [delivery.event_id for delivery in await due(database, clock)] == ["evt_000003"]


async def test_deleting_cancels_what_is_pending(
    database: Database, webhooks: Webhooks, app: App, clock: SimClock
) -> None:
    endpoint, _ = await webhooks.create(app, URL)
    await made.store_events(database, [made.event(1, "pay_1")])
    await webhooks.delete(APP, endpoint.id)
    assert await made.fetch(database, "SELECT status, next_at FROM deliveries") == [
        {"status": "canceled", "next_at": None}
    ]
    assert await due(database, clock) == []
    with pytest.raises(NotFound):
        await webhooks.delete(APP, endpoint.id)


async def test_rotating_again_ends_the_oldest_secret(webhooks: Webhooks, app: App, vault: Vault) -> None:
    endpoint, _ = await webhooks.create(app, URL)
    _, second = await webhooks.rotate_secret(APP, endpoint.id)
    rotated, third = await webhooks.rotate_secret(APP, endpoint.id)
    context = secret_context(endpoint.id)
    assert rotated.sealed_previous is not None
    assert vault.open(rotated.sealed_secret, context).decode() == third
    assert vault.open(rotated.sealed_previous, context).decode() == second


async def test_another_app_s_endpoint_is_not_found(webhooks: Webhooks, app: App) -> None:
    endpoint, _ = await webhooks.create(app, URL)
    other = replace(app, id="app_2")
    for call in (
        webhooks.read("app_2", endpoint.id),
        webhooks.update(other, endpoint.id, enabled=False),
        webhooks.rotate_secret("app_2", endpoint.id),
        webhooks.delete("app_2", endpoint.id),
        webhooks.list_deliveries("app_2", endpoint.id, Page()),
        webhooks.send_test(other, endpoint.id),
    ):
        with pytest.raises(NotFound):
            await call
    assert (await webhooks.read(APP, endpoint.id)) == endpoint


# --- deliveries


async def test_only_wanted_types_are_delivered(
    database: Database, webhooks: Webhooks, app: App, clock: SimClock
) -> None:
    everything, _ = await webhooks.create(app, URL)
    only_closed, _ = await webhooks.create(app, URL, ["payment.closed"])
    await made.store_events(database, [made.event(1, "pay_1"), made.event(2, "pay_2", type=EventType.PAYMENT_CLOSED)])
    found = [(delivery.endpoint_id, delivery.event_id) for delivery in await due(database, clock)]
    assert sorted(found) == [
        (everything.id, "evt_000001"),
        (everything.id, "evt_000002"),
        (only_closed.id, "evt_000002"),
    ]


async def test_deliveries_are_listed_and_filtered(
    database: Database, webhooks: Webhooks, app: App, clock: SimClock
) -> None:
    endpoint, _ = await webhooks.create(app, URL)
    await made.store_events(database, [made.event(n, f"pay_{n}") for n in range(3)])
    found, more = await webhooks.list_deliveries(APP, endpoint.id, Page(2))
    assert [delivery.event_id for delivery in found] == ["evt_000002", "evt_000001"]
    assert more
    view = seen(delivery_view(found[0], livemode=False))
    assert (view["event"], view["payment"], view["status"]) == ("evt_000002", "pay_2", "pending")
    assert await webhooks.list_deliveries(APP, endpoint.id, Page(), "dead") == ([], False)
    with pytest.raises(InvalidInput) as error:
        await webhooks.list_deliveries(APP, endpoint.id, Page(), "lost")
    assert error.value.param == "status"


async def test_a_test_event_goes_to_one_endpoint_and_belongs_to_no_payment(
    database: Database, webhooks: Webhooks, app: App, clock: SimClock
) -> None:
    await webhooks.create(app, URL)
    endpoint, _ = await webhooks.create(app, URL, ["payment.closed"])
    event = await webhooks.send_test(app, endpoint.id)
    (delivery,) = await due(database, clock)
    assert (delivery.endpoint_id, delivery.event_type) == (endpoint.id, "webhook.test")
    view = seen(event_view(await Events(database).event(APP, event.id), livemode=False))
    assert (view["type"], view["payment"], view["data"]["id"]) == ("webhook.test", None, endpoint.id)
    assert "secret" not in view["data"]
    await webhooks.update(app, endpoint.id, enabled=False)
    with pytest.raises(TransitionRefused):
        await webhooks.send_test(app, endpoint.id)


async def test_the_view_of_an_event_carries_its_text_byte_for_byte() -> None:
    event = made.event(1, "pay_1")
    assert event.data in msgspec.json.encode(event_view(event, livemode=False)).decode()


# --- sending again


async def finish(database: Database, status: str) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE deliveries SET status = $1, next_at = NULL, tries = 13, delivered_at = created_at", status
        )


async def test_redelivering_makes_finished_deliveries_due_and_adds_missing_ones(
    database: Database, webhooks: Webhooks, app: App, clock: SimClock
) -> None:
    old, _ = await webhooks.create(app, URL)
    await made.store_events(database, [made.event(1, "pay_1")])
    await finish(database, "dead")
    young, _ = await webhooks.create(app, URL)
    await webhooks.create(app, URL, ["payment.closed"])
    clock.advance(60)
    assert await webhooks.redeliver(APP, "evt_000001") == 2
    found = await due(database, clock)
    assert [(delivery.endpoint_id, delivery.tries) for delivery in found] == [(old.id, 0), (young.id, 0)]
    rows = await made.fetch(database, "SELECT DISTINCT status, next_at, delivered_at FROM deliveries")
    assert rows == [{"status": "pending", "next_at": clock.now(), "delivered_at": None}]


async def test_redelivering_to_one_endpoint_ignores_its_types(
    database: Database, webhooks: Webhooks, app: App, clock: SimClock
) -> None:
    await webhooks.create(app, URL)
    chosen, _ = await webhooks.create(app, URL, ["payment.closed"])
    await made.store_events(database, [made.event(1, "pay_1")])
    await finish(database, "delivered")
    assert await webhooks.redeliver(APP, "evt_000001", chosen.id) == 1
    assert [delivery.endpoint_id for delivery in await due(database, clock)] == [chosen.id]


async def test_what_a_worker_has_in_hand_is_left_to_it(
    database: Database, webhooks: Webhooks, app: App, clock: SimClock
) -> None:
    await webhooks.create(app, URL)
    await made.store_events(database, [made.event(1, "pay_1")])
    leases = Leases(database)
    await leases.heartbeat("w", clock.now())
    assert len(await leases.claim_deliveries("w", clock.now(), 1, {}, 1)) == 1
    assert await webhooks.redeliver(APP, "evt_000001") == 1
    assert await made.fetch(database, "SELECT leased_by FROM deliveries") == [{"leased_by": "w"}]


async def test_what_cannot_be_redelivered_is_told(database: Database, webhooks: Webhooks, app: App) -> None:
    endpoint, _ = await webhooks.create(app, URL)
    await made.store_events(database, [made.event(1, "pay_1")])
    with pytest.raises(NotFound):
        await webhooks.redeliver(APP, "evt_000009")
    with pytest.raises(NotFound):
        await webhooks.redeliver("app_2", "evt_000001")
    with pytest.raises(NotFound):
        await webhooks.redeliver(APP, "evt_000001", "we_none")
    await webhooks.update(app, endpoint.id, enabled=False)
    with pytest.raises(TransitionRefused):
        await webhooks.redeliver(APP, "evt_000001", endpoint.id)
    assert await webhooks.redeliver(APP, "evt_000001") == 0
