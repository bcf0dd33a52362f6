"""Metrics: series that tell an operator whether money moves. One registry per process, no global one.

Each is described in docs/guides/operations.md, with what to watch for.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counts; names follow Prometheus' conventions and carry `tongbao_` in front."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        r = self.registry
        self._requests = Counter("tongbao_http_requests", "Answers by door and status", ["door", "status"], registry=r)
        self._latency = Histogram(
            "tongbao_http_seconds", "Time to answer, by door", ["door"], buckets=SECONDS, registry=r
        )
        self._series: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._notifications = Counter(
            "tongbao_notifications", "Channel notifications by outcome", ["channel", "outcome"], registry=r
        )
        self._calls = Counter(
            "tongbao_channel_calls", "Calls to channels by verb and outcome", ["channel", "verb", "outcome"], registry=r
        )
        self._call_latency = Histogram(
            "tongbao_channel_seconds", "Time of a channel's answer", ["channel", "verb"], buckets=SECONDS, registry=r
        )
        self._quarantined = Counter(
            "tongbao_quarantined", "Trusted messages that contradict what we stored", ["channel"], registry=r
        )
        self._undecided = Counter(
            "tongbao_attempts_undecided", "Questions about attempts long after their deadline", ["channel"], registry=r
        )
        self._deliveries = Counter("tongbao_webhook_deliveries", "Webhook tries by outcome", ["outcome"], registry=r)
        self._jobs = Counter("tongbao_worker_jobs", "Jobs of the workers by outcome", ["job", "outcome"], registry=r)

    def request(self, door: str, status: int, seconds: float) -> None:
        """One answer. The series' objects are kept: looking them up costs more than counting."""
        series = self._series.get((door, status))
        if series is None:
            series = (self._requests.labels(door, str(status)), self._latency.labels(door))
            self._series[door, status] = series
        series[0].inc()
        series[1].observe(seconds)

    def notification(self, channel: str, outcome: str) -> None:
        self._notifications.labels(channel, outcome).inc()

    def channel_call(self, channel: str, verb: str, outcome: str, seconds: float) -> None:
        self._calls.labels(channel, verb, outcome).inc()
        self._call_latency.labels(channel, verb).observe(seconds)

    def quarantined(self, channel: str) -> None:
        self._quarantined.labels(channel).inc()

    def undecided(self, channel: str) -> None:
        self._undecided.labels(channel).inc()

    def delivery(self, outcome: str) -> None:
        self._deliveries.labels(outcome).inc()

    def job(self, name: str, outcome: str) -> None:
        self._jobs.labels(name, outcome).inc()

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """A value that is read when the metrics are asked for."""
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def counts(self, name: str, help_text: str, label: str, read: Callable[[], Mapping[str, int]]) -> None:
        """Counts that somebody else keeps, by one label."""
        self.registry.register(_Counts(name, help_text, label, read))

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


class _Counts(Collector):
    """A counter that is read when the metrics are asked for."""

    def __init__(self, name: str, help_text: str, label: str, read: Callable[[], Mapping[str, int]]) -> None:
        self._words = (name, help_text)
        self._label = label
        self._read = read

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(*self._words, labels=[self._label])
        for value, count in self._read().items():
            family.add_metric([value], count)
        yield family
