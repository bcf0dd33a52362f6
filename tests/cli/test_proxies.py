"""Whose word about the buyer's address is taken: that of the proxies which are named, and of nobody else."""

from typing import Any

import pytest

from tongbao.cli.servers import server_config

CASES = [
    ((), "198.51.100.9", "203.0.113.7", "198.51.100.9"),
    (("10.0.0.0/8",), "10.0.0.9", "203.0.113.7", "203.0.113.7"),
    (("10.0.0.0/8",), "10.0.0.9", "1.2.3.4, 203.0.113.7", "203.0.113.7"),
    (("10.0.0.0/8",), "10.0.0.9", "203.0.113.7, 10.0.0.8", "203.0.113.7"),
    (("10.0.0.0/8",), "198.51.100.9", "203.0.113.7", "198.51.100.9"),
    (("10.0.0.9",), "10.0.0.9", "", "10.0.0.9"),
]


@pytest.mark.parametrize(("proxies", "peer", "forwarded", "seen"), CASES)
async def test_the_buyer_s_address(proxies: tuple[str, ...], peer: str, forwarded: str, seen: str) -> None:
    clients = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        clients.append(scope["client"][0])

    config = server_config(app, proxies)
    config.load()
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope: Any = {"type": "http", "client": (peer, 1), "headers": headers, "scheme": "http"}
    unused: Any = None
    await config.loaded_app(scope, unused, unused)
    assert clients == [seen]
