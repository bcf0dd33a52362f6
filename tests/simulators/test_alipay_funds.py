"""Money besides trades: transfers, splits, agreements, freezes; and the statement that must agree with all of it."""

import io
import zipfile
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.simulators.merchant import HOST, NOTIFY_URL, World, query_of
from tests.simulators.test_alipay_modes import certified as certified
from tests.simulators.test_alipay_modes import serials


async def transfer(world: World, number: str = "X1", amount: str = "12.00", **more: Any) -> Any:
    payee = {"identity": world.account["buyers"][1]["user_id"], "identity_type": "ALIPAY_USER_ID"}
    biz = {"out_biz_no": number, "trans_amount": amount, "product_code": "TRANS_ACCOUNT_NO_PWD", "payee_info": payee}
    biz["biz_scene"] = "DIRECT_TRANSFER"
    return await cert_call(world, "alipay.fund.trans.uni.transfer", {**biz, **more})


async def cert_call(world: World, method: str, biz: Any) -> Any:
    import json

    reply = await world.send(world.signed(world.params(method, biz, **serials(world))))
    return json.loads(reply.body)[method.replace(".", "_") + "_response"]


async def test_a_transfer_is_made_once(certified: World) -> None:
    buyer = certified.sandbox.bank.buyers.values()[1]
    had = buyer.balance_minor
    first, again = await transfer(certified), await transfer(certified)
    assert (first["status"], first["order_id"]) == ("SUCCESS", again["order_id"])
    assert buyer.balance_minor == had + 12_00
    other = await transfer(certified, amount="13.00")
    assert other["sub_code"] == "PAYMENT_INFO_INCONSISTENCY"
    found = await cert_call(certified, "alipay.fund.trans.common.query", {"out_biz_no": "X1"})
    assert (found["order_id"], found["trans_amount"], found["status"]) == (first["order_id"], "12.00", "SUCCESS")
    missing = await cert_call(certified, "alipay.fund.trans.common.query", {"out_biz_no": "X2"})
    assert missing["sub_code"] == "ORDER_NOT_EXIST"


@pytest.mark.parametrize(
    ("changes", "sub_code"),
    [
        ({"trans_amount": "0.09"}, "EXCEED_LIMIT_SM_MIN_AMOUNT"),
        ({"trans_amount": "50000.00"}, "MEMO_REQUIRED_IN_TRANSFER_ERROR"),
        ({"trans_amount": "x"}, "INVALID_PARAMETER"),
        ({"product_code": "GIFT"}, "INVALID_PARAMETER"),
        ({"payee_info": {"identity": "nobody", "identity_type": "ALIPAY_USER_ID"}}, "PAYEE_NOT_EXIST"),
        ({"payee_info": {"identity": "13800138000", "identity_type": "ALIPAY_LOGON_ID"}}, "PAYEE_ACC_OCUPIED"),
        (
            {"payee_info": {"identity": "13800138000", "identity_type": "ALIPAY_LOGON_ID", "name": "张三"}},
            "PAYEE_USERINFO_ERROR",
        ),
        ({"payee_info": {"identity": "x", "identity_type": "TELEX"}}, "INVALID_PARAMETER"),
    ],
)
async def test_bad_transfers(certified: World, changes: dict[str, Any], sub_code: str) -> None:
    assert (await transfer(certified, **changes))["sub_code"] == sub_code


async def test_transfers_need_certificates(world: World) -> None:
    import json

    method = "alipay.fund.trans.uni.transfer"
    reply = await world.send(world.signed(world.params(method, {"out_biz_no": "X"})))
    assert json.loads(reply.body)["alipay_fund_trans_uni_transfer_response"]["code"] == "40006"


# --- splits


