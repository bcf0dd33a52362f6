"""Real processes for scenarios that need them: the gateway and the sandbox, started, killed, started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.request import urlopen

COMMAND = [sys.executable, "-m", "tongbao"]
START_SECONDS_MAX = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One command; its output is kept for the failure message."""

    def __init__(self, arguments: list[str], ready_url: str, log: Path, env: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._ready_url = ready_url
        self._env = {**os.environ, **env}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [*COMMAND, *self._arguments]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urlopen(self._ready_url, timeout=2) as reply:
                    if reply.status == 200:
                        return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"{' '.join(command)} did not get ready:\n{self.said()}")

    def kill(self) -> None:
        """SIGKILL: no time to say goodbye."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def said(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


def gateway(port: int, database_url: str, data_dir: Path, **settings: str) -> Process:
    env = {"TONGBAO_DATABASE_URL": database_url, "TONGBAO_DATA_DIR": str(data_dir), "TONGBAO_LOG_LEVEL": "warning"}
    env |= {f"TONGBAO_{name.upper()}": value for name, value in settings.items()}
    return Process(["serve", "--port", str(port)], f"http://127.0.0.1:{port}/readyz", data_dir / "gateway.log", env)


def sandbox(port: int, data_dir: Path, compress: int) -> Process:
    arguments = ["sandbox", "--port", str(port), "--data-dir", str(data_dir), "--compress", str(compress)]
    return Process(arguments, f"http://127.0.0.1:{port}/_sandbox/accounts", data_dir / "sandbox.log", {})
