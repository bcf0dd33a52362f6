"""A trade from its order to its end, as a merchant sees it through the gateway."""

import json
import re

import pytest

from tests.simulators.merchant import World, query_of
from tongbao.simulators.channel import PaymentRefused


async def test_a_qr_is_paid(world: World) -> None:
    content = await world.qr("T1", "88.88")
    assert re.fullmatch(r"https://qr\.alipay\.com/bax[a-z0-9]{21}", content)
    missing = await world.query("T1")
    assert (missing["code"], missing["sub_code"]) == ("40004", "ACQ.TRADE_NOT_EXIST")
    assert missing["receipt_amount"] == "0.00"
    assert missing["out_trade_no"] == "T1"

    world.sandbox.alipay.scan(world.token(content), world.sandbox.buyer())
    waiting = await world.query("T1")
    assert waiting["trade_status"] == "WAIT_BUYER_PAY"
    assert re.fullmatch(r"2026050122001\d{15}", waiting["trade_no"])

    world.sandbox.alipay.pay(world.token(content), world.sandbox.buyer())
    paid = await world.query("T1", query_options=["fund_bill_list"])
    assert paid["trade_status"] == "TRADE_SUCCESS"
    assert paid["total_amount"] == paid["buyer_pay_amount"] == "88.88"
    assert paid["send_pay_date"] == "2026-05-01 20:00:00"
    assert paid["buyer_logon_id"] == "138****8000"
    assert paid["fund_bill_list"] == [{"amount": "88.88", "fund_channel": "ALIPAYACCOUNT"}]


async def test_the_money_moves_and_none_is_made(world: World) -> None:
    bank = world.sandbox.bank
    seller = world.account["seller_id"]
    buyer, before = world.sandbox.buyer(), bank.wallet(seller).balance_minor
    had, total = buyer.balance_minor, bank.total_minor()
    await world.paid("T1", "88.88")
    await world.refund("T1", "8.88", "R1")
    assert (had - buyer.balance_minor, bank.wallet(seller).balance_minor - before) == (80_00, 80_00)
    assert bank.total_minor() == total


async def test_the_node_is_ordered_and_money_is_text(world: World) -> None:
    await world.paid("T1")
    node = await world.query("T1")
    names = list(node)
    assert names[:2] == ["code", "msg"]
    assert names[2:] == sorted(names[2:])
    refused = list(await world.query("NONE"))
    assert refused[:4] == ["code", "msg", "sub_code", "sub_msg"]
    assert refused[4:] == sorted(refused[4:])


async def test_page_pay_walks_through_the_cashier(world: World) -> None:
    opened = await world.browse("GET", world.page_url())
    assert opened.status == 302
    cashier = opened.headers["location"]
    page = await world.browse("GET", cashier)
    assert page.status == 200
    assert "12.50" in page.body.decode()
    assert (await world.query("P1"))["sub_code"] == "ACQ.TRADE_NOT_EXIST", "opening the page is not a trade"

    done = await world.browse("POST", cashier, {"action": "pay", "buyer": world.sandbox.buyer().user_id})
    assert (done.status, done.headers["x-sandbox-outcome"]) == (303, "paid")
    back = query_of(done.headers["location"])
    assert done.headers["location"].startswith("http://shop.test/back?from=alipay&")
    assert back.pop("from") == "alipay"
    assert world.genuine(back)
    assert back["method"] == "alipay.trade.page.pay.return"
    assert (back["out_trade_no"], back["total_amount"]) == ("P1", "12.50")
    assert (await world.query("P1"))["trade_status"] == "TRADE_SUCCESS"
    again = await world.browse("GET", cashier)
    assert again.status == 303, "a paid cashier page goes on to the merchant"


@pytest.mark.parametrize(("action", "status"), [("decline", "WAIT_BUYER_PAY"), ("leave", None)])
async def test_a_buyer_who_does_not_pay(world: World, action: str, status: str | None) -> None:
    cashier = (await world.browse("GET", world.page_url())).headers["location"]
    shown = await world.browse("POST", cashier, {"action": action})
    assert shown.status == 200
    assert shown.headers["x-sandbox-outcome"] == {"decline": "declined", "leave": "abandoned"}[action]
    assert (await world.query("P1")).get("trade_status") == status
    assert await world.sandbox.deliver_due() == 0


async def test_wap_pay_has_its_own_page(world: World) -> None:
    url = world.page_url("alipay.trade.wap.pay", out_trade_no="W1", quit_url="http://shop.test/quit")
    opened = await world.browse("GET", url)
    assert opened.headers["location"].startswith("/alipay/wap/")
    done = await world.browse("POST", opened.headers["location"], {"action": "pay"})
    assert query_of(done.headers["location"])["method"] == "alipay.trade.wap.pay.return"


async def test_a_page_code_is_scanned_by_phone(world: World) -> None:
    cashier = (await world.browse("GET", world.page_url())).headers["location"]
    content = f"https://qr.alipay.com/{cashier.rpartition('/')[2]}"
    world.sandbox.alipay.pay(world.token(content), world.sandbox.buyer())
    state = await world.browse("GET", f"{cashier}/state")
    assert json.loads(state.body) == {"state": "paid", "go": f"{cashier}/return"}
    assert (await world.browse("GET", f"{cashier}/return")).headers["location"].startswith("http://shop.test/back")


