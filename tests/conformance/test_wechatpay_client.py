"""Our WeChat Pay client and adapter against our simulator, which was written from the specification and not from them.

Two witnesses that share no code: what one signs, the other must accept, and what a fault breaks must be noticed.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from tests.simulated import SimClock
from tests.simulators.wechatpay.merchant import NOTIFY_URL, World
from tongbao.channels.exchange import drive_awaiting
from tongbao.channels.wechatpay import AsyncWechatPayClient
from tongbao.channels.wechatpay.adapter import WECHATPAY, WechatPay
from tongbao.channels.wechatpay.doctor import examine
from tongbao.channels.wechatpay.errors import WechatPayDeclined, WechatPayError, WechatPayUnavailable
from tongbao.channels.wechatpay.statement import read_balance
from tongbao.crypto import RsaPrivateKey
from tongbao.domain.errors import ChannelError, MessageNotTrusted
from tongbao.domain.money import CNY, Money
from tongbao.domain.report import (
    Accepted,
    Closed,
    Declined,
    NextAction,
    NextActionKind,
    NotFound,
    Notification,
    Paid,
    RefundAccepted,
    RefundDone,
    RefundNotFound,
    RefundRejected,
)
from tongbao.domain.statement import LineKind
from tongbao.ports import AttemptRequest, Channel, KeyWanted, RawRequest, RefundRequest


@dataclass
class Side:
    """The merchant's side: the world, our client, our adapter over the same account."""

    world: World
    client: AsyncWechatPayClient
    channel: Channel

    def attempt(self, method: str = "wechat_native", reference: str = "ORDER1", **more: Any) -> AttemptRequest:
        now = self.world.clock.now()
        made = AttemptRequest(
            reference=reference,
            method=method,
            amount=Money(8888, CNY),
            subject="咖啡 latte & 蛋糕 \U0001f370",
            expires_at=now + timedelta(minutes=30),
            created_at=now,
            notify_url=NOTIFY_URL,
            return_url="http://shop.test/back?from=wechat",
            buyer_ip="203.0.113.7",
        )
        return replace(made, **more)

    async def made(self, attempt: AttemptRequest) -> NextAction:
        event = await self.channel.create(attempt)
        assert isinstance(event, Accepted)
        assert event.next_action is not None
        return event.next_action

    async def paid(self, reference: str = "ORDER1") -> AttemptRequest:
        attempt = self.attempt(reference=reference)
        self.world.pay((await self.made(attempt)).content or "")
        return attempt

    def barcode(self, outcome: str, reference: str = "ORDER1") -> AttemptRequest:
        options = {"auth_code": self.world.code(outcome)}
        return self.attempt("wechat_barcode", reference, options=options)

    def refund(self, reference: str = "R1", minor: int = 888, of: str = "ORDER1") -> RefundRequest:
        return RefundRequest(
            reference=reference, attempt_reference=of, amount=Money(minor, CNY), paid=Money(8888, CNY), reason="冷了"
        )

    async def heard(self) -> list[Notification]:
        """The notifications that arrive when everything due is delivered."""
        before = len(self.world.shop.received)
        await self.world.sandbox.deliver_due()
        return [await self.read(*one) for one in self.world.shop.received[before:]]

    async def read(self, headers: dict[str, str], body: bytes) -> Notification:
        raw = RawRequest("POST", "/", "", headers, body)
        found = self.channel.read_notification(raw, self.world.clock.now())
        if isinstance(found, KeyWanted):
            await self.channel.refresh_keys(found.serial)
            found = self.channel.read_notification(raw, self.world.clock.now())
        if isinstance(found, KeyWanted):
            raise MessageNotTrusted("a key that nobody published")
        return found


def credentials_of(account: dict[str, Any], *, public: bool) -> dict[str, str]:
    keys = {"public_key_id": account["public_key_id"], "public_key": account["public_key"]} if public else {}
    names = ("gateway_url", "mchid", "appid", "merchant_private_key", "merchant_serial", "apiv3_key")
    return {**{name: account[name] for name in names}, **keys}


