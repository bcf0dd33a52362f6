"""Attempts: paying a pending payment by a method. Intent, call, record.

The intent commits with the attempt (and the idempotency key) before the channel hears of it; the channel is called
holding nothing; its answer is recorded in a new transaction. A crash in between leaves an attempt that is asked about
within seconds.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from tongbao.domain import errors
from tongbao.domain import payment as domain
from tongbao.domain.errors import TongbaoError
from tongbao.domain.payment import CALL_DEADLINE, OPEN_ATTEMPT, Attempt, AttemptError, AttemptStatus, Payment
from tongbao.domain.report import AttemptEvent, NotFound, Report
from tongbao.ports import Clock, Ids
from tongbao.ports.store import Answer, Claim, Grouping, Queue, Store, Transaction
from tongbao.services.accounts import Accounts, OpenAccount, refuse_wrong_options
from tongbao.services.calls import as_declined, attempt_request, outcome_of
from tongbao.services.creation import Creation
from tongbao.services.dossier import Dossier, file_dossiers, open_dossiers
from tongbao.services.idempotency import (
    Intent,
    Replay,
    SameAs,
    TakenOver,
    Verdict,
    after_the_first_write,
    claim,
    goes_on,
    in_progress,
)
from tongbao.services.metrics import Metrics
from tongbao.services.payments import Payments, Record, Recorded
from tongbao.services.views import Views, encoded

ATTEMPTS_MAX = 50
"""Of one payment: each is remembered, asked about and locked with it, and a buyer's page can begin them."""
RECORD_AGAIN_SECONDS = (0.1, 0.5, 1.5)
FIRST_QUERY_AFTER = timedelta(seconds=5)
"""A crash between intent and record is asked about this soon."""


@dataclass(frozen=True, slots=True)
class Begin:
    """An attempt to begin on a payment that exists."""

    app_id: str
    payment_id: str
    attempt_id: str
    reference: str
    method: str
    channel: str
    channel_account_id: str
    options: Mapping[str, object]
    intent: Intent | None


@dataclass(frozen=True, slots=True)
class Begun:
    """`calling` tells that the channel comes next; otherwise the attempt existed with a next action that holds."""

    payment: Payment
    attempt: Attempt
    calling: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """What a caller gets: an HTTP status and the JSON text. `error` is what interrupted the channel's call."""

    status: int
    body: str
    replayed: bool = False
    error: AttemptError | None = None


