"""An order from its making to its end: every way to pay, again and too late, combined, at the counter, for others."""

import json
import re
from typing import Any

import pytest

from tests.simulators.wechatpay.merchant import NOTIFY_URL, World
from tongbao.simulators.channel import PaymentRefused

BASE = "/v3/pay/transactions"
NATIVE = f"{BASE}/native"
BY_NUMBER = f"{BASE}/out-trade-no/ORDER001"


async def test_a_native_code_is_scanned_and_paid(world: World) -> None:
    code = await world.merchant.native(attach="x=1")
    assert re.fullmatch(r"weixin://wxpay/bizpayurl\?pr=\w{9}", code)
    waiting = await world.merchant.query("ORDER001")
    assert waiting == {
        "appid": world.merchant.appid,
        "mchid": "1900000109",
        "out_trade_no": "ORDER001",
        "trade_state": "NOTPAY",
        "trade_state_desc": "订单未支付",
    }
    offer = world.wechat.scan(world.token(code), world.sandbox.buyer())
    assert (offer.state, offer.amount, offer.payee) == ("open", "88.88", "通宝沙箱商户")
    world.pay(code)
    paid = await world.merchant.query("ORDER001")
    assert re.fullmatch(r"42000\d{5}20260501\d{10}", paid.pop("transaction_id"))
    assert paid == {
        "amount": {"currency": "CNY", "payer_currency": "CNY", "payer_total": 8888, "total": 8888},
        "appid": world.merchant.appid,
        "attach": "x=1",
        "bank_type": "OTHERS",
        "mchid": "1900000109",
        "out_trade_no": "ORDER001",
        "payer": {"openid": world.openid()},
        "promotion_detail": [],
        "success_time": "2026-05-01T20:00:00+08:00",
        "trade_state": "SUCCESS",
        "trade_state_desc": "支付成功",
        "trade_type": "NATIVE",
    }
    number = (await world.merchant.query("ORDER001"))["transaction_id"]
    assert await world.merchant.call("GET", f"{BASE}/id/{number}?mchid=1900000109")
    assert (
        await world.merchant.refused("GET", f"{BASE}/id/4200000000?mchid=1900000109", status=404) == "ORDER_NOT_EXIST"
    )


async def test_the_money_moves_and_none_is_made(world: World) -> None:
    bank, buyer = world.sandbox.bank, world.sandbox.buyer()
    wallet, had = bank.wallet("1900000109").balance_minor, buyer.balance_minor
    bank.wallet("wechatpay_fees")
    total = bank.total_minor()
    await world.paid()
    assert buyer.balance_minor == had - 8888
    assert bank.wallet("1900000109").balance_minor == wallet + 8888 - 53, "less 0.60 %"
    assert bank.total_minor() == total


async def test_the_same_number_again(world: World) -> None:
    first = await world.merchant.native()
    second = await world.merchant.native()
    assert first != second
    with pytest.raises(PaymentRefused, match="CODE_EXPIRED"):
        world.sandbox.find(first)
    for change in ({"amount": {"total": 1}}, {"attach": "y"}, {"description": "other"}):
        body = world.merchant.order(**change)
        found = await world.merchant.call("POST", NATIVE, body, status=400)
        assert found == {"code": "INVALID_REQUEST", "message": "请求重入时，参数与首次请求时不一致"}
    other = {**world.merchant.order(), "payer": {"openid": world.openid()}}
    assert await world.merchant.refused("POST", f"{BASE}/jsapi", other) == "INVALID_REQUEST", "another trade type"
    changed = world.merchant.order(attach="z")
    code = await world.merchant.refused("POST", NATIVE, changed, status=403, fault="number_used")
    assert code == "OUT_TRADE_NO_USED"
    world.pay(second)
    found = await world.merchant.call("POST", NATIVE, world.merchant.order(), status=400)
    assert found["message"] == "该订单已支付"
    with pytest.raises(PaymentRefused, match="ORDERPAID"):
        world.pay(second)


