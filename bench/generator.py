"""The load generator, a process of its own: prebuilt requests over keep-alive connections, one in flight on each.

    python -m bench.generator < job.json > outcome.json

Rule: between two requests it does as little as can be done: it finds the end of the answer, takes its status, notes
the time, and writes the next bytes. It knows HTTP/1.1 answers with a Content-Length and nothing else; whatever else
comes fails the run, since a generator that guesses measures nothing.
"""

import asyncio
import gc
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any, cast

import uvloop

NUMBER = b"%%NUMBER%%"
"""In a job's body and headers: replaced by a number that is different in each request."""


@dataclass
class Job:
    """What to fire: `connections` at once for `seconds`, at most `requests_max` requests."""

    host: str
    port: int
    method: str
    path: str
    headers: dict[str, str]
    body: str
    connections: int
    seconds: float
    requests_max: int
    first_number: int = 0


@dataclass
class Outcome:
    """What came back; `statuses` counts answers, `seconds` runs from the first write to the last answer."""

    answers: int
    seconds: float
    per_second: float
    statuses: dict[str, int]
    latency_ms: dict[str, float]
    build_seconds: float
    failures: list[str] = field(default_factory=list)


def build(job: Job) -> list[bytes]:
    """Every request as the bytes that go out, numbered."""
    headers = {"Host": f"{job.host}:{job.port}", **job.headers}
    width = 12
    body = job.body.encode()
    length = len(body) + body.count(NUMBER) * (width - len(NUMBER))
    if body:
        headers["Content-Length"] = str(length)
    head = f"{job.method} {job.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    parts = (head.encode() + b"\r\n" + body).split(NUMBER)
    numbers = range(job.first_number, job.first_number + job.requests_max)
    return [(b"%0*d" % (width, number)).join(parts) for number in numbers]


class Volley:
    """The state that all connections of a run share."""

    def __init__(self, requests: list[bytes], seconds: float) -> None:
        self.requests = iter(requests)
        self.statuses: Counter[bytes] = Counter()
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self.started = perf_counter()
        self.deadline = self.started + seconds
        self.last_answer = self.started


class Connection(asyncio.Protocol):
    """Writes a request, waits for its answer, writes the next."""

    def __init__(self, volley: Volley) -> None:
        self._volley = volley
        self._buffer = b""
        self._wanted = 0
        self._sent_at = 0.0
        self._transport: asyncio.WriteTransport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's own classes derive from nothing

    def fire(self) -> None:
        """The next request, or the end when the time or the requests are used up."""
        assert self._transport is not None
        now = perf_counter()
        request = next(self._volley.requests, None) if now < self._volley.deadline else None
        if request is None:
            self._finish()
        else:
            self._sent_at = now
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        if not self._wanted:
            self._wanted = end_of_answer(data)
        if not self._wanted or len(data) < self._wanted:
            self._buffer = data
            return
        volley = self._volley
        volley.last_answer = now = perf_counter()
        volley.latencies.append(now - self._sent_at)
        volley.statuses[data[9:12]] += 1
        if len(data) > self._wanted:
            self._fail("bytes behind the end of an answer")
        else:
            self._buffer, self._wanted = b"", 0
            self.fire()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._fail(f"the server closed the connection: {exc}")

    def _fail(self, why: str) -> None:
        self._volley.failures.append(why)
        self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        if self._transport is not None:
            self._transport.close()


def end_of_answer(data: bytes) -> int:
    """The length of the answer at the start of `data`; 0 while its head is not complete."""
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return 0
    at = data.find(b"content-length: ", 0, head_end)
    if at < 0:
        at = data.find(b"Content-Length: ", 0, head_end)
    if at < 0:
        raise ValueError(f"an answer without Content-Length: {data[:head_end]!r}")
    return head_end + 4 + int(data[at + 16 : data.index(b"\r\n", at)])


async def run(job: Job) -> Outcome:
    """Fires the job and sums up; every connection is open before the clock starts."""
    before = perf_counter()
    requests = build(job)
    built = perf_counter() - before
    loop = asyncio.get_running_loop()
    volley = Volley(requests, job.seconds)
    connections = []
    for _ in range(job.connections):
        _, connection = await loop.create_connection(lambda: Connection(volley), job.host, job.port)
        connections.append(connection)
    volley.started = perf_counter()
    volley.deadline = volley.started + job.seconds
    for connection in connections:
        connection.fire()
    await asyncio.wait([connection.done for connection in connections], timeout=job.seconds + 30)
    seconds = volley.last_answer - volley.started
    answers = len(volley.latencies)
    statuses = {status.decode(): count for status, count in volley.statuses.items()}
    rate = answers / seconds if seconds > 0 else 0.0
    return Outcome(answers, seconds, rate, statuses, percentiles(volley.latencies), built, volley.failures[:5])


def percentiles(latencies: list[float]) -> dict[str, float]:
    """p50, p95, p99 and the maximum, in milliseconds."""
    ordered = sorted(latencies) or [0.0]
    last = len(ordered) - 1
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[round(last * share)] * 1000, 2) for name, share in shares.items()}


def main() -> None:
    job: dict[str, Any] = json.load(sys.stdin)
    gc.disable()  # hundreds of thousands of requests and latencies are alive; walking them would be measured too
    outcome = uvloop.run(run(Job(**job)))
    json.dump(asdict(outcome), sys.stdout)


if __name__ == "__main__":
    main()
