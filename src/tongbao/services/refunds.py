"""Refunds: money back. Created in groups, sent by a worker, one at a time per trade.

`create` commits and answers `pending`. The send is an intent first (`sent_at` commits before the call), so that after
a crash the channel is asked and never sent a second refund blindly; an unknown outcome is repeated only under the same
reference, and only where the channel's capabilities list the verb as idempotent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from tongbao.domain.errors import InvalidInput, NotFound, Rejected, TongbaoError, TransitionRefused
from tongbao.domain.event import EventType
from tongbao.domain.ledger import REFUND_CREATED_POSTING
from tongbao.domain.money import Money
from tongbao.domain.payment import Attempt, AttemptError, Payment
from tongbao.domain.refund import Refund, RefundKind, RefundStatus, reserve, resum
from tongbao.domain.report import RefundAccepted, RefundEvent, RefundNotFound, RefundRejected, Report
from tongbao.ports import Clock, Ids, Verb
from tongbao.ports.store import Answer, Claim, Grouping, Key, Queue, Store, Transaction
from tongbao.services.accounts import Accounts, OpenAccount
from tongbao.services.calls import outcome_of, refund_request
from tongbao.services.dossier import Clerk, Dossier, file_dossiers, open_dossiers
from tongbao.services.idempotency import Intent, Replay, SameAs, Verdict, claim, goes_on
from tongbao.services.metrics import Metrics
from tongbao.services.payments import Payments, Record
from tongbao.services.pushes import Pushes
from tongbao.services.views import Views, encoded

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CreateRefund:
    """A refund that a merchant wants. `amount` None means all that is left."""

    app_id: str
    payment_id: str
    refund_id: str
    reference: str
    refund_no: str
    amount: int | None
    reason: str | None
    intent: Intent | None


@dataclass(frozen=True, slots=True)
class RefundCreated:
    """The answer: 201 for a new refund, 200 for one that existed with the same terms."""

    status: int
    body: str
    refund_id: str
    replayed: bool = False


class Refunds:
    """Creates, sends and follows up refunds."""

    def __init__(
        self,
        store: Store,
        grouping: Grouping,
        clock: Clock,
        ids: Ids,
        clerk: Clerk,
        accounts: Accounts,
        payments: Payments,
        pushes: Pushes,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._clerk = clerk
        self._accounts = accounts
        self._payments = payments
        self._pushes = pushes
        self._metrics = metrics
        self._queue: Queue[CreateRefund, RefundCreated] = grouping(self._execute, in_flight_max=1)

    @property
    def views(self) -> Views:
        return self._clerk.views

    async def create(
        self,
        app_id: str,
        payment_id: str,
        refund_no: str,
        amount: int | None,
        reason: str | None,
        intent: Intent | None,
    ) -> RefundCreated:
        """Raises NotFound, TransitionRefused, AmountExceeded, IdempotencyConflict, InvalidInput."""
        refund_id, reference = self._ids.make("re"), self._ids.reference()
        command = CreateRefund(app_id, payment_id, refund_id, reference, refund_no, amount, reason, intent)
        return await self._queue.submit(command)

    async def _execute(self, commands: Sequence[CreateRefund]) -> Sequence[RefundCreated | TongbaoError]:
        results = await self._store.transact(partial(self._create_batch, commands))
        self._pushes.publish({(c.app_id, c.payment_id) for c in commands})
        return results

    async def _create_batch(
        self, commands: Sequence[CreateRefund], tx: Transaction
    ) -> list[RefundCreated | TongbaoError]:
        now = self._clock.now()
        verdicts = await claim(tx, [_claim(command, now) for command in commands], now)
        before = await open_dossiers(tx, {(c.app_id, c.payment_id) for c in commands})
        numbers = await tx.refunds_by_no({(c.app_id, c.refund_no) for c in commands})
        after = {key: dossier.copy() for key, dossier in before.items()}
        results: list[RefundCreated | TongbaoError] = []
        for command, verdict in zip(commands, verdicts, strict=True):
            results.append(self._result(command, verdict, results, after, numbers, now))
        await file_dossiers(tx, before, after)
        await self._settle_claims(tx, commands, verdicts, results)
        return results

    def _result(
        self,
        command: CreateRefund,
        verdict: Verdict,
        earlier: Sequence[RefundCreated | TongbaoError],
        dossiers: dict[Key, Dossier],
        numbers: dict[Key, Refund],
        now: datetime,
    ) -> RefundCreated | TongbaoError:
        if isinstance(verdict, SameAs):
            first = earlier[verdict.index]
            return first if isinstance(first, TongbaoError) else replace(first, replayed=True)
        if isinstance(verdict, Replay):
            return RefundCreated(verdict.status, verdict.body, verdict.object_id or "", replayed=True)
        if isinstance(verdict, TongbaoError):
            return verdict
        key = (command.app_id, command.payment_id)
        if key not in dossiers:
            return NotFound(f"no payment {command.payment_id}")
        existing = numbers.get((command.app_id, command.refund_no))
        if existing is not None:
            return self._existing(command, existing, dossiers[key].payment)
        draft = dossiers[key].copy()
        try:
            refund = self._open(command, draft, now)
        except Rejected as refused:
            return refused
        dossiers[key] = draft
        numbers[command.app_id, command.refund_no] = refund
        return RefundCreated(201, encoded(self.views.refund(refund, draft.payment.livemode)), refund.id)

    def _existing(self, command: CreateRefund, refund: Refund, payment: Payment) -> RefundCreated | TongbaoError:
        same_amount = command.amount is None or command.amount == refund.amount.minor
        if refund.payment_id != command.payment_id or not same_amount:
            message = f"refund_no {refund.refund_no!r} exists as {refund.id} with other terms; use another refund_no"
            return TransitionRefused(message, code="refund_no_conflict")
        return RefundCreated(200, encoded(self.views.refund(refund, payment.livemode)), refund.id)

    def _open(self, command: CreateRefund, draft: Dossier, now: datetime) -> Refund:
        """Reserve the amount on the attempt that settled the payment, and write down what follows."""
        payment = draft.payment
        if payment.settled_attempt_id is None:
            raise TransitionRefused("only a paid payment can be refunded", code="payment_not_succeeded")
        attempt = draft.attempts[payment.settled_attempt_id]
        left = attempt.amount.minor - attempt.amount_refunded - attempt.amount_refunding
        minor = left if command.amount is None else command.amount
        if minor <= 0:
            raise InvalidInput("nothing is left to refund", param="/amount", code="amount_exceeded")
        refund = Refund(
            app_id=command.app_id,
            id=command.refund_id,
            payment_id=payment.id,
            attempt_id=attempt.id,
            kind=RefundKind.MERCHANT,
            refund_no=command.refund_no,
            reference=command.reference,
            amount=Money(minor, attempt.amount.currency),
            created_at=now,
            reason=command.reason,
            next_try_at=now,
        )
        draft.attempts[attempt.id] = reserve(attempt, refund)
        draft.payment = resum(payment, refund, (None, RefundStatus.PENDING))
        draft.refunds[refund.id] = refund
        draft.new_refunds.append(refund.id)
        posting = REFUND_CREATED_POSTING[refund.kind]
        self._clerk.post(draft, posting, refund.id, attempt.channel_account_id, refund.amount, now)
        self._clerk.refund_event(draft, refund, EventType.REFUND_CREATED, now)
        return refund

    @staticmethod
    async def _settle_claims(
        tx: Transaction,
        commands: Sequence[CreateRefund],
        verdicts: Sequence[Verdict],
        results: Sequence[RefundCreated | TongbaoError],
    ) -> None:
        answers, dropped = [], []
        for command, verdict, result in zip(commands, verdicts, results, strict=True):
            if not goes_on(verdict) or command.intent is None:
                continue
            if isinstance(result, TongbaoError):
                dropped.append((command.app_id, command.intent.key))
            else:
                key = command.intent.key
                answers.append(Answer(command.app_id, key, result.status, result.body, result.refund_id))
        if answers:
            await tx.answer_claims(answers)
        if dropped:
            await tx.drop_claims(dropped)

    # --- sending

    async def pursue(self, app_id: str, payment_id: str, refund_id: str) -> None:
        """Send one pending refund, or find out what became of it."""
        plan = await self._store.transact(partial(self._intend, (app_id, payment_id), refund_id))
        if plan is None:
            return
        refund, attempt, first = plan
        opened = await self._accounts.opened(app_id, attempt.channel_account_id)
        request = refund_request(refund, attempt, self.views)
        channel, told = opened.channel, partial(outcome_of, metrics=self._metrics, channel=attempt.channel)
        if first:
            answer = await told(channel.refund(request), verb="refund")
        else:
            answer = await told(channel.query_refund(request), verb="query_refund")
        if isinstance(answer, RefundNotFound) and Verb.REFUND in channel.capabilities.idempotent:
            answer = await told(channel.refund(request), verb="refund")
        await self._record(refund, opened, answer)

    async def _intend(self, key: Key, refund_id: str, tx: Transaction) -> tuple[Refund, Attempt, bool] | None:
        """Commit the intent to send; None when there is nothing to do now. Refunds of a trade keep the gap."""
        now = self._clock.now()
        before = await open_dossiers(tx, [key], [(key[0], refund_id)])
        dossier = before.get(key)
        if dossier is None or refund_id not in dossier.refunds:
            return None
        draft = dossier.copy()
        refund = draft.refunds[refund_id]
        if refund.status is not RefundStatus.PENDING:
            return None
        attempt = draft.attempts[refund.attempt_id]
        first = refund.sent_at is None
        pause = await self._gap_left(tx, refund, attempt, now) if first else timedelta(0)
        if pause > timedelta(0):
            draft.refunds[refund_id] = replace(refund, next_try_at=now + pause)
            await file_dossiers(tx, before, {key: draft})
            return None
        refund = replace(refund, sent_at=refund.sent_at or now, tries=refund.tries + 1)
        draft.refunds[refund_id] = refund
        await file_dossiers(tx, before, {key: draft})
        return refund, attempt, first

    async def _gap_left(self, tx: Transaction, refund: Refund, attempt: Attempt, now: datetime) -> timedelta:
        gap = self._accounts.kinds[attempt.channel].capabilities.refund_gap_seconds
        last = await tx.last_refund_sent_at((refund.app_id, refund.attempt_id))
        return timedelta(0) if last is None else last + timedelta(seconds=gap) - now

    async def _record(self, refund: Refund, opened: OpenAccount, answer: RefundEvent | AttemptError) -> None:
        """A definite no that is about us (unreachable, misconfigured) is tried again; one of the channel is final."""
        event: RefundEvent = RefundAccepted() if isinstance(answer, AttemptError) else answer
        recorded = await self._payments.record(
            Record(
                app_id=refund.app_id,
                channel_account_id=opened.account.id,
                identity=opened.channel.identity,
                reports=(Report(refund.reference, event),),
                interruption=answer if isinstance(answer, AttemptError) else None,
            )
        )
        if recorded.mismatches:
            log.error("refund_contradicts", refund_id=refund.id, mismatches=recorded.mismatches)
        if isinstance(event, RefundRejected):
            log.warning("refund_rejected", refund_id=refund.id, code=event.code, channel_code=event.channel_code)


def _claim(command: CreateRefund, now: datetime) -> Claim | None:
    if command.intent is None:
        return None
    return Claim(command.app_id, command.intent.key, command.intent.fingerprint, now, command.refund_id)
