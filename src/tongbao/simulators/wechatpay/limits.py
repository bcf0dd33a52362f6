"""Rate limits: how often a merchant may call an API within one second of its own clock.

Rule: only limits that are published are in force; others can be set (`rates`). A call beyond the limit is refused
before anything is done.
"""

from typing import Protocol

from tongbao.simulators.wechatpay.errors import Refusal
from tongbao.simulators.wechatpay.request import Call


class Limited(Protocol):
    """What a limit needs to know of an API."""

    @property
    def template(self) -> str: ...

    @property
    def per_second(self) -> int: ...

    @property
    def failing_per_second(self) -> int: ...

    @property
    def limit_words(self) -> str: ...


class Limits:
    """Counts calls. `rates` overrides the published limit of a path; 0 lifts it."""

    def __init__(self) -> None:
        self.rates: dict[str, int] = {}
        self._second = 0
        self._counts: dict[tuple[str, str], int] = {}

    def check(self, api: Limited, call: Call) -> None:
        """Raises Refusal beyond the limit."""
        most = self.rates.get(api.template, api.per_second)
        if most and self._count(call, api.template) > most:
            raise Refusal(api.limit_words)
        failing = api.failing_per_second
        if failing and self._counts.get((call.merchant.mchid, f"!{api.template}"), 0) >= failing:
            raise Refusal(api.limit_words)

    def refused(self, api: Limited, call: Call) -> None:
        if api.failing_per_second:
            self._count(call, f"!{api.template}")

    def _count(self, call: Call, what: str) -> int:
        second = int(call.stamp.timestamp())
        if second != self._second:
            self._second = second
            self._counts.clear()
        key = (call.merchant.mchid, what)
        self._counts[key] = self._counts.get(key, 0) + 1
        return self._counts[key]
