"""The sandbox as one ASGI application and one object: `build_sandbox(...)` composes bank, channels and pages.

Rule: nothing runs by itself. `run()` is the background loop of a served sandbox (timers and notifications, promptly);
`deliver_due()` is one deterministic step for tests, which own the clock.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request

from tongbao.crypto import RsaPrivateKey
from tongbao.simulators.alipay.simulator import Alipay
from tongbao.simulators.bank import Bank, Buyer, Chance
from tongbao.simulators.channel import ChannelSimulator, Row
from tongbao.simulators.door import Door, Receive, Scope, Send
from tongbao.simulators.pages import Pages, language
from tongbao.simulators.panel import Panel
from tongbao.simulators.phone import Phone
from tongbao.simulators.wechatpay.simulator import WeChatPay
from tongbao.transport import Transport

JOURNAL = "sandbox.sqlite3"
LOOK_AGAIN_SECONDS = 1.0


def build_sandbox(
    *,
    now: Callable[[], datetime],
    chance: Chance,
    transport: Transport,
    data_dir: Path | None = None,
    make_key: Callable[[], RsaPrivateKey] = RsaPrivateKey.generate,
) -> "Sandbox":
    """A sandbox over its data directory (None: nothing is kept).

    `now` gives aware UTC instants, `chance(bits)` unguessable numbers below 2**bits, `transport` sends notifications.
    """
    path = None if data_dir is None else data_dir / JOURNAL
    bank = Bank(path=path, now=now, chance=chance, transport=transport, make_key=make_key)
    return Sandbox(bank, data_dir)


class Sandbox:
    """All channels of the sandbox. Close it when done."""

    def __init__(self, bank: Bank, data_dir: Path | None) -> None:
        self.bank = bank
        self.pages = Pages()
        self.alipay = Alipay(bank, self.pages, data_dir)
        self.wechatpay = WeChatPay(bank, self.pages, data_dir)
        self.channels: list[ChannelSimulator] = [self.alipay, self.wechatpay]
        self._doors = {path: door for channel in self.channels for path, door in channel.doors().items()}
        below = sorted((path for path in self._doors if path.endswith("/")), key=len, reverse=True)
        self._below = {path: self._doors[path] for path in below}
        routes = [route for channel in self.channels for route in channel.routes()]
        self._app = Starlette(routes=[*Panel(self).routes(), *Phone(self).routes(), *routes, *self.pages.routes()])
        bank.flush()

    @property
    def asgi(self) -> "Sandbox":
        """The ASGI application to serve."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The channels' doors first, pages behind them."""
        door = self._door(scope["path"]) if scope["type"] == "http" else None
        if door is not None:
            await door(scope, receive, send)
            return
        flush = self.bank.flush

        async def send_flushed(message: object) -> None:
            flush()
            await send(message)  # type: ignore[arg-type]  # Starlette's message is the same mapping

        await self._app(scope, receive, send_flushed)

    def _door(self, path: str) -> Door | None:
        return self._doors.get(path) or next((door for top, door in self._below.items() if path.startswith(top)), None)

    # --- the buyers' and the panel's view

    def channel(self, name: str) -> ChannelSimulator | None:
        return next((channel for channel in self.channels if channel.name == name), None)

    def find(self, content: str) -> tuple[ChannelSimulator, str] | None:
        """The channel and token behind a QR's content."""
        for channel in self.channels:
            token = channel.recognise(content)
            if token is not None:
                return channel, token
        return None

    def rows(self, count: int) -> list[Row]:
        rows = [row for channel in self.channels for row in channel.rows(count)]
        return sorted(rows, key=lambda row: row.created_at, reverse=True)[:count]

    def language(self, request: Request) -> str:
        return language(request)

    def buyer(self, who: str = "") -> Buyer:
        """A buyer by user or logon id; the first one, who can pay anything, when none is named."""
        return self.bank.buyer(who) or self.bank.first_buyer()

    def accounts(self, base_url: str) -> dict[str, object]:
        """Per channel everything that an outside client needs; identical after a restart."""
        found: dict[str, object] = {channel.name: channel.accounts(base_url) for channel in self.channels}
        self.bank.flush()
        return found

    # --- time

    def advance(self, seconds: float) -> datetime:
        """Turns the clock forward and lets happen what was due meanwhile, except deliveries."""
        moment = self.bank.clock.advance(seconds)
        self._expire()
        self.bank.outbox.changed.set()
        return moment

    async def deliver_due(self) -> int:
        """One step: closes what is over, sends what is due, waits for the answers. Returns the number of tries."""
        self._expire()
        tries = await self.bank.outbox.deliver_due()
        self.bank.flush()
        return tries

    async def run(self) -> None:
        """Keeps time and delivers until cancelled; a notification leaves as soon as it was written."""
        tasks: set[asyncio.Task[None]] = set()
        outbox = self.bank.outbox
        try:
            while True:
                outbox.changed.clear()
                self._expire()
                outbox.start_due(tasks)
                try:
                    await asyncio.wait_for(outbox.changed.wait(), self._pause())
                except TimeoutError:
                    continue
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.bank.flush()

    def _expire(self) -> None:
        for channel in self.channels:
            channel.expire_due()
        self.bank.flush()

    def _pause(self) -> float:
        now = self.bank.clock.now()
        moments = [self.bank.outbox.next_due_at(), *(channel.next_due_at() for channel in self.channels)]
        waits = [(moment - now).total_seconds() for moment in moments if moment is not None]
        return max(0.001, min([LOOK_AGAIN_SECONDS, *waits]))

    def close(self) -> None:
        self.bank.close()
