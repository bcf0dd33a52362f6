"""Notifications: encrypted, signed anew for each try, on the channel's plan, and all that may be wrong with one."""

import base64
import json
import re
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag

from tests.simulators.wechatpay.merchant import World

PLAN = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10_800, 10_800, 10_800, 21_600, 21_600)
TRANSFER_PLAN = (15,) * 10 + (300,) * 10 + (1800,) * 44


async def notified(world: World, fault: str = "", *, by_board: bool = False) -> tuple[Any, bytes]:
    """The only notification of a payment that was made under a fault."""
    if by_board:
        world.sandbox.bank.faults.set(fault, channel="wechatpay")
    await world.paid(fault="" if by_board else fault)
    await world.sandbox.deliver_due()
    assert len(world.shop.received) == 1
    return world.shop.received[0]


async def test_a_payment_is_told(world: World) -> None:
    headers, body = await notified(world)
    envelope, told = world.merchant.told(headers, body)
    assert list(json.loads(body)) == ["id", "create_time", "resource_type", "event_type", "summary", "resource"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", envelope["id"])
    assert envelope["create_time"] == "2026-05-01T20:00:00+08:00"
    assert (envelope["resource_type"], envelope["summary"]) == ("encrypt-resource", "支付成功")
    resource = envelope["resource"]
    assert (resource["algorithm"], resource["original_type"]) == ("AEAD_AES_256_GCM", "transaction")
    assert (resource["associated_data"], len(resource["nonce"])) == ("transaction", 12)
    assert told == await world.merchant.query("ORDER001")
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "Mozilla/4.0"
    assert re.fullmatch(r"[0-9A-Z]{32}", headers["wechatpay-nonce"])
    assert re.fullmatch(r"[0-9A-F]+-0", headers["request-id"])


async def test_fifteen_tries_each_signed_anew(world: World) -> None:
    world.shop.status = 500
    await notified(world)
    for delay in PLAN:
        await world.wait(delay - 1)
        tries = len(world.shop.received)
        await world.wait(1)
        assert len(world.shop.received) == tries + 1
    await world.wait(86_400)
    assert len(world.shop.received) == len(PLAN) + 1
    assert sum(PLAN) == 24 * 3600 + 240
    assert len({body for _, body in world.shop.received}) == 1
    assert len({headers["wechatpay-signature"] for headers, _ in world.shop.received}) == 16
    assert len({headers["wechatpay-nonce"] for headers, _ in world.shop.received}) == 16
    assert world.sandbox.bank.outbox.entries()[0].state == "given_up"


@pytest.mark.parametrize(
    ("status", "delivered"),
    [(200, True), (204, True), (201, False), (202, False), (302, False), (400, False), (500, False)],
)
async def test_only_200_and_204_are_yes(world: World, status: int, delivered: bool) -> None:
    world.shop.status = status
    world.shop.body = b'{"code":"FAIL","message":"no"}' if delivered else b'{"code":"SUCCESS"}'
    await notified(world)
    assert world.sandbox.bank.outbox.entries()[0].state == ("delivered" if delivered else "waiting")


async def test_schedules_can_be_compressed(world: World) -> None:
    world.shop.status = 500
    world.sandbox.bank.clock.compress(60)
    await notified(world)
    for delay in PLAN:
        await world.wait(delay / 60)
    assert len(world.shop.received) == 16


async def test_by_public_key_as_far_as_the_merchant_has_gone_over(world: World) -> None:
    certificate = world.account["platform_certificates"][0]["serial"]
    seen = set()
    for share in (0, 100, 50):
        await world.post("/_sandbox/wechatpay/merchants", {"mchid": "1900000109", "callback_share": share})
        for number in range(12):
            await world.paid(f"ORDER{share}{number:03}", 1)
        await world.sandbox.deliver_due()
        serials = {headers["wechatpay-serial"] for headers, _ in world.shop.received}
        seen |= serials
        expected = {0: {certificate}, 100: {world.account["public_key_id"]}}
        assert serials == expected.get(share, {certificate, world.account["public_key_id"]})
        world.heard()
        world.shop.received.clear()
    other = world.other("public_key_only")
    world.pay(await other.native("OTHER001", 1))
    await world.sandbox.deliver_due()
    assert other.told(*world.shop.received[0])[1]["mchid"] == other.mchid
    assert world.shop.received[0][0]["wechatpay-serial"] == other.account["public_key_id"]


# --- what can be wrong


@pytest.mark.parametrize("by_board", [True, False])
@pytest.mark.parametrize(
    "fault", ["notification_forged", "notification_tampered", "notification_probed", "notification_unknown_serial"]
)
async def test_signatures_that_are_none(world: World, fault: str, by_board: bool) -> None:
    headers, body = await notified(world, fault, by_board=by_board)
    with pytest.raises((InvalidSignature, KeyError, ValueError)):
        world.merchant.verify(headers, body)


async def test_a_probe_is_followed_by_the_proper_one(world: World) -> None:
    world.shop.status = 401
    headers, _ = await notified(world, "notification_probed")
    assert headers["wechatpay-signature"].startswith("WECHATPAY/SIGNTEST/")
    await world.wait(15)
    world.merchant.told(*world.shop.received[1])


async def test_a_stale_one_is_followed_by_a_fresh_one(world: World) -> None:
    world.shop.status = 401
    headers, body = await notified(world, "notification_stale=301")
    assert world.clock.now().timestamp() - int(headers["wechatpay-timestamp"]) == 301
    with pytest.raises(AssertionError, match="stale"):
        world.merchant.verify(headers, body)
    await world.wait(15)
    world.merchant.told(*world.shop.received[1])


async def test_unsigned(world: World) -> None:
    headers, _ = await notified(world, "notification_unsigned")
    assert not [name for name in headers if name.startswith("wechatpay")]


async def test_by_the_next_certificate(world: World) -> None:
    headers, body = await notified(world, "notification_key_rotated")
    assert headers["wechatpay-serial"] not in world.merchant.keys
    reply = await world.post("/_sandbox/wechatpay/keys", {"action": "issue"})
    for one in json.loads(reply.body)["certificates"]:
        world.merchant.trust(one["pem"])
    world.merchant.told(headers, body)


async def test_under_another_secret(world: World) -> None:
    headers, body = await notified(world, "notification_other_secret")
    world.merchant.verify(headers, body)
    with pytest.raises(InvalidTag):
        world.merchant.opened(json.loads(body)["resource"])


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("notification_wrong_amount", "amount"),
        ("notification_wrong_seller", "mchid"),
        ("notification_wrong_app", "appid"),
        ("notification_wrong_order", "out_trade_no"),
    ],
)
async def test_validly_signed_lies(world: World, fault: str, name: str) -> None:
    told = world.merchant.told(*await notified(world, fault))[1]
    truth = await world.merchant.query("ORDER001")
    assert {key for key in truth if told[key] != truth[key]} == {name}


