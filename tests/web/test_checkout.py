"""The checkout page as a buyer without a script sees it: its states, its forms, its headers, its size."""

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.street import GATEWAY, Net, Street
from tests.simulated import SimClock, SimIds
from tests.web.buyer import Buyer, beside
from tongbao.bootstrap import build
from tongbao.config import read_settings
from tongbao.domain.errors import ChannelUnavailable, StorageUnavailable
from tongbao.domain.report import Accepted, NextAction, NextActionKind
from tongbao.storage.database import Database
from tongbao.web.texts import TEXTS, language

PAGE_BYTES_MAX = 60_000


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
def buyer(street: Street) -> Buyer:
    return Buyer(street)


async def test_the_page_says_who_what_and_how_much(street: Street, buyer: Buyer) -> None:
    payment = await street.order(method=None, amount=1_234_567, subject='<b>"Tea" & 茶</b>')
    reply = await buyer.get(payment["checkout_url"])
    html = reply.body.decode()
    for words in ("shop", "12,345.67", "CNY", "O1", "&lt;b&gt;&#34;Tea&#34; &amp; 茶&lt;/b&gt;", "30:00"):
        assert words in html, words
    assert "<b>&#34;" not in html
    assert 'lang="en"' in html
    page = await buyer.page(payment["checkout_url"])
    assert page.values("method") == ["alipay_page", "alipay_qr"]


async def test_a_wrong_token_is_no_page(street: Street, buyer: Buyer) -> None:
    first, second = await street.order("O1", None), await street.order("O2", None)
    stolen = first["checkout_url"].partition("cs=")[2]
    address = second["checkout_url"].partition("?")[0]
    for url in (address, f"{address}?cs=", f"{address}?cs={stolen}", f"{address}?cs=é", f"{address}x?cs={stolen}"):
        for place in ("", "status", "qr.svg", "post"):
            reply = await buyer.get(beside(f"{url}{'' if '?' in url else '?'}", place) if place else url)
            assert reply.status == 404, (url, place)
            assert b"O2" not in reply.body
        assert (await buyer.choose(url, "alipay_qr")).status == 404


async def test_choosing_a_redirect_goes_to_the_channel(street: Street, buyer: Buyer) -> None:
    payment = await street.order(method=None)
    reply = await buyer.choose(payment["checkout_url"], "alipay_page", sec_fetch_site="same-origin")
    assert reply.status == 303
    assert reply.headers["location"].startswith("http://sandbox.test/alipay/gateway.do?")
    again = await buyer.choose(payment["checkout_url"], "alipay_page")
    assert again.headers["location"] == reply.headers["location"], "pressing twice is one attempt"
    page = await buyer.get(payment["checkout_url"])
    html = page.body.decode()
    assert "Open Alipay again" in html
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in html
    assert (await street.payment(payment))["latest_attempt"]["method"] == "alipay_page"


async def test_choosing_a_code_shows_it_here(street: Street, buyer: Buyer) -> None:
    payment = await street.order(method=None)
    reply = await buyer.choose(f"{payment['checkout_url']}&lang=zh", "alipay_qr")
    assert (reply.status, reply.headers["location"].partition("?")[0]) == (303, f"/checkout/{payment['id']}")
    assert "lang=zh" in reply.headers["location"]
    reply = await buyer.get(reply.headers["location"])
    html = reply.body.decode()
    page = await buyer.page(payment["checkout_url"])
    content = (await street.payment(payment))["next_action"]["content"]
    assert page.qr == content
    assert re.search(r'<svg [^>]*class="qr"', html)
    assert "扫码付款" in html
    assert page.values("method") == ["alipay_page", "alipay_qr"], "another way stays open"
    image = await buyer.get((await street.payment(payment))["next_action"]["image_svg_url"])
    assert image.headers["content-type"].startswith("image/svg+xml")
    assert b'xmlns="http://www.w3.org/2000/svg"' in image.body


