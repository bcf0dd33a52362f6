"""A sandbox in a process of its own, on a free port, as `tongbao sandbox` serves it; and a shop with a real socket."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

COMMAND = [sys.executable, "-c", "from tongbao.cli.sandbox import app; app()"]


class Served:
    """The process; `kill` is kill -9, `start` starts it (again) over the same data."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.environment = {**os.environ, "TONGBAO_DATA_DIR": str(data_dir)}
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.start()

    def start(self) -> None:
        announced = self.data_dir / "sandbox.json"
        announced.unlink(missing_ok=True)
        log = (self.data_dir / "sandbox.log").open("ab")
        with log:
            self.process = subprocess.Popen([*COMMAND, "--port", "0"], env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not announced.exists():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        self.url = json.loads(announced.read_text())["url"]

    def log(self) -> str:
        return (self.data_dir / "sandbox.log").read_text()

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(10)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`tongbao sandbox <arguments>` to its end."""
        return subprocess.run(
            [*COMMAND, *arguments], env=self.environment, capture_output=True, text=True, timeout=30, check=False
        )

    def accounts(self) -> Any:
        done = self.run("accounts", "--format", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@contextmanager
def served(data_dir: Path) -> Iterator[Served]:
    made = Served(data_dir)
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.kill(signal.SIGTERM)


class ListeningShop:
    """Receives notifications (`/notify`) and answers `success`; serves any other path as a page."""

    def __init__(self) -> None:
        self.received: list[dict[str, str]] = []
        self.visited: list[str] = []
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.answer = b"success"
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
                if self.path == "/notify":
                    shop.received.append(dict(parse_qsl(body, keep_blank_values=True)))
                    self._answer(200, {}, shop.answer)
                else:
                    shop.visited.append(f"POST {self.path} {body}")
                    self._answer(*shop.pages.get(f"POST {self.path}", (404, {}, b"")))

            def do_GET(self) -> None:
                shop.visited.append(self.path)
                self._answer(*shop.pages.get(self.path, (200, {}, b"<title>shop</title>thanks")))

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in {"content-type": "text/html; charset=utf-8", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def heard(self, count: int, seconds: float = 5) -> list[dict[str, str]]:
        """Waits until `count` notifications have come."""
        deadline = time.monotonic() + seconds
        while len(self.received) < count and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(self.received) >= count
        return self.received

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