async def test_a_split(world: World) -> None:
    number = await world.paid("T1", "100.00")
    receiver, other = world.account["buyers"][1]["user_id"], world.account["buyers"][2]["user_id"]
    params = [{"trans_in": receiver, "trans_in_type": "userId", "amount": "30.00"}]
    biz: dict[str, Any] = {"out_request_no": "S1", "trade_no": number, "royalty_parameters": params}
    settle, relation = "alipay.trade.order.settle", "alipay.trade.royalty.relation."
    assert (await world.call(settle, biz))["sub_code"] == "ACQ.ROYALTY_RECEIVER_INVALID"
    bound = {"out_request_no": "B1", "receiver_list": [{"type": "userId", "account": receiver, "memo": "partner"}]}
    for _ in range(2):
        assert (await world.call(f"{relation}bind", bound))["result_code"] == "SUCCESS"
    listed = await world.call(f"{relation}batchquery", {"out_request_no": "Q1"})
    assert listed["receiver_list"] == [{"type": "userId", "account": receiver, "memo": "partner"}]
    had = world.sandbox.bank.buyers.values()[1].balance_minor
    first = await world.call(settle, biz)
    assert first["settle_no"] == (await world.call(settle, biz))["settle_no"]
    assert world.sandbox.bank.buyers.values()[1].balance_minor == had + 30_00
    changed = {**biz, "royalty_parameters": [{**params[0], "amount": "31.00"}]}
    assert (await world.call(settle, changed))["sub_code"] == "ACQ.DISCORDANT_REPEAT_REQUEST"
    more = {**biz, "out_request_no": "S2", "royalty_parameters": [{**params[0], "amount": "70.01"}]}
    assert (await world.call(settle, more))["sub_code"] == "ACQ.ALLOC_AMOUNT_VALIDATE_ERROR"
    wallet = world.sandbox.bank.wallet(world.account["seller_id"])
    wallet.balance_minor, held = 1, wallet.balance_minor
    poor = {**biz, "out_request_no": "S6"}
    assert (await world.call(settle, poor))["sub_code"] == "ACQ.TXN_RESULT_ACCOUNT_BALANCE_NOT_ENOUGH"
    wallet.balance_minor = held
    stranger = {**biz, "out_request_no": "S3", "royalty_parameters": [{"trans_in": other, "amount": "1.00"}]}
    assert (await world.call(settle, stranger))["sub_code"] == "ACQ.ROYALTY_RECEIVER_INVALID"
    finish = {"out_request_no": "S4", "trade_no": number, "extend_params": {"royalty_finish": "true"}}
    assert (await world.call(settle, finish))["code"] == "10000"
    late = {**biz, "out_request_no": "S5"}
    assert (await world.call(settle, late))["sub_code"] == "ACQ.ALREADY_FINISH_ALLOC"
    asked = await world.call("alipay.trade.order.settle.query", {"settle_no": first["settle_no"]})
    (detail,) = asked["royalty_detail_list"]
    assert (detail["trans_in"], detail["amount"], detail["state"]) == (receiver, "30.00", "SUCCESS")
    await world.call(f"{relation}unbind", bound)
    assert (await world.call(f"{relation}batchquery", {"out_request_no": "Q2"}))["total_record_num"] == 0


# --- agreements


async def test_an_agreement_from_signing_to_its_end(world: World) -> None:
    rules = {
        "period_type": "MONTH",
        "period": 1,
        "execute_time": "2026-05-02",
        "single_amount": "30.00",
        "total_payments": 2,
    }
    biz = {
        "personal_product_code": "CYCLE_PAY_AUTH_P",
        "sign_scene": "INDUSTRY|DIGITAL_MEDIA",
        "external_agreement_no": "AG1",
        "access_params": {"channel": "QRCODE"},
        "period_rule_params": rules,
    }
    params = world.params(
        "alipay.user.agreement.page.sign", biz, notify_url=NOTIFY_URL, return_url="http://shop.test/signed"
    )
    from urllib.parse import urlencode

    page = (await world.browse("GET", f"/alipay/gateway.do?{urlencode(world.signed(params))}")).headers["location"]
    assert "30.00" in (await world.browse("GET", page)).body.decode()
    done = await world.browse("POST", page, {"action": "pay"})
    assert done.headers["x-sandbox-outcome"] == "signed"
    back = query_of(done.headers["location"])
    assert world.genuine(back)
    await world.sandbox.deliver_due()
    told = world.shop.received[0]
    assert (told["notify_type"], told["status"], told["external_agreement_no"]) == ("dut_user_sign", "NORMAL", "AG1")
    assert world.genuine(told)
    agreement = {"agreement_no": back["agreement_no"]}
    assert (await world.call("alipay.user.agreement.query", agreement))["status"] == "NORMAL"

    async def deduct(reference: str, amount: str, number: str = "") -> Any:
        order = {"out_trade_no": reference, "total_amount": amount, "subject": "month"}
        order["product_code"] = "CYCLE_PAY_AUTH"
        chosen = {"agreement_no": number or back["agreement_no"]}
        return await world.call("alipay.trade.pay", {**order, "agreement_params": chosen})

    assert (await deduct("D0", "30.01"))["sub_code"] == "ACQ.CYCLE_PAY_SINGLE_FEE_EXCEED"
    assert (await deduct("D0", "1.00", "nothing"))["sub_code"] == "ACQ.AGREEMENT_NOT_EXIST"
    assert (await deduct("D1", "30.00"))["code"] == "10000"
    assert (await world.query("D1"))["trade_status"] == "TRADE_SUCCESS"
    assert (await deduct("D2", "30.00"))["code"] == "10000"
    assert (await deduct("D3", "30.00"))["sub_code"] == "ACQ.CYCLE_PAY_TOTAL_TIMES_EXCEED"
    assert (await world.call("alipay.user.agreement.unsign", agreement))["code"] == "10000"
    assert (await deduct("D4", "1.00"))["sub_code"] == "ACQ.AGREEMENT_INVALID"
    await world.sandbox.deliver_due()
    assert world.shop.received[-1]["status"] == "UNSIGN"