class Attempts:
    """Creates payments with their first attempt, and further attempts."""

    def __init__(
        self,
        store: Store,
        grouping: Grouping,
        clock: Clock,
        ids: Ids,
        views: Views,
        accounts: Accounts,
        creation: Creation,
        payments: Payments,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._views = views
        self._accounts = accounts
        self._creation = creation
        self._payments = payments
        self._metrics = metrics
        self._queue: Queue[Begin, Begun | Replay] = grouping(self._execute, in_flight_max=1)

    async def create(
        self, payment: Payment, options: Mapping[str, object], account_id: str | None, intent: Intent | None
    ) -> Answered:
        """`POST /v1/payments`: commits the payment first; a failing channel call does not undo it."""
        if payment.method is None:
            created = await self._creation.create(payment, None, intent)
            return Answered(created.status, created.body, created.replayed)
        opened = await self._accounts.choose(payment.app_id, payment.method, payment.amount, account_id)
        refuse_wrong_options(opened.channel.capabilities.methods[payment.method], options)
        attempt = self._plan(payment, payment.method, opened, options)
        created = await self._creation.create(payment, attempt, intent)
        if created.attempt is None:
            return Answered(created.status, created.body, created.replayed)
        return await self._call(payment, attempt, opened, intent)

    async def begin(
        self,
        app_id: str,
        payment: Payment,
        method: str,
        options: Mapping[str, object],
        account_id: str | None,
        intent: Intent | None,
        seen_at: str | None = None,
    ) -> Answered:
        """`POST /v1/payments/{id}/attempts`: another try at a pending payment. Raises TransitionRefused, NotFound.
        `seen_at` is the address of the buyer's browser, where it is the buyer who chose."""
        opened = await self._accounts.choose(app_id, method, payment.amount, account_id)
        refuse_wrong_options(opened.channel.capabilities.methods[method], options)
        command = Begin(
            app_id,
            payment.id,
            self._ids.make("att"),
            self._ids.reference(),
            method,
            opened.account.channel,
            opened.account.id,
            options,
            intent,
        )
        begun = await self._queue.submit(command)
        if isinstance(begun, Replay):
            return Answered(begun.status, begun.body, replayed=True)
        if not begun.calling:
            return Answered(200, encoded(self._views.payment(begun.payment, begun.attempt)))
        return await self._call(begun.payment, begun.attempt, opened, intent, seen_at, failure_is_answer=True)

    # --- intent

    def _plan(self, payment: Payment, method: str, opened: OpenAccount, options: Mapping[str, object]) -> Attempt:
        command = Begin(
            payment.app_id,
            payment.id,
            self._ids.make("att"),
            self._ids.reference(),
            method,
            opened.account.channel,
            opened.account.id,
            options,
            None,
        )
        return _attempt(command, payment, payment.created_at)

    async def _execute(self, commands: Sequence[Begin]) -> Sequence[Begun | Replay | TongbaoError]:
        return await self._store.transact(partial(self._begin_batch, commands))

    async def _begin_batch(self, commands: Sequence[Begin], tx: Transaction) -> list[Begun | Replay | TongbaoError]:
        now = self._clock.now()
        verdicts = await claim(tx, [_claim(command, now) for command in commands], now)
        before = await open_dossiers(tx, {(c.app_id, c.payment_id) for c in commands})
        after = {key: dossier.copy() for key, dossier in before.items()}
        results: list[Begun | Replay | TongbaoError] = []
        for command, verdict in zip(commands, verdicts, strict=True):
            results.append(self._decide(command, verdict, after.get((command.app_id, command.payment_id)), now))
        await file_dossiers(tx, before, after)
        await self._settle_claims(tx, commands, verdicts, results)
        return results

    def _decide(
        self, command: Begin, verdict: Verdict, dossier: Dossier | None, now: datetime
    ) -> Begun | Replay | TongbaoError:
        if isinstance(verdict, SameAs):
            return in_progress()
        if isinstance(verdict, Replay | TongbaoError):
            return verdict
        if dossier is None:
            return errors.NotFound(f"no payment {command.payment_id}")
        if isinstance(verdict, TakenOver) and verdict.object_id in dossier.attempts:
            return Begun(dossier.payment, dossier.attempts[verdict.object_id], calling=False)  # one key, one attempt
        held = _held(dossier, command.method, now)
        refused = _refusal(dossier, command.method, held is None, now)
        if refused is not None:
            return refused
        if held is not None:
            return Begun(dossier.payment, held, calling=False)
        return Begun(dossier.payment, _add(dossier, command, now), calling=True)

    async def _settle_claims(
        self,
        tx: Transaction,
        commands: Sequence[Begin],
        verdicts: Sequence[Verdict],
        results: Sequence[Begun | Replay | TongbaoError],
    ) -> None:
        """An attempt that existed is the answer already; the key of a refused one is given back."""
        answers, dropped = [], []
        for command, verdict, result in zip(commands, verdicts, results, strict=True):
            if not goes_on(verdict) or command.intent is None:
                continue
            if isinstance(result, TongbaoError):
                dropped.append((command.app_id, command.intent.key))
            elif isinstance(result, Begun) and not result.calling:
                body = encoded(self._views.payment(result.payment, result.attempt))
                answers.append(Answer(command.app_id, command.intent.key, 200, body, result.payment.id))
        if answers:
            await tx.answer_claims(answers)
        if dropped:
            await tx.drop_claims(dropped)

    # --- call and record

    async def _call(
        self,
        payment: Payment,
        attempt: Attempt,
        opened: OpenAccount,
        intent: Intent | None,
        seen_at: str | None = None,
        *,
        failure_is_answer: bool = False,
    ) -> Answered:
        """Calls the channel and records what it says. With `failure_is_answer` an interrupted call's key is left to
        the caller, whose answer is the failure."""
        request = attempt_request(payment, attempt, self._views, seen_at)
        answer = await outcome_of(opened.channel.create(request), self._metrics, attempt.channel, "create")
        interruption: AttemptError | None = None
        event: AttemptEvent
        if isinstance(answer, AttemptError):
            interruption = answer
            event = as_declined(answer) or NotFound()
        else:
            event = answer
        kept = intent if interruption is None or not failure_is_answer else None
        record = Record(
            app_id=payment.app_id,
            channel_account_id=opened.account.id,
            identity=opened.channel.identity,
            reports=(Report(attempt.reference, event),),
            interruption=interruption if isinstance(event, NotFound) else None,
            answer=(kept.key, 201) if kept is not None else None,
        )
        with after_the_first_write():
            recorded = await self._insist(record)
        return Answered(201, self._body(recorded), error=interruption)

    async def _insist(self, record: Record) -> Recorded:
        """The channel's answer is in our hands and nowhere else: it is worth a few tries."""
        for pause in RECORD_AGAIN_SECONDS:
            try:
                return await self._payments.record(record)
            except errors.StorageUnavailable:
                await asyncio.sleep(pause)
        return await self._payments.record(record)

    def _body(self, recorded: Recorded) -> str:
        assert recorded.payment is not None, "the attempt was committed before its channel was called"
        return encoded(self._views.payment(recorded.payment, recorded.latest))


def _held(dossier: Dossier, method: str, now: datetime) -> Attempt | None:
    """The open attempt by this method whose next action still holds."""
    for attempt in dossier.attempts.values():
        if attempt.method == method and attempt.status in OPEN_ATTEMPT and not attempt.close_wanted:
            action = attempt.next_action
            if action is not None and (action.valid_until is None or now < action.valid_until):
                return attempt
    return None


def _refusal(dossier: Dossier, method: str, needs_new: bool, now: datetime) -> TongbaoError | None:
    """Why no attempt by this method may be begun now."""
    try:
        domain.refuse_unless_payable(dossier.payment, now)
    except TongbaoError as refused:
        return refused
    if not needs_new:
        return None
    for attempt in dossier.attempts.values():
        in_flight = attempt.call_until is not None and now < attempt.call_until
        if in_flight and attempt.method == method and attempt.status is AttemptStatus.CREATED:
            message = "an attempt by this method is just being made; repeat this in a moment"
            return errors.TransitionRefused(message, code="attempt_in_progress")
    if len(dossier.attempts) >= ATTEMPTS_MAX:
        message = f"a payment takes at most {ATTEMPTS_MAX} attempts"
        return errors.TransitionRefused(message, code="too_many_attempts")
    return None


def _add(dossier: Dossier, command: Begin, now: datetime) -> Attempt:
    """A new attempt; the others are to be closed, best effort."""
    for other_id, other in dossier.attempts.items():
        if other.status in OPEN_ATTEMPT:
            dossier.attempts[other_id] = replace(other, close_wanted=True, next_query_at=now)
    attempt = _attempt(command, dossier.payment, now)
    dossier.attempts[attempt.id] = attempt
    dossier.new_attempts.append(attempt.id)
    return attempt


def _attempt(command: Begin, payment: Payment, now: datetime) -> Attempt:
    return Attempt(
        app_id=command.app_id,
        id=command.attempt_id,
        payment_id=payment.id,
        method=command.method,
        channel=command.channel,
        channel_account_id=command.channel_account_id,
        reference=command.reference,
        amount=payment.amount,
        expires_at=payment.expires_at,
        created_at=now,
        options=command.options,
        call_until=now + CALL_DEADLINE,
        next_query_at=now + FIRST_QUERY_AFTER,
    )


def _claim(command: Begin, now: datetime) -> Claim | None:
    if command.intent is None:
        return None
    return Claim(command.app_id, command.intent.key, command.intent.fingerprint, now, command.attempt_id)
