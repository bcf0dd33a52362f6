"""Pushes between processes, played by two relays with a connection of their own each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import pytest

from tests import made
from tongbao.ports.store import Key
from tongbao.services.pushes import Pushes
from tongbao.storage.database import Database
from tongbao.storage.pushes import CHANNEL, PushRelay, payloads

KEYS = [("app_1", f"pay_{number:026}") for number in range(2_000)]


@asynccontextmanager
async def relaying(database: Database, name: str, pushes: Pushes) -> AsyncIterator[PushRelay]:
    relay = PushRelay(database, name, pushes.wake)
    pushes.relay = relay.relay
    task = asyncio.create_task(relay.run())
    try:
        await asyncio.wait_for(relay.listening.wait(), 5)
        yield relay
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Noted(Pushes):
    """Notes what is woken."""

    def __init__(self) -> None:
        super().__init__()
        self.woken: list[Key] = []
        self.changed = asyncio.Event()
        self.listeners.append(self.changed.set)

    def wake(self, keys: Iterable[Key]) -> None:
        self.woken += keys
        super().wake(())

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()


def test_payloads_are_short_enough_and_hold_everything() -> None:
    made_payloads = list(payloads("me", KEYS))
    assert all(len(payload.encode()) < 8_000 for payload in made_payloads)
    assert len(made_payloads) < 12
    lines = [line for payload in made_payloads for line in payload.split("\n")[1:]]
    assert lines == [f"{app} {payment}" for app, payment in KEYS]
    assert list(payloads("me", [])) == []


async def test_a_push_wakes_the_other_process_once_and_not_the_sender(database: Database) -> None:
    here, there = Noted(), Noted()
    async with relaying(database, "here", here), relaying(database, "there", there):
        here.publish(KEYS)
        await there.until(lambda: len(there.woken) >= len(KEYS))
        there.publish([("app_1", "pay_back")])
        await here.until(lambda: ("app_1", "pay_back") in here.woken)
    assert there.woken == [*KEYS, ("app_1", "pay_back")]
    assert here.woken == [*KEYS, ("app_1", "pay_back")]


async def test_a_waiting_page_of_another_process_is_woken(database: Database) -> None:
    here, there = Pushes(), Pushes()
    async with relaying(database, "here", here), relaying(database, "there", there):
        with there.waiting(("app_1", "pay_1")) as changed:
            here.publish([("app_1", "pay_2"), ("app_1", "pay_1")])
            await asyncio.wait_for(changed.wait(), 5)


async def test_the_relay_connects_again_by_itself(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tongbao.storage.pushes.RECONNECT_SECONDS", 0.01)
    here, there = Pushes(), Noted()
    async with relaying(database, "here", here) as relay, relaying(database, "there", there) as other:
        await made.fetch(
            database,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query ILIKE 'LISTEN%' AND pid <> pg_backend_pid()",
        )
        async with asyncio.timeout(5):
            while not await both_listen(database):
                await asyncio.gather(relay.listening.wait(), other.listening.wait())
        here.publish([("app_1", "pay_1")])
        await there.until(lambda: bool(there.woken))
    assert there.woken == [("app_1", "pay_1")]


async def both_listen(database: Database) -> bool:
    listeners = await made.fetch(
        database,
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE $1",
        f'LISTEN "{CHANNEL}"%',
    )
    return bool(listeners[0]["n"] == 2)
