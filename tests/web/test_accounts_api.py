"""Channel accounts, methods, webhook endpoints, events, the ledger; and that no app sees another's."""

import asyncio
import base64
from typing import Any

import pytest

from tests.simulators.merchant import key_number
from tests.web.conftest import Api
from tongbao.bootstrap import App
from tongbao.storage.database import Database
from tongbao.web.routes import ROUTES

ORDER = {"order_no": "O1", "amount": 9999, "currency": "CNY", "subject": "Tea"}
CREDENTIALS = {
    "gateway_url": "http://sandbox.test/alipay/gateway.do",
    "app_id": "2021000000000001",
    "private_key": key_number(0).pem_pkcs8(),
    "alipay_public_key": key_number(1).public().bare(),
}
ACCOUNT = {"channel": "alipay", "name": "main", "credentials": CREDENTIALS}
ENDPOINT = {"url": "http://1.1.1.1/hook", "event_types": ["payment.created"]}


async def listed_event(api: Api) -> str:
    """The newest event's id; a test that runs beside this one can hold the log back for a moment."""
    async with asyncio.timeout(30):
        while True:
            _, events = await api.call("GET", "/v1/events")
            if events["data"]:
                return str(events["data"][0]["id"])


async def made(api: Api) -> dict[str, str]:
    """One of each object; their ids by the name of the path parameter."""
    _, payment = await api.call("POST", "/v1/payments", ORDER)
    _, account = await api.call("POST", "/v1/channel_accounts", ACCOUNT)
    _, endpoint = await api.call("POST", "/v1/webhook_endpoints", ENDPOINT)
    return {
        "payment_id": payment["id"],
        "account_id": account["id"],
        "endpoint_id": endpoint["id"],
        "event_id": await listed_event(api),
        "refund_id": "re_none",
    }


async def test_secrets_go_in_and_never_come_out(api: Api, database: Database) -> None:
    reply, account = await api.call("POST", "/v1/channel_accounts", ACCOUNT)
    assert reply.status == 201
    assert (
        account["credentials"] == {name: value for name, value in CREDENTIALS.items() if name != "private_key"}
        or "private_key" not in account["credentials"]
    )
    _, read = await api.call("GET", f"/v1/channel_accounts/{account['id']}")
    assert read == account
    secret = CREDENTIALS["private_key"].replace("\n", "")[60:100]
    async with database.connection() as connection:
        for row in await connection.fetch("SELECT c::text AS all FROM channel_accounts c"):
            assert secret not in row["all"]
            assert base64.b64decode(secret + "=" * (-len(secret) % 4))[4:20].hex() not in row["all"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"channel": "cowrie"}, "/channel"),
        ({"credentials": {}}, "/credentials/gateway_url"),
        ({"credentials": {**CREDENTIALS, "colour": "red"}}, "/credentials/colour"),
        ({"credentials": {**CREDENTIALS, "private_key": "nonsense"}}, "/credentials/private_key"),
    ],
)
async def test_wrong_credentials_are_named(api: Api, change: dict[str, Any], param: str) -> None:
    reply, problem = await api.call("POST", "/v1/channel_accounts", {**ACCOUNT, **change})
    assert reply.status == 422
    assert problem["param"] == param
    assert "nonsense" not in str(problem)


async def test_an_account_is_disabled_and_enabled(api: Api) -> None:
    _, account = await api.call("POST", "/v1/channel_accounts", ACCOUNT)
    path = f"/v1/channel_accounts/{account['id']}"
    _, methods = await api.call("GET", "/v1/methods")
    assert "alipay_page" in [method["id"] for method in methods["data"]]
    reply, disabled = await api.call("PATCH", path, {"enabled": False})
    assert (reply.status, disabled["enabled"]) == (200, False)
    _, methods = await api.call("GET", "/v1/methods")
    assert methods["data"] == []
    reply, problem = await api.call("POST", "/v1/payments", {**ORDER, "method": "alipay_page"})
    assert (reply.status, problem["param"]) == (422, "/method")


async def test_a_live_app_calls_production_only(api: Api, services: App) -> None:
    _, live_key = await services.accounts.create_app("live shop", livemode=True)
    reply, problem = await api.call("POST", "/v1/channel_accounts", ACCOUNT, key=live_key)
    assert (reply.status, problem["param"]) == (422, "/credentials/gateway_url")
    reply, problem = await api.call("POST", "/v1/webhook_endpoints", ENDPOINT, key=live_key)
    assert (reply.status, problem["param"]) == (422, "/url")


