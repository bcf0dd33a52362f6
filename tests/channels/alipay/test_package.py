"""Alipay's package as a library: what importing it brings along, and one way of escaping that must equal another."""

import inspect
import json
import re
import subprocess
import sys
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.channels.alipay import AlipayClient
from tongbao.channels.alipay.requests import quoted

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
    "typer",
    "uvicorn",
    "uvloop",
}


def test_importing_it_brings_no_server_and_no_http_library() -> None:
    code = "import json, sys, tongbao.channels.alipay; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    assert not NOT_NEEDED & set(loaded)
    assert "cryptography" in loaded


COMMON = {"self", "optional", "notify_url", "app_auth_token", "more"}
"""Explained at the client."""


@pytest.mark.parametrize("name", [name for name in vars(AlipayClient) if not name.startswith("_")])
def test_every_parameter_is_explained(name: str) -> None:
    """In the method's own words, or in those of the method that it refers to."""
    method = getattr(AlipayClient, name)
    text = inspect.getdoc(method) or ""
    for other in re.findall(r"[Pp]arameters as in\s+`(\w+)`", text):
        text += inspect.getdoc(getattr(AlipayClient, other)) or ""
    taken = inspect.signature(method).parameters.keys() - COMMON
    assert text
    assert {parameter for parameter in taken if not re.search(rf"\b{parameter}\b", text)} == set()


@given(st.text(st.characters(codec="utf-8")))
def test_escaping_is_the_standard_librarys(text: str) -> None:
    assert quoted(text, "utf-8") == quote_plus(text)


@given(st.text(st.characters(codec="gbk")))
def test_escaping_in_gbk_is_the_standard_librarys(text: str) -> None:
    assert quoted(text, "gbk") == quote_plus(text, encoding="gbk")
