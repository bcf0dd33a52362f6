"""What browser tests share: `tongbao demo` in a process of its own, a merchant's server, a desk and a phone."""

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import msgspec
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from standardwebhooks.webhooks import Webhook

from tests import postgres
from tests.scenarios.processes import Process

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36"
)
ORDER = {"amount": 9999, "currency": "CNY", "subject": "Tea / 茶"}
NOTIFIED_SECONDS_MAX = 2.0
BLOCKED_SECONDS_MAX = 5.0


class Receiver:
    """A merchant's server of the test's own: keeps each webhook with its headers."""

    def __init__(self) -> None:
        self.arrived: list[tuple[dict[str, str], bytes]] = []
        kept = self.arrived

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                kept.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def event(self, kind: str, payment_id: str, secret: str) -> Any:
        """Waits for it, and verifies it with the `standardwebhooks` package."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            for headers, body in list(self.arrived):
                told = msgspec.json.decode(body)
                if (told["type"], told["data"]["id"]) == (kind, payment_id):
                    return Webhook(secret).verify(body, headers)
            time.sleep(0.02)
        raise AssertionError(f"no {kind} for {payment_id} among {len(self.arrived)} webhooks")


@dataclass
class Demo:
    """Everything, running; `call` is the merchant's server."""

    port: int
    home: Path
    key: str = ""
    secret: str = ""
    receiver: Receiver = field(default_factory=Receiver)
    count: int = 0

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sandbox(self) -> str:
        return f"http://127.0.0.1:{self.port + 1}"

    @property
    def shop(self) -> str:
        return f"http://127.0.0.1:{self.port + 2}"

    def call(self, method: str, url: str, body: object = None) -> Any:
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        data = None if body is None else msgspec.json.encode(body)
        with urlopen(Request(url, data, headers, method=method), timeout=10) as reply:
            return msgspec.json.decode(reply.read())

    def order(self, **more: Any) -> Any:
        self.count += 1
        return self.call("POST", f"{self.gateway}/v1/payments", {"order_no": f"B{self.count}", **ORDER, **more})

    def payment(self, order_no: str) -> Any:
        return self.call("GET", f"{self.gateway}/v1/payments?order_no={order_no}")["data"][0]


def three_ports() -> int:
    """The first of three free ports in a row."""
    for first in range(20_000 + os.getpid() % 20_000, 60_000, 3):
        try:
            for sock in [socket.create_server(("127.0.0.1", first + offset)) for offset in range(3)]:
                sock.close()
        except OSError:
            continue
        return first
    raise AssertionError("no three free ports in a row")


@pytest.fixture(scope="module")
def demo(postgres_server: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    import asyncio

    home, port = tmp_path_factory.mktemp("demo"), three_ports()
    url = asyncio.run(postgres.make_copy(*postgres_server, label="browser"))
    env = {"TONGBAO_DATABASE_URL": url, "TONGBAO_DATA_DIR": str(home)}
    process = Process(["demo", "--port", str(port)], f"http://127.0.0.1:{port}/readyz", home / "demo.log", env)
    process.start()
    made = Demo(port, home)
    try:
        made.key = _kept(home)["api_key"]
        endpoint = made.call("POST", f"{made.gateway}/v1/webhook_endpoints", {"url": made.receiver.url})
        made.secret = endpoint["secret"]
        yield made
        assert "ERROR" not in process.said(), process.said()
    finally:
        process.stop()
        made.receiver.server.shutdown()
        made.receiver.server.server_close()
        asyncio.run(postgres.drop(postgres_server[0], url))


def _kept(home: Path) -> dict[str, str]:
    found: dict[str, str] = msgspec.json.decode((home / "demo.json").read_bytes())
    assert (home / "demo.json").stat().st_mode & 0o077 == 0, "only its owner may read the key"
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not os.access(CHROMIUM, os.X_OK):
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("no Chromium here (Debian: apt-get install chromium): the browser tests are left out")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def desk(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900})
    said: list[str] = []
    context.on("console", lambda message: said.append(message.text))
    yield context
    context.close()
    assert not [words for words in said if "Content Security Policy" in words], "the pages break no policy of their own"


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        locale="zh-CN", user_agent=PHONE, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    )
    yield context
    context.close()


@pytest.fixture
def blocked(demo: Demo) -> Iterator[None]:
    """While this lasts no notification of the channel is sent."""
    demo.call("POST", f"{demo.sandbox}/_sandbox/faults", {"fault": "notification_lost", "calls": None})
    yield
    demo.call("DELETE", f"{demo.sandbox}/_sandbox/faults")


def pay_at_the_cashier(page: Page) -> float:
    """Presses the cashier's button; the moment of it."""
    page.locator("[data-sandbox-form=cashier] button[value=pay]").click()
    return time.monotonic()


def seconds_until_paid(page: Page, since: float) -> float:
    expect(page.locator("main.succeeded")).to_be_visible(timeout=10_000)
    return time.monotonic() - since
