"""WeChat Pay's adapter: every verb's reports, from the answers that WeChat gives."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.channels.wechatpay.conftest import (
    APIV3_KEY,
    APPID,
    GATEWAY_URL,
    MCHID,
    MERCHANT_SERIAL,
    NOTIFY_URL,
    NOW,
    PUBLIC_KEY_ID,
    TRANSACTION,
    AsyncScript,
    Keys,
    ScriptedWechat,
    TurnedClock,
    answered,
    failed,
    sealed,
    text_of,
    unsigned,
)
from tests.channels.wechatpay.test_client import located
from tongbao.channels.wechatpay.adapter import WECHATPAY, WechatPay
from tongbao.channels.wechatpay.capabilities import CAPABILITIES
from tongbao.domain.errors import (
    ChannelUnavailable,
    InvalidInput,
    MessageNotTrusted,
    OutcomeUnknown,
)
from tongbao.domain.money import CNY, Money
from tongbao.domain.payment import Attempt, mismatches
from tongbao.domain.report import (
    Accepted,
    AttemptEvent,
    Closed,
    Declined,
    Identity,
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
from tongbao.ports import Acknowledgement, AttemptRequest, KeyWanted, RawRequest, RefundRequest, Verb

ATTEMPT = AttemptRequest(
    reference="01J0000000000000000000ATT1",
    method="wechat_native",
    amount=Money(1234, CNY),
    subject="茶 \U0001f375 / tea",
    expires_at=NOW + timedelta(minutes=30),
    created_at=NOW,
    notify_url=NOTIFY_URL,
    return_url="https://shop.test/back?a=1",
    buyer_ip="203.0.113.7",
)
REFUND = RefundRequest(
    reference="01J0000000000000000000REF1",
    attempt_reference=ATTEMPT.reference,
    amount=Money(234, CNY),
    paid=Money(1234, CNY),
    reason="too late",
)
TRANSACTION_ID = TRANSACTION["transaction_id"]
STATED = Stated(amount=Money(1234, CNY), account=MCHID)
PAID = Paid(
    stated=STATED,
    channel_reference=TRANSACTION_ID,
    paid_at=datetime(2026, 1, 1, 19, 10, tzinfo=UTC),
    buyer="oAAAA",
)
UNPAID = {name: TRANSACTION[name] for name in ("appid", "mchid", "out_trade_no")}
REFUNDED = {
    "refund_id": "50300001232026010212345678901",
    "out_refund_no": REFUND.reference,
    "transaction_id": TRANSACTION_ID,
    "out_trade_no": ATTEMPT.reference,
    "status": "PROCESSING",
    "amount": {"total": 1234, "refund": 234, "currency": "CNY"},
}
DONE = RefundDone(
    amount=Money(234, CNY),
    channel_reference=REFUNDED["refund_id"],
    refunded_at=datetime(2026, 1, 2, 1, 0, tzinfo=UTC),
)


@pytest.fixture
def credentials(keys: Keys) -> dict[str, str]:
    return {
        "gateway_url": GATEWAY_URL,
        "mchid": MCHID,
        "appid": APPID,
        "merchant_private_key": keys.merchant_private,
        "merchant_serial": MERCHANT_SERIAL,
        "apiv3_key": APIV3_KEY,
    }


@pytest.fixture
def channel(credentials: dict[str, str], wechat: ScriptedWechat, turned: TurnedClock) -> WechatPay:
    opened = WECHATPAY.open(credentials, AsyncScript(wechat), turned)
    assert isinstance(opened, WechatPay)
    return opened


def posted(headers: dict[str, str], body: bytes) -> RawRequest:
    return RawRequest("POST", "/notify/ca_1", "", {"content-type": "application/json", **headers}, body)


# --- create ------------------------------------------------------------------------------------------------------


async def test_a_qr_with_the_absolute_deadline(channel: WechatPay, wechat: ScriptedWechat) -> None:
    wechat.script = [{"code_url": "weixin://wxpay/bizpayurl?pr=AbCdEfGzz"}]
    event = await channel.create(ATTEMPT)
    assert isinstance(event, Accepted)
    assert event.next_action is not None
    assert event.next_action.kind is NextActionKind.QR_CODE
    assert event.next_action.content == "weixin://wxpay/bizpayurl?pr=AbCdEfGzz"
    assert wechat.calls[0].target == "/v3/pay/transactions/native"
    assert wechat.calls[0].body == {
        "appid": APPID,
        "mchid": MCHID,
        "out_trade_no": ATTEMPT.reference,
        "description": "茶 ? / tea",
        "notify_url": NOTIFY_URL,
        "amount": {"total": 1234, "currency": "CNY"},
        "time_expire": "2026-01-02T03:34:05+08:00",
    }


@pytest.mark.parametrize(
    ("buyer_id", "options"), [("oAAAA", {}), (None, {"openid": "oAAAA"}), ("oBBBB", {"openid": "oAAAA"})]
)
async def test_a_page_inside_wechat(
    channel: WechatPay, wechat: ScriptedWechat, buyer_id: str | None, options: dict[str, object]
) -> None:
    wechat.script = [{"prepay_id": "wx201"}]
    event = await channel.create(replace(ATTEMPT, method="wechat_jsapi", buyer_id=buyer_id, options=options))
    assert isinstance(event, Accepted)
    assert event.next_action is not None
    assert event.next_action.kind is NextActionKind.SDK
    params = event.next_action.params or {}
    assert params.keys() == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
    assert params["package"] == "prepay_id=wx201"
    assert wechat.calls[0].body["payer"] == {"openid": "oAAAA"}


async def test_an_app(channel: WechatPay, wechat: ScriptedWechat) -> None:
    wechat.script = [{"prepay_id": "wx201"}]
    event = await channel.create(replace(ATTEMPT, method="wechat_app"))
    assert isinstance(event, Accepted)
    assert event.next_action is not None
    assert event.next_action.kind is NextActionKind.SDK
    assert (event.next_action.params or {})["prepayId"] == "wx201"


async def test_a_phone_s_browser(channel: WechatPay, wechat: ScriptedWechat) -> None:
    wechat.script = [{"h5_url": "https://wx.tenpay.com/x?prepay_id=wx201"}]
    event = await channel.create(replace(ATTEMPT, method="wechat_h5", options={"h5_info": {"type": "iOS"}}))
    assert isinstance(event, Accepted)
    assert event.next_action is not None
    assert event.next_action.kind is NextActionKind.REDIRECT
    assert event.next_action.url == (
        "https://wx.tenpay.com/x?prepay_id=wx201&redirect_url=https%3A%2F%2Fshop.test%2Fback%3Fa%3D1"
    )
    scene = wechat.calls[0].body["scene_info"]
    assert scene == {"payer_client_ip": "203.0.113.7", "h5_info": {"type": "iOS"}}


BARCODE = replace(ATTEMPT, method="wechat_barcode", options={"auth_code": "130061098828009406"})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (TRANSACTION, PAID),
        (answered(202, {**UNPAID, "trade_state": "USERPAYING"}), Accepted),
        (answered(202, {"code": "USERPAYING", "message": "需要用户输入支付密码"}), Accepted),
        (failed("USER_PAYING", 403), Accepted),
        ({**UNPAID, "trade_state": "PAYERROR"}, Declined),
        ({**UNPAID, "trade_state": "NEVER_HEARD_OF"}, Accepted),
        (failed("NOT_ENOUGH", 403), Declined),
        (failed("AUTH_CODE_EXPIRED", 400), Declined),
        (failed("AUTHCODEEXPIRE", 400), Declined),
    ],
)
async def test_a_code_at_the_counter(channel: WechatPay, wechat: ScriptedWechat, answer: Any, expected: Any) -> None:
    wechat.script = [answer]
    event = await channel.create(BARCODE)
    if isinstance(expected, type):
        assert isinstance(event, expected)
    else:
        assert event == expected
    if isinstance(event, Accepted):
        assert event.next_action is not None
        assert event.next_action.kind is NextActionKind.WAIT
    sent = wechat.calls[0].body
    assert (sent["payer"], sent["scene_info"]) == (
        {"auth_code": "130061098828009406"},
        {"store_info": {"out_id": "1"}},
    )


@pytest.mark.parametrize(
    ("attempt", "param"),
    [
        (replace(ATTEMPT, method="wechat_jsapi"), "method_options.openid"),
        (replace(ATTEMPT, method="wechat_h5", buyer_ip=None), "buyer_ip"),
        (replace(BARCODE, options={}), "method_options.auth_code"),
        (replace(BARCODE, options={"auth_code": "13"}), "method_options.auth_code"),
        (replace(ATTEMPT, method="wechat_carrier_pigeon"), "method"),
    ],
)
async def test_what_a_method_needs(channel: WechatPay, attempt: AttemptRequest, param: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await channel.create(attempt)
    assert caught.value.param == param


async def test_every_option_reaches_wechat(channel: WechatPay, wechat: ScriptedWechat) -> None:
    common: dict[str, object] = {
        "attach": "a",
        "goods_tag": "g",
        "detail": {"cost_price": 1},
        "scene_info": {"device_id": "d"},
        "settle_info": {"profit_sharing": True},
        "limit_pay": ["no_credit"],
    }
    own: dict[str, dict[str, object]] = {
        "wechat_native": {"support_fapiao": True},
        "wechat_jsapi": {"openid": "oAAAA", "support_fapiao": True},
        "wechat_h5": {"h5_info": {"type": "Wap"}, "support_fapiao": True},
        "wechat_app": {"support_fapiao": True},
        "wechat_barcode": {
            "auth_code": "130061098828009406",
            "store_info": {"id": "7"},
            "device_ip": "203.0.113.8",
        },
    }
    handle = {"code_url": "c", "prepay_id": "p", "h5_url": "h", **UNPAID, "trade_state": "USERPAYING"}
    for method, capability in CAPABILITIES.methods.items():
        options = {**common, **own[method]}
        assert options.keys() == capability.options, method
        wechat.script = [handle]
        await channel.create(replace(ATTEMPT, method=method, options=options))
        sent = json.dumps(wechat.calls[-1].body)
        for name in options:
            assert name in sent, (method, name)


@pytest.mark.parametrize(
    ("code", "status", "ours"),
    [("PARAM_ERROR", 400, "channel_request_invalid"), ("RULE_LIMIT", 403, "risk_refused")],
)
async def test_a_definite_refusal_is_declined(
    channel: WechatPay, wechat: ScriptedWechat, code: str, status: int, ours: str
) -> None:
    wechat.script = [failed(code, status)]
    event = await channel.create(ATTEMPT)
    assert isinstance(event, Declined)
    assert (event.code, event.channel_code) == (ours, code)


@pytest.mark.parametrize(
    ("code", "status"),
    [("INVALID_REQUEST", 400), ("OUT_TRADE_NO_USED", 403), ("ORDERPAID", 400), ("ORDER_CLOSED", 400)],
)
async def test_an_order_that_may_exist_is_asked_about(
    channel: WechatPay, wechat: ScriptedWechat, code: str, status: int
) -> None:
    wechat.script = [failed(code, status), TRANSACTION]
    assert await channel.create(ATTEMPT) == PAID
    wechat.script = [failed(code, status), failed("ORDER_NOT_EXIST", 404)]
    event = await channel.create(ATTEMPT)
    assert isinstance(event, Declined)
    assert event.channel_code == code


@pytest.mark.parametrize(
    "answer",
    [
        failed("SYSTEM_ERROR", 500),
        failed("NEVER_HEARD_OF", 403),
        failed("PARAM_ERROR", 400, signed=False),
        unsigned(200, b'{"code_url":"weixin://forged"}'),
        unsigned(502),
        OutcomeUnknown("broken"),
    ],
)
async def test_what_is_not_certain_is_an_unknown_outcome(
    channel: WechatPay, wechat: ScriptedWechat, answer: Any
) -> None:
    wechat.script = [answer]
    with pytest.raises(OutcomeUnknown):
        await channel.create(ATTEMPT)


@pytest.mark.parametrize(
    "answer",
    [
        failed("SIGN_ERROR", 401, signed=False),
        failed("NO_AUTH", 403),
        failed("APPID_MCHID_NOT_MATCH", 400),
        failed("FREQUENCY_LIMITED", 429),
        unsigned(404),
        ChannelUnavailable("refused"),
    ],
)
async def test_what_was_not_executed(channel: WechatPay, wechat: ScriptedWechat, answer: Any) -> None:
    wechat.script = [answer]
    with pytest.raises(ChannelUnavailable):
        await channel.create(ATTEMPT)


# --- query -------------------------------------------------------------------------------------------------------


async def test_a_paid_order(channel: WechatPay, wechat: ScriptedWechat) -> None:
    wechat.script = [TRANSACTION]
    assert await channel.query(ATTEMPT) == PAID
    assert wechat.calls[0].target == f"/v3/pay/transactions/out-trade-no/{ATTEMPT.reference}?mchid={MCHID}"


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({**UNPAID, "trade_state": "NOTPAY"}, Accepted(stated=Stated(account=MCHID))),
        ({**UNPAID, "trade_state": "CLOSED"}, Closed(stated=Stated(account=MCHID))),
        ({**UNPAID, "trade_state": "REVOKED"}, Closed(stated=Stated(account=MCHID))),
        ({**UNPAID, "trade_state": "TELEPORTED"}, Accepted(stated=Stated(account=MCHID))),
        (UNPAID, Accepted(stated=Stated(account=MCHID))),
        ({**TRANSACTION, "trade_state": "REFUND"}, PAID),
        ({**TRANSACTION, "trade_state": "REVOKED"}, replace(PAID, refunded=Money(1234, CNY))),
    ],
)
async def test_states(channel: WechatPay, wechat: ScriptedWechat, node: dict[str, Any], expected: AttemptEvent) -> None:
    wechat.script = [node]
    assert await channel.query(ATTEMPT) == expected


async def test_no_such_order(channel: WechatPay, wechat: ScriptedWechat) -> None:
    wechat.script = [failed("ORDER_NOT_EXIST", 404), failed("ORDERNOTEXIST", 404)]
    assert await channel.query(ATTEMPT) == NotFound()
    assert await channel.query(ATTEMPT) == NotFound()


@pytest.mark.parametrize("answer", [failed("RULE_LIMIT", 403), failed("PARAM_ERROR"), failed("FREQUENCY_LIMITED", 429)])
async def test_a_refused_question_says_nothing(channel: WechatPay, wechat: ScriptedWechat, answer: Any) -> None:
    wechat.script = [answer]
    with pytest.raises(ChannelUnavailable):
        await channel.query(ATTEMPT)


async def test_a_forged_no_such_order(channel: WechatPay, wechat: ScriptedWechat) -> None:
    wechat.script = [failed("ORDER_NOT_EXIST", 404, signed=False)]
    with pytest.raises(OutcomeUnknown):
        await channel.query(ATTEMPT)


# --- close -------------------------------------------------------------------------------------------------------


async def test_close(channel: WechatPay, wechat: ScriptedWechat) -> None:
    wechat.script = [answered(204)]
    assert await channel.close(ATTEMPT) == Closed()
    assert wechat.calls[0].body == {"mchid": MCHID}


@pytest.mark.parametrize("code", ["ORDER_PAID", "ORDERPAID", "INVALID_REQUEST", "TRADE_ERROR", "ORDER_CLOSED"])
async def test_what_cannot_be_closed_is_reported_as_what_it_is(
    channel: WechatPay, wechat: ScriptedWechat, code: str
) -> None:
    wechat.script = [failed(code), TRANSACTION]
    assert await channel.close(ATTEMPT) == PAID
    wechat.script = [failed(code), {**UNPAID, "trade_state": "CLOSED"}]
    assert isinstance(await channel.close(ATTEMPT), Closed)


async def test_closing_what_is_not_there(channel: WechatPay, wechat: ScriptedWechat) -> None:
    wechat.script = [failed("ORDER_NOT_EXIST", 404)]
    assert await channel.close(ATTEMPT) == NotFound()
    wechat.script = [failed("PARAM_ERROR")]
    with pytest.raises(ChannelUnavailable):
        await channel.close(ATTEMPT)


async def test_a_barcode_payment_is_reversed(channel: WechatPay, wechat: ScriptedWechat) -> None:
    wechat.script = [UNPAID, {**UNPAID, "trade_state": "REVOKED"}]
    assert isinstance(await channel.close(BARCODE), Closed)
    assert wechat.calls[0].target.endswith("/reverse")
    assert wechat.calls[0].body == {"appid": APPID, "mchid": MCHID}
    wechat.script = [UNPAID, {**TRANSACTION, "trade_state": "REVOKED"}]
    assert await channel.close(BARCODE) == replace(PAID, refunded=Money(1234, CNY))
    wechat.script = [UNPAID, failed("SYSTEM_ERROR", 500)]
    with pytest.raises(OutcomeUnknown):
        await channel.close(BARCODE)


# --- refunds -----------------------------------------------------------------------------------------------------


async def test_a_refund(channel: WechatPay, wechat: ScriptedWechat) -> None:
    wechat.script = [REFUNDED, {**REFUNDED, "status": "SUCCESS", "success_time": "2026-01-02T09:00:00+08:00"}]
    assert await channel.refund(REFUND) == RefundAccepted(channel_reference=str(REFUNDED["refund_id"]))
    assert wechat.calls[0].body == {
        "out_trade_no": ATTEMPT.reference,
        "out_refund_no": REFUND.reference,
        "reason": "too late",
        "amount": {"refund": 234, "total": 1234, "currency": "CNY"},
    }
    assert await channel.query_refund(REFUND) == DONE


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("CLOSED", RefundRejected),
        ("ABNORMAL", RefundAccepted),
        ("PROCESSING", RefundAccepted),
        ("NEVER_HEARD_OF", RefundAccepted),
        ("", RefundAccepted),
    ],
)
async def test_refund_states(channel: WechatPay, wechat: ScriptedWechat, status: str, kind: type) -> None:
    wechat.script = [{**REFUNDED, "status": status}]
    assert isinstance(await channel.query_refund(REFUND), kind)


async def test_a_refused_refund(channel: WechatPay, wechat: ScriptedWechat) -> None:
    missing = failed("RESOURCE_NOT_EXISTS", 404)
    wechat.script = [failed("PARAM_ERROR"), failed("INVALID_REQUEST"), missing, failed("INVALID_REQUEST"), REFUNDED]
    assert isinstance(await channel.refund(REFUND), RefundRejected)
    assert isinstance(await channel.refund(REFUND), RefundRejected)
    assert isinstance(await channel.refund(REFUND), RefundAccepted), "the repeat of one that was executed"
    wechat.script = [missing]
    assert await channel.query_refund(REFUND) == RefundNotFound()
    wechat.script = [failed("NO_AUTH", 403)]
    with pytest.raises(ChannelUnavailable):
        await channel.query_refund(REFUND)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (failed("NOT_ENOUGH", 403), ChannelUnavailable),
        (failed("FREQUENCY_LIMITED", 429), OutcomeUnknown),
        (failed("SYSTEM_ERROR", 500), OutcomeUnknown),
        (failed("NEVER_HEARD_OF"), OutcomeUnknown),
    ],
)
async def test_a_refund_that_is_not_over(
    channel: WechatPay, wechat: ScriptedWechat, answer: Any, kind: type[Exception]
) -> None:
    wechat.script = [answer]
    with pytest.raises(kind):
        await channel.refund(REFUND)


# --- notifications -------------------------------------------------------------------------------------------------


async def test_a_payment_s_notification(channel: WechatPay, wechat: ScriptedWechat, keys: Keys) -> None:
    raw = posted(*wechat.notification(TRANSACTION))
    assert channel.read_notification(raw, NOW) == KeyWanted(keys.old.serial)
    await channel.refresh_keys(keys.old.serial)
    assert channel.read_notification(raw, NOW) == Notification(
        notification_id="0f0e0d0c-0b0a-5908-8706-050403020100",
        reports=(
            Report(
                ATTEMPT.reference,
                replace(PAID, stated=replace(STATED, required=frozenset({"amount", "account"}))),
            ),
        ),
        kind="TRANSACTION.SUCCESS",
    )
    with pytest.raises(MessageNotTrusted):
        channel.read_notification(raw, NOW + timedelta(seconds=300))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("SUCCESS", DONE),
        ("ABNORMAL", RefundAccepted(channel_reference=DONE.channel_reference)),
        ("CLOSED", RefundRejected),
    ],
)
async def test_a_refund_s_notification(channel: WechatPay, wechat: ScriptedWechat, status: str, expected: Any) -> None:
    await channel.refresh_keys("")
    content = {
        **{name: value for name, value in REFUNDED.items() if name != "status"},
        "mchid": MCHID,
        "refund_status": status,
        "success_time": "2026-01-02T09:00:00+08:00",
        "amount": {"total": 1234, "refund": 234, "payer_total": 1234, "payer_refund": 234},
    }
    message = channel.read_notification(posted(*wechat.notification(content, f"REFUND.{status}")), NOW)
    assert isinstance(message, Notification)
    [report] = message.reports
    assert report.reference == REFUND.reference
    assert isinstance(report.event, expected) if isinstance(expected, type) else report.event == expected
    with pytest.raises(MessageNotTrusted, match="another merchant"):
        channel.read_notification(posted(*wechat.notification({**content, "mchid": "19"}, f"REFUND.{status}")), NOW)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"amount": {"total": 1235, "currency": "CNY"}}, "amount"),
        ({"amount": {"total": 1234, "currency": "USD"}}, "currency"),
        ({"amount": {"total": 12.34, "currency": "CNY"}}, "amount"),
        ({"amount": {}}, "amount"),
        ({"amount": None}, "amount"),
        ({"mchid": "1900000110"}, "account"),
        ({"appid": "wx0000000000000002"}, "account"),
        ({"mchid": None}, "account"),
    ],
)
async def test_what_contradicts_us_marks_nothing_paid(
    channel: WechatPay, wechat: ScriptedWechat, change: dict[str, Any], told: str
) -> None:
    await channel.refresh_keys("")
    content = {name: value for name, value in {**TRANSACTION, **change}.items() if value is not None}
    message = channel.read_notification(posted(*wechat.notification(content)), NOW)
    assert isinstance(message, Notification)
    [report] = message.reports
    assert isinstance(report.event, Paid)
    assert any(told in name for name in mismatches(stored(), report.event, channel.identity))


def stored() -> Attempt:
    return Attempt(
        app_id="app_1",
        id="att_1",
        payment_id="pay_1",
        method=ATTEMPT.method,
        channel="wechatpay",
        channel_account_id="ca_1",
        reference=ATTEMPT.reference,
        amount=ATTEMPT.amount,
        expires_at=ATTEMPT.expires_at,
        created_at=ATTEMPT.created_at,
    )


async def test_notifications_about_other_things(channel: WechatPay, wechat: ScriptedWechat) -> None:
    await channel.refresh_keys("")
    others: list[tuple[str, str, dict[str, Any]]] = [
        ("MCHTRANSFER.BILL.FINISHED", "mch_payment", {"out_bill_no": "T1"}),
        ("TRANSACTION.SUCCESS", "profitsharing", {"out_order_no": "P1"}),
        ("TRANSACTION.SUCCESS", "transaction", {"combine_out_trade_no": "W1", "sub_orders": []}),
        ("REFUND.SUCCESS", "refund", {}),
        ("NEVER.HEARD", "", {}),
    ]
    for event_type, kind, content in others:
        resource = {"original_type": kind, **sealed(text_of(content), kind)}
        body = text_of({"id": "1", "event_type": event_type, "resource": resource})
        message = channel.read_notification(posted(wechat.headers(body), body), NOW)
        assert message == Notification("1", (), event_type)
    body = text_of({"id": "", "event_type": "x", "resource": sealed(b"{}", "")})
    with pytest.raises(InvalidInput):
        channel.read_notification(posted(wechat.headers(body), body), NOW)


def test_keys_that_cannot_be_fetched(
    credentials: dict[str, str], wechat: ScriptedWechat, turned: TurnedClock, keys: Keys
) -> None:
    modern = {**credentials, "public_key_id": PUBLIC_KEY_ID, "public_key": keys.public_pem}
    channel = WECHATPAY.open(modern, AsyncScript(wechat), turned)
    headers, body = wechat.notification(TRANSACTION, key=keys.public, serial=PUBLIC_KEY_ID)
    assert isinstance(channel.read_notification(posted(headers, body), NOW), Notification)
    with pytest.raises(MessageNotTrusted):
        channel.read_notification(posted({**headers, "wechatpay-serial": PUBLIC_KEY_ID + "1"}, body), NOW)
    with pytest.raises(InvalidInput):
        channel.read_notification(posted({}, b"{}"), NOW)


def test_only_the_status_counts(channel: WechatPay) -> None:
    accepted = channel.acknowledge(Acknowledgement.ACCEPTED)
    assert (accepted.status, accepted.body) == (204, b"")
    for outcome in (Acknowledgement.REFUSED, Acknowledgement.LATER):
        answer = channel.acknowledge(outcome)
        assert answer.status >= 400
        assert json.loads(answer.body)["code"] == "FAIL"
        assert answer.content_type.startswith("application/json")


# --- the rest ------------------------------------------------------------------------------------------------------


async def test_a_day_s_statement(channel: WechatPay, wechat: ScriptedWechat) -> None:
    data = (
        "交易时间,微信订单号,商户订单号,交易状态,应结订单金额,手续费,订单金额\n"
        f"`2026-01-02 03:10:00,`{TRANSACTION_ID},`{ATTEMPT.reference},`SUCCESS,`12.00,`0.07000,`12.34\n"
        "总交易单数,应结订单总金额,订单总金额\n`1,`12.00,`12.34\n"
    ).encode()
    wechat.script = [located(data), unsigned(200, data)]
    [line] = await channel.statement(date(2026, 1, 2))
    assert (line.reference, line.amount) == (ATTEMPT.reference, Money(1234, CNY))
    assert "bill_date=2026-01-02" in wechat.calls[0].target


async def test_check(channel: WechatPay, wechat: ScriptedWechat) -> None:
    wechat.script = [failed("ORDER_NOT_EXIST", 404)]
    assert {finding.code for finding in await channel.check()} == {"apiv3_key_right", "keys_right"}


def test_who_it_is(channel: WechatPay) -> None:
    assert channel.identity == Identity(account=MCHID, seller=None)
    assert channel.capabilities.idempotent == {Verb.CLOSE, Verb.REFUND}
    assert set(CAPABILITIES.methods) == {
        "wechat_native",
        "wechat_jsapi",
        "wechat_h5",
        "wechat_app",
        "wechat_barcode",
    }


@pytest.mark.parametrize("name", [field.name for field in WECHATPAY.credentials if field.required])
def test_a_missing_credential_is_named(
    credentials: dict[str, str], wechat: ScriptedWechat, turned: TurnedClock, name: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        WECHATPAY.open({**credentials, name: " "}, AsyncScript(wechat), turned)
    assert caught.value.param == f"/credentials/{name}"


def test_a_wrong_credential_is_named_and_not_shown(
    credentials: dict[str, str], wechat: ScriptedWechat, turned: TurnedClock
) -> None:
    for name in ("merchant_private_key", "apiv3_key"):
        with pytest.raises(InvalidInput) as caught:
            WECHATPAY.open({**credentials, name: "secret-nonsense"}, AsyncScript(wechat), turned)
        assert caught.value.param == f"/credentials/{name}"
        assert "secret-nonsense" not in str(caught.value)
    secret = {field.name for field in WECHATPAY.credentials if field.secret}
    assert secret == {"merchant_private_key", "apiv3_key"}


def test_a_credential_is_no_path(credentials: dict[str, str], wechat: ScriptedWechat, turned: TurnedClock) -> None:
    with pytest.raises(InvalidInput):
        WECHATPAY.open({**credentials, "merchant_private_key": __file__}, AsyncScript(wechat), turned)
