"""Money sent out and shared: transfers that are confirmed, batches, profit sharing; and files sent in."""

import hashlib
import json
from typing import Any

import pytest

from tests.simulators.wechatpay.merchant import NOTIFY_URL, World
from tongbao.simulators.channel import PaymentRefused

BILLS, BATCHES, SHARING = "/v3/fund-app/mch-transfer/transfer-bills", "/v3/transfer/batches", "/v3/profitsharing"


def bill(world: World, number: str = "BILL1", amount: int = 500, **more: Any) -> dict[str, Any]:
    return {
        "appid": world.merchant.appid,
        "out_bill_no": number,
        "transfer_scene_id": "1000",
        "openid": world.openid(),
        "transfer_amount": amount,
        "transfer_remark": "奖金",
        "notify_url": NOTIFY_URL,
        "transfer_scene_report_infos": [{"info_type": "活动名称", "info_content": "新会员有礼"}],
        **more,
    }


async def test_a_transfer_is_confirmed_by_its_receiver(world: World) -> None:
    had, wallet = world.sandbox.buyer().balance_minor, world.sandbox.bank.wallet("1900000109").balance_minor
    made = await world.merchant.call("POST", BILLS, bill(world))
    assert (made["state"], made["create_time"]) == ("WAIT_USER_CONFIRM", "2026-05-01T20:00:00+08:00")
    assert await world.merchant.call("POST", BILLS, bill(world)) == made
    found = await world.merchant.call("POST", BILLS, bill(world, amount=501), status=400)
    assert found["message"] == "单号已存在但信息不一致,请查单后比较确认"
    with pytest.raises(PaymentRefused, match="OPENID_MISMATCH"):
        world.wechat.pay(made["package_info"], world.sandbox.buyer("13900139000"))
    params = {"mchId": "1900000109", "appId": world.merchant.appid, "package": made["package_info"]}
    reply = await world.post("/_sandbox/wechatpay/invoke", {"params": params})
    assert json.loads(reply.body)["err_msg"] == "requestMerchantTransfer:ok"
    for path in (f"out-bill-no/{made['out_bill_no']}", f"transfer-bill-no/{made['transfer_bill_no']}"):
        done = await world.merchant.call("GET", f"{BILLS}/{path}")
        assert (done["state"], done["transfer_amount"], done["mch_id"]) == ("SUCCESS", 500, "1900000109")
    assert world.sandbox.buyer().balance_minor == had + 500
    assert world.sandbox.bank.wallet("1900000109").balance_minor == wallet - 500
    await world.wait(0)
    ((envelope, told),) = world.heard()
    assert (envelope["event_type"], envelope["resource"]["original_type"]) == (
        "MCHTRANSFER.BILL.FINISHED",
        "mch_payment",
    )
    assert (told["state"], told["out_bill_no"]) == ("SUCCESS", "BILL1")
    reply = await world.post("/_sandbox/wechatpay/invoke", {"params": params})
    assert json.loads(reply.body)["error"] == "TRANSFER_OVER"
    cancel = f"{BILLS}/out-bill-no/BILL1/cancel"
    assert await world.merchant.refused("POST", cancel, {}) == "INVALID_REQUEST"


