"""kill -9 of the gateway in the middle of creates and notifications: nothing acknowledged is lost, all resolves."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.scenarios import processes
from tests.scenarios.street import credentials_for
from tongbao.bootstrap import build
from tongbao.config import read_settings
from tongbao.storage.database import Database
from tongbao.storage.invariants import find_broken
from tongbao.system import SystemIds

CREATES, PAID_EVERY, KILLS, CLIENTS = 2_000, 8, 3, 48
RESOLVE_SECONDS_MAX = 60.0


@dataclass
class Shop:
    """A merchant that repeats what was not acknowledged, and buyers who pay what they see."""

    http: aiohttp.ClientSession
    gateway: str
    sandbox: str
    key: str
    acknowledged: dict[str, str] = field(default_factory=dict)
    awaited: set[str] = field(default_factory=set)
    repeats: int = 0
    progress: asyncio.Event = field(default_factory=asyncio.Event)

    async def create(self, number: int) -> None:
        self.progress.set()
        pays = number % PAID_EVERY == 0
        order_no = f"K{number}"
        body = {"order_no": order_no, "amount": 100 + number, "currency": "CNY", "subject": "Tea"}
        body |= {"method": "alipay_qr"} if pays else {}
        payment = await self._insist(body, {"Authorization": f"Bearer {self.key}", "Idempotency-Key": order_no})
        self.acknowledged[payment["id"]] = order_no
        if pays and payment["next_action"]:
            self.awaited.add(payment["id"])
            order = {"content": payment["next_action"]["content"], "action": "pay"}
            async with self.http.post(f"{self.sandbox}/_sandbox/scan", json=order) as reply:
                assert reply.status == 200, await reply.text()

    async def reached(self, left: int, numbers: list[int]) -> None:
        """Waits until so many orders are left to make."""
        while len(numbers) > left:
            self.progress.clear()
            await self.progress.wait()

    async def _insist(self, body: dict[str, Any], headers: dict[str, str]) -> Any:
        """Until it is acknowledged; 409 means that the first try is still running, or that its process is gone."""
        while True:
            try:
                async with self.http.post(f"{self.gateway}/v1/payments", json=body, headers=headers) as reply:
                    if reply.status in (200, 201):
                        return await reply.json()
                    assert reply.status in (409, 503), await reply.text()
                    headers.pop("Idempotency-Key", None)
            except (aiohttp.ClientError, TimeoutError):
                self.repeats += 1
            await asyncio.sleep(0.05)


@pytest.fixture
async def shop(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Shop, processes.Process]]:
    ports = [processes.free_port(), processes.free_port()]
    gateway = processes.gateway(ports[0], database_url, tmp_path)
    sandbox = processes.sandbox(ports[1], tmp_path, compress=240)
    try:
        sandbox.start()
        gateway.start()
        base, other = f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            async with http.get(f"{other}/_sandbox/accounts") as reply:
                accounts = await reply.json()
            key = await seed(database_url, tmp_path, base, accounts)
            yield Shop(http, base, other, key), gateway
    finally:
        gateway.stop()
        sandbox.stop()


async def seed(database_url: str, data_dir: Path, base_url: str, accounts: Any) -> str:
    """An app with an Alipay account, made beside the running gateway; its API key."""
    settings = read_settings({}, data_dir=str(data_dir), base_url=base_url, database_url=database_url)
    services = await build(settings, ids=SystemIds())
    app, key = await services.accounts.create_app("shop", livemode=False)
    await services.accounts.create_account(app, "alipay", "main", credentials_for("alipay", accounts), {})
    await services.close()
    return key


async def test_kill_9_in_the_middle(shop: tuple[Shop, processes.Process], database: Database) -> None:
    merchant, gateway = shop
    seed_number = random.SystemRandom().randrange(2**32)
    rng = random.Random(seed_number)
    numbers = list(range(CREATES))

    async def client() -> None:
        while numbers:
            await merchant.create(numbers.pop())

    running = [asyncio.create_task(client()) for _ in range(CLIENTS)]
    for kill in range(KILLS):
        left = CREATES - (kill + 1) * CREATES // (KILLS + 1) + rng.randrange(-100, 100)
        await merchant.reached(left, numbers)
        await asyncio.to_thread(gateway.kill)
        await asyncio.to_thread(gateway.start)
    await asyncio.gather(*running)
    waited = await resolved(merchant, database)
    print(
        f"seed {seed_number}: {CREATES} creates, {KILLS} kills, {merchant.repeats} repeats, resolved in {waited:.1f} s"
    )
    async with database.connection() as connection:
        stored = {row["id"]: row["order_no"] for row in await connection.fetch("SELECT id, order_no FROM payments")}
    assert merchant.acknowledged.items() <= stored.items(), "an acknowledged payment is lost"
    assert len(stored) == CREATES, "an order was made twice, or not at all"
    broken = {rule: rows for rule, rows in (await find_broken(database)).items() if rows}
    assert not broken, broken


async def resolved(merchant: Shop, database: Database) -> float:
    """Waits until every payment whose buyer paid is known to be paid; returns how long that took."""
    started = time.monotonic()
    while time.monotonic() - started < RESOLVE_SECONDS_MAX:
        async with database.connection() as connection:
            paid = await connection.fetchval(
                "SELECT count(*) FROM payments WHERE id = ANY ($1) AND status = 'succeeded'", list(merchant.awaited)
            )
        if paid == len(merchant.awaited):
            return time.monotonic() - started
        await asyncio.sleep(0.1)
    raise AssertionError(f"{len(merchant.awaited) - paid} paid payments are not known to be paid after 60 s")
