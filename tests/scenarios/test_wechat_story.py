"""From order to paid, refunded, canceled, expired - the whole house with WeChat Pay's simulator at the other end."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.scenarios.street import Street
from tongbao.channels.wechatpay.adapter import WechatPay
from tongbao.domain.statement import LineKind

METHODS = {
    "wechat_native": {},
    "wechat_h5": {"buyer": {"ip": "203.0.113.7"}},
    "wechat_jsapi": {},
    "wechat_app": {},
}


@pytest.fixture
async def wechat(street: Street) -> Street:
    """The street with an account of both trusts: platform certificates and the public key."""
    await street.open_account("wechatpay")
    return street


def openid(street: Street, buyer: int = 0) -> str:
    return str(street.told("wechatpay")["buyers"][buyer]["openid"])


def auth_code(street: Street, outcome: str, buyer: int = 0) -> str:
    codes = street.told("wechatpay")["buyers"][buyer]["auth_codes"]
    return str(next(one["code"] for one in codes if one["code"][2:4] == outcome))


async def order(street: Street, method: str = "wechat_native", order_no: str = "O1", **more: Any) -> Any:
    given = {**METHODS.get(method, {}), **more}
    if method == "wechat_jsapi":
        given.setdefault("method_options", {"openid": openid(street)})
    return await street.order(order_no, method, **given)


async def barcode(street: Street, outcome: str, **more: Any) -> Any:
    return await street.order(method="wechat_barcode", method_options={"auth_code": auth_code(street, outcome)}, **more)


async def paid(street: Street, method: str = "wechat_native") -> Any:
    payment = await order(street, method)
    await street.pay(payment)
    await street.notify()
    return await street.payment(payment)


def fault(street: Street, name: str, calls: int | None = 1, **more: Any) -> None:
    street.fault(name, calls, channel="wechatpay", **more)


def sent(street: Street, part: str) -> int:
    """How often the gateway has called an address of WeChat Pay."""
    return sum(part in request.url for request in street.net.sent)


# --- from order to paid ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
async def test_from_order_to_paid(wechat: Street, method: str) -> None:
    payment = await order(wechat, method, return_url="http://shop.test/back")
    assert (payment["status"], payment["channel"]) == ("pending", "wechatpay")
    assert payment["next_action"]["type"] == {"wechat_native": "qr_code", "wechat_h5": "redirect"}.get(method, "sdk")
    await wechat.pay(payment)
    assert await wechat.notify() == 1
    found = await wechat.payment(payment)
    assert (found["status"], found["method"]) == ("succeeded", method)
    assert await wechat.events(payment) == ["payment.created", "payment.succeeded"]
    _, balances = await wechat.call("GET", "/v1/balances")
    assert {b["account"]: b["amount"] for b in balances["data"]} == {"receivable": -9999, "app_pending": 9999}


async def test_another_buyer_cannot_pay_what_was_made_for_one(wechat: Street) -> None:
    payment = await order(wechat, "wechat_jsapi", method_options={"openid": openid(wechat, 1)})
    with pytest.raises(Exception, match="OPENID_MISMATCH"):
        await wechat.pay(payment)
    assert await wechat.notify() == 0


async def test_a_code_that_pays_at_once(wechat: Street) -> None:
    payment = await barcode(wechat, "01")
    assert (payment["status"], payment["next_action"]) == ("succeeded", None)
    assert await wechat.events(payment) == ["payment.created", "payment.succeeded"]


async def test_a_code_that_waits_for_the_password(wechat: Street) -> None:
    """Nothing notifies a counter: asked every five seconds, known within fifteen."""
    payment = await barcode(wechat, "02")
    assert (payment["status"], payment["next_action"]["type"]) == ("pending", "wait")
    for _ in range(3):
        wechat.clock.advance(5)
        await wechat.ask(payment)
    assert (await wechat.payment(payment))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("04", "buyer_balance_insufficient"), ("07", "auth_code_invalid"), ("08", "auth_code_invalid")],
)
async def test_a_code_that_is_refused_leaves_room_for_another(wechat: Street, outcome: str, code: str) -> None:
    payment = await barcode(wechat, outcome)
    attempt = payment["latest_attempt"]
    assert (payment["status"], attempt["status"], attempt["error"]["code"]) == ("pending", "failed", code)
    again = {"method": "wechat_barcode", "method_options": {"auth_code": auth_code(wechat, "01")}}
    status, settled = await wechat.call("POST", f"/v1/payments/{payment['id']}/attempts", again)
    assert (status, settled["status"]) == (201, "succeeded")


async def test_a_buyer_who_cancels_at_the_password_leaves_room_for_another(wechat: Street) -> None:
    payment = await barcode(wechat, "03")
    wechat.clock.advance(11)
    await wechat.ask(payment)
    assert (await wechat.payment(payment))["latest_attempt"]["status"] == "failed"


async def test_unknown_and_it_was_paid(wechat: Street) -> None:
    payment = await barcode(wechat, "05")
    assert payment["latest_attempt"]["error"]["outcome"] == "unknown"
    wechat.clock.advance(5)
    await wechat.ask(payment)
    assert (await wechat.payment(payment))["status"] == "succeeded"


@pytest.mark.parametrize("outcome", ["06", "09"])
async def test_a_counter_s_wish_to_cancel_is_proven_at_once(wechat: Street, outcome: str) -> None:
    payment = await barcode(wechat, outcome)
    status, canceled = await wechat.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert (status, canceled["status"], canceled["closed_reason"]) == (200, "closed", "canceled")
    assert sent(wechat, "/reverse") == 1


async def test_a_buyer_who_never_decides_is_reversed_at_the_deadline(wechat: Street) -> None:
    payment = await barcode(wechat, "09", expires_in=60)
    for _ in range(13):
        wechat.clock.advance(5)
        await wechat.ask(payment)
    closed = await wechat.payment(payment)
    assert (closed["status"], closed["closed_reason"]) == ("closed", "expired")


# --- notifications ---------------------------------------------------------------------------------------------------


async def test_a_lost_notification_is_found_by_asking(wechat: Street) -> None:
    payment = await order(wechat)
    fault(wechat, "notification_lost")
    await wechat.pay(payment)
    assert await wechat.notify() == 0
    wechat.clock.advance(30)
    await wechat.ask(payment)
    assert (await wechat.payment(payment))["status"] == "succeeded"


@pytest.mark.parametrize("name", ["doubled", "replayed", "unknown_fields"])
async def test_repeats_and_unknown_fields_change_nothing_more(wechat: Street, name: str) -> None:
    payment = await order(wechat)
    fault(wechat, f"notification_{name}")
    await wechat.pay(payment)
    await wechat.notify()
    wechat.clock.advance(hours=2)
    await wechat.notify()
    assert await wechat.events(payment) == ["payment.created", "payment.succeeded"]


@pytest.mark.parametrize(
    "name", ["forged", "unsigned", "tampered", "probed", "stale", "unknown_serial", "other_secret"]
)
async def test_an_unproven_notification_is_refused_and_changes_nothing(wechat: Street, name: str) -> None:
    payment = await order(wechat)
    fault(wechat, f"notification_{name}")
    await wechat.pay(payment)
    await wechat.notify()
    assert statuses(wechat) == [401]
    assert (await wechat.payment(payment))["status"] == "pending"
    assert await wechat.rows("SELECT * FROM quarantine") == []
    wechat.clock.advance(30)
    await wechat.ask(payment)
    assert (await wechat.payment(payment))["status"] == "succeeded"


async def test_after_a_probe_the_true_message_is_believed(wechat: Street) -> None:
    payment = await order(wechat)
    fault(wechat, "notification_probed")
    await wechat.pay(payment)
    await wechat.notify()
    wechat.clock.advance(15)
    await wechat.notify()
    assert statuses(wechat) == [401, 204]
    assert (await wechat.payment(payment))["status"] == "succeeded"


def statuses(street: Street) -> list[int]:
    """What the gateway answered to the sandbox's notifications, in order."""
    tries = [one for entry in street.sandbox.bank.outbox.entries() for one in entry.tries]
    return [one.status for one in sorted(tries, key=lambda one: one.at)]


