"""The command: quick help, JSON for programs, errors on stderr with an exit code."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tongbao.cli.entry import app

SERVER_PACKAGES = ("starlette", "uvicorn", "asyncpg", "aiohttp", "jinja2", "msgspec", "cryptography", "structlog")


def tongbao(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tongbao", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_imports_no_server_package() -> None:
    """What makes `--help` quick, counted instead of timed."""
    program = f"import sys, tongbao.cli.entry; print([n for n in {SERVER_PACKAGES!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


COMMANDS = "demo serve work sandbox migrate keys apps accounts payments refunds events verify bench doctor"


@pytest.mark.parametrize("command", COMMANDS.split())
def test_every_command_has_help(command: str) -> None:
    done = tongbao(command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


RUNNING = {"demo", "serve", "work", "bench"}
"""They run until they are stopped, or print what a program of their own prints."""


def leaves(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, child in getattr(command, "commands", {}).items():
        yield from leaves(child, f"{path} {name}".strip())
    if not hasattr(command, "commands"):
        yield path, command


def test_every_command_prints_for_programs_too() -> None:
    mute = [
        path
        for path, command in leaves(typer.main.get_command(app))
        if all("--format" not in option.opts for option in command.params)
    ]
    assert set(mute) == RUNNING


def test_apps_payments_and_verify(database_url: str, tmp_path: Path) -> None:
    environ = {"TONGBAO_DATABASE_URL": database_url, "TONGBAO_DATA_DIR": str(tmp_path)}
    done = tongbao("apps", "create", "--name", "shop", "--format", "json", **environ)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["api_key"].startswith("sk_test_")
    assert json.loads(tongbao("payments", "list", "--format", "json", **environ).stdout) == []
    done = tongbao("payments", "show", "pay_none", **environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no payment pay_none [not_found]" in done.stderr
    done = tongbao("apps", "create", "--name", "real", "--live", **environ)
    assert (done.returncode, "live mode" in done.stderr) == (5, True)
    done = tongbao("verify", "--format", "json", **environ)
    assert done.returncode == 0
    assert json.loads(done.stdout)["ok"] is True


def test_errors_have_their_exit_codes(tmp_path: Path) -> None:
    done = tongbao("serve", TONGBAO_PORT="many")
    assert (done.returncode, done.stdout) == (5, "")
    done = tongbao(
        "payments", "list", TONGBAO_DATABASE_URL="postgresql://127.0.0.1:1/none", TONGBAO_DATA_DIR=str(tmp_path)
    )
    assert done.returncode == 4
    assert tongbao("keys", "generate", "cowrie").returncode == 2
    pay = ("sandbox", "pay", "https://qr.alipay.com/x", "--data-dir", str(tmp_path))
    assert tongbao(*pay, "--decline", "--abandon").returncode == 2
    assert tongbao(*pay, "--format", "xml").returncode == 2
    done = tongbao("payments", "list", "--status", "paid")
    assert (done.returncode, "succeeded" in done.stderr) == (2, True)
    done = tongbao(*pay)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tongbao: no running sandbox")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert tongbao("sandbox", "--port", port, "--data-dir", str(tmp_path)).returncode == 4
        assert tongbao("serve", "--port", port, TONGBAO_DATA_DIR=str(tmp_path)).returncode == 4


def test_keys_are_what_openssl_says_they_are(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    done = tongbao("keys", "generate", "rsa", "--out", str(path), "--format", "json")
    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    judged = subprocess.run(["openssl", "rsa", "-in", str(path), "-pubout"], capture_output=True, text=True, check=True)
    assert judged.stdout == json.loads(done.stdout)["public_key_pem"]
    assert tongbao("keys", "generate", "rsa", "--out", str(path)).returncode == 1, "a private key is not overwritten"
    request = tongbao("keys", "csr", str(path), "--common-name", "shop")
    verified = subprocess.run(
        ["openssl", "req", "-verify", "-noout", "-subject"], input=request.stdout, capture_output=True, text=True
    )
    assert verified.returncode == 0
    assert "CN" in verified.stdout
    shown = tongbao("keys", "inspect", str(path), "--format", "json")
    assert json.loads(shown.stdout)["bits"] == 2048
    assert "PRIVATE" not in shown.stdout
