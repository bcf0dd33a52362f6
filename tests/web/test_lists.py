"""Lists: pages of at most a hundred, walked both ways; a parameter that cannot be meant is refused, not ignored."""

import pytest

from tests.web.conftest import Api
from tests.web.test_accounts_api import ACCOUNT
from tongbao.web.door import Route
from tongbao.web.routes import ROUTES

ORDER = {"order_no": "O1", "amount": 9999, "currency": "CNY", "subject": "Tea"}
LISTS = [route for route in ROUTES if "starting_after" in route.queries]


def path_of(path: str) -> str:
    return path.replace("{endpoint_id}", "we_1")


@pytest.mark.parametrize("route", LISTS, ids=lambda route: route.path)
@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "starting_after=x", "ending_before=att_1", "a=b"])
async def test_what_cannot_be_meant_is_refused(api: Api, route: Route, query: str) -> None:
    reply, problem = await api.call("GET", f"{path_of(route.path)}?{query}")
    assert (reply.status, problem["param"]) == (422, query.partition("=")[0])


@pytest.mark.parametrize("route", [r for r in ROUTES if r.choices], ids=lambda route: route.path)
async def test_a_filter_takes_its_words_and_no_others(api: Api, route: Route) -> None:
    for name, words in route.choices.items():
        reply, problem = await api.call("GET", f"{path_of(route.path)}?{name}=paid")
        assert (reply.status, problem["param"]) == (422, name)
        for word in words:
            assert word in problem["detail"]
            reply, _ = await api.call("GET", f"{path_of(route.path)}?{name}={word}")
            assert reply.status in (200, 404)  # there is no such endpoint whose deliveries to list


@pytest.mark.parametrize(
    ("moment", "status"),
    [
        ("2026-01-02T03:04:05Z", 200),
        ("2026-01-02T03:04:05.123456%2B08:00", 200),
        ("2026-01-02T03:04:05+08:00", 422),
        ("2026-01-02T03:04:05", 422),
        ("2026-01-02", 422),
        ("0001-01-01T00:00:00%2B14:00", 422),
    ],
)
async def test_a_time_has_its_zone(api: Api, moment: str, status: int) -> None:
    reply, answer = await api.call("GET", f"/v1/payments?created_after={moment}")
    assert (reply.status, answer.get("param")) == (status, None if status == 200 else "created_after")


async def test_pages_of_accounts_are_walked_both_ways(api: Api) -> None:
    made: list[str] = []
    for number in range(5):
        reply, account = await api.call("POST", "/v1/channel_accounts", {**ACCOUNT, "name": f"number {number}"})
        assert reply.status == 201
        made.insert(0, account["id"])

    async def page(query: str) -> tuple[list[str], bool]:
        _, listed = await api.call("GET", f"/v1/channel_accounts?{query}")
        return [account["id"] for account in listed["data"]], listed["has_more"]

    assert await page("") == (made, False)
    assert await page("limit=2") == (made[:2], True)
    assert await page(f"limit=2&starting_after={made[1]}") == (made[2:4], True)
    assert await page(f"limit=2&starting_after={made[3]}") == (made[4:], False)
    assert await page(f"limit=2&ending_before={made[4]}") == (made[2:4], True)
    assert await page(f"limit=2&ending_before={made[1]}") == (made[:1], False)


@pytest.mark.parametrize("more", [{"channel_account": "ca_1"}, {"method_options": {"body": "x"}}])
async def test_what_belongs_to_a_method_is_not_taken_without_one(api: Api, more: dict[str, object]) -> None:
    reply, problem = await api.call("POST", "/v1/payments", {**ORDER, **more})
    assert (reply.status, problem["param"]) == (422, "/method")


async def test_a_key_of_the_metadata_that_is_too_long_is_pointed_at(api: Api) -> None:
    reply, problem = await api.call("POST", "/v1/payments", {**ORDER, "metadata": {"k" * 41: "v"}})
    assert (reply.status, problem["param"], problem["detail"]) == (422, "/metadata", "Expected str of length <= 40")
