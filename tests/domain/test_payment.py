"""Payment and attempt: the tables are whole, no order of messages matters, and time decides only what it may."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import combinations_with_replacement, pairwise, permutations, product

import pytest

from tests import made
from tests.simulated import START
from tongbao.domain.errors import TransitionRefused
from tongbao.domain.lifecycle import as_mermaid, next_status
from tongbao.domain.money import CURRENCIES, Money
from tongbao.domain.payment import (
    ATTEMPT_LIFECYCLE,
    CALL_DEADLINE,
    DEADLINE_GRACE,
    OPEN_ATTEMPT,
    PAYMENT_LIFECYCLE,
    Attempt,
    AttemptError,
    AttemptFailed,
    AttemptStatus,
    ClosedReason,
    Concluded,
    Payment,
    PaymentClosed,
    PaymentStatus,
    PaymentSucceeded,
    Settled,
    SurplusReceived,
    apply_report,
    believable,
    conclude,
    interrupted,
    mismatches,
    next_query,
    refuse_unless_payable,
    want_cancel,
)
from tongbao.domain.report import (
    Accepted,
    AttemptEvent,
    Closed,
    Declined,
    Identity,
    NextAction,
    NextActionKind,
    NotFound,
    Paid,
    Stated,
)

RANK = {status: rank for rank, status in enumerate(("created", "pending", "failed", "closed", "succeeded"))}
WORTH = {Accepted: "pending", NotFound: "created", Declined: "failed", Closed: "closed", Paid: "succeeded"}
PAYMENT = made.payment(1)
ATTEMPT = made.attempt(1, PAYMENT, status=AttemptStatus.CREATED)
ME = Identity("2021", "2088")
EVENTS: tuple[AttemptEvent, ...] = (
    Accepted("T1", NextAction(NextActionKind.QR_CODE, content="qr")),
    Paid(Stated(ATTEMPT.amount, "2021"), "T1"),
    Declined("no_money"),
    Closed("T1"),
    NotFound(),
)


# --- the tables


def test_every_cell_is_there_and_a_report_only_raises_the_rank() -> None:
    """The table is the rule 'a report raises the rank or does nothing', spelled out; here the rule is computed."""
    assert set(ATTEMPT_LIFECYCLE) == set(AttemptStatus)
    for status, event in product(AttemptStatus, WORTH):
        after = ATTEMPT_LIFECYCLE[status][event]
        assert after == max(status, WORTH[event], key=RANK.__getitem__), (status, event)
    assert all(set(row) == set(WORTH) for row in ATTEMPT_LIFECYCLE.values())


def test_a_payment_moves_once() -> None:
    assert set(PAYMENT_LIFECYCLE) == set(PaymentStatus)
    for status, event in product((PaymentStatus.SUCCEEDED, PaymentStatus.CLOSED), (Settled, Concluded)):
        assert PAYMENT_LIFECYCLE[status].get(event, status) is status
    with pytest.raises(TransitionRefused):
        next_status(PAYMENT_LIFECYCLE, PaymentStatus.SUCCEEDED, Concluded())


def test_a_missing_cell_is_the_refusal() -> None:
    with pytest.raises(TransitionRefused, match="created does not accept str"):
        next_status(ATTEMPT_LIFECYCLE, AttemptStatus.CREATED, "paid")


def test_the_diagram_names_every_move_and_no_repeat() -> None:
    text = as_mermaid(ATTEMPT_LIFECYCLE, AttemptStatus.CREATED)
    assert "[*] --> created" in text
    assert "closed --> succeeded: Paid" in text
    assert "succeeded -->" not in text
    moves = sum(target is not status for status, row in ATTEMPT_LIFECYCLE.items() for target in row.values())
    assert sum(line.count(",") + 1 for line in text.splitlines() if ": " in line) == moves


# --- permutations


def end_of(reports: Sequence[tuple[int, AttemptEvent]], now: datetime = START) -> tuple[Payment, tuple[Attempt, ...]]:
    """Payment and both attempts after the reports. Money is counted on the way, and facts are."""
    payment, attempts = PAYMENT, [ATTEMPT, made.attempt(2, PAYMENT, status=AttemptStatus.CREATED, reference="R2")]
    facts: list[object] = []
    for index, event in reports:
        applied = apply_report(payment, attempts[index], event, now)
        assert RANK[applied.attempt.status] >= RANK[attempts[index].status], "a rank never falls"
        payment, attempts[index] = applied.payment, applied.attempt
        facts += applied.facts
    wins = sum(isinstance(fact, PaymentSucceeded) for fact in facts)
    surplus = [fact for fact in facts if isinstance(fact, SurplusReceived)]
    assert wins == (payment.status is PaymentStatus.SUCCEEDED)
    assert wins + len(surplus) == sum(attempt.status is AttemptStatus.SUCCEEDED for attempt in attempts)
    assert not any(fact.late for fact in surplus), "nothing was closed"
    settled = payment.settled_attempt_id
    assert (settled is None) == (wins == 0)
    assert settled in (None, *(a.id for a in attempts if a.status is AttemptStatus.SUCCEEDED))
    return payment, tuple(attempts)


@pytest.mark.parametrize("length", range(1, 6))
def test_every_permutation_of_reports_ends_alike(length: int) -> None:
    for chosen in combinations_with_replacement(range(len(EVENTS)), length):
        ends = [end_of([(0, EVENTS[i]) for i in order]) for order in set(permutations(chosen))]
        assert all(end == ends[0] for end in ends), chosen
        expected = max((WORTH[type(EVENTS[i])] for i in chosen), key=RANK.__getitem__)
        assert ends[0][1][0].status == max(expected, "created", key=RANK.__getitem__)


def test_every_permutation_of_reports_on_two_attempts_ends_alike() -> None:
    """All multisets of four out of (attempt, report); which of two paid attempts settles is the only thing that may
    differ, and exactly one does."""
    reports = [(index, event) for index in (0, 1) for event in EVENTS]
    for chosen in combinations_with_replacement(range(len(reports)), 4):
        ends = [end_of([reports[i] for i in order]) for order in set(permutations(chosen))]
        assert all(attempts == ends[0][1] for _, attempts in ends), chosen
        alike = [replace(payment, settled_attempt_id=None) for payment, _ in ends]
        assert all(payment == alike[0] for payment in alike), chosen


def test_a_decided_attempt_states_no_doubt() -> None:
    """What an interrupted call left open is forgotten once the channel says what became of it."""
    unknown = interrupted(ATTEMPT, AttemptError("outcome_unknown", "unknown"), START)
    assert apply_report(PAYMENT, unknown, Closed(), START).attempt.error is None
    assert apply_report(PAYMENT, unknown, EVENTS[1], START).attempt.error is None
    declined = apply_report(PAYMENT, unknown, Declined("no_money"), START).attempt
    assert declined.error == AttemptError("no_money", "not_executed")
    again = apply_report(PAYMENT, declined, Declined("other"), START).attempt
    assert again == declined


def test_a_paid_attempt_keeps_what_its_first_payment_said() -> None:
    first = apply_report(PAYMENT, ATTEMPT, Paid(Stated(), "T1", paid_at=START), START + timedelta(hours=1))
    later = Paid(Stated(), "T1", paid_at=START + timedelta(days=1))
    again = apply_report(first.payment, first.attempt, later, START + timedelta(days=2))
    assert (again.payment, again.attempt, again.facts, again.changed) == (first.payment, first.attempt, (), False)
    assert (first.payment.paid_at, first.payment.method) == (START, "alipay_qr")


def test_facts() -> None:
    failed = apply_report(PAYMENT, ATTEMPT, Declined("no", "why", "C", "words"), START)
    assert failed.facts == (AttemptFailed(ATTEMPT.id),)
    assert failed.attempt.error == AttemptError("no", "not_executed", "why", "C", "words")
    closed = replace(PAYMENT, status=PaymentStatus.CLOSED, closed_reason=ClosedReason.EXPIRED)
    late = apply_report(closed, failed.attempt, EVENTS[1], START)
    assert late.facts == (SurplusReceived(ATTEMPT.id, late=True),)
    assert (late.payment, late.attempt.error) == (closed, None)
    over = apply_report(PAYMENT, replace(ATTEMPT, next_query_at=START, close_wanted=True), Closed(), START).attempt
    assert (over.next_query_at, over.close_wanted, over.next_action) == (None, False, None), "nothing is left to ask"


# --- time

GRACE_OVER = ATTEMPT.expires_at + DEADLINE_GRACE
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("now", "call_until", "status", "proves"),
    [
        (START, None, "pending", False),
        (ATTEMPT.expires_at, None, "pending", False),
        (GRACE_OVER - TICK, None, "pending", False),
        (GRACE_OVER, None, "pending", True),
        (GRACE_OVER, None, "created", True),
        (GRACE_OVER, GRACE_OVER + TICK, "created", False),
        (GRACE_OVER, GRACE_OVER, "created", True),
        (GRACE_OVER - TICK, GRACE_OVER - TICK, "pending", False),
        (GRACE_OVER, None, "failed", False),
        (GRACE_OVER, None, "closed", False),
        (GRACE_OVER, None, "succeeded", False),
    ],
)
def test_no_such_trade_proves_something_only_after_the_deadline(
    now: datetime, call_until: datetime | None, status: str, proves: bool
) -> None:
    attempt = replace(ATTEMPT, status=AttemptStatus(status), call_until=call_until)
    believed = believable(attempt, NotFound(), now)
    assert isinstance(believed, Closed) is proves
    for event in EVENTS[:4]:
        assert believable(attempt, event, now) is event


@pytest.mark.parametrize(
    ("age_seconds", "gap"), [(0, 30), (299, 30), (299.999, 30), (300, 60), (1_000, 60), (10_000, 60)]
)
def test_asked_every_30_s_for_5_minutes_then_every_60_s(age_seconds: float, gap: int) -> None:
    attempt = replace(ATTEMPT, expires_at=START + timedelta(days=1))
    now = START + timedelta(seconds=age_seconds)
    assert next_query(attempt, now) - now == timedelta(seconds=gap)


@pytest.mark.parametrize(("age_seconds", "gap"), [(0, 5), (119, 5), (120, 30), (300, 60)])
def test_asked_every_5_s_while_a_buyer_stands_at_the_counter(age_seconds: float, gap: int) -> None:
    waiting = replace(ATTEMPT, expires_at=START + timedelta(days=1), next_action=NextAction(NextActionKind.WAIT))
    now = START + timedelta(seconds=age_seconds)
    assert next_query(waiting, now) - now == timedelta(seconds=gap)


def test_asked_right_at_the_deadline_and_at_its_grace() -> None:
    deadline = ATTEMPT.expires_at
    now = deadline - timedelta(seconds=10)
    assert next_query(ATTEMPT, now) == deadline
    assert next_query(ATTEMPT, deadline) == deadline + DEADLINE_GRACE
    assert next_query(ATTEMPT, deadline + timedelta(seconds=1)) == deadline + DEADLINE_GRACE
    after = deadline + DEADLINE_GRACE
    assert next_query(ATTEMPT, after) == after + timedelta(seconds=60)


def test_the_schedule_never_stops_and_never_stands_still() -> None:
    asked = [START]
    while asked[-1] < GRACE_OVER + timedelta(minutes=5):
        asked.append(next_query(ATTEMPT, asked[-1]))
    gaps = [(b - a).total_seconds() for a, b in pairwise(asked)]
    assert min(gaps) > 0
    assert max(gaps) == 60
    assert GRACE_OVER in asked


# --- conclude, cancel, another attempt


@pytest.mark.parametrize("status", AttemptStatus)
@pytest.mark.parametrize(("canceled", "expired"), list(product((True, False), repeat=2)))
def test_a_payment_closes_when_nothing_can_be_paid(status: AttemptStatus, canceled: bool, expired: bool) -> None:
    now = PAYMENT.expires_at if expired else PAYMENT.expires_at - TICK
    payment = replace(PAYMENT, cancel_requested_at=START) if canceled else PAYMENT
    done = replace(ATTEMPT, status=AttemptStatus.FAILED)
    after, fact = conclude(payment, [done, replace(ATTEMPT, status=status)], now)
    if status in OPEN_ATTEMPT or not (canceled or expired):
        assert (after, fact) == (payment, None)
        return
    reason = ClosedReason.CANCELED if canceled else ClosedReason.EXPIRED
    assert fact == PaymentClosed(reason)
    assert (after.status, after.closed_reason, after.closed_at) == (PaymentStatus.CLOSED, reason, now)
    assert conclude(after, [], now) == (after, None)


def test_a_paid_payment_does_not_close() -> None:
    paid = replace(PAYMENT, status=PaymentStatus.SUCCEEDED, cancel_requested_at=START)
    assert conclude(paid, [], PAYMENT.expires_at) == (paid, None)


def test_the_wish_to_cancel_is_noted_once() -> None:
    wished = want_cancel(PAYMENT, START)
    assert wished.cancel_requested_at == START
    assert want_cancel(wished, START + TICK) is wished
    closed = replace(PAYMENT, status=PaymentStatus.CLOSED)
    assert want_cancel(closed, START) is closed
    with pytest.raises(TransitionRefused) as refused:
        want_cancel(replace(PAYMENT, status=PaymentStatus.SUCCEEDED), START)
    assert refused.value.code == "payment_succeeded"


@pytest.mark.parametrize(
    ("payment", "now", "code"),
    [
        (replace(PAYMENT, status=PaymentStatus.SUCCEEDED), START, "payment_succeeded"),
        (replace(PAYMENT, status=PaymentStatus.CLOSED), START, "payment_closed"),
        (replace(PAYMENT, cancel_requested_at=START), START, "payment_canceling"),
        (PAYMENT, PAYMENT.expires_at, "payment_expired"),
    ],
)
def test_what_cannot_be_paid_takes_no_attempt(payment: Payment, now: datetime, code: str) -> None:
    with pytest.raises(TransitionRefused) as refused:
        refuse_unless_payable(payment, now)
    assert refused.value.code == code
    refuse_unless_payable(PAYMENT, PAYMENT.expires_at - TICK)


@pytest.mark.parametrize("status", AttemptStatus)
def test_an_interrupted_call_is_asked_about_at_once(status: AttemptStatus) -> None:
    attempt = replace(ATTEMPT, status=status, call_until=START + CALL_DEADLINE)
    error = AttemptError("outcome_unknown", "unknown")
    after = interrupted(attempt, error, START)
    if status not in OPEN_ATTEMPT:
        assert after is attempt, "what is decided is not in doubt any more"
        return
    assert (after.status, after.error, after.call_until) == (status, error, None)
    assert after.next_query_at == START + timedelta(seconds=2)


# --- mismatches

YUAN = Money(9_999, CURRENCIES["CNY"])
KNOWN = replace(ATTEMPT, channel_reference="T1")


@pytest.mark.parametrize(
    ("stated", "reference", "found"),
    [
        (Stated(), None, []),
        (Stated(YUAN, "2021", "2088", frozenset({"amount", "account"})), "T1", []),
        (Stated(required=frozenset({"amount", "account"})), None, ["account", "amount"]),
        (Stated(YUAN, required=frozenset({"amount", "account"})), None, ["account"]),
        (Stated(Money(9_998, YUAN.currency)), None, ["amount"]),
        (Stated(Money(10_000, YUAN.currency)), None, ["amount"]),
        (Stated(Money(999_900, YUAN.currency)), None, ["amount"]),
        (Stated(Money(0, YUAN.currency)), None, ["amount"]),
        (Stated(Money(-9_999, YUAN.currency)), None, ["amount"]),
        (Stated(Money(2**63 + 9_999, YUAN.currency)), None, ["amount"]),
        (Stated(Money(9_999, CURRENCIES["HKD"])), None, ["currency"]),
        (Stated(account="2022"), None, ["account"]),
        (Stated(account=""), None, ["account"]),
        (Stated(seller="2089"), None, ["seller"]),
        (Stated(), "T2", ["channel_reference"]),
        (
            Stated(Money(1, CURRENCIES["USD"]), "x", "y"),
            "z",
            ["amount", "currency", "account", "seller", "channel_reference"],
        ),
    ],
)
def test_what_contradicts_us(stated: Stated, reference: str | None, found: list[str]) -> None:
    for event in (Paid(stated, reference), Accepted(reference, stated=stated), Closed(reference, stated=stated)):
        assert mismatches(KNOWN, event, ME) == found


def test_what_nobody_stored_cannot_be_contradicted() -> None:
    assert mismatches(ATTEMPT, Paid(Stated(seller="2089"), "T9"), Identity("2021")) == []
