"""The real synchronous transport: httpcore2, imported when the first request leaves."""

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from tongbao.ports import Reply, Request
from tongbao.transport.origin import traced
from tongbao.transport.outcomes import BODY_BYTES_MAX, TOO_LARGE, checked, maybe_sent, not_sent

if TYPE_CHECKING:
    import httpcore2

    from tongbao.transport.deadline import Deadline

CONNECTIONS_MAX = 100


class HttpcoreTransport:
    """httpcore2 is the engine of httpx2; driven by itself it lets a deadline stand over every step. Share one between
    threads."""

    def __init__(self, *, connections_max: int = CONNECTIONS_MAX, body_bytes_max: int = BODY_BYTES_MAX) -> None:
        self._connections_max = connections_max
        self._body_bytes_max = body_bytes_max
        self._opening = threading.Lock()
        self._pool: tuple[httpcore2.ConnectionPool, Deadline] | None = None

    def _open(self) -> "tuple[httpcore2.ConnectionPool, Deadline]":
        import httpcore2  # noqa: PLC0415 - start-up: only who sends pays for it

        from tongbao.transport.deadline import BoundedBackend, Deadline  # noqa: PLC0415

        with self._opening:
            if self._pool is None:
                deadline = Deadline()
                backend = BoundedBackend(deadline)
                pool = httpcore2.ConnectionPool(
                    max_connections=self._connections_max, keepalive_expiry=15.0, network_backend=backend
                )
                self._pool = pool, deadline
            return self._pool

    def send(self, request: Request) -> Reply:
        import httpcore2  # noqa: PLC0415

        pool, deadline = self._open()
        try:
            return self._exchange(pool, deadline, request)
        except (
            httpcore2.ConnectError,
            httpcore2.ConnectTimeout,
            httpcore2.PoolTimeout,
            httpcore2.UnsupportedProtocol,
        ) as error:
            raise not_sent(request.url, type(error).__name__) from error
        except (
            httpcore2.NetworkError,
            httpcore2.TimeoutException,
            httpcore2.ProtocolError,
            OSError,
        ) as error:
            raise maybe_sent(request.url, type(error).__name__) from error
        finally:
            deadline.at = float("inf")

    def _exchange(self, pool: "httpcore2.ConnectionPool", deadline: "Deadline", request: Request) -> Reply:
        limits = request.timeouts
        started = time.monotonic()
        deadline.at = started + min(limits.connect_seconds + limits.headers_seconds, limits.total_seconds)
        host = checked(request.url, lambda: urlsplit(request.url).netloc.rpartition("@")[2].encode("ascii"))
        headers = {
            "host": host,
            **{name.lower(): value.encode("ascii") for name, value in traced(request.headers).items()},
        }
        if request.body or request.method not in ("GET", "HEAD"):
            headers["content-length"] = str(len(request.body)).encode()
        timeout = {
            "connect": limits.connect_seconds,
            "pool": limits.connect_seconds,
            "read": limits.total_seconds,
            "write": limits.headers_seconds,
        }
        with pool.stream(
            request.method,
            request.url,
            headers=[(name.encode(), value) for name, value in headers.items()],
            content=request.body,
            extensions={"timeout": timeout},
        ) as response:
            deadline.at = started + limits.total_seconds
            body = bytearray()
            for chunk in response.iter_stream():
                body += chunk
                if len(body) > self._body_bytes_max:
                    raise maybe_sent(request.url, TOO_LARGE)
            told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            return Reply(response.status, told, bytes(body))

    def close(self) -> None:
        with self._opening:
            if self._pool is not None:
                self._pool[0].close()
                self._pool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
