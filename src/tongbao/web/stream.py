"""`GET /v1/payments/{id}/stream?cs=...`: server-sent events for the buyer's page, opened by the page's token.

Each change of the status is one event whose id names what is shown, so a reader that comes back with `Last-Event-ID`
hears only what it does not show yet; one that shows the end already is told to stay away (204). Plain ASGI: an open
page is one coroutine and one waiting reader, and costs a few kilobytes.
"""

import asyncio
import contextlib
import re

from tongbao.bootstrap import App
from tongbao.domain.errors import TongbaoError
from tongbao.web.door import Receive, Scope, Send, answer_problem, send_answer
from tongbao.web.problems import MethodNotAllowed, NoSuchRoute
from tongbao.web.shown import Snapshot, StatusView
from tongbao.web.tokens import admit, token_in
from tongbao.web.watching import Watches, told

STREAM_ENDING = "/stream"
PATH = re.compile(r"^/v1/payments/([^/]+)/stream$")
PING_SECONDS = 15.0
RETRY = b"retry: 2000\n\n"
PING = b": ping\n\n"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"access-control-allow-origin", b"*"),
    (b"x-content-type-options", b"nosniff"),
]
NOTHING_MORE = 204


class StreamDoor:
    """Serves the streams."""

    def __init__(self, services: App, watches: Watches) -> None:
        self._services = services
        self._watches = watches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            snapshot = await self._admit(scope)
        except TongbaoError as error:
            await send_answer(send, answer_problem(error, scope["request_id"]))
            return
        shows = _last_event_id(scope)
        if snapshot.shown.final and shows == snapshot.shown.version:
            await send({"type": "http.response.start", "status": NOTHING_MORE, "headers": HEADERS[1:4]})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._stream(snapshot, shows, receive, send)

    async def _admit(self, scope: Scope) -> Snapshot:
        found = PATH.match(scope["path"])
        if found is None:
            raise NoSuchRoute
        admit(self._services.views, found[1], token_in(scope["query_string"]))
        if scope["method"] != "GET":
            raise MethodNotAllowed("GET")
        return await self._watches.look(found[1], 0.0)

    async def _stream(self, snapshot: Snapshot, shows: str, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": RETRY, "more_body": True})
        with contextlib.suppress(asyncio.CancelledError):  # the server stops: end in order, the page comes back
            await self._tell(snapshot, shows, receive, send)
        await send({"type": "http.response.body", "body": b""})

    async def _tell(self, snapshot: Snapshot, shows: str, receive: Receive, send: Send) -> None:
        with self._watches.page(snapshot) as (watch, woken):
            gone = asyncio.create_task(_until_gone(receive, woken))
            try:
                while not gone.done() and not self._watches.stopping:
                    shown = watch.shown
                    if shown.version != shows:
                        shows = shown.version
                        await send({"type": "http.response.body", "body": self._event(shown), "more_body": True})
                    if shown.final:
                        break
                    if not await _woken_within(woken, PING_SECONDS):
                        await send({"type": "http.response.body", "body": PING, "more_body": True})
            finally:
                gone.cancel()

    def _event(self, shown: StatusView) -> bytes:
        return b"id: %s\nevent: status\ndata: %s\n\n" % (shown.version.encode(), told(shown, self._services))


async def _until_gone(receive: Receive, woken: asyncio.Event) -> None:
    """Reads until the page closes the connection, then wakes its stream."""
    while (await receive())["type"] != "http.disconnect":
        continue
    woken.set()


async def _woken_within(woken: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await woken.wait()
        woken.clear()
        return True
    return False


def _last_event_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"last-event-id":
            return str(value.decode("latin-1"))
    return ""