async def test_a_handle_lives_two_hours_and_the_order_longer(world: World) -> None:
    code = await world.merchant.native()
    world.clock.advance(hours=2)
    with pytest.raises(PaymentRefused, match="CODE_EXPIRED"):
        world.sandbox.find(code)
    assert (await world.merchant.query("ORDER001"))["trade_state"] == "NOTPAY"
    world.pay(await world.merchant.native())
    assert (await world.merchant.query("ORDER001"))["trade_state"] == "SUCCESS"


@pytest.mark.parametrize(
    ("expire", "seconds"),
    [
        (None, 7 * 86_400),
        ("2026-05-01T20:30:00+08:00", 1800),
        ("2026-05-01T12:30:00Z", 1800),
        ("2026-05-01T12:30:00.5Z", 1800.5),
        ("2026-05-01T20:00:10+08:00", 60),
        ("2020-01-01T00:00:00+08:00", 60),
        ("2030-01-01T00:00:00+08:00", 15 * 86_400),
    ],
)
async def test_the_deadline(world: World, expire: str | None, seconds: float) -> None:
    more: dict[str, Any] = {} if expire is None else {"time_expire": expire}
    await world.merchant.native(**more)
    world.clock.advance(seconds - 0.25)
    assert (await world.merchant.query("ORDER001"))["trade_state"] == "NOTPAY"
    world.clock.advance(0.25)
    assert (await world.merchant.query("ORDER001"))["trade_state"] == "CLOSED"
    body = world.merchant.order(**more)
    assert await world.merchant.refused("POST", NATIVE, body) == "ORDER_CLOSED"
    await world.wait(0)
    assert not world.shop.received, "nobody is told of a closing"


async def test_closing(world: World) -> None:
    code = await world.merchant.native()
    for _ in range(2):
        await world.merchant.call("POST", f"{BY_NUMBER}/close", {"mchid": "1900000109"}, status=204)
    assert (await world.merchant.query("ORDER001"))["trade_state"] == "CLOSED"
    with pytest.raises(PaymentRefused, match="ORDERCLOSED"):
        world.pay(code)
    missing = await world.merchant.call("POST", f"{BY_NUMBER}/close", {}, status=400)
    assert missing["detail"] == {"location": "uri_template", "value": ""}
    assert "/uri_template/mchid" in missing["message"]
    await world.paid("ORDER002")
    path = f"{BASE}/out-trade-no/ORDER002/close"
    assert await world.merchant.refused("POST", path, {"mchid": "1900000109"}) == "ORDER_PAID"


async def test_a_number_that_is_closed_before_its_use_is_burnt(world: World) -> None:
    await world.merchant.call("POST", f"{BY_NUMBER}/close", {"mchid": "1900000109"}, status=204)
    assert await world.merchant.refused("GET", f"{BY_NUMBER}?mchid=1900000109", status=404) == "ORDER_NOT_EXIST"
    assert await world.merchant.refused("POST", NATIVE, world.merchant.order()) == "ORDER_CLOSED"


async def test_a_query_names_its_merchant(world: World) -> None:
    await world.paid()
    found = await world.merchant.call("GET", BY_NUMBER, status=400)
    assert (found["code"], found["detail"]["location"]) == ("PARAM_ERROR", "query")
    other = world.other("provider")
    assert await other.refused("GET", f"{BY_NUMBER}?mchid={other.mchid}", status=404) == "ORDER_NOT_EXIST"


async def test_buyers_who_cannot_or_will_not(world: World) -> None:
    code = await world.merchant.native()
    with pytest.raises(PaymentRefused, match="NOTENOUGH"):
        world.pay(code, "13900139000")
    world.wechat.decline(world.token(code), world.sandbox.buyer())
    assert (await world.merchant.query("ORDER001"))["trade_state"] == "NOTPAY"
    await world.wait(0)
    assert not world.shop.received


