"""A 503 says what is certain: `not_executed` only when nothing was done. The database goes away before each commit, and
is away for the rest of that request."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.scenarios.street import Street
from tongbao.domain.errors import Outcome, StorageUnavailable
from tongbao.services import attempts

CREATE = {"order_no": "O9", "amount": 100, "currency": "CNY", "subject": "Tea", "method": "alipay_qr"}


async def everything(street: Street) -> list[Any]:
    """What a merchant could have changed; not the keys, and not when something is asked about."""
    tables = ("payments", "attempts", "refunds", "events", "transfers", "webhook_endpoints")
    found = []
    for table in tables:
        rows = await street.rows(f"SELECT to_jsonb(t) - 'next_query_at' - 'leased_by' FROM {table} t ORDER BY id")
        found.append([row[0] for row in rows])
    return found


async def prepared(street: Street, name: str) -> tuple[str, Any]:
    payment = await street.paid() if name == "refunds" else await street.order()
    paths = {"create": "/v1/payments", "hooks": "/v1/webhook_endpoints"}
    path = paths.get(name, f"/v1/payments/{payment['id']}/{name}")
    bodies: dict[str, Any] = {"create": CREATE, "refunds": {"refund_no": "R1"}, "attempts": {"method": "alipay_page"}}
    bodies["hooks"] = {"url": "https://shop.example/"}
    return path, bodies.get(name, {})


@pytest.mark.parametrize("name", ["create", "attempts", "cancel", "refunds", "hooks"])
async def test_not_executed_is_said_only_of_what_was_not(
    street: Street, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, body = await prepared(street, name)
    whole = street.database.transact
    calls, away_at = 0, 0

    async def transact(work: Callable[[Any], Awaitable[Any]]) -> Any:
        nonlocal calls
        calls += 1
        if 0 < away_at <= calls:
            raise StorageUnavailable(outcome=Outcome.NOT_EXECUTED)
        return await whole(work)

    monkeypatch.setattr(street.database, "transact", transact)
    monkeypatch.setattr(attempts, "RECORD_AGAIN_SECONDS", (0.0, 0.0))
    for number in range(1, 20):
        before, calls, away_at = await everything(street), 0, number
        status, problem = await street.call("POST", path, body, idempotency_key=f"k{number}")
        if calls < away_at:
            assert status < 300 or problem["code"] in ("payment_succeeded", "attempt_in_progress"), problem
            return
        assert (status, problem["code"], problem["retryable"]) == (503, "storage_unavailable", True)
        if problem["outcome"] == "not_executed":
            assert await everything(street) == before, number
    raise AssertionError("the call never got through")
