"""The way to merchants as a protocol."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from tongbao.domain.webhook import WebhookResult


class WebhookSender(Protocol):
    """Posts to merchants' endpoints; the merchant's faults are values in the result, never exceptions."""

    async def send(
        self, url: str, headers: Mapping[str, str], body: bytes, *, livemode: bool, now: datetime
    ) -> WebhookResult: ...
