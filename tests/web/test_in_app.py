"""A payment that is made for a wallet's own browser: what its checkout page shows there, and elsewhere."""

import json
import re
from html import unescape
from typing import Any

import pytest

from tests.scenarios.street import Street
from tests.web.buyer import DESK, Buyer
from tests.web.test_checkout import street
from tongbao.services.calls import buyer_address
from tongbao.web.bridges import BRIDGES

__all__ = ["street"]
ANDROID = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36"
WALLETS = {
    "wechat_jsapi": f"{ANDROID} MicroMessenger/8.0.49",
    "alipay_jsapi": f"{ANDROID} AliApp(AP/10.6.0) AlipayClient/10.6.0",
}
ELSEWHERE = {"a desk": DESK, "a phone": ANDROID, "another wallet": f"{ANDROID} UnionPay/1.0 CloudPay"}


async def order(street: Street, method: str, **more: Any) -> Any:
    if method == "wechat_jsapi":
        await street.open_account("wechatpay")
    channel, option = {"wechat_jsapi": ("wechatpay", "openid"), "alipay_jsapi": ("alipay", "buyer_id")}[method]
    who = street.told(channel)["buyers"][0]["openid" if option == "openid" else "user_id"]
    return await street.order(method=method, method_options={option: who}, **more)


def calls(html: str) -> list[Any]:
    """What the page's script is told to call."""
    return [json.loads(unescape(text)) for text in re.findall(r'<button[^>]* data-bridge="([^"]*)"', html)]


async def shown(street: Street, payment: Any, agent: str) -> str:
    return (await Buyer(street, agent).get(payment["checkout_url"])).body.decode()


def test_every_method_of_a_page_inside_a_wallet_has_its_test() -> None:
    assert BRIDGES.keys() == WALLETS.keys()


@pytest.mark.parametrize("method", WALLETS)
async def test_inside_its_wallet_there_is_one_button(street: Street, method: str) -> None:
    payment = await order(street, method)
    html = await shown(street, payment, WALLETS[method])
    (call,) = calls(html)
    bridge, params = BRIDGES[method], payment["next_action"]["params"]
    assert (call["object"], call["verb"], call["call"]) == (bridge.object, bridge.verb, bridge.call)
    assert call["params"] == {bridge.names.get(name, name): value for name, value in params.items()}
    assert html.count("<button") == 1
    assert 'name="method"' not in html, "nothing else can be opened there"
    await street.pay(payment) if method == "wechat_jsapi" else street.sandbox.alipay.pay(
        str(street.sandbox.alipay.recognise(params["trade_no"])), street.sandbox.buyer()
    )
    await street.notify()
    html = await shown(street, payment, WALLETS[method])
    assert "Paid" in html
    assert not calls(html)


@pytest.mark.parametrize("agent", ELSEWHERE.values(), ids=ELSEWHERE)
@pytest.mark.parametrize("method", WALLETS)
async def test_elsewhere_the_page_says_where_to_open_it(street: Street, method: str, agent: str) -> None:
    payment = await order(street, method)
    html = await shown(street, payment, agent)
    app = {"wechat_jsapi": "WeChat", "alipay_jsapi": "Alipay"}[method]
    assert f"Please open this page in {app}." in html
    assert not calls(html), "nobody but the wallet can be called"
    assert ("QR code of this page" in html) == (agent == DESK), "the phone that would scan it shows it"
    assert 'name="method"' in html, "another way is open"


async def test_what_the_wallet_is_called_with_is_the_wallet_s_own_spelling(street: Street) -> None:
    alipay = await order(street, "alipay_jsapi", order_no="O1")
    wechat = await order(street, "wechat_jsapi", order_no="O2")
    (call,) = calls(await shown(street, alipay, WALLETS["alipay_jsapi"]))
    assert call["params"].keys() == {"tradeNO"}
    (call,) = calls(await shown(street, wechat, WALLETS["wechat_jsapi"]))
    assert call["params"].keys() == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
    assert call["outcomes"]["get_brand_wcpay_request:ok"] == "paid"


async def test_an_app_s_own_payment_is_waited_for(street: Street) -> None:
    payment = await street.order(method="alipay_app")
    html = await shown(street, payment, WALLETS["alipay_jsapi"])
    assert 'class="processing"' in html
    assert not calls(html)


async def test_what_has_died_is_not_shown_and_announced_to_the_merchant(street: Street) -> None:
    """Two hours for a prepay id and a code; an H5 address has five minutes, after which its button begins anew."""
    payment = await order(street, "wechat_jsapi", expires_in=86_400)
    assert payment["next_action"]["expires_at"] == "2026-05-01T14:00:00Z"
    await Buyer(street, DESK).get(payment["checkout_url"])
    web = await street.order("O2", "wechat_h5", buyer={"ip": "203.0.113.7"})
    assert web["next_action"]["expires_at"] == "2026-05-01T12:05:00Z"
    street.clock.advance(minutes=6)
    html = await shown(street, web, ANDROID)
    assert 'class="redirect"' in html
    assert '<button class="button strong" name="method" value="wechat_h5">' in html
    reply = await Buyer(street, ANDROID).choose(web["checkout_url"], "wechat_h5")
    fresh = (await street.payment(web))["next_action"]
    assert reply.headers["location"] == fresh["url"] != web["next_action"]["url"]
    street.clock.advance(hours=2)
    html = await shown(street, payment, WALLETS["wechat_jsapi"])
    assert 'class="choose"' in html
    assert not calls(html)


async def test_the_address_that_wechat_is_told_is_the_browser_s(street: Street) -> None:
    """WeChat compares them. Here the browser is on this machine; then what the shop told is better."""
    await street.open_account("wechatpay")
    for order_no, buyer in (("O1", None), ("O2", {"ip": "203.0.113.7"})):
        payment = await street.order(order_no, None, buyer=buyer)
        assert (await Buyer(street, ANDROID).choose(payment["checkout_url"], "wechat_h5")).status == 303
    told = [json.loads(one.body) for one in street.net.sent if one.url.endswith("/v3/pay/transactions/h5")]
    assert [one["scene_info"]["payer_client_ip"] for one in told] == ["127.0.0.1", "203.0.113.7"]


async def test_only_a_channel_that_wants_to_know_the_site_is_told_it(street: Street) -> None:
    """WeChat's H5 page opens only for a browser that comes from the registered domain; the token stays here."""
    await street.open_account("wechatpay")
    payment = await street.order(method=None, buyer={"ip": "8.8.8.8"})
    buyer = Buyer(street, ANDROID)
    page = await buyer.get(payment["checkout_url"])
    assert page.headers["referrer-policy"] == "strict-origin"
    for method, policy in (("alipay_wap", "no-referrer"), ("wechat_h5", "strict-origin")):
        reply = await buyer.choose(payment["checkout_url"], method)
        assert (reply.status, reply.headers["referrer-policy"]) == (303, policy)
    assert (await Buyer(street, DESK).get(payment["checkout_url"])).headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("seen_at", "told", "sent"),
    [
        ("8.8.8.8", "203.0.113.7", "8.8.8.8"),
        ("2400:da00::6666", None, "2400:da00::6666"),
        ("10.0.0.9", "8.8.8.8", "8.8.8.8"),
        ("127.0.0.1", None, "127.0.0.1"),
        ("testclient", "8.8.8.8", "8.8.8.8"),
        (None, "8.8.8.8", "8.8.8.8"),
        (None, None, None),
    ],
)
def test_what_we_saw_counts_more_than_what_was_told(seen_at: str | None, told: str | None, sent: str | None) -> None:
    assert buyer_address(seen_at, told) == sent
