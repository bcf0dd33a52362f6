"""Creating, reading, listing payments over HTTP, and every kind of bad input."""

from typing import Any

import pytest

from tests.web.conftest import Api

ORDER = {"order_no": "O1", "amount": 9999, "currency": "CNY", "subject": "Go课程购买"}


async def test_a_payment_is_created_and_read(api: Api) -> None:
    reply, payment = await api.call("POST", "/v1/payments", ORDER)
    assert reply.status == 201
    assert payment["status"] == "pending"
    assert payment["next_action"] is None
    assert payment["checkout_url"].startswith("http://gateway.test/checkout/pay_")
    reply, again = await api.call("GET", f"/v1/payments/{payment['id']}")
    assert (reply.status, again) == (200, payment)
    reply, listed = await api.call("GET", "/v1/payments?status=pending")
    assert listed == {"object": "list", "data": [payment], "has_more": False}


async def test_the_same_order_is_the_same_payment(api: Api) -> None:
    _, first = await api.call("POST", "/v1/payments", ORDER)
    reply, second = await api.call("POST", "/v1/payments", ORDER)
    assert (reply.status, second["id"]) == (200, first["id"])
    reply, problem = await api.call("POST", "/v1/payments", {**ORDER, "amount": 1})
    assert (reply.status, problem["code"]) == (409, "order_no_conflict")


async def test_the_same_key_is_the_same_answer(api: Api) -> None:
    first, payment = await api.call("POST", "/v1/payments", ORDER, idempotency_key="k1")
    second, again = await api.call("POST", "/v1/payments", ORDER, idempotency_key="k1")
    assert (second.status, again) == (201, payment)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    reply, problem = await api.call("POST", "/v1/payments", {**ORDER, "order_no": "O2"}, idempotency_key="k1")
    assert (reply.status, problem["code"]) == (422, "idempotency_mismatch")


async def test_a_final_refusal_is_kept_too(api: Api) -> None:
    await api.call("POST", "/v1/payments", ORDER)
    first, problem = await api.call("POST", "/v1/payments", {**ORDER, "amount": 1}, idempotency_key="k1")
    assert (first.status, problem["code"]) == (409, "order_no_conflict")
    second, again = await api.call("POST", "/v1/payments", {**ORDER, "amount": 1}, idempotency_key="k1")
    assert (second.status, again) == (409, problem)
    assert second.headers["content-type"] == "application/problem+json"
    assert second.headers["idempotent-replayed"] == "true"
    reply, problem = await api.call("POST", "/v1/payments", {**ORDER, "amount": 2}, idempotency_key="k1")
    assert (reply.status, problem["code"]) == (422, "idempotency_mismatch")
    for _ in range(2):
        path = "/v1/payments/pay_none/refunds"
        reply, problem = await api.call("POST", path, {"refund_no": "R1"}, idempotency_key="k2")
        assert (reply.status, problem["code"]) == (404, "not_found")
    assert reply.headers["idempotent-replayed"] == "true"


BAD: list[tuple[Any, int, str, str | None]] = [
    ({**ORDER, "amount": 99.99}, 422, "invalid_input", "/amount"),
    ({**ORDER, "amount": 0}, 422, "invalid_input", "/amount"),
    ({**ORDER, "amount": -1}, 422, "invalid_input", "/amount"),
    ({**ORDER, "amount": 10**12}, 422, "invalid_input", "/amount"),
    ({**ORDER, "amount": "1"}, 422, "invalid_input", "/amount"),
    ({**ORDER, "currency": "XXX"}, 422, "unknown_currency", "/currency"),
    ({**ORDER, "colour": "red"}, 422, "unknown_field", "/colour"),
    ({**ORDER, "buyer": {"name": "x"}}, 422, "unknown_field", "/buyer/name"),
    ({**ORDER, "subject": "a\x00b"}, 422, "invalid_text", "/subject"),
    ({**ORDER, "metadata": {"a\x00": "b"}}, 422, "invalid_text", "/metadata"),
    ({**ORDER, "expires_in": 59}, 422, "invalid_input", "/expires_in"),
    ({**ORDER, "method": "cowrie"}, 422, "unknown_method", "/method"),
    ({"order_no": "O1"}, 422, "invalid_input", "/amount"),
    (b'{"order_no": ', 400, "malformed", None),
    (b'{"order_no": "\\ud800"}', 400, "malformed", None),
    (b"\xff", 400, "malformed", None),
    (b"x" * 1_000_000, 413, "body_too_large", None),
]


@pytest.mark.parametrize(("body", "status", "code", "param"), BAD)
async def test_bad_input_is_refused_and_changes_nothing(
    api: Api, body: Any, status: int, code: str, param: str | None
) -> None:
    reply, problem = await api.call("POST", "/v1/payments", body, idempotency_key="bad")
    assert (reply.status, problem["code"], problem.get("param")) == (status, code, param)
    assert reply.headers["content-type"] == "application/problem+json"
    assert problem["request_id"] == reply.headers["request-id"]
    _, listed = await api.call("GET", "/v1/payments")
    assert listed["data"] == []
    reply, _ = await api.call("POST", "/v1/payments", ORDER, idempotency_key="bad")
    assert reply.status == 201


async def test_a_wrong_key_is_refused(api: Api) -> None:
    reply, problem = await api.call("POST", "/v1/payments", ORDER, key="sk_test_wrong")
    assert (reply.status, problem["code"]) == (401, "unauthorized")