def client_of(world: World, account: dict[str, Any], *, public: bool, **more: Any) -> AsyncWechatPayClient:
    given: dict[str, Any] = {**credentials_of(account, public=public), **more}
    return AsyncWechatPayClient(**given, clock=world.clock, transport=world.net)


@pytest.fixture
def world(clock: SimClock) -> Iterator[World]:
    made = World(clock)
    yield made
    made.sandbox.close()


@pytest.fixture(params=["certificates", "public key"])
def side(world: World, request: pytest.FixtureRequest) -> Side:
    public = request.param == "public key"
    channel = WECHATPAY.open(credentials_of(world.account, public=public), world.net, world.clock)
    return Side(world, client_of(world, world.account, public=public), channel)


# --- a payment's life ------------------------------------------------------------------------------------------------


async def test_a_qr_from_order_to_refund(side: Side) -> None:
    attempt = side.attempt()
    assert isinstance(await side.channel.query(attempt), NotFound)
    action = await side.made(attempt)
    assert action.kind is NextActionKind.QR_CODE
    assert isinstance(await side.channel.query(attempt), Accepted)
    side.world.pay(action.content or "")
    paid = await side.channel.query(attempt)
    assert isinstance(paid, Paid)
    assert paid.stated.amount == attempt.amount
    assert paid.stated.account == side.channel.identity.account
    assert paid.paid_at == side.world.clock.now()

    (told,) = await side.heard()
    [report] = told.reports
    assert report.reference == "ORDER1"
    assert isinstance(report.event, Paid)
    assert (report.event.channel_reference, report.event.buyer) == (paid.channel_reference, paid.buyer)

    assert await side.channel.query_refund(side.refund()) == RefundNotFound()
    assert isinstance(await side.channel.refund(side.refund()), RefundAccepted)
    assert isinstance(await side.channel.refund(side.refund()), RefundAccepted | RefundDone)
    assert isinstance(await side.channel.refund(side.refund(minor=887)), RefundAccepted | RefundDone)
    await side.world.wait(3600)
    done = await side.channel.query_refund(side.refund())
    assert isinstance(done, RefundDone)
    assert done.amount == Money(888, CNY)
    rejected = await side.channel.refund(side.refund("R2", 8001))
    assert isinstance(rejected, RefundRejected)
    assert isinstance(await side.channel.query(attempt), Paid)


async def test_the_same_create_again_is_a_fresh_handle(side: Side) -> None:
    first = await side.made(side.attempt())
    again = await side.made(side.attempt())
    assert first.kind is again.kind
    changed = await side.channel.create(side.attempt(amount=Money(8889, CNY)))
    assert changed == replace(changed, next_action=None) if isinstance(changed, Accepted) else False
    side.world.pay(again.content or "")
    assert isinstance(await side.channel.create(side.attempt()), Paid)


async def test_close_and_deadline(side: Side) -> None:
    attempt = side.attempt()
    await side.made(attempt)
    assert isinstance(await side.channel.close(attempt), Closed)
    assert isinstance(await side.channel.close(attempt), Closed)
    assert isinstance(await side.channel.query(attempt), Closed)
    assert isinstance(await side.channel.create(attempt), Closed)
    late = side.attempt(reference="ORDER2")
    await side.made(late)
    await side.world.wait(31 * 60)
    assert isinstance(await side.channel.query(late), Closed)


async def test_a_paid_order_cannot_be_closed(side: Side) -> None:
    attempt = await side.paid()
    assert isinstance(await side.channel.close(attempt), Paid)


async def test_what_the_client_signs_for_a_page_and_an_app_can_be_paid(side: Side) -> None:
    """The sandbox's WeChat app takes the parameters as the real one does, and checks their signature."""
    jsapi = side.attempt("wechat_jsapi", "JSAPI1", options={"openid": side.world.openid()})
    for attempt in (jsapi, side.attempt("wechat_app", "APPPAY1")):
        action = await side.made(attempt)
        assert action.kind is NextActionKind.SDK
        assert isinstance(await side.channel.query(attempt), Accepted)
        side.world.pay(json.dumps(action.params))
        assert isinstance(await side.channel.query(attempt), Paid)


