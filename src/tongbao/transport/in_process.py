"""A transport without a socket: requests go to ASGI applications in this process, byte for byte the same."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

from tongbao.ports import Reply, Request, Transport
from tongbao.transport.origin import traced
from tongbao.transport.outcomes import maybe_sent, not_sent

AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[dict[str, Any]]], Callable[[Any], Awaitable[None]]],
    Awaitable[None],
]


class AsgiTransport:
    """Sends to ASGI applications in this process, by host: no socket, same bytes. `apps` maps `host[:port]` to app."""

    def __init__(self, apps: Mapping[str, AsgiApp], otherwise: Transport | None = None) -> None:
        self._apps = dict(apps)
        self._otherwise = otherwise

    async def send(self, request: Request) -> Reply:
        parts = urlsplit(request.url)
        app = self._apps.get(parts.netloc)
        if app is None:
            if self._otherwise is None:
                raise not_sent(request.url, "no such in-process application")
            return await self._otherwise.send(request)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": parts.scheme,
            "path": unquote(parts.path) or "/",
            "raw_path": parts.path.encode() or b"/",
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(b"host", parts.netloc.encode())]
            + [(name.lower().encode(), value.encode()) for name, value in traced(request.headers).items()],
            "client": ("127.0.0.1", 0),
            "server": (parts.hostname or "", parts.port or 80),
        }
        try:
            async with asyncio.timeout(request.timeouts.total_seconds):
                return await _call(app, scope, request.body)
        except (TimeoutError, ConnectionError) as error:
            raise maybe_sent(request.url, type(error).__name__) from error


async def _call(app: AsgiApp, scope: MutableMapping[str, Any], body: bytes) -> Reply:
    chunks: list[bytes] = []
    start: dict[str, Any] = {}
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        elif message["type"] == "http.response.body":
            chunks.append(message.get("body", b""))

    await app(scope, receive, send)
    if not start:
        raise ConnectionError("the application closed the connection without an answer")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start.get("headers", [])}
    return Reply(start["status"], headers, b"".join(chunks))
