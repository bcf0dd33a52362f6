"""The way out: `send(Request) -> Reply`. Siblings chosen by argument: aiohttp, httpx2 (sync), in-process ASGI.

Translation of what can go wrong is one table for the whole house: refused, unresolved or no connection in time ->
ChannelUnavailable (nothing was sent); anything after the first byte was sent -> OutcomeUnknown. Redirects are never
followed, the environment's proxies are not trusted, bodies are bounded, connections are reused. HTTP libraries are
imported when the first transport is made, so that importing a channel stays cheap.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

from tongbao.domain.errors import ChannelUnavailable, OutcomeUnknown
from tongbao.ports import RawRequest, RawResponse, Reply, Request, SyncTransport, Timeouts, Transport

if TYPE_CHECKING:
    import aiohttp
    import httpx2

__all__ = [
    "AiohttpTransport",
    "AsgiTransport",
    "HttpxTransport",
    "RawRequest",
    "RawResponse",
    "Reply",
    "Request",
    "SyncTransport",
    "Timeouts",
    "Transport",
]

BODY_BYTES_MAX = 64 * 1024 * 1024
CONNECTIONS_MAX = 256

NOT_SENT = "The channel at {host} could not be reached ({why}); nothing was sent. Check address, network and proxy."
MAYBE_SENT = "The connection to {host} failed after the request was sent ({why}); it may have been executed. Query it."


def _not_sent(url: str, why: str) -> ChannelUnavailable:
    return ChannelUnavailable(NOT_SENT.format(host=urlsplit(url).netloc, why=why))


def _maybe_sent(url: str, why: str) -> OutcomeUnknown:
    return OutcomeUnknown(MAYBE_SENT.format(host=urlsplit(url).netloc, why=why))


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class AiohttpTransport:
    """The real asynchronous one. Make it and close it inside a running loop."""

    def __init__(self, *, connections_max: int = CONNECTIONS_MAX) -> None:
        self._connections_max = connections_max
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> "aiohttp.ClientSession":
        import aiohttp  # noqa: PLC0415 - start-up: only who sends pays for it

        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(limit=self._connections_max, ttl_dns_cache=30)
            self._session = aiohttp.ClientSession(
                connector=connector, trust_env=False, auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    async def send(self, request: Request) -> Reply:
        import aiohttp  # noqa: PLC0415
        from yarl import URL  # noqa: PLC0415

        session = self._open()
        limits = request.timeouts
        timeout = aiohttp.ClientTimeout(
            total=limits.total_seconds,
            connect=limits.connect_seconds,
            sock_connect=limits.connect_seconds,
            sock_read=limits.headers_seconds,
        )
        try:
            async with session.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body or None,
                headers=request.headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                body = await response.content.read(BODY_BYTES_MAX + 1)
                while len(body) <= BODY_BYTES_MAX and (more := await response.content.read(BODY_BYTES_MAX)):
                    body += more
                if len(body) > BODY_BYTES_MAX:
                    raise _maybe_sent(request.url, "the answer is larger than 64 MiB")
                return Reply(response.status, _lower(response.headers), body)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise _not_sent(request.url, type(error).__name__) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _maybe_sent(request.url, type(error).__name__) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class HttpxTransport:
    """The real synchronous one."""

    def __init__(self, *, connections_max: int = 100) -> None:
        self._connections_max = connections_max
        self._client: httpx2.Client | None = None

    def _open(self) -> "httpx2.Client":
        import httpx2  # noqa: PLC0415

        if self._client is None:
            limits = httpx2.Limits(max_connections=self._connections_max)
            self._client = httpx2.Client(trust_env=False, follow_redirects=False, limits=limits)
        return self._client

    def send(self, request: Request) -> Reply:
        import httpx2  # noqa: PLC0415

        client = self._open()
        limits = request.timeouts
        timeout = httpx2.Timeout(limits.headers_seconds, connect=limits.connect_seconds, pool=limits.connect_seconds)
        try:
            response = client.request(
                request.method,
                request.url,
                content=request.body or None,
                headers=dict(request.headers),
                timeout=timeout,
            )
        except (
            httpx2.ConnectError,
            httpx2.ConnectTimeout,
            httpx2.PoolTimeout,
            httpx2.UnsupportedProtocol,
            httpx2.InvalidURL,
        ) as error:
            raise _not_sent(request.url, type(error).__name__) from error
        except httpx2.HTTPError as error:
            raise _maybe_sent(request.url, type(error).__name__) from error
        return Reply(response.status_code, _lower(response.headers), response.content)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
                raise _not_sent(request.url, "no such in-process application")
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
            + [(name.lower().encode(), value.encode()) for name, value in request.headers.items()],
            "client": ("127.0.0.1", 0),
            "server": (parts.hostname or "", parts.port or 80),
        }
        try:
            async with asyncio.timeout(request.timeouts.total_seconds):
                return await _call(app, scope, request.body)
        except (TimeoutError, ConnectionError) as error:
            raise _maybe_sent(request.url, type(error).__name__) from error


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
