"""Verification keys that a channel rotates: fetched on demand, once, and not too often.

Single flight per account and serial, and at most one fetch per account and minute for serials that were not found, so
that a stranger who sends messages with invented serials cannot make us call the channel ten thousand times.
"""

import asyncio
from datetime import datetime, timedelta

from tongbao.ports import Clock
from tongbao.services.accounts import OpenAccount

PAUSE = timedelta(seconds=60)


class Keyring:
    """Fetches keys that messages name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: dict[str, asyncio.Task[None]] = {}
        self._fetched_at: dict[str, datetime] = {}

    async def fetch(self, opened: OpenAccount, serial: str) -> None:
        """Joins a fetch that runs already; does nothing when one ran within the last minute."""
        account_id = opened.account.id
        running = self._running.get(account_id)
        if running is None:
            now = self._clock.now()
            last = self._fetched_at.get(account_id)
            if last is not None and now - last < PAUSE:
                return
            self._fetched_at[account_id] = now
            running = asyncio.ensure_future(opened.channel.refresh_keys(serial))
            self._running[account_id] = running
            running.add_done_callback(lambda _: self._running.pop(account_id, None))
        await asyncio.shield(running)
