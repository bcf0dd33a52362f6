"""Commands that run until they are stopped: serve, work, demo."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tongbao.cli.output import fail, fail_with

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tongbao.config import Settings

Host = Annotated[str | None, typer.Option(help="address to listen on [TONGBAO_HOST]")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="port to listen on [TONGBAO_PORT]")]


def serve(
    host: Host = None,
    port: Port = None,
    workers: Annotated[bool, typer.Option("--workers/--no-workers", help="run the workers in this process too")] = True,
) -> None:
    """Serve the gateway: API, notifications, checkout; and the workers, unless told otherwise."""
    _run(_serve(_settings(host=host, port=port), workers))


def work() -> None:
    """Run the workers alone: ask again, expire, refund, deliver. Any number may run; they share by lease."""
    _run(_work(_settings()))


def demo(
    port: Annotated[int, typer.Option(help="the gateway's port; sandbox and shop take the two after it")] = 8000,
) -> None:
    """Everything on this machine: PostgreSQL, gateway, workers, sandbox, and a small shop to buy in."""
    from tongbao.cli.demo import run_demo

    _run(run_demo(port))


def _settings(**overrides: Any) -> "Settings":
    from tongbao.config import read_settings
    from tongbao.domain.errors import TongbaoError

    try:
        return read_settings(**overrides)
    except TongbaoError as error:
        fail_with(error)


def _run(main: "Coroutine[Any, Any, None]") -> None:
    import asyncio

    import uvloop

    from tongbao.domain.errors import TongbaoError

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except TongbaoError as error:
        fail_with(error)
    except OSError as error:
        fail(str(error), 4)


async def _serve(settings: "Settings", with_workers: bool) -> None:
    from tongbao.bootstrap import build
    from tongbao.cli.servers import configure_logs, listen, serve_until_stopped
    from tongbao.web.app import build_gateway

    configure_logs(settings)
    sock = listen(settings.host, settings.port)
    services = await build(settings, serves=True)
    try:
        print(f"tongbao gateway on {settings.public_url} ({settings.mode} mode), API reference at /docs", flush=True)
        served = [(build_gateway(services), sock)]
        await serve_until_stopped(served, services if with_workers else None, settings.trusted_proxies)
    finally:
        await services.close()


async def _work(settings: "Settings") -> None:
    from tongbao.bootstrap import build
    from tongbao.cli.servers import configure_logs, serve_until_stopped

    configure_logs(settings)
    services = await build(settings, serves=True)
    try:
        print("tongbao workers are running", flush=True)
        await serve_until_stopped([], services)
    finally:
        await services.close()
