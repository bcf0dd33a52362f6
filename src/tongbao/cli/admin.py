"""Commands of the operator: apps and their keys, channel accounts, migrations, invariants."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tongbao.cli.output import BROKEN, Format, FormatOption, fail, plain, run, show, show_rows

if TYPE_CHECKING:
    from tongbao.bootstrap import App

apps = typer.Typer(help="Apps (a merchant's application, test or live) and their API keys.", no_args_is_help=True)
accounts = typer.Typer(help="Channel accounts: one merchant identity at a channel.", no_args_is_help=True)

AppOption = Annotated[str, typer.Option("--app", help="the app's id; needed when there is more than one")]


@asynccontextmanager
async def services() -> AsyncIterator["App"]:
    """The built services of the configured deployment."""
    from tongbao.bootstrap import build
    from tongbao.config import read_settings

    app = await build(read_settings())
    try:
        yield app
    finally:
        await app.close()


async def one_app(built: "App", app_id: str) -> str:
    """The named app, or the only one."""
    found = await built.accounts.list_apps()
    if app_id:
        return (await built.accounts.read_app(app_id)).id
    if len(found) != 1:
        fail(f"there are {len(found)} apps; choose one with --app (see: tongbao apps list)", 2)
    return found[0].id


@apps.command("create")
def create_app(
    name: Annotated[str, typer.Option(help="for people")],
    live: Annotated[bool, typer.Option("--live", help="real money; needs live mode")] = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Create an app; its API key is shown this once."""

    async def work() -> None:
        async with services() as built:
            if live and built.settings.mode != "live":
                fail("a live app needs live mode: set TONGBAO_MODE=live", 5)
            app, key = await built.accounts.create_app(name, livemode=live)
            show({"id": app.id, "name": app.name, "livemode": app.livemode, "api_key": key}, form)

    run(work())


@apps.command("list")
def list_apps(form: FormatOption = Format.TEXT) -> None:
    """List apps."""

    async def work() -> None:
        async with services() as built:
            show_rows(await built.accounts.list_apps(), ("id", "name", "livemode", "created_at"), form)

    run(work())


@apps.command("keys")
def list_keys(app: AppOption = "", form: FormatOption = Format.TEXT) -> None:
    """List an app's API keys by their last characters."""

    async def work() -> None:
        async with services() as built:
            keys = await built.accounts.list_keys(await one_app(built, app))
            show_rows(keys, ("id", "hint", "created_at", "revoked_at"), form)

    run(work())


@apps.command("add-key")
def add_key(app: AppOption = "", form: FormatOption = Format.TEXT) -> None:
    """Add an API key, shown this once; the old ones stay valid until revoked."""

    async def work() -> None:
        async with services() as built:
            found = await built.accounts.read_app(await one_app(built, app))
            key, secret = await built.accounts.create_key(found)
            show({"id": key.id, "api_key": secret}, form)

    run(work())


@apps.command("revoke-key")
def revoke_key(key_id: str, app: AppOption = "", form: FormatOption = Format.TEXT) -> None:
    """Revoke an API key; it stops working everywhere within 5 s."""

    async def work() -> None:
        async with services() as built:
            await built.accounts.revoke_key(await one_app(built, app), key_id)
            show({"id": key_id, "revoked": True}, form)

    run(work())


@accounts.command("list")
def list_accounts(app: AppOption = "", form: FormatOption = Format.TEXT) -> None:
    """List channel accounts; secrets are not shown."""

    async def work() -> None:
        async with services() as built:
            found = await built.accounts.list_accounts(await one_app(built, app))
            rows = [{**plain(account), "account": account.identity.account} for account in found]
            show_rows(rows, ("id", "channel", "name", "enabled", "account"), form)

    run(work())


@accounts.command("create")
def create_account(
    channel: Annotated[str, typer.Option(help="alipay, ...")],
    credentials: Annotated[Path, typer.Option(help="a JSON file with the credentials; see docs/guides/channels.md")],
    name: Annotated[str, typer.Option(help="for people")] = "main",
    app: AppOption = "",
    form: FormatOption = Format.TEXT,
) -> None:
    """Create a channel account from a credentials file."""
    import json

    try:
        given = json.loads(credentials.read_text())
    except (OSError, ValueError) as error:
        fail(f"{credentials}: {error}", 2)

    async def work() -> None:
        async with services() as built:
            found = await built.accounts.read_app(await one_app(built, app))
            account = await built.accounts.create_account(found, channel, name, given, {})
            notify_url = built.views.notify_url(account.id)
            show({"id": account.id, "account": account.identity.account, "notify_url": notify_url}, form)

    run(work())


@accounts.command("check")
def check_account(account_id: str, app: AppOption = "", form: FormatOption = Format.TEXT) -> None:
    """Ask the channel whether an account's credentials work."""

    async def work() -> bool:
        async with services() as built:
            findings = await built.accounts.check(await one_app(built, app), account_id)
            show_rows(findings, ("level", "code", "message", "advice"), form)
            return any(finding.level == "error" for finding in findings)

    if run(work()):
        raise typer.Exit(1)


@accounts.command("disable")
def disable_account(account_id: str, app: AppOption = "", form: FormatOption = Format.TEXT) -> None:
    """Take no new payments by this account; money under way is followed up."""
    _switch(account_id, app, form, enabled=False)


@accounts.command("enable")
def enable_account(account_id: str, app: AppOption = "", form: FormatOption = Format.TEXT) -> None:
    """Take payments by this account again."""
    _switch(account_id, app, form, enabled=True)


def _switch(account_id: str, app: str, form: Format, *, enabled: bool) -> None:
    async def work() -> None:
        async with services() as built:
            found = await built.accounts.read_app(await one_app(built, app))
            account = await built.accounts.update_account(found, account_id, enabled=enabled)
            show({"id": account.id, "name": account.name, "enabled": account.enabled}, form)

    run(work())


def migrate(form: FormatOption = Format.TEXT) -> None:
    """Bring the database's schema up to date."""

    async def work() -> None:
        from tongbao.bootstrap import connect
        from tongbao.config import read_settings

        database, close = await connect(read_settings())
        try:
            applied = await database.migrate()
            if form is Format.JSON:
                show({"applied": applied}, form)
            else:
                print("\n".join(applied) or "nothing to do")
        finally:
            await close()

    run(work())


def verify(form: FormatOption = Format.TEXT) -> None:
    """Check the invariants: nothing lost, nothing double, every fen accounted for. Exit 6 when one is broken."""

    async def work() -> bool:
        async with services() as built:
            found = await built.verify()
            rows = [row for broken in found.values() for row in broken]
            if form is Format.JSON:
                show({"ok": not rows, "rules": len(found), "broken": rows}, form)
                return not rows
            for rule, broken in found.items():
                print(f"{'ok    ' if not broken else 'BROKEN'}  {rule}")
                for row in broken:
                    print(f"        {row.app_id} {row.id}: {row.detail}")
            return not rows

    if not run(work()):
        raise typer.Exit(BROKEN)


def bench() -> None:
    """Measure durable payments a second on this machine (from a checkout: the benchmark is not installed)."""
    import importlib.util
    import sys

    sys.path.insert(0, ".")
    if importlib.util.find_spec("bench") is None:
        fail("the benchmark lies in the source checkout: git clone, then make bench", 2)
    import runpy

    runpy.run_module("bench", run_name="__main__")
