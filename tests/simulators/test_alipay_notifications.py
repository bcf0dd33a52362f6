"""What the merchant's server hears, when, and everything that can be wrong with it."""

import pytest

from tests.simulators.merchant import NOTIFY_URL, World


async def test_a_payment_is_notified_once_and_signed(world: World) -> None:
    await world.paid("T1", "88.88", passback_params="a%3D1", body="两杯")
    assert await world.sandbox.deliver_due() == 1
    (told,) = world.shop.received
    assert world.genuine(told)
    assert (told["trade_status"], told["out_trade_no"], told["total_amount"]) == ("TRADE_SUCCESS", "T1", "88.88")
    assert (told["app_id"], told["seller_id"]) == (world.account["app_id"], world.account["seller_id"])
    assert told["notify_type"] == "trade_status_sync"
    assert (told["subject"], told["body"], told["passback_params"]) == ("咖啡 latte", "两杯", "a%3D1")
    assert told["gmt_payment"] == told["notify_time"] == "2026-05-01 20:00:00"
    assert told["fund_bill_list"] == '[{"amount":"88.88","fundChannel":"ALIPAYACCOUNT"}]'
    assert world.shop.headers[0]["content-type"] == "application/x-www-form-urlencoded; charset=utf-8"
    assert await world.sandbox.deliver_due() == 0


async def test_the_schedule_until_it_gives_up(world: World) -> None:
    world.shop.answer = b"fail"
    await world.paid("T1")
    for minutes in (0, 4, 10, 10, 60, 120, 360, 900):
        world.clock.advance(minutes=minutes, seconds=-1)
        assert await world.sandbox.deliver_due() == 0, minutes
        world.clock.advance(1)
        assert await world.sandbox.deliver_due() == 1, minutes
    world.clock.advance(days=30)
    assert await world.sandbox.deliver_due() == 0
    assert len(world.shop.raw) == 8
    assert len(set(world.shop.raw)) == 1, "every try carries the same bytes"
    assert world.sandbox.bank.outbox.entries()[0].state == "given_up"


@pytest.mark.parametrize("answer", [b"SUCCESS", b"success\n", b" success", b"", b'"success"', b"<html>success</html>"])
async def test_only_the_seven_letters_count(world: World, answer: bytes) -> None:
    world.shop.answer = answer
    await world.paid("T1")
    await world.sandbox.deliver_due()
    assert world.sandbox.bank.outbox.entries()[0].state == "waiting"
    world.shop.answer = b"success"
    world.clock.advance(minutes=4)
    assert await world.sandbox.deliver_due() == 1
    assert world.sandbox.bank.outbox.entries()[0].state == "delivered"


async def test_an_error_status_does_not_count(world: World) -> None:
    world.shop.status = 500
    await world.paid("T1")
    await world.sandbox.deliver_due()
    assert world.sandbox.bank.outbox.entries()[0].state == "waiting"


async def test_the_schedule_can_be_compressed(world: World) -> None:
    world.shop.answer = b"fail"
    world.sandbox.bank.clock.compress(3600)
    await world.paid("T1")
    for _ in range(20):
        await world.sandbox.deliver_due()
        world.clock.advance(5)
    assert len(world.shop.raw) == 8


async def test_refunds_are_notified(world: World) -> None:
    await world.paid("T1", "10.00")
    await world.sandbox.deliver_due()
    await world.refund("T1", "3.00", "R1")
    await world.sandbox.deliver_due()
    told = world.shop.received[1]
    assert world.genuine(told)
    assert (told["trade_status"], told["refund_fee"], told["out_biz_no"]) == ("TRADE_SUCCESS", "3.00", "R1")
    assert told["gmt_refund"] == "2026-05-01 20:00:00.000"
    assert told["notify_id"] != world.shop.received[0]["notify_id"]


async def test_the_generation_of_the_documents_is_a_setting(world: World) -> None:
    app = world.sandbox.alipay.apps.get(world.account["app_id"])
    assert app is not None
    await world.paid("T1", "10.00")
    await world.refund("T1", "10.00")
    assert await world.sandbox.deliver_due() == 1, "success only, by default"
    app.triggers = "all"
    await world.paid("T2", "10.00")
    await world.refund("T2", "10.00")
    content = await world.qr("T3")
    world.sandbox.alipay.scan(world.token(content), world.sandbox.buyer())
    await world.call("alipay.trade.close", {"out_trade_no": "T3"})
    await world.sandbox.deliver_due()
    paid, refunded, closed = world.shop.received[1:]
    assert [told["trade_status"] for told in (paid, refunded, closed)] == ["TRADE_SUCCESS", *["TRADE_CLOSED"] * 2]
    assert refunded["refund_fee"] == "10.00"
    assert "refund_fee" not in closed
    assert "gmt_refund" not in closed
    assert closed["gmt_close"]


async def test_without_an_address_nobody_is_told(world: World) -> None:
    biz = {"out_trade_no": "T1", "total_amount": "1.00", "subject": "tea"}
    content = (await world.call("alipay.trade.precreate", biz))["qr_code"]
    world.sandbox.alipay.pay(world.token(content), world.sandbox.buyer())
    assert await world.sandbox.deliver_due() == 0


