"""`tongbao demo`: everything on this machine in one process - PostgreSQL, gateway, workers, sandbox, and a shop.

Rule: what a first start makes, a second start finds: the same app, the same API key (in a file that only its owner can
read), the same channel accounts and webhook endpoint, moved along when the ports were changed. A channel that joined
since gets its account then.
"""

import asyncio
import os
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

from tongbao.cli.output import fail
from tongbao.cli.servers import listen

if TYPE_CHECKING:
    from tongbao.bootstrap import App as Services
    from tongbao.config import Settings
    from tongbao.domain.account import App
    from tongbao.simulators.app import Sandbox

HOST = "127.0.0.1"
NAME = "Demo shop"
FILE = "demo.json"
PORTS = 3
CREDENTIALS = {
    "alipay": {
        "gateway_url": "gateway_url",
        "app_id": "app_id",
        "seller_id": "seller_id",
        "alipay_public_key": "alipay_public_key",
        "private_key": "app_private_key_pkcs8_pem",
    },
    "wechatpay": {
        "gateway_url": "gateway_url",
        "mchid": "mchid",
        "appid": "appid",
        "merchant_private_key": "merchant_private_key",
        "merchant_serial": "merchant_serial",
        "apiv3_key": "apiv3_key",
        "public_key_id": "public_key_id",
        "public_key": "public_key",
    },
}
"""Channel -> our credential -> the sandbox's word for it."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the three are."""

    gateway: str
    sandbox: str
    shop: str


@dataclass(frozen=True, slots=True)
class Seeds:
    """What the file keeps. The secret of the webhook endpoint is shown once, so the shop must remember it."""

    api_key: str = ""
    endpoint_id: str = ""
    webhook_secret: str = ""


async def run_demo(port: int) -> None:
    """Runs until it is stopped; the data stays."""
    from tongbao.bootstrap import build
    from tongbao.cli.servers import configure_logs
    from tongbao.config import read_settings

    loop = asyncio.get_running_loop()
    began = loop.time()
    if not 1 <= port <= 65_535 - PORTS:
        fail(f"--port {port}: the demo needs three ports in a row", 2)
    settings = read_settings(
        mode="test", host=HOST, port=port, base_url=f"http://{HOST}:{port}", webhook_allowed_networks=("127.0.0.0/8",)
    )
    configure_logs(for_people(settings))
    sockets = [listen(HOST, number) for number in range(port, port + PORTS)]
    print("Starting PostgreSQL, gateway, workers, sandbox and shop ...", flush=True)
    services = await build(settings)
    try:
        await _serve(services, sockets, began)
    finally:
        await services.close()


def for_people(settings: "Settings") -> "Settings":
    """People watch this terminal: text, and only what went wrong."""
    import msgspec

    return msgspec.structs.replace(settings, log_level="warning", log_format="text")


async def _serve(services: "Services", sockets: list[socket], began: float) -> None:
    from tongbao.cli.servers import serve_until_stopped
    from tongbao.cli.shop.app import Gateway, Shop
    from tongbao.cli.shop.inbox import Inbox
    from tongbao.simulators import presence
    from tongbao.transport import AiohttpTransport
    from tongbao.web.app import build_gateway

    at = Addresses(*(f"http://{HOST}:{sock.getsockname()[1]}" for sock in sockets))
    home = services.settings.data_path
    async with AiohttpTransport() as transport:
        sandbox = _build_sandbox(services, transport, home)
        keeping_time = asyncio.create_task(sandbox.run())
        try:
            seeds = await seed(services, sandbox, at, home / FILE)
            shop = Shop(
                Gateway(transport, at.gateway, seeds.api_key),
                Inbox(seeds.webhook_secret),
                at.shop,
                now=services.clock.now,
                make_order_no=lambda: f"TEA-{services.clock.now():%y%m%d}-{services.ids.reference()[-8:]}",
            )
            presence.announce(home, at.sandbox, os.getpid())
            print(welcome(at, seeds, home, asyncio.get_running_loop().time() - began), flush=True)
            apps = [build_gateway(services), sandbox.asgi, shop.asgi]
            await serve_until_stopped(list(zip(apps, sockets, strict=True)), services)
        finally:
            presence.withdraw(home, os.getpid())
            keeping_time.cancel()
            await asyncio.gather(keeping_time, return_exceptions=True)
            sandbox.close()


