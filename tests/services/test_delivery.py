"""Deliveries from the stored event to the merchant's server and back into the row, in virtual time.

The judge of our signatures is other people's verifier (the `standardwebhooks` package), with its clock set to ours.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests import made
from tests.made import APP
from tests.receiver import Receiver, receiver
from tests.simulated import START, SimClock, SimIds
from tests.test_workers import Recorder, running
from tongbao.domain.account import App
from tongbao.domain.endpoint import DeliveryStatus
from tongbao.domain.event import EventType
from tongbao.domain.webhook import GAPS_SECONDS, TRIES_MAX
from tongbao.ports import DueDelivery
from tongbao.services.delivery import Delivery
from tongbao.services.metrics import Metrics
from tongbao.services.pushes import Pushes
from tongbao.services.vault import Vault
from tongbao.services.webhooks import Webhooks
from tongbao.storage.database import Database
from tongbao.storage.deliveries import Deliveries
from tongbao.storage.events import Events
from tongbao.storage.group_commit import GroupCommit
from tongbao.storage.leases import Leases
from tongbao.storage.webhooks import Webhooks as WebhookStore
from tongbao.system import SystemIds
from tongbao.webhook_sender import WebhookSender
from tongbao.workers import Workers

LOOPBACK = ["127.0.0.0/8"]


@dataclass
class House:
    """As much of the house as deliveries need, on a real database."""

    app: App
    clock: SimClock
    ids: SimIds
    leases: Leases
    delivery: Delivery
    webhooks: Webhooks
    asking: Recorder
    refunds: Recorder
    pushes: Pushes
    metrics: Metrics


@pytest.fixture
async def house(database: Database, clock: SimClock, ids: SimIds) -> AsyncIterator[House]:
    app = await made.store_app(database)
    vault, pushes, metrics = Vault([bytes(32)], SystemIds()), Pushes(), Metrics()
    async with WebhookSender(allowed_networks=LOOPBACK, timeout_seconds=5) as sender:
        yield House(
            app=app,
            clock=clock,
            ids=ids,
            leases=Leases(database),
            delivery=Delivery(Deliveries(database), GroupCommit, sender, vault, clock, ids, metrics),
            webhooks=Webhooks(WebhookStore(database), Events(database), vault, clock, ids, pushes, LOOPBACK),
            asking=Recorder(),
            refunds=Recorder(),
            pushes=pushes,
            metrics=metrics,
        )


@pytest.fixture
async def merchant() -> AsyncIterator[Receiver]:
    async with receiver() as made_receiver:
        yield made_receiver


@pytest.fixture
def foreign_clock(clock: SimClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets the verifier's clock to ours; it refuses timestamps that are more than five minutes off."""

    class Now(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return clock.now()

    monkeypatch.setattr("standardwebhooks.webhooks.datetime", Now)


async def row(database: Database, sequence: int = 1) -> dict[str, Any]:
    (found,) = await made.fetch(database, "SELECT * FROM deliveries WHERE sequence = $1", sequence)
    return found


# --- what arrives


async def test_a_delivery_arrives_signed_and_is_written_down(
    database: Database, house: House, merchant: Receiver, foreign_clock: None
) -> None:
    _, secret = await house.webhooks.create(house.app, merchant.url)
    event = made.event(1, "pay_1")
    await made.store_events(database, [event])
    assert await Workers(house, "w").deliver_once() == 1
    (arrived,) = merchant.arrived
    assert arrived.headers["webhook-id"] == event.id
    assert arrived.headers["content-type"] == "application/json"
    told = Webhook(secret).verify(arrived.body, arrived.headers)
    assert told == {
        "type": "payment.created",
        "timestamp": "2026-05-01T12:00:00Z",
        "sequence": 1,
        "data": json.loads(event.data),
    }
    assert arrived.body.endswith(b',"data":' + event.data.encode() + b"}"), "the stored text, byte for byte"
    found = await row(database)
    assert (found["status"], found["tries"], found["next_at"]) == ("delivered", 1, None)
    assert (found["last_status"], found["last_error"], found["leased_by"]) == (200, None, None)
    assert found["delivered_at"] == house.clock.now()


@pytest.mark.parametrize(("chance", "factor"), [(b"\x00\x00", 0.9), (b"\x00\x64", 1.0), (b"\x00\xc8", 1.1)])
async def test_the_whole_schedule_in_virtual_time(
    database: Database, house: House, merchant: Receiver, foreign_clock: None, chance: bytes, factor: float
) -> None:
    merchant.status, house.ids.chance = 500, chance
    _, secret = await house.webhooks.create(house.app, merchant.url)
    await made.store_events(database, [made.event(1, "pay_1")])
    workers = Workers(house, "w")
    before = START
    for tries, gap in enumerate(GAPS_SECONDS, 1):
        due = (await row(database))["next_at"]
        assert (due - before).total_seconds() == pytest.approx(gap * factor)
        if gap:
            house.clock.advance((due - house.clock.now()).total_seconds() - 0.001)
            assert await workers.deliver_once() == 0, "not a moment earlier"
            house.clock.advance(0.001)
        assert await workers.deliver_once() == 1
        before = house.clock.now()
        assert (await row(database))["tries"] == tries
        Webhook(secret).verify(merchant.arrived[-1].body, merchant.arrived[-1].headers)
    assert len({(arrived.body, arrived.headers["webhook-id"]) for arrived in merchant.arrived}) == 1
    assert len(merchant.arrived) == TRIES_MAX
    found = await row(database)
    assert (found["status"], found["next_at"], found["last_status"]) == ("dead", None, 500)
    house.clock.advance(days=30)
    assert await workers.deliver_once() == 0
    assert 'tongbao_webhook_deliveries_total{outcome="exhausted"} 1.0' in house.metrics.text().decode()


async def test_retry_after_is_honoured(database: Database, house: House, merchant: Receiver) -> None:
    merchant.status, merchant.headers = 429, {"Retry-After": "120"}
    await house.webhooks.create(house.app, merchant.url)
    await made.store_events(database, [made.event(1, "pay_1")])
    await Workers(house, "w").deliver_once()
    assert (await row(database))["next_at"] == START + timedelta(seconds=120)


async def test_nobody_there_is_told_by_name(database: Database, house: House) -> None:
    async with receiver() as gone:
        await house.webhooks.create(house.app, gone.url)
    await made.store_events(database, [made.event(1, "pay_1")])
    await Workers(house, "w").deliver_once()
    found = await row(database)
    assert (found["status"], found["last_status"], found["last_error"]) == ("pending", None, "connect_failed")


# --- rotation


async def test_during_rotation_both_secrets_verify(
    database: Database, house: House, merchant: Receiver, foreign_clock: None
) -> None:
    endpoint, old = await house.webhooks.create(house.app, merchant.url)
    rotated, new = await house.webhooks.rotate_secret(APP, endpoint.id)
    assert rotated.previous_until == START + timedelta(hours=24)
    workers = Workers(house, "w")
    await made.store_events(database, [made.event(1, "pay_1")])
    await workers.deliver_once()
    (during,) = merchant.arrived
    assert len(during.headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        Webhook(secret).verify(during.body, during.headers)
    house.clock.advance(hours=24)
    await made.store_events(database, [made.event(2, "pay_2", created_at=house.clock.now())])
    await workers.deliver_once()
    _, after = merchant.arrived
    Webhook(new).verify(after.body, after.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(after.body, after.headers)


# --- endpoints that end


async def test_410_disables_the_endpoint_and_cancels_what_is_pending(
    database: Database, house: House, merchant: Receiver
) -> None:
    merchant.status = 410
    endpoint, _ = await house.webhooks.create(house.app, merchant.url)
    await made.store_events(database, [made.event(1, "pay_1"), made.event(2, "pay_1", 2)])
    workers = Workers(house, "w")
    assert await workers.deliver_once() == 1
    now_disabled = await house.webhooks.read(APP, endpoint.id)
    assert (now_disabled.enabled, now_disabled.disabled_why) == (False, "gone")
    first, second = await row(database, 1), await row(database, 2)
    assert (first["status"], first["last_status"], second["status"]) == ("canceled", 410, "canceled")
    assert await made.store_events(database, [made.event(3, "pay_1", 3)]) == 0
    assert await workers.deliver_once() == 0
    assert len(merchant.arrived) == 1


async def test_what_was_claimed_before_its_endpoint_was_disabled_is_not_sent(
    database: Database, house: House, merchant: Receiver
) -> None:
    endpoint, _ = await house.webhooks.create(house.app, merchant.url)
    await made.store_events(database, [made.event(1, "pay_1")])
    async with database.connection() as connection:
        await connection.execute("UPDATE webhook_endpoints SET enabled = false WHERE id = $1", endpoint.id)
    assert await Workers(house, "w").deliver_once() == 1
    assert merchant.arrived == []
    found = await row(database)
    assert (found["status"], found["tries"], found["last_error"]) == ("canceled", 0, "endpoint_disabled")


# --- order


async def test_later_events_wait_and_pass_after_five_tries(
    database: Database, house: House, merchant: Receiver
) -> None:
    merchant.status = 500
    await house.webhooks.create(house.app, merchant.url)
    await made.store_events(database, [made.event(1, "pay_1"), made.event(2, "pay_1", 2)])
    workers = Workers(house, "w")
    for _ in range(5):
        assert await workers.deliver_once() == 1
        first, second = await row(database, 1), await row(database, 2)
        house.clock.advance((first["next_at"] - house.clock.now()).total_seconds())
        if first["tries"] < 5:
            assert second["next_at"] == first["next_at"], "held back, out of the way of other claims"
    assert (first["tries"], second["tries"]) == (5, 0)
    merchant.status = 200
    assert await workers.deliver_once() == 2
    assert {(await row(database, n))["status"] for n in (1, 2)} == {"delivered"}
    sequences = [json.loads(arrived.body)["sequence"] for arrived in merchant.arrived]
    assert sequences[:5] == [1] * 5
    assert sorted(sequences[5:]) == [1, 2]


# --- leases


async def claimed(house: House, worker: str) -> DueDelivery:
    await house.leases.heartbeat(worker, house.clock.now())
    (due,) = await house.leases.claim_deliveries(worker, house.clock.now(), 1, {}, 1)
    return due


async def test_a_result_counts_only_under_its_lease(database: Database, house: House, merchant: Receiver) -> None:
    merchant.status = 500
    await house.webhooks.create(house.app, merchant.url)
    await made.store_events(database, [made.event(1, "pay_1")])
    slow = await claimed(house, "slow")
    house.clock.advance(8)
    other = await claimed(house, "other")
    merchant.status = 200
    assert await house.delivery.deliver(other) is DeliveryStatus.DELIVERED
    merchant.status = 500
    await house.delivery.deliver(slow)
    found = await row(database)
    assert (found["status"], found["tries"], found["last_status"]) == ("delivered", 1, 200)


async def test_many_results_are_written_in_a_few_transactions(
    database: Database, house: House, merchant: Receiver
) -> None:
    await house.webhooks.create(house.app, merchant.url)
    await made.store_events(database, [made.event(n, f"pay_{n}") for n in range(16)])
    before = database.transactions
    assert await Workers(house, "w").deliver_once() == 16
    assert database.transactions - before <= 8
    assert len(merchant.arrived) == 16


# --- bulkhead


async def test_a_dead_endpoint_does_not_hold_up_the_others(database: Database, house: House) -> None:
    async with receiver(hangs=True) as dead, receiver() as alive:
        dead_endpoint, _ = await house.webhooks.create(house.app, dead.url)
        alive_endpoint, _ = await house.webhooks.create(house.app, alive.url, ["payment.created"])
        await made.store_events(database, [made.event(n, f"pay_{n}") for n in range(100)])
        async with running(Workers(house, "w")):
            await alive.received(100)
            assert len(dead.arrived) == 16
            dead.open.set()
        done = await made.fetch(
            database,
            "SELECT count(*) AS n FROM deliveries WHERE endpoint_id = $1 AND status = 'delivered'",
            alive_endpoint.id,
        )
        assert done == [{"n": 100}]
        assert dead_endpoint.id != alive_endpoint.id


async def test_a_live_app_s_deliveries_go_over_https_only(database: Database, house: House) -> None:
    """Judged again at each try: the address was allowed when it was given, in test mode."""
    async with receiver() as plain:
        await house.webhooks.create(house.app, plain.url)
        await made.store_events(database, [made.event(1, "pay_1", type=EventType.PAYMENT_CLOSED)])
        due = await claimed(house, "w")
        assert due.target is not None
        await house.delivery.deliver(replace(due, target=replace(due.target, livemode=True)))
        assert plain.arrived == []
    assert (await row(database))["last_error"] == "refused_scheme"
