"""Processes of a run: started, waited for, ended by us. Everything listens on 127.0.0.1 only."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from bench.generator import Job, Outcome

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 15.0
PROBE = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


class DidNotStart(RuntimeError):
    """A server died or stayed silent; the note ends with what it said."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(command: Sequence[str], port: int, env: Mapping[str, str] | None = None) -> Iterator[int]:
    """Runs `command` until the block ends; yields its pid once it answers HTTP on the port."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=said, stderr=said)
        try:
            _wait_for(process, port)
            yield process.pid
        except Exception as error:
            said.seek(0)
            error.add_note(f"{' '.join(command)} said:\n{said.read().decode(errors='replace')[-2000:]}")
            raise
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DidNotStart(f"the server ended with {process.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
                probe.sendall(PROBE)
                if probe.recv(64).startswith(b"HTTP/1.1 2"):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise DidNotStart(f"the server did not answer on port {port} within {START_SECONDS_MAX:.0f} s")


def fire(job: Job) -> Outcome:
    """Runs the generator in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.generator"],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=job.seconds + 120,
    )
    if done.returncode:
        raise RuntimeError(f"the generator failed:\n{done.stderr[-2000:]}")
    return Outcome(**json.loads(done.stdout))


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used; 0 where /proc does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
