"""Creating payments: the hottest write. Decide, write payment, first attempt, event and idempotency key, commit.

Natural keys make it safe to repeat: `order_no` is unique per app for ever. The same order with the same terms is the
payment that exists; with other terms it is refused. The channel is called later, holding nothing (see attempts.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tongbao.domain.errors import OrderConflict, TongbaoError
from tongbao.domain.event import Event, EventType
from tongbao.domain.payment import Attempt, Payment
from tongbao.ports import Clock, Ids
from tongbao.ports.store import Answer, Claim, Grouping, Key, Store, Transaction
from tongbao.services.idempotency import Intent, Replay, SameAs, Verdict, claim, goes_on, in_progress
from tongbao.services.pushes import Pushes
from tongbao.services.views import Views, encoded


@dataclass(frozen=True, slots=True)
class Create:
    """A payment to create, with its first attempt when the method is known already."""

    payment: Payment
    attempt: Attempt | None
    intent: Intent | None
    body: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Created:
    """`body` is the answer's text; `fresh` tells 201 from 200; `attempt` is set when its channel call comes next."""

    status: int
    body: str
    payment_id: str
    fresh: bool
    replayed: bool = False
    attempt: Attempt | None = None


class Creation:
    """Creates payments in groups."""

    def __init__(self, store: Store, grouping: Grouping, clock: Clock, ids: Ids, views: Views, pushes: Pushes) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._views = views
        self._pushes = pushes
        self._queue = grouping(self._execute, in_flight_max=2)

    async def create(self, payment: Payment, attempt: Attempt | None, intent: Intent | None) -> Created:
        """Raises OrderConflict, IdempotencyConflict, StorageUnavailable."""
        body = encoded(self._views.payment(payment, attempt))
        return await self._queue.submit(Create(payment, attempt, intent, body, self._ids.make("evt")))

    async def _execute(self, commands: Sequence[Create]) -> Sequence[Created | TongbaoError]:
        results, deliveries = await self._store.transact(partial(self._create_batch, commands))
        if deliveries:
            self._pushes.wake(())
        return results

    async def _create_batch(
        self, commands: Sequence[Create], tx: Transaction
    ) -> tuple[list[Created | TongbaoError], int]:
        """The results, and how many deliveries came to be."""
        now = self._clock.now()
        verdicts = await claim(tx, [_claim(command) for command in commands], now)
        going = [command for command, verdict in zip(commands, verdicts, strict=True) if goes_on(verdict)]
        fresh, existing, deliveries = await self._insert(tx, going)
        results: list[Created | TongbaoError] = []
        for command, verdict in zip(commands, verdicts, strict=True):
            results.append(self._result(command, verdict, results, fresh, existing))
        await self._settle_claims(tx, commands, verdicts, results)
        return results, deliveries

    async def _insert(
        self, tx: Transaction, going: Sequence[Create]
    ) -> tuple[dict[Key, Create], dict[Key, tuple[Payment, Attempt | None]], int]:
        """The commands that made their payment, the payments that were there before, by order_no, and deliveries."""
        firsts: dict[Key, Create] = {}
        for command in going:
            firsts.setdefault((command.payment.app_id, command.payment.order_no), command)
        if not firsts:
            return {}, {}, 0
        inserted = await tx.insert_payments([command.payment for command in firsts.values()])
        fresh = {key: command for key, command in firsts.items() if key in inserted}
        deliveries = await self._insert_what_follows(tx, list(fresh.values())) if fresh else 0
        lost = firsts.keys() - inserted
        existing = await self._read_existing(tx, lost) if lost else {}
        return fresh, existing, deliveries

    @staticmethod
    async def _insert_what_follows(tx: Transaction, created: Sequence[Create]) -> int:
        attempts = [command.attempt for command in created if command.attempt is not None]
        if attempts:
            await tx.insert_attempts(attempts)
        kind = EventType.PAYMENT_CREATED
        return await tx.insert_events(
            [Event(c.payment.app_id, c.event_id, kind, c.payment.id, 1, c.body, c.payment.created_at) for c in created]
        )

    @staticmethod
    async def _read_existing(tx: Transaction, lost: set[Key]) -> dict[Key, tuple[Payment, Attempt | None]]:
        payments = await tx.payments_by_order_no(lost)
        shown: dict[str, Attempt] = {}
        settled = {payment.settled_attempt_id for payment in payments.values()}
        for attempt in await tx.attempts_of((p.app_id, p.id) for p in payments.values()):
            before = shown.get(attempt.payment_id)
            if before is None or before.id not in settled:  # the one that settled it, else the newest
                shown[attempt.payment_id] = attempt
        return {key: (payment, shown.get(payment.id)) for key, payment in payments.items()}

    def _result(
        self,
        command: Create,
        verdict: Verdict,
        earlier: Sequence[Created | TongbaoError],
        fresh: dict[Key, Create],
        existing: dict[Key, tuple[Payment, Attempt | None]],
    ) -> Created | TongbaoError:
        if isinstance(verdict, TongbaoError):
            return verdict
        if isinstance(verdict, Replay):
            return Created(verdict.status, verdict.body, verdict.object_id or "", fresh=False, replayed=True)
        if isinstance(verdict, SameAs):
            return _repeated(earlier[verdict.index])
        key = (command.payment.app_id, command.payment.order_no)
        if fresh.get(key) is command:
            return Created(201, command.body, command.payment.id, fresh=True, attempt=command.attempt)
        if key in fresh:
            first = fresh[key]
            payment, latest = first.payment, first.attempt
        else:
            payment, latest = existing[key]
        if payment.amount != command.payment.amount:
            return OrderConflict(
                f"order_no {payment.order_no!r} exists as {payment.id} over {payment.amount}; "
                "use another order_no for another order"
            )
        return Created(200, encoded(self._views.payment(payment, latest)), payment.id, fresh=False)

    @staticmethod
    async def _settle_claims(
        tx: Transaction,
        commands: Sequence[Create],
        verdicts: Sequence[Verdict],
        results: Sequence[Created | TongbaoError],
    ) -> None:
        """Keys whose payment existed already get that answer; the key of a refused order is given back."""
        answers, dropped = [], []
        for command, verdict, result in zip(commands, verdicts, results, strict=True):
            if not goes_on(verdict) or command.intent is None:
                continue
            app_id, key = command.payment.app_id, command.intent.key
            if isinstance(result, TongbaoError):
                dropped.append((app_id, key))
            elif not result.fresh:
                answers.append(Answer(app_id, key, result.status, result.body, result.payment_id))
        if answers:
            await tx.answer_claims(answers)
        if dropped:
            await tx.drop_claims(dropped)


def _claim(command: Create) -> Claim | None:
    """Without a channel call the answer is known at once: the text that the payment's first event holds too."""
    if command.intent is None:
        return None
    payment, intent = command.payment, command.intent
    if command.attempt is not None:
        return Claim(payment.app_id, intent.key, intent.fingerprint, payment.created_at, payment.id)
    created_at = payment.created_at
    return Claim(payment.app_id, intent.key, intent.fingerprint, created_at, payment.id, 201)


def _repeated(first: Created | TongbaoError) -> Created | TongbaoError:
    """The result of a repeat in the same batch. While the first one's channel call is to come, it is still running."""
    if isinstance(first, TongbaoError):
        return first
    if first.attempt is not None:
        return in_progress()
    return Created(first.status, first.body, first.payment_id, fresh=False, replayed=True)
