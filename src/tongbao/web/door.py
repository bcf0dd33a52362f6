"""The merchant's door: plain ASGI, one way through for every call - authentication, body, handler, errors.

A route is a row of a table (see routes.py); OpenAPI is printed from the same rows. The hottest calls run through
the very same functions, without a framework in front.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

import structlog

from tongbao.bootstrap import App
from tongbao.domain.account import App as MerchantApp
from tongbao.domain.errors import IdempotencyConflict, InvalidInput, TongbaoError
from tongbao.services.idempotency import Intent, after_the_first_write
from tongbao.services.views import encode_json
from tongbao.web.problems import (
    NOT_KEPT,
    RETRY_AFTER,
    RETRYABLE,
    Malformed,
    MethodNotAllowed,
    NoSuchRoute,
    TooLarge,
    Unauthorized,
    problem_of,
)

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_BYTES_MAX = 256 * 1024
KEY_CHARACTERS_MAX = 255
JSON = b"application/json"
PROBLEM = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, JSON text, and further headers."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = JSON


@dataclass(slots=True)
class Call:
    """One authenticated call. `params` come from the path, `query` from the query string."""

    services: App
    app: MerchantApp
    request_id: str
    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    intent: Intent | None


Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """`keeps` tells who looks after the idempotency key: the use case (True), or the door around it. `choices` are
    the query parameters that take one of a few words, `queries` the others."""

    method: str
    path: str
    handler: Handler
    summary: str
    takes: type | None = None
    gives: Any = None
    status: int = 200
    keeps: bool = False
    queries: Sequence[str] = ()
    choices: Mapping[str, type[StrEnum]] = field(default_factory=dict)
    pattern: re.Pattern[str] = field(init=False)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        object.__setattr__(self, "pattern", re.compile(f"^{expression}$"))
        object.__setattr__(self, "name", f"{self.method} {self.path}")


def answer_json(status: int, view: Any, *headers: tuple[bytes, bytes]) -> Answer:
    return Answer(status, encode_json(view), headers)


async def read_body(scope: Scope, receive: Receive, limit: int = BODY_BYTES_MAX) -> bytes:
    """The whole body; raises TooLarge as soon as it is known to be."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise TooLarge
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        if len(body) > limit:
            raise TooLarge
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise Malformed("the connection ended before the body did")
    if len(body) > limit:
        raise TooLarge
    return body


async def send_answer(send: Send, answer: Answer) -> None:
    """One answer, never cached."""
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-store"),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def answer_problem(error: TongbaoError, request_id: str) -> Answer:
    problem = problem_of(error, request_id)
    headers: list[tuple[bytes, bytes]] = []
    if problem.status in RETRY_AFTER:
        headers.append((b"retry-after", RETRY_AFTER[problem.status].encode()))
    if problem.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    return Answer(problem.status, encode_json(problem), tuple(headers), PROBLEM)