async def test_unknown_fields(world: World) -> None:
    told = world.merchant.told(*await notified(world, "notification_unknown_fields"))[1]
    assert {**told, **await world.merchant.query("ORDER001")} == told
    assert "zz_new_field" in told


async def test_lost_doubled_delayed_replayed(world: World) -> None:
    for number, (fault, at_once, later) in enumerate(
        (
            ("notification_lost", 0, 0),
            ("notification_doubled", 2, 2),
            ("notification_delayed=60", 0, 1),
            ("notification_replayed=60", 1, 2),
        )
    ):
        await world.paid(f"ORDER00{number}", fault=fault)
        await world.sandbox.deliver_due()
        assert len(world.shop.received) == at_once, fault
        await world.wait(60)
        assert len(world.shop.received) == later, fault
        assert len({envelope["id"] for envelope, _ in world.heard()}) == min(later, 1)
        world.shop.received.clear()


async def test_reordered(world: World) -> None:
    await world.paid(fault="notification_reordered")
    await world.merchant.refund("ORDER001", 1)
    await world.wait(3)
    assert [envelope["event_type"] for envelope, _ in world.heard()] == ["REFUND.SUCCESS", "TRANSACTION.SUCCESS"]


async def test_a_claim_without_a_payment(world: World) -> None:
    code = await world.merchant.native(fault="paid_notice_without_payment")
    world.wechat.scan(world.token(code), world.sandbox.buyer())
    await world.sandbox.deliver_due()
    headers, body = world.shop.received[0]
    with pytest.raises(InvalidSignature):
        world.merchant.verify(headers, body)
    claim = json.loads(world.merchant.opened(json.loads(body)["resource"]))
    assert claim["trade_state"] == "SUCCESS"
    assert (await world.merchant.query("ORDER001"))["trade_state"] == "NOTPAY"


async def test_transfers_have_their_own_plan(world: World) -> None:
    from tests.simulators.wechatpay.test_funds import bill

    world.shop.status = 500
    made = await world.merchant.call("POST", "/v3/fund-app/mch-transfer/transfer-bills", bill(world))
    world.wechat.pay(made["package_info"], world.sandbox.buyer())
    await world.sandbox.deliver_due()
    for delay in TRANSFER_PLAN[:12]:
        await world.wait(delay)
    assert len(world.shop.received) == 13
    await world.wait(sum(TRANSFER_PLAN))
    for _ in TRANSFER_PLAN:
        await world.wait(1800)
    assert len(world.shop.received) == 65


def test_the_cipher_of_the_fact_sheet() -> None:
    from tongbao.crypto import aes_gcm_encrypt

    plain = b'{"mchid":"1900000109","trade_state":"SUCCESS"}'
    made = aes_gcm_encrypt(b"0123456789abcdef0123456789ABCDEF", b"abcdefghijkl", plain, b"transaction")
    expected = "YOZ26hoXGnLU57eeOvoknSkvfO7jzCYxApGhSy1sgqq8SYS+HnDh1ggVYN2xnnHMRU5reonP4V/06z8svv8="
    assert base64.b64encode(made).decode() == expected
