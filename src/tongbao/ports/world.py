"""The outside world as protocols: time, chance, HTTP. What tests replace is exactly this."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time; the only thing that does."""

    def now(self) -> datetime:
        """An aware UTC instant."""
        ...


class Ids(Protocol):
    """Draws names; the only thing that does."""

    def make(self, prefix: str) -> str:
        """A time-ordered id with its kind in front: `pay_0191...`."""
        ...

    def reference(self) -> str:
        """A merchant reference: 26 characters [0-9A-Z], accepted by every channel, unique."""
        ...

    def token(self, bytes_count: int = 16) -> str:
        """An unguessable URL-safe token with `bytes_count` random bytes."""
        ...

    def random_bytes(self, count: int) -> bytes:
        """For keys and nonces."""
        ...


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Every call is bounded: to connect, until the response's headers, and in total."""

    connect_seconds: float = 5.0
    headers_seconds: float = 10.0
    total_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """One outbound HTTP request. The body is bytes: what was signed is what is sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    timeouts: Timeouts = Timeouts()


@dataclass(frozen=True, slots=True)
class Reply:
    """The raw answer; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Sends a request. Raises ChannelUnavailable when certainly nothing was sent (refused, connect timeout), and
    OutcomeUnknown for anything that goes wrong after the first byte."""

    async def send(self, request: Request) -> Reply: ...


class SyncTransport(Protocol):
    """The same for synchronous callers."""

    def send(self, request: Request) -> Reply: ...


@dataclass(frozen=True, slots=True)
class RawRequest:
    """An inbound HTTP request as it came: `query` is the raw query string, header names are lower-case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class RawResponse:
    """An answer in the channel's own words."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"


class Vault(Protocol):
    """Keeps secrets at rest. `context` (`table|row|column`) is authenticated with the value."""

    def seal(self, plain: bytes, context: str) -> bytes: ...

    def open(self, sealed: bytes, context: str) -> bytes: ...
