"""Our Alipay client and adapter against our simulator, which was written from the specification and not from them.

Two witnesses that share no code: what one signs, the other must accept, and what a fault breaks must be noticed.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest

from tests.simulated import SimClock
from tests.simulators.merchant import HOST, NOTIFY_URL, World
from tongbao.channels.alipay import AlipayClient, AsyncAlipayClient
from tongbao.channels.alipay.adapter import ALIPAY
from tongbao.channels.alipay.doctor import examine
from tongbao.channels.alipay.errors import AlipayDeclined, AlipayError, AlipayUnavailable
from tongbao.channels.exchange import drive_awaiting
from tongbao.crypto import RsaPrivateKey
from tongbao.domain.errors import (
    ChannelError,
    ChannelUnavailable,
    InvalidInput,
    MessageNotTrusted,
    OutcomeUnknown,
)
from tongbao.domain.money import CNY, Money
from tongbao.domain.report import (
    Accepted,
    Closed,
    Declined,
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
from tongbao.ports import AttemptRequest, Channel, KeyWanted, RawRequest, RefundRequest, Reply, Request

pytestmark = pytest.mark.usefixtures("clock")


@dataclass
class Side:
    """The merchant's side: the world, our client in key mode, our adapter over the same account."""

    world: World
    client: AsyncAlipayClient
    channel: Channel

    def attempt(self, method: str = "alipay_qr", reference: str = "T1", **more: Any) -> AttemptRequest:
        now = self.world.clock.now()
        made = AttemptRequest(
            reference=reference,
            method=method,
            amount=Money(8888, CNY),
            subject="咖啡 latte & 蛋糕",
            expires_at=now + timedelta(minutes=30),
            created_at=now,
            notify_url=NOTIFY_URL,
            return_url="http://shop.test/back?from=alipay",
        )
        return replace(made, **more)

    async def paid(self, reference: str = "T1") -> AttemptRequest:
        attempt = self.attempt(reference=reference)
        event = await self.channel.create(attempt)
        assert isinstance(event, Accepted)
        assert event.next_action is not None
        self.world.sandbox.alipay.pay(self.world.token(event.next_action.content or ""), self.world.sandbox.buyer())
        return attempt

    def refund(self, reference: str = "R1", minor: int = 888, of: str = "T1") -> RefundRequest:
        return RefundRequest(
            reference=reference,
            attempt_reference=of,
            amount=Money(minor, CNY),
            paid=Money(8888, CNY),
            reason="冷了",
        )

    def fault(self, code: str, calls: int | None = 1) -> None:
        self.world.sandbox.bank.faults.set(code, calls=calls)

    async def heard(self) -> list[Notification]:
        """The notifications that arrive when everything due is delivered."""
        before = len(self.world.shop.raw)
        await self.world.sandbox.deliver_due()
        found = []
        for body in self.world.shop.raw[before:]:
            read = self.channel.read_notification(RawRequest("POST", "/", "", {}, body), self.world.clock.now())
            assert not isinstance(read, KeyWanted)
            found.append(read)
        return found


def settings_of(account: dict[str, Any], clock: SimClock) -> dict[str, Any]:
    return {
        "app_id": account["app_id"],
        "private_key": account["app_private_key_pkcs8_bare"],
        "gateway_url": account["gateway_url"],
        "clock": clock,
    }


@pytest.fixture
def side(clock: SimClock) -> Any:
    world = World(clock)
    account = world.account
    keys = {"alipay_public_key": account["alipay_public_key"]}
    client = AsyncAlipayClient(**settings_of(account, clock), **keys, transport=world.net)
    credentials = {
        "gateway_url": account["gateway_url"],
        "app_id": account["app_id"],
        "private_key": account["app_private_key_pkcs1_bare"],
        "seller_id": account["seller_id"],
        **keys,
    }
    yield Side(world, client, ALIPAY.open(credentials, world.net, clock))
    world.sandbox.close()


# --- a payment's life ------------------------------------------------------------------------------------------------


