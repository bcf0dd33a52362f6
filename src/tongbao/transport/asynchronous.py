"""The real asynchronous transport: aiohttp, imported when the first request leaves."""

import asyncio
from typing import TYPE_CHECKING, Self

from tongbao.ports import Reply, Request
from tongbao.transport.origin import traced
from tongbao.transport.outcomes import BODY_BYTES_MAX, TOO_LARGE, checked, lower, maybe_sent, not_sent

if TYPE_CHECKING:
    import aiohttp

CONNECTIONS_MAX = 256


class AiohttpTransport:
    """The real asynchronous one. Make it and close it inside a running loop."""

    def __init__(self, *, connections_max: int = CONNECTIONS_MAX, body_bytes_max: int = BODY_BYTES_MAX) -> None:
        self._connections_max = connections_max
        self._body_bytes_max = body_bytes_max
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

        try:
            async with asyncio.timeout(request.timeouts.total_seconds):
                return await self._exchange(request)
        except (
            aiohttp.ConnectionTimeoutError,
            aiohttp.ClientConnectorError,
            aiohttp.InvalidURL,
            aiohttp.NonHttpUrlClientError,
        ) as error:
            raise not_sent(request.url, type(error).__name__) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise maybe_sent(request.url, type(error).__name__) from error

    async def _exchange(self, request: Request) -> Reply:
        import aiohttp  # noqa: PLC0415
        from yarl import URL  # noqa: PLC0415

        limits = request.timeouts
        connect = aiohttp.ClientTimeout(total=None, connect=limits.connect_seconds, sock_connect=limits.connect_seconds)
        async with asyncio.timeout(limits.connect_seconds + limits.headers_seconds):
            response = await self._open().request(
                request.method,
                checked(request.url, lambda: URL(request.url, encoded=True)),
                data=request.body or None,
                headers=traced(request.headers),
                timeout=connect,
                allow_redirects=False,
            )
        async with response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > self._body_bytes_max:
                    raise maybe_sent(request.url, TOO_LARGE)
            return Reply(response.status, lower(response.headers), bytes(body))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
