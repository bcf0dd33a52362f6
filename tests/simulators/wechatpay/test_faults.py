"""What can be made to go wrong between a merchant and WeChat Pay, and that a fault does what its sentence says."""

import base64
import gzip
import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature

from tests.simulators.wechatpay.merchant import World
from tongbao.domain.errors import OutcomeUnknown
from tongbao.simulators.faults import Fault
from tongbao.transport import Reply

NATIVE = "/v3/pay/transactions/native"
PATH = "/v3/pay/transactions/out-trade-no/ORDER001?mchid=1900000109"
STRUCK_ELSEWHERE = {
    # in test_refunds, test_bills, test_funds, test_payments, test_notifications
    "seller_balance_short", "refund_delayed", "refund_abnormal", "refund_closed", "transfer_failed", "number_used",
    "statement_expired", "statement_missing", "statement_creating", "statement_altered",
    "notification_lost", "notification_doubled", "notification_delayed", "notification_reordered",
    "notification_replayed", "notification_forged", "notification_unsigned", "notification_tampered",
    "notification_wrong_amount", "notification_wrong_seller", "notification_wrong_app", "notification_wrong_order",
    "notification_unknown_fields", "notification_probed", "notification_stale", "notification_unknown_serial",
    "notification_key_rotated", "notification_other_secret", "paid_notice_without_payment",
}  # fmt: skip
STRUCK_HERE = {
    "unreachable", "unavailable", "bad_gateway", "call_limited", "no_permission", "slow", "buyer_balance_short",
    "payment_then_paid", "payment_then_closed", "reply_lost", "reply_never", "reply_unavailable", "reply_system_error",
    "reply_bad_signature", "reply_unsigned", "reply_tampered", "reply_truncated", "reply_not_json", "reply_wrong_trade",
    "reply_wrong_amount", "reply_key_rotated", "reply_probed", "reply_stale", "reply_unknown_serial",
    "reply_compressed", "trade_expired", "return_lost",
}  # fmt: skip


def test_there_are_enough_and_all_are_faults() -> None:
    assert len(STRUCK_HERE | STRUCK_ELSEWHERE) >= 50
    assert {fault.code for fault in Fault} >= STRUCK_HERE | STRUCK_ELSEWHERE


async def struck(world: World, fault: str, **more: Any) -> Reply:
    return await world.merchant.send("GET", PATH, x_sandbox_fault=fault, **more)


async def created(world: World, fault: str) -> Reply:
    body = json.dumps(world.merchant.order()).encode()
    return await world.merchant.send("POST", NATIVE, body, x_sandbox_fault=fault)


async def exists(world: World) -> bool:
    return (await world.merchant.send("GET", PATH)).status == 200


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("unavailable", 503, "SERVICE_UNAVAILABLE"),
        ("bad_gateway", 502, ""),
        ("call_limited", 429, "FREQUENCY_LIMITED"),
        ("no_permission", 403, "NO_AUTH"),
    ],
)
async def test_nothing_is_done(world: World, fault: str, status: int, code: str) -> None:
    reply = await created(world, fault)
    assert reply.status == status
    assert not code or json.loads(reply.body)["code"] == code
    assert not await exists(world)
    if status in (403, 429):
        world.merchant.verify(reply.headers, reply.body)
    else:
        assert "wechatpay-signature" not in reply.headers


@pytest.mark.parametrize(("fault", "done"), [("unreachable", False), ("reply_lost", True), ("reply_never", True)])
async def test_no_answer(world: World, fault: str, done: bool) -> None:
    with pytest.raises(OutcomeUnknown):
        await created(world, fault)
    assert await exists(world) is done


@pytest.mark.parametrize(
    ("fault", "status"), [("reply_unavailable", 503), ("reply_system_error", 500), ("reply_not_json", 200)]
)
async def test_done_but_not_said(world: World, fault: str, status: int) -> None:
    assert (await created(world, fault)).status == status
    assert await exists(world)


@pytest.mark.parametrize(
    "fault",
    [
        "reply_bad_signature",
        "reply_tampered",
        "reply_truncated",
        "reply_probed",
        "reply_unknown_serial",
        "reply_unsigned",
    ],
)
async def test_answers_that_must_not_be_believed(world: World, fault: str) -> None:
    await world.paid()
    reply = await struck(world, fault)
    with pytest.raises((InvalidSignature, KeyError, ValueError)):
        world.merchant.verify(reply.headers, reply.body)
    assert ("wechatpay-signature" in reply.headers) is (fault != "reply_unsigned")
    assert reply.headers.get("wechatpay-signature", "").startswith("WECHATPAY/SIGNTEST/") is (fault == "reply_probed")


