"""The machine's clock and chance: the only module that reads them. Everybody else is handed a Clock or Ids.

Ids are time-ordered: 48 bits of milliseconds and 80 random bits in Crockford's base 32, 26 characters, which is also
the form of the merchant reference that every channel accepts.
"""

import os
import secrets
import time
from datetime import UTC, datetime, timedelta

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
DRAWN_BYTES = 4000
_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]


class SystemClock:
    """The machine's time plus a correction (the database's lead over this machine), so that leases agree."""

    def __init__(self) -> None:
        self.correction = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.correction if self.correction else datetime.now(UTC)

    def correct(self, true_now: datetime) -> None:
        """Take over another clock's reading; smaller steps than 10 ms are the network's noise and ignored."""
        correction = true_now - datetime.now(UTC)
        if abs(correction - self.correction) > timedelta(milliseconds=10):
            self.correction = correction


class SystemIds:
    """Ids from the machine's time and its random source, which is drawn from in larger pieces.

    Monotonic: within a millisecond, or when the clock steps back, the last id is counted up.
    """

    def __init__(self) -> None:
        self._last = 0
        self._drawn = b""
        self._at = 0
        self._millisecond = 0
        self._head = ""

    def _random_80(self) -> int:
        at = self._at
        if at >= len(self._drawn):
            self._drawn, at = os.urandom(DRAWN_BYTES), 0
        self._at = at + 10
        return int.from_bytes(self._drawn[at : at + 10], "big")

    def reference(self) -> str:
        value = (time.time_ns() // 1_000_000) << 80 | self._random_80()
        if value <= self._last:
            value = self._last + 1
        self._last = value
        pairs, head = _PAIRS, value >> 80
        if head != self._millisecond:
            self._millisecond = head
            self._head = "".join([pairs[head >> shift & 1023] for shift in (40, 30, 20, 10, 0)])
        return (
            self._head
            + pairs[value >> 70 & 1023]
            + pairs[value >> 60 & 1023]
            + pairs[value >> 50 & 1023]
            + pairs[value >> 40 & 1023]
            + pairs[value >> 30 & 1023]
            + pairs[value >> 20 & 1023]
            + pairs[value >> 10 & 1023]
            + pairs[value & 1023]
        )

    def make(self, prefix: str) -> str:
        return f"{prefix}_{self.reference()}"

    def token(self, bytes_count: int = 16) -> str:
        return secrets.token_urlsafe(bytes_count)

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)
