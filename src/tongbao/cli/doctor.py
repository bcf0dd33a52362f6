"""`tongbao doctor`: names the cause when a channel account does not work, with the next step. Needs no database.

Exit 0 when nothing is wrong, 1 when something is.
"""

from pathlib import Path
from typing import Annotated

import typer

from tongbao.cli.output import Format, FormatOption, fail, run, show_rows

app = typer.Typer(help="Find out why a channel account does not work.", no_args_is_help=True)

Credentials = Annotated[Path, typer.Option(help="a JSON file with the credentials, as for `tongbao accounts create`")]
NotifyUrl = Annotated[str | None, typer.Option(help="also try whether notifications can arrive here")]


@app.command("alipay")
def alipay(credentials: Credentials, notify_url: NotifyUrl = None, form: FormatOption = Format.TEXT) -> None:
    """Check keys, certificates, clock, addresses of an Alipay account."""
    import json

    try:
        given = json.loads(credentials.read_text())
    except (OSError, ValueError) as error:
        fail(f"{credentials}: {error}", 2)

    async def work() -> bool:
        from tongbao.channels.alipay.doctor import examine
        from tongbao.channels.exchange import drive_awaiting
        from tongbao.system import SystemClock
        from tongbao.transport import AiohttpTransport

        async with AiohttpTransport() as transport:
            findings = await drive_awaiting(examine(given, SystemClock(), notify_url), transport)
        show_rows(findings, ("level", "code", "message", "advice"), form)
        return any(finding.level == "error" for finding in findings)

    if run(work()):
        raise typer.Exit(1)
