"""`tongbao keys`: make and look at keys. Private keys are written 0600 and never printed unless asked for."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tongbao.cli.output import Format, FormatOption, fail, show

app = typer.Typer(help="Make and look at keys and certificates.", no_args_is_help=True)


@app.command("generate")
def generate(
    kind: Annotated[str, typer.Argument(help="rsa: a key pair for a channel; kek: a key-encryption key")],
    out: Annotated[Path | None, typer.Option(help="rsa: where the private key is written (PKCS#8 PEM)")] = None,
    bits: Annotated[int, typer.Option(min=2048, max=8192)] = 2048,
    form: FormatOption = Format.TEXT,
) -> None:
    """Make a key."""
    import base64

    from tongbao.crypto import RsaPrivateKey
    from tongbao.system import SystemIds

    if kind == "kek":
        show({"master_key": base64.b64encode(SystemIds().random_bytes(32)).decode()}, form)
        return
    if kind != "rsa":
        fail(f"unknown kind {kind!r}: rsa or kek", 2)
    key = RsaPrivateKey.generate(bits)
    path = out or Path("private_key.pem")
    _write_private(path, key.pem_pkcs8())
    public = key.public()
    show({"private_key_file": str(path), "public_key": public.bare(), "public_key_pem": public.pem()}, form)


@app.command("csr")
def csr(
    key: Annotated[Path, typer.Argument(help="the private key's file")],
    common_name: Annotated[str, typer.Option(help="CN, for example the merchant's name")],
    organization: Annotated[str, typer.Option(help="O")] = "",
    form: FormatOption = Format.TEXT,
) -> None:
    """Print a certificate signing request (PEM, SHA-256) for an RSA key."""
    from tongbao.cli.key_files import certificate_request
    from tongbao.crypto import KeyUnreadable, RsaPrivateKey

    try:
        request = certificate_request(RsaPrivateKey.load(key), common_name, organization)
    except (KeyUnreadable, OSError) as error:
        fail(str(error))
    if form is Format.JSON:
        show({"certificate_request": request}, form)
    else:
        print(request, end="")


@app.command("inspect")
def inspect(
    path: Annotated[Path, typer.Argument(help="a key or certificate file in any form")],
    form: FormatOption = Format.TEXT,
) -> None:
    """Tell what a file holds: kind, size, serials, validity. Never prints a private key."""
    from tongbao.cli.key_files import describe
    from tongbao.crypto import KeyUnreadable

    try:
        show(describe(path), form)
    except (KeyUnreadable, OSError) as error:
        fail(str(error))


def _write_private(path: Path, text: str) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        fail(f"{path} exists; a private key is never overwritten")
    with os.fdopen(handle, "w") as file:
        file.write(text)
