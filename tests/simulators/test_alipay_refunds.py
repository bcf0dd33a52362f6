"""Refunds: once per request number, never more than was paid, and what a query says of them."""

import pytest

from tests.simulators.merchant import World


async def test_partial_refunds_add_up_and_the_last_one_closes(world: World) -> None:
    await world.paid("T1", "10.00")
    first = await world.refund("T1", "3.00", "R1")
    assert (first["fund_change"], first["refund_fee"]) == ("Y", "3.00")
    second = await world.refund("T1", "4.50", "R2")
    assert second["refund_fee"] == "7.50"
    assert (await world.query("T1"))["trade_status"] == "TRADE_SUCCESS"
    last = await world.refund("T1", "2.50", "R3")
    assert last["refund_fee"] == "10.00"
    assert (await world.query("T1"))["trade_status"] == "TRADE_CLOSED"
    assert (await world.refund("T1", "0.01", "R4"))["sub_code"] == "ACQ.TRADE_HAS_CLOSE"


async def test_a_repeat_is_executed_once(world: World) -> None:
    await world.paid("T1", "10.00")
    buyer = world.sandbox.buyer()
    await world.refund("T1", "3.00", "R1")
    has = buyer.balance_minor
    again = await world.refund("T1", "3.00", "R1")
    assert (again["code"], again["fund_change"], again["refund_fee"]) == ("10000", "N", "3.00")
    other = await world.refund("T1", "3.01", "R1")
    assert other["sub_code"] == "ACQ.DISCORDANT_REPEAT_REQUEST"
    assert (other["refund_fee"], other["send_back_fee"]) == ("0.00", "0.00")
    assert buyer.balance_minor == has
    await world.refund("T1", "7.00", "R2")
    replay = await world.refund("T1", "7.00", "R2")
    assert (replay["code"], replay["fund_change"]) == ("10000", "N"), "a repeat is known on a closed trade too"


async def test_a_full_refund_needs_no_number_and_a_partial_one_does(world: World) -> None:
    await world.paid("T1", "10.00")
    assert (await world.refund("T1", "3.00"))["sub_code"] == "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"
    assert (await world.refund("T1", "10.00"))["fund_change"] == "Y"
    biz = {"out_trade_no": "T1", "out_request_no": "T1"}
    found = await world.call("alipay.trade.fastpay.refund.query", biz)
    assert (found["refund_status"], found["refund_amount"]) == ("REFUND_SUCCESS", "10.00")


@pytest.mark.parametrize(
    ("amount", "sub_code"),
    [
        ("10.01", "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"),
        ("0", "ACQ.INVALID_PARAMETER"),
        ("-1", "ACQ.INVALID_PARAMETER"),
        ("x", "ACQ.INVALID_PARAMETER"),
    ],
)
async def test_bad_amounts(world: World, amount: str, sub_code: str) -> None:
    await world.paid("T1", "10.00")
    assert (await world.refund("T1", amount, "R1"))["sub_code"] == sub_code
    assert (await world.query("T1"))["trade_status"] == "TRADE_SUCCESS"


async def test_what_is_not_paid_is_not_refunded(world: World) -> None:
    assert (await world.refund("T1", "1.00"))["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    content = await world.qr("T1")
    world.sandbox.alipay.scan(world.token(content), world.sandbox.buyer())
    assert (await world.refund("T1", "1.00", "R"))["sub_code"] == "ACQ.TRADE_STATUS_ERROR"


async def test_refund_query(world: World) -> None:
    biz = {"out_trade_no": "T1", "out_request_no": "R1"}
    method = "alipay.trade.fastpay.refund.query"
    assert (await world.call(method, biz))["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    await world.paid("T1", "10.00")
    assert await world.call(method, biz) == {"code": "10000", "msg": "Success"}
    await world.refund("T1", "3.00", "R1")
    found = await world.call(method, {**biz, "query_options": ["gmt_refund_pay", "refund_detail_item_list"]})
    assert (found["refund_status"], found["refund_amount"], found["total_amount"]) == (
        "REFUND_SUCCESS",
        "3.00",
        "10.00",
    )
    assert found["gmt_refund_pay"] == "2026-05-01 20:00:00"
    assert found["refund_detail_item_list"] == [{"amount": "3.00", "fund_channel": "ALIPAYACCOUNT"}]
    assert (await world.call(method, {"out_trade_no": "T1"}))["sub_code"] == "ACQ.INVALID_PARAMETER"


async def test_faults_of_a_refund(world: World) -> None:
    await world.paid("T1", "10.00")
    short = await world.refund("T1", "1.00", "R1", fault="seller_balance_short")
    assert short["sub_code"] == "ACQ.SELLER_BALANCE_NOT_ENOUGH"
    unsure = await world.refund("T1", "1.00", "R1", fault="refund_unconfirmed")
    assert (unsure["code"], unsure["fund_change"]) == ("10000", "N")
    found = await world.call("alipay.trade.fastpay.refund.query", {"out_trade_no": "T1", "out_request_no": "R1"})
    assert found["refund_status"] == "REFUND_SUCCESS"