async def test_a_qr_from_order_to_refund(side: Side) -> None:
    attempt = side.attempt()
    event = await side.channel.create(attempt)
    assert isinstance(event, Accepted)
    assert event.next_action is not None
    token = side.world.token(event.next_action.content or "")
    assert isinstance(await side.channel.query(attempt), NotFound)
    assert isinstance(await side.channel.close(attempt), NotFound)
    side.world.sandbox.alipay.scan(token, side.world.sandbox.buyer())
    assert isinstance(await side.channel.query(attempt), Accepted)
    side.world.sandbox.alipay.pay(token, side.world.sandbox.buyer())
    paid = await side.channel.query(attempt)
    assert isinstance(paid, Paid)
    assert paid.stated.amount == attempt.amount
    assert paid.paid_at == side.world.clock.now()

    (told,) = await side.heard()
    assert told.reports[0].reference == "T1"
    heard = told.reports[0].event
    assert isinstance(heard, Paid)
    assert (heard.stated.account, heard.stated.seller) == (side.channel.identity.account, side.channel.identity.seller)
    assert heard.stated.required == {"amount", "account"}
    assert (heard.channel_reference, heard.paid_at, heard.buyer) == (paid.channel_reference, paid.paid_at, paid.buyer)

    assert isinstance(await side.channel.query_refund(side.refund()), RefundNotFound)
    assert isinstance(await side.channel.refund(side.refund()), RefundDone)
    found = await side.channel.query_refund(side.refund())
    assert isinstance(found, RefundDone)
    assert found.amount == Money(888, CNY)
    (told,) = await side.heard()
    first, second = told.reports
    assert isinstance(first.event, Paid)
    assert first.event.refunded == Money(888, CNY)
    assert (second.reference, type(second.event)) == ("R1", RefundDone)

    side.world.clock.advance(10)
    assert isinstance(await side.channel.refund(side.refund("R2", 8000)), RefundDone)
    whole = await side.channel.query(attempt)
    assert isinstance(whole, Paid)
    assert whole.refunded == attempt.amount


@pytest.mark.parametrize("method", ["alipay_page", "alipay_wap"])
async def test_a_page_is_accepted_and_the_way_back_verifies(side: Side, method: str) -> None:
    event = await side.channel.create(side.attempt(method))
    assert isinstance(event, Accepted)
    assert event.next_action is not None
    opened = await side.world.browse("GET", event.next_action.url or "")
    cashier = opened.headers["location"]
    done = await side.world.browse("POST", cashier, {"action": "pay", "buyer": side.world.sandbox.buyer().user_id})
    back = done.headers["location"].partition("?")[2]
    returned = side.client.verify_return(back.removeprefix("from=alipay&"))
    assert returned["out_trade_no"] == "T1"
    assert isinstance(await side.channel.query(side.attempt(method)), Paid)


async def test_the_form_is_accepted_too(side: Side) -> None:
    page = side.client.page_pay(out_trade_no="T1", total_amount="0.01", subject="茶 + 水")
    opened = await side.world.browse("POST", page.action, page.fields)
    assert opened.status in (302, 303)


async def test_close_of_a_scanned_and_of_a_paid_trade(side: Side) -> None:
    attempt = side.attempt()
    event = await side.channel.create(attempt)
    assert isinstance(event, Accepted)
    assert event.next_action is not None
    side.world.sandbox.alipay.scan(side.world.token(event.next_action.content or ""), side.world.sandbox.buyer())
    assert isinstance(await side.channel.close(attempt), Closed)
    assert isinstance(await side.channel.query(attempt), Closed)
    paid = await side.paid("T2")
    assert isinstance(await side.channel.close(paid), Paid)


async def test_the_deadline_is_the_trades(side: Side) -> None:
    attempt = side.attempt()
    event = await side.channel.create(attempt)
    assert isinstance(event, Accepted)
    assert event.next_action is not None
    side.world.sandbox.alipay.scan(side.world.token(event.next_action.content or ""), side.world.sandbox.buyer())
    side.world.clock.advance(minutes=29)
    assert isinstance(await side.channel.query(attempt), Accepted)
    side.world.clock.advance(minutes=2)
    assert isinstance(await side.channel.query(attempt), Closed)


