"""Time and chance for tests: a clock that stands until it is moved, and ids that are the same in every run."""

from datetime import UTC, datetime, timedelta

from tongbao.system import ALPHABET

START = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


class SimClock:
    """Stands still; `advance` moves it forward."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float = 0, **parts: float) -> datetime:
        """`advance(8)`, `advance(minutes=5)`; returns the new time."""
        self._now += timedelta(seconds=seconds, **parts)
        return self._now


class SimIds:
    """Counts: ids are ordered as they were made, and a test that failed fails again in the same way.

    `random_bytes` gives `chance` repeated; set it to steer jitter.
    """

    def __init__(self, start: int = 0) -> None:
        self._count = start
        self.chance = b"\x80"

    def reference(self) -> str:
        self._count += 1
        value, digits = self._count, ""
        while value:
            value, digit = divmod(value, len(ALPHABET))
            digits = ALPHABET[digit] + digits
        return digits.rjust(26, "0")

    def make(self, prefix: str) -> str:
        return f"{prefix}_{self.reference()}"

    def token(self, bytes_count: int = 16) -> str:
        return self.reference().lower()

    def random_bytes(self, count: int) -> bytes:
        self._count += 1
        drawn = self._count.to_bytes(4, "big")
        return (self.chance * count)[: max(0, count - 4)] + drawn if count >= 16 else (self.chance * count)[:count]
