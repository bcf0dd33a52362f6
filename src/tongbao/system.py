"""The machine's clock and chance: the only module that reads them. Everybody else is handed a Clock or Ids.

Ids are time-ordered: 48 bits of milliseconds and 80 random bits in Crockford's base 32, 26 characters, which is also
the form of the merchant reference that every channel accepts.
"""

import os
import secrets
import time
from datetime import UTC, datetime, timedelta

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]


class SystemClock:
    """The machine's time plus a correction (the database's lead over this machine), so that leases agree."""

    def __init__(self) -> None:
        self.correction = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.correction

    def correct(self, true_now: datetime) -> None:
        """Take over another clock's reading; smaller steps than 1 ms are noise and ignored."""
        correction = true_now - datetime.now(UTC)
        if abs(correction - self.correction) > timedelta(milliseconds=1):
            self.correction = correction


class SystemIds:
    """Ids from the machine's time and `os.urandom`; monotonic within a millisecond by counting up."""

    def __init__(self) -> None:
        self._last = 0

    def _next(self) -> int:
        value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
        if value <= self._last:
            value = self._last + 1
        self._last = value
        return value

    def reference(self) -> str:
        value = self._next()
        pairs = _PAIRS
        return "".join([pairs[value >> shift & 1023] for shift in range(120, -1, -10)])

    def make(self, prefix: str) -> str:
        return f"{prefix}_{self.reference()}"

    def token(self, bytes_count: int = 16) -> str:
        return secrets.token_urlsafe(bytes_count)

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)
