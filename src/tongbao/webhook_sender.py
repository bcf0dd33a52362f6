"""Outbound POST to merchants' webhook endpoints: the only place where a stranger chooses whom we connect to.

Rule 1: the address is judged three times, each alone sufficient: a literal host before anything happens, every answer
of the resolver (one bad answer refuses the host), and the socket's own address just before it connects. What was
judged is what is connected to: there is no second resolution between, and no proxy of the environment.
Rule 2: nothing of the receiver gets in: redirects are not followed, cookies not kept, the body is read up to 64 kB to
reuse the connection and thrown away.
Rule 3: the merchant's faults are values (`WebhookResult.error`), never exceptions.
"""

import asyncio
import contextlib
import math
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import Context
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tongbao.domain.address_guard import Address, Network, is_refused, networks_from, read_address, vet_url
from tongbao.domain.errors import InvalidInput
from tongbao.domain.webhook import WebhookError, WebhookResult

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host name, as texts; raises OSError when there are none."""

TIMEOUT_SECONDS = 15.0
CONNECT_TIMEOUT_SECONDS = 5.0
BODY_BYTES_MAX = 64 * 1024
LOOKUPS_MAX = 64
IDLE_SECONDS = 2.0
"""Connections are reused only this long: servers close idle ones from 5 s on, and a POST into a closing connection is
a wasted try."""

_OWN_HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "Tongbao-Webhooks/1",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}


class AddressRefused(OSError):
    """The host leads to an address that is not globally routable."""


# What can interrupt a try, from the special to the general: the first that matches names the error.
_ERROR_FROM_EXCEPTION: tuple[tuple[type[BaseException], WebhookError], ...] = (
    (AddressRefused, WebhookError.REFUSED_ADDRESS),
    (TimeoutError, WebhookError.TIMEOUT),
    (aiohttp.ClientConnectorDNSError, WebhookError.RESOLVE_FAILED),
    (aiohttp.ClientConnectorCertificateError, WebhookError.TLS_FAILED),
    (aiohttp.ClientSSLError, WebhookError.TLS_FAILED),
    (ssl.SSLError, WebhookError.TLS_FAILED),
    (aiohttp.ClientConnectorError, WebhookError.CONNECT_FAILED),
    (aiohttp.InvalidURL, WebhookError.INVALID_URL),
    (aiohttp.ClientError, WebhookError.BAD_ANSWER),
    (OSError, WebhookError.BAD_ANSWER),
)


def error_from(error: BaseException) -> WebhookError:
    """The name of what interrupted a try; the cause that aiohttp wraps counts before its wrapper."""
    inner = getattr(error, "os_error", None)
    chain = (inner, error) if isinstance(inner, AddressRefused) else (error,)
    return next(code for cause in chain for kind, code in _ERROR_FROM_EXCEPTION if isinstance(cause, kind))


def read_retry_after(value: str | None, now: datetime) -> int | None:
    """Seconds to wait, from `Retry-After` in either form (`120`, or an HTTP date); None when absent or unreadable."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0, math.ceil((at - now).total_seconds()))


