"""docs/guides/wechatpay-without-the-gateway.md: its Python runs from top to bottom against a served sandbox.

The page's marks `<!-- test: ... -->` are what a reader does between two pieces of code: pay, wait for the notification,
let a day pass.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.simulators.served import Served, served

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "wechatpay-without-the-gateway.md"
PIECE = re.compile(r"^```python\n(.*?)^```$|^<!-- test: (.*?) -->$", re.MULTILINE | re.DOTALL)
PLACES = {
    'SANDBOX = "http://127.0.0.1:8001"': "SANDBOX",
    'NOTIFY_URL = "https://shop.example/wechatpay/notify"': "NOTIFY_URL",
}


class Shop:
    """Keeps what it is sent, headers and raw body."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                shop.received.append((dict(self.headers.items()), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/notify"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def heard(self) -> tuple[dict[str, str], bytes]:
        deadline = time.monotonic() + 10
        while not self.received and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self.received
        return self.received[0]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as made:
        yield made


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.close()


def test_the_guide_runs(sandbox: Served, shop: Shop) -> None:
    names: dict[str, Any] = {}

    def pays() -> None:
        done = sandbox.run("pay", names["qr_code"])
        assert done.returncode == 0, done.stdout + done.stderr

    def arrives() -> None:
        headers, body = shop.heard()
        assert names["notified"](headers, body) == 204
        assert names["notified"](headers, body.replace(b"TRANSACTION", b"TRANSACTIOM")) == 401
        names["orders"]["ORDER_1"] = 1
        assert names["notified"](headers, body) == 409

    def next_day() -> None:
        order = json.dumps({"advance_seconds": 36 * 3600}).encode()
        kind = {"content-type": "application/json"}
        with urlopen(Request(f"{sandbox.url}/_sandbox/clock", order, kind)) as answer:
            now = datetime.fromisoformat(json.load(answer)["now"])
        names["wechat"].account.clock.correct(now)
        names["day"] = (now + timedelta(hours=8) - timedelta(hours=36)).date().isoformat()

    between: dict[str, Callable[[], None]] = {
        "the buyer pays qr_code": pays,
        "the notification arrives": arrives,
        "the next day": next_day,
    }
    text = PAGE.read_text("utf-8")
    for place, value in zip(PLACES, (sandbox.url, shop.url), strict=True):
        assert text.count(place) == 1
        text = text.replace(place, f"{PLACES[place]} = {value!r}")
    pieces = list(PIECE.finditer(text))
    assert {piece[2] for piece in pieces if piece[2]} == between.keys()
    for piece in pieces:
        if piece[2]:
            between[piece[2]]()
        else:
            line = text.count("\n", 0, piece.start()) + 1
            exec(compile("\n" * line + piece[1], str(PAGE), "exec"), names)
    names["wechat"].disconnect()
