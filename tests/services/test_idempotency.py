"""One key, one intent: concurrent repeats, changed bodies, other merchants, crashes in between."""

import asyncio
import random
from typing import Any

import msgspec
import pytest

from tests.scenarios.street import Street
from tongbao.bootstrap import App
from tongbao.ports.store import Claim
from tongbao.services.idempotency import Intent, claim
from tongbao.storage.transaction import Transaction

BODY: dict[str, Any] = {
    "order_no": "O1",
    "amount": 9999,
    "currency": "CNY",
    "subject": "Tea",
    "method": None,
    "channel_account": None,
    "method_options": {},
    "return_url": "http://shop.test/back",
    "expires_in": 1800,
    "buyer": {"id": "u1"},
    "metadata": {"room": "r1"},
}
OTHERS: dict[str, Any] = {
    "order_no": "O2",
    "amount": 9998,
    "currency": "USD",
    "subject": "Tee",
    "method": "alipay_qr",
    "channel_account": None,
    "method_options": {"body": "x"},
    "return_url": None,
    "expires_in": 1801,
    "buyer": None,
    "metadata": {},
}
Answered = tuple[int, Any]


async def create(street: Street, key: str, **changes: Any) -> Answered:
    return await street.call("POST", "/v1/payments", BODY | changes, idempotency_key=key)


async def count(street: Street, table: str = "payments") -> int:
    return len(await street.rows(f"SELECT FROM {table}"))


async def test_64_at_once_with_each_of_60_keys(street: Street) -> None:
    """T-01: one object each; the others are the same answer, or told to wait. No failure."""
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    calls = [number for number in range(60) for _ in range(64)]
    random.Random(seed).shuffle(calls)
    answers = await asyncio.gather(*(create(street, f"k{n}", order_no=f"O{n}") for n in calls))
    by_key: dict[int, set[str]] = {}
    for number, (status, body) in zip(calls, answers, strict=True):
        if status == 409:
            assert body["code"] == "idempotency_in_progress"
            continue
        assert status == 201
        by_key.setdefault(number, set()).add(body["id"])
    assert sorted(by_key) == list(range(60))
    assert all(len(ids) == 1 for ids in by_key.values())
    assert await count(street) == 60


async def test_16_at_once_with_a_channel_call_make_one_attempt(street: Street) -> None:
    answers = await asyncio.gather(*(create(street, "k", method="alipay_qr") for _ in range(16)))
    done = [body for status, body in answers if status == 201]
    assert {body["code"] for status, body in answers if status == 409} <= {"idempotency_in_progress"}
    assert len(done) + sum(status == 409 for status, _ in answers) == 16
    status, again = await create(street, "k", method="alipay_qr")
    assert (status, [again] * len(done)) == (201, done)
    assert again["next_action"]["type"] == "qr_code"
    assert await count(street, "attempts") == 1


@pytest.mark.parametrize("field", sorted(OTHERS))
async def test_another_body_is_another_intent(street: Street, field: str) -> None:
    """T-02."""
    assert set(OTHERS) == set(BODY)
    _, first = await create(street, "k")
    changes = {field: OTHERS[field]}
    if field in ("channel_account", "method_options"):
        changes = {
            "method": "alipay_qr",
            "channel_account": street.account_id,
            "method_options": OTHERS["method_options"],
        }
    status, problem = await create(street, "k", **changes)
    assert (status, problem["code"]) == (422, "idempotency_mismatch")
    status, again = await create(street, "k")
    assert (status, again) == (201, first)
    assert await count(street) == 1


async def test_another_address_is_another_intent(street: Street) -> None:
    _, first = await create(street, "k")
    for verb, body in (("cancel", BODY), ("refunds", {"refund_no": "R1"}), ("attempts", {"method": "alipay_qr"})):
        path = f"/v1/payments/{first['id']}/{verb}"
        status, problem = await street.call("POST", path, body, idempotency_key="k")
        assert (status, problem["code"]) == (422, "idempotency_mismatch"), path
    assert (await street.payment(first))["cancel_requested_at"] is None


async def test_one_order_under_many_keys_at_once(street: Street) -> None:
    """T-03: 25 orders, 8 new keys each."""
    calls = [(order, key) for order in range(25) for key in range(8)]
    answers = await asyncio.gather(*(create(street, f"k{o}.{k}", order_no=f"O{o}") for o, k in calls))
    assert sorted(status for status, _ in answers) == [200] * 175 + [201] * 25
    assert len({body["id"] for _, body in answers}) == await count(street) == 25


