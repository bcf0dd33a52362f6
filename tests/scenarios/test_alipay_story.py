"""From order to paid, refunded, canceled, expired - the whole house with Alipay's simulator at the other end."""

import pytest

from tests.scenarios.street import Street


@pytest.mark.parametrize("method", ["alipay_qr", "alipay_page", "alipay_wap"])
async def test_from_order_to_paid(street: Street, method: str) -> None:
    payment = await street.order(method=method, return_url="http://shop.test/back")
    assert payment["status"] == "pending"
    assert payment["next_action"] is not None
    await street.pay(payment)
    assert await street.notify() == 1
    paid = await street.payment(payment)
    assert (paid["status"], paid["method"]) == ("succeeded", method)
    assert await street.events(payment) == ["payment.created", "payment.succeeded"]
    _, balances = await street.call("GET", "/v1/balances")
    assert {b["account"]: b["amount"] for b in balances["data"]} == {"receivable": -9999, "app_pending": 9999}


async def test_a_lost_notification_is_found_by_asking(street: Street) -> None:
    payment = await street.order()
    street.fault("notification_lost")
    await street.pay(payment)
    assert await street.notify() == 0
    assert (await street.payment(payment))["status"] == "pending"
    street.clock.advance(30)
    await street.ask(payment)
    assert (await street.payment(payment))["status"] == "succeeded"


@pytest.mark.parametrize("fault", ["notification_doubled", "notification_replayed", "notification_unknown_fields"])
async def test_repeats_and_unknown_fields_change_nothing_more(street: Street, fault: str) -> None:
    payment = await street.order()
    street.fault(fault)
    await street.pay(payment)
    await street.notify()
    street.clock.advance(hours=2)
    await street.notify()
    assert await street.events(payment) == ["payment.created", "payment.succeeded"]


@pytest.mark.parametrize("fault", ["forged", "unsigned", "tampered", "weak_hash"])
async def test_an_unproven_notification_changes_nothing(street: Street, fault: str) -> None:
    payment = await street.order()
    street.fault(f"notification_{fault}")
    await street.pay(payment)
    await street.notify()
    assert (await street.payment(payment))["status"] == "pending"
    assert await street.rows("SELECT * FROM quarantine") == []
    street.clock.advance(30)
    await street.ask(payment)
    assert (await street.payment(payment))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("fault", "mismatch"),
    [("wrong_amount", "amount"), ("wrong_seller", "seller"), ("wrong_app", "account"), ("wrong_order", "reference")],
)
async def test_a_proven_lie_is_quarantined(street: Street, fault: str, mismatch: str) -> None:
    payment = await street.order()
    street.fault(f"notification_{fault}", calls=None)
    await street.pay(payment)
    await street.notify()
    assert (await street.payment(payment))["status"] == "pending"
    street.clock.advance(minutes=5)
    await street.notify()
    (row,) = await street.rows("SELECT * FROM quarantine")
    assert row["mismatches"] == [mismatch]
    assert await street.events(payment) == ["payment.created"]


async def test_refunds_whole_and_partial(street: Street) -> None:
    payment = await street.paid()
    status, first = await street.refund(payment, "R1", 100)
    assert (status, first["status"]) == (201, "pending")
    status, same = await street.refund(payment, "R1", 100)
    assert (status, same["id"]) == (200, first["id"])
    status, problem = await street.refund(payment, "R1", 101)
    assert (status, problem["code"]) == (409, "refund_no_conflict")
    assert (await street.refund(payment, "R2", 200))[0] == 201
    await street.send_refunds()
    after = await street.payment(payment)
    assert (after["amount_refunded"], after["amount_refunding"]) == (100, 200)
    await street.send_refunds()
    assert (await street.payment(payment))["amount_refunding"] == 200, "refunds of a trade keep the channel's gap"
    street.clock.advance(3)
    await street.send_refunds()
    after = await street.payment(payment)
    assert (after["amount_refunded"], after["amount_refunding"]) == (300, 0)
    status, problem = await street.refund(payment, "R3", 9_700)
    assert (status, problem["code"]) == (422, "amount_exceeded")
    assert (await street.refund(payment, "R3"))[0] == 201
    street.clock.advance(3)
    await street.send_refunds()
    await street.notify()
    after = await street.payment(payment)
    assert (after["status"], after["amount_refunded"]) == ("succeeded", 9_999)
    _, balances = await street.call("GET", "/v1/balances")
    assert {b["amount"] for b in balances["data"]} == {0}


