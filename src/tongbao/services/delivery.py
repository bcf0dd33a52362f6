"""Delivering events to merchants: one try, from the leased row to the written result.

Rule 1: the body's bytes are the same at every try: the event's stored text is spliced in as it is.
Rule 2: what an answer means is decided in domain/webhook.py; the result is written under the lease, many in one
        transaction, and counts only if the lease still held.
Rule 3: at least once. A crash between the receiver's 2xx and our commit sends the event again, under the same id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import structlog

from tongbao.domain.endpoint import DeliveryStatus, DisabledWhy
from tongbao.domain.errors import TongbaoError
from tongbao.domain.webhook import JITTER_PERMILLE_MAX, Verdict, WebhookResult, decide, signed_headers
from tongbao.ports import Clock, DueDelivery, Ids, Target, Vault, WebhookSender
from tongbao.ports.store import Grouping
from tongbao.ports.webhook import DeliveryResult, DeliveryStore
from tongbao.services.metrics import Metrics
from tongbao.services.views import encode_json

log = structlog.get_logger()

STATUS_AFTER = {
    Verdict.DELIVERED: DeliveryStatus.DELIVERED,
    Verdict.RETRY: DeliveryStatus.PENDING,
    Verdict.EXHAUSTED: DeliveryStatus.DEAD,
    Verdict.DISABLED: DeliveryStatus.CANCELED,
}


class WebhookBody(msgspec.Struct, frozen=True):
    """What merchants receive. `sequence` orders the events of one payment."""

    type: str
    timestamp: datetime
    sequence: int
    data: msgspec.Raw


def secret_context(endpoint_id: str) -> str:
    """What a webhook secret is sealed for; the same for the present and the previous one, which change places."""
    return f"webhook_endpoints|{endpoint_id}|secret"


def body_of(due: DueDelivery) -> bytes:
    return encode_json(WebhookBody(due.event_type, due.created_at, due.sequence, msgspec.Raw(due.data.encode())))


@dataclass(frozen=True, slots=True)
class _Try:
    """What a try brought, and when it ended."""

    result: WebhookResult
    ended_at: datetime


class Delivery:
    """Sends due deliveries."""

    def __init__(
        self,
        store: DeliveryStore,
        grouping: Grouping,
        sender: WebhookSender,
        vault: Vault,
        clock: Clock,
        ids: Ids,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._sender = sender
        self._vault = vault
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._queue = grouping(self._finish, in_flight_max=2)

    async def deliver(self, due: DueDelivery) -> DeliveryStatus:
        """One try; what became of it is committed when this returns. Raises StorageUnavailable when it could not be
        written, and then the event is sent again."""
        if due.target is None:
            outcome, result = "canceled", self._canceled(due)
        else:
            outcome, result = self._judged(due, await self._send(due, due.target))
        if not await self._queue.submit(result):
            log.warning("delivery_lease_lost", delivery_id=due.id, endpoint_id=due.endpoint_id)
        self._metrics.delivery(outcome)
        return result.status

    async def _finish(self, results: Sequence[DeliveryResult]) -> Sequence[bool | TongbaoError]:
        return await self._store.finish(results)

    async def _send(self, due: DueDelivery, target: Target) -> _Try:
        now = self._clock.now()
        body = body_of(due)
        headers = signed_headers(self._secrets(due.endpoint_id, target, now), due.event_id, now, body)
        result = await self._sender.send(target.url, headers, body, livemode=target.livemode, now=now)
        return _Try(result, self._clock.now())

    def _secrets(self, endpoint_id: str, target: Target, now: datetime) -> list[str]:
        """The new one first; the old one beside it while it is valid."""
        sealed = [target.sealed_secret]
        if target.sealed_previous is not None and target.previous_until is not None and now < target.previous_until:
            sealed.append(target.sealed_previous)
        return [self._vault.open(one, secret_context(endpoint_id)).decode() for one in sealed]

    def _judged(self, due: DueDelivery, tried: _Try) -> tuple[str, DeliveryResult]:
        tries = due.tries + 1
        decision = decide(tried.result, tries=tries, jitter_permille=self._jitter())
        if decision.verdict is Verdict.EXHAUSTED:
            self._tell_dead(due, tried.result, tries)
        if decision.verdict is Verdict.DISABLED:
            log.warning("webhook_endpoint_gone", app_id=due.app_id, endpoint_id=due.endpoint_id)
        delivered = decision.verdict is Verdict.DELIVERED
        return decision.verdict, DeliveryResult(
            app_id=due.app_id,
            id=due.id,
            endpoint_id=due.endpoint_id,
            payment_id=due.payment_id,
            sequence=due.sequence,
            leased_by=due.leased_by,
            status=STATUS_AFTER[decision.verdict],
            tries=tries,
            next_at=None if decision.wait is None else tried.ended_at + decision.wait,
            last_status=tried.result.status,
            last_error=tried.result.error,
            delivered_at=tried.ended_at if delivered else None,
            disables=DisabledWhy.GONE if decision.verdict is Verdict.DISABLED else None,
        )

    def _jitter(self) -> int:
        drawn = int.from_bytes(self._ids.random_bytes(2), "big")
        return drawn % (2 * JITTER_PERMILLE_MAX + 1) - JITTER_PERMILLE_MAX

    @staticmethod
    def _tell_dead(due: DueDelivery, result: WebhookResult, tries: int) -> None:
        log.error(
            "webhook_dead",
            app_id=due.app_id,
            endpoint_id=due.endpoint_id,
            event_id=due.event_id,
            event_type=due.event_type,
            payment_id=due.payment_id,
            tries=tries,
            last_status=result.status,
            last_error=result.error,
        )

    @staticmethod
    def _canceled(due: DueDelivery) -> DeliveryResult:
        return DeliveryResult(
            app_id=due.app_id,
            id=due.id,
            endpoint_id=due.endpoint_id,
            payment_id=due.payment_id,
            sequence=due.sequence,
            leased_by=due.leased_by,
            status=DeliveryStatus.CANCELED,
            tries=due.tries,
            last_error="endpoint_disabled",
        )
