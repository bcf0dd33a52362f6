"""T-05: the process dies at every step of a payment and of its refund, is started again, and all resolves in 60 s.

The story: an order, the buyer pays, the channel notifies, the merchant refunds a part, a worker sends it. Wherever the
process dies, the merchant's client repeats what was not answered (same key), the workers do what is due, and in the
end one payment is paid once and refunded once - here, at the channel, and in the ledger.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.street import GATEWAY, Street
from tests.services.mortal import Killed, Life, MortalDatabase, MortalNet
from tests.simulated import SimClock, SimIds
from tongbao.bootstrap import build
from tongbao.config import read_settings
from tongbao.storage.database import Database
from tongbao.web.app import build_gateway
from tongbao.workers import Workers

ORDER = {"order_no": "O1", "amount": 9999, "currency": "CNY", "subject": "Tea", "method": "alipay_qr"}
REFUND = {"refund_no": "R1", "amount": 100}
STEPS, CANCEL_STEPS = 16, 20
"""Commits and calls of the stories, each with its two sides; tests count them."""


class Story:
    """The merchant's client, the buyer, and a gateway that may die and is started again."""

    def __init__(self, database: Database, clock: SimClock, ids: SimIds, folder: Path) -> None:
        self.pool = database.pool
        self.clock = clock
        self.ids = ids
        self.folder = folder
        self.net = MortalNet()
        self.life = Life()
        self.street: Street
        self.workers: Workers

    async def start(self, life: Life) -> None:
        """A new process on the same database."""
        self.net.life = self.life = life
        settings = read_settings({}, data_dir=str(self.folder), base_url=f"http://{GATEWAY}")
        database = MortalDatabase(self.pool, life)
        services = await build(settings, clock=self.clock, ids=self.ids, transport=self.net, database=database)
        if not hasattr(self, "street"):
            self.street = await Street(services, database, self.clock, self.net).open()
        self.street.services, self.street.database = services, database
        self.net.add(GATEWAY, build_gateway(services))
        self.workers = Workers(services, self.ids.make("wrk"))

    async def work(self) -> None:
        """What the process's workers do; they die with it."""
        try:
            for step in (self.workers.ask_once, self.workers.refund_once, self.workers.expire_once):
                await step()
        except Killed:
            pass
        if self.life.dead:
            await self.start(Life())

    async def insist(self, path: str, body: Any, key: str) -> Any:
        """Repeats a call under its key until it is answered for good."""
        for _ in range(40):
            try:
                status, answer = await self.street.call("POST", path, body, idempotency_key=key)
            except ConnectionError:
                status, answer = 0, None
            if status in (200, 201, 202):
                return answer
            assert status in (0, 409), answer
            self.clock.advance(2)
            await self.work()
        raise AssertionError(f"{path} was never answered")

    async def until_paid(self, payment: Any) -> Any:
        """The buyer pays; the channel's notification comes when it can; at the latest a query finds it."""
        action = payment["next_action"] or (await self.another(payment))["next_action"]
        await self.street.pay({"next_action": action})
        paid_at = self.clock.now()
        await self.street.notify()
        while (await self.read(payment))["status"] == "pending":
            assert (self.clock.now() - paid_at).total_seconds() <= 60, "not resolved within 60 s"
            self.clock.advance(5)
            await self.work()
        return await self.read(payment)

    async def another(self, payment: Any) -> Any:
        """The QR was lost with the process: the buyer chooses again."""
        return await self.insist(f"/v1/payments/{payment['id']}/attempts", {"method": "alipay_qr"}, "another")

    async def until_refunded(self, payment: Any) -> None:
        asked_at = self.clock.now()
        while (await self.read(payment))["amount_refunded"] == 0:
            assert (self.clock.now() - asked_at).total_seconds() <= 60, "not resolved within 60 s"
            await self.work()
            self.clock.advance(5)

    async def read(self, payment: Any) -> Any:
        if self.life.dead:
            await self.start(Life())
        return await self.street.payment(payment)

    async def run(self) -> Any:
        payment = await self.insist("/v1/payments", ORDER, "create")
        payment = await self.until_paid(payment)
        await self.insist(f"/v1/payments/{payment['id']}/refunds", REFUND, "refund")
        await self.until_refunded(payment)
        return await self.read(payment)

    async def run_to_cancel(self) -> Any:
        """The buyer scans and walks away; the merchant cancels. A QR that was lost with the process stays payable
        until its deadline, so this may take as long."""
        payment = await self.insist("/v1/payments", ORDER, "create")
        shown = payment if payment["next_action"] else await self.another(payment)
        found = self.street.sandbox.find(shown["next_action"]["content"])
        assert found is not None
        found[0].scan(found[1], self.street.sandbox.buyer())
        await self.insist(f"/v1/payments/{payment['id']}/cancel", {}, "cancel")
        for _ in range(80):
            if (await self.read(payment))["status"] != "pending":
                break
            self.clock.advance(30)
            await self.work()
        return await self.read(payment)


@pytest.fixture
async def story(database: Database, clock: SimClock, ids: SimIds, tmp_path: Path) -> AsyncIterator[Story]:
    told = Story(database, clock, ids, tmp_path)
    await told.start(Life())
    yield told
    told.street.sandbox.close()


async def expect_one_of_everything(story: Story, payment: Any) -> None:
    assert (payment["status"], payment["amount_refunded"], payment["amount_refunding"]) == ("succeeded", 100, 0)
    assert await story.street.events(payment) == [
        "payment.created",
        "payment.succeeded",
        "refund.created",
        "refund.succeeded",
    ]
    rows = story.street.sandbox.alipay.rows(100)
    assert [(row.status, row.refunded) for row in rows] == [("TRADE_SUCCESS", "1.00")], "one trade, refunded once"
    balances = await story.street.rows("SELECT kind, sum(minor)::int FROM balance_deltas GROUP BY kind")
    assert {kind: minor for kind, minor in balances if minor} == {"receivable": -9_899, "app_pending": 9_899}
    await story.street.verify()


async def test_the_story_has_as_many_steps(story: Story) -> None:
    life = Life()
    await story.start(life)
    await expect_one_of_everything(story, await story.run())
    assert len(life.trace) == STEPS, life.trace


@pytest.mark.parametrize("dies_at", range(1, STEPS + 1))
async def test_killed_at_every_step_it_ends_the_same(story: Story, dies_at: int) -> None:
    life = Life(dies_at)
    await story.start(life)
    payment = await story.run()
    assert life.dead
    await expect_one_of_everything(story, payment)


async def expect_closed(story: Story, payment: Any) -> None:
    assert (payment["status"], payment["closed_reason"]) == ("closed", "canceled")
    assert await story.street.events(payment) == ["payment.created", "payment.closed"]
    assert {row.status for row in story.street.sandbox.alipay.rows(100)} == {"TRADE_CLOSED"}
    assert await story.street.rows("SELECT FROM balance_deltas") == []
    await story.street.verify()


async def test_the_cancel_has_as_many_steps(story: Story) -> None:
    life = Life()
    await story.start(life)
    await expect_closed(story, await story.run_to_cancel())
    assert len(life.trace) == CANCEL_STEPS, life.trace


@pytest.mark.parametrize("dies_at", range(1, CANCEL_STEPS + 1))
async def test_killed_at_every_step_of_a_cancel_it_ends_the_same(story: Story, dies_at: int) -> None:
    life = Life(dies_at)
    await story.start(life)
    payment = await story.run_to_cancel()
    assert life.dead
    await expect_closed(story, payment)
