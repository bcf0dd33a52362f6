"""Asking again: what became of an attempt when no notification came, and the close protocol.

Ask the channel; paid: it is recorded; not paid and no longer wanted (canceled, expired, another attempt took over):
close it at the channel. Recording closes the payment once no attempt can be paid. Unreachable: it stays pending and is
asked again. Queries keep within a budget per channel account, so that open pages cannot flood a channel.
"""

import asyncio
from datetime import datetime, timedelta

import structlog

from tongbao.domain.errors import StorageUnavailable, TransitionRefused
from tongbao.domain.payment import DEADLINE_GRACE, OPEN_ATTEMPT, Attempt, AttemptError, Payment, PaymentStatus
from tongbao.domain.report import Accepted, AttemptEvent, Report
from tongbao.ports import Clock
from tongbao.ports.reading import Reading
from tongbao.ports.store import Key
from tongbao.services.accounts import Accounts, OpenAccount
from tongbao.services.calls import attempt_request, outcome_of
from tongbao.services.idempotency import after_the_first_write
from tongbao.services.metrics import Metrics
from tongbao.services.payments import Payments, Record, Recorded
from tongbao.services.views import Views

log = structlog.get_logger()

WATCH_GAPS_SECONDS = (1.0, 1.0, 1.0, 4.0)
"""With a page open: asked 1, 2, 3 s after it opened, then every 4 s."""
UNDECIDED_AFTER = timedelta(minutes=5)
"""An attempt that is undecided this long after the channel's deadline needs a person."""


class Budget:
    """A token bucket per channel account: `rate` queries a second, `burst` at once."""

    def __init__(self, clock: Clock, rate: float = 50.0, burst: float = 100.0) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, account_id: str) -> bool:
        now = self._clock.now().timestamp()
        tokens, at = self._buckets.get(account_id, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - at) * self._rate)
        self._buckets[account_id] = (tokens - 1 if tokens >= 1 else tokens, now)
        return tokens >= 1


