"""What happens by itself: deadlines, buyers who decide later, refunds that arrive.

Rule: a timer is only a reminder to look at a document again; whether anything is due says the document itself. They are
set anew from the documents when the sandbox starts, so they need not be kept.
"""

import heapq
from collections.abc import Callable
from datetime import datetime


class Timers:
    """Reminders by kind and key."""

    def __init__(self) -> None:
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

    def run(self, now: datetime) -> int:
        """Looks at everything whose time has come; returns how many reminders there were."""
        count = 0
        while self._heap and self._heap[0][0] <= now:
            _, kind, key = heapq.heappop(self._heap)
            self._kinds[kind](key)
            count += 1
        return count