async def test_a_browser_s_address(side: Side) -> None:
    attempt = side.attempt("wechat_h5", "H5PAY1")
    action = await side.made(attempt)
    assert action.kind is NextActionKind.REDIRECT
    assert (action.url or "").endswith("&redirect_url=http%3A%2F%2Fshop.test%2Fback%3Ffrom%3Dwechat")
    page = await side.world.browse("GET", action.url or "", referer="http://shop.test/", user_agent="iPhone")
    assert page.status < 400


async def test_the_counter(side: Side) -> None:
    """Every scripted outcome of a buyer's code ends in a report, and what may still be paid can be reversed."""
    seen: dict[str, type] = {}
    codes = [one["code"] for one in side.world.account["buyers"][0]["auth_codes"]]
    for number, code in enumerate(codes):
        attempt = side.attempt("wechat_barcode", f"COUNTER{number}", options={"auth_code": code})
        try:
            seen[code] = type(await side.channel.create(attempt))
        except ChannelError as error:
            seen[code] = type(error)
        await side.world.wait(5)
        after = await side.channel.close(attempt)
        assert isinstance(after, Closed | Paid | NotFound), (code, after)
        if isinstance(after, Paid):
            assert after.refunded == attempt.amount
    assert {Paid, Accepted, Declined} <= set(seen.values())


# --- trust -----------------------------------------------------------------------------------------------------------


async def test_forged_late_and_probing_notifications(side: Side) -> None:
    await side.paid()
    await side.world.sandbox.deliver_due()
    headers, body = side.world.shop.received[-1]
    await side.read(headers, body)
    for changed, raw in (
        (headers, body.replace(b"TRANSACTION", b"TRANSACTIOM")),
        ({**headers, "wechatpay-nonce": "0" * 32}, body),
        ({**headers, "wechatpay-signature": "WECHATPAY/SIGNTEST/" + headers["wechatpay-signature"]}, body),
    ):
        with pytest.raises(MessageNotTrusted):
            await side.read(changed, raw)
    side.world.clock.advance(minutes=5)
    with pytest.raises(MessageNotTrusted):
        await side.read(headers, body)


async def test_a_rotation_while_orders_go_on(world: World) -> None:
    """A new certificate is issued, signs, and the old one is taken away: nothing is lost on the way."""
    side = Side(
        world,
        client_of(world, world.account, public=False),
        WECHATPAY.open(credentials_of(world.account, public=False), world.net, world.clock),
    )
    steps = [world.wechat.book.merchants.issue, world.wechat.book.merchants.switch, world.wechat.book.merchants.retire]
    for number, step in enumerate([None, *steps]):
        world.clock.advance(minutes=2)
        if step is not None:
            step()
        attempt = await side.paid(f"ROTATE{number}")
        assert isinstance(await side.channel.query(attempt), Paid)
        (told,) = await side.heard()
        assert isinstance(told.reports[0].event, Paid)
        await side.client.query(out_trade_no=f"ROTATE{number}")


async def test_behind_a_prefix(world: World) -> None:
    client = client_of(world, {**world.account, "gateway_url": world.account["prefixed_url"]}, public=True)
    order: dict[str, Any] = {"amount": 1, "description": "tea", "notify_url": NOTIFY_URL}
    assert (await client.native_pay(out_trade_no="PREFIX1", **order))["code_url"]
    assert (await client.query(out_trade_no="PREFIX1"))["trade_state"] == "NOTPAY"


async def test_the_doctor_finds_what_is_wrong(world: World) -> None:
    right = credentials_of(world.account, public=True)
    other = RsaPrivateKey.generate().public().pem()

    async def codes(**changes: str) -> set[str]:
        found = await drive_awaiting(examine({**right, **changes}, world.clock), world.net)
        return {finding.code for finding in found if finding.level == "error"}

    assert await codes() == set()
    assert await codes(apiv3_key="x" * 32) == {"apiv3_key_wrong"}
    assert await codes(merchant_serial="7" * 40) == {"merchant_serial_wrong"}
    assert await codes(merchant_private_key=RsaPrivateKey.generate().pem_pkcs8()) == {"merchant_key_wrong"}
    assert await codes(public_key=other) == {"public_key_wrong"}
    new = credentials_of(world.account["public_key_only"], public=False)
    assert "public_key_missing" in await codes(**new, public_key="", public_key_id="")


