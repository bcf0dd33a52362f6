"""Every fault that the sandbox's WeChat Pay can have, against our adapter: what is certain is said, and nothing else.

Rule: a fault before anything was done is 'not executed', one after it is 'unknown', a forged answer is believed by
nobody; and when the fault is over, the truth is told.
"""

from collections.abc import Iterator

import pytest

from tests.conformance.test_wechatpay_client import Side, client_of, credentials_of
from tests.simulated import SimClock
from tests.simulators.wechatpay.merchant import World
from tongbao.channels.wechatpay.adapter import WECHATPAY, WechatPay
from tongbao.channels.wechatpay.trust import SignatureProbe
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
    NotFound,
    Paid,
    RefundAccepted,
    RefundDone,
    RefundNotFound,
    RefundRejected,
    Report,
)

BEFORE: dict[str, type[ChannelError]] = {
    "unreachable": ChannelError,
    "unavailable": ChannelError,
    "bad_gateway": OutcomeUnknown,
    "call_limited": ChannelError,
    "no_permission": ChannelUnavailable,
}
AFTER = ("reply_lost", "reply_unavailable", "reply_system_error", "reply_truncated", "reply_not_json")
FORGED = (
    "reply_bad_signature",
    "reply_unsigned",
    "reply_tampered",
    "reply_probed",
    "reply_stale",
    "reply_unknown_serial",
)


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


async def ready(side: Side) -> None:
    """The first list is there, so that a fault strikes what it is meant for."""
    await side.channel.refresh_keys("")


def strike(side: Side, fault: str, calls: int | None = 1) -> None:
    side.world.sandbox.bank.faults.set(fault, calls=calls)


@pytest.mark.parametrize("fault", BEFORE)
async def test_before_anything_was_done(side: Side, fault: str) -> None:
    await ready(side)
    attempt = side.attempt()
    strike(side, fault)
    with pytest.raises(BEFORE[fault]):
        await side.channel.create(attempt)
    assert await side.channel.query(attempt) == NotFound()
    await side.made(attempt)


@pytest.mark.parametrize("fault", [*AFTER, *FORGED])
async def test_after_an_order_was_made_it_is_unknown(side: Side, fault: str) -> None:
    await ready(side)
    attempt = side.attempt()
    strike(side, fault)
    with pytest.raises(OutcomeUnknown):
        await side.channel.create(attempt)
    assert isinstance(await side.channel.query(attempt), Accepted)
    assert (await side.made(attempt)).content, "the same order again is a fresh handle"


@pytest.mark.parametrize("fault", [*AFTER, *FORGED, "reply_wrong_trade"])
async def test_after_a_refund_was_taken_it_is_unknown(side: Side, fault: str) -> None:
    await ready(side)
    await side.paid()
    strike(side, fault)
    with pytest.raises(OutcomeUnknown):
        await side.channel.refund(side.refund())
    assert isinstance(await side.channel.query_refund(side.refund()), RefundAccepted | RefundDone)
    assert isinstance(await side.channel.refund(side.refund()), RefundAccepted | RefundDone)
    await side.world.wait(3600)
    assert isinstance(await side.channel.query_refund(side.refund()), RefundDone)


@pytest.mark.parametrize("fault", [*FORGED, "reply_wrong_trade", "reply_truncated", "reply_not_json"])
async def test_a_forged_answer_to_a_question(side: Side, fault: str) -> None:
    await ready(side)
    attempt = await side.paid()
    strike(side, fault)
    with pytest.raises(MessageNotTrusted):
        await side.channel.query(attempt)
    assert isinstance(await side.channel.query(attempt), Paid)


async def test_another_amount_is_told_as_it_was_stated(side: Side) -> None:
    """Validly signed: the service compares it with what it stored, and quarantines."""
    await ready(side)
    attempt = await side.paid()
    strike(side, "reply_wrong_amount")
    told = await side.channel.query(attempt)
    assert isinstance(told, Paid)
    assert told.stated.amount != attempt.amount


async def test_a_key_that_is_not_published_yet(side: Side) -> None:
    """(Rotation as it should be is a test of its own, in the story of the client.)"""
    await ready(side)
    attempt = await side.paid()
    side.world.clock.advance(minutes=2)
    strike(side, "reply_key_rotated")
    with pytest.raises(MessageNotTrusted):
        await side.channel.query(attempt)
    assert isinstance(await side.channel.query(attempt), Paid)