async def test_a_webhook_secret_is_shown_once_and_kept_sealed(api: Api, database: Database) -> None:
    reply, endpoint = await api.call("POST", "/v1/webhook_endpoints", ENDPOINT, idempotency_key="k")
    assert reply.status == 201
    assert endpoint["secret"].startswith("whsec_")
    reply, again = await api.call("POST", "/v1/webhook_endpoints", ENDPOINT, idempotency_key="k")
    assert (reply.headers["idempotent-replayed"], again) == ("true", endpoint)
    _, read = await api.call("GET", f"/v1/webhook_endpoints/{endpoint['id']}")
    assert "secret" not in read
    secret = endpoint["secret"].removeprefix("whsec_")
    async with database.connection() as connection:
        for table in ("webhook_endpoints", "idempotency_keys"):
            for row in await connection.fetch(f"SELECT t::text AS all FROM {table} t"):
                assert secret not in row["all"]


async def test_an_event_carries_the_object_and_is_sent_to_who_wants_it(api: Api) -> None:
    await api.call("POST", "/v1/webhook_endpoints", ENDPOINT)
    _, payment = await api.call("POST", "/v1/payments", ORDER)
    _, events = await api.call("GET", f"/v1/events?payment={payment['id']}")
    (event,) = events["data"]
    assert (event["type"], event["data"], event["sequence"]) == ("payment.created", payment, 1)
    _, endpoints = await api.call("GET", "/v1/webhook_endpoints")
    _, deliveries = await api.call("GET", f"/v1/webhook_endpoints/{endpoints['data'][0]['id']}/deliveries")
    assert [(d["event"], d["status"]) for d in deliveries["data"]] == [(event["id"], "pending")]


@pytest.mark.parametrize("route", [route for route in ROUTES if "{" in route.path], ids=lambda route: route.name)
async def test_another_apps_object_is_not_found(api: Api, services: App, route: Any) -> None:
    ids = await made(api)
    _, stranger = await services.accounts.create_app("another shop", livemode=False)
    bodies = {"refunds": {"refund_no": "R"}, "attempts": {"method": "alipay_page"}}
    body = bodies.get(route.path.rsplit("/", 1)[-1], {}) if route.takes is not None else None
    path = route.path.format(**ids)
    reply, problem = await api.call(route.method, path, body, key=stranger)
    assert problem["code"] in ("not_found", "unknown_method"), "the stranger has no channel account either"
    assert reply.status in (404, 422)
    reply, _ = await api.call(route.method, path, body, key="sk_test_none")
    assert reply.status == 401


@pytest.mark.parametrize("route", [route for route in ROUTES if route.takes is not None], ids=lambda route: route.name)
async def test_every_body_refuses_an_unknown_field(api: Api, route: Any) -> None:
    ids = await made(api)
    reply, problem = await api.call(route.method, route.path.format(**ids), {"surprise": 1})
    assert reply.status == 422, problem
    assert problem["code"] in ("unknown_field", "invalid_input")


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=lambda route: route.name)
async def test_every_read_refuses_an_unknown_query_parameter(api: Api, route: Any) -> None:
    ids = await made(api)
    reply, problem = await api.call("GET", route.path.format(**ids) + "?surprise=1")
    assert (reply.status, problem["code"]) == (422, "unknown_field")


async def test_pages_follow_each_other(api: Api) -> None:
    for number in range(5):
        await api.call("POST", "/v1/payments", {**ORDER, "order_no": f"P{number}"})
    _, first = await api.call("GET", "/v1/payments?limit=2")
    assert ([p["order_no"] for p in first["data"]], first["has_more"]) == (["P4", "P3"], True)
    _, second = await api.call("GET", f"/v1/payments?limit=2&starting_after={first['data'][-1]['id']}")
    assert [p["order_no"] for p in second["data"]] == ["P2", "P1"]
    _, back = await api.call("GET", f"/v1/payments?limit=2&ending_before={second['data'][0]['id']}")
    assert back["data"] == first["data"]
    reply, problem = await api.call("GET", "/v1/payments?limit=101")
    assert (reply.status, problem["param"]) == (422, "limit")