@pytest.mark.parametrize(
    ("name", "mismatch"),
    [("wrong_amount", "amount"), ("wrong_seller", "account"), ("wrong_app", "account"), ("wrong_order", "reference")],
)
async def test_a_proven_lie_is_quarantined(wechat: Street, name: str, mismatch: str) -> None:
    payment = await order(wechat)
    fault(wechat, f"notification_{name}", calls=None)
    await wechat.pay(payment)
    await wechat.notify()
    wechat.clock.advance(minutes=5)
    await wechat.notify()
    assert (await wechat.payment(payment))["status"] == "pending"
    (row,) = await wechat.rows("SELECT * FROM quarantine")
    assert row["mismatches"] == [mismatch]
    assert await wechat.events(payment) == ["payment.created"]


# --- trust -----------------------------------------------------------------------------------------------------------


async def certified(street: Street) -> str:
    """An account that knows no public key, only platform certificates."""
    return await street.open_account("wechatpay", public_key=None, public_key_id=None)


async def test_a_certificate_that_began_to_sign_is_fetched_once(street: Street) -> None:
    """The serial of a message that is unknown leads to the certificate list; the next message needs none."""
    await certified(street)
    payments = [await order(street, order_no=f"O{number}") for number in range(2)]
    before = sent(street, "/v3/certificates")
    street.sandbox.wechatpay.merchant_book.issue()
    street.sandbox.wechatpay.merchant_book.switch()
    street.clock.advance(61)
    for payment in payments:
        await street.pay(payment)
        await street.notify()
        assert (await street.payment(payment))["status"] == "succeeded"
    assert statuses(street) == [204, 204]
    assert sent(street, "/v3/certificates") == before + 1