class Lookups:
    """The system's resolver, in threads of our own; those who ask for one host at the same time share an answer.

    The event loop's resolver has four threads, and every connect of the process goes through them: merchants' name
    servers that are slow to answer would hold up the calls to channels.
    """

    def __init__(
        self, look_up: Callable[..., Sequence[Any]] = socket.getaddrinfo, at_once_max: int = LOOKUPS_MAX
    ) -> None:
        self._look_up = look_up
        self._room = asyncio.Semaphore(at_once_max)
        self._flights: dict[tuple[str, int], asyncio.Task[list[str]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        flight = self._flights.get((host, port))
        if flight is None:
            flight = self._flights[host, port] = asyncio.create_task(self._fly(host, port), context=Context())
            flight.add_done_callback(lambda done: self._landed((host, port), done))
        return await asyncio.shield(flight)

    def _landed(self, key: tuple[str, int], flight: "asyncio.Task[list[str]]") -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # nobody may be waiting any more

    async def _fly(self, host: str, port: int) -> list[str]:
        async with self._room:
            loop = asyncio.get_running_loop()
            found: asyncio.Future[Sequence[Any]] = loop.create_future()
            threading.Thread(target=self._ask, args=(host, port, loop, found), daemon=True).start()
            return [str(answer[4][0]) for answer in await found]

    def _ask(
        self, host: str, port: int, loop: asyncio.AbstractEventLoop, found: "asyncio.Future[Sequence[Any]]"
    ) -> None:
        """In a thread that holds up nobody, the end of the process neither."""
        try:
            settle = partial(found.set_result, self._look_up(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            settle = partial(found.set_exception, OSError(f"{host} cannot be looked up: {error}"))
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(lambda: found.done() or settle())


class _VettedResolver(AbstractResolver):
    """Resolves once and judges every answer; aiohttp connects to exactly what is returned here."""

    def __init__(self, resolver: Resolver, allowed: tuple[Network, ...]) -> None:
        self._resolver = resolver
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        texts = list(dict.fromkeys(await self._resolver(host, port)))
        if not texts:
            raise OSError(f"{host} has no address")
        addresses = [read_address(text) for text in texts]
        if any(address is None or is_refused(address, self._allowed) for address in addresses):
            raise AddressRefused(f"{host} resolves to an address that is not globally routable")
        return [self._answer(host, port, address) for address in addresses if address is not None]

    @staticmethod
    def _answer(host: str, port: int, address: Address) -> ResolveResult:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return ResolveResult(hostname=host, host=str(address), port=port, family=family, proto=0, flags=flags)

    async def close(self) -> None:
        """Nothing is held."""


class WebhookSender:
    """Sends webhooks. One for the process: it reuses connections. Make and close it inside a running loop.

    `allowed_networks` are CIDRs that the operator allows although they are not globally routable (the demo allows
    127.0.0.0/8). `resolver` replaces the system's, `tls` its certificate authorities.
    """

    def __init__(
        self,
        *,
        allowed_networks: Iterable[str | Network] = (),
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._allowed = networks_from(allowed_networks)
        self._resolver = resolver or Lookups()
        self._tls = tls
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_seconds,
            sock_connect=min(CONNECT_TIMEOUT_SECONDS, timeout_seconds),
            ceil_threshold=60,
        )
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, url: str, headers: Mapping[str, str], body: bytes, *, livemode: bool, now: datetime
    ) -> WebhookResult:
        """POST `body` with the signed `headers`. `now` (aware) reads a Retry-After that is a date."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        status: int | None = None
        retry_after: int | None = None
        error: WebhookError | None = None
        try:
            target = vet_url(url, livemode=livemode, allowed=self._allowed)
            async with self._open().post(
                URL(target.url, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
                retry_after = read_retry_after(response.headers.get("Retry-After"), now)
                error = await _finish(response)
        except InvalidInput as refused:
            error = WebhookError(refused.code)
        except (aiohttp.ClientError, OSError) as interrupted:
            error = error_from(interrupted)
        return WebhookResult(status, error, retry_after, int((loop.time() - started) * 1000))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(
                resolver=_VettedResolver(self._resolver, self._allowed),
                socket_factory=self._socket,
                ssl=self._tls or True,
                use_dns_cache=False,
                keepalive_timeout=IDLE_SECONDS,
                limit=0,  # the workers bound how many are under way
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_OWN_HEADERS,
                timeout=self._timeout,
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, peer = info
        address = read_address(str(peer[0]))
        if address is None or is_refused(address, self._allowed):
            raise AddressRefused(f"{peer[0]} is not a globally routable address")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Closes the idle connections; the next `send` opens anew."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _finish(response: aiohttp.ClientResponse) -> WebhookError | None:
    """Reads the body away so that the connection can be reused; a long one costs the connection, not our memory."""
    if 300 <= response.status < 400:
        response.close()
        return WebhookError.REDIRECT
    left = BODY_BYTES_MAX
    while chunk := await response.content.read(left + 1):
        left -= len(chunk)
        if left < 0:
            response.close()
            return WebhookError.TOO_LARGE
    return None