async def test_an_answer_without_a_body_can_be_altered_too(world: World) -> None:
    await world.merchant.native()
    path = "/v3/pay/transactions/out-trade-no/ORDER001/close"
    body = b'{"mchid":"1900000109"}'
    for fault in ("reply_tampered", "reply_bad_signature"):
        reply = await world.merchant.send("POST", path, body, x_sandbox_fault=fault)
        assert (reply.status, reply.body) == (204, b"")
        with pytest.raises(InvalidSignature):
            world.merchant.verify(reply.headers, reply.body)


async def test_stale_rotated_compressed(world: World) -> None:
    await world.paid()
    reply = await struck(world, "reply_stale=301")
    with pytest.raises(AssertionError, match="stale"):
        world.merchant.verify(reply.headers, reply.body)
    reply = await struck(world, "reply_key_rotated")
    assert reply.headers["wechatpay-serial"] not in world.merchant.keys
    issued = json.loads((await world.post("/_sandbox/wechatpay/keys", {"action": "issue"})).body)["certificates"]
    assert reply.headers["wechatpay-serial"] == issued[1]["serial"]
    reply = await struck(world, "reply_compressed", accept_encoding="gzip, deflate")
    assert reply.headers["content-encoding"] == "gzip"
    world.merchant.verify(reply.headers, gzip.decompress(reply.body))
    reply = await struck(world, "reply_compressed")
    world.merchant.verify(reply.headers, reply.body)


async def test_validly_signed_lies(world: World) -> None:
    await world.paid()
    truth = await world.merchant.query("ORDER001")
    for fault, name in (("reply_wrong_trade", "out_trade_no"), ("reply_wrong_amount", "amount")):
        told = await world.merchant.call("GET", PATH, fault=fault)
        assert {key for key in truth if told[key] != truth[key]} == {name}


async def test_the_buyers_side(world: World) -> None:
    from tongbao.simulators.channel import PaymentRefused

    code = await world.merchant.native(fault="trade_expired")
    with pytest.raises(PaymentRefused, match="ORDERCLOSED"):
        world.pay(code)
    world.sandbox.bank.faults.set("buyer_balance_short", channel="wechatpay")
    code = await world.merchant.native("ORDER002")
    with pytest.raises(PaymentRefused, match="NOTENOUGH"):
        world.pay(code)
    world.pay(code)


@pytest.mark.parametrize(
    ("fault", "status", "shown", "later"),
    [
        ("payment_then_paid=5", 202, "USERPAYING", "SUCCESS"),
        ("payment_then_closed", 202, "USERPAYING", "USERPAYING"),
        ("buyer_balance_short", 403, "NOT_ENOUGH", ""),
    ],
)
async def test_at_the_counter(world: World, fault: str, status: int, shown: str, later: str) -> None:
    body = world.merchant.order(payer={"auth_code": world.code("01")}, scene_info={"store_info": {"id": "1"}})
    del body["notify_url"]
    found = await world.merchant.call("POST", "/v3/pay/transactions/codepay", body, status=status, fault=fault)
    assert found.get("trade_state", found.get("code")) == shown
    await world.wait(6)
    if later:
        assert (await world.merchant.query("ORDER001"))["trade_state"] == later


async def test_the_board_is_scoped(world: World) -> None:
    board = world.sandbox.bank.faults
    board.set("call_limited", channel="alipay")
    board.set("call_limited", merchant="1900000307")
    board.set("call_limited", method="/v3/certificates")
    board.set("reply_unsigned", method="/v3/pay/transactions/out-trade-no/{out_trade_no}")
    await world.merchant.native()
    assert (await world.merchant.send("GET", "/v3/certificates")).status == 429
    assert (await world.merchant.send("GET", "/v3/certificates")).status == 200
    assert "wechatpay-signature" not in (await world.merchant.send("GET", PATH)).headers
    assert (await world.other("provider").send("GET", "/v3/certificates")).status == 429
    assert [rule.channel for rule in board.rules()] == ["alipay"]


async def test_slow_and_unknown(world: World) -> None:
    world.merchant.clock.advance(0)
    reply = await struck(world, "slow=0.01")
    assert reply.status == 404
    reply = await struck(world, "nonsense")
    assert reply.status == 400
    world.merchant.verify(reply.headers, reply.body)
    assert base64.b64decode(reply.headers["wechatpay-signature"])