async def test_refunds_that_alipay_refuses(side: Side) -> None:
    await side.paid()
    assert isinstance(await side.channel.refund(side.refund("R1", 888)), RefundDone)
    side.world.clock.advance(10)
    assert isinstance(await side.channel.refund(side.refund("R1", 888)), RefundDone), "a repeat is executed once"
    again = await side.channel.refund(side.refund("R1", 999))
    assert isinstance(again, RefundDone)
    assert again.amount == Money(888, CNY), "the number was used for another amount"
    assert isinstance(await side.channel.refund(side.refund("R2", 8001)), RefundRejected)
    assert isinstance(await side.channel.refund(side.refund("R3", 1, of="NONE")), RefundRejected)
    side.fault("refund_unconfirmed")
    assert isinstance(await side.channel.refund(side.refund("R4", 100)), RefundDone | RefundAccepted)
    assert isinstance(await side.channel.query_refund(side.refund("R4", 100)), RefundDone)
    side.fault("seller_balance_short")
    with pytest.raises(ChannelUnavailable):
        await side.channel.refund(side.refund("R5", 100))


# --- at the counter --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "first", "later"),
    [
        ("01", Paid, Paid),
        ("02", Accepted, Paid),
        ("03", Accepted, Accepted),
        ("04", Declined, NotFound),
        ("05", OutcomeUnknown, Paid),
        ("06", OutcomeUnknown, Accepted),
        ("07", Declined, NotFound),
        ("08", Declined, NotFound),
    ],
)
async def test_every_scripted_code(side: Side, script: str, first: type, later: type) -> None:
    codes = {one["code"][2:4]: one["code"] for one in side.world.account["buyers"][0]["auth_codes"]}
    attempt = side.attempt("alipay_barcode", options={"auth_code": codes[script]})
    try:
        event: object = await side.channel.create(attempt)
    except ChannelError as error:
        event = error
    assert isinstance(event, first)
    if first is Accepted:
        assert isinstance(event, Accepted)
        assert event.next_action is not None
        assert event.next_action.kind is NextActionKind.WAIT
    side.world.clock.advance(15)
    assert isinstance(await side.channel.query(attempt), later)


@pytest.mark.parametrize(("script", "end"), [("03", Closed), ("06", Closed), ("05", Paid), ("01", Paid)])
async def test_a_barcode_payment_is_cancelled(side: Side, script: str, end: type) -> None:
    codes = {one["code"][2:4]: one["code"] for one in side.world.account["buyers"][0]["auth_codes"]}
    attempt = side.attempt("alipay_barcode", options={"auth_code": codes[script]})
    with suppress(OutcomeUnknown):
        await side.channel.create(attempt)
    event = await side.channel.close(attempt)
    assert isinstance(event, end)
    if isinstance(event, Paid):
        assert event.refunded == attempt.amount
    assert isinstance(await side.channel.close(attempt), end), "cancelling twice ends alike"


# --- faults ----------------------------------------------------------------------------------------------------------

BEFORE = {"unavailable": OutcomeUnknown, "bad_gateway": OutcomeUnknown, "unreachable": OutcomeUnknown}
REFUSED = {"call_limited": AlipayUnavailable, "no_permission": AlipayUnavailable}
UNKNOWN_AFTER = ("reply_lost", "reply_unavailable", "reply_system_error", "reply_truncated", "reply_not_json")
FORGED = ("reply_bad_signature", "reply_unsigned", "reply_tampered", "reply_duplicate_node", "reply_wrong_trade")


@pytest.mark.parametrize("fault", [*BEFORE, *REFUSED])
async def test_faults_before_anything_is_done(side: Side, fault: str) -> None:
    await side.paid()
    side.fault(fault)
    with pytest.raises({**BEFORE, **REFUSED}[fault]):
        await side.channel.refund(side.refund())
    assert isinstance(await side.channel.query_refund(side.refund()), RefundNotFound)


@pytest.mark.parametrize("fault", [*UNKNOWN_AFTER, *FORGED])
async def test_faults_after_a_refund_was_done_leave_it_unknown(side: Side, fault: str) -> None:
    await side.paid()
    side.fault(fault)
    with pytest.raises(OutcomeUnknown):
        await side.channel.refund(side.refund())
    assert isinstance(await side.channel.query_refund(side.refund()), RefundDone)


@pytest.mark.parametrize("fault", FORGED)
async def test_forged_answers_to_a_question(side: Side, fault: str) -> None:
    attempt = await side.paid()
    side.fault(fault)
    with pytest.raises((MessageNotTrusted, OutcomeUnknown)):
        await side.channel.query(attempt)
    assert isinstance(await side.channel.query(attempt), Paid)