# --- inside the app


def params(world: World, prepay_id: str, **changes: Any) -> dict[str, Any]:
    made = {
        "appId": world.merchant.appid,
        "timeStamp": "1777636800",
        "nonceStr": "abc",
        "package": f"prepay_id={prepay_id}",
    }
    signed = world.merchant.sign("".join(f"{made[name]}\n" for name in made).encode())
    return {**made, "signType": "RSA", "paySign": signed, **changes}


async def jsapi(world: World, number: str = "ORDER001") -> str:
    body = {**world.merchant.order(number), "payer": {"openid": world.openid(1)}}
    return str((await world.merchant.call("POST", f"{BASE}/jsapi", body))["prepay_id"])


async def test_jsapi(world: World) -> None:
    prepay = await jsapi(world)
    assert re.fullmatch(r"wx20260501200000[0-9a-f]{20}", prepay)
    token = world.token(json.dumps(params(world, prepay)))
    with pytest.raises(PaymentRefused, match="OPENID_MISMATCH"):
        world.wechat.pay(token, world.sandbox.buyer())
    reply = await world.post("/_sandbox/wechatpay/invoke", {"params": params(world, prepay)})
    assert json.loads(reply.body)["err_msg"] == "get_brand_wcpay_request:ok"
    paid = await world.merchant.query("ORDER001")
    assert (paid["trade_type"], paid["payer"]["openid"]) == ("JSAPI", world.openid(1))
    mini = {name: value for name, value in params(world, await jsapi(world, "ORDER002")).items() if name != "appId"}
    reply = await world.post("/_sandbox/wechatpay/invoke", {"params": mini, "action": "decline"})
    assert json.loads(reply.body)["err_msg"] == "get_brand_wcpay_request:cancel"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"paySign": "AAAA"}, "SIGN_ERROR"),
        ({"nonceStr": "other"}, "SIGN_ERROR"),
        ({"timeStamp": 1777636800}, "PARAM_MISSING"),
        ({"nonceStr": ""}, "PARAM_MISSING"),
        ({"signType": "MD5"}, "PARAM_ERROR"),
        ({"package": "prepay_id=wx0"}, "PREPAY_ID_INVALID"),
        ({"appId": "wx1"}, "APPID_MISMATCH"),
    ],
)
async def test_wrong_parameters_open_no_cashier(world: World, changes: dict[str, Any], code: str) -> None:
    asked = params(world, await jsapi(world), **changes)
    reply = await world.post("/_sandbox/wechatpay/invoke", {"params": asked})
    told = json.loads(reply.body)
    assert (reply.status, told["error"], told["err_msg"]) == (409, code, "get_brand_wcpay_request:fail")
    assert told["err_desc"]


async def test_an_app(world: World) -> None:
    made = await world.merchant.call("POST", f"{BASE}/app", world.merchant.order())
    given = {"appid": world.merchant.appid, "timestamp": "1777636800", "noncestr": "abc", "prepayid": made["prepay_id"]}
    signed = world.merchant.sign("".join(f"{value}\n" for value in given.values()).encode())
    order = {**given, "partnerid": "1900000109", "package": "Sign=WXPay", "sign": signed}
    for action, code in (("leave", -2), ("pay", 0)):
        reply = await world.post("/_sandbox/wechatpay/invoke", {"params": order, "action": action})
        assert json.loads(reply.body)["errCode"] == code
    assert (await world.merchant.query("ORDER001"))["trade_type"] == "APP"
    bad = {**order, "partnerid": "1"}
    reply = await world.post("/_sandbox/wechatpay/invoke", {"params": bad})
    assert (reply.status, json.loads(reply.body)["errCode"]) == (409, -1)


async def test_an_openid_has_to_be_of_the_app(world: World) -> None:
    for openid in ("o" * 28, world.account["buyers"][0]["openids"][world.account["appids"][1]]):
        body = {**world.merchant.order(), "payer": {"openid": openid}}
        found = await world.merchant.call("POST", f"{BASE}/jsapi", body, status=400)
        assert found == {"code": "PARAM_ERROR", "message": "无效的openid"}


