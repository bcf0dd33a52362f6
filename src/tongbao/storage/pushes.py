"""The relay of pushes between processes: NOTIFY with a chunk of ids, LISTEN on the same spare connection.

What is to be told gathers while a NOTIFY is under way and goes out with the next one. Nothing here is kept: a push that
is lost, or told while the connection is away, costs its reader the moment until it looks by itself.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import structlog

from tongbao.domain.errors import StorageUnavailable
from tongbao.ports.store import Key
from tongbao.storage.database import Database
from tongbao.storage.failures import AWAY

log = structlog.get_logger()

CHANNEL = "tongbao_pushes"
PAYLOAD_BYTES_MAX = 7_900
"""PostgreSQL takes less than 8,000."""
WAITING_MAX = 20_000
RECONNECT_SECONDS = 1.0


def payloads(sender: str, keys: Iterable[Key]) -> Iterator[str]:
    """The sender's name, then `app payment` pairs, a line each; as many payloads as it takes."""
    lines, size = [sender], len(sender)
    for app_id, payment_id in keys:
        line = f"{app_id} {payment_id}"
        length = len(line.encode()) + 1
        if size + length > PAYLOAD_BYTES_MAX:
            yield "\n".join(lines)
            lines, size = [sender], len(sender)
        lines.append(line)
        size += length
    if len(lines) > 1:
        yield "\n".join(lines)


class PushRelay:
    """`name` tells this process's own notifications apart; `wake` is called with what others tell."""

    def __init__(self, database: Database, name: str, wake: Callable[[list[Key]], None]) -> None:
        self._database = database
        self._name = name
        self._wake = wake
        self._waiting: dict[Key, None] = {}
        self._more = asyncio.Event()
        self.listening = asyncio.Event()

    def relay(self, keys: list[Key]) -> None:
        """Tell the other processes; returns at once."""
        if len(self._waiting) < WAITING_MAX:
            self._waiting.update(dict.fromkeys(keys))
            self._more.set()

    async def run(self) -> None:
        """Listens and tells until it is cancelled; connects again by itself."""
        while True:
            try:
                async with self._database.connection() as connection:
                    await self._serve(connection)
            except StorageUnavailable:
                log.warning("push_relay_waits_for_database")
            self._waiting.clear()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _serve(self, connection: Any) -> None:
        def ended(_: object) -> None:
            self._more.set()

        connection.add_termination_listener(ended)
        try:
            await connection.add_listener(CHANNEL, self._received)
            self.listening.set()
            while not connection.is_closed():
                await self._more.wait()
                self._more.clear()
                await self._tell(connection)
        finally:
            self.listening.clear()
            connection.remove_termination_listener(ended)
            with suppress(*AWAY):
                await connection.remove_listener(CHANNEL, self._received)

    async def _tell(self, connection: Any) -> None:
        taken, self._waiting = self._waiting, {}
        for payload in payloads(self._name, taken):
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)

    def _received(self, _: object, __: int, ___: str, payload: str) -> None:
        sender, *lines = payload.split("\n")
        if sender != self._name:
            self._wake([(app_id, payment_id) for app_id, payment_id in (line.split(" ", 1) for line in lines)])
