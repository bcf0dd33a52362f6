"""What strangers and hurried merchants can make us do to a channel is bounded."""

import asyncio

from tests.scenarios.street import SANDBOX, Street
from tongbao.services.attempts import ATTEMPTS_MAX


async def test_one_payment_takes_so_many_attempts(street: Street) -> None:
    """A buyer's page may begin attempts, alternating between methods; an open one is still returned."""
    payment = await street.order(method="alipay_page")
    path = f"/v1/payments/{payment['id']}/attempts"
    for number in range(1, ATTEMPTS_MAX):
        method = "alipay_page" if number % 2 == 0 else "alipay_wap"
        assert (await street.call("POST", path, {"method": method}))[0] == 201
    status, problem = await street.call("POST", path, {"method": "alipay_page"})
    assert (status, problem["code"]) == (409, "too_many_attempts")
    status, last = await street.call("POST", path, {"method": "alipay_wap"})
    assert status == 200
    await street.pay(last)
    await street.notify()
    assert (await street.payment(payment))["status"] == "succeeded"


async def test_refreshing_keeps_within_the_budget_of_the_account(street: Street) -> None:
    payment = await street.order()
    street.net.sent.clear()
    path = f"/v1/payments/{payment['id']}?refresh=true"
    answers = await asyncio.gather(*(street.call("GET", path) for _ in range(150)))
    assert {status for status, _ in answers} == {200}, "without a question the answer is what we know"
    assert sum(SANDBOX in request.url for request in street.net.sent) == 100
    street.clock.advance(1)
    street.net.sent.clear()
    for _ in range(60):
        await street.call("GET", path)
    assert sum(SANDBOX in request.url for request in street.net.sent) == 50
