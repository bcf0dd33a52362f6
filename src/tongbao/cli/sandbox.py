"""`tongbao sandbox`: serves the offline sandbox, and is the buyer's hand and the fault switch of a running one.

Rule: what talks to a running sandbox finds it by `<data dir>/sandbox.json` and uses its HTTP API only. Exit 0 when done
(for `pay`: when paid), 1 with the reason on stderr when not; the other exit codes are those of every command.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from tongbao.cli.output import Format, FormatOption, fail

app = typer.Typer(help="The payment channels, played offline: no account, no network, no money.", no_args_is_help=False)
faults_app = typer.Typer(help="Switch faults of the running sandbox.", no_args_is_help=True)
clock_app = typer.Typer(help="Turn the running sandbox's clock forward.", no_args_is_help=True)
app.add_typer(faults_app, name="faults")
app.add_typer(clock_app, name="clock")

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8001

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where keys and trades are kept.")]


def _home(data_dir: Path | None) -> Path:
    from tongbao.config import data_dir as default

    return data_dir if data_dir is not None else default()


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = DEFAULT_HOST,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = DEFAULT_PORT,
    data_dir: DataDir = None,
    compress: Annotated[
        int | None, typer.Option(min=1, max=3600, help="Notification schedules run this much faster.")
    ] = None,
) -> None:
    """Serve the sandbox alone until interrupted."""
    if context.invoked_subcommand is not None:
        return
    import socket

    import uvloop

    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error.strerror}. Is another sandbox running? Try --port 0.", 4)
    with listener:
        uvloop.run(_serve(listener, host, _home(data_dir), compress))


async def _serve(listener: Any, host: str, home: Path, compress: int | None) -> None:
    import asyncio
    import signal

    import uvicorn

    from tongbao.simulators import presence
    from tongbao.transport import AiohttpTransport

    url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
    async with AiohttpTransport() as transport:
        sandbox = _open(home, transport)
        if compress:
            sandbox.bank.clock.compress(compress)
        config = uvicorn.Config(
            sandbox.asgi,
            log_level="warning",
            lifespan="off",
            access_log=False,
            timeout_graceful_shutdown=1,  # a connection that a fault leaves without an answer must not hold us
        )
        loop = asyncio.create_task(sandbox.run())
        presence.announce(home, url, os.getpid())
        for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn stops at them, then raises them again for us
            signal.signal(number, lambda *_: None)
        print(f"Sandbox   {url}\nPhone     {url}/phone\nAccounts  tongbao sandbox accounts --format json", flush=True)
        try:
            await uvicorn.Server(config).serve(sockets=[listener])
        finally:
            presence.withdraw(home, os.getpid())
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
            sandbox.close()


def _open(home: Path, transport: Any) -> Any:
    from tongbao.simulators.app import build_sandbox
    from tongbao.simulators.bank import chance_from
    from tongbao.simulators.journal import JournalBusy
    from tongbao.system import SystemClock, SystemIds

    chance = chance_from(SystemIds().random_bytes)
    try:
        return build_sandbox(now=SystemClock().now, chance=chance, transport=transport, data_dir=home / "sandbox")
    except JournalBusy as error:
        fail(f"{error}; stop it, or choose another --data-dir")


@app.command()
def pay(
    what: Annotated[str, typer.Argument(help="A redirect URL, a QR's content, or a checkout URL with --method.")],
    method: Annotated[str, typer.Option(help="On a checkout page: alipay_page, wechat_native, ...")] = "",
    decline: Annotated[bool, typer.Option("--decline", help="Open the cashier and refuse.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Walk away.")] = False,
    buyer: Annotated[str, typer.Option(help="User id or logon id of a seeded buyer.")] = "",
    data_dir: DataDir = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Be the buyer: pay (or decline, or walk away from) what the gateway or a client shows."""
    from tongbao.simulators.browser import Hand

    if decline and abandon:
        fail("--decline or --abandon, not both", 2)
    action = "decline" if decline else "leave" if abandon else "pay"
    url = _running(data_dir)
    with _transport() as transport:
        try:
            result = Hand(transport.send, url, buyer=buyer).pay(what, action=action, method=method)
        except Exception as error:  # whatever the network or a server did, the buyer has not paid
            fail(f"not paid: {error}")
    if form is Format.JSON:
        print(json.dumps({"outcome": result.outcome, "reason": result.reason, "steps": result.steps}))
    elif result.ok:
        print("paid")
    if not result.ok:
        fail(f"not paid: {result.reason}")


