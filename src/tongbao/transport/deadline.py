"""httpcore2's sockets with a deadline over every step, so that a server that sends a byte every few seconds cannot hold
a thread for ever (a read timeout alone would let it). Imported when the first blocking request leaves.
"""

import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore2


class Deadline(threading.local):
    """When the calling thread's request must be over, on the monotonic clock."""

    at: float = float("inf")

    def left(self, timeout: float | None, error: type[Exception]) -> float:
        """The time that a step may take; raises `error` when there is none."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise error("deadline")
        return left if timeout is None else min(left, timeout)


class BoundedStream(httpcore2.NetworkStream):
    """A socket whose every step ends at the thread's deadline."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.left(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = self._deadline.left(timeout, httpcore2.ConnectTimeout)
        return BoundedStream(self._inner.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class BoundedBackend(httpcore2.NetworkBackend):
    """Opens such sockets."""

    def __init__(self, deadline: Deadline) -> None:
        self._inner = httpcore2.SyncBackend()
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        left = self._deadline.left(timeout, httpcore2.ConnectTimeout)
        return BoundedStream(self._inner.connect_tcp(host, port, left, local_address, socket_options), self._deadline)