# --- freezes


async def test_a_freeze_is_paid_out_and_given_back(world: World) -> None:
    buyer, had = world.sandbox.buyer(), world.sandbox.buyer().balance_minor
    code = {"auth_code": "280150000000000015", "auth_code_type": "bar_code", "product_code": "PRE_AUTH"}
    biz = {"out_order_no": "F1", "out_request_no": "F1R", "order_title": "deposit", "amount": "100.00", **code}
    frozen = await world.call("alipay.fund.auth.order.freeze", biz)
    assert (frozen["status"], frozen["amount"]) == ("SUCCESS", "100.00")
    assert (await world.call("alipay.fund.auth.order.freeze", biz))["auth_no"] == frozen["auth_no"]
    assert buyer.balance_minor == had - 100_00
    order = {"out_trade_no": "F1P", "total_amount": "60.00", "subject": "stay", "product_code": "PRE_AUTH"}
    assert (await world.call("alipay.trade.pay", {**order, "auth_no": frozen["auth_no"]}))["code"] == "10000"
    more = {**order, "out_trade_no": "F2P", "auth_no": frozen["auth_no"]}
    assert (await world.call("alipay.trade.pay", more))["sub_code"] == "ACQ.AUTH_AMOUNT_NOT_ENOUGH"
    back = {"auth_no": frozen["auth_no"], "out_request_no": "F1U", "amount": "40.00", "remark": "rest"}
    for _ in range(2):
        assert (await world.call("alipay.fund.auth.order.unfreeze", back))["status"] == "SUCCESS"
    assert buyer.balance_minor == had - 60_00
    detail = await world.call(
        "alipay.fund.auth.operation.detail.query", {"auth_no": frozen["auth_no"], "out_request_no": "F1U"}
    )
    assert (detail["operation_type"], detail["rest_amount"], detail["total_pay_amount"]) == (
        "UNFREEZE",
        "0.00",
        "60.00",
    )


@pytest.mark.parametrize(
    ("buyer", "outcome", "sub_code"),
    [
        (0, "04", "BUYER_BALANCE_NOT_ENOUGH"),
        (0, "07", "PAYMENT_AUTH_CODE_INVALID"),
        (2, "01", "BUYER_BALANCE_NOT_ENOUGH"),
    ],
)
async def test_a_code_does_to_a_freeze_what_it_does_to_a_payment(
    world: World, buyer: int, outcome: str, sub_code: str
) -> None:
    codes = world.account["buyers"][buyer]["auth_codes"]
    code = next(one["code"] for one in codes if one["code"][2:4] == outcome)
    biz = {"out_order_no": "F9", "out_request_no": "F9R", "order_title": "deposit", "amount": "100.00"}
    refused = await world.call(
        "alipay.fund.auth.order.freeze", {**biz, "auth_code": code, "auth_code_type": "bar_code"}
    )
    assert refused["sub_code"] == sub_code


