"""What the load generator can do against servers that do nothing: a figure near it says nothing of the gateway."""

import sys
from dataclasses import dataclass
from statistics import median

from bench.generator import Job, Outcome
from bench.payload import create_payment
from bench.processes import fire, free_port, server


@dataclass(frozen=True)
class Ceiling:
    """Median answers per second against the bare protocol and against the smallest ASGI application."""

    raw: float
    asgi: float


def measure(*, connections: int, seconds: float, runs: int) -> Ceiling:
    """The same requests as for the gateway, fired in the same way."""
    return Ceiling(*(_median(kind, connections, seconds, runs) for kind in ("raw", "asgi")))


def _median(kind: str, connections: int, seconds: float, runs: int) -> float:
    port = free_port()
    with server([sys.executable, "-m", "bench.targets", kind, str(port)], port):
        outcomes = [fire(job(port, connections, seconds)) for _ in range(runs)]
    return median(checked(outcome).per_second for outcome in outcomes)


def job(port: int, connections: int, seconds: float) -> Job:
    return create_payment(port, "sk_test_ceiling", connections=connections, seconds=seconds, rate_max=100_000)


def checked(outcome: Outcome) -> Outcome:
    """The outcome, when every answer was a 201 and no connection broke; a figure with errors in it is none."""
    if outcome.failures or set(outcome.statuses) != {"201"}:
        raise RuntimeError(f"not every answer was a 201: {outcome.statuses} {outcome.failures}")
    return outcome
