"""The whole domain against a second, independent model: any order of messages, wishes and time.

A quick run takes seconds; `HYPOTHESIS_PROFILE=nightly` runs 50,000 x 100 steps.
"""

from collections import Counter
from datetime import datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests import made
from tests.domain.model import RANKS, Model, ModelAttempt
from tests.examples import examples
from tests.simulated import START
from tongbao.domain import payment as domain
from tongbao.domain import refund as refunds
from tongbao.domain.errors import AmountExceeded, TransitionRefused
from tongbao.domain.ledger import REFUND_CREATED_POSTING, REFUND_POSTINGS, Posting, Transfer, deltas
from tongbao.domain.money import CNY, Money
from tongbao.domain.payment import Attempt, AttemptStatus, Fact, PaymentStatus
from tongbao.domain.refund import Refund, RefundKind
from tongbao.domain.report import (
    Accepted,
    AttemptEvent,
    Closed,
    Declined,
    NotFound,
    Paid,
    RefundAccepted,
    RefundDone,
    RefundEvent,
    RefundNotFound,
    RefundRejected,
    Stated,
)

ATTEMPTS_MAX, REFUNDS_MAX = 3, 8
CALL_SECONDS = st.sampled_from([0, 35, 2_000])
SAID: dict[str, AttemptEvent] = {
    "accepted": Accepted(),
    "paid": Paid(Stated()),
    "declined": Declined("no"),
    "closed": Closed(),
    "not_found": NotFound(),
}
SAID_OF_REFUND: dict[str, RefundEvent] = {
    "accepted": RefundAccepted(),
    "done": RefundDone(),
    "rejected": RefundRejected("no"),
    "not_found": RefundNotFound(),
}
TOLD: dict[type, str] = {
    domain.PaymentSucceeded: "succeeded",
    domain.PaymentClosed: "closed",
    domain.AttemptFailed: "failed",
}
PLACES = {"refunds_under_way": "under_way"}


