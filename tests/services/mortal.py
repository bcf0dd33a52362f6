"""A process that dies at the n-th step that can be seen from outside: a commit, or a call to a channel.

`Killed` is a BaseException, so nothing in the house handles it; once dead, whatever the process still tries fails in
the same way. Starting again is building the services again on the same database.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.scenarios.street import GATEWAY, SANDBOX, Net
from tongbao.storage.database import Database
from tongbao.transport import Reply, Request

R = TypeVar("R")


class Killed(BaseException):
    """kill -9."""


class Life:
    """`dies_at` counts from 1; `trace` names the steps so far."""

    def __init__(self, dies_at: int = 0) -> None:
        self.dies_at = dies_at
        self.dead = False
        self.trace: list[str] = []

    def step(self, name: str) -> None:
        self.breathe()
        self.trace.append(name)
        if len(self.trace) == self.dies_at:
            self.dead = True
            raise Killed

    def breathe(self) -> None:
        if self.dead:
            raise Killed


class MortalDatabase(Database):
    """Dies right before a commit, or right behind it."""

    def __init__(self, pool: Any, life: Life) -> None:
        super().__init__(pool)
        self.life = life

    async def transact(self, work: Callable[[Any], Awaitable[R]]) -> R:
        async def dying(tx: Any) -> R:
            result = await work(tx)
            self.life.step("before commit")
            return result

        self.life.breathe()
        result = await super().transact(dying)
        self.life.step("after commit")
        return result

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        self.life.breathe()
        async with super().connection() as connection:
            yield connection


class MortalNet(Net):
    """Dies right before a call to the channel, or with its answer in hand. A dead gateway answers nobody."""

    life = Life()

    async def send(self, request: Request) -> Reply:
        host = urlsplit(request.url).netloc
        if host == SANDBOX:
            self.life.step("before call")
            reply = await super().send(request)
            self.life.step("after call")
            return reply
        life = self.life
        try:
            life.breathe()
            reply = await super().send(request)
            life.breathe()
        except Killed:
            raise ConnectionError("connection lost") from None
        assert host == GATEWAY
        return reply