async def test_a_compressed_answer(side: Side) -> None:
    strike(side, "reply_compressed")
    await side.made(side.attempt())


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("notification_doubled", Paid),
        ("notification_unknown_fields", Paid),
        ("notification_key_rotated", Paid),
        ("notification_wrong_amount", Paid),
        ("notification_wrong_seller", Paid),
        ("notification_wrong_app", Paid),
        ("notification_wrong_order", Paid),
        ("notification_forged", None),
        ("notification_unsigned", None),
        ("notification_tampered", None),
        ("notification_probed", None),
        ("notification_stale", None),
        ("notification_unknown_serial", None),
        ("notification_other_secret", None),
    ],
)
async def test_notifications(side: Side, fault: str, kind: type | None) -> None:
    await ready(side)
    side.world.clock.advance(minutes=2)
    strike(side, fault)
    attempt = await side.paid()
    await side.world.sandbox.deliver_due()
    side.world.wechat.merchant_book.issue()
    headers, body = side.world.shop.received[0]
    if kind is None:
        with pytest.raises((MessageNotTrusted, InvalidInput)) as caught:
            await side.read(headers, body)
        assert isinstance(caught.value, SignatureProbe) is (fault == "notification_probed")
        return
    [report] = (await side.read(headers, body)).reports
    assert isinstance(report.event, kind)
    assert isinstance(report.event, Paid)
    stated, account = report.event.stated, side.channel.identity.account
    assert (stated.amount != attempt.amount) is (fault == "notification_wrong_amount")
    assert (stated.account != account) is (fault in ("notification_wrong_seller", "notification_wrong_app"))
    assert (report.reference != attempt.reference) is (fault == "notification_wrong_order")


async def test_a_forged_notification_is_followed_by_the_true_one(side: Side) -> None:
    await ready(side)
    strike(side, "notification_probed")
    attempt = await side.paid()
    await side.world.sandbox.deliver_due()
    side.world.shop.status = 204
    await side.world.wait(60)
    reports: list[Report] = []
    for headers, body in side.world.shop.received:
        try:
            reports += (await side.read(headers, body)).reports
        except MessageNotTrusted:
            continue
    assert {report.reference for report in reports} <= {attempt.reference}
    assert isinstance(await side.channel.query(attempt), Paid)


async def test_refunds_that_end_otherwise(side: Side) -> None:
    await ready(side)
    await side.paid()
    strike(side, "seller_balance_short")
    with pytest.raises(ChannelUnavailable):
        await side.channel.refund(side.refund("R1"))
    assert await side.channel.query_refund(side.refund("R1")) == RefundNotFound()
    endings: dict[str, type] = {
        "refund_closed": RefundRejected,
        "refund_abnormal": RefundAccepted,
        "refund_delayed": RefundAccepted,
    }
    for fault in endings:
        side.world.clock.advance(minutes=2)
        strike(side, fault)
        assert isinstance(await side.channel.refund(side.refund(fault, 100)), RefundAccepted)
    await side.world.wait(3600)
    for fault, kind in endings.items():
        assert isinstance(await side.channel.query_refund(side.refund(fault, 100)), kind), fault


async def test_a_number_that_is_used(side: Side) -> None:
    attempt = side.attempt()
    await side.made(attempt)
    strike(side, "number_used")
    event = await side.channel.create(side.attempt(amount=Money(1, CNY)))
    assert isinstance(event, Accepted), "the first order is still there and may be paid"
    assert event.next_action is None


@pytest.mark.parametrize("fault", ["payment_then_paid", "payment_then_closed"])
async def test_a_buyer_who_is_typing(side: Side, fault: str) -> None:
    await ready(side)
    code = next(one["code"] for one in side.world.account["buyers"][0]["auth_codes"])
    attempt = side.attempt("wechat_barcode", options={"auth_code": code})
    strike(side, fault)
    assert isinstance(await side.channel.create(attempt), Accepted)
    await side.world.wait(15)
    found = await side.channel.query(attempt)
    assert isinstance(found, Paid if fault == "payment_then_paid" else Accepted | Declined | Closed)
    ended = await side.channel.close(attempt)
    assert isinstance(ended, Paid | Closed)
    assert not isinstance(ended, Paid) or ended.refunded == attempt.amount


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("statement_expired", ChannelUnavailable),
        ("statement_creating", ChannelUnavailable),
        ("statement_missing", ChannelError),
        ("statement_altered", MessageNotTrusted),
    ],
)
async def test_statements(side: Side, fault: str, kind: type[ChannelError]) -> None:
    await side.paid()
    day = side.world.clock.now().date()
    await side.world.wait(36 * 3600)
    await ready(side)
    assert isinstance(side.channel, WechatPay)
    strike(side, fault)
    with pytest.raises(kind):
        list(await side.channel.statement(day))
    assert len(list(await side.channel.statement(day))) == 1