# --- at the counter


def counter(world: World, outcome: str, number: str = "ORDER001", **more: Any) -> dict[str, Any]:
    body = world.merchant.order(number, payer={"auth_code": world.code(outcome)})
    del body["notify_url"]
    return {**body, "scene_info": {"store_info": {"id": "S1"}}, **more}


@pytest.mark.parametrize(
    ("outcome", "status", "shown", "later"),
    [
        ("01", 200, "SUCCESS", "SUCCESS"),
        ("02", 202, "USERPAYING", "SUCCESS"),
        ("03", 202, "USERPAYING", "PAYERROR"),
        ("04", 403, "NOT_ENOUGH", ""),
        ("05", 500, "SYSTEM_ERROR", "SUCCESS"),
        ("06", 500, "SYSTEM_ERROR", "USERPAYING"),
        ("07", 400, "AUTH_CODE_EXPIRED", ""),
        ("08", 400, "AUTH_CODE_INVALID", ""),
        ("09", 202, "USERPAYING", "USERPAYING"),
    ],
)
async def test_scripted_codes(world: World, outcome: str, status: int, shown: str, later: str) -> None:
    found = await world.merchant.call("POST", f"{BASE}/codepay", counter(world, outcome), status=status)
    assert found.get("trade_state", found.get("code")) == shown
    await world.wait(11)
    if later:
        seen = await world.merchant.query("ORDER001")
        assert seen["trade_state"] == later
        assert later != "SUCCESS" or seen["trade_type"] == "MICROPAY"
    else:
        assert await world.merchant.refused("GET", f"{BY_NUMBER}?mchid=1900000109", status=404) == "ORDER_NOT_EXIST"
    assert not world.shop.received, "code pay is not notified"


async def test_a_buyer_who_cannot_pay_after_all(world: World) -> None:
    await world.merchant.call("POST", f"{BASE}/codepay", counter(world, "02"), status=202)
    world.sandbox.bank.faults.set("buyer_balance_short")
    await world.wait(11)
    assert (await world.merchant.query("ORDER001"))["trade_state"] == "PAYERROR"


@pytest.mark.parametrize("outcome", ["01", "02", "09"])
async def test_reversing(world: World, outcome: str) -> None:
    had = world.sandbox.buyer().balance_minor
    wallet = world.sandbox.bank.wallet("1900000109").balance_minor
    await world.merchant.send("POST", f"{BASE}/codepay", json.dumps(counter(world, outcome)).encode())
    who = {"appid": world.merchant.appid, "mchid": "1900000109"}
    assert await world.merchant.refused("POST", f"{BY_NUMBER}/close", who) == "INVALID_REQUEST"
    for _ in range(2):
        done = await world.merchant.call("POST", f"{BY_NUMBER}/reverse", who)
        assert done == {**who, "out_trade_no": "ORDER001"}
    await world.wait(20)
    assert (await world.merchant.query("ORDER001"))["trade_state"] == "REVOKED"
    assert world.sandbox.buyer().balance_minor == had
    assert world.sandbox.bank.wallet("1900000109").balance_minor == wallet


async def test_a_code_is_good_once_and_an_order_is_asked_for_again(world: World) -> None:
    body = counter(world, "01")
    first = await world.merchant.call("POST", f"{BASE}/codepay", body)
    assert first["trade_state"] == "SUCCESS"
    assert await world.merchant.refused("POST", f"{BASE}/codepay", body) == "INVALID_REQUEST"
    assert (
        await world.merchant.refused("POST", f"{BASE}/codepay", counter(world, "01", "ORDER002")) == "AUTH_CODE_EXPIRED"
    )
    waiting = counter(world, "09", "ORDER003")
    for _ in range(2):
        assert await world.merchant.call("POST", f"{BASE}/codepay", waiting, status=202)
    no_store = counter(world, "01", "ORDER004", scene_info={"store_info": {}})
    assert await world.merchant.refused("POST", f"{BASE}/codepay", no_store) == "PARAM_ERROR"
    await world.paid("ORDER005")
    path, who = f"{BASE}/out-trade-no/ORDER005/reverse", {"appid": world.merchant.appid, "mchid": "1900000109"}
    assert await world.merchant.refused("POST", path, who) == "INVALID_REQUEST"
    assert await world.merchant.refused("POST", path.replace("5", "9"), who, status=404) == "ORDER_NOT_EXIST"