async def test_gbk_from_request_to_notification(world: World) -> None:
    biz = {"out_trade_no": "T1", "total_amount": "1.00", "subject": "一杯茶"}
    node = await world.call("alipay.trade.precreate", biz, "gbk", notify_url=NOTIFY_URL)
    world.sandbox.alipay.pay(world.token(node["qr_code"]), world.sandbox.buyer())
    found = await world.call("alipay.trade.query", {"out_trade_no": "T1"}, "gbk")
    assert found["subject"] == "一杯茶"
    await world.sandbox.deliver_due()
    (told,) = world.shop.received
    assert (told["charset"], told["subject"]) == ("gbk", "一杯茶")
    assert world.genuine(told)


# --- what can be wrong

GENUINE_BUT_FALSE = {
    "notification_wrong_amount": ("total_amount", "89.88"),
    "notification_wrong_seller": ("seller_id", "2088999999999999"),
    "notification_wrong_app": ("app_id", "9021000199999999"),
}


@pytest.mark.parametrize("fault", sorted(GENUINE_BUT_FALSE))
async def test_genuine_but_false(world: World, fault: str) -> None:
    await world.paid("T1", fault=fault)
    await world.sandbox.deliver_due()
    (told,) = world.shop.received
    name, value = GENUINE_BUT_FALSE[fault]
    assert world.genuine(told)
    assert told[name] == value


@pytest.mark.parametrize("fault", ["notification_forged", "notification_tampered"])
async def test_not_genuine(world: World, fault: str) -> None:
    await world.paid("T1", fault=fault)
    await world.sandbox.deliver_due()
    (told,) = world.shop.received
    assert not world.genuine(told)


async def test_unsigned_and_unknown_order(world: World) -> None:
    await world.paid("T1", fault="notification_unsigned")
    await world.paid("T2", fault="notification_wrong_order")
    await world.sandbox.deliver_due()
    unsigned, stray = world.shop.received
    assert "sign" not in unsigned
    assert stray["out_trade_no"].startswith("NOBODY")
    assert world.genuine(stray)


async def test_lost_doubled_delayed_replayed(world: World) -> None:
    await world.paid("T1", fault="notification_lost")
    assert await world.sandbox.deliver_due() == 0
    await world.paid("T2", fault="notification_doubled")
    assert await world.sandbox.deliver_due() == 2
    assert world.shop.raw[0] == world.shop.raw[1]
    await world.paid("T3", fault="notification_delayed=60")
    assert await world.sandbox.deliver_due() == 0
    world.clock.advance(60)
    assert await world.sandbox.deliver_due() == 1
    await world.paid("T4", fault="notification_replayed")
    assert await world.sandbox.deliver_due() == 1
    world.clock.advance(hours=1)
    assert await world.sandbox.deliver_due() == 1
    world.clock.advance(hours=10)
    assert await world.sandbox.deliver_due() == 0


async def test_reordered(world: World) -> None:
    await world.paid("T1", "10.00", fault="notification_reordered")
    assert await world.sandbox.deliver_due() == 0
    await world.refund("T1", "1.00", "R1")
    assert await world.sandbox.deliver_due() == 2
    refund, payment = world.shop.received
    assert "refund_fee" in refund
    assert "refund_fee" not in payment


async def test_odd_but_true(world: World) -> None:
    await world.paid("T1", fault="notification_unknown_fields, notification_empty_field")
    await world.sandbox.deliver_due()
    (told,) = world.shop.received
    assert told["voucher_detail_list"] == ""
    assert told["aa_neu"] == "值=&%"
    assert world.genuine(told)


async def test_a_weaker_hash(world: World) -> None:
    await world.paid("T1", fault="notification_weak_hash")
    await world.sandbox.deliver_due()
    (told,) = world.shop.received
    assert told["sign_type"] == "RSA"
    assert not world.genuine(told)


async def test_a_forged_claim_without_payment(world: World) -> None:
    content = await world.qr("T1", fault="paid_notice_without_payment")
    world.sandbox.alipay.scan(world.token(content), world.sandbox.buyer())
    await world.sandbox.deliver_due()
    (told,) = world.shop.received
    assert told["trade_status"] == "TRADE_SUCCESS"
    assert not world.genuine(told)
    assert (await world.query("T1"))["trade_status"] == "WAIT_BUYER_PAY"


async def test_a_forged_and_a_lost_return(world: World) -> None:
    faults = world.sandbox.bank.faults
    cashier = (await world.browse("GET", world.page_url())).headers["location"]
    faults.set("return_forged")
    from tests.simulators.merchant import query_of

    back = query_of((await world.browse("POST", cashier, {"action": "pay"})).headers["location"])
    back.pop("from")
    assert not world.genuine(back)
    cashier = (await world.browse("GET", world.page_url(out_trade_no="P2"))).headers["location"]
    faults.set("return_lost")
    stays = await world.browse("POST", cashier, {"action": "pay"})
    assert stays.headers["location"] == cashier
