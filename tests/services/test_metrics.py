"""What is measured: every series is described for operators, and counts what was committed and nothing else."""

import re

from tests.scenarios.street import GATEWAY, Street
from tests.test_docs import DOCS
from tongbao.transport import Request


async def shown(street: Street) -> dict[str, float]:
    reply = await street.net.send(Request("GET", f"http://{GATEWAY}/metrics"))
    lines = [line.rsplit(" ", 1) for line in reply.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


async def test_a_story_in_figures(street: Street) -> None:
    payment = await street.order()
    await street.pay(payment)
    await street.call("POST", "/v1/payments", {"order_no": "O1", "amount": 1, "currency": "CNY", "subject": "other"})
    await street.call("GET", f"/v1/payments/{payment['id']}?refresh=true")
    street.net.cut = "refused"
    await street.order("O2")
    found = await shown(street)
    assert found['tongbao_events_total{type="payment.created"}'] == 2
    assert found['tongbao_events_total{type="payment.succeeded"}'] == 1
    assert found['tongbao_channel_calls_total{channel="alipay",outcome="ok",verb="create"}'] == 1
    assert found['tongbao_channel_calls_total{channel="alipay",outcome="not_executed",verb="create"}'] == 1
    assert found['tongbao_channel_seconds_count{channel="alipay",verb="query"}'] == 1
    assert found['tongbao_http_requests_total{door="POST /v1/payments",status="409"}'] == 1
    assert found['tongbao_groups_total{kind="commands"}'] >= found['tongbao_groups_total{kind="groups"}'] > 0
    assert (found["tongbao_group_waiting"], found["tongbao_connections_busy"]) == (0, 0)


async def test_every_series_is_described_and_none_besides(street: Street) -> None:
    reply = await street.net.send(Request("GET", f"http://{GATEWAY}/metrics"))
    series = {
        name + ("_total" if kind == "counter" else "")
        for name, kind in re.findall(r"^# TYPE (\w+?)(?:_total)? (\w+)$", reply.body.decode(), re.MULTILINE)
        if not name.endswith("_created")
    }
    described = re.findall(
        r"^\| `(tongbao_\w+)` \|", (DOCS / "guides" / "operations.md").read_text("utf-8"), re.MULTILINE
    )
    assert sorted(series) == sorted(described)
