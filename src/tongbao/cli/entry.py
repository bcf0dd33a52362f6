"""`tongbao`: the command. Subcommands import what they need when they run, so that `--help` stays quick."""

from typing import Annotated

import typer

from tongbao.cli import admin, doctor, keys, money, running, sandbox

app = typer.Typer(
    help="Tongbao 通宝: one payment API for Alipay, WeChat Pay, UnionPay and Stripe that never loses a payment.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(running.demo)
app.command("serve")(running.serve)
app.command("work")(running.work)
app.add_typer(sandbox.app, name="sandbox")
app.command("migrate")(admin.migrate)
app.command("verify")(admin.verify)
app.command("bench")(admin.bench)
app.add_typer(doctor.app, name="doctor")
app.add_typer(keys.app, name="keys")
app.add_typer(admin.apps, name="apps")
app.add_typer(admin.accounts, name="accounts")
app.add_typer(money.payments, name="payments")
app.add_typer(money.refunds, name="refunds")
app.add_typer(money.events, name="events")


def _version(wanted: bool) -> None:
    if wanted:
        from tongbao import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """The gateway, its sandbox and its tools."""


def main() -> None:
    """Entry point of the installed command."""
    app()
