"""Alipay's other ways through the whole house: certificate mode, the counter, apps, mini programs, statements."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests.scenarios.street import SANDBOX, Street
from tongbao.channels.alipay.adapter import Alipay
from tongbao.domain.statement import LineKind


def told(street: Street) -> Any:
    """What the sandbox tells an outside client of Alipay."""
    accounts: Any = street.sandbox.accounts(f"http://{SANDBOX}")
    return accounts["alipay"]


def auth_code(street: Street, outcome: str, buyer: int = 0) -> str:
    codes = told(street)["buyers"][buyer]["auth_codes"]
    return str(next(one["code"] for one in codes if one["code"][2:4] == outcome))


async def certified(street: Street) -> Any:
    """A channel account in certificate mode, created by the merchant's API."""
    one = told(street)["cert"]
    credentials = {name: one[name] for name in ("gateway_url", "app_id", "seller_id")}
    credentials |= {name: one[f"{name}_pem"] for name in ("app_cert", "alipay_cert", "alipay_root_cert")}
    credentials["private_key"] = one["app_private_key_pkcs8_pem"]
    order = {"channel": "alipay", "name": "certificates", "credentials": credentials}
    status, account = await street.call("POST", "/v1/channel_accounts", order)
    assert status == 201, account
    return account


def sent(street: Street) -> list[str]:
    """The methods of Alipay that the gateway has called, in order."""
    found = (dict(parse_qsl(one.url.partition("?")[2])).get("method") for one in street.net.sent)
    return [method for method in found if method]


async def barcode(street: Street, outcome: str, **more: Any) -> Any:
    options = {"auth_code": auth_code(street, outcome)}
    return await street.order(method="alipay_barcode", method_options=options, **more)


# --- certificate mode ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["alipay_qr", "alipay_page"])
async def test_certificates_from_account_to_refund(street: Street, method: str) -> None:
    account = await certified(street)
    status, found = await street.call("POST", f"/v1/channel_accounts/{account['id']}/check")
    assert (status, [one["code"] for one in found["data"]]) == (200, ["keys_right"])
    payment = await street.order(method=method, channel_account=account["id"])
    await street.pay(payment)
    assert await street.notify() == 1
    paid = await street.payment(payment)
    assert (paid["status"], paid["channel_account"]) == ("succeeded", account["id"])
    await street.refund(payment, "R1", 100)
    await street.send_refunds()
    await street.notify()
    assert (await street.payment(payment))["amount_refunded"] == 100


async def test_a_certificate_that_alipay_renewed_is_fetched_for_an_answer(street: Street) -> None:
    account = await certified(street)
    payment = await street.order(channel_account=account["id"])
    street.fault("notification_lost")
    await street.pay(payment)
    street.fault("reply_key_rotated", calls=None)
    street.clock.advance(30)
    await street.ask(payment)
    assert (await street.payment(payment))["status"] == "succeeded"
    assert sent(street)[-1] == "alipay.open.app.alipaycert.download"


async def test_a_certificate_that_alipay_renewed_is_fetched_for_a_notification(street: Street) -> None:
    account = await certified(street)
    payment = await street.order(channel_account=account["id"])
    street.fault("notification_key_rotated")
    await street.pay(payment)
    assert await street.notify() == 1
    assert (await street.payment(payment))["status"] == "succeeded"
    assert sent(street)[-1] == "alipay.open.app.alipaycert.download"


# --- the counter -----------------------------------------------------------------------------------------------------


async def test_a_code_that_pays_at_once(street: Street) -> None:
    payment = await barcode(street, "01")
    assert (payment["status"], payment["next_action"]) == ("succeeded", None)
    assert await street.notify() == 1
    assert await street.events(payment) == ["payment.created", "payment.succeeded"]


async def test_a_code_that_waits_for_the_password(street: Street) -> None:
    payment = await barcode(street, "02")
    assert (payment["status"], payment["next_action"]["type"]) == ("pending", "wait")
    street.fault("notification_lost")
    for _ in range(3):
        street.clock.advance(5)
        await street.ask(payment)
    assert (await street.payment(payment))["status"] == "succeeded", "asked every five seconds, known within fifteen"


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("04", "buyer_balance_insufficient"), ("07", "auth_code_invalid"), ("08", "risk_refused")],
)
async def test_a_code_that_is_refused_leaves_room_for_another(street: Street, outcome: str, code: str) -> None:
    payment = await barcode(street, outcome)
    assert (payment["status"], payment["next_action"]) == ("pending", None)
    attempt = payment["latest_attempt"]
    assert (attempt["status"], attempt["error"]["code"], attempt["error"]["outcome"]) == (
        "failed",
        code,
        "not_executed",
    )
    again = {"method": "alipay_barcode", "method_options": {"auth_code": auth_code(street, "01")}}
    status, paid = await street.call("POST", f"/v1/payments/{payment['id']}/attempts", again)
    assert (status, paid["status"]) == (201, "succeeded")


async def test_a_buyer_who_is_poor(street: Street) -> None:
    options = {"auth_code": auth_code(street, "01", buyer=2)}
    payment = await street.order(method="alipay_barcode", method_options=options)
    assert payment["latest_attempt"]["error"]["code"] == "buyer_balance_insufficient"