async def test_a_wrong_amount_is_reported_as_stated(side: Side) -> None:
    """Validly signed: comparing it with what was stored is the services' work."""
    attempt = await side.paid()
    side.fault("reply_wrong_amount")
    event = await side.channel.query(attempt)
    assert isinstance(event, Paid)
    assert event.stated.amount != attempt.amount


@pytest.mark.parametrize("fault", ["reply_slashes_escaped", "reply_slashes_escaped_after"])
async def test_escaped_slashes(side: Side, fault: str) -> None:
    side.fault(fault)
    event = await side.channel.create(side.attempt())
    assert isinstance(event, Accepted)
    assert event.next_action is not None
    assert (event.next_action.content or "").startswith("https://qr.alipay.com/")


async def test_an_error_response_node(side: Side) -> None:
    attempt = await side.paid()
    side.fault("reply_error_node")
    with pytest.raises(ChannelError):
        await side.channel.query(attempt)


@pytest.mark.parametrize(
    ("fault", "believed"),
    [
        ("notification_doubled", 2),
        ("notification_unknown_fields", 1),
        ("notification_empty_field", 1),
        ("notification_wrong_amount", 1),
        ("notification_wrong_seller", 1),
        ("notification_wrong_app", 1),
        ("notification_wrong_order", 1),
        ("notification_lost", 0),
    ],
)
async def test_genuine_notifications_are_read(side: Side, fault: str, believed: int) -> None:
    side.fault(fault)
    attempt = await side.paid()
    heard = await side.heard()
    assert len(heard) == believed
    for one in heard:
        event = one.reports[0].event
        assert isinstance(event, Paid)
        differs = {
            "notification_wrong_amount": event.stated.amount != attempt.amount,
            "notification_wrong_seller": event.stated.seller != side.channel.identity.seller,
            "notification_wrong_app": event.stated.account != side.channel.identity.account,
            "notification_wrong_order": one.reports[0].reference != attempt.reference,
        }
        assert {name for name, is_so in differs.items() if is_so} == ({fault} & differs.keys())
    assert len({one.notification_id for one in heard}) <= 1


@pytest.mark.parametrize(
    "fault", ["notification_forged", "notification_tampered", "notification_weak_hash", "notification_unsigned"]
)
async def test_forged_notifications_are_not_read(side: Side, fault: str) -> None:
    side.fault(fault)
    await side.paid()
    await side.world.sandbox.deliver_due()
    for body in side.world.shop.raw:
        with pytest.raises((MessageNotTrusted, InvalidInput)):
            side.channel.read_notification(RawRequest("POST", "/", "", {}, body), side.world.clock.now())
    assert side.world.shop.raw


# --- modes -----------------------------------------------------------------------------------------------------------


def certified(side: Side) -> dict[str, Any]:
    account = side.world.account["cert"]
    return {
        **settings_of(account, side.world.clock),
        "app_cert": account["app_cert_pem"],
        "alipay_cert": account["alipay_cert_pem"],
        "alipay_root_cert": account["alipay_root_cert_pem"],
        "transport": side.world.net,
    }


async def test_certificate_mode_and_a_rotated_certificate(side: Side) -> None:
    client = AsyncAlipayClient(**certified(side))
    account = side.world.account["cert"]
    assert client.account.serials == {
        "app_cert_sn": account["app_cert_sn"],
        "alipay_root_cert_sn": account["alipay_root_cert_sn"],
    }
    await client.precreate(out_trade_no="T1", total_amount="1.00", subject="茶")
    side.fault("reply_key_rotated", calls=2)
    with pytest.raises(AlipayDeclined):
        await client.query(out_trade_no="T1")


async def test_transfers_in_certificate_mode(side: Side) -> None:
    client = AsyncAlipayClient(**certified(side))
    payee = {"identity": side.world.sandbox.buyer().user_id, "identity_type": "ALIPAY_USER_ID"}
    sent = await client.transfer(out_biz_no="P1", trans_amount="1.00", payee_info=payee, order_title="红包")
    assert sent["status"] == "SUCCESS"
    assert (await client.transfer_query(out_biz_no="P1"))["status"] == "SUCCESS"