async def test_transfers_that_do_not_arrive(world: World) -> None:
    wallet = world.sandbox.bank.wallet("1900000109").balance_minor
    await world.merchant.call("POST", BILLS, bill(world, "LATE"))
    await world.merchant.call("POST", BILLS, bill(world, "FAILS"), fault="transfer_failed")
    await world.merchant.call("POST", BILLS, bill(world, "STOPPED"))
    stopped = await world.merchant.call("POST", f"{BILLS}/out-bill-no/STOPPED/cancel")
    assert stopped["state"] == "CANCELING"
    await world.wait(2)
    assert (await world.merchant.call("POST", f"{BILLS}/out-bill-no/STOPPED/cancel", {}))["state"] == "CANCELLED"
    await world.wait(86_400)
    states = {}
    for number in ("LATE", "FAILS", "STOPPED"):
        found = await world.merchant.call("GET", f"{BILLS}/out-bill-no/{number}")
        states[number] = (found["state"], found.get("fail_reason"))
    assert states == {
        "LATE": ("FAIL", "OVERDUE_CLOSE"),
        "FAILS": ("FAIL", "PAYEE_ACCOUNT_ABNORMAL"),
        "STOPPED": ("CANCELLED", None),
    }
    assert world.sandbox.bank.wallet("1900000109").balance_minor == wallet
    assert len(world.shop.received) == 3


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"transfer_scene_report_infos": []}, 400, "PARAM_ERROR"),
        ({"transfer_scene_id": "9999"}, 403, "NO_AUTH"),
        ({"transfer_amount": 9}, 400, "INVALID_REQUEST"),
        ({"transfer_amount": 200_001_00, "user_recv_style": {"type": "RED_PACKET"}}, 400, "INVALID_REQUEST"),
        ({"transfer_amount": 2000_00}, 400, "PARAM_ERROR"),
        ({"openid": "o" * 28}, 400, "PARAM_ERROR"),
        ({"appid": "wx1"}, 400, "APPID_MCHID_NOT_MATCH"),
        ({"out_bill_no": "with-dash"}, 400, "PARAM_ERROR"),
        ({"transfer_remark": "长" * 33}, 400, "PARAM_ERROR"),
    ],
)
async def test_transfers_that_are_refused(world: World, change: dict[str, Any], status: int, code: str) -> None:
    assert await world.merchant.refused("POST", BILLS, bill(world, **change), status=status) == code
    path = f"{BILLS}/out-bill-no/BILL1"
    assert await world.merchant.refused("GET", path, status=404) == "NOT_FOUND"


async def test_a_name_travels_encrypted(world: World) -> None:
    world.merchant.serial = world.account["public_key_id"]
    named = bill(world, amount=2000_00, user_name=world.merchant.encrypted("李雷"))
    assert (await world.merchant.call("POST", BILLS, named))["state"] == "WAIT_USER_CONFIRM"
    again = {**named, "user_name": world.merchant.encrypted("李雷")}
    assert (await world.merchant.call("POST", BILLS, again))["state"] == "WAIT_USER_CONFIRM"
    short = bill(world, "SHORT")
    assert await world.merchant.refused("POST", BILLS, short, status=403, fault="seller_balance_short") == "NOT_ENOUGH"


def batch(world: World, *openids: str, **more: Any) -> dict[str, Any]:
    details = [
        {"out_detail_no": f"D{place}", "transfer_amount": 100, "transfer_remark": "x", "openid": openid}
        for place, openid in enumerate(openids)
    ]
    whole = {"appid": world.merchant.appid, "out_batch_no": "BATCH1", "batch_name": "奖金", "batch_remark": "x"}
    sums = {"total_amount": 100 * len(openids), "total_num": len(openids), "notify_url": NOTIFY_URL}
    return {**whole, **sums, "transfer_detail_list": details, **more}


async def test_a_batch(world: World) -> None:
    wallet = world.sandbox.bank.wallet("1900000109").balance_minor
    body = batch(world, world.openid(0), "o" * 28, world.openid(1))
    made = await world.merchant.call("POST", BATCHES, body)
    assert made["batch_status"] == "ACCEPTED"
    assert await world.merchant.call("POST", BATCHES, body) == made
    assert await world.merchant.refused("POST", BATCHES, batch(world, world.openid())) == "INVALID_REQUEST"
    bad = batch(world, world.openid(), out_batch_no="BATCH2", total_amount=99)
    assert await world.merchant.refused("POST", BATCHES, bad) == "PARAM_ERROR"
    await world.wait(2)
    query = "?need_query_detail=true&offset=0&limit=20&detail_status=FAIL"
    for path in ("out-batch-no/BATCH1", f"batch-id/{made['batch_id']}"):
        found = await world.merchant.call("GET", f"{BATCHES}/{path}{query}")
        whole = found["transfer_batch"]
        assert (whole["batch_status"], whole["success_num"], whole["fail_amount"]) == ("FINISHED", 2, 100)
        (failed,) = found["transfer_detail_list"]
    paths: tuple[str, ...] = (f"out-batch-no/BATCH1/details/out-detail-no/{failed['out_detail_no']}",)
    paths += (f"batch-id/{made['batch_id']}/details/detail-id/{failed['detail_id']}",)
    for path in paths:
        one = await world.merchant.call("GET", f"{BATCHES}/{path}")
        assert (one["detail_status"], one["fail_reason"]) == ("FAIL", "OPENID_INVALID")
    assert world.sandbox.bank.wallet("1900000109").balance_minor == wallet - 200
    ((envelope, told),) = world.heard()
    assert (envelope["event_type"], told["fail_num"]) == ("MCHTRANSFER.BATCH.FINISHED", 1)
    missing = f"{BATCHES}/out-batch-no/NOTHING?need_query_detail=false"
    assert await world.merchant.refused("GET", missing, status=404) == "NOT_FOUND"


