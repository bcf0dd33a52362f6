"""Notifications with Alipay's true signature over whatever a liar would like, early, late, and many times over."""

import asyncio
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from tests.scenarios.street import GATEWAY, Street
from tongbao.simulators.alipay.wire import sign, sign_content
from tongbao.transport import Reply, Request

Fields = dict[str, str]
MISSING = None
AMOUNTS = ("99.98", "100.00", "9999.00", "0.00", "0", "0.01", "-99.99", "-0.01", "99999999999999.99", str(2**63))
ODD_AMOUNTS = ("", "9" * 400, "NaN", "Infinity", "1e999999", "9.999e1", "99,99", "９９.９９", " 99.99", "0x63", MISSING)
TAMPERED: list[tuple[str, str | None, str]] = [
    *(("total_amount", amount, "amount") for amount in (*AMOUNTS, *ODD_AMOUNTS)),
    *(("app_id", value, "account") for value in ("9021000199999999", MISSING)),
    *(("seller_id", value, "seller") for value in ("2088999999999999", "2088")),
    *(("trade_no", value, "channel_reference") for value in ("2026050122000000000000000000", "1")),
    *(("out_trade_no", value, "reference") for value in ("NOBODY", "0" * 26, "x" * 64, "' OR 1=1 --", "茶")),
    ("out_biz_no", "A-REFUND-NOBODY-MADE", "reference"),
]


def genuine(street: Street) -> Fields:
    """The newest notification as the sandbox would send it."""
    entry = street.sandbox.bank.outbox.entries(1)[0]
    return dict(parse_qsl(entry.body.decode(), keep_blank_values=True))


def signed(street: Street, fields: Mapping[str, str | None]) -> bytes:
    """Signed with Alipay's key, whatever it says."""
    said = {name: value for name, value in fields.items() if value is not None}
    text = sign_content(said, without=("sign", "sign_type"))
    said["sign"] = sign(street.sandbox.alipay.apps.alipay_key, text.encode(), said["sign_type"])
    return urlencode(said).encode()


async def deliver(street: Street, body: bytes, account_id: str = "") -> Reply:
    kind = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    url = f"http://{GATEWAY}/notify/{account_id or street.account_id}"
    return await street.net.send(Request("POST", url, kind, body))


async def scanned_and_asked(street: Street) -> Any:
    """A pending payment whose trade number we know."""
    payment = await street.order()
    found = street.sandbox.find(payment["next_action"]["content"])
    assert found is not None
    found[0].scan(found[1], street.sandbox.buyer())
    await street.call("GET", f"/v1/payments/{payment['id']}?refresh=true")
    await street.pay(payment)
    return payment


async def test_a_true_signature_over_a_lie_marks_nothing_paid(street: Street) -> None:
    """T-11: every field; each lie is quarantined once, refused in the channel's words, and told to the operator."""
    payment = await scanned_and_asked(street)
    truth = genuine(street)
    for number, (name, value, _) in enumerate(TAMPERED):
        lie = signed(street, {**truth, "refund_fee": "1.00", "notify_id": f"n{number:03}", name: value})
        if name != "out_biz_no":
            lie = signed(street, {**truth, "notify_id": f"n{number:03}", name: value})
        for _ in range(2):
            reply = await deliver(street, lie)
            assert (reply.status, reply.body) == (200, b"fail"), (name, value)
        assert (await street.payment(payment))["status"] == "pending", (name, value)
    rows = await street.rows("SELECT notification_id, mismatches, status FROM quarantine ORDER BY notification_id")
    assert len(rows) == len(TAMPERED)
    for row, (name, value, mismatch) in zip(rows, TAMPERED, strict=True):
        assert mismatch in row["mismatches"], (name, value, row["mismatches"])
        assert row["status"] == "open"
    assert await street.events(payment) == ["payment.created"]
    assert await street.rows("SELECT FROM transfers") == []
    assert (await deliver(street, signed(street, truth))).body == b"success"
    assert (await street.payment(payment))["status"] == "succeeded"


async def test_what_is_signed_but_says_nothing_for_certain_moves_nothing(street: Street) -> None:
    payment = await scanned_and_asked(street)
    truth = genuine(street)
    for number, status in enumerate(("TRADE_UNHEARD_OF", "", "success", "WAIT_BUYER_PAY", "trade_success")):
        reply = await deliver(street, signed(street, {**truth, "trade_status": status, "notify_id": f"n{number}"}))
        assert reply.body == b"success"
        assert (await street.payment(payment))["status"] == "pending"
    assert (await deliver(street, signed(street, {**truth, "notify_id": MISSING}))).body == b"fail"


async def test_what_no_database_can_keep_is_refused_and_stops_nobody(street: Street) -> None:
    """Signed all the same: its neighbours in the batch are recorded."""
    payment = await scanned_and_asked(street)
    truth = genuine(street)
    for value in ("a\x00b", "".join(sha256(bytes([n])).hexdigest() for n in range(200))):
        body = signed(street, {**truth, "out_trade_no": "NOBODY", "notify_id": value})
        replies = await asyncio.gather(deliver(street, body), deliver(street, signed(street, truth)))
        assert replies[0].status < 500
        assert replies[0].body != b"success"
        assert replies[1].body == b"success"
    assert (await street.payment(payment))["status"] == "succeeded"