async def test_a_whole_rotation_in_the_middle_of_a_payment(street: Street) -> None:
    """Created under one certificate, notified under the next, refunded when the first is gone."""
    await certified(street)
    merchants = street.sandbox.wechatpay.merchant_book
    payment = await order(street)
    merchants.issue()
    merchants.switch()
    street.clock.advance(61)
    await street.pay(payment)
    await street.notify()
    assert (await street.payment(payment))["status"] == "succeeded"
    merchants.retire()
    await street.refund(payment, "R1", 100)
    await street.send_refunds()
    await refunded(street)
    assert (await street.payment(payment))["amount_refunded"] == 100


async def test_a_serial_that_nobody_published_is_asked_for_once_a_minute(street: Street) -> None:
    await certified(street)
    payments = [await order(street, order_no=f"O{number}") for number in range(3)]
    street.clock.advance(61)
    before = sent(street, "/v3/certificates")
    fault(street, "notification_unknown_serial", calls=3)
    for payment in payments:
        await street.pay(payment)
    await street.notify()
    assert statuses(street) == [401] * 3
    assert sent(street, "/v3/certificates") == before + 1


async def test_public_key_mode(street: Street) -> None:
    """A merchant of today: there are no platform certificates at all."""
    one = street.told("wechatpay")["public_key_only"]
    names = ("mchid", "appid", "merchant_private_key", "merchant_serial", "apiv3_key", "public_key_id", "public_key")
    account_id = await street.open_account("wechatpay", **{name: one[name] for name in names})
    status, found = await street.call("POST", f"/v1/channel_accounts/{account_id}/check")
    codes = [finding["code"] for finding in found["data"]]
    assert (status, codes) == (200, ["apiv3_key_unproven", "keys_right"]), "no certificate list proves the APIv3 key"
    payment = await paid(street)
    assert payment["status"] == "succeeded"
    await street.refund(payment, "R1", 100)
    await street.send_refunds()
    await refunded(street)
    assert (await street.payment(payment))["amount_refunded"] == 100
    assert sent(street, "/v3/certificates") <= 1, "the check alone looks for certificates"


