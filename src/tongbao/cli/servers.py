"""Several ASGI applications and the workers in one process, stopped together by SIGINT or SIGTERM."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from socket import create_server, socket
from typing import Any

import structlog
import uvicorn

from tongbao.bootstrap import App
from tongbao.cli.one_write import OneWriteProtocol
from tongbao.cli.output import fail
from tongbao.config import Settings
from tongbao.transport.origin import current
from tongbao.web.app import Gateway
from tongbao.workers import Workers

GC_THRESHOLDS = (50_000, 20, 50)
"""A batch holds thousands of short-lived objects at once; collecting at every 700 costs a sixth of the throughput."""
MASKED = frozenset({"authorization", "api_key", "secret", "credentials", "private_key", "master_key", "password"})


def configure_logs(settings: Settings) -> None:
    """One JSON object a line on stderr (or text), with secrets masked by name."""
    renderer: Any = (
        structlog.processors.JSONRenderer() if settings.log_format == "json" else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            name_origin,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _mask,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def name_origin(_: Any, __: str, event: Any) -> Any:
    """Which request a line is about, and the caller's trace."""
    if (origin := current()) is not None:
        event.setdefault("request_id", origin.request_id)
        if origin.traceparent:
            event.setdefault("trace_id", origin.trace_id)
    return event


def _mask(_: Any, __: str, event: Any) -> Any:
    for name in event:
        if name in MASKED:
            event[name] = "***"
    return event


class _Server(uvicorn.Server):
    """Leaves signals to us: several servers share one process."""

    def install_signal_handlers(self) -> None:
        return

    def capture_signals(self) -> Any:
        return nullcontext()


def listen(host: str, port: int) -> socket:
    """A listening socket; fails with advice when the port is taken."""
    try:
        return create_server((host, port), backlog=2048)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        fail(f"cannot listen on {host}:{port}: {why}. Is another one running? Choose another --port.", 4)


async def serve_until_stopped(
    apps: Sequence[tuple[Any, socket]], workers_of: App | None, trusted_proxies: Sequence[str] = ()
) -> None:
    """Returns after SIGINT or SIGTERM, when requests and jobs in flight are finished."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    servers = [_Server(server_config(app, trusted_proxies)) for app, _ in apps]
    tasks = [asyncio.create_task(server.serve(sockets=[sock])) for server, (_, sock) in zip(servers, apps, strict=True)]
    working = None
    if workers_of is not None:
        working = asyncio.create_task(Workers(workers_of, workers_of.ids.make("wrk")).run())
        tasks.append(working)
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for server, (app, _) in zip(servers, apps, strict=True):
        if isinstance(app, Gateway):
            app.stop()
        server.should_exit = True
    if working is not None:
        working.cancel()
    waiting.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


def server_config(app: Any, trusted_proxies: Sequence[str]) -> uvicorn.Config:
    """One application's server; what the trusted proxies say of the buyer's address is believed."""
    return uvicorn.Config(
        app,
        http=OneWriteProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        timeout_graceful_shutdown=5,
    )