@pytest.mark.parametrize("fault", ["reply_lost", "reply_unavailable", "reply_bad_signature", "reply_truncated"])
async def test_a_refund_with_an_unknown_outcome_is_made_once(street: Street, fault: str) -> None:
    payment = await street.paid()
    _, refund = await street.refund(payment, "R1", 100)
    street.fault(fault, method="alipay.trade.refund")
    await street.send_refunds()
    assert (await street.call("GET", f"/v1/refunds/{refund['id']}"))[1]["status"] == "pending"
    street.clock.advance(minutes=1)
    await street.send_refunds()
    assert (await street.call("GET", f"/v1/refunds/{refund['id']}"))[1]["status"] == "succeeded"
    assert (await street.payment(payment))["amount_refunded"] == 100


async def test_a_refund_whose_request_never_arrived_is_sent_again(street: Street) -> None:
    payment = await street.paid()
    _, refund = await street.refund(payment, "R1", 100)
    street.fault("unreachable", method="alipay.trade.refund")
    await street.send_refunds()
    street.clock.advance(minutes=1)
    await street.send_refunds()
    assert (await street.call("GET", f"/v1/refunds/{refund['id']}"))[1]["status"] == "succeeded"


async def test_a_cancel_that_cannot_be_proven_waits_for_the_deadline(street: Street) -> None:
    payment = await street.order(expires_in=600)
    status, canceling = await street.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert (status, canceling["status"], canceling["next_action"]) == (202, "pending", None)
    assert canceling["cancel_requested_at"] is not None
    status, problem = await street.call("POST", f"/v1/payments/{payment['id']}/attempts", {"method": "alipay_qr"})
    assert (status, problem["code"]) == (409, "payment_canceling")
    street.clock.advance(601)
    await street.ask(payment)
    assert (await street.payment(payment))["status"] == "pending"
    street.clock.advance(61)
    await street.ask(payment)
    closed = await street.payment(payment)
    assert (closed["status"], closed["closed_reason"]) == ("closed", "canceled")
    assert await street.events(payment) == ["payment.created", "payment.closed"]


async def test_a_cancel_closes_an_opened_trade_at_the_channel(street: Street) -> None:
    payment = await street.order(method="alipay_qr")
    found = street.sandbox.find(payment["next_action"]["content"])
    assert found is not None
    found[0].scan(found[1], street.sandbox.buyer())
    status, closed = await street.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert (status, closed["status"], closed["closed_reason"]) == (200, "closed", "canceled")
    status, again = await street.call("PUT", f"/v1/payments/{payment['id']}/cancel")
    assert (status, again["closed_at"]) == (200, closed["closed_at"])


async def test_a_cancel_after_money_is_in_is_refused(street: Street) -> None:
    payment = await street.order()
    street.fault("notification_lost")
    await street.pay(payment)
    status, problem = await street.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert (status, problem["code"]) == (409, "payment_succeeded")
    assert (await street.payment(payment))["status"] == "succeeded"


async def test_a_payment_expires(street: Street) -> None:
    chosen, unchosen = await street.order("O1", expires_in=60), await street.order("O2", None, expires_in=60)
    street.clock.advance(61)
    for payment in (chosen, unchosen):
        await street.ask(payment)
    assert (await street.payment(unchosen))["closed_reason"] == "expired"
    assert (await street.payment(chosen))["status"] == "pending", "an unscanned QR may have been scanned just now"
    street.clock.advance(60)
    await street.ask(chosen)
    assert (await street.payment(chosen))["closed_reason"] == "expired"