@app.command()
def accounts(data_dir: DataDir = None, form: FormatOption = Format.TEXT) -> None:
    """Addresses, ids and keys for any outside client; the same after every restart."""
    from tongbao.simulators import presence

    home = _home(data_dir)
    found = presence.find(home)
    shown = _asked(found.url, "GET", "/_sandbox/accounts", patient=True) if found else None
    if shown is None:
        sandbox = _open(home, None)
        shown = sandbox.accounts(f"http://{DEFAULT_HOST}:{DEFAULT_PORT}")
        sandbox.close()
    if form is Format.JSON:
        print(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    for channel, facts in shown.items():
        print(channel)
        for name, value in facts.items():
            if isinstance(value, str) and "\n" not in value and len(value) < 200:
                print(f"  {name:24} {value}")
    print("keys and everything else: --format json")


@faults_app.command("list")
def list_faults(data_dir: DataDir = None, form: FormatOption = Format.TEXT) -> None:
    """What is switched on, and all that can be."""
    told = _api(data_dir, "GET", "/_sandbox/faults")
    if form is Format.JSON:
        print(json.dumps(told, indent=2))
        return
    for rule in told["rules"]:
        scope = " ".join(f"{name}={rule[name]}" for name in ("channel", "merchant", "method") if rule[name])
        print(f"ON #{rule['id']} {rule['fault']} {scope} calls left: {rule['calls_left'] or 'until cleared'}")
    for fault in told["faults"]:
        print(f"{fault['fault']:28} {fault['stage']:13} {fault['description']}")


@faults_app.command("set")
def set_fault(
    fault: str,
    merchant: Annotated[str | None, typer.Option(help="App id; any when left away.")] = None,
    method: Annotated[str | None, typer.Option(help="The channel's API method; any when left away.")] = None,
    calls: Annotated[int, typer.Option(help="For the next N calls; 0 holds until cleared.")] = 1,
    argument: Annotated[float | None, typer.Option(help="The N in the fault's description.")] = None,
    data_dir: DataDir = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Switch a fault on."""
    order = {"fault": fault, "merchant": merchant, "method": method, "calls": calls or None, "argument": argument}
    rule = _api(data_dir, "POST", "/_sandbox/faults", order)
    print(json.dumps(rule) if form is Format.JSON else f"#{rule['id']} {rule['fault']} is on")


@faults_app.command("clear")
def clear_faults(
    rule: Annotated[str | None, typer.Argument(help="Its number; all when left away.")] = None,
    data_dir: DataDir = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Switch faults off."""
    told = _api(data_dir, "DELETE", f"/_sandbox/faults?id={rule}" if rule else "/_sandbox/faults")
    print(json.dumps(told) if form is Format.JSON else f"{told['cleared']} cleared")


@clock_app.command("show")
def show_clock(data_dir: DataDir = None, form: FormatOption = Format.TEXT) -> None:
    """The sandbox's time."""
    _print_clock(_api(data_dir, "GET", "/_sandbox/clock"), form)


@clock_app.command("advance")
def advance_clock(
    seconds: Annotated[float, typer.Argument(help="Seconds to turn it forward.")] = 0,
    compression: Annotated[int | None, typer.Option(help="Factor of the notification schedules, 1 to 3600.")] = None,
    data_dir: DataDir = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Turn the clock forward; what was due happens."""
    order = {"advance_seconds": seconds, "compression": compression}
    _print_clock(_api(data_dir, "POST", "/_sandbox/clock", order), form)


def _print_clock(told: Any, form: Format) -> None:
    if form is Format.JSON:
        print(json.dumps(told))
    else:
        print(f"{told['now']}  ahead {told['offset_seconds']:.0f} s  schedules x{told['compression']}")


# --- the running sandbox


def _running(data_dir: Path | None) -> str:
    from tongbao.simulators import presence

    home = _home(data_dir)
    found = presence.find(home)
    if found is None:
        fail(f"no running sandbox is announced in {home}; start one with 'tongbao sandbox' or 'tongbao demo'")
    return found.url


def _transport() -> Any:
    from tongbao.transport import HttpcoreTransport

    return HttpcoreTransport()


def _api(data_dir: Path | None, method: str, path: str, body: object = None) -> Any:
    url = _running(data_dir)
    told = _asked(url, method, path, body)
    if told is None:
        fail(f"the sandbox at {url} does not answer; was it stopped?")
    return told


def _asked(url: str, method: str, path: str, body: object = None, *, patient: bool = False) -> Any:
    """The JSON answer; None when the sandbox cannot be reached. A refusal ends the command."""
    from tongbao.transport import Request

    content = b"" if body is None else json.dumps(body).encode()
    with _transport() as transport:
        try:
            reply = transport.send(Request(method, url + path, {"content-type": "application/json"}, content))
        except Exception:  # unreachable in any way
            return None
    try:
        told = json.loads(reply.body)
    except ValueError:  # something else listens there
        return None
    if reply.status >= 400 and not patient:
        fail(told.get("error", f"HTTP {reply.status}"))
    return told if reply.status < 400 else None
