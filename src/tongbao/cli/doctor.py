"""`tongbao doctor`: names the cause when a channel account does not work, with the next step. Needs no database.

Exit 0 when nothing is wrong, 1 when something is, 2 when the credentials file is not one.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tongbao.cli.output import Format, FormatOption, fail, run, show_rows

if TYPE_CHECKING:
    from tongbao.ports import Clock, Finding, Reply, Request

    Examine = Callable[[Mapping[str, str], Clock, str | None], Generator[Request, Reply, list[Finding]]]

app = typer.Typer(help="Find out why a channel account does not work.", no_args_is_help=True)

Credentials = Annotated[Path, typer.Option(help="a JSON file with the credentials, as for `tongbao accounts create`")]
NotifyUrl = Annotated[str | None, typer.Option(help="also try whether notifications can arrive here")]


@app.command("alipay")
def alipay(credentials: Credentials, notify_url: NotifyUrl = None, form: FormatOption = Format.TEXT) -> None:
    """Check keys, certificates, clock, addresses of an Alipay account."""
    from tongbao.channels.alipay.doctor import examine

    _report(examine, credentials, notify_url, form)


@app.command("wechatpay")
def wechatpay(credentials: Credentials, notify_url: NotifyUrl = None, form: FormatOption = Format.TEXT) -> None:
    """Check keys, serials, certificates, clock, addresses of a WeChat Pay account."""
    from tongbao.channels.wechatpay.doctor import examine

    _report(examine, credentials, notify_url, form)


def _read(path: Path) -> dict[str, str]:
    """The credentials by name; what is null is absent."""
    import json

    try:
        given: Any = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}", 2)
    if not isinstance(given, dict):
        fail(f"{path}: credentials are an object of texts, by name", 2)
    present = {name: value for name, value in given.items() if value is not None}
    for name, value in present.items():
        if not isinstance(value, str):
            fail(f"{path}: {name} is written as text, in quotes", 2)
    return present


def _report(examine: "Examine", credentials: Path, notify_url: str | None, form: Format) -> None:
    """Carries a channel's examination out and prints what it finds."""
    given = _read(credentials)

    async def work() -> "list[Finding]":
        from tongbao.channels.exchange import drive_awaiting
        from tongbao.system import SystemClock
        from tongbao.transport import AiohttpTransport

        async with AiohttpTransport() as transport:
            return await drive_awaiting(examine(given, SystemClock(), notify_url), transport)

    findings = run(work())
    if form is Format.JSON:
        show_rows(findings, (), form)
    else:
        _print(findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def _print(findings: "Sequence[Finding]") -> None:
    """Each finding with its advice below it."""
    for finding in findings:
        print(f"{finding.level:<8} {finding.code}\n         {finding.message}")
        if finding.advice:
            print(f"       → {finding.advice}")