# --- combined


def combined(world: World, *numbers: str, **more: Any) -> dict[str, Any]:
    parts = [
        {
            "mchid": mchid,
            "attach": "a",
            "amount": {"total_amount": 100 * place, "currency": "CNY"},
            "out_trade_no": number,
            "description": "tea",
        }
        for place, (number, mchid) in enumerate(zip(numbers, ("1900000109", "1900000307"), strict=False), 1)
    ]
    whole = {"combine_appid": world.merchant.appid, "combine_mchid": "1900000109", "combine_out_trade_no": "WHOLE001"}
    return {**whole, "sub_orders": parts, "notify_url": NOTIFY_URL, **more}


async def test_a_combined_order(world: World) -> None:
    base = "/v3/combine-transactions"
    made = await world.merchant.call("POST", f"{base}/native", combined(world, "PART001", "PART002"))
    again = await world.merchant.call("POST", f"{base}/native", combined(world, "PART001", "PART002"))
    assert made != again
    other = combined(world, "PART001", "PART003")
    assert await world.merchant.refused("POST", f"{base}/native", other) == "INVALID_REQUEST"
    assert world.wechat.scan(world.token(again["code_url"]), world.sandbox.buyer()).amount == "3.00"
    world.pay(again["code_url"])
    found = await world.merchant.call("GET", f"{base}/out-trade-no/WHOLE001")
    assert [one["trade_state"] for one in found["sub_orders"]] == ["SUCCESS", "SUCCESS"]
    assert found["combine_payer_info"] == {"openid": world.openid()}
    number = found["combine_transaction_id"]
    assert await world.merchant.call("GET", f"{base}/id/{number}") == found
    path = f"{BASE}/out-trade-no/PART001?mchid=1900000109"
    assert await world.merchant.refused("GET", path, status=404) == "ORDER_NOT_EXIST"
    await world.wait(0)
    ((envelope, told),) = world.heard()
    assert envelope["event_type"] == "TRANSACTION.SUCCESS"
    assert [one["out_trade_no"] for one in told["sub_orders"]] == ["PART001", "PART002"]
    back = await world.merchant.refund("PART001", 50, 100)
    assert back["transaction_id"] == found["sub_orders"][0]["transaction_id"]
    provider = world.other("provider")
    await provider.refund("PART002", 200, 200)
    assert await world.merchant.refused("POST", f"{base}/out-trade-no/WHOLE001/close", closing(world)) == "ORDER_PAID"


def closing(world: World, *numbers: str) -> dict[str, Any]:
    parts = zip(numbers or ("PART001", "PART002"), ("1900000109", "1900000307"), strict=False)
    listed = [{"mchid": mchid, "out_trade_no": number} for number, mchid in parts]
    return {"combine_appid": world.merchant.appid, "sub_orders": listed}


async def test_closing_a_combined_order(world: World) -> None:
    base = "/v3/combine-transactions"
    made = await world.merchant.call("POST", f"{base}/native", combined(world, "PART001", "PART002"))
    path = f"{base}/out-trade-no/WHOLE001/close"
    assert await world.merchant.refused("POST", path, closing(world, "PART001", "PART009")) == "PARAM_ERROR"
    for _ in range(2):
        await world.merchant.call("POST", path, closing(world), status=204)
    with pytest.raises(PaymentRefused, match="ORDERCLOSED"):
        world.pay(made["code_url"])
    found = await world.merchant.call("GET", f"{base}/out-trade-no/WHOLE001")
    assert {one["trade_state"] for one in found["sub_orders"]} == {"CLOSED"}
    assert await world.merchant.refused("POST", f"{base}/native", combined(world, "PART003")) == "PARAM_ERROR", (
        "2 at least"
    )