@pytest.mark.parametrize("charset", ["utf-8", "GBK"])
@pytest.mark.parametrize("encrypted", [False, True])
async def test_charsets_and_encryption(side: Side, charset: str, encrypted: bool) -> None:
    account = side.world.account
    client = AsyncAlipayClient(
        **settings_of(account, side.world.clock),
        alipay_public_key=account["alipay_public_key"],
        charset=charset,
        aes_key=account["aes_key"] if encrypted else None,
        transport=side.world.net,
    )
    made = await client.precreate(out_trade_no="T1", total_amount="1.00", subject="茶叶", notify_url=NOTIFY_URL)
    token = side.world.token(made["qr_code"])
    side.world.sandbox.alipay.pay(token, side.world.sandbox.buyer())
    assert (await client.query(out_trade_no="T1"))["trade_status"] == "TRADE_SUCCESS"
    await side.world.sandbox.deliver_due()
    assert client.verify_notification(side.world.shop.raw[-1])["subject"] == "茶叶"


async def test_v3(side: Side) -> None:
    await side.paid()
    answer = await side.client.call_v3("alipay.trade.query", {"out_trade_no": "T1"})
    assert answer["trade_status"] == "TRADE_SUCCESS"
    with pytest.raises(AlipayError) as caught:
        await side.client.call_v3("alipay.trade.query", {"out_trade_no": "NONE"})
    assert caught.value.sub_code == "ACQ.TRADE_NOT_EXIST"


def test_the_blocking_client(side: Side) -> None:
    class Blocking:
        def send(self, request: Request) -> Reply:
            return asyncio.run(side.world.net.send(request))

    account = side.world.account
    client = AlipayClient(
        **settings_of(account, side.world.clock), alipay_public_key=account["alipay_public_key"], transport=Blocking()
    )
    assert client.precreate(out_trade_no="T1", total_amount=1, subject="tea")["qr_code"]
    with pytest.raises(AlipayDeclined):
        client.query(out_trade_no="T1")


# --- statements ------------------------------------------------------------------------------------------------------


async def test_a_days_statement(side: Side) -> None:
    await side.paid()
    side.world.clock.advance(10)
    await side.channel.refund(side.refund())
    side.world.clock.advance(hours=24)
    channel: Any = side.channel
    payment, refund = await channel.statement(date(2026, 5, 1))
    assert (payment.kind, refund.kind) == (LineKind.PAYMENT, LineKind.REFUND)
    assert (payment.reference, payment.amount) == ("T1", Money(8888, CNY))
    assert (refund.refund_reference, refund.amount) == ("R1", Money(888, CNY))
    side.fault("statement_expired")
    with pytest.raises(ChannelUnavailable):
        await channel.statement(date(2026, 5, 1))
    with pytest.raises(AlipayDeclined):
        await channel.statement(date(2026, 4, 1))


# --- the doctor, before a gateway that verifies ----------------------------------------------------------------------


async def test_the_doctor(side: Side) -> None:
    account = side.world.account
    healthy = {
        "gateway_url": account["gateway_url"],
        "app_id": account["app_id"],
        "private_key": account["app_private_key_pkcs8_pem"],
        "alipay_public_key": account["alipay_public_key"],
    }

    async def codes(**changes: str) -> set[str]:
        findings = await drive_awaiting(examine({**healthy, **changes}, side.world.clock), side.world.net)
        return {finding.code for finding in findings if finding.level != "ok"}

    stranger = RsaPrivateKey.generate()
    assert await codes() == set()
    assert await codes(private_key=stranger.bare_pkcs8()) == {"isv.invalid-signature"}
    assert await codes(alipay_public_key=account["app_public_key"]) == {"alipay_public_key_wrong"}
    assert await codes(alipay_public_key=stranger.public().bare()) == {"alipay_public_key_wrong"}
    assert await codes(app_id="2021999999999999") == {"isv.invalid-app-id"}
    assert await codes(gateway_url="http://nobody.test/gateway.do") == {"gateway_unreachable"}
    assert await codes(gateway_url=f"http://{HOST}/elsewhere") == {"gateway_no_answer"}
    assert await codes(charset="GBK") == set()
