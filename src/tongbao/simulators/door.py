"""The doors of the channels as plain ASGI callables: read a request, ask for the answer, journal, answer - or not.

Rule: the journal is flushed before anything is sent. A lost answer is a real one: the connection is closed without a
byte, or held open until the caller gives up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tongbao.transport import RawRequest

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_BYTES_MAX = 1 << 20


class Ending(StrEnum):
    """How the exchange ends."""

    ANSWERED = "answered"
    DROPPED = "dropped"
    NEVER = "never"


class ConnectionDropped(ConnectionError):
    """The sandbox was told to lose this answer (seen by callers in the same process, who have no socket to lose)."""


@dataclass(slots=True)
class Answer:
    """What a channel answers; `delay_seconds` are real seconds."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ending: Ending = Ending.ANSWERED
    delay_seconds: float = 0.0


class Door:
    """The ASGI callable of one channel's door. `verbatim`: it wants any HTTP method, and the path as it was sent (not
    percent-decoded), because the channel signs that."""

    def __init__(
        self,
        answer: Callable[[RawRequest], Answer],
        flush: Callable[[], None],
        *,
        verbatim: bool = False,
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> None:
        self._answer = answer
        self._flush = flush
        self._verbatim = verbatim
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive, self._body_bytes_max)
        if body is None:
            answer = Answer(413)
        elif not self._verbatim and scope["method"] not in ("GET", "POST"):
            answer = Answer(405, {"allow": "GET, POST"})
        else:
            answer = self._answer(raw_request(scope, body, verbatim=self._verbatim))
            self._flush()
        if answer.delay_seconds:
            await asyncio.sleep(answer.delay_seconds)
        if answer.ending is Ending.ANSWERED:
            await _send(send, answer.status, answer.headers, answer.body)
        else:
            await _lose(answer.ending, receive, send)


def raw_request(scope: Scope, body: bytes, *, verbatim: bool = False) -> RawRequest:
    """The request as it came; a header that is repeated is joined by commas. `verbatim`: the path is not decoded."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    path = scope["raw_path"].partition(b"?")[0].decode("latin-1") if verbatim else scope["path"]
    return RawRequest(scope["method"], path, scope["query_string"].decode("latin-1"), headers, body)


async def _read(receive: Receive, bytes_max: int) -> bytes | None:
    chunks, size = [], 0
    while True:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > bytes_max:
            return None
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


async def _send(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    if status != 204:
        lines.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


async def _lose(ending: Ending, receive: Receive, send: Send) -> None:
    """Ends without an answer. uvicorn's `send` belongs to an object that knows its socket; otherwise it is an error."""
    while ending is Ending.NEVER and (await receive())["type"] != "http.disconnect":
        pass
    socket = getattr(getattr(send, "__self__", None), "transport", None)
    if socket is None:
        raise ConnectionDropped("the sandbox lost this answer on purpose")
    socket.abort()
    for _ in range(3):
        await asyncio.sleep(0)
