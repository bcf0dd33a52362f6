"""A merchant's server on this machine: keeps what arrives and answers what the test says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Arrived:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`status` and `headers` are the answer; while `open` is not set it lets callers wait."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    arrived: list[Arrived] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def _answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.arrived.append(Arrived(headers, await request.read()))
        self.changed.set()
        await self.open.wait()
        return web.Response(status=self.status, headers=self.headers)

    async def received(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.arrived) < count:
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def receiver(status: int = 200, *, hangs: bool = False) -> AsyncIterator[Receiver]:
    made = Receiver(status)
    if not hangs:
        made.open.set()
    app = web.Application()
    app.router.add_post("/hook", made._answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    made.url = f"http://127.0.0.1:{port}/hook"
    try:
        yield made
    finally:
        made.open.set()
        await runner.cleanup()