async def test_merchants_do_not_share_keys_or_orders(street: Street) -> None:
    """T-04, test and live apps alike."""
    keys = [street.key]
    for number in range(9):
        _, key = await street.services.accounts.create_app(f"shop {number}", livemode=number % 2 == 1)
        keys.append(key)
    calls = [key for key in keys for _ in range(10)]

    async def one(key: str) -> Answered:
        return await create_as(street, key)

    answers = await asyncio.gather(*(one(key) for key in calls))
    assert {status for status, _ in answers} == {201}
    owners: dict[str, set[str]] = {}
    for key, (_, body) in zip(calls, answers, strict=True):
        owners.setdefault(key, set()).add(body["id"])
    assert all(len(ids) == 1 for ids in owners.values())
    assert await count(street) == 10
    (mine,) = owners[keys[0]]
    for key in keys[1:]:
        for path in (f"/v1/payments/{mine}", "/v1/payments?order_no=O1"):
            status, body = await street.call("GET", path, authorization=f"Bearer {key}")
            assert status == 404 or mine not in str(body)
        for verb in ("cancel", "refunds", "attempts"):
            more = {"refunds": {"refund_no": "R"}, "attempts": {"method": "alipay_qr"}}.get(verb, {})
            status, _ = await street.call("POST", f"/v1/payments/{mine}/{verb}", more, authorization=f"Bearer {key}")
            assert status == 404 or (status, verb) == (422, "attempts"), verb


async def create_as(street: Street, key: str) -> Answered:
    return await street.call("POST", "/v1/payments", BODY, idempotency_key="k", authorization=f"Bearer {key}")


async def test_a_key_whose_answer_was_lost_is_taken_over_after_60_s(street: Street) -> None:
    """The process died between the intent and the answer: the payment is there, the key unanswered."""
    _, first = await create(street, "k", method="alipay_qr")
    await street.rows("UPDATE idempotency_keys SET status = NULL, body = NULL")
    street.clock.advance(59)
    status, problem = await create(street, "k", method="alipay_qr")
    assert (status, problem["code"]) == (409, "idempotency_in_progress")
    street.clock.advance(1)
    answers = await asyncio.gather(*(create(street, "k", method="alipay_qr") for _ in range(8)))
    assert {status for status, _ in answers} <= {200, 409}
    status, again = await create(street, "k", method="alipay_qr")
    assert (status, again["id"]) == (200, first["id"])
    assert (await count(street), await count(street, "attempts")) == (1, 1)


async def test_what_was_refused_may_be_tried_again_under_its_key(street: Street) -> None:
    payment = await street.order(method="alipay_qr")
    path, body = f"/v1/payments/{payment['id']}/refunds", {"refund_no": "R1", "amount": 100}
    status, _ = await street.call("POST", path, body | {"amount": 10**11}, idempotency_key="k")
    assert status == 422
    assert await street.rows("SELECT FROM idempotency_keys") == []
    await street.pay(payment)
    await street.notify()
    status, refund = await street.call("POST", path, body, idempotency_key="k")
    assert status == 201
    assert await street.call("POST", path, body, idempotency_key="k") == (201, refund)


async def test_a_key_that_goes_away_while_we_look_is_claimed_again(street: Street) -> None:
    """Given back between 'it is taken' and 'let me read it': the command must not run without its key."""
    app_id, store = street.app.id, street.database
    services: App = street.services
    intent = Intent("k", b"f" * 32)
    await services.idempotency.begin(app_id, intent)
    now = street.clock.now()

    class Slow(Transaction):
        async def read_claims(self, keys: Any) -> Any:
            await services.idempotency.forget(app_id, intent)
            return await super().read_claims(keys)

    async def work(tx: Any) -> Any:
        return await claim(Slow(tx.connection), [Claim(app_id, "k", b"f" * 32, now)], now)

    assert await store.transact(work) == [None]
    (row,) = await street.rows("SELECT fingerprint, status FROM idempotency_keys")
    assert (row["fingerprint"], row["status"]) == (b"f" * 32, None)


async def test_an_order_asked_for_again_shows_the_attempt_that_paid_it(street: Street) -> None:
    """Not the newest one, which was in vain."""
    payment = await street.order(method="alipay_qr")
    _, other = await street.call("POST", f"/v1/payments/{payment['id']}/attempts", {"method": "alipay_page"})
    await street.pay(payment)
    await street.notify()
    body = {"order_no": "O1", "amount": 9999, "currency": "CNY", "subject": "Tea"}
    status, again = await street.call("POST", "/v1/payments", body)
    assert status == 200
    assert again == await street.payment(payment)
    assert again["latest_attempt"]["id"] == payment["latest_attempt"]["id"] != other["latest_attempt"]["id"]
    assert msgspec.json.decode(msgspec.json.encode(again))["method"] == "alipay_qr"


async def test_one_key_is_one_attempt_although_its_first_caller_died(street: Street) -> None:
    """Taken over after 60 s it is answered from the attempt that it began, whatever became of that: a second charge
    under one key would be ours to explain."""
    payment = await street.order(method=None)
    path = f"/v1/payments/{payment['id']}/attempts"
    street.fault("reply_lost", method="alipay.trade.precreate")
    body = {"method": "alipay_qr"}
    status, _ = await street.call("POST", path, body, idempotency_key="k")
    assert status == 424
    await street.rows("UPDATE idempotency_keys SET status = NULL, body = NULL, object_id = (SELECT id FROM attempts)")
    street.clock.advance(61)
    for _ in range(2):
        status, again = await street.call("POST", path, body, idempotency_key="k")
        assert status == 200
        assert again["latest_attempt"]["error"]["outcome"] == "unknown"
    assert await count(street, "attempts") == 1
    status, other = await street.call("POST", path, body, idempotency_key="another")
    assert (status, other["next_action"]["type"]) == (201, "qr_code")
