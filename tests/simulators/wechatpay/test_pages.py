"""The buyer's pages: H5 in a phone's browser, the cashier inside the app, the phone; no script, a strict policy."""

import json
import re
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.simulators.wechatpay.merchant import HOST, World
from tests.simulators.wechatpay.test_payments import jsapi, params
from tongbao.transport import Reply

BACK = "http://shop.test/back?order=1"
WEB: dict[str, Any] = {"scene_info": {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}}


async def web(world: World, *, back: bool = True, fault: str = "") -> str:
    body = world.merchant.order(**WEB)
    made = await world.merchant.call("POST", "/v3/pay/transactions/h5", body, fault=fault)
    assert made["h5_url"].startswith(f"http://{HOST}/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx")
    return str(made["h5_url"]) + (f"&redirect_url={quote(BACK, safe='')}" if back else "")


async def inside(world: World) -> str:
    return f"/wechatpay/jsapi?{urlencode({**params(world, await jsapi(world)), 'return_url': BACK})}"


def strict(reply: Reply) -> str:
    text = reply.body.decode()
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert " style=" not in text
    assert not re.search(r"<[^>]+ on\w+=", text)
    return text


async def state(world: World) -> Any:
    return (await world.merchant.query("ORDER001"))["trade_state"]


async def test_h5_is_paid_and_goes_back(world: World) -> None:
    url = await web(world)
    shown = strict(await world.browse("GET", url))
    assert "咖啡 latte" in shown
    assert "88.88" in shown
    assert "data-sandbox-form" in shown
    reply = await world.browse("POST", url, {"action": "pay"})
    assert (reply.status, reply.headers["location"], reply.headers["x-sandbox-outcome"]) == (303, BACK, "paid")
    assert await state(world) == "SUCCESS"
    assert "Paid" in strict(await world.browse("GET", url)), "looking again shows what came of it"
    again = await world.browse("POST", url, {"action": "pay"})
    assert (again.status, again.headers["x-sandbox-outcome"]) == (409, "ORDERPAID")


@pytest.mark.parametrize(("action", "status"), [("decline", 303), ("leave", 200)])
async def test_h5_is_not_paid(world: World, action: str, status: int) -> None:
    url = await web(world)
    reply = await world.browse("POST", url, {"action": action})
    assert reply.status == status
    assert await state(world) == "NOTPAY"


async def test_h5_refusals(world: World) -> None:
    url = await web(world)
    reply = await world.browse("GET", url, user_agent="Mozilla/5.0 MicroMessenger/8.0")
    assert (reply.status, "请在微信外打开订单" in reply.body.decode()) == (409, True)
    assert (await world.browse("POST", url, {"action": "pay"}, sec_fetch_site="cross-site")).status == 403
    short = await world.browse("POST", url, {"action": "pay", "buyer": "13900139000"})
    assert (short.status, short.headers["x-sandbox-outcome"]) == (409, "NOTENOUGH")
    world.clock.advance(300)
    dead = await world.browse("GET", url)
    assert (dead.status, dead.headers["x-sandbox-outcome"]) == (409, "PREPAY_ID_INVALID")
    assert (await world.browse("POST", url, {"action": "pay"})).status == 409
    assert await state(world) == "NOTPAY"


async def test_h5_without_an_address_and_with_a_bad_one(world: World) -> None:
    url = await web(world, back=False)
    bad = await world.browse("GET", f"{url}&redirect_url=javascript:alert(1)")
    assert '="javascript' not in strict(bad)
    reply = await world.browse("POST", url, {"action": "pay"})
    assert (reply.status, reply.headers["x-sandbox-outcome"]) == (200, "paid")
    url = await web_lost(world)
    reply = await world.browse("POST", url, {"action": "pay"})
    assert (reply.status, reply.headers["x-sandbox-outcome"]) == (200, "paid"), "paid, but never comes back"


