"""The gateway's doors in one ASGI application: `/v1`, `/notify`, checkout, health, metrics, documentation."""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tongbao.bootstrap import App
from tongbao.web import checkout, docs, pages
from tongbao.web.door import Door, Receive, Scope, Send
from tongbao.web.notify import PREFIX, NotifyDoor
from tongbao.web.routes import ROUTES
from tongbao.web.stream import STREAM_ENDING, StreamDoor
from tongbao.web.watching import Watches

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class Gateway:
    """Dispatches by the path's beginning; the two hot doors come before any framework."""

    def __init__(self, services: App, watches: Watches, others: Any) -> None:
        self._api = Door(services, ROUTES)
        self._notify = NotifyDoor(services)
        self._stream = StreamDoor(services, watches)
        self._others = others
        self.stop = watches.stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if path.startswith("/v1/"):
                door = self._stream if path.endswith(STREAM_ENDING) else self._api
                await door(scope, receive, send)
                return
            if path.startswith(PREFIX):
                await self._notify(scope, receive, send)
                return
        await self._others(scope, receive, send)


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

    watches = Watches(services)
    others = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            *checkout.routes(services, watches),
            *docs.routes(services),
            *pages.static_routes(),
        ]
    )
    return Gateway(services, watches, others)