# --- statements


async def statement(world: World, kind: str = "trade", date: str = "2026-05-01") -> Any:
    method = "alipay.data.dataservice.bill.downloadurl.query"
    return await world.call(method, {"bill_type": kind, "bill_date": date})


async def fetched(world: World, url: str) -> dict[str, list[str]]:
    assert url.startswith(f"http://{HOST}/alipay/downloadBillFile.resource?")
    reply = await world.browse("GET", url)
    assert reply.status == 200
    archive = zipfile.ZipFile(io.BytesIO(reply.body), metadata_encoding="gbk")
    assert not any(entry.flag_bits & 0x800 for entry in archive.infolist()), "names carry no UTF-8 flag"
    return {name: archive.read(name).decode("gbk").split("\r\n") for name in archive.namelist()}


async def test_the_statement_agrees_with_the_trades(world: World) -> None:
    number = await world.paid("T1", "10.00", body="a,b")
    await world.refund("T1", "3.00", "R1")
    await world.paid("T2", "5.50")
    assert (await statement(world))["sub_code"] == "BILL_NOT_EXIST"
    world.clock.advance(hours=12)
    assert (await statement(world))["sub_code"] == "BILL_NOT_EXIST", "ready at nine"
    world.clock.advance(hours=1)
    assert world.clock.now() == datetime(2026, 5, 2, 1, tzinfo=UTC)
    files = await fetched(world, (await statement(world))["bill_download_url"])
    seller = world.account["seller_id"]
    detail = files[f"{seller}0156_20260501_业务明细.csv"]
    assert detail[0] == "#支付宝业务明细查询"
    assert detail[1] == f"#账号：[{seller}0156]"
    assert detail[2] == "#起始日期：[2026年05月01日 00:00:00]   终止日期：[2026年05月02日 00:00:00]"
    heads, *rows = [line.split(",") for line in detail if line and not line.startswith("#")]
    assert len(heads) == 25
    assert [len(row) for row in rows] == [25] * 3
    shown = [dict(zip(heads, (cell.rstrip("\t") for cell in row), strict=True)) for row in rows]
    assert [(row["商户订单号"], row["业务类型"], row["订单金额（元）"]) for row in shown] == [
        ("T1", "交易", "10.00"),
        ("T1", "退款", "-3.00"),
        ("T2", "交易", "5.50"),
    ]
    assert (shown[1]["支付宝交易号"], shown[1]["退款批次号/请求号"]) == (number, "R1")
    assert rows[0][0].endswith("\t")
    assert "#交易合计：2笔，商家实收共15.50元，商家优惠共0.00元" in detail
    assert "#退款合计：1笔，商家实收退款共-3.00元，商家优惠退款共0.00元" in detail
    summary = files[f"{seller}0156_20260501_业务明细(汇总).csv"]
    assert any(line.startswith("合计,,2,1,12.50,") for line in summary)
    account = await fetched(world, (await statement(world, "signcustomer"))["bill_download_url"])
    assert any("#收入合计：2笔，共15.50元" in lines for lines in account.values())


async def test_the_address_dies(world: World) -> None:
    await world.paid("T1")
    world.clock.advance(days=1)
    url = (await statement(world))["bill_download_url"]
    world.clock.advance(30)
    assert (await world.browse("GET", url)).status == 403
    world.sandbox.bank.faults.set("statement_expired")
    assert (await world.browse("GET", (await statement(world))["bill_download_url"])).status == 403
    world.sandbox.bank.faults.set("statement_missing")
    assert (await statement(world))["sub_code"] == "BILL_NOT_EXIST"


async def test_bad_statement_requests(world: World) -> None:
    world.clock.advance(days=40)
    assert (await statement(world, date="2026-05-01"))["sub_code"] == "NO_BILL_DATA"
    assert (await statement(world, date="20260501"))["sub_code"] == "INVAILID_ARGUMENTS"
    assert (await statement(world, kind="wishes"))["sub_code"] == "TYPE_NOT_SUPPORTED"
    assert (await statement(world, date="2026-06"))["sub_code"] == "BILL_NOT_EXIST"
