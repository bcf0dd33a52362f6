"""The gateway's doors in one ASGI application: `/v1`, `/notify`, checkout, health, metrics, documentation."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tongbao.bootstrap import App
from tongbao.transport.origin import act_for, act_for_nobody
from tongbao.web import checkout, docs, pages
from tongbao.web.door import Door, Receive, Scope, Send, answer_problem
from tongbao.web.notify import PREFIX, NotifyDoor
from tongbao.web.problems import MethodNotAllowed, NoSuchRoute
from tongbao.web.routes import ROUTES
from tongbao.web.stream import STREAM_ENDING, StreamDoor
from tongbao.web.watching import Watches

AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class Gateway:
    """Dispatches by the path's beginning; the two hot doors come before any framework."""

    def __init__(self, services: App, watches: Watches, others: AsgiApp) -> None:
        self._api = Door(services, ROUTES)
        self._notify = NotifyDoor(services)
        self._stream = StreamDoor(services, watches)
        self._others = others
        self._make_id = services.ids.make
        self.stop = watches.stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Every request has an id: in the scope, in the logs and on its answer."""
        request_id = scope["request_id"] = self._make_id("req")
        named = (b"request-id", request_id.encode())

        async def send_named(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), named]
            await send(message)

        token = act_for(request_id, _traceparent(scope))
        try:
            await self._door(scope["path"])(scope, receive, send_named)
        finally:
            act_for_nobody(token)

    def _door(self, path: str) -> AsgiApp:
        if path.startswith("/v1/"):
            return self._stream if path.endswith(STREAM_ENDING) else self._api
        return self._notify if path.startswith(PREFIX) else self._others


def _traceparent(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return bytes(value)
    return b""


async def _refused(request: Request, error: Exception) -> Response:
    """What the framework refuses, in the words of the house."""
    assert isinstance(error, HTTPException), "registered for these only"
    allowed = (error.headers or {}).get("Allow")
    problem = NoSuchRoute() if allowed is None else MethodNotAllowed(*allowed.split(", "))
    answer = answer_problem(problem, request.scope["request_id"])
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, answer.status, headers, answer.content_type.decode())


def build_gateway(services: App) -> Gateway:
    """The whole application over built services."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        ready = await services.ready()
        status = {"status": "ready"} if ready else {"status": "not_ready", "reason": "the database does not answer"}
        return JSONResponse(status, status_code=200 if ready else 503)

    async def metrics(_: Request) -> Response:
        return Response(services.metrics.text(), media_type=EXPOSITION)

    async def home(_: Request) -> Response:
        return RedirectResponse("/docs")

    watches = Watches(services)
    others = Starlette(
        routes=[
            Route("/", home),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            *checkout.routes(services, watches),
            *docs.routes(services),
            *pages.static_routes(),
        ],
        exception_handlers={404: _refused, 405: _refused},
    )
    return Gateway(services, watches, others)