async def test_second_money_goes_back(street: Street) -> None:
    payment = await street.order(method="alipay_qr")
    _, other = await street.call("POST", f"/v1/payments/{payment['id']}/attempts", {"method": "alipay_page"})
    await street.pay(payment)
    await street.pay(other)
    await street.notify()
    paid = await street.payment(payment)
    assert paid["status"] == "succeeded"
    await street.send_refunds()
    _, refunds = await street.call("GET", f"/v1/refunds?payment={payment['id']}")
    assert [(r["kind"], r["status"], r["amount"]) for r in refunds["data"]] == [("surplus", "succeeded", 9999)]
    assert refunds["data"][0]["attempt"] != paid["latest_attempt"]["id"]
    assert (await street.payment(payment))["amount_refunded"] == 0
    assert sorted(await street.events(payment)) == [
        "payment.created",
        "payment.duplicate_succeeded",
        "payment.succeeded",
        "refund.created",
        "refund.succeeded",
    ]


async def test_late_money_goes_back(street: Street) -> None:
    payment = await street.order(expires_in=600)
    street.fault("notification_delayed", argument=7200)
    await street.pay(payment)
    await street.rows("UPDATE attempts SET status = 'closed', next_query_at = NULL")
    street.clock.advance(700)
    await street.ask(payment)
    assert (await street.payment(payment))["status"] == "closed"
    street.clock.advance(hours=2)
    assert await street.notify() == 1
    assert (await street.payment(payment))["status"] == "closed"
    await street.send_refunds()
    assert await street.events(payment) == [
        "payment.created",
        "payment.closed",
        "payment.late_succeeded",
        "refund.created",
        "refund.succeeded",
    ]


async def test_the_same_method_again_is_the_same_attempt(street: Street) -> None:
    payment = await street.order(method="alipay_qr")
    status, same = await street.call("POST", f"/v1/payments/{payment['id']}/attempts", {"method": "alipay_qr"})
    assert (status, same["latest_attempt"]["id"]) == (200, payment["latest_attempt"]["id"])


async def test_a_channel_that_cannot_be_reached_fails_the_attempt_and_not_the_payment(street: Street) -> None:
    street.net.cut = "refused"
    payment = await street.order(method="alipay_qr")
    assert payment["status"] == "pending"
    assert payment["latest_attempt"]["status"] == "failed"
    assert payment["latest_attempt"]["error"]["outcome"] == "not_executed"
    street.net.cut = ""
    status, other = await street.call("POST", f"/v1/payments/{payment['id']}/attempts", {"method": "alipay_qr"})
    assert (status, other["next_action"]["type"]) == (201, "qr_code")
    await street.pay(other)
    await street.notify()
    assert (await street.payment(payment))["status"] == "succeeded"


async def test_a_lost_answer_leaves_the_outcome_unknown(street: Street) -> None:
    street.fault("reply_lost", method="alipay.trade.precreate")
    payment = await street.order(method="alipay_qr")
    assert payment["latest_attempt"]["status"] == "created"
    assert payment["latest_attempt"]["error"]["outcome"] == "unknown"
    street.fault("reply_lost", method="alipay.trade.precreate")
    path = f"/v1/payments/{payment['id']}/attempts"
    status, problem = await street.call("POST", path, {"method": "alipay_qr"}, idempotency_key="k")
    assert (status, problem["outcome"]) == (424, "unknown")
    status, again = await street.call("POST", path, {"method": "alipay_qr"}, idempotency_key="k")
    assert (status, again) == (424, problem)


async def test_a_code_that_has_died_is_not_shown_again(street: Street) -> None:
    """Alipay's QR lives two hours, this payment a day: the same method makes a new code then."""
    payment = await street.order(method="alipay_qr", expires_in=86_400)
    path = f"/v1/payments/{payment['id']}/attempts"
    street.clock.advance(hours=1, minutes=59)
    assert (await street.call("POST", path, {"method": "alipay_qr"}))[0] == 200
    street.clock.advance(minutes=2)
    status, fresh = await street.call("POST", path, {"method": "alipay_qr"})
    assert (status, fresh["latest_attempt"]["id"] != payment["latest_attempt"]["id"]) == (201, True)
    assert fresh["next_action"]["content"] != payment["next_action"]["content"]