async def test_while_a_merchant_goes_over_to_the_public_key_both_are_believed(wechat: Street) -> None:
    merchants = wechat.sandbox.wechatpay.merchant_book
    for number, share in enumerate((0, 100)):
        merchant = merchants.get(wechat.told("wechatpay")["mchid"])
        assert merchant is not None
        merchants.put(msgspec.structs.replace(merchant, callback_share=share))
        payment = await order(wechat, order_no=f"O{number}")
        await wechat.pay(payment)
        await wechat.notify()
        assert (await wechat.payment(payment))["status"] == "succeeded"
    assert statuses(wechat) == [204, 204]


# --- refunds ---------------------------------------------------------------------------------------------------------


async def refunded(street: Street) -> int:
    """The refunds under way reach the buyers, and the sandbox tells so."""
    street.sandbox.advance(3)
    street.clock.advance(3)
    return await street.notify()


async def the_refund(street: Street, refund: Any) -> Any:
    return (await street.call("GET", f"/v1/refunds/{refund['id']}"))[1]


@pytest.mark.parametrize("method", METHODS)
async def test_a_refund_is_done_when_wechat_tells_so(wechat: Street, method: str) -> None:
    payment = await paid(wechat, method)
    _, refund = await wechat.refund(payment, "R1", 100)
    await wechat.send_refunds()
    assert (await the_refund(wechat, refund))["status"] == "pending"
    assert await refunded(wechat) == 1
    done = await the_refund(wechat, refund)
    assert (done["status"], done["channel_reference"] is not None) == ("succeeded", True)
    assert (await wechat.events(payment))[-2:] == ["refund.created", "refund.succeeded"]


async def test_refunds_whole_and_partial_keep_their_distance(wechat: Street) -> None:
    payment = await paid(wechat)
    for refund_no, amount in (("R1", 100), ("R2", 200)):
        assert (await wechat.refund(payment, refund_no, amount))[0] == 201
    for _ in range(3):
        await wechat.send_refunds()
        await refunded(wechat)
    after = await wechat.payment(payment)
    assert (after["amount_refunded"], after["amount_refunding"]) == (100, 200), "a minute between two of one trade"
    wechat.clock.advance(60)
    await wechat.send_refunds()
    await refunded(wechat)
    assert (await wechat.refund(payment, "R3"))[0] == 201
    wechat.clock.advance(60)
    await wechat.send_refunds()
    await refunded(wechat)
    after = await wechat.payment(payment)
    assert (after["status"], after["amount_refunded"], after["amount_refunding"]) == ("succeeded", 9_999, 0)
    _, balances = await wechat.call("GET", "/v1/balances")
    assert {b["amount"] for b in balances["data"]} == {0}


@pytest.mark.parametrize(
    "name",
    ["reply_lost", "reply_unavailable", "reply_system_error", "reply_bad_signature", "reply_truncated", "reply_probed"],
)
async def test_a_refund_with_an_unknown_outcome_is_made_once(wechat: Street, name: str) -> None:
    payment = await paid(wechat)
    _, refund = await wechat.refund(payment, "R1", 100)
    fault(wechat, name, method="/v3/refund/domestic/refunds")
    fault(wechat, "notification_lost", calls=None)
    await wechat.send_refunds()
    assert (await the_refund(wechat, refund))["status"] == "pending"
    await refunded(wechat)
    wechat.clock.advance(minutes=2)
    await wechat.send_refunds()
    assert (await the_refund(wechat, refund))["status"] == "succeeded"
    assert (await wechat.payment(payment))["amount_refunded"] == 100
    assert len(list(wechat.sandbox.wechatpay.book.refunds.values())) == 1


async def test_a_refund_whose_request_never_arrived_is_sent_again(wechat: Street) -> None:
    payment = await paid(wechat)
    _, refund = await wechat.refund(payment, "R1", 100)
    fault(wechat, "unreachable", method="/v3/refund/domestic/refunds")
    await wechat.send_refunds()
    wechat.clock.advance(minutes=2)
    await wechat.send_refunds()
    await refunded(wechat)
    assert (await the_refund(wechat, refund))["status"] == "succeeded"


