"""Whatever a proven caller sends, the door answers: signed, with a status of the channel, and never breaks."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulated import SimClock
from tests.simulators.wechatpay.merchant import World
from tongbao.simulators.wechatpay.methods import ROUTES
from tongbao.transport import RawRequest

GIVEN = {"wechatpay-signature", "wechatpay-serial", "request-id"}
POSTS = sorted(route.template for route in ROUTES if route.method == "POST" and not route.upload)
GETS = sorted(route.template for route in ROUTES if route.method == "GET")
NAMES = sorted(
    {
        "mchid",
        "appid",
        "amount",
        "total",
        "out_trade_no",
        "receivers",
        "sub_orders",
        "payer",
        "scene_info",
        "description",
    }
    | {"openid", "currency", "notify_url", "transfer_detail_list", "store_info", "auth_code", "refund", "out_refund_no"}
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["1900000109", "CNY"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=10).map(lambda value: json.dumps(value).encode())
RAW = st.sampled_from([b"[" * 100_000, b'{"a":' * 5000, b'{"mchid":"\\ud800"}', b'{"a":null', b"\x00", b'{"a":1e999}'])
FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World(SimClock())
    yield made
    made.sandbox.close()


def answered(world: World, method: str, target: str, body: bytes = b"", **more: str) -> Any:
    path, _, query = target.partition("?")
    headers = {"authorization": world.merchant.authorization(method, target, body), "content-type": "application/json"}
    headers |= {"accept": "*/*", "user-agent": "x", "host": "sandbox.test", **more}
    answer = world.wechat.gateway.answer(RawRequest(method, path, query, headers, body))
    names = {name.lower() for name in answer.headers}
    if answer.status != 404 or names:
        assert names >= GIVEN, answer
    assert answer.status in (200, 202, 204, 400, 403, 404, 429)
    return answer


@FEW
@given(st.sampled_from(POSTS), BODIES | RAW)
def test_bodies(world: World, template: str, body: bytes) -> None:
    world.clock.advance(1)
    answered(world, "POST", template.replace("{", "").replace("}", ""), body)


@FEW
@given(
    st.sampled_from(GETS),
    st.text("0123456789%|*_-@abc./", max_size=30),
    st.dictionaries(
        st.sampled_from(
            ["mchid", "bill_date", "transaction_id", "out_order_no", "token", "need_query_detail", "limit"]
        ),
        st.sampled_from(["", "1900000109", "0001-01-01", "9999-12-31", "true", "-1", "99999999999", "%00", "%ff", "x"]),
    ),
)
def test_targets(world: World, template: str, value: str, query: dict[str, str]) -> None:
    world.clock.advance(1)
    names = "&".join(f"{name}={text}" for name, text in query.items())
    path = template.partition("{")[0] + value if "{" in template else template
    answered(world, "GET", f"{path}?{names}" if names else path)


@pytest.mark.parametrize("fault", ["slow=nan", "slow=-1", "refund_delayed=1e999", "slow=x", "=", ","])
def test_faults(world: World, fault: str) -> None:
    answered(world, "GET", "/v3/certificates", b"", **{"x-sandbox-fault": fault})