async def test_a_payment_time_out_of_this_world_is_left_away(street: Street) -> None:
    """Odd, but it does not contradict us: the money is in, and the time is ours."""
    payment = await scanned_and_asked(street)
    for moment in ("0001-01-01 00:00:00", "2026-02-30 00:00:00", "9" * 40):
        body = signed(street, {**genuine(street), "gmt_payment": moment})
        assert (await deliver(street, body)).body == b"success"
    paid = await street.payment(payment)
    assert (paid["status"], paid["paid_at"]) == ("succeeded", street.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"))


async def test_one_merchant_s_message_does_not_pay_another_s_order(street: Street) -> None:
    """The same sandbox application under a second app: its account does not know the first one's references."""
    payment = await scanned_and_asked(street)
    account = await street.services.accounts.read_account(street.app.id, street.account_id)
    other, _ = await street.services.accounts.create_app("other", livemode=False)
    alipay: Any = street.sandbox.accounts("http://x")["alipay"]
    credentials = {**account.credentials, "private_key": alipay["app_private_key_pkcs8_pem"]}
    theirs = await street.services.accounts.create_account(other, "alipay", "main", credentials, {})
    reply = await deliver(street, signed(street, genuine(street)), theirs.id)
    assert reply.body == b"fail"
    assert (await street.payment(payment))["status"] == "pending"
    (row,) = await street.rows("SELECT app_id, mismatches FROM quarantine")
    assert (row["app_id"], row["mismatches"]) == (other.id, ["reference"])


async def test_a_thousand_copies_are_one_payment(street: Street) -> None:
    """T-07: 32 at once, then one after the other; every one is acknowledged."""
    payment = await scanned_and_asked(street)
    body = signed(street, genuine(street))
    replies = await asyncio.gather(*(deliver(street, body) for _ in range(32)))
    for _ in range(30):
        replies += await asyncio.gather(*(deliver(street, body) for _ in range(32)))
    replies += [await deliver(street, body) for _ in range(8)]
    assert len(replies) == 1_000
    assert {reply.body for reply in replies} == {b"success"}
    assert await street.events(payment) == ["payment.created", "payment.succeeded"]
    assert len(await street.rows("SELECT FROM notifications")) == 1
    assert len(await street.rows("SELECT FROM transfers")) == 1


async def test_a_notification_may_come_before_the_create_s_answer(street: Street) -> None:
    """T-13: the buyer is faster than our own reply."""
    for number in range(25):

        async def pays(reply: Reply) -> None:
            node = json.loads(reply.body)["alipay_trade_precreate_response"]
            await street.pay({"next_action": {"type": "qr_code", "content": node["qr_code"]}})
            assert await street.notify() == 1

        street.net.meanwhile = pays
        payment = await street.order(f"O{number}")
        assert payment["status"] == "succeeded", "the answer tells it already"
        assert payment["next_action"] is None
        assert payment["latest_attempt"]["next_action"] is None
        assert await street.events(payment) == ["payment.created", "payment.succeeded"]


@pytest.mark.parametrize("hours", [0.0003, 0.1, 1, 9, 24, 25])
async def test_money_that_comes_after_the_close_is_told_and_goes_back(street: Street, hours: float) -> None:
    """T-09. The close is forced, as if a query had missed the payment; the channel's message comes late."""
    payment = await scanned_and_asked(street)
    message = signed(street, genuine(street))
    await street.rows("UPDATE attempts SET status = 'closed', next_query_at = NULL")
    street.clock.advance(1_801)
    await street.ask(payment)
    assert (await street.payment(payment))["status"] == "closed"
    street.clock.advance(hours=hours)
    assert (await deliver(street, message)).body == b"success"
    assert (await deliver(street, message)).body == b"success"
    await street.send_refunds()
    assert await street.events(payment) == [
        "payment.created",
        "payment.closed",
        "payment.late_succeeded",
        "refund.created",
        "refund.succeeded",
    ]
    assert [row.refunded for row in street.sandbox.alipay.rows(9)] == ["99.99"]


async def test_never_acknowledged_before_the_commit(street: Street) -> None:
    """T-14: while the database is away the channel is asked to come again, and no word of it is lost."""
    payment = await scanned_and_asked(street)
    body = signed(street, genuine(street))
    await street.rows("ALTER TABLE payments RENAME TO gone")
    try:
        reply = await deliver(street, body)
        assert (reply.status, reply.body) != (200, b"success")
    finally:
        await street.rows("ALTER TABLE gone RENAME TO payments")
    assert (await street.payment(payment))["status"] == "pending"
    assert (await deliver(street, body)).body == b"success"
    assert (await street.payment(payment))["status"] == "succeeded"
