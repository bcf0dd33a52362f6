"""Refunds: accepted at once, arrived later, told of; fifty of them, a year long, never more than was paid."""

import json
import re
from typing import Any

import pytest

from tests.simulators.wechatpay.merchant import World

PATH = "/v3/refund/domestic/refunds"


async def state(world: World, out: str = "R1") -> Any:
    return (await world.merchant.call("GET", f"{PATH}/{out}"))["status"]


async def test_a_refund_is_accepted_and_arrives(world: World) -> None:
    paid = await world.paid()
    bank, buyer = world.sandbox.bank, world.sandbox.buyer()
    had, wallet, _ = buyer.balance_minor, bank.wallet("1900000109").balance_minor, bank.wallet("wechatpay_refunds")
    total = bank.total_minor()
    made = await world.merchant.refund("ORDER001", 4000)
    assert re.fullmatch(r"503\d{8}20260501\d{10}", made.pop("refund_id"))
    assert made == {
        "amount": {
            "currency": "CNY",
            "discount_refund": 0,
            "from": [],
            "payer_refund": 4000,
            "payer_total": 8888,
            "refund": 4000,
            "settlement_refund": 4000,
            "settlement_total": 8888,
            "total": 8888,
        },
        "channel": "ORIGINAL",
        "create_time": "2026-05-01T20:00:00+08:00",
        "funds_account": "AVAILABLE",
        "out_refund_no": "R1",
        "out_trade_no": "ORDER001",
        "promotion_detail": [],
        "status": "PROCESSING",
        "transaction_id": paid["transaction_id"],
        "user_received_account": "支付用户零钱",
    }
    assert (await world.merchant.query("ORDER001"))["trade_state"] == "REFUND", "even a part of it"
    assert bank.wallet("1900000109").balance_minor == wallet - 4000
    assert buyer.balance_minor == had
    await world.wait(2)
    assert buyer.balance_minor == had + 4000
    assert bank.wallet("1900000109").balance_minor == wallet - 4000 + 24, "with its part of the fee"
    assert bank.total_minor() == total
    found = await world.merchant.call("GET", f"{PATH}/R1")
    assert (found["status"], found["success_time"]) == ("SUCCESS", "2026-05-01T20:00:02+08:00")
    _, (envelope, told) = world.heard()
    assert (envelope["event_type"], envelope["summary"]) == ("REFUND.SUCCESS", "退款成功")
    assert (envelope["resource"]["original_type"], envelope["resource"]["associated_data"]) == ("refund", "refund")
    assert told == {
        "amount": {"payer_refund": 4000, "payer_total": 8888, "refund": 4000, "total": 8888},
        "mchid": "1900000109",
        "out_refund_no": "R1",
        "out_trade_no": "ORDER001",
        "refund_id": found["refund_id"],
        "refund_status": "SUCCESS",
        "success_time": "2026-05-01T20:00:02+08:00",
        "transaction_id": paid["transaction_id"],
        "user_received_account": "支付用户零钱",
    }


async def test_the_same_number_again(world: World) -> None:
    paid = await world.paid()
    first = await world.merchant.refund("ORDER001", 4000)
    by_number = {**world.merchant.refund_body("ORDER001", 4000), "transaction_id": paid["transaction_id"]}
    del by_number["out_trade_no"]
    assert await world.merchant.call("POST", PATH, by_number) == first
    for amount, total in ((4001, 8888), (4000, 8887)):
        body = world.merchant.refund_body("ORDER001", amount, total)
        found = await world.merchant.call("POST", PATH, body, status=400)
        assert found["message"] == "订单金额或退款金额与之前请求不一致，请核实后再试"
    await world.wait(3)
    assert (await world.merchant.refund("ORDER001", 4000))["status"] == "SUCCESS"


async def test_where_the_money_is_taken_from(world: World) -> None:
    await world.paid()
    sources = [{"account": "AVAILABLE", "amount": 30}, {"account": "UNAVAILABLE", "amount": 10}]
    body = world.merchant.refund_body("ORDER001", 40)
    body["amount"]["from"] = sources
    assert (await world.merchant.call("POST", PATH, body))["amount"]["from"] == sources


async def test_never_more_than_was_paid(world: World) -> None:
    await world.paid(total=100)
    await world.merchant.refund("ORDER001", 60, 100, out="R1")
    too_much = world.merchant.refund_body("ORDER001", 41, 100, out="R2")
    assert await world.merchant.refused("POST", PATH, too_much) == "INVALID_REQUEST"
    await world.merchant.refund("ORDER001", 40, 100, out="R2")
    found = await world.merchant.call(
        "POST", PATH, world.merchant.refund_body("ORDER001", 1, 100, out="R3"), status=400
    )
    assert (found["code"], found["message"]) == ("INVALID_REQUEST", "订单已全额退款")


async def test_the_fee_comes_back_once(world: World) -> None:
    before = world.sandbox.bank.wallet("1900000109").balance_minor
    await world.paid(total=5000)
    for number in range(50):
        await world.merchant.refund("ORDER001", 100, 5000, out=f"R{number}")
    await world.wait(2)
    assert world.sandbox.bank.wallet("1900000109").balance_minor == before


