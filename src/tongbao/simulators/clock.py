"""One clock for the whole sandbox, which can be turned forward, and the compression of the notification schedules.

Rule: nobody in the simulators asks another clock. Time travels forward only; trades would otherwise be paid before
they were created.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import msgspec

from tongbao.simulators.journal import Journal, Shelf

COMPRESSION_MAX = 3600
AHEAD_SECONDS_MAX = 100 * 365 * 86_400


class ClockState(msgspec.Struct):
    """How far the sandbox's time is ahead of the machine's (seconds), and the schedule factor (1 to 3600)."""

    offset_seconds: float = 0.0
    compression: int = 1


class VirtualClock:
    """The machine's time plus an offset that survives a restart."""

    def __init__(self, now: Callable[[], datetime], journal: Journal) -> None:
        self.machine_now = now
        self._moment: datetime | None = None
        self._shelf = Shelf(journal, "clock", ClockState)
        self.state = self._shelf.get("clock") or self._shelf.put("clock", ClockState())

    def now(self) -> datetime:
        """An aware UTC instant of the sandbox."""
        return self._moment or self.machine_now() + timedelta(seconds=self.state.offset_seconds)

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        """Within, it is an earlier `moment`: what was due then, and is done only now, happened then."""
        before, self._moment = self._moment, min(moment, self.now())
        try:
            yield
        finally:
            self._moment = before

    def advance(self, seconds: float) -> datetime:
        """Turns the clock forward; raises ValueError for a step back, or for more than a century in all."""
        if not seconds >= 0:
            raise ValueError("time travels forward only")
        if self.state.offset_seconds + seconds > AHEAD_SECONDS_MAX:
            raise ValueError("the clock can be at most a hundred years ahead")
        self.state.offset_seconds += seconds
        self._shelf.put("clock", self.state)
        return self.now()

    def compress(self, factor: int) -> None:
        """Delays of the notification schedules are divided by `factor`; raises ValueError outside 1..3600."""
        if not 1 <= factor <= COMPRESSION_MAX:
            raise ValueError(f"the compression is a whole number from 1 to {COMPRESSION_MAX}")
        self.state.compression = factor
        self._shelf.put("clock", self.state)

    def compressed(self, seconds: float) -> timedelta:
        """A delay of a notification schedule, as long as it lasts in this sandbox."""
        return timedelta(seconds=seconds / self.state.compression)
