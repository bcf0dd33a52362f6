"""The door under bad weather: half a body, addresses with NUL, times before our era, the database away."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest

from tests.storage.cut import cut_line
from tests.web.conftest import HOST, Api
from tongbao.bootstrap import App, build
from tongbao.config import read_settings
from tongbao.storage.database import Database
from tongbao.transport import AsgiTransport, Request
from tongbao.web.app import build_gateway

ORDER = {"order_no": "O1", "amount": 9999, "currency": "CNY", "subject": "Tea"}


async def test_half_a_body_is_not_a_body(services: App, api: Api) -> None:
    """The first chunk alone would be a whole request: the line broke before the second."""
    sent: list[MutableMapping[str, Any]] = []
    parts: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": b"{}", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> dict[str, Any]:
        return next(parts)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    _, payment = await api.call("POST", "/v1/payments", ORDER)
    headers = [(b"authorization", f"Bearer {api.key}".encode())]
    path = f"/v1/payments/{payment['id']}/cancel"
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    await build_gateway(services)(scope, receive, send)
    assert sent[0]["status"] == 400
    _, after = await api.call("GET", f"/v1/payments/{payment['id']}")
    assert (after["status"], after["cancel_requested_at"]) == ("pending", None)


NUL = ("/v1/payments/a%00b", "/v1/refunds/a%00b", "/v1/payments/a%00b?refresh=true", "/v1/channel_accounts/a%00b")


@pytest.mark.parametrize("path", [*NUL, "/v1/payments/%ED%A0%80", "/v1/payments/%FF", "/v1/payments/" + "x" * 8_000])
async def test_an_address_that_cannot_be_is_not_found_or_refused(api: Api, path: str) -> None:
    reply, problem = await api.call("GET", path)
    assert reply.status in (404, 422), problem


async def test_nor_can_such_an_account_be_notified(api: Api) -> None:
    reply = await api.transport.send(Request("POST", f"http://{HOST}/notify/a%00b"))
    assert reply.status == 404


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "0001-01-01", "now"])
async def test_a_time_out_of_this_world_is_no_outage(api: Api, moment: str) -> None:
    reply, problem = await api.call("GET", f"/v1/payments?created_after={moment}")
    assert reply.status in (200, 422), problem


async def test_while_the_database_is_away_the_answer_is_503_and_nothing_is_half_done(
    database: Database, database_url: str, clock: Any, ids: Any, tmp_path: Any
) -> None:
    """T-06 at the door: down, it says so; an answer lost in COMMIT is `unknown`, and the same request again is the
    same payment."""
    async with cut_line(database_url) as (line, url):
        behind = await Database.connect(url, connections_max=6)
        settings = read_settings({}, data_dir=str(tmp_path), base_url=f"http://{HOST}")
        services = await build(settings, clock=clock, ids=ids, transport=AsgiTransport({}), database=behind)
        app, key = await services.accounts.create_app("shop", livemode=False)
        api = Api(AsgiTransport({HOST: build_gateway(services)}), key, app)
        for number in range(50):
            body = ORDER | {"order_no": f"O{number}"}
            line.lose_answers, line.lose_requests = (1, 0) if number % 2 else (0, 1)
            reply, problem = await api.call("POST", "/v1/payments", body, idempotency_key=f"k{number}")
            assert (reply.status, problem["outcome"], problem["retryable"]) == (503, "unknown", True)
            assert reply.headers["retry-after"] == "1"
            reply, payment = await api.call("POST", "/v1/payments", body, idempotency_key=f"k{number}")
            assert reply.status == 201
            assert (reply.headers.get("idempotent-replayed") == "true") is bool(number % 2)
            reply, again = await api.call("POST", "/v1/payments", body)
            assert (reply.status, again["id"]) == (200, payment["id"])
        line.down = True
        line.cut()
        for method, path in (("POST", "/v1/payments"), ("GET", "/v1/payments"), ("GET", f"/v1/payments/{again['id']}")):
            reply, problem = await api.call(method, path, ORDER if method == "POST" else None)
            assert (reply.status, problem["code"], problem["outcome"]) == (503, "storage_unavailable", "not_executed")
            assert reply.headers["retry-after"] == "1"
        line.down = False
        reply, listed = await api.call("GET", "/v1/payments?limit=100")
        assert (reply.status, len(listed["data"])) == (200, 50)
        assert not {rule: rows for rule, rows in (await services.verify()).items() if rows}
        await services.close()
        behind.pool.terminate()