async def test_a_combined_order_runs_out_with_its_parts(world: World) -> None:
    base = "/v3/combine-transactions"
    await world.merchant.call("POST", f"{base}/native", combined(world, "PART001", "PART002"))
    await world.wait(7 * 86_400)
    found = await world.merchant.call("GET", f"{base}/out-trade-no/WHOLE001")
    assert {one["trade_state"] for one in found["sub_orders"]} == {"CLOSED"}


# --- for others


async def test_a_provider_for_its_sub_merchant(world: World) -> None:
    provider, base = world.other("provider"), "/v3/pay/partner/transactions"
    order = provider.order("PARTNER1", 500)
    del order["appid"], order["mchid"]
    order |= {"sp_appid": provider.appid, "sp_mchid": provider.mchid, "sub_mchid": "1900000406"}
    made = await provider.call("POST", f"{base}/native", order)
    wallet = world.sandbox.bank.wallet("1900000406").balance_minor
    world.pay(made["code_url"])
    assert world.sandbox.bank.wallet("1900000406").balance_minor == wallet + 497
    query = f"{base}/out-trade-no/PARTNER1?sp_mchid={provider.mchid}&sub_mchid=1900000406"
    paid = await provider.call("GET", query)
    names = ("sp_appid", "sp_mchid", "sub_mchid", "trade_state")
    assert [paid[name] for name in names] == [provider.appid, provider.mchid, "1900000406", "SUCCESS"]
    assert list(paid["payer"]) == ["sp_openid"]
    await world.wait(0)
    told = provider.told(*world.shop.received[0])[1]
    assert (told["sub_mchid"], told["transaction_id"]) == ("1900000406", paid["transaction_id"])
    back = await provider.refund("PARTNER1", 500, 500, sub_mchid="1900000406")
    assert back["status"] == "PROCESSING"
    assert (await provider.call("GET", "/v3/refund/domestic/refunds/R1?sub_mchid=1900000406"))["refund_id"]
    stranger = {**order, "out_trade_no": "PARTNER2", "sub_mchid": "1900000208"}
    assert await provider.refused("POST", f"{base}/native", stranger, status=403) == "NO_AUTH"
    nobody = {**order, "out_trade_no": "PARTNER3", "sub_mchid": "1900000999"}
    assert await provider.refused("POST", f"{base}/native", nobody) == "MCH_NOT_EXISTS"
    await provider.call("POST", f"{base}/native", {**order, "out_trade_no": "PARTNER4"})
    who = {"sp_mchid": provider.mchid, "sub_mchid": "1900000406"}
    await provider.call("POST", f"{base}/out-trade-no/PARTNER4/close", who, status=204)


async def test_it_is_all_there_after_a_restart(world: World, tmp_path: Any) -> None:
    first = World(world.clock, tmp_path)
    code = await first.merchant.native()
    paid = await first.paid("ORDER002")
    await first.merchant.refund("ORDER002", 1)
    first.sandbox.close()
    second = World(world.clock, tmp_path)
    same = ("merchant_serial", "apiv3_key", "public_key_id", "platform_certificates", "merchant_private_key")
    assert {name: first.account[name] for name in same} == {name: second.account[name] for name in same}
    second.pay(code)
    assert (await second.merchant.query("ORDER002"))["transaction_id"] == paid["transaction_id"]
    await second.wait(3)
    assert (await second.merchant.call("GET", "/v3/refund/domestic/refunds/R1"))["status"] == "SUCCESS"
    second.sandbox.close()
