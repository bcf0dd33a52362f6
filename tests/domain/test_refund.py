"""Refunds and the ledger: sums that never exceed what was paid, and money that only moves."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import made
from tests.examples import examples
from tests.simulated import START
from tongbao.domain.errors import AmountExceeded, TransitionRefused
from tongbao.domain.ledger import (
    POSTINGS,
    REFUND_CREATED_POSTING,
    REFUND_POSTINGS,
    AccountKind,
    Posting,
    Transfer,
    deltas,
)
from tongbao.domain.money import CNY, CURRENCIES, Money
from tongbao.domain.payment import AttemptStatus
from tongbao.domain.refund import (
    REFUND_LIFECYCLE,
    RefundKind,
    RefundStatus,
    apply_refund_report,
    mismatches,
    reserve,
    resum,
    room_for_refund,
)
from tongbao.domain.report import RefundAccepted, RefundDone, RefundEvent, RefundNotFound, RefundRejected

P, S, F = RefundStatus.PENDING, RefundStatus.SUCCEEDED, RefundStatus.FAILED
PAYMENT = made.payment(1)
PAID = made.attempt(1, PAYMENT, status=AttemptStatus.SUCCEEDED)
REFUND = made.refund(1, PAID)
EVENTS: tuple[RefundEvent, ...] = (RefundAccepted("C"), RefundNotFound(), RefundDone(), RefundRejected("no"))


def test_the_refund_table() -> None:
    """Only what is certain moves a refund; and a channel may change its mind both ways."""
    worth = {RefundAccepted: None, RefundNotFound: None, RefundDone: S, RefundRejected: F}
    assert set(REFUND_LIFECYCLE) == set(RefundStatus)
    for status, event in product(RefundStatus, worth):
        assert REFUND_LIFECYCLE[status][event] is (worth[event] or status)
    assert all(set(row) == set(worth) for row in REFUND_LIFECYCLE.values())


@pytest.mark.parametrize("status", [status for status in AttemptStatus if status is not AttemptStatus.SUCCEEDED])
def test_only_paid_money_goes_back(status: AttemptStatus) -> None:
    with pytest.raises(TransitionRefused) as refused:
        reserve(replace(PAID, status=status), REFUND)
    assert refused.value.code == "payment_not_succeeded"


@pytest.mark.parametrize(
    ("refunded", "refunding", "amount", "fits"),
    [
        (0, 0, 9_999, True),
        (0, 0, 10_000, False),
        (9_000, 900, 99, True),
        (9_000, 900, 100, False),
        (9_999, 0, 1, False),
    ],
)
def test_never_more_than_was_paid(refunded: int, refunding: int, amount: int, fits: bool) -> None:
    attempt = replace(PAID, amount_refunded=refunded, amount_refunding=refunding)
    refund = replace(REFUND, amount=Money(amount, CNY))
    if fits:
        assert reserve(attempt, refund).amount_refunding == refunding + amount
        assert room_for_refund(reserve(attempt, refund)) == 9_999 - refunded - refunding - amount
    else:
        with pytest.raises(AmountExceeded):
            reserve(attempt, refund)


@examples(quick=300, nightly=50_000)
@given(st.lists(st.sampled_from(EVENTS), max_size=12))
def test_sums_follow_the_refund_wherever_it_goes(events: list[RefundEvent]) -> None:
    refund, attempt = REFUND, reserve(PAID, REFUND)
    payment = resum(PAYMENT, refund, (None, P))
    for event in events:
        applied = apply_refund_report(refund, attempt, event, START)
        assert (applied.moved is None) == (applied.refund.status is refund.status)
        if applied.moved is not None:
            assert applied.moved == (refund.status, applied.refund.status)
            payment = resum(payment, applied.refund, applied.moved)
        refund, attempt = applied.refund, applied.attempt
        expected = {P: (0, 100), S: (100, 0), F: (0, 0)}[refund.status]
        assert (attempt.amount_refunded, attempt.amount_refunding) == expected
        assert (payment.amount_refunded, payment.amount_refunding) == expected
        assert (refund.error is not None) == (refund.status is F)


def test_what_was_promised_elsewhere_cannot_come_back_too() -> None:
    failed = replace(REFUND, status=F, amount=Money(5_000, CNY))
    elsewhere = replace(PAID, amount_refunding=5_000)
    with pytest.raises(AmountExceeded):
        apply_refund_report(failed, elsewhere, RefundDone(), START)
    assert apply_refund_report(failed, replace(PAID, amount_refunding=4_999), RefundDone(), START).moved == (F, S)


def test_when_and_why() -> None:
    moment = START - timedelta(minutes=3)
    done = apply_refund_report(REFUND, reserve(PAID, REFUND), RefundDone(None, "C1", moment), START).refund
    assert (done.succeeded_at, done.channel_reference, done.next_try_at) == (moment, "C1", None)
    rejected = RefundRejected("no", "why", "CODE", "words")
    failed = apply_refund_report(REFUND, reserve(PAID, REFUND), rejected, START).refund
    assert failed.error is not None
    assert (failed.failed_at, failed.error.code, failed.error.channel_code) == (START, "no", "CODE")


def test_a_refund_of_another_amount_is_a_contradiction() -> None:
    assert mismatches(REFUND, RefundDone(REFUND.amount)) == []
    assert mismatches(REFUND, RefundDone()) == []
    for amount in (Money(99, CNY), Money(101, CNY), Money(-100, CNY), Money(0, CNY), Money(100, CURRENCIES["USD"])):
        assert mismatches(REFUND, RefundDone(amount)) == ["amount"]
    assert mismatches(REFUND, RefundRejected("no")) == []


# --- the ledger

A = AccountKind
MOVES = {
    "paid": (A.RECEIVABLE, A.APP_PENDING),
    "surplus_paid": (A.RECEIVABLE, A.SUSPENSE),
    "refund_created": (A.APP_PENDING, A.REFUNDS_UNDER_WAY),
    "refund_done": (A.REFUNDS_UNDER_WAY, A.RECEIVABLE),
    "refund_failed": (A.REFUNDS_UNDER_WAY, A.APP_PENDING),
    "surplus_refund_created": (A.SUSPENSE, A.REFUNDS_UNDER_WAY),
    "fee": (A.APP_PENDING, A.FEES),
    "settlement": (A.BANK, A.RECEIVABLE),
}


def test_directions_as_the_design_says_them() -> None:
    for name, move in MOVES.items():
        assert POSTINGS[Posting(name)] == move
    assert set(POSTINGS) == set(Posting)
    assert all(source is not target for source, target in POSTINGS.values())


@pytest.mark.parametrize("kind", RefundKind)
def test_whatever_way_a_refund_takes_its_money_lies_where_its_status_says(kind: RefundKind) -> None:
    """Net of all transfers, the money is back with its owner, under way, or gone."""
    home = A.APP_PENDING if kind is RefundKind.MERCHANT else A.SUSPENSE
    place = {P: A.REFUNDS_UNDER_WAY, S: A.RECEIVABLE, F: home}
    assert POSTINGS[REFUND_CREATED_POSTING[kind]] == (home, place[P])
    table = REFUND_POSTINGS[kind]
    assert set(table) == {(P, S), (P, F), (S, F), (F, S)}
    for (before, after), posting in table.items():
        assert POSTINGS[posting] == (place[before], place[after])


@examples(quick=200, nightly=20_000)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(Posting),
            st.integers(1, 10**11),
            st.sampled_from(["CNY", "USD", "JPY"]),
            st.sampled_from(["app_1", "app_2"]),
            st.sampled_from(["ca_1", "ca_2"]),
        )
    )
)
def test_deltas_sum_to_zero_per_currency_and_app(rows: list[tuple[Posting, int, str, str, str]]) -> None:
    transfers = [
        Transfer(app, f"tr_{n}", posting, "f", account, Money(minor, CURRENCIES[code]), START)
        for n, (posting, minor, code, app, account) in enumerate(rows)
    ]
    found = deltas(transfers)
    for code, app, account in product(("CNY", "USD", "JPY"), ("app_1", "app_2"), ("ca_1", "ca_2")):
        mine = [d for d in found if (d.currency, d.app_id, d.channel_account_id) == (code, app, account)]
        assert sum(d.minor for d in mine) == 0
        for kind in AccountKind:
            came = sum(m for p, m, *where in rows if where == [code, app, account] and POSTINGS[p][1] is kind)
            went = sum(m for p, m, *where in rows if where == [code, app, account] and POSTINGS[p][0] is kind)
            assert sum(d.minor for d in mine if d.kind is kind) == came - went
    assert all(d.minor for d in found), "nothing is written for an account that did not move"
    assert len({(d.app_id, d.kind, d.channel_account_id, d.currency) for d in found}) == len(found)
