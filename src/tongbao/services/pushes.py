"""Pushes: who waits for a payment to change is woken right after the commit.

A push carries no data, only "look again"; the reader reads the store. So a lost push costs a moment, never truth.
Other processes are told through `relay` (one NOTIFY of chunked ids), and look every second besides.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tongbao.ports.store import Key


class Pushes:
    """Wakes waiters by (app_id, payment_id)."""

    def __init__(self) -> None:
        self._waiters: dict[Key, set[asyncio.Event]] = {}
        self.relay: Callable[[list[Key]], None] | None = None
        self.listeners: list[Callable[[], None]] = []
        """Called at every change of any payment, here or in another process: there may be work."""

    def publish(self, keys: Iterable[Key]) -> None:
        """Wake the waiters of this process, and tell the others."""
        changed = list(keys)
        self.wake(changed)
        if changed and self.relay is not None:
            self.relay(changed)

    def wake(self, keys: Iterable[Key]) -> None:
        """Wake the waiters of this process only."""
        for listener in self.listeners:
            listener()
        if not self._waiters:
            return
        for key in keys:
            for event in self._waiters.get(key, ()):
                event.set()

    @contextmanager
    def waiting(self, key: Key) -> Iterator[asyncio.Event]:
        """An event that is set at each change of the payment; the waiter clears it."""
        event = asyncio.Event()
        self._waiters.setdefault(key, set()).add(event)
        try:
            yield event
        finally:
            waiters = self._waiters[key]
            waiters.discard(event)
            if not waiters:
                del self._waiters[key]

    @property
    def open_pages(self) -> int:
        return sum(len(waiters) for waiters in self._waiters.values())