async def test_fifty_parts_and_a_year(world: World) -> None:
    await world.paid(total=100)
    for number in range(50):
        await world.merchant.refund("ORDER001", 1, 100, out=f"R{number}")
    over = world.merchant.refund_body("ORDER001", 1, 100, out="R50")
    assert await world.merchant.refused("POST", PATH, over) == "INVALID_REQUEST"
    await world.paid("ORDER002")
    await world.wait(365 * 86_400)
    await world.merchant.refund("ORDER002", 1, out="Y1")
    await world.wait(1)
    late = world.merchant.refund_body("ORDER002", 1, out="Y2")
    assert await world.merchant.refused("POST", PATH, late) == "INVALID_REQUEST"


async def test_what_cannot_be_refunded(world: World) -> None:
    await world.merchant.native("ORDER001")
    unpaid = world.merchant.refund_body("ORDER001", 1)
    assert await world.merchant.refused("POST", PATH, unpaid) == "INVALID_REQUEST"
    missing = await world.merchant.call("POST", PATH, world.merchant.refund_body("NOTHING", 1), status=404)
    assert missing == {"code": "RESOURCE_NOT_EXISTS", "message": "订单不存在"}
    missing = await world.merchant.call("GET", f"{PATH}/NOTHING", status=404)
    assert missing == {"code": "RESOURCE_NOT_EXISTS", "message": "退款单不存在"}
    await world.paid("ORDER002")
    body = world.merchant.refund_body("ORDER002", 1)
    found = await world.merchant.call("POST", PATH, body, status=403, fault="seller_balance_short")
    assert (found["code"], found["message"]) == ("NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
    assert (await world.merchant.refund("ORDER002", 1))["status"] == "PROCESSING", "the same number is still good"


@pytest.mark.parametrize(
    "change",
    [
        {"amount": {"refund": 0, "total": 1, "currency": "CNY"}},
        {"amount": {"refund": 1, "total": 1}},
        {"amount": {"refund": 2, "total": 8888, "currency": "CNY", "from": [{"account": "AVAILABLE", "amount": 1}]}},
        {"out_refund_no": "x" * 65},
        {"reason": "长" * 27},
        {"notify_url": "x"},
        {"out_trade_no": ""},
    ],
)
async def test_fields_that_are_refused(world: World, change: dict[str, Any]) -> None:
    body = {**world.merchant.refund_body("ORDER001", 1), **change}
    assert await world.merchant.refused("POST", PATH, body) == "PARAM_ERROR"


async def test_delayed_closed_abnormal(world: World) -> None:
    await world.paid()
    wallet = world.sandbox.bank.wallet("1900000109").balance_minor
    await world.merchant.refund("ORDER001", 10, out="D1", fault="refund_delayed=600")
    await world.merchant.refund("ORDER001", 20, out="C1", fault="refund_closed")
    await world.merchant.refund("ORDER001", 30, out="A1", fault="refund_abnormal")
    await world.wait(2)
    assert [await state(world, out) for out in ("D1", "C1", "A1")] == ["PROCESSING", "CLOSED", "ABNORMAL"]
    events = [(envelope["event_type"], told["refund_status"]) for envelope, told in world.heard()[1:]]
    assert sorted(events) == [("REFUND.ABNORMAL", "ABNORMAL"), ("REFUND.CLOSED", "CLOSED")]
    assert world.sandbox.bank.wallet("1900000109").balance_minor == wallet - 40, "the closed one came back"
    await world.wait(600)
    assert await state(world, "D1") == "SUCCESS"
    await world.merchant.refund("ORDER001", 8888 - 40, out="REST")


async def test_an_abnormal_refund_is_handled(world: World) -> None:
    await world.paid()
    made = await world.merchant.refund("ORDER001", 30, fault="refund_abnormal")
    path = f"{PATH}/{made['refund_id']}/apply-abnormal-refund"
    body: dict[str, Any] = {"out_refund_no": "R1", "type": "USER_BANK_CARD", "bank_type": "ICBC_DEBIT"}
    assert await world.merchant.refused("POST", path, body) == "INVALID_REQUEST", "still under way"
    await world.wait(2)
    plain = {**body, "bank_account": "6222020000000403", "real_name": "李雷"}
    found = await world.merchant.call("POST", path, plain, status=400)
    assert found["message"] == "HTTP header缺少微信支付平台证书序列号(Wechatpay-Serial)"
    world.merchant.serial = "7" * 40
    found = await world.merchant.call("POST", path, plain, status=400)
    assert found["message"] == "平台证书序列号Wechatpay-Serial错误"
    for serial in (world.account["public_key_id"], world.account["platform_certificates"][0]["serial"]):
        world.merchant.serial = serial
        assert await world.merchant.refused("POST", path, plain) == "PARAM_ERROR", "not encrypted"
    sealed = {name: world.merchant.encrypted(plain[name]) for name in ("bank_account", "real_name")}
    done = await world.merchant.call("POST", path, {**body, **sealed})
    assert (done["status"], done["user_received_account"]) == ("PROCESSING", "ICBC_DEBIT0403")
    await world.wait(2)
    assert await state(world) == "SUCCESS"


async def test_no_address_no_notification(world: World) -> None:
    await world.paid()
    body = world.merchant.refund_body("ORDER001", 30)
    del body["notify_url"]
    await world.merchant.call("POST", PATH, body)
    await world.wait(3)
    assert len(world.shop.received) == 1, "of the payment only"
    assert json.loads(world.shop.received[0][1])["event_type"] == "TRANSACTION.SUCCESS"