# --- profit sharing


async def shareable(world: World, number: str = "ORDER001", total: int = 10_000) -> str:
    paid = await world.paid(number, total, settle_info={"profit_sharing": True})
    world.clock.advance(60)
    return str(paid["transaction_id"])


async def partner(world: World, mchid: str = "1900000307") -> None:
    """Adds another merchant of the sandbox as a receiver."""
    world.merchant.serial = world.account["public_key_id"]
    body = {"appid": world.merchant.appid, "type": "MERCHANT_ID", "account": mchid, "relation_type": "PARTNER"}
    body["name"] = world.merchant.encrypted("通宝沙箱服务商")
    for _ in range(2):
        assert (await world.merchant.call("POST", f"{SHARING}/receivers/add", body))["account"] == mchid


def shares(world: World, transaction: str, amount: int = 1000, number: str = "S1", **more: Any) -> dict[str, Any]:
    part = {"type": "MERCHANT_ID", "account": "1900000307", "amount": amount, "description": "分给服务商"}
    body = {"appid": world.merchant.appid, "transaction_id": transaction, "out_order_no": number, "receivers": [part]}
    return {**body, "unfreeze_unsplit": False, **more}


async def test_sharing_and_giving_back(world: World) -> None:
    transaction = await shareable(world)
    await partner(world)
    await world.post("/_sandbox/wechatpay/merchants", {"mchid": "1900000307", "notify_url": NOTIFY_URL})
    wallet = world.sandbox.bank.wallet("1900000307").balance_minor
    personal = {"type": "PERSONAL_OPENID", "account": world.openid(), "amount": 5, "description": "nobody added"}
    body = shares(world, transaction)
    body["receivers"].append(personal)
    made = await world.merchant.call("POST", f"{SHARING}/orders", body)
    assert (made["state"], made["receivers"][0]["result"]) == ("PROCESSING", "PENDING")
    assert await world.merchant.refused("POST", f"{SHARING}/orders", shares(world, transaction, 1)) == "INVALID_REQUEST"
    await world.wait(2)
    found = await world.merchant.call("GET", f"{SHARING}/orders/S1?transaction_id={transaction}")
    results = [(one["result"], one.get("fail_reason")) for one in found["receivers"]]
    assert (found["state"], results) == ("FINISHED", [("SUCCESS", None), ("CLOSED", "NO_RELATION")])
    assert world.sandbox.bank.wallet("1900000307").balance_minor == wallet + 1000
    rest = await world.merchant.call("GET", f"{SHARING}/transactions/{transaction}/amounts")
    assert rest == {"transaction_id": transaction, "unsplit_amount": 10_000 - 60 - 1000}
    told = world.other("provider").told(*world.shop.received[-1])[1]
    assert (told["receiver"]["amount"], told["mchid"]) == (1000, "1900000307")

    back = {
        "out_order_no": "S1",
        "out_return_no": "B1",
        "return_mchid": "1900000307",
        "amount": 400,
        "description": "x",
    }
    given = await world.merchant.call("POST", f"{SHARING}/return-orders", back)
    assert given["result"] == "PROCESSING"
    await world.wait(2)
    query = f"{SHARING}/return-orders/B1?out_order_no=S1"
    assert (await world.merchant.call("GET", query))["result"] == "SUCCESS"
    assert world.sandbox.bank.wallet("1900000307").balance_minor == wallet + 600
    over = {**back, "out_return_no": "B2", "amount": 601}
    assert await world.merchant.refused("POST", f"{SHARING}/return-orders", over, status=403) == "NOT_ENOUGH"
    other = {**back, "amount": 401}
    assert await world.merchant.refused("POST", f"{SHARING}/return-orders", other) == "INVALID_REQUEST"

    rest_order = {"transaction_id": transaction, "out_order_no": "U1", "description": "解冻"}
    await world.merchant.call("POST", f"{SHARING}/orders/unfreeze", rest_order)
    await world.wait(2)
    late = shares(world, transaction, number="S9")
    assert await world.merchant.refused("POST", f"{SHARING}/orders", late) == "INVALID_REQUEST"
    gone = {"appid": world.merchant.appid, "type": "MERCHANT_ID", "account": "1900000307"}
    assert await world.merchant.call("POST", f"{SHARING}/receivers/delete", gone)


