"""WeChat Pay's package as a library: what importing it brings along, and that every parameter is explained."""

import inspect
import json
import re
import subprocess
import sys

import pytest

from tongbao.channels.wechatpay import WechatPayClient

NOT_NEEDED = {
    "aiohttp",
    "asyncpg",
    "httpcore2",
    "httpx2",
    "httptools",
    "jinja2",
    "msgspec",
    "prometheus_client",
    "segno",
    "starlette",
    "structlog",
    "tongsuopy",
    "typer",
    "uvicorn",
    "uvloop",
}


def test_importing_it_brings_no_server_and_no_http_library() -> None:
    code = "import json, sys, tongbao.channels.wechatpay; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    assert not NOT_NEEDED & set(loaded)
    assert "cryptography" in loaded


COMMON = {"self", "optional", "appid", "sub_mchid", "sub_appid", "more"}
"""Explained at the client."""


@pytest.mark.parametrize("name", [name for name in vars(WechatPayClient) if not name.startswith("_")])
def test_every_parameter_is_explained(name: str) -> None:
    """In the method's own words, or in those of the method that it refers to."""
    method = getattr(WechatPayClient, name)
    text = inspect.getdoc(method) or ""
    for other in re.findall(r"as\s+in\s+`(\w+)`", text):
        text += inspect.getdoc(getattr(WechatPayClient, other)) or ""
    taken = inspect.signature(method).parameters.keys() - COMMON
    assert text
    assert {parameter for parameter in taken if not re.search(rf"\b{parameter}\b", text)} == set()


@pytest.mark.parametrize("name", sorted(COMMON - {"self", "optional"}))
def test_what_many_methods_take_is_explained_at_the_client(name: str) -> None:
    assert re.search(rf"\b{name}\b", inspect.getdoc(WechatPayClient.__mro__[1]) or "")