async def web_lost(world: World) -> str:
    body = world.merchant.order("ORDER002", **WEB)
    made = await world.merchant.call("POST", "/v3/pay/transactions/h5", body, fault="return_lost")
    return f"{made['h5_url']}&redirect_url={quote(BACK, safe='')}"


async def test_inside_the_app(world: World) -> None:
    url = await inside(world)
    shown = strict(await world.browse("GET", url))
    assert "Han Meimei" in shown
    assert "Li Lei" not in shown, "only the buyer whom the order was made for"
    chinese = strict(await world.browse("GET", f"{url}&lang=zh"))
    assert "微信内支付" in chinese
    assert "韩梅梅" in chinese
    reply = await world.browse("POST", url, {"action": "decline"})
    assert reply.headers["location"] == f"{BACK}&err_msg=get_brand_wcpay_request%3Acancel"
    reply = await world.browse("POST", url, {"action": "pay"})
    assert (reply.status, reply.headers["location"]) == (303, f"{BACK}&err_msg=get_brand_wcpay_request%3Aok")
    assert await state(world) == "SUCCESS"


async def test_inside_the_app_a_wrong_signature_opens_nothing(world: World) -> None:
    url = await inside(world)
    for changed, code in ((url.replace("abc", "abd"), "SIGN_ERROR"), ("/wechatpay/jsapi", "PARAM_MISSING")):
        for method, form in (("GET", None), ("POST", {"action": "pay"})):
            reply = await world.browse(method, changed, form)
            assert (reply.status, reply.headers["x-sandbox-outcome"]) == (409, code)
    assert await state(world) == "NOTPAY"


async def test_the_phone_scans_native_codes(world: World) -> None:
    code = await world.merchant.native()
    page = await world.browse("GET", "/phone")
    assert "咖啡 latte" in page.body.decode()
    reply = await world.browse("POST", "/phone", {"content": code})
    assert reply.status == 303
    offer = await world.browse("GET", reply.headers["location"])
    assert 'class="mobile phone wechatpay"' in offer.body.decode()
    done = await world.browse("POST", reply.headers["location"], {"action": "pay"})
    assert done.headers["x-sandbox-outcome"] == "paid"
    assert await state(world) == "SUCCESS"
    gone = await world.browse("POST", "/phone", {"content": "weixin://wxpay/bizpayurl?pr=nothing"})
    assert gone.status == 404
    reply = await world.post("/_sandbox/scan", {"content": code})
    assert (reply.status, json.loads(reply.body)["error"]) == (409, "ORDERPAID")


async def test_the_panel_lists_it(world: World) -> None:
    await world.paid()
    home = (await world.browse("GET", "/")).body.decode()
    assert "ORDER001" in home
    assert "wechatpay" in home
    trades = json.loads((await world.browse("GET", "/_sandbox/trades")).body)["trades"]
    assert (trades[0]["channel"], trades[0]["product"], trades[0]["status"]) == ("wechatpay", "NATIVE", "SUCCESS")


@pytest.mark.parametrize("body", [{}, {"params": 1}, {"params": {}}, {"params": {"package": "x"}}])
async def test_the_api_refuses_nonsense(world: World, body: Any) -> None:
    assert (await world.post("/_sandbox/wechatpay/invoke", body)).status in (400, 409)
    assert (await world.post("/_sandbox/wechatpay/merchants", body)).status == 400


async def test_the_console_changes_a_merchant(world: World) -> None:
    path = "/_sandbox/wechatpay/merchants"
    assert (await world.post(path, {"mchid": "1"})).status == 404
    assert (await world.post(path, {"mchid": "1900000109", "trust": "faith"})).status == 400
    assert (await world.post(path, {"mchid": "1900000109", "trust": "public_key", "fee_rate": 0})).status == 200
    assert await world.merchant.refused("GET", "/v3/certificates", status=404) == "RESOURCE_NOT_EXISTS"