async def test_wrong_keys_are_refused(world: World) -> None:
    wrong = client_of(world, world.account, public=True, merchant_private_key=RsaPrivateKey.generate().pem_pkcs8())
    with pytest.raises(WechatPayUnavailable) as caught:
        await wrong.query(out_trade_no="ORDER1")
    assert caught.value.channel_code == "SIGN_ERROR"


async def test_many_calls_at_once(side: Side) -> None:
    numbers = [f"MANY{number:04}" for number in range(40)]
    order: dict[str, Any] = {"amount": 1, "description": "tea", "notify_url": NOTIFY_URL}
    made = await asyncio.gather(*(side.client.native_pay(out_trade_no=one, **order) for one in numbers))
    assert len({one["code_url"] for one in made}) == 40


# --- the rest of the client ------------------------------------------------------------------------------------------


async def test_combined_orders(side: Side) -> None:
    subs = [
        {
            "mchid": side.world.account["mchid"],
            "out_trade_no": f"SUBORDER{n}",
            "attach": "a",
            "description": "茶",
            "amount": n,
        }
        for n in (1, 2)
    ]
    made = await side.client.combined_pay(
        "native", combine_out_trade_no="WHOLE001", sub_orders=subs, notify_url=NOTIFY_URL
    )
    assert made["code_url"]
    found = await side.client.combined_query(combine_out_trade_no="WHOLE001")
    assert [one["trade_state"] for one in found["sub_orders"]] == ["NOTPAY", "NOTPAY"]
    named = [{"mchid": one["mchid"], "out_trade_no": one["out_trade_no"]} for one in subs]
    await side.client.combined_close(combine_out_trade_no="WHOLE001", sub_orders=named)
    found = await side.client.combined_query(combine_out_trade_no="WHOLE001")
    assert {one["trade_state"] for one in found["sub_orders"]} == {"CLOSED"}


async def test_a_transfer(side: Side) -> None:
    made = await side.client.transfer(
        out_bill_no="T1",
        transfer_scene_id="1000",
        openid=side.world.openid(),
        user_name=side.world.account["buyers"][0]["name"],
        transfer_amount=300_000,
        transfer_remark="thanks",
        transfer_scene_report_infos=[
            {"info_type": "活动名称", "info_content": "新会员有礼"},
            {"info_type": "奖励说明", "info_content": "注册会员抽奖一等奖"},
        ],
    )
    assert made["state"] in ("WAIT_USER_CONFIRM", "ACCEPTED", "PROCESSING")
    found = await side.client.transfer_query(out_bill_no="T1")
    assert found["transfer_amount"] == 300_000
    assert (await side.client.transfer_query(transfer_bill_no=found["transfer_bill_no"]))["out_bill_no"] == "T1"
    canceled = await side.client.transfer_cancel(out_bill_no="T1")
    assert canceled["state"] in ("CANCELING", "CANCELLED")