class Desk(RuleBasedStateMachine):
    """Drives the domain's functions, and the model, with the same choices."""

    @initialize(
        amount=st.sampled_from([1, 2, 9_999, 99_999_999_999]),
        expires_in=st.sampled_from([60, 1_800]),
        calls=st.lists(CALL_SECONDS, max_size=ATTEMPTS_MAX),
    )
    def open(self, amount: int, expires_in: int, calls: list[int]) -> None:
        self.now = 0
        self.model = Model(amount, expires_in)
        expires_at = START + timedelta(seconds=expires_in)
        self.payment = made.payment(1, amount=Money(amount, CNY), expires_at=expires_at)
        self.attempts: list[Attempt] = []
        self.refunds: list[Refund] = []
        self.transfers: list[Transfer] = []
        self.told: Counter[str] = Counter()
        for call_seconds in calls:
            self.begin(call_seconds)

    @property
    def moment(self) -> datetime:
        return START + timedelta(seconds=self.now)

    def post(self, posting: Posting, fact_id: str, amount: Money) -> None:
        number = f"tr_{len(self.transfers)}"
        self.transfers.append(Transfer("app_1", number, posting, fact_id, "ca_1", amount, self.moment))

    def carry_out(self, fact: Fact) -> None:
        if isinstance(fact, domain.SurplusReceived):
            self.told["late" if fact.late else "second"] += 1
            (index,) = [i for i, attempt in enumerate(self.attempts) if attempt.id == fact.attempt_id]
            self.post(Posting.SURPLUS_PAID, fact.attempt_id, self.payment.amount)
            self.open_refund(index, self.payment.amount.minor, RefundKind.SURPLUS)
            return
        self.told[TOLD[type(fact)]] += 1
        if isinstance(fact, domain.PaymentSucceeded):
            self.post(Posting.PAID, fact.attempt_id, self.payment.amount)

    def open_refund(self, index: int, amount: int, kind: RefundKind) -> None:
        refund = made.refund(len(self.refunds), self.attempts[index], amount=Money(amount, CNY), kind=kind)
        self.attempts[index] = refunds.reserve(self.attempts[index], refund)
        if kind is RefundKind.MERCHANT:
            self.payment = refunds.resum(self.payment, refund, (None, refund.status))
        self.refunds.append(refund)
        self.post(REFUND_CREATED_POSTING[kind], refund.id, refund.amount)

    def look(self) -> None:
        self.payment, fact = domain.conclude(self.payment, self.attempts, self.moment)
        if fact is not None:
            self.carry_out(fact)

    # --- steps

    @rule(seconds=st.sampled_from([1, 30, 59, 60, 300, 1_800]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(after=st.sampled_from([-1, 0, 59, 60, 61]))
    def the_deadline_comes(self, after: int) -> None:
        self.now = max(self.now, self.model.deadline + after)

    @precondition(lambda self: len(self.attempts) < ATTEMPTS_MAX)
    @rule(call_seconds=CALL_SECONDS)
    def an_attempt_begins(self, call_seconds: int) -> None:
        self.begin(call_seconds)

    def begin(self, call_seconds: int) -> None:
        may = self.model.may_begin(self.now)
        try:
            domain.refuse_unless_payable(self.payment, self.moment)
        except TransitionRefused:
            assert not may
            return
        assert may
        busy = self.now + call_seconds if call_seconds else None
        until = START + timedelta(seconds=busy) if busy is not None else None
        number = len(self.attempts)
        self.attempts.append(made.attempt(number, self.payment, status=AttemptStatus.CREATED, call_until=until))
        self.model.attempts.append(ModelAttempt(busy_until=busy))

    @precondition(lambda self: self.attempts)
    @rule(number=st.integers(0, ATTEMPTS_MAX - 1), said=st.sampled_from([*SAID]))
    def a_channel_reports(self, number: int, said: str) -> None:
        self.report(number % len(self.attempts), said)

    @precondition(lambda self: any(attempt.is_open for attempt in self.model.attempts))
    @rule(after=st.sampled_from([-1, 0, 59, 60, 61]), said=st.sampled_from([*SAID, "not_found"]))
    def a_channel_reports_around_the_deadline(self, after: int, said: str) -> None:
        self.the_deadline_comes(after)
        self.report(next(i for i, attempt in enumerate(self.model.attempts) if attempt.is_open), said)

    def report(self, index: int, said: str) -> None:
        event = domain.believable(self.attempts[index], SAID[said], self.moment)
        applied = domain.apply_report(self.payment, self.attempts[index], event, self.moment)
        self.payment, self.attempts[index] = applied.payment, applied.attempt
        for fact in applied.facts:
            self.carry_out(fact)
        self.look()
        self.model.hear(index, said, self.now)

    @rule()
    def the_merchant_cancels(self) -> None:
        allowed = self.model.cancel(self.now)
        try:
            self.payment = domain.want_cancel(self.payment, self.moment)
        except TransitionRefused:
            assert not allowed
            return
        assert allowed
        self.look()

    @rule()
    def a_worker_looks(self) -> None:
        self.look()
        self.model.look(self.now)

    @precondition(lambda self: len(self.refunds) < REFUNDS_MAX)
    @rule(data=st.data())
    def the_merchant_refunds(self, data: st.DataObject) -> None:
        whole = self.model.amount
        amount = data.draw(st.sampled_from([1, max(1, whole - 1), whole, whole + 1]) | st.integers(1, whole))
        index = self.model.settled
        fits = self.model.refund(amount)
        if self.payment.settled_attempt_id is None:
            assert not fits
            return
        assert index is not None
        try:
            self.open_refund(index, amount, RefundKind.MERCHANT)
        except AmountExceeded:
            assert not fits
        else:
            assert fits

    @precondition(lambda self: self.refunds)
    @rule(number=st.integers(0, REFUNDS_MAX - 1), said=st.sampled_from([*SAID_OF_REFUND, "rejected", "done"]))
    def a_channel_reports_a_refund(self, number: int, said: str) -> None:
        number %= len(self.refunds)
        refund = self.refunds[number]
        (index,) = [i for i, attempt in enumerate(self.attempts) if attempt.id == refund.attempt_id]
        agrees = self.model.hear_of_refund(number, said)
        try:
            applied = refunds.apply_refund_report(refund, self.attempts[index], SAID_OF_REFUND[said], self.moment)
        except AmountExceeded:
            assert not agrees
            return
        assert agrees
        self.refunds[number], self.attempts[index] = applied.refund, applied.attempt
        if applied.moved is None:
            return
        self.post(REFUND_POSTINGS[refund.kind][applied.moved], refund.id, refund.amount)
        if refund.kind is RefundKind.MERCHANT:
            self.payment = refunds.resum(self.payment, applied.refund, applied.moved)

    # --- what must hold after every step

    @invariant()
    def statuses_agree(self) -> None:
        model = self.model
        assert (self.payment.status, self.payment.closed_reason) == (model.status, model.reason)
        assert [attempt.status for attempt in self.attempts] == [RANKS[attempt.rank] for attempt in model.attempts]
        settled = None if model.settled is None else self.attempts[model.settled].id
        assert self.payment.settled_attempt_id == settled
        assert [refund.status for refund in self.refunds] == [refund.state for refund in model.refunds]
        assert self.told == model.told

    @invariant()
    def money_agrees(self) -> None:
        balances = {PLACES.get(delta.kind, delta.kind): delta.minor for delta in deltas(self.transfers)}
        assert balances == {place: minor for place, minor in self.model.money.items() if minor}
        assert sum(balances.values()) == 0
        assert self.payment.amount_refunded == self.model.returned("succeeded", surplus=False)
        assert self.payment.amount_refunding == self.model.returned("pending", surplus=False)
        for attempt, expected in zip(self.attempts, self.model.attempts, strict=True):
            assert attempt.amount_refunded + attempt.amount_refunding == expected.gone <= self.model.amount

    @invariant()
    def one_end_and_no_more_than_the_money_of_one(self) -> None:
        """I2: of the paid attempts one settles, every other has its whole amount on the way back, or refused."""
        assert self.told["succeeded"] + self.told["closed"] == (self.payment.status is not PaymentStatus.PENDING)
        for attempt in self.attempts:
            if attempt.status is AttemptStatus.SUCCEEDED and attempt.id != self.payment.settled_attempt_id:
                (surplus,) = [refund for refund in self.refunds if refund.attempt_id == attempt.id]
                assert (surplus.kind, surplus.amount) == (RefundKind.SURPLUS, attempt.amount)


TestDesk = Desk.TestCase
TestDesk.settings = examples(250, 50_000, steps=50)