async def test_unknown_and_it_was_paid(street: Street) -> None:
    payment = await barcode(street, "05")
    assert payment["latest_attempt"]["error"]["outcome"] == "unknown"
    street.clock.advance(2)
    await street.ask(payment)
    assert (await street.payment(payment))["status"] == "succeeded"


@pytest.mark.parametrize("outcome", ["03", "06"])
async def test_a_buyer_who_never_pays_is_asked_about_until_the_deadline(street: Street, outcome: str) -> None:
    payment = await barcode(street, outcome, expires_in=60)
    for _ in range(13):
        street.clock.advance(5)
        await street.ask(payment)
    closed = await street.payment(payment)
    assert (closed["status"], closed["closed_reason"]) == ("closed", "expired")
    assert 10 <= sent(street).count("alipay.trade.query") <= 14, "every five seconds"


@pytest.mark.parametrize("outcome", ["03", "06"])
async def test_a_wish_to_cancel_is_proven_at_once(street: Street, outcome: str) -> None:
    """Waiting or unknown: the last query, then Alipay's cancel."""
    payment = await barcode(street, outcome)
    status, canceled = await street.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert (status, canceled["status"], canceled["closed_reason"]) == (200, "closed", "canceled")
    assert sent(street)[-2:] == ["alipay.trade.query", "alipay.trade.cancel"]


async def test_a_cancel_that_met_a_payment_is_paid_and_refunded(street: Street) -> None:
    """The last query said 'waiting', the buyer pays, the cancel pays back."""
    payment = await barcode(street, "03")

    async def pays(_: object) -> None:
        (trade,) = street.sandbox.alipay.book.trades.values()
        street.sandbox.alipay.book.pay(trade, street.sandbox.buyer())

    street.net.meanwhile = pays
    status, problem = await street.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert (status, problem["code"]) == (409, "payment_succeeded")
    found = await street.payment(payment)
    assert (found["status"], found["amount_refunded"]) == ("succeeded", 9999)


# --- apps and mini programs ------------------------------------------------------------------------------------------


async def test_an_app(street: Street) -> None:
    payment = await street.order(method="alipay_app")
    assert payment["next_action"]["type"] == "sdk"
    order = payment["next_action"]["params"]["order_string"]
    assert dict(parse_qsl(order))["method"] == "alipay.trade.app.pay"
    channel, token = street.sandbox.find(order) or pytest.fail("the wallet does not know this order")
    result = json.loads(channel.pay(token, street.sandbox.buyer()).app_result)
    assert result["resultStatus"] == "9000"
    assert await street.notify() == 1
    assert (await street.payment(payment))["status"] == "succeeded"


@pytest.mark.parametrize("where", ["buyer", "method_options.buyer_id", "method_options.buyer_open_id"])
async def test_a_mini_program(street: Street, where: str) -> None:
    who = told(street)["buyers"][0]["user_id"]
    name = where.partition(".")[2]
    more: dict[str, Any] = {"method_options": {name: who}, "buyer": {"id": "u_1"}} if name else {"buyer": {"id": who}}
    payment = await street.order(method="alipay_jsapi", **more)
    assert payment["next_action"]["type"] == "sdk"
    trade_no = payment["next_action"]["params"]["trade_no"]
    assert payment["latest_attempt"]["channel_reference"] == trade_no
    channel, token = street.sandbox.find(trade_no) or pytest.fail("the wallet does not know this trade")
    channel.pay(token, street.sandbox.buyer())
    await street.notify()
    assert (await street.payment(payment))["status"] == "succeeded"


async def test_without_what_the_method_needs(street: Street) -> None:
    """An option that is always needed is asked for at the door; a buyer may come in two ways."""
    order = {"order_no": "O1", "amount": 1, "currency": "CNY", "subject": "tea", "method": "alipay_barcode"}
    status, problem = await street.call("POST", "/v1/payments", order)
    assert (status, problem["param"]) == (422, "/method_options/auth_code")
    payment = await street.order("O2", "alipay_jsapi")
    error = payment["latest_attempt"]["error"]
    assert (payment["latest_attempt"]["status"], error["outcome"]) == ("failed", "not_executed")


# --- statements ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["key", "certificates"])
async def test_the_statement_is_what_happened(street: Street, mode: str) -> None:
    """Every payment and refund of the day, by our references, in fen."""
    account_id = (await certified(street))["id"] if mode == "certificates" else street.account_id
    expected = []
    for number, method in enumerate(("alipay_qr", "alipay_page", "alipay_wap")):
        payment = await street.order(f"O{number}", method, channel_account=account_id, subject="茶, with a comma")
        await street.pay(payment)
        await street.notify()
        (row,) = await street.rows("SELECT reference FROM attempts WHERE payment_id = $1", payment["id"])
        expected.append((LineKind.PAYMENT, row["reference"], 9999))
    await street.refund(payment, "R1", 100)
    await street.send_refunds()
    expected.append((LineKind.REFUND, expected[-1][1], 100))
    day = street.clock.now().date()
    street.clock.advance(timedelta(days=1).total_seconds())
    app_id = street.app.id
    channel = (await street.services.accounts.opened(app_id, account_id)).channel
    assert isinstance(channel, Alipay)
    lines = list(await channel.statement(day))
    assert [(line.kind, line.reference, line.amount.minor) for line in lines] == expected
    refunded = await street.rows("SELECT reference FROM refunds")
    assert [line.refund_reference for line in lines if line.kind is LineKind.REFUND] == [refunded[0]["reference"]]