async def test_sharing_that_is_refused(world: World) -> None:
    plain = (await world.paid("ORDER009"))["transaction_id"]
    fresh = (await world.paid("ORDER001", 10_000, settle_info={"profit_sharing": True}))["transaction_id"]
    path = f"{SHARING}/orders"
    for body, status, message in (
        (shares(world, plain), 400, "非分账订单不支持分账"),
        (shares(world, fresh), 400, "订单处理中，请稍后重试"),
        (shares(world, "4200000000"), 404, "订单不存在"),
    ):
        assert (await world.merchant.call("POST", path, body, status=status))["message"] == message
    world.clock.advance(60)
    found = await world.merchant.call("POST", path, shares(world, fresh, 3001), status=403)
    assert (found["code"], found["message"]) == ("RULE_LIMIT", "分账金额超出最大分账比例")
    await world.merchant.refund("ORDER001", 9000, 10_000)
    found = await world.merchant.call("POST", path, shares(world, fresh, 1000), status=403)
    assert (found["code"], found["message"]) == ("NOT_ENOUGH", "分账金额不足")
    missing = f"{path}/S1?transaction_id={fresh}"
    assert await world.merchant.refused("GET", missing, status=404) == "RESOURCE_NOT_EXISTS"
    world.clock.advance(days=31)
    assert await world.merchant.refused("POST", path, shares(world, fresh, 1)) == "INVALID_REQUEST"


async def test_receivers_that_are_refused(world: World) -> None:
    body = {"appid": world.merchant.appid, "type": "MERCHANT_ID", "account": "1900000307", "relation_type": "PARTNER"}
    path = f"{SHARING}/receivers/add"
    assert await world.merchant.refused("POST", path, body) == "PARAM_ERROR", "the full name is missing"
    assert await world.merchant.refused("POST", path, {**body, "account": "1900000999"}) == "MCH_NOT_EXISTS"
    assert await world.merchant.refused("POST", path, {**body, "relation_type": "CUSTOM"}) == "PARAM_ERROR"
    provider = world.other("provider")
    found = await provider.call("GET", f"{SHARING}/merchant-configs/1900000406")
    assert found == {"max_ratio": 3000, "sub_mchid": "1900000406"}


# --- uploads


def multipart(meta: bytes, content: bytes, name: str = "a.png") -> tuple[bytes, str]:
    mark = b"--frontier"
    head = b'Content-Disposition: form-data; name="%b"'
    parts = [
        mark + b"\r\n" + head % b"meta" + b";\r\nContent-Type: application/json\r\n\r\n" + meta,
        mark + b"\r\n" + head % b"file" + f'; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'.encode() + content,
        mark + b"--\r\n",
    ]
    return b"\r\n".join(parts), "multipart/form-data; boundary=frontier"


@pytest.mark.parametrize(
    ("content", "name", "digest", "status"),
    [
        (b"\x89PNG\r\n--x" + bytes(100), "a.png", None, 200),
        (bytes(2 << 20), "a.JPG", None, 200),
        (bytes((2 << 20) + 1), "a.png", None, 400),
        (b"x", "a.gif", None, 400),
        (b"x", "a.png", "0" * 64, 400),
        (b"x", "a.png", "0", 400),
        (b"", "a.png", None, 400),
    ],
)
async def test_an_upload(world: World, content: bytes, name: str, digest: str | None, status: int) -> None:
    meta = json.dumps({"filename": name, "sha256": digest or hashlib.sha256(content).hexdigest()}).encode()
    body, kind = multipart(meta, content, name)
    path = "/v3/merchant/media/upload"
    reply = await world.merchant.send("POST", path, body, signed=meta, content_type=kind)
    world.merchant.verify(reply.headers, reply.body)
    assert reply.status == status, reply.body.decode()
    assert status != 200 or json.loads(reply.body)["media_id"]
    assert (await world.merchant.send("POST", path, body, content_type=kind)).status == 401, (
        "the meta is what is signed"
    )
