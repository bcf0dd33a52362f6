"""A buyer's browser without a window: follows nothing by itself, keeps what it was shown, reads streams."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.scenarios.street import GATEWAY, Street
from tongbao.simulators.browser import Page
from tongbao.transport import Reply, Request

DESK = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"


@dataclass
class Buyer:
    """Opens pages of the gateway."""

    street: Street
    agent: str = DESK
    language: str = "en"

    async def get(self, url: str, **headers: str) -> Reply:
        shown = {"user-agent": self.agent, "accept-language": self.language, **_named(headers)}
        return await self.street.net.send(Request("GET", _whole(url), shown))

    async def page(self, url: str) -> Page:
        reply = await self.get(url)
        assert reply.status == 200, reply
        return Page(reply.body.decode())

    async def choose(self, url: str, method: str, **headers: str) -> Reply:
        """Presses a method's button."""
        shown = {"user-agent": self.agent, "content-type": "application/x-www-form-urlencoded", **_named(headers)}
        body = urlencode({"method": method}).encode()
        return await self.street.net.send(Request("POST", _whole(url), shown, body))

    async def status(self, url: str) -> Any:
        reply = await self.get(beside(url, "status"))
        assert reply.status == 200
        return json.loads(reply.body)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _whole(url: str) -> str:
    return url if url.startswith("http") else f"http://{GATEWAY}{url}"


def beside(url: str, name: str) -> str:
    """`/checkout/pay_1?cs=x` -> `/checkout/pay_1/name?cs=x`."""
    return url.replace("?", f"/{name}?", 1)


def stream_of(url: str) -> str:
    return beside(url, "stream").replace("/checkout/", "/v1/payments/")


@dataclass
class Open:
    """A stream that is read as it comes."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    @property
    def events(self) -> list[dict[str, str]]:
        blocks = [block for block in self.text.split("\n\n") if "event: " in block]
        return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]

    @property
    def states(self) -> list[str]:
        return [json.loads(event["data"])["state"] for event in self.events]

    async def until(self, state: str, seconds: float = 5) -> None:
        """Waits until the newest state is this one."""
        async with asyncio.timeout(seconds):
            while self.states[-1:] != [state]:
                self.changed.clear()
                await self.changed.wait()

    async def end(self, seconds: float = 5) -> None:
        async with asyncio.timeout(seconds):
            while not self.ended:
                self.changed.clear()
                await self.changed.wait()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.text += message.get("body", b"").decode()
            self.ended = not message.get("more_body", False)
        self.changed.set()


@asynccontextmanager
async def stream(gateway: Any, url: str, last_event_id: str = "") -> AsyncIterator[Open]:
    """Opens a stream; leaving closes the connection, and the server's side must end then."""
    opened = Open()
    parts = urlsplit(url)
    headers = [(b"last-event-id", last_event_id.encode())] if last_event_id else []
    scope = {
        "type": "http",
        "method": "GET",
        "path": parts.path,
        "query_string": parts.query.encode(),
        "headers": headers,
    }
    task = asyncio.create_task(gateway(scope, opened.receive, opened.send))
    try:
        async with asyncio.timeout(5):
            while not opened.status:
                opened.changed.clear()
                await opened.changed.wait()
        yield opened
    finally:
        opened.left.set()
        await asyncio.wait_for(task, 2)