async def test_paid(street: Street, buyer: Buyer) -> None:
    payment = await street.order(return_url="http://shop.test/back?a=1&b=2")
    assert (await buyer.status(payment["checkout_url"]))["state"] == "scan"
    await street.pay(payment)
    await street.notify()
    html = (await buyer.get(payment["checkout_url"])).body.decode()
    assert '<h1 tabindex="-1">Paid</h1>' in html
    assert 'href="http://shop.test/back?a=1&amp;b=2"' in html
    assert "http-equiv" not in html
    assert 'data-final="yes"' in html
    assert (await buyer.get(payment["next_action"]["image_svg_url"])).status == 404, "nothing to scan any more"
    reply = await buyer.choose(payment["checkout_url"], "alipay_qr")
    assert reply.status in (303, 422)
    assert len(await street.rows("SELECT * FROM attempts")) == 1


async def test_expired_and_canceled(street: Street, buyer: Buyer) -> None:
    first, second = await street.order("O1", None), await street.order("O2", None, expires_in=60)
    await street.call("POST", f"/v1/payments/{first['id']}/cancel", {})
    html = (await buyer.get(first["checkout_url"])).body.decode()
    assert "Canceled" in html
    assert 'name="method"' not in html
    street.clock.advance(61)
    shown = await buyer.status(second["checkout_url"])
    assert (shown["status"], shown["state"], shown["final"]) == ("pending", "expired", False)
    html = (await buyer.get(second["checkout_url"])).body.decode()
    assert "Time is over" in html
    assert 'name="method"' not in html
    await street.services.asking.expire(street.app.id, second["id"])
    assert 'data-final="yes"' in (await buyer.get(second["checkout_url"])).body.decode()


async def test_no_code_is_payable_once_the_time_is_over(street: Street, buyer: Buyer) -> None:
    payment = await street.order(expires_in=60)
    street.clock.advance(61)
    assert (await buyer.page(payment["checkout_url"])).qr == ""
    assert (await buyer.get(payment["next_action"]["image_svg_url"])).status == 404


async def test_a_cancel_that_cannot_be_proven_offers_nothing(street: Street, buyer: Buyer) -> None:
    payment = await street.order()
    status, _ = await street.call("POST", f"/v1/payments/{payment['id']}/cancel", {})
    assert status == 202
    page = await buyer.page(payment["checkout_url"])
    assert (page.qr, page.values("method")) == ("", [])
    assert (await buyer.status(payment["checkout_url"]))["state"] == "canceling"
    assert (await buyer.choose(payment["checkout_url"], "alipay_page")).status == 303


async def test_a_failed_attempt_says_why_and_offers_another_way(street: Street, buyer: Buyer) -> None:
    payment = await street.order(method=None)
    street.net.cut = "refused"
    reply = await buyer.choose(payment["checkout_url"], "alipay_qr")
    assert reply.status == 303
    reply = await buyer.get(reply.headers["location"])
    html = reply.body.decode()
    assert "That did not work" in html
    assert f"<code>{ChannelUnavailable.code}</code>" in html
    assert "connection refused" not in html, "what our network looks like is no business of the buyer's"
    street.net.cut = ""
    assert (await buyer.choose(payment["checkout_url"], "alipay_qr")).status == 303
    assert (await buyer.page(payment["checkout_url"])).qr


async def test_another_site_may_not_choose(street: Street, buyer: Buyer) -> None:
    payment = await street.order(method=None)
    for site in ("cross-site", "same-site"):
        reply = await buyer.choose(payment["checkout_url"], "alipay_qr", sec_fetch_site=site)
        assert reply.status == 403
    reply = await buyer.choose(payment["checkout_url"], "cowrie")
    assert reply.status == 422
    assert b"not open any more" in reply.body
    reply = await buyer.choose(payment["checkout_url"], "x" * 10_000)
    assert reply.status == 413
    assert await street.rows("SELECT * FROM attempts") == []


