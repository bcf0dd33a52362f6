"""Barcode payments with scripted outcomes, mini programs, in-app orders, and cancelling."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.simulators.merchant import NOTIFY_URL, World
from tongbao.simulators.channel import PaymentRefused

PAY, CANCEL = "alipay.trade.pay", "alipay.trade.cancel"


async def show(world: World, code: str, reference: str = "B1", amount: str = "20.00", **more: Any) -> Any:
    fault = more.pop("fault", "")
    biz = {"out_trade_no": reference, "total_amount": amount, "subject": "tea", "scene": "bar_code", "auth_code": code}
    return await world.call(PAY, {**biz, **more}, fault=fault, notify_url=NOTIFY_URL)


def code(outcome: str, free: str = "0000000000") -> str:
    return f"28{outcome}50{free}15"


async def test_paid_at_once(world: World) -> None:
    node = await show(world, "28763443825664394")
    assert (node["code"], node["receipt_amount"], node["buyer_logon_id"]) == ("10000", "20.00", "138****8000")
    assert node["gmt_payment"] == "2026-05-01 20:00:00"
    await world.sandbox.deliver_due()
    assert world.shop.received[0]["trade_status"] == "TRADE_SUCCESS"
    assert (await show(world, code("01")))["sub_code"] == "ACQ.TRADE_HAS_SUCCESS"


async def test_the_password_is_given_later(world: World) -> None:
    node = await show(world, code("02"))
    assert (node["code"], node["msg"]) == ("10003", " order success pay inprocess")
    assert (node["total_amount"], node["receipt_amount"]) == ("20.00", "0.00")
    assert (await world.query("B1"))["trade_status"] == "WAIT_BUYER_PAY"
    world.clock.advance(10)
    await world.sandbox.deliver_due()
    assert world.shop.received[0]["trade_status"] == "TRADE_SUCCESS"
    assert (await world.query("B1"))["trade_status"] == "TRADE_SUCCESS"


async def test_who_cannot_pay_later_leaves_it_waiting(world: World) -> None:
    assert (await show(world, "280250000000000031"))["code"] == "10003"
    world.clock.advance(10)
    await world.sandbox.deliver_due()
    assert (await world.query("B1"))["trade_status"] == "WAIT_BUYER_PAY"


async def test_the_password_is_never_given(world: World) -> None:
    assert (await show(world, code("03")))["code"] == "10003"
    cancelled = await world.call(CANCEL, {"out_trade_no": "B1"})
    assert (cancelled["action"], cancelled["retry_flag"]) == ("close", "N")
    found = await world.query("B1")
    assert (found["trade_status"], found["ext_infos"]) == ("TRADE_CLOSED", '{"action":"cancel"}')
    again = await world.call(CANCEL, {"out_trade_no": "B1"})
    assert (again["code"], again["action"]) == ("10000", "close")


async def test_scripted_by_fault(world: World) -> None:
    assert (await show(world, code("01"), fault="payment_then_paid=5"))["code"] == "10003"
    world.clock.advance(5)
    assert (await world.query("B1"))["trade_status"] == "TRADE_SUCCESS"
    assert (await show(world, code("01", "0000000001"), "B2", fault="payment_then_closed"))["code"] == "10003"
    world.clock.advance(hours=3)
    assert (await world.query("B2"))["trade_status"] == "TRADE_CLOSED"


@pytest.mark.parametrize(
    ("outcome", "code_", "sub_code", "status"),
    [
        ("04", "40004", "ACQ.BUYER_BALANCE_NOT_ENOUGH", None),
        ("05", "20000", "isp.unknow-error", "TRADE_SUCCESS"),
        ("06", "20000", "isp.unknow-error", "WAIT_BUYER_PAY"),
        ("07", "40004", "ACQ.PAYMENT_AUTH_CODE_INVALID", None),
        ("08", "40004", "ACQ.PAYMENT_REQUEST_HAS_RISK", None),
    ],
)
async def test_other_outcomes(world: World, outcome: str, code_: str, sub_code: str, status: str | None) -> None:
    node = await show(world, code(outcome))
    assert (node["code"], node["sub_code"]) == (code_, sub_code)
    assert (await world.query("B1")).get("trade_status") == status


async def test_accounts_list_every_outcome(world: World) -> None:
    for buyer in world.account["buyers"]:
        assert len(buyer["auth_codes"]) == 8
        assert all(one["code"][-2:] == buyer["user_id"][-2:] for one in buyer["auth_codes"])
    poor = world.account["buyers"][2]["auth_codes"][0]["code"]
    assert (await show(world, poor))["sub_code"] == "ACQ.BUYER_BALANCE_NOT_ENOUGH"


async def test_a_code_is_good_once(world: World) -> None:
    await show(world, code("03"))
    assert (await show(world, code("03"), "B2"))["sub_code"] == "ACQ.PAYMENT_AUTH_CODE_INVALID"
    assert (await show(world, code("03")))["code"] == "10003", "the same order may show it again"
    for bad in ("123", "2" * 30, "24" + "0" * 16, "28" + "x" * 16):
        assert (await show(world, bad, "B3"))["sub_code"] == "ACQ.PAYMENT_AUTH_CODE_INVALID"
    face = await show(world, "fp" + "A" * 33, "B4", scene="security_code")
    assert face["code"] == "10000"
    assert (await show(world, code("01"), "B5", scene="smoke_signals"))["sub_code"] == "ACQ.INVALID_PARAMETER"


async def test_cancel_in_every_state(world: World) -> None:
    nothing = await world.call(CANCEL, {"out_trade_no": "NONE"})
    assert nothing == {"code": "10000", "msg": "Success", "out_trade_no": "NONE", "retry_flag": "N"}
    buyer, _ = world.sandbox.buyer(), await show(world, code("01"))
    has = buyer.balance_minor
    for _ in range(2):
        paid_back = await world.call(CANCEL, {"out_trade_no": "B1"})
        assert (paid_back["action"], paid_back["gmt_refund_pay"]) == ("refund", "2026-05-01 20:00:00")
    assert buyer.balance_minor == has + 20_00, "once"
    await world.paid("T2", "10.00")
    await world.refund("T2", "1.00", "R1")
    assert (await world.call(CANCEL, {"out_trade_no": "T2"}))["sub_code"] == "ACQ.REASON_TRADE_REFUND_FEE_ERR"
    await world.paid("T3", "10.00")
    short = await world.call(CANCEL, {"out_trade_no": "T3"}, fault="seller_balance_short")
    assert (short["sub_code"], short["retry_flag"]) == ("ACQ.SELLER_BALANCE_NOT_ENOUGH", "Y")
    world.clock.advance(days=365)
    assert (await world.call(CANCEL, {"out_trade_no": "T3"}))["sub_code"] == "ACQ.TRADE_HAS_FINISHED"


async def test_create_for_a_mini_program(world: World) -> None:
    biz = {"out_trade_no": "C1", "total_amount": "5.00", "subject": "tea"}
    method = "alipay.trade.create"
    buyer, other = world.sandbox.bank.buyers.values()[:2]
    assert (await world.call(method, biz))["sub_code"] == "ACQ.INVALID_PARAMETER"
    assert (await world.call(method, {**biz, "buyer_id": "2088000000000000"}))["sub_code"] == "ACQ.BUYER_NOT_EXIST"
    self_paid = {**biz, "buyer_id": world.account["seller_id"]}
    assert (await world.call(method, self_paid))["sub_code"] == "ACQ.BUYER_SELLER_EQUAL"
    made = await world.call(method, {**biz, "buyer_id": buyer.user_id})
    again = await world.call(method, {**biz, "buyer_id": buyer.user_id})
    assert made["trade_no"] == again["trade_no"]
    assert (await world.call(method, {**biz, "buyer_id": other.user_id}))["sub_code"] == "ACQ.TRADE_BUYER_NOT_MATCH"
    assert (await world.query("C1"))["trade_status"] == "WAIT_BUYER_PAY"
    world.sandbox.alipay.pay(world.token(made["trade_no"]), buyer)
    assert (await world.query("C1"))["trade_status"] == "TRADE_SUCCESS"


async def test_an_order_string_is_paid_in_the_app(world: World) -> None:
    biz = {"out_trade_no": "A1", "total_amount": "7.00", "subject": "tea", "product_code": "QUICK_MSECURITY_PAY"}
    params = world.signed(world.params("alipay.trade.app.pay", biz, notify_url=NOTIFY_URL))
    order_string = "&".join(f"{name}={quote(params[name], safe='')}" for name in sorted(params))
    body = json.dumps({"content": order_string, "action": "pay"})
    from tongbao.transport import Request

    reply = await world.net.send(Request("POST", "http://sandbox.test/_sandbox/scan", {}, body.encode()))
    told = json.loads(reply.body)
    result = json.loads(told["app_result"])
    assert result["resultStatus"] == "9000"
    inner = json.loads(result["result"])
    start = len('{"alipay_trade_app_pay_response":')
    text = result["result"][start : result["result"].index(',"sign"')]
    import base64

    assert world.alipay_key.verify(base64.b64decode(inner["sign"]), text.encode())
    assert json.loads(text)["out_trade_no"] == "A1"
    assert (await world.query("A1"))["trade_status"] == "TRADE_SUCCESS"
    with pytest.raises(PaymentRefused, match=r"isv\.invalid-signature"):
        world.sandbox.find(order_string.replace("7.00", "0.01"))
    by_http = json.loads((await world.send(params)).body)
    assert by_http["alipay_trade_app_pay_response"]["sub_code"] == "isv.invalid-method"
