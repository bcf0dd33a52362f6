"""Bills: the real layout, from the ledger of a day in Beijing, behind an address that dies."""

import gzip
import hashlib
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.simulators.wechatpay.merchant import World
from tests.simulators.wechatpay.test_funds import BILLS, SHARING, bill, partner, shareable, shares

TRADE, FUNDS = "/v3/bill/tradebill", "/v3/bill/fundflowbill"
DAY, NEXT_MORNING = "2026-05-01", 14 * 3600


async def fetched(world: World, path: str) -> tuple[str, dict[str, str]]:
    """The file behind a bill's address; its hash has to fit."""
    found = await world.merchant.call("GET", path)
    assert found["hash_type"] == "SHA1"
    where = urlsplit(found["download_url"])
    reply = await world.merchant.send("GET", f"{where.path}?{where.query}")
    assert (reply.status, "wechatpay-signature" in reply.headers) == (200, False)
    plain = gzip.decompress(reply.body) if "tar_type=GZIP" in path else reply.body
    assert hashlib.sha1(plain).hexdigest() == found["hash_value"]
    return plain.decode(), found


def rows(text: str) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Rows and summary by column."""
    assert text.endswith("\r\n")
    lines = text.removesuffix("\r\n").split("\r\n")
    assert all(line.startswith("`") for line in (*lines[1:-2], lines[-1]))
    heads, sums = lines[0].split(","), lines[-2].split(",")
    cells = [line.removeprefix("`").split(",`") for line in lines[1:-2]]
    assert all(len(row) == len(heads) for row in cells)
    shown = [dict(zip(heads, row, strict=True)) for row in cells]
    return shown, dict(zip(sums, lines[-1].removeprefix("`").split(",`"), strict=True))


async def a_day(world: World) -> Any:
    paid = await world.paid("ORDER001", 10_000, description="tea, green", attach="a,b", scene_info=scene("POS,1"))
    await world.merchant.refund("ORDER001", 2500, 10_000)
    await world.wait(3600)
    counter = world.merchant.order("ORDER002", 50, payer={"auth_code": world.code("01")})
    del counter["notify_url"]
    await world.merchant.call(
        "POST", "/v3/pay/transactions/codepay", {**counter, "scene_info": {"store_info": {"id": "1"}}}
    )
    who = {"appid": world.merchant.appid, "mchid": world.merchant.mchid}
    await world.merchant.call("POST", "/v3/pay/transactions/out-trade-no/ORDER002/reverse", who)
    await world.merchant.native("UNPAID01")
    return paid


def scene(device: str) -> dict[str, str]:
    return {"payer_client_ip": "127.0.0.1", "device_id": device}


@pytest.mark.parametrize("tar", ["", "&tar_type=GZIP"])
async def test_the_trade_bill(world: World, tar: str) -> None:
    paid = await a_day(world)
    await world.wait(NEXT_MORNING)
    text, _ = await fetched(world, f"{TRADE}?bill_date={DAY}{tar}")
    shown, sums = rows(text)
    assert text.split("\r\n")[0] == (
        "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
        "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
        "手续费,费率,订单金额,申请退款金额,费率备注"
    )
    assert [(row["商户订单号"], row["交易状态"]) for row in shown] == [
        ("ORDER001", "SUCCESS"),
        ("ORDER001", "REFUND"),
        ("ORDER002", "SUCCESS"),
        ("ORDER002", "REVOKED"),
    ]
    first, back = shown[0], shown[1]
    assert list(first.values()) == [
        "2026-05-01 20:00:00", world.merchant.appid, "1900000109", "0", "POS\\ 1", paid["transaction_id"], "ORDER001",
        world.openid(), "NATIVE", "SUCCESS", "OTHERS", "CNY", "100.00", "0.00", "0", "0", "0.00", "0.00", "", "",
        "tea\\  green", "a\\ b", "0.60000", "0.60%", "100.00", "0.00", "",
    ]  # fmt: skip
    assert (back["应结订单金额"], back["退款金额"], back["商户退款单号"]) == ("0.00", "25.00", "R1")
    assert (back["退款状态"], back["手续费"], back["申请退款金额"]) == ("SUCCESS", "-0.15000", "25.00")
    assert sums == {
        "总交易单数": "4",
        "应结订单总金额": "100.50",
        "退款总金额": "25.50",
        "充值券退款总金额": "0.00",
        "手续费总金额": "0.45000",
        "订单总金额": "100.50",
        "申请退款总金额": "25.50",
    }


async def test_parts_of_the_trade_bill(world: World) -> None:
    await a_day(world)
    await world.wait(NEXT_MORNING)
    shown, _ = rows((await fetched(world, f"{TRADE}?bill_date={DAY}&bill_type=SUCCESS"))[0])
    assert [row["商户订单号"] for row in shown] == ["ORDER001", "ORDER002"]
    assert "退款金额" not in shown[0]
    shown, _ = rows((await fetched(world, f"{TRADE}?bill_date={DAY}&bill_type=REFUND"))[0])
    assert [row["交易状态"] for row in shown] == ["REFUND", "REVOKED"]
    assert shown[0]["退款成功时间"] == "2026-05-01 20:00:02", "though the clock was turned by an hour"


async def test_the_fund_bill_adds_up(world: World) -> None:
    opening = world.sandbox.bank.wallet("1900000109").balance_minor
    await a_day(world)
    made = await world.merchant.call("POST", BILLS, bill(world))
    world.wechat.pay(made["package_info"], world.sandbox.buyer())
    await world.wait(NEXT_MORNING)
    shown, sums = rows((await fetched(world, f"{FUNDS}?bill_date={DAY}"))[0])
    balance = opening
    for row in shown:
        amount = int(row["收支金额(元)"].replace(".", ""))
        balance += amount if row["收支类型"] == "收入" else -amount
        assert row["账户结余(元)"] == f"{balance // 100}.{balance % 100:02d}"
    assert balance == world.sandbox.bank.wallet("1900000109").balance_minor
    assert sums["资金流水总笔数"] == str(len(shown))
    assert {row["业务名称"] for row in shown} == {
        "交易", "扣除交易手续费", "退款", "退还交易手续费", "撤销", "商家转账",
    }  # fmt: skip
    path = f"{FUNDS}?bill_date={DAY}&account_type=FEES"
    assert await world.merchant.refused("GET", path) == "NO_STATEMENT_EXIST"


async def test_the_sharing_bill(world: World) -> None:
    transaction = await shareable(world)
    await partner(world)
    await world.merchant.call("POST", f"{SHARING}/orders", shares(world, transaction))
    await world.wait(NEXT_MORNING)
    shown, sums = rows((await fetched(world, f"{SHARING}/bills?bill_date={DAY}"))[0])
    assert (shown[0]["分账金额(元)"], shown[0]["处理状态"]) == ("10.00", "SUCCESS")
    assert sums["分账总金额(元)"] == "10.00"


async def test_a_providers_bill_of_one_sub_merchant(world: World) -> None:
    provider = world.other("provider")
    order = provider.order("PARTNER1", 500)
    del order["appid"], order["mchid"]
    order |= {"sp_appid": provider.appid, "sp_mchid": provider.mchid, "sub_mchid": "1900000406"}
    world.pay((await provider.call("POST", "/v3/pay/partner/transactions/native", order))["code_url"])
    await world.wait(NEXT_MORNING)
    world.merchant = provider
    shown, _ = rows((await fetched(world, f"{TRADE}?bill_date={DAY}&sub_mchid=1900000406"))[0])
    assert [(row["商户号"], row["特约商户号"]) for row in shown] == [(provider.mchid, "1900000406")]
    other = f"{TRADE}?bill_date={DAY}&sub_mchid=1900000208"
    assert await provider.refused("GET", other) == "NO_STATEMENT_EXIST"


async def test_a_day_ends_at_midnight_in_beijing(world: World) -> None:
    await world.wait(4 * 3600 - 1)
    await world.paid("BEFORE1")
    await world.wait(1)
    await world.paid("AFTER01")
    await world.wait(9 * 3600)
    shown, _ = rows((await fetched(world, f"{TRADE}?bill_date={DAY}"))[0])
    assert [row["商户订单号"] for row in shown] == ["BEFORE1"]
    assert await world.merchant.refused("GET", f"{TRADE}?bill_date=2026-05-02") == "INVALID_REQUEST", "today"
    await world.wait(24 * 3600)
    shown, _ = rows((await fetched(world, f"{TRADE}?bill_date=2026-05-02"))[0])
    assert [row["商户订单号"] for row in shown] == ["AFTER01"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("bill_date=2026-05-01", "STATEMENT_CREATING"),
        ("bill_date=2026-04-30", "NO_STATEMENT_EXIST"),
        ("bill_date=2026-05-03", "INVALID_REQUEST"),
        ("bill_date=2026-01-01", "INVALID_REQUEST"),
        ("bill_date=2026-02-30", "INVALID_REQUEST"),
        ("bill_date=20260430", "PARAM_ERROR"),
        ("bill_type=ALL", "PARAM_ERROR"),
        ("bill_date=2026-04-30&bill_type=SOME", "PARAM_ERROR"),
        ("bill_date=2026-04-30&tar_type=ZIP", "PARAM_ERROR"),
        ("bill_date=2026-04-30&bill_type=RECHARGE_REFUND", "NO_STATEMENT_EXIST"),
    ],
)
async def test_bills_that_are_not_there(world: World, query: str, code: str) -> None:
    await world.paid()
    await world.wait(NEXT_MORNING - 3600 - 1)
    assert await world.merchant.refused("GET", f"{TRADE}?{query}") == code


async def test_the_address(world: World) -> None:
    await world.paid()
    await world.wait(NEXT_MORNING)
    _, found = await fetched(world, f"{TRADE}?bill_date={DAY}")
    where = urlsplit(found["download_url"])
    target = f"{where.path}?{where.query}"
    other = world.other("provider")
    assert await other.refused("GET", target, status=403) == "NO_AUTH"
    reply = await world.merchant.send("GET", target, auth="Bearer x")
    assert reply.status == 401
    await world.wait(299)
    assert (await world.merchant.send("GET", target)).status == 200
    await world.wait(1)
    assert await world.merchant.refused("GET", target) == "INVALID_REQUEST"
    assert await world.merchant.refused("GET", f"{where.path}?token=x") == "INVALID_REQUEST"


async def test_faults_of_bills(world: World) -> None:
    await world.paid()
    await world.wait(NEXT_MORNING)
    path = f"{TRADE}?bill_date={DAY}"
    assert await world.merchant.refused("GET", path, fault="statement_creating") == "STATEMENT_CREATING"
    assert await world.merchant.refused("GET", path, fault="statement_missing") == "NO_STATEMENT_EXIST"
    for fault, status in (("statement_expired", 400), ("statement_altered", 200)):
        found = await world.merchant.call("GET", path, fault=fault)
        where = urlsplit(found["download_url"])
        reply = await world.merchant.send("GET", f"{where.path}?{where.query}")
        assert reply.status == status
        assert hashlib.sha1(reply.body).hexdigest() != found["hash_value"]
    found = await world.merchant.call("GET", path)
    where = urlsplit(found["download_url"])
    reply = await world.merchant.send("GET", f"{where.path}?{where.query}", x_sandbox_fault="reply_truncated")
    assert hashlib.sha1(reply.body).hexdigest() != found["hash_value"]