async def test_a_refund_that_wechat_closes_has_failed_and_the_money_stayed(wechat: Street) -> None:
    payment = await paid(wechat)
    _, refund = await wechat.refund(payment, "R1", 100)
    fault(wechat, "refund_closed")
    await wechat.send_refunds()
    await refunded(wechat)
    found = await the_refund(wechat, refund)
    assert (found["status"], found["error"]["code"]) == ("failed", "refund_closed")
    after = await wechat.payment(payment)
    assert (after["amount_refunded"], after["amount_refunding"]) == (0, 0)


async def test_a_refund_that_cannot_reach_the_buyer_stays_under_way(wechat: Street) -> None:
    payment = await paid(wechat)
    _, refund = await wechat.refund(payment, "R1", 100)
    fault(wechat, "refund_abnormal")
    await wechat.send_refunds()
    await refunded(wechat)
    assert (await the_refund(wechat, refund))["status"] == "pending"
    assert (await wechat.payment(payment))["amount_refunding"] == 100


# --- the end of a payment --------------------------------------------------------------------------------------------


async def test_a_cancel_closes_the_order_at_wechat(wechat: Street) -> None:
    payment = await order(wechat)
    status, closed = await wechat.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert (status, closed["status"], closed["closed_reason"]) == (200, "closed", "canceled")
    assert sent(wechat, "/close") == 1
    with pytest.raises(Exception, match="ORDERCLOSED"):
        await wechat.pay(payment)


async def test_a_cancel_after_money_is_in_is_refused(wechat: Street) -> None:
    payment = await order(wechat)
    fault(wechat, "notification_lost")
    await wechat.pay(payment)
    status, problem = await wechat.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert (status, problem["code"]) == (409, "payment_succeeded")


async def test_money_that_came_between_the_question_and_the_close_counts(wechat: Street) -> None:
    payment = await order(wechat)

    async def pays(_: object) -> None:
        await wechat.pay(payment)

    wechat.net.meanwhile = pays
    status, problem = await wechat.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert (status, problem["code"]) == (409, "payment_succeeded")
    assert (await wechat.payment(payment))["status"] == "succeeded"


@pytest.mark.parametrize("method", METHODS)
async def test_a_payment_expires(wechat: Street, method: str) -> None:
    payment = await order(wechat, method, expires_in=60)
    wechat.clock.advance(61)
    await wechat.ask(payment)
    closed = await wechat.payment(payment)
    assert (closed["status"], closed["closed_reason"]) == ("closed", "expired")


async def test_late_money_goes_back(wechat: Street) -> None:
    payment = await order(wechat, expires_in=600)
    fault(wechat, "notification_delayed", argument=7200)
    await wechat.pay(payment)
    await wechat.rows("UPDATE attempts SET status = 'closed', next_query_at = NULL")
    wechat.clock.advance(700)
    await wechat.ask(payment)
    assert (await wechat.payment(payment))["status"] == "closed"
    wechat.clock.advance(hours=2)
    assert await wechat.notify() == 1
    await wechat.send_refunds()
    await refunded(wechat)
    assert await wechat.events(payment) == [
        "payment.created",
        "payment.closed",
        "payment.late_succeeded",
        "refund.created",
        "refund.succeeded",
    ]


@pytest.mark.parametrize("methods", ["alipay_qr wechat_native", "wechat_native alipay_qr", "wechat_native wechat_app"])
async def test_second_money_goes_back_also_from_another_channel(wechat: Street, methods: str) -> None:
    first, second = methods.split()
    payment = await wechat.order(method=first)
    _, other = await wechat.call("POST", f"/v1/payments/{payment['id']}/attempts", {"method": second})
    await wechat.pay(payment)
    await wechat.pay(other)
    await wechat.notify()
    settled = await wechat.payment(payment)
    assert settled["status"] == "succeeded"
    await wechat.send_refunds()
    await refunded(wechat)
    _, refunds = await wechat.call("GET", f"/v1/refunds?payment={payment['id']}")
    assert [(r["kind"], r["status"], r["amount"]) for r in refunds["data"]] == [("surplus", "succeeded", 9999)]
    assert refunds["data"][0]["attempt"] != settled["latest_attempt"]["id"]
    assert sorted(await wechat.events(payment)) == [
        "payment.created",
        "payment.duplicate_succeeded",
        "payment.succeeded",
        "refund.created",
        "refund.succeeded",
    ]


