"""Whose request it was: every answer has an id, logs carry it, and a caller's trace goes on to the channel."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.scenarios.street import GATEWAY, SANDBOX, Street
from tongbao.cli.servers import name_origin
from tongbao.transport import Request
from tongbao.transport.origin import current

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MALFORMED = (
    "",
    "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
    "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    TRACE.upper(),
    TRACE + "-more",
    TRACE + "\r\n",
    "é",
)


def overheard(street: Street) -> list[str | None]:
    """What the sandbox is told of the trace, call by call."""
    told: list[str | None] = []

    async def listening(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        told.append(headers[b"traceparent"].decode() if b"traceparent" in headers else None)
        await street.sandbox.asgi(scope, receive, send)

    street.net.add(SANDBOX, listening)
    return told


async def test_a_trace_goes_on_to_the_channel_and_its_signature_holds(street: Street) -> None:
    told = overheard(street)
    body = {"order_no": "O1", "amount": 1, "currency": "CNY", "subject": "Tea", "method": "alipay_qr"}
    status, payment = await street.call("POST", "/v1/payments", body, traceparent=TRACE)
    assert (status, payment["next_action"]["type"]) == (201, "qr_code")
    await street.call("GET", f"/v1/payments/{payment['id']}?refresh=true", traceparent=TRACE)
    assert told == [TRACE, TRACE]


@pytest.mark.parametrize("traceparent", MALFORMED)
async def test_what_is_no_trace_goes_nowhere(street: Street, traceparent: str) -> None:
    told = overheard(street)
    body = {"order_no": "O1", "amount": 1, "currency": "CNY", "subject": "Tea", "method": "alipay_qr"}
    status, _ = await street.call("POST", "/v1/payments", body, traceparent=traceparent)
    assert (status, told) == (201, [None])


async def test_logs_name_the_request_and_the_trace_and_nothing_else_does(street: Street) -> None:
    payment = await street.order()
    street.net.cut = "refused"
    address = f"http://{GATEWAY}/v1/payments/{payment['id']}?refresh=true"
    with capture_logs(processors=[name_origin]) as lines:
        headers = {"authorization": f"Bearer {street.key}", "traceparent": TRACE}
        reply = await street.net.send(Request("GET", address, headers))
        await street.services.asking.refresh(street.app.id, payment["id"])
    assert reply.status == 424
    mine, ours = [line for line in lines if line["event"] == "query_interrupted"]
    assert (mine["request_id"], mine["trace_id"]) == (reply.headers["request-id"], TRACE[3:35])
    assert "request_id" not in ours
    assert current() is None


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 307),
        ("/healthz", 200),
        ("/metrics", 200),
        ("/docs", 200),
        ("/openapi.json", 200),
        ("/checkout/pay_x?cs=y", 404),
        ("/v1", 404),
        ("/v1/nope", 404),
        ("/v1/payments/pay_x/stream", 404),
        ("/notify/ca_x", 404),
        ("/nope", 404),
    ],
)
async def test_every_door_gives_an_id(street: Street, path: str, status: int) -> None:
    reply = await street.net.send(Request("GET", f"http://{GATEWAY}{path}"))
    assert (reply.status, reply.headers["request-id"][:4]) == (status, "req_")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/payments", {"GET", "POST"}),
        ("GET", "/v1/payments/pay_x/cancel", {"POST", "PUT"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
    ],
)
async def test_a_method_that_is_not_allowed_hears_which_are(
    street: Street, method: str, path: str, allowed: set[str]
) -> None:
    reply = await street.net.send(Request(method, f"http://{GATEWAY}{path}"))
    assert (reply.status, set(reply.headers["allow"].split(", "))) == (405, allowed)
    assert reply.headers["content-type"] == "application/problem+json"
