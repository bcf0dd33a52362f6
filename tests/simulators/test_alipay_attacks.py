"""Whatever a proven caller writes into its business fields: a signed answer, never a broken door or a poisoned
journal.
"""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulated import SimClock
from tests.simulators.merchant import World
from tongbao.simulators.alipay import simulator
from tongbao.simulators.alipay.methods import handlers
from tongbao.simulators.faults import Fault, Stage
from tongbao.transport import RawRequest

FIELDS = [
    *("out_trade_no", "trade_no", "total_amount", "subject", "body", "product_code", "timeout_express", "time_expire"),
    *("goods_detail", "seller_id", "query_options", "refund_amount", "out_request_no", "auth_code", "scene", "auth_no"),
    *("agreement_params", "buyer_id", "bill_type", "bill_date", "out_biz_no", "trans_amount", "payee_info", "remark"),
    *(
        "payee_type",
        "payee_account",
        "amount",
        "royalty_parameters",
        "receiver_list",
        "settle_no",
        "page_num",
        "page_size",
    ),
    *("personal_product_code", "sign_scene", "access_params", "period_rule_params", "agreement_no", "extend_params"),
    *(
        "out_order_no",
        "order_title",
        "operation_id",
        "grant_type",
        "code",
        "refresh_token",
        "alipay_cert_sn",
        "biz_scene",
    ),
]
GOOD: dict[str, Any] = {
    "out_trade_no": "T1",
    "total_amount": "1.00",
    "subject": "tea",
    "refund_amount": "0.01",
    "out_request_no": "R1",
    "auth_code": "280150000000000015",
    "scene": "bar_code",
    "product_code": "FACE_TO_FACE_PAYMENT",
    "amount": "1.00",
    "out_order_no": "F1",
    "order_title": "x",
    "bill_type": "trade",
    "bill_date": "2026-04-01",
    "receiver_list": [{"type": "userId", "account": "2088722000000015"}],
    "access_params": {"channel": "QRCODE"},
    "personal_product_code": "GENERAL_WITHHOLDING_P",
    "sign_scene": "INDUSTRY",
}
TEXT = st.text(max_size=12)
LEAVES = st.one_of(
    TEXT,
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.booleans(),
    st.none(),
    st.sampled_from(["1.00", "T1", "2088722000000015"]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | TEXT, inner, max_size=3),
)
BODIES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = World(SimClock(), tmp_path_factory.mktemp("attacked"))
    yield made
    made.sandbox.close()


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_business_content_breaks_it(world: World, data: Any) -> None:
    method = data.draw(st.sampled_from(sorted(handlers(world.sandbox.alipay.authority))))
    biz = {**(GOOD if data.draw(st.booleans()) else {}), **data.draw(BODIES)}
    params = world.signed(world.params(method, json.dumps(biz)))
    raw = RawRequest("POST", "/alipay/gateway.do", "", {}, urlencode(params).encode())
    answer = world.sandbox.alipay.gateway.answer(raw)
    world.sandbox.bank.flush()
    assert answer.status in (200, 302)
    if answer.status == 200 and answer.body.startswith(b"{"):
        (node,) = (value for name, value in json.loads(answer.body).items() if name not in ("sign", "alipay_cert_sn"))
        assert node["code"] in {"10000", "10003", "20000", "20001", "40001", "40002", "40004", "40006"}
    assert world.sandbox.bank.total_minor() % 100 >= 0


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200), st.binary(max_size=200), st.sampled_from(["", "multipart/form-data; boundary=x", "x/y"])
)
def test_no_bytes_break_the_door(world: World, query: bytes, body: bytes, kind: str) -> None:
    raw = RawRequest("POST", "/alipay/gateway.do", query.decode("latin-1"), {"content-type": kind}, body)
    assert world.sandbox.alipay.gateway.answer(raw).status == 200
    headers = {"authorization": "ALIPAY-SHA256withRSA " + query.decode("latin-1")}
    v3 = RawRequest("POST", "/v3/alipay/trade/query", query.decode("latin-1"), headers, body)
    assert world.sandbox.alipay.open_api.answer(v3).status == 400


async def test_half_a_character_is_no_json(world: World) -> None:
    text = '{"out_trade_no":"S1","total_amount":"1.00","subject":"\\ud800"}'
    reply = await world.send(world.signed(world.params("alipay.trade.precreate", text)))
    assert json.loads(reply.body)["alipay_trade_precreate_response"]["sub_code"] == "isv.illegal-json"
    pair = '{"out_trade_no":"S1","total_amount":"1.00","subject":"\\ud83c\\udf75"}'
    assert (await world.call("alipay.trade.precreate", pair))["code"] == "10000"


@pytest.mark.parametrize("argument", ["nan", "inf", "-1", "1e99", "x"])
async def test_bad_numbers_of_faults(world: World, argument: str) -> None:
    params = world.signed(world.params("alipay.trade.query", {"out_trade_no": "T"}))
    reply = await world.send(params, {"x-sandbox-fault": f"slow={argument}"})
    assert json.loads(reply.body)["alipay_trade_query_response"]["sub_code"] == "isv.invalid-parameter"


async def test_slow_is_slow_and_expired_is_over(world: World) -> None:
    params = world.signed(world.params("alipay.trade.query", {"out_trade_no": "T"}))
    body = urlencode(params).encode()
    answer = world.sandbox.alipay.gateway.answer(RawRequest("POST", "/", "", {"x-sandbox-fault": "slow=7"}, body))
    assert answer.delay_seconds == 7
    content = await world.qr("EXP1", fault="trade_expired")
    refused = await world.browse("POST", "/phone", {"content": content})
    assert (refused.status, "ACQ.TRADE_HAS_CLOSE" in refused.body.decode()) == (409, True)


async def test_a_buyer_suddenly_short(world: World) -> None:
    content = await world.qr("SHORT1")
    world.sandbox.bank.faults.set("buyer_balance_short")
    refused = await world.browse("POST", f"/phone/alipay/{world.token(content)}", {"action": "pay"})
    assert refused.headers["x-sandbox-outcome"] == "ACQ.BUYER_BALANCE_NOT_ENOUGH"


def test_every_fault_is_described_and_tried() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    source = "".join(path.read_text() for path in Path(simulator.__file__).parent.glob("*.py"))
    mine = [fault for fault in Fault if f"Fault.{fault.name}" in source]
    assert [fault.code for fault in mine if fault.code not in tests] == []
    assert len(mine) >= 25
    assert all(fault.description and isinstance(fault.stage, Stage) for fault in Fault)