async def test_another_way_closes_the_first_one_at_wechat(wechat: Street) -> None:
    payment = await order(wechat)
    await wechat.call("POST", f"/v1/payments/{payment['id']}/attempts", {"method": "alipay_qr"})
    await wechat.ask(payment)
    assert sent(wechat, "/close") == 1


# --- attempts --------------------------------------------------------------------------------------------------------


async def test_a_code_that_has_died_is_not_shown_again(wechat: Street) -> None:
    """WeChat's code lives two hours, this payment a day: the same method makes a new one then."""
    payment = await order(wechat, expires_in=86_400)
    path = f"/v1/payments/{payment['id']}/attempts"
    wechat.clock.advance(hours=1, minutes=59)
    assert (await wechat.call("POST", path, {"method": "wechat_native"}))[0] == 200
    wechat.clock.advance(minutes=2)
    status, fresh = await wechat.call("POST", path, {"method": "wechat_native"})
    assert (status, fresh["latest_attempt"]["id"] != payment["latest_attempt"]["id"]) == (201, True)


async def test_a_lost_answer_leaves_the_outcome_unknown(wechat: Street) -> None:
    fault(wechat, "reply_lost", method="/v3/pay/transactions/native")
    payment = await order(wechat)
    assert payment["latest_attempt"]["status"] == "created"
    assert payment["latest_attempt"]["error"]["outcome"] == "unknown"
    wechat.clock.advance(minutes=31)
    await wechat.ask(payment)
    wechat.clock.advance(minutes=2)
    await wechat.ask(payment)
    assert (await wechat.payment(payment))["status"] == "closed"


async def test_a_channel_that_cannot_be_reached_fails_the_attempt_and_not_the_payment(wechat: Street) -> None:
    wechat.net.cut = "refused"
    payment = await order(wechat)
    assert (payment["status"], payment["latest_attempt"]["status"]) == ("pending", "failed")
    wechat.net.cut = ""
    _, other = await wechat.call("POST", f"/v1/payments/{payment['id']}/attempts", {"method": "wechat_native"})
    await wechat.pay(other)
    await wechat.notify()
    assert (await wechat.payment(payment))["status"] == "succeeded"


@pytest.mark.parametrize("method", ["wechat_h5"])
async def test_without_the_buyer_s_address(wechat: Street, method: str) -> None:
    payment = await wechat.order(method=method)
    error = payment["latest_attempt"]["error"]
    assert (payment["latest_attempt"]["status"], error["outcome"]) == ("failed", "not_executed")


# --- statements ------------------------------------------------------------------------------------------------------


async def test_the_statement_is_what_happened(wechat: Street) -> None:
    """Every payment and refund of the day, by our references, in fen."""
    for number, method in enumerate(METHODS):
        payment = await order(wechat, method, f"O{number}", subject="茶, with a comma")
        await wechat.pay(payment)
        await wechat.notify()
    await wechat.refund(payment, "R1", 100)
    await wechat.send_refunds()
    await refunded(wechat)
    rows = await wechat.rows("SELECT reference FROM attempts ORDER BY reference")
    expected = [(LineKind.PAYMENT, row["reference"], 9999) for row in rows]
    expected.append((LineKind.REFUND, payment["latest_attempt"]["merchant_reference"], 100))
    day = wechat.clock.now().date()
    wechat.clock.advance(timedelta(days=1).total_seconds())
    channel = (await wechat.services.accounts.opened(wechat.app.id, payment["channel_account"])).channel
    assert isinstance(channel, WechatPay)
    lines = list(await channel.statement(day))
    assert sorted((line.kind, line.reference, line.amount.minor) for line in lines) == sorted(expected)
    (row,) = await wechat.rows("SELECT reference FROM refunds")
    assert [line.refund_reference for line in lines if line.kind is LineKind.REFUND] == [row["reference"]]