class Asking:
    """Queries and closes attempts; records what it learns."""

    def __init__(
        self,
        reading: Reading,
        clock: Clock,
        views: Views,
        accounts: Accounts,
        payments: Payments,
        metrics: Metrics,
    ) -> None:
        self._reading = reading
        self._clock = clock
        self._views = views
        self._accounts = accounts
        self._payments = payments
        self._metrics = metrics
        self._budget = Budget(clock)
        self._asking: set[Key] = set()
        self._asked_at: dict[Key, datetime] = {}

    async def pursue(self, app_id: str, payment_id: str, attempt_id: str) -> Recorded | None:
        """Ask about one attempt, and close it where it is not wanted any more; None when there is nothing to ask."""
        payment, attempts = await self._reading.payment_with_attempts(app_id, payment_id)
        attempt = next((a for a in attempts if a.id == attempt_id), None)
        if attempt is None or attempt.status not in OPEN_ATTEMPT:
            return None
        opened = await self._accounts.opened(app_id, attempt.channel_account_id)
        if not self._budget.take(opened.account.id):
            return None
        return await self._ask(payment, attempt, opened)

    async def refresh(self, app_id: str, payment_id: str) -> AttemptError | None:
        """Ask about every open attempt of a payment now, within the budget of its account; returns the first
        interruption (`?refresh=true`)."""
        payment, attempts = await self._reading.payment_with_attempts(app_id, payment_id)
        interrupted = None
        for attempt in attempts:
            if attempt.status in OPEN_ATTEMPT and self._budget.take(attempt.channel_account_id):
                opened = await self._accounts.opened(app_id, attempt.channel_account_id)
                event = await self._query(payment, attempt, opened)
                if isinstance(event, AttemptError):
                    interrupted = interrupted or event
                else:
                    await self._record(payment, attempt, opened, event)
        return interrupted

    async def watch(self, app_id: str, payment_id: str, gap_seconds: float = 0.9) -> None:
        """Ask because a page is open: at most one query at a time and per gap, however many pages there are."""
        key = (app_id, payment_id)
        now = self._clock.now()
        asked_at = self._asked_at.get(key)
        if key in self._asking or (asked_at is not None and (now - asked_at).total_seconds() < gap_seconds):
            return
        self._asking.add(key)
        self._remember(key, now)
        try:
            _, attempts = await self._reading.payment_with_attempts(app_id, payment_id)
            for attempt in attempts:
                if attempt.status in OPEN_ATTEMPT:
                    await self.pursue(app_id, payment_id, attempt.id)
        except StorageUnavailable:
            log.warning("watch_postponed", payment_id=payment_id)
        finally:
            self._asking.discard(key)

    def _remember(self, key: Key, now: datetime) -> None:
        if len(self._asked_at) > 10_000:
            old = now - timedelta(seconds=10)
            self._asked_at = {k: at for k, at in self._asked_at.items() if at > old}
        self._asked_at[key] = now

    async def cancel(self, app_id: str, payment_id: str) -> tuple[Payment, Attempt | None]:
        """The close protocol on the merchant's wish. Raises TransitionRefused once money is in, NotFound.

        The payment comes back closed, or still pending with `cancel_requested_at` where the channel cannot prove it.
        """
        await self._payments.conclude(app_id, payment_id, cancel=True)
        with after_the_first_write():
            payment, latest = await self._close_attempts(app_id, payment_id)
        if payment.status is PaymentStatus.SUCCEEDED:
            raise TransitionRefused("the payment has been paid already; refund it instead", code="payment_succeeded")
        return payment, latest

    async def _close_attempts(self, app_id: str, payment_id: str) -> tuple[Payment, Attempt | None]:
        _, attempts = await self._reading.payment_with_attempts(app_id, payment_id)
        still_open = [attempt.id for attempt in attempts if attempt.status in OPEN_ATTEMPT]
        await asyncio.gather(*(self.pursue(app_id, payment_id, attempt_id) for attempt_id in still_open))
        return await self._reading.payment(app_id, payment_id)

    async def expire(self, app_id: str, payment_id: str) -> None:
        """Close a payment whose time is over; attempts that are still open are asked about by their own schedule."""
        await self._payments.conclude(app_id, payment_id)

    # --- one attempt

    async def _ask(self, payment: Payment, attempt: Attempt, opened: OpenAccount) -> Recorded | None:
        event = await self._query(payment, attempt, opened)
        if isinstance(event, AttemptError):
            return None
        recorded = await self._record(payment, attempt, opened, event)
        now = self._clock.now()
        if isinstance(event, Accepted) and self._unwanted(payment, attempt, now):
            closing = attempt_request(payment, attempt, self._views)
            closed = await outcome_of(opened.channel.close(closing), self._metrics, attempt.channel, "close")
            if not isinstance(closed, AttemptError):
                recorded = await self._record(payment, attempt, opened, closed)
        if now > attempt.expires_at + DEADLINE_GRACE + UNDECIDED_AFTER:
            self._metrics.undecided(attempt.channel)
            log.error("attempt_undecided", attempt_id=attempt.id, reference=attempt.reference, channel=attempt.channel)
        return recorded

    @staticmethod
    def _unwanted(payment: Payment, attempt: Attempt, now: datetime) -> bool:
        over = payment.status is not PaymentStatus.PENDING or payment.cancel_requested_at is not None
        return over or attempt.close_wanted or now >= attempt.expires_at

    async def _query(self, payment: Payment, attempt: Attempt, opened: OpenAccount) -> AttemptEvent | AttemptError:
        request = attempt_request(payment, attempt, self._views)
        event = await outcome_of(opened.channel.query(request), self._metrics, attempt.channel, "query")
        if isinstance(event, AttemptError):
            log.warning("query_interrupted", attempt_id=attempt.id, code=event.code, message=event.message)
        return event

    async def _record(self, payment: Payment, attempt: Attempt, opened: OpenAccount, event: AttemptEvent) -> Recorded:
        record = Record(
            app_id=payment.app_id,
            channel_account_id=opened.account.id,
            identity=opened.channel.identity,
            reports=(Report(attempt.reference, event),),
        )
        recorded = await self._payments.record(record)
        if recorded.mismatches:
            self._metrics.quarantined(attempt.channel)
            log.error("query_contradicts", attempt_id=attempt.id, mismatches=recorded.mismatches)
        return recorded