async def test_close(world: World) -> None:
    content = await world.qr("T1")
    assert (await world.call("alipay.trade.close", {"out_trade_no": "T1"}))["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    world.sandbox.alipay.scan(world.token(content), world.sandbox.buyer())
    closed = await world.call("alipay.trade.close", {"out_trade_no": "T1"})
    assert closed["code"] == "10000"
    assert (await world.query("T1"))["trade_status"] == "TRADE_CLOSED"
    again = await world.call("alipay.trade.close", {"out_trade_no": "T1"})
    assert again["sub_code"] == "ACQ.REASON_TRADE_STATUS_INVALID"
    with pytest.raises(PaymentRefused, match=r"ACQ\.TRADE_HAS_CLOSE"):
        world.sandbox.alipay.pay(world.token(content), world.sandbox.buyer())
    await world.paid("T2")
    assert (await world.call("alipay.trade.close", {"out_trade_no": "T2"}))["sub_code"] == "ACQ.TRADE_STATUS_ERROR"


async def test_the_trade_number_wins(world: World) -> None:
    number = await world.paid("T1")
    await world.paid("T2")
    node = await world.call("alipay.trade.query", {"out_trade_no": "T2", "trade_no": number})
    assert node["out_trade_no"] == "T1"


# --- time


async def test_an_absolute_deadline_closes_lazily_and_by_timer(world: World) -> None:
    for reference in ("T1", "T2"):
        content = await world.qr(reference, time_expire="2026-05-01 20:10:00", timeout_express="15d")
        world.sandbox.alipay.scan(world.token(content), world.sandbox.buyer())
    world.clock.advance(minutes=10)
    assert (await world.query("T1"))["trade_status"] == "TRADE_CLOSED"
    assert world.sandbox.alipay.book.trades.newest(1)[0].status == "WAIT_BUYER_PAY"
    await world.sandbox.deliver_due()
    assert world.sandbox.alipay.book.trades.newest(1)[0].status == "TRADE_CLOSED"


async def test_a_relative_time_starts_with_the_trade(world: World) -> None:
    content = await world.qr("T1", timeout_express="5m")
    world.clock.advance(minutes=30)
    world.sandbox.alipay.scan(world.token(content), world.sandbox.buyer())
    world.clock.advance(minutes=4)
    assert (await world.query("T1"))["trade_status"] == "WAIT_BUYER_PAY"
    world.clock.advance(minutes=1)
    assert (await world.query("T1"))["trade_status"] == "TRADE_CLOSED"


async def test_page_pay_counts_from_the_request(world: World) -> None:
    cashier = (await world.browse("GET", world.page_url(timeout_express="5m"))).headers["location"]
    world.clock.advance(minutes=5)
    refused = await world.browse("POST", cashier, {"action": "pay"})
    assert refused.headers["x-sandbox-outcome"] == "ACQ.TRADE_HAS_CLOSE"


async def test_a_qr_dies_after_two_hours(world: World) -> None:
    content = await world.qr("T1")
    world.clock.advance(hours=2)
    with pytest.raises(PaymentRefused, match=r"ACQ\.TRADE_HAS_CLOSE"):
        world.sandbox.alipay.scan(world.token(content), world.sandbox.buyer())
    assert (await world.query("T1"))["sub_code"] == "ACQ.TRADE_NOT_EXIST"


async def test_a_paid_trade_finishes_after_a_year(world: World) -> None:
    await world.paid("T1")
    world.clock.advance(days=365)
    assert (await world.query("T1"))["trade_status"] == "TRADE_FINISHED"
    assert (await world.refund("T1", "88.88"))["sub_code"] == "ACQ.TRADE_HAS_FINISHED"


@pytest.mark.parametrize(
    ("fields", "sub_code"),
    [
        ({"time_expire": "2026-05-01 20:00:00"}, "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR"),
        ({"time_expire": "2026-05-01T20:30:00"}, "ACQ.INVALID_PARAMETER"),
        ({"timeout_express": "30s"}, "ACQ.INVALID_PARAMETER"),
        ({"timeout_express": "1.5h"}, "ACQ.INVALID_PARAMETER"),
        ({"timeout_express": "16d"}, "ACQ.INVALID_PARAMETER"),
        ({"total_amount": "0"}, "ACQ.TOTAL_FEE_EXCEED"),
        ({"total_amount": "-1.00"}, "ACQ.TOTAL_FEE_EXCEED"),
        ({"total_amount": "100000000.01"}, "ACQ.TOTAL_FEE_EXCEED"),
        ({"total_amount": "1.001"}, "ACQ.INVALID_PARAMETER"),
        ({"total_amount": "1e3"}, "ACQ.INVALID_PARAMETER"),
        ({"total_amount": True}, "ACQ.INVALID_PARAMETER"),
        ({"total_amount": None}, "ACQ.INVALID_PARAMETER"),
        ({"total_amount": "１.00"}, "ACQ.INVALID_PARAMETER"),
        ({"out_trade_no": "A-1"}, "ACQ.INVALID_PARAMETER"),
        ({"out_trade_no": "A" * 65}, "ACQ.INVALID_PARAMETER"),
        ({"out_trade_no": ""}, "ACQ.INVALID_PARAMETER"),
        ({"subject": ""}, "ACQ.INVALID_PARAMETER"),
        ({"subject": "a/b"}, "ACQ.INVALID_PARAMETER"),
        ({"subject": "a" * 257}, "ACQ.INVALID_PARAMETER"),
        ({"subject": ["a"]}, "ACQ.INVALID_PARAMETER"),
        ({"product_code": "FAST_INSTANT_TRADE_PAY"}, "ACQ.INVALID_PARAMETER"),
        ({"seller_id": "2088000000000000"}, "ACQ.SELLER_NOT_EXIST"),
        ({"goods_detail": [{"goods_id": "1"}]}, "ACQ.INVALID_PARAMETER"),
        ({"goods_detail": [{}] * 151}, "ACQ.SUB_GOODS_SIZE_MAX_COUNT"),
    ],
)
async def test_bad_orders(world: World, fields: dict[str, object], sub_code: str) -> None:
    biz = {"out_trade_no": "T1", "total_amount": "1.00", "subject": "tea", **fields}
    node = await world.call("alipay.trade.precreate", biz)
    assert (node["code"], node["sub_code"]) == ("40004", sub_code)
    assert not world.sandbox.alipay.book.orders.values()


async def test_amounts_may_be_numbers(world: World) -> None:
    for number, value in (("N1", 0.01), ("N2", 100000000), ("N3", 19.9)):
        node = await world.call(
            "alipay.trade.precreate", {"out_trade_no": number, "total_amount": value, "subject": "tea"}
        )
        assert node["code"] == "10000", node


# --- repeats


async def test_repeats_under_one_reference(world: World) -> None:
    content = await world.qr("T1", "5.00")
    biz = {"out_trade_no": "T1", "total_amount": "5.00", "subject": "咖啡 latte"}
    twice = await world.call("alipay.trade.precreate", biz)
    assert twice["sub_code"] == "ACQ.APPLY_PC_MERCHANT_CODE_ERROR"
    first, other = world.sandbox.bank.buyers.values()[:2]
    world.sandbox.alipay.scan(world.token(content), first)
    with pytest.raises(PaymentRefused, match=r"ACQ\.TRADE_BUYER_NOT_MATCH"):
        world.sandbox.alipay.scan(world.token(content), other)
    changed = await world.call("alipay.trade.precreate", {**biz, "total_amount": "6.00"})
    assert changed["sub_code"] == "ACQ.CONTEXT_INCONSISTENT"
    world.sandbox.alipay.pay(world.token(content), first)
    with pytest.raises(PaymentRefused, match=r"ACQ\.TRADE_HAS_SUCCESS"):
        world.sandbox.alipay.pay(world.token(content), first)
    assert (await world.call("alipay.trade.precreate", biz))["sub_code"] == "ACQ.TRADE_HAS_SUCCESS"
    await world.refund("T1", "5.00")
    assert (await world.call("alipay.trade.precreate", biz))["sub_code"] == "ACQ.TRADE_HAS_CLOSE"


async def test_two_cashier_pages_are_one_trade(world: World) -> None:
    first = (await world.browse("GET", world.page_url())).headers["location"]
    second = (await world.browse("GET", world.page_url())).headers["location"]
    assert first != second
    await world.browse("POST", first, {"action": "decline"})
    done = await world.browse("POST", second, {"action": "pay"})
    assert done.status == 303
    assert len(world.sandbox.alipay.book.trades) == 1
    late = await world.browse("GET", world.page_url())
    assert late.status == 200
    assert "ACQ.TRADE_HAS_SUCCESS" in late.body.decode("gbk")


async def test_a_poor_buyer(world: World) -> None:
    poor = world.sandbox.bank.buyers.values()[2]
    content = await world.qr("T1", "1.01")
    with pytest.raises(PaymentRefused, match=r"ACQ\.BUYER_BALANCE_NOT_ENOUGH"):
        world.sandbox.alipay.pay(world.token(content), poor)
    assert (await world.query("T1"))["trade_status"] == "WAIT_BUYER_PAY"
    assert poor.balance_minor == 100


async def test_another_merchants_trade_does_not_exist(world: World) -> None:
    number = await world.paid("T1")
    apps = world.sandbox.alipay.apps
    apps.add("9021000100000099", "2088721000000099", "other@sandbox.example", "other")
    world.account["app_id"], world.key = "9021000100000099", apps.private_key("9021000100000099")
    for biz in ({"out_trade_no": "T1"}, {"trade_no": number}):
        assert (await world.call("alipay.trade.query", biz))["sub_code"] == "ACQ.TRADE_NOT_EXIST"