class Door:
    """Serves `/v1`."""

    def __init__(self, services: App, routes: Sequence[Route]) -> None:
        self._services = services
        self._routes = routes
        self._fixed = {(route.method, route.path): route for route in routes if "{" not in route.path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request_id = scope["request_id"]
        door = "unmatched"
        try:
            route, params = self._match(scope["method"], scope["path"])
            door = route.name
            answer = await self._answer(route, params, scope, receive, request_id)
        except TongbaoError as error:
            answer = answer_problem(error, request_id)
            if answer.status >= 500:
                log.error("request_failed", door=door, code=error.code, message=error.message)
        except Exception:
            log.exception("request_crashed", door=door)
            answer = answer_problem(TongbaoError(), request_id)
        await send_answer(send, answer)
        self._services.metrics.request(door, answer.status, time.perf_counter() - started)

    def _match(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed, {}
        allowed = []
        for route in self._routes:
            found = route.pattern.match(path)
            if found is None:
                continue
            if route.method == method:
                return route, found.groupdict()
            allowed.append(route.method)
        raise MethodNotAllowed(*allowed) if allowed else NoSuchRoute

    async def _answer(
        self, route: Route, params: Mapping[str, str], scope: Scope, receive: Receive, request_id: str
    ) -> Answer:
        token = key = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                token = value
            elif name == b"idempotency-key":
                key = value
        app = await self._authenticate(token)
        method, path = scope["method"], scope["path"]
        body = await read_body(scope, receive) if method != "GET" else b""
        query = scope["query_string"]
        call = Call(
            services=self._services,
            app=app,
            request_id=request_id,
            method=method,
            path=path,
            params=params,
            query=_query(query, route) if query else {},
            body=body,
            intent=_intent(key, method, path, body) if key is not None and method == "POST" else None,
        )
        if call.intent is None:
            return await route.handler(call)
        kept = self._refusal_kept if route.keeps else self._kept
        return await kept(route, call, call.intent)

    async def _authenticate(self, header: bytes | None) -> MerchantApp:
        if header is None or header[:7].lower() != b"bearer ":
            raise Unauthorized
        accounts = self._services.accounts
        token = header[7:].strip()
        app = accounts.app_kept(token) or await accounts.app_by_key(token)
        if app is None:
            raise Unauthorized
        return app

    async def _refusal_kept(self, route: Route, call: Call, intent: Intent) -> Answer:
        """The use case keeps its own answers, and gives the key back when it refuses; a final refusal is kept here."""
        try:
            return await route.handler(call)
        except TongbaoError as error:
            answer = answer_problem(error, call.request_id)
            if isinstance(error, IdempotencyConflict) or answer.status in NOT_KEPT or error.code in RETRYABLE:
                raise
        await self._services.idempotency.keep_refusal(call.app.id, intent, answer.status, answer.body.decode())
        return answer

    async def _kept(self, route: Route, call: Call, intent: Intent) -> Answer:
        """An idempotency key around a use case that does not know of keys."""
        idempotency, app_id = self._services.idempotency, call.app.id
        replay = await idempotency.begin(app_id, intent)
        if replay is not None:
            return Answer(replay.status, replay.body.encode(), (REPLAYED,), content_type_of(replay.status))
        try:
            answer = await route.handler(call)
        except TongbaoError as error:
            answer = answer_problem(error, call.request_id)
        except BaseException:
            await idempotency.forget(app_id, intent)
            raise
        with after_the_first_write():
            if answer.status in NOT_KEPT:
                await idempotency.forget(app_id, intent)
            else:
                await idempotency.keep(app_id, intent, answer.status, answer.body.decode())
        return answer


REPLAYED = (b"idempotent-replayed", b"true")


def content_type_of(status: int) -> bytes:
    return PROBLEM if status >= 400 else JSON


def _query(raw: bytes, route: Route) -> dict[str, str]:
    """Each parameter once, and only what the route knows."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise Malformed("the query string is not URL-encoded UTF-8") from None
    values: dict[str, str] = {}
    for name, value in pairs:
        if "\x00" in name or "\x00" in value:
            raise InvalidInput("a text may not contain NUL", param=name.replace("\x00", ""), code="invalid_text")
        if name in route.choices:
            _choose(name, value, route.choices[name])
        elif name not in route.queries:
            raise InvalidInput(f"unknown query parameter {name!r}", param=name, code="unknown_field")
        if values.setdefault(name, value) != value:
            raise InvalidInput(f"query parameter {name!r} is given twice", param=name)
    return values


def _choose(name: str, value: str, words: type[StrEnum]) -> None:
    if value not in list(words):
        raise InvalidInput(f"{name} is one of {', '.join(words)}", param=name)


def _intent(key: bytes, method: str, path: str, body: bytes) -> Intent:
    """Fingerprint: sha256 of method, path and raw body."""
    try:
        text = key.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidInput("an Idempotency-Key is ASCII text", param="Idempotency-Key") from None
    if not 1 <= len(text) <= KEY_CHARACTERS_MAX or not text.isprintable():
        raise InvalidInput("an Idempotency-Key has 1 to 255 printable characters", param="Idempotency-Key")
    digest = sha256(f"{method}\n{path}\n".encode())
    digest.update(body)
    return Intent(text, digest.digest())
