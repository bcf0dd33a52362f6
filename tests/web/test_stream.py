"""Server-sent events: each change once, resumed where they were, one look for all pages, gone when the page is gone."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.street import GATEWAY, Net, Street
from tests.simulated import SimClock, SimIds
from tests.web.buyer import Buyer, stream, stream_of
from tongbao.bootstrap import build
from tongbao.config import read_settings
from tongbao.storage.database import Database
from tongbao.web import stream as stream_module
from tongbao.web.app import build_gateway


@pytest.fixture
async def street(database: Database, clock: SimClock, ids: SimIds, tmp_path: Path) -> AsyncIterator[Street]:
    net = Net()
    settings = read_settings({}, data_dir=str(tmp_path), base_url=f"http://{GATEWAY}")
    services = await build(settings, clock=clock, ids=ids, transport=net, database=database)
    made = await Street(services, database, clock, net).open()
    yield made
    await made.verify()
    made.sandbox.close()
    await services.close()


@pytest.fixture
def gateway(street: Street) -> Any:
    made = build_gateway(street.services)
    street.net.add(GATEWAY, made)
    return made


async def test_every_change_is_one_event_and_the_end_is_the_end(street: Street, gateway: Any) -> None:
    payment = await street.order(method=None)
    url = payment["checkout_url"]
    async with stream(gateway, stream_of(url)) as opened:
        assert (opened.status, opened.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert opened.headers["cache-control"] == "no-store"
        assert opened.headers["x-accel-buffering"] == "no"
        await opened.until("choose")
        assert opened.text.startswith("retry: 2000\n\n")
        await Buyer(street).choose(url, "alipay_qr")
        await opened.until("scan", 2)
        await street.pay(await street.payment(payment))
        await street.notify()
        await opened.until("succeeded", 0.5)
        await opened.end(0.5)
    assert opened.states == ["choose", "scan", "succeeded"]
    assert len({event["id"] for event in opened.events}) == 3


async def test_a_reader_that_comes_back_hears_only_what_it_does_not_show(street: Street, gateway: Any) -> None:
    payment = await street.order()
    url = stream_of(payment["checkout_url"])
    async with stream(gateway, url) as opened:
        await opened.until("scan")
    shows = opened.events[-1]["id"]
    async with stream(gateway, url, shows) as opened:
        await asyncio.sleep(0.1)
        assert opened.events == []
    await street.pay(payment)
    await street.notify()
    async with stream(gateway, url, shows) as opened:
        await opened.until("succeeded")
        await opened.end()
    async with stream(gateway, url, opened.events[-1]["id"]) as opened:
        await opened.end()
    assert (opened.status, opened.text) == (204, "")


async def test_with_every_notification_lost_the_channel_is_asked(street: Street, gateway: Any) -> None:
    payment = await street.order()
    street.fault("notification_lost", calls=None)
    async with stream(gateway, stream_of(payment["checkout_url"])) as opened:
        await opened.until("scan")
        await street.pay(payment)
        assert await street.notify() == 0
        await opened.until("succeeded", 2.5)


async def test_polling_asks_too(street: Street, gateway: Any) -> None:
    payment = await street.order()
    street.fault("notification_lost", calls=None)
    await street.pay(payment)
    buyer = Buyer(street)
    assert (await buyer.status(payment["checkout_url"]))["status"] == "pending"
    await asyncio.sleep(1.2)
    assert (await buyer.status(payment["checkout_url"]))["status"] == "succeeded"


async def test_a_page_without_a_script_asks_too(street: Street, gateway: Any) -> None:
    payment = await street.order()
    street.fault("notification_lost", calls=None)
    await street.pay(payment)
    buyer = Buyer(street)
    await buyer.get(payment["checkout_url"])
    await asyncio.sleep(0.5)
    assert b"Paid" in (await buyer.get(payment["checkout_url"])).body


async def test_many_pages_are_one_look_and_one_question(
    street: Street, gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await street.order()
    url = stream_of(payment["checkout_url"])
    looks: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    look, watch = type(street.services.reading).payment_by_id, type(street.services.asking).watch

    async def counted_look(self: Any, payment_id: str) -> Any:
        looks[payment_id] += 1
        return await look(self, payment_id)

    async def counted_watch(self: Any, app_id: str, payment_id: str) -> None:
        asked[payment_id] += 1
        await watch(self, app_id, payment_id)

    async with AsyncExitStack() as stack:
        pages = [await stack.enter_async_context(stream(gateway, url)) for _ in range(50)]
        monkeypatch.setattr(type(street.services.reading), "payment_by_id", counted_look)
        monkeypatch.setattr(type(street.services.asking), "watch", counted_watch)
        await asyncio.sleep(2.3)
        assert 1 <= looks[payment["id"]] <= 5, "one look a second, and one for what each answer of the channel changed"
        assert 1 <= asked[payment["id"]] <= 3
        await street.pay(payment)
        await street.notify()
        for page in pages:
            await page.until("succeeded", 1)
    assert street.services.pushes.open_pages == 0
    assert not street.services.background


async def test_who_leaves_is_forgotten(street: Street, gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "PING_SECONDS", 0.05)
    payment = await street.order()
    async with stream(gateway, stream_of(payment["checkout_url"])) as opened:
        await opened.until("scan")
        await asyncio.sleep(0.2)
        assert ": ping\n\n" in opened.text
        assert street.services.pushes.open_pages == 1
    await asyncio.sleep(0)
    assert street.services.pushes.open_pages == 0
    assert opened.ended


async def test_the_stream_is_opened_by_the_token_only(street: Street, gateway: Any) -> None:
    payment = await street.order()
    path = stream_of(payment["checkout_url"]).partition("?")[0].removeprefix(f"http://{GATEWAY}")
    status, problem = await street.call("GET", f"{path}?cs=0")
    assert (status, problem["code"]) == (404, "not_found")
    token = payment["checkout_url"].partition("?")[2]
    status, problem = await street.call("POST", f"{path}?{token}", {})
    assert (status, problem["code"]) == (405, "method_not_allowed")
