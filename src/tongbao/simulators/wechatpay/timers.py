"""What happens by itself: deadlines, buyers who decide later, refunds that arrive.

Rule: a timer is only a reminder to look at a document again; whether anything is due says the document itself. They are
set anew from the documents when the sandbox starts, so they need not be kept. Each rings at its own moment, in order,
however far the clock was turned: a refund that was due yesterday arrived yesterday.
"""

import heapq
from collections.abc import Callable
from datetime import datetime

from tongbao.simulators.clock import VirtualClock


class Timers:
    """Reminders by kind and key."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._heap: list[tuple[datetime, str, str]] = []
        self._kinds: dict[str, Callable[[str], None]] = {}

    def on(self, kind: str, look: Callable[[str], None]) -> None:
        """`look(key)` looks at a document of this kind."""
        self._kinds[kind] = look

    def set(self, at: datetime | None, kind: str, key: str) -> None:
        if at is not None:
            heapq.heappush(self._heap, (at, kind, key))

    def next_due_at(self) -> datetime | None:
        return self._heap[0][0] if self._heap else None

    def run(self) -> int:
        """Looks at everything whose time has come; returns how many reminders there were."""
        count, now = 0, self._clock.now()
        while self._heap and self._heap[0][0] <= now:
            moment, kind, key = heapq.heappop(self._heap)
            with self._clock.at(moment):
                self._kinds[kind](key)
            count += 1
        return count