async def test_the_wrong_app_is_told_so(street: Street, buyer: Buyer) -> None:
    payment = await street.order(method=None)
    wechat = Buyer(street, "Mozilla/5.0 (Linux; Android 14) Mobile Safari/537.36 MicroMessenger/8.0", "zh-CN")
    html = (await wechat.get(payment["checkout_url"])).body.decode()
    assert "您正在微信中打开本页" in html
    assert 'value="alipay_wap"' in html


async def test_headers_keep_everything_in(street: Street, buyer: Buyer) -> None:
    payment = await street.order(method=None)
    reply = await buyer.get(payment["checkout_url"])
    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"\son\w+=|\sstyle=|<script>|<style", reply.body.decode()), "nothing inline"


async def test_the_whole_page_is_small_and_ours(street: Street, buyer: Buyer) -> None:
    payment = await street.order()
    reply = await buyer.get(payment["checkout_url"])
    html = reply.body.decode()
    found = re.findall(r'(?:src|href)="(/static/[^"]+)"', html)
    assert len(set(found)) == 3
    assert not re.search(r'(?:src|<link[^>]* href)="(?!/static/)', html), "no asset from elsewhere"
    files = [await buyer.get(url) for url in sorted(set(found))]
    assert all(file.status == 200 and "immutable" in file.headers["cache-control"] for file in files)
    size = len(reply.body) + sum(len(file.body) for file in files)
    packed = len(gzip.compress(reply.body)) + sum(len(gzip.compress(file.body)) for file in files)
    assert size < PAGE_BYTES_MAX, f"{size} bytes, {packed} packed"


async def test_a_form_that_the_channel_wants_posted(
    street: Street, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As UnionPay does: our page posts it by its one line of script, named by its hash, or by its button."""
    action = NextAction(
        NextActionKind.REDIRECT, form_action="https://pay.test/front?a=1", form_fields={"sign": 'a"b<c>', "n": "1"}
    )
    opened = await street.services.accounts.choose(street.app.id, "alipay_page", _money())

    async def create(_: Any) -> Accepted:
        return Accepted(next_action=action)

    monkeypatch.setattr(opened.channel, "create", create, raising=False)
    payment = await street.order(method=None)
    reply = await buyer.choose(payment["checkout_url"], "alipay_page")
    assert reply.headers["location"].startswith(f"http://{GATEWAY}/checkout/{payment['id']}/post?cs=")
    reply = await buyer.get(reply.headers["location"])
    page = await buyer.page(beside(payment["checkout_url"], "post"))
    (form,) = page.forms
    assert (form.action, form.method, form.fields) == (
        "https://pay.test/front?a=1",
        "POST",
        {"sign": 'a"b<c>', "n": "1"},
    )
    assert page.posts_itself
    assert "script-src 'sha256-" in reply.headers["content-security-policy"]


def _money() -> Any:
    from tongbao.domain.money import CNY, Money

    return Money(9999, CNY)


async def test_while_the_database_is_away(street: Street, buyer: Buyer, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = await street.order(method=None)

    async def away(_: str) -> Any:
        raise StorageUnavailable

    monkeypatch.setattr(type(street.services.reading), "payment_by_id", lambda _, payment_id: away(payment_id))
    reply = await buyer.get(payment["checkout_url"])
    assert (reply.status, reply.headers["retry-after"]) == (503, "2")
    assert b'http-equiv="refresh"' in reply.body


@pytest.mark.parametrize(
    ("wanted", "accepted", "expected"),
    [
        ("", "", "en"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("", "fr-FR, en;q=0.5, zh;q=0.7", "zh"),
        ("", "de", "en"),
        ("", "zh;q=0, en", "en"),
        ("", "zh;q=x", "en"),
        ("en", "zh-CN", "en"),
        ("zh-TW", "en", "zh"),
        ("xx", "zh", "zh"),
    ],
)
def test_the_reader_s_language(wanted: str, accepted: str, expected: str) -> None:
    assert language(wanted, accepted) == expected


def test_every_text_has_both_languages_and_the_same_places() -> None:
    for key, (english, chinese) in TEXTS.items():
        assert english, key
        assert chinese, key
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", chinese)), key