def _build_sandbox(services: "Services", transport: Any, home: Path) -> "Sandbox":
    from tongbao.simulators.app import build_sandbox
    from tongbao.simulators.bank import chance_from

    chance = chance_from(services.ids.random_bytes)
    return build_sandbox(now=services.clock.now, chance=chance, transport=transport, data_dir=home / "sandbox")


# --- what the first start makes


async def seed(services: "Services", sandbox: "Sandbox", at: Addresses, path: Path) -> Seeds:
    """App and key, channel accounts, webhook endpoint: found, brought up to date, or made."""
    kept = _read(path)
    app, seeds = await _app(services, kept)
    if seeds != kept:
        _write(path, seeds)
    told = sandbox.accounts(at.sandbox)
    for channel, names in CREDENTIALS.items():
        facts = told[channel]
        assert isinstance(facts, dict), "the sandbox plays this channel"
        await _account(services, app, channel, {ours: str(facts[theirs]) for ours, theirs in names.items()})
    after = await _endpoint(services, app, f"{at.shop}/webhooks", seeds)
    if after != seeds:
        _write(path, after)
    return after


async def _app(services: "Services", kept: Seeds) -> "tuple[App, Seeds]":
    """The app of the kept key; else the demo's app with a new key, or a new app with the kept one."""
    accounts = services.accounts
    found = await accounts.app_by_key(kept.api_key.encode()) if kept.api_key else None
    if found is not None:
        return found, kept
    for app in await accounts.list_apps():
        if app.name == NAME and not app.livemode:
            _, key = await accounts.create_key(app)
            return app, replace(kept, api_key=key)
    app, key = await accounts.create_app(NAME, livemode=False)
    if kept.api_key:
        _, key = await accounts.create_key(app, kept.api_key)
    return app, replace(kept, api_key=key)


async def _account(services: "Services", app: "App", channel: str, credentials: dict[str, str]) -> None:
    """The account of a channel at this sandbox; its address and keys follow the sandbox's."""
    for account in await services.accounts.list_accounts(app.id):
        if account.channel == channel and account.name == NAME:
            if any(credentials[name] != value for name, value in account.credentials.items()):
                await services.accounts.update_account(app, account.id, credentials=credentials)
            return
    await services.accounts.create_account(app, channel, NAME, credentials, {})


async def _endpoint(services: "Services", app: "App", url: str, seeds: Seeds) -> Seeds:
    """The shop's webhook endpoint; made anew when the secret is not known any more."""
    from tongbao.domain.errors import NotFound

    if seeds.endpoint_id and seeds.webhook_secret:
        try:
            endpoint = await services.webhooks.read(app.id, seeds.endpoint_id)
        except NotFound:
            pass
        else:
            if endpoint.url != url:
                await services.webhooks.update(app, endpoint.id, url=url)
            return seeds
    endpoint, secret = await services.webhooks.create(app, url)
    return replace(seeds, endpoint_id=endpoint.id, webhook_secret=secret)


def _read(path: Path) -> Seeds:
    import msgspec

    try:
        return msgspec.json.decode(path.read_bytes(), type=Seeds)
    except FileNotFoundError:
        return Seeds()
    except (OSError, msgspec.MsgspecError) as error:
        fail(f"{path} cannot be read ({error}); move it away to begin anew", 5)


def _write(path: Path, seeds: Seeds) -> None:
    """Whole or not at all, and for its owner only."""
    import msgspec

    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.encode(seeds))
    fresh.replace(path)


# --- what is printed


def welcome(at: Addresses, seeds: Seeds, home: Path, seconds: float) -> str:
    """Addresses, key, and lines that work when they are pasted."""
    command = shlex.quote(sys.argv[0]) if sys.argv[0].endswith("tongbao") else "tongbao"
    order = '{"order_no": "DEMO_\'$(date +%s)\'", "amount": 9999, "currency": "CNY", "subject": "A course"}'
    return f"""
Ready after {seconds:.1f} s. Ctrl-C ends it; the data stays in {home}

  Shop       {at.shop}   buy something; its webhooks at /webhooks
  Gateway    {at.gateway}   API reference at /docs
  Sandbox    {at.sandbox}   the channels; the buyer's phone at /phone
  API key    {seeds.api_key}

Create a payment:

  curl -s {at.gateway}/v1/payments -H "Authorization: Bearer {seeds.api_key}" -H "Content-Type: application/json" \
-d '{order}'

Be the buyer, with the checkout_url of the answer:

  {command} sandbox pay "$CHECKOUT_URL" --method wechat_native
"""
