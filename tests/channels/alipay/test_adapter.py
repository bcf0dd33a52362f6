"""Alipay's adapter: every verb's reports, from the answers that Alipay gives."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.channels.alipay.conftest import (
    APP_ID,
    GATEWAY_URL,
    NOW,
    SELLER_ID,
    AsyncScript,
    FixedClock,
    Keys,
    ScriptedAlipay,
    failed,
    ok,
    unsigned,
)
from tongbao.channels.alipay.adapter import ALIPAY, Alipay
from tongbao.channels.alipay.capabilities import CAPABILITIES
from tongbao.crypto import RsaPrivateKey
from tongbao.domain.errors import (
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
    Report,
    Stated,
)
from tongbao.ports import Acknowledgement, AttemptRequest, RawRequest, RefundRequest, Request, Verb

ATTEMPT = AttemptRequest(
    reference="01J0000000000000000000ATT1",
    method="alipay_page",
    amount=Money(1234, CNY),
    subject="茶 / tea = 1 & more",
    expires_at=NOW + timedelta(minutes=30),
    created_at=NOW,
    notify_url="https://shop.test/notify/ca_1",
    return_url="https://shop.test/back",
)
REFUND = RefundRequest(
    reference="01J0000000000000000000REF1",
    attempt_reference=ATTEMPT.reference,
    amount=Money(234, CNY),
    paid=Money(1234, CNY),
    reason="too late",
)
TRADE_NO = "2026010222001400000000000001"


@pytest.fixture
def credentials(keys: Keys) -> dict[str, str]:
    return {
        "gateway_url": GATEWAY_URL,
        "app_id": APP_ID,
        "private_key": keys.app_private,
        "alipay_public_key": keys.alipay_public,
        "seller_id": SELLER_ID,
    }


@pytest.fixture
def channel(credentials: dict[str, str], alipay: ScriptedAlipay) -> Alipay:
    opened = ALIPAY.open(credentials, AsyncScript(alipay), FixedClock())
    assert isinstance(opened, Alipay)
    return opened


def posted(body: bytes) -> RawRequest:
    return RawRequest("POST", "/notify/ca_1", "", {"content-type": "application/x-www-form-urlencoded"}, body)


# --- create ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "wire", "product"),
    [
        ("alipay_page", "alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"),
        ("alipay_wap", "alipay.trade.wap.pay", "QUICK_WAP_WAY"),
    ],
)
async def test_a_page_is_one_signed_address_and_no_call(
    channel: Alipay, alipay: ScriptedAlipay, method: str, wire: str, product: str
) -> None:
    event = await channel.create(replace(ATTEMPT, method=method))

    assert isinstance(event, Accepted)
    assert event.next_action is not None
    assert event.next_action.kind is NextActionKind.REDIRECT
    url = event.next_action.url or ""
    assert url.startswith(GATEWAY_URL + "?")
    params = alipay.received(Request("GET", url))
    assert params["method"] == wire
    assert params["return_url"] == ATTEMPT.return_url
    assert params["notify_url"] == ATTEMPT.notify_url
    business = json.loads(params["biz_content"])
    assert business == {
        "out_trade_no": ATTEMPT.reference,
        "total_amount": "12.34",
        "subject": "茶 ／ tea ＝ 1 ＆ more",
        "product_code": product,
        "time_expire": "2026-01-02 03:34:05",
    }
    assert alipay.calls == []


async def test_a_qr_is_precreated_with_the_absolute_deadline(channel: Alipay, alipay: ScriptedAlipay) -> None:
    alipay.script = [ok(out_trade_no=ATTEMPT.reference, qr_code="https://qr.alipay.com/bax1")]

    event = await channel.create(replace(ATTEMPT, method="alipay_qr"))

    assert isinstance(event, Accepted)
    assert event.next_action is not None
    assert event.next_action.content == "https://qr.alipay.com/bax1"
    method, business = alipay.calls[0]
    assert method == "alipay.trade.precreate"
    assert business["time_expire"] == "2026-01-02 03:34:05"


async def test_options_become_business_fields(channel: Alipay, alipay: ScriptedAlipay) -> None:
    attempt = replace(ATTEMPT, options={"qr_pay_mode": "4", "store_id": "S1"})
    event = await channel.create(attempt)
    assert isinstance(event, Accepted)
    assert event.next_action is not None
    params = dict(parse_qsl(urlsplit(event.next_action.url or "").query))
    assert '"qr_pay_mode":"4"' in params["biz_content"]
    assert attempt.options == {"qr_pay_mode": "4", "store_id": "S1"}


@pytest.mark.parametrize(
    ("sub_code", "code"),
    [("ACQ.TOTAL_FEE_EXCEED", "channel_request_invalid"), ("ACQ.SELLER_NOT_EXIST", "seller_restricted")],
)
async def test_a_definite_refusal_is_declined(
    channel: Alipay, alipay: ScriptedAlipay, sub_code: str, code: str
) -> None:
    alipay.script = [failed(sub_code)]
    event = await channel.create(replace(ATTEMPT, method="alipay_qr"))
    assert isinstance(event, Declined)
    assert (event.code, event.channel_code) == (code, sub_code)


@pytest.mark.parametrize("sub_code", ["ACQ.TRADE_HAS_SUCCESS", "ACQ.CONTEXT_INCONSISTENT", "ACQ.TRADE_HAS_CLOSE"])
async def test_a_trade_that_exists_already_is_asked_about(
    channel: Alipay, alipay: ScriptedAlipay, sub_code: str
) -> None:
    alipay.script = [failed(sub_code), ok(trade_status="TRADE_SUCCESS", trade_no=TRADE_NO, total_amount="12.34")]
    event = await channel.create(replace(ATTEMPT, method="alipay_qr"))
    assert isinstance(event, Paid)


@pytest.mark.parametrize(
    "answer",
    [
        failed("aop.ACQ.SYSTEM_ERROR", code="20000"),
        failed("ACQ.SYSTEM_ERROR"),
        failed("ACQ.APPLY_PC_MERCHANT_CODE_ERROR"),
        failed("ACQ.NEVER_HEARD_OF"),
        failed("isv.never-heard-of", code="77777"),
        unsigned(failed("ACQ.TOTAL_FEE_EXCEED")),
        unsigned(ok(qr_code="https://qr.alipay.com/forged")),
    ],
)
async def test_what_is_not_certain_is_an_unknown_outcome(channel: Alipay, alipay: ScriptedAlipay, answer: Any) -> None:
    alipay.script = [answer]
    with pytest.raises(OutcomeUnknown):
        await channel.create(replace(ATTEMPT, method="alipay_qr"))


@pytest.mark.parametrize(
    "answer",
    [
        unsigned(failed("isv.invalid-signature", code="40002")),
        unsigned(failed("isv.app-call-limited", code="40005"), "error_response"),
        failed("aop.app-auth-token-time-out", code="20001"),
    ],
)
async def test_what_the_gateway_refused_was_not_executed(channel: Alipay, alipay: ScriptedAlipay, answer: Any) -> None:
    alipay.script = [answer]
    with pytest.raises(ChannelUnavailable):
        await channel.create(replace(ATTEMPT, method="alipay_qr"))


async def test_an_unknown_method_is_refused(channel: Alipay) -> None:
    with pytest.raises(InvalidInput):
        await channel.create(replace(ATTEMPT, method="alipay_carrier_pigeon"))


# --- query -------------------------------------------------------------------------------------------------------


async def test_a_paid_trade(channel: Alipay, alipay: ScriptedAlipay) -> None:
    alipay.script = [
        ok(
            out_trade_no=ATTEMPT.reference,
            trade_no=TRADE_NO,
            trade_status="TRADE_SUCCESS",
            total_amount="12.34",
            buyer_user_id="2088102",
            send_pay_date="2026-01-02 03:10:00",
        )
    ]
    assert await channel.query(ATTEMPT) == Paid(
        stated=Stated(amount=Money(1234, CNY)),
        channel_reference=TRADE_NO,
        paid_at=datetime(2026, 1, 1, 19, 10, tzinfo=UTC),
        buyer="2088102",
    )
    assert alipay.calls == [("alipay.trade.query", {"out_trade_no": ATTEMPT.reference})]


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        ({"trade_status": "WAIT_BUYER_PAY"}, Accepted),
        ({"trade_status": "TRADE_FINISHED"}, Paid),
        ({"trade_status": "TRADE_CLOSED"}, Closed),
        ({"trade_status": "TRADE_CLOSED", "send_pay_date": "2026-01-02 03:10:00"}, Paid),
        ({"trade_status": "TRADE_TELEPORTED"}, Accepted),
        ({}, Accepted),
    ],
)
async def test_statuses(channel: Alipay, alipay: ScriptedAlipay, node: dict[str, str], kind: type) -> None:
    alipay.script = [ok(trade_no=TRADE_NO, total_amount="12.34", **node)]
    event = await channel.query(ATTEMPT)
    assert isinstance(event, kind)


async def test_closed_after_payment_went_back_whole(channel: Alipay, alipay: ScriptedAlipay) -> None:
    alipay.script = [ok(trade_status="TRADE_CLOSED", total_amount="12.34", send_pay_date="2026-01-02 03:10:00")]
    event = await channel.query(ATTEMPT)
    assert isinstance(event, Paid)
    assert event.refunded == Money(1234, CNY)


async def test_no_such_trade(channel: Alipay, alipay: ScriptedAlipay) -> None:
    alipay.script = [failed("ACQ.TRADE_NOT_EXIST", out_trade_no=ATTEMPT.reference, receipt_amount="0.00")]
    assert await channel.query(ATTEMPT) == NotFound()


async def test_a_question_refused_says_nothing_about_the_trade(channel: Alipay, alipay: ScriptedAlipay) -> None:
    alipay.script = [failed("ACQ.INVALID_PARAMETER")]
    with pytest.raises(ChannelUnavailable):
        await channel.query(ATTEMPT)


async def test_an_answer_that_cannot_be_verified(channel: Alipay, alipay: ScriptedAlipay) -> None:
    alipay.script = [unsigned(ok(trade_status="TRADE_SUCCESS", total_amount="12.34"))]
    with pytest.raises(MessageNotTrusted):
        await channel.query(ATTEMPT)


async def test_an_answer_about_another_trade(channel: Alipay, alipay: ScriptedAlipay) -> None:
    alipay.script = [ok(out_trade_no="ANOTHER", trade_status="TRADE_SUCCESS", total_amount="12.34")]
    with pytest.raises(MessageNotTrusted):
        await channel.query(ATTEMPT)


# --- close -------------------------------------------------------------------------------------------------------


async def test_close(channel: Alipay, alipay: ScriptedAlipay) -> None:
    alipay.script = [ok(trade_no=TRADE_NO, out_trade_no=ATTEMPT.reference)]
    assert await channel.close(ATTEMPT) == Closed(channel_reference=TRADE_NO)


async def test_close_of_no_trade(channel: Alipay, alipay: ScriptedAlipay) -> None:
    alipay.script = [failed("ACQ.TRADE_NOT_EXIST")]
    assert await channel.close(ATTEMPT) == NotFound()


@pytest.mark.parametrize(
    "sub_code", ["ACQ.TRADE_STATUS_ERROR", "ACQ.REASON_TRADE_STATUS_INVALID", "ACQ.REASON_ILLEGAL_STATUS"]
)
async def test_close_of_a_paid_trade_reports_the_payment(
    channel: Alipay, alipay: ScriptedAlipay, sub_code: str
) -> None:
    alipay.script = [failed(sub_code), ok(trade_status="TRADE_SUCCESS", total_amount="12.34")]
    assert isinstance(await channel.close(ATTEMPT), Paid)


async def test_close_with_a_forged_answer(channel: Alipay, alipay: ScriptedAlipay) -> None:
    alipay.script = [unsigned(ok(trade_no=TRADE_NO))]
    with pytest.raises(OutcomeUnknown):
        await channel.close(ATTEMPT)


# --- refund ------------------------------------------------------------------------------------------------------


async def test_refund(channel: Alipay, alipay: ScriptedAlipay) -> None:
    alipay.script = [ok(trade_no=TRADE_NO, fund_change="Y", refund_fee="2.34", gmt_refund_pay="2026-01-02 04:00:00")]
    assert await channel.refund(REFUND) == RefundDone(refunded_at=datetime(2026, 1, 1, 20, 0, tzinfo=UTC))
    assert alipay.calls[0] == (
        "alipay.trade.refund",
        {
            "out_trade_no": ATTEMPT.reference,
            "out_request_no": REFUND.reference,
            "refund_amount": "2.34",
            "refund_reason": "too late",
        },
    )


FOUND = ok(refund_status="REFUND_SUCCESS", refund_amount="2.34", out_request_no=REFUND.reference)
DONE = RefundDone(amount=Money(234, CNY))


@pytest.mark.parametrize(
    ("script", "event"),
    [
        ([ok(fund_change="N"), FOUND], DONE),
        ([ok(), FOUND], DONE),
        ([ok(fund_change="N"), ok()], RefundAccepted()),
        ([ok(fund_change="N"), failed("ACQ.SYSTEM_ERROR")], RefundAccepted()),
        ([failed("ACQ.TRADE_HAS_CLOSE"), FOUND], DONE),
        ([failed("ACQ.DISCORDANT_REPEAT_REQUEST"), FOUND], DONE),
    ],
)
async def test_refund_is_done_only_when_alipay_says_so(
    channel: Alipay, alipay: ScriptedAlipay, script: list[Any], event: object
) -> None:
    alipay.script = list(script)
    assert await channel.refund(REFUND) == event
    assert alipay.script == []


@pytest.mark.parametrize(
    "script",
    [
        [failed("ACQ.TRADE_NOT_ALLOW_REFUND")],
        [failed("ACQ.REASON_TRADE_BEEN_FREEZEN")],
        [failed("ACQ.TRADE_STATUS_ERROR"), ok()],
        [failed("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"), ok()],
    ],
)
async def test_refund_rejected(channel: Alipay, alipay: ScriptedAlipay, script: list[Any]) -> None:
    alipay.script = list(script)
    assert isinstance(await channel.refund(REFUND), RefundRejected)
    assert alipay.script == []


@pytest.mark.parametrize(
    "answer",
    [
        failed("ACQ.SELLER_BALANCE_NOT_ENOUGH"),
        failed("ACQ.REFUND_CHARGE_ERROR"),
        unsigned(failed("isv.invalid-parameter", code="40002")),
    ],
)
async def test_refund_that_may_be_repeated_later_is_not_rejected(
    channel: Alipay, alipay: ScriptedAlipay, answer: Any
) -> None:
    alipay.script = [answer]
    with pytest.raises(ChannelUnavailable):
        await channel.refund(REFUND)


@pytest.mark.parametrize(
    "answer", [failed("ACQ.SYSTEM_ERROR"), failed("ACQ.NEW_CODE"), unsigned(ok(fund_change="Y")), OutcomeUnknown()]
)
async def test_refund_unknown(channel: Alipay, alipay: ScriptedAlipay, answer: Any) -> None:
    alipay.script = [answer]
    with pytest.raises(OutcomeUnknown):
        await channel.refund(REFUND)


@pytest.mark.parametrize(
    ("answer", "event"),
    [
        (FOUND, DONE),
        (ok(), RefundNotFound()),
        (ok(refund_status="REFUND_SOMETHING"), RefundAccepted()),
        (failed("ACQ.TRADE_NOT_EXIST"), RefundNotFound()),
        (failed("TRADE_NOT_EXIST"), RefundNotFound()),
    ],
)
async def test_query_refund(channel: Alipay, alipay: ScriptedAlipay, answer: Any, event: object) -> None:
    alipay.script = [answer]
    assert await channel.query_refund(REFUND) == event


# --- notifications -----------------------------------------------------------------------------------------------

PAID_FIELDS = {
    "notify_type": "trade_status_sync",
    "out_trade_no": ATTEMPT.reference,
    "trade_no": TRADE_NO,
    "trade_status": "TRADE_SUCCESS",
    "total_amount": "12.34",
    "seller_id": SELLER_ID,
    "buyer_id": "2088102",
    "gmt_payment": "2026-01-02 03:10:00",
    "subject": "茶 + tea",
}
STATED = Stated(amount=Money(1234, CNY), account=APP_ID, seller=SELLER_ID, required=frozenset({"amount", "account"}))


def read(channel: Alipay, body: bytes) -> Notification:
    found = channel.read_notification(posted(body), NOW)
    assert isinstance(found, Notification)
    return found


def test_a_payment_notification(channel: Alipay, alipay: ScriptedAlipay) -> None:
    found = read(channel, alipay.notification(**PAID_FIELDS))
    event = Paid(
        stated=STATED, channel_reference=TRADE_NO, paid_at=datetime(2026, 1, 1, 19, 10, tzinfo=UTC), buyer="2088102"
    )
    assert found == Notification("n1", (Report(ATTEMPT.reference, event),), "trade_status_sync")


def test_a_refund_notification_reports_both(channel: Alipay, alipay: ScriptedAlipay) -> None:
    fields = {
        **PAID_FIELDS,
        "out_biz_no": REFUND.reference,
        "refund_fee": "2.34",
        "gmt_refund": "2026-01-02 04:00:00.123",
    }
    trade, refund = read(channel, alipay.notification(**fields)).reports
    assert isinstance(trade.event, Paid)
    assert trade.event.refunded == Money(234, CNY)
    assert refund == Report(
        REFUND.reference, RefundDone(refunded_at=datetime(2026, 1, 1, 20, 0, 0, 123_000, tzinfo=UTC))
    )


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"gmt_payment": "", "gmt_close": "2026-01-02 03:40:00"}, Closed),
        ({"gmt_close": "2026-01-02 04:00:00"}, Paid),
        ({"gmt_payment": "", "refund_fee": "12.34", "gmt_refund": "2026-01-02 04:00:00"}, Paid),
    ],
)
def test_closed_notifications(channel: Alipay, alipay: ScriptedAlipay, fields: Mapping[str, str], kind: type) -> None:
    body = alipay.notification(**{**PAID_FIELDS, "trade_status": "TRADE_CLOSED", **fields})
    assert isinstance(read(channel, body).reports[0].event, kind)


def test_messages_about_something_else_make_no_report(channel: Alipay, alipay: ScriptedAlipay) -> None:
    found = read(channel, alipay.notification(notify_type="dut_user_sign", status="NORMAL"))
    assert (found.kind, found.reports) == ("dut_user_sign", ())


def test_a_forged_notification(channel: Alipay, alipay: ScriptedAlipay) -> None:
    body = alipay.notification(**PAID_FIELDS).replace(b"12.34", b"0.01")
    with pytest.raises(MessageNotTrusted):
        channel.read_notification(posted(body), NOW)


@pytest.mark.parametrize("body", [b"", b"hello", b"\xff\xfe", b'{"a":1}', b"a=1", b"sign=x&a=1&a=2"])
def test_what_is_no_notification(channel: Alipay, body: bytes) -> None:
    with pytest.raises(InvalidInput):
        channel.read_notification(posted(body), NOW)


def test_a_signed_message_without_an_id(channel: Alipay, alipay: ScriptedAlipay) -> None:
    with pytest.raises(InvalidInput):
        channel.read_notification(posted(alipay.notification(**{**PAID_FIELDS, "notify_id": ""})), NOW)


def test_acknowledgements(channel: Alipay) -> None:
    told = {outcome: channel.acknowledge(outcome).body for outcome in Acknowledgement}
    assert told == {
        Acknowledgement.ACCEPTED: b"success",
        Acknowledgement.REFUSED: b"fail",
        Acknowledgement.LATER: b"fail",
    }


# --- opening and checking ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("private_key", "rubbish"),
        ("private_key", "/etc/passwd"),
        ("private_key", ""),
        ("alipay_public_key", "rubbish"),
        ("gateway_url", "ftp://x"),
        ("gateway_url", ""),
        ("app_id", "2021 0000"),
        ("sign_type", "MD5"),
    ],
)
def test_unreadable_credentials_are_named(
    credentials: dict[str, str], alipay: ScriptedAlipay, name: str, value: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        ALIPAY.open({**credentials, name: value}, AsyncScript(alipay), FixedClock())
    assert refused.value.param == f"/credentials/{name}"
    assert credentials["private_key"] not in str(refused.value)


def test_the_own_public_key_in_place_of_alipays(
    credentials: dict[str, str], alipay: ScriptedAlipay, keys: Keys
) -> None:
    credentials["alipay_public_key"] = RsaPrivateKey(keys.app).public().bare()
    with pytest.raises(InvalidInput) as refused:
        ALIPAY.open(credentials, AsyncScript(alipay), FixedClock())
    assert refused.value.param == "/credentials/alipay_public_key"


def test_identity_and_capabilities(channel: Alipay) -> None:
    assert (channel.identity.account, channel.identity.seller) == (APP_ID, SELLER_ID)
    assert channel.capabilities is CAPABILITIES
    assert Verb.CREATE not in CAPABILITIES.idempotent
    for method in CAPABILITIES.methods.values():
        assert method.currencies == {"CNY"}
        assert (method.amount_min, method.amount_max) == (1, 10_000_000_000)


@pytest.mark.parametrize(
    ("answer", "level", "code"),
    [
        (failed("ACQ.TRADE_NOT_EXIST"), "ok", "keys_right"),
        (ok(trade_status="WAIT_BUYER_PAY"), "ok", "keys_right"),
        (unsigned(failed("isv.invalid-signature", code="40002")), "error", "isv.invalid-signature"),
        (unsigned(failed("isv.invalid-app-id", code="40002")), "error", "isv.invalid-app-id"),
        (unsigned(ok()), "error", "alipay_public_key_wrong"),
        (ChannelUnavailable(), "error", "gateway_unreachable"),
        (OutcomeUnknown(), "error", "gateway_no_answer"),
    ],
)
async def test_check(channel: Alipay, alipay: ScriptedAlipay, answer: Any, level: str, code: str) -> None:
    alipay.script = [answer]
    (finding,) = await channel.check()
    assert (finding.level, finding.code) == (level, code)
    assert level == "ok" or finding.advice


def test_nothing_secret_is_printed(channel: Alipay, credentials: dict[str, str]) -> None:
    for text in (repr(channel), repr(channel._client), repr(channel._client.account)):
        assert credentials["private_key"][:40] not in text


# --- app, mini program, barcode ------------------------------------------------------------------------------------


async def test_an_app_payment_is_an_order_string(channel: Alipay, alipay: ScriptedAlipay) -> None:
    event = await channel.create(replace(ATTEMPT, method="alipay_app"))
    assert isinstance(event, Accepted)
    assert event.next_action is not None
    order = (event.next_action.params or {})["order_string"]
    params = alipay.received(Request("GET", f"{GATEWAY_URL}?{order}"))
    assert params["method"] == "alipay.trade.app.pay"
    assert alipay.calls == []


@pytest.mark.parametrize(("buyer", "field"), [("2088102000000001", "buyer_id"), ("065XqGtest-open", "buyer_open_id")])
async def test_a_mini_program_payment(channel: Alipay, alipay: ScriptedAlipay, buyer: str, field: str) -> None:
    alipay.script = [ok(trade_no=TRADE_NO)]
    event = await channel.create(replace(ATTEMPT, method="alipay_jsapi", buyer_id=buyer))
    assert isinstance(event, Accepted)
    assert event.next_action is not None
    assert (event.channel_reference, event.next_action.params) == (TRADE_NO, {"trade_no": TRADE_NO})
    assert alipay.calls[0][1][field] == buyer


@pytest.mark.parametrize("field", ["buyer_id", "buyer_open_id"])
async def test_an_option_names_the_mini_programs_buyer_before_the_merchants_own_id(
    channel: Alipay, alipay: ScriptedAlipay, field: str
) -> None:
    alipay.script = [ok(trade_no=TRADE_NO)]
    await channel.create(replace(ATTEMPT, method="alipay_jsapi", buyer_id="u_1", options={field: "2088102000000001"}))
    sent = alipay.calls[0][1]
    assert {name: sent.get(name) for name in ("buyer_id", "buyer_open_id")} == {
        "buyer_id": None,
        "buyer_open_id": None,
        field: "2088102000000001",
    }


@pytest.mark.parametrize("method", ["alipay_jsapi", "alipay_barcode"])
async def test_what_the_method_needs_of_the_buyer(channel: Alipay, method: str) -> None:
    with pytest.raises(InvalidInput):
        await channel.create(replace(ATTEMPT, method=method))


BARCODE = replace(ATTEMPT, method="alipay_barcode", options={"auth_code": "28763443825664394"})
IN_PROGRESS = {"code": "10003", "msg": " order success pay inprocess", "trade_no": TRADE_NO}
PAID_NODE = ok(trade_no=TRADE_NO, trade_status="TRADE_SUCCESS", total_amount="12.34")


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ([IN_PROGRESS], Accepted),
        ([ok(trade_no=TRADE_NO), PAID_NODE], Paid),
        ([ok(trade_no=TRADE_NO), ok(trade_status="WAIT_BUYER_PAY")], Accepted),
        ([ok(trade_no=TRADE_NO), OutcomeUnknown()], Accepted),
        ([failed("ACQ.PAYMENT_AUTH_CODE_INVALID")], Declined),
        ([failed("ACQ.BUYER_BALANCE_NOT_ENOUGH")], Declined),
        ([failed("ACQ.TRADE_HAS_SUCCESS"), PAID_NODE], Paid),
    ],
)
async def test_a_barcode_payment(channel: Alipay, alipay: ScriptedAlipay, script: list[Any], kind: type) -> None:
    alipay.script = list(script)
    event = await channel.create(BARCODE)
    assert isinstance(event, kind)
    assert alipay.script == []
    if isinstance(event, Accepted):
        assert event.next_action is not None
        assert event.next_action.kind is NextActionKind.WAIT


@pytest.mark.parametrize("answer", [failed("aop.ACQ.SYSTEM_ERROR", code="20000"), OutcomeUnknown(), unsigned(ok())])
async def test_a_barcode_payment_without_a_known_end(channel: Alipay, alipay: ScriptedAlipay, answer: Any) -> None:
    alipay.script = [answer]
    with pytest.raises(OutcomeUnknown):
        await channel.create(BARCODE)


@pytest.mark.parametrize(
    ("script", "event"),
    [
        ([ok(trade_no=TRADE_NO, action="close", retry_flag="N")], Closed(channel_reference=TRADE_NO)),
        ([ok(retry_flag="N")], NotFound()),
        ([ok(action="dance")], Accepted()),
        (
            [ok(trade_no=TRADE_NO, action="refund"), OutcomeUnknown()],
            Paid(stated=Stated(), channel_reference=TRADE_NO, refunded=Money(1234, CNY)),
        ),
        (
            [
                ok(trade_no=TRADE_NO, action="refund"),
                ok(trade_no=TRADE_NO, trade_status="TRADE_CLOSED", total_amount="12.34"),
            ],
            Paid(stated=Stated(), channel_reference=TRADE_NO, refunded=Money(1234, CNY)),
        ),
        (
            [failed("ACQ.TRADE_HAS_FINISHED"), PAID_NODE],
            Paid(stated=Stated(amount=Money(1234, CNY)), channel_reference=TRADE_NO),
        ),
    ],
)
async def test_a_barcode_payment_is_cancelled_not_closed(
    channel: Alipay, alipay: ScriptedAlipay, script: list[Any], event: object
) -> None:
    alipay.script = list(script)
    assert await channel.close(BARCODE) == event
    assert alipay.calls[0][0] == "alipay.trade.cancel"


@pytest.mark.parametrize(
    "answer", [ok(retry_flag="Y", action="close"), failed("ACQ.SYSTEM_ERROR"), failed("AQC.SYSTEM_ERROR")]
)
async def test_a_cancel_to_be_repeated(channel: Alipay, alipay: ScriptedAlipay, answer: Any) -> None:
    alipay.script = [answer]
    with pytest.raises(OutcomeUnknown):
        await channel.close(BARCODE)


async def test_a_cancel_refused_says_nothing_about_the_trade(channel: Alipay, alipay: ScriptedAlipay) -> None:
    alipay.script = [failed("ACQ.INVALID_PARAMETER")]
    with pytest.raises(ChannelUnavailable):
        await channel.close(BARCODE)


def test_every_method_has_a_creator(channel: Alipay) -> None:
    assert channel._creators.keys() == CAPABILITIES.methods.keys()


OPTION_VALUES: dict[str, object] = {
    "goods_detail": [{"goods_id": "g", "goods_name": "tea", "quantity": 1, "price": "0.01"}],
    "extend_params": {"hb_fq_num": "3"},
    "qrcode_width": 100,
    "auth_code": "28763443825664394",
}


@pytest.mark.parametrize("method", CAPABILITIES.methods)
async def test_every_option_of_a_method_is_sent(channel: Alipay, alipay: ScriptedAlipay, method: str) -> None:
    """Options are checked against the capabilities before they come here, so each must be one that the client takes."""
    options = {name: OPTION_VALUES.get(name, "1") for name in CAPABILITIES.methods[method].options}
    code = "10003" if method == "alipay_barcode" else "10000"
    alipay.script = [{"code": code, "trade_no": TRADE_NO, "qr_code": "https://qr.alipay.com/bax1"}]
    event = await channel.create(replace(ATTEMPT, method=method, options=options, buyer_id="2088102"))
    assert isinstance(event, Accepted)
    assert event.next_action is not None
    if alipay.calls:
        sent = alipay.calls[0][1]
    else:
        params = event.next_action.params or {}
        query = urlsplit(event.next_action.url or "").query or params["order_string"]
        sent = json.loads(dict(parse_qsl(query))["biz_content"])
    assert {name: sent[name] for name in options} == options