async def test_profit_sharing(side: Side) -> None:
    receiver = side.world.account["sub_merchant"]
    await side.client.receiver_add(
        kind="MERCHANT_ID", receiver=receiver["mchid"], name=receiver["name"], relation_type="PARTNER"
    )
    order: dict[str, Any] = {"amount": 8888, "description": "tea", "notify_url": NOTIFY_URL}
    made = await side.client.native_pay(out_trade_no="SHARED001", **order, settle_info={"profit_sharing": True})
    side.world.pay(made["code_url"])
    paid = await side.client.query(out_trade_no="SHARED001")
    await side.world.wait(120)
    transaction_id = paid["transaction_id"]
    before = await side.client.profit_unsplit(transaction_id=transaction_id)
    shared = await side.client.profit_share(
        transaction_id=transaction_id,
        out_order_no="SHARE1",
        receivers=[
            {
                "type": "MERCHANT_ID",
                "account": receiver["mchid"],
                "name": receiver["name"],
                "amount": 100,
                "description": "share",
            }
        ],
        unfreeze_unsplit=False,
    )
    assert shared["out_order_no"] == "SHARE1"
    await side.world.wait(120)
    found = await side.client.profit_share_query(out_order_no="SHARE1", transaction_id=transaction_id)
    assert found["receivers"][0]["result"] == "SUCCESS"
    after = await side.client.profit_unsplit(transaction_id=transaction_id)
    assert before["unsplit_amount"] - after["unsplit_amount"] == 100
    returned = await side.client.profit_return(
        out_order_no="SHARE1",
        out_return_no="RETURN1",
        return_mchid=receiver["mchid"],
        amount=40,
        description="back",
    )
    assert returned["amount"] == 40
    back = await side.client.profit_return_query(out_return_no="RETURN1", out_order_no="SHARE1")
    assert back["result"] in ("PROCESSING", "SUCCESS")
    await side.client.profit_unfreeze(transaction_id=transaction_id, out_order_no="UNFREEZE1", description="the rest")
    await side.client.receiver_delete(kind="MERCHANT_ID", receiver=receiver["mchid"])


async def test_an_image(side: Side) -> None:
    assert (await side.client.upload_image("a.png", b"\x89PNG\r\n\x1a\nrest"))["media_id"]


async def test_a_partner(world: World) -> None:
    provider = world.account["provider"]
    sub = provider["sub_mchids"][0]
    client = client_of(world, provider, public=True, sub_mchid=sub)
    made = await client.native_pay(out_trade_no="PARTNER1", amount=100, description="tea", notify_url=NOTIFY_URL)
    world.pay(made["code_url"])
    found = await client.query(out_trade_no="PARTNER1")
    assert (found["trade_state"], found["sp_mchid"], found["sub_mchid"]) == ("SUCCESS", provider["mchid"], sub)
    await client.refund(out_trade_no="PARTNER1", out_refund_no="R1", refund_amount=1, total_amount=100)
    assert (await client.refund_query(out_refund_no="R1"))["out_refund_no"] == "R1"
    await client.native_pay(out_trade_no="PARTNER2", amount=100, description="tea", notify_url=NOTIFY_URL)
    await client.close(out_trade_no="PARTNER2")


async def test_a_merchant_with_only_a_public_key(world: World) -> None:
    account = world.account["public_key_only"]
    client = client_of(world, account, public=True)
    assert (await client.native_pay(out_trade_no="ORDER1", amount=1, description="tea", notify_url=NOTIFY_URL))[
        "code_url"
    ]
    with pytest.raises(WechatPayError) as caught:
        await client.load_certificates()
    assert caught.value.channel_code == "RESOURCE_NOT_EXISTS"


async def test_another_path(side: Side) -> None:
    with pytest.raises(WechatPayUnavailable):
        await side.client.call("GET", "/v3/no/such/path")
    with pytest.raises(WechatPayDeclined):
        await side.client.call("POST", "/v3/pay/transactions/native", {"appid": side.world.account["appid"]})


async def test_the_day_s_bills(side: Side) -> None:
    await side.paid("BILLED01")
    attempt = await side.paid("BILLED02")
    await side.channel.refund(side.refund("R1", 888, attempt.reference))
    await side.world.wait(3600)
    day = (side.world.clock.now() + timedelta(hours=8)).date()
    await side.world.wait(36 * 3600)
    assert isinstance(side.channel, WechatPay)
    lines = list(await side.channel.statement(day))
    assert sorted((line.kind, line.reference, line.amount.minor) for line in lines) == [
        (LineKind.PAYMENT, "BILLED01", 8888),
        (LineKind.PAYMENT, "BILLED02", 8888),
        (LineKind.REFUND, "BILLED02", 888),
    ]
    flow = list(read_balance(await side.client.download_fund_flow(bill_date=day.isoformat())))
    assert sum(line.income.minor for line in flow) >= 2 * 8888 - 200
