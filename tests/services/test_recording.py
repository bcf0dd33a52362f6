"""One way in: whatever comes twice, late, for another payment, or with money that went back already."""

import asyncio
from datetime import timedelta

import pytest

from tests.services.book import ME, Book, paid_in, record_of
from tongbao.domain.money import CNY, CURRENCIES, Money
from tongbao.domain.payment import DEADLINE_GRACE, AttemptError
from tongbao.domain.report import (
    Accepted,
    AttemptEvent,
    Closed,
    NotFound,
    RefundDone,
    RefundEvent,
    RefundRejected,
    Report,
)
from tongbao.services.idempotency import Intent
from tongbao.services.payments import Record, RecordOutcome


async def test_reports_about_two_payments_in_one_message_are_a_contradiction(book: Book) -> None:
    """It is quarantined and harms no neighbour in its batch."""
    one, other = await book.paid("O1"), await book.paid("O2")
    await book.services.refunds.create(other.app_id, other.payment_id, "R1", 100, None, None)
    (refund,) = await book.rows("SELECT reference FROM refunds")
    (neighbour,) = await book.order("O3")
    mixed = record_of(one, (one.reference, paid_in(one)), (refund["reference"], RefundDone()), notification="n1")
    answers = await asyncio.gather(
        book.services.payments.record(mixed), book.record(neighbour, paid_in(neighbour), "n2")
    )
    assert [answer.outcome for answer in answers] == [RecordOutcome.CONTRADICTED, RecordOutcome.APPLIED]
    assert [tuple(row) for row in await book.rows("SELECT notification_id, mismatches FROM quarantine")] == [
        ("n1", ["reference"])
    ]
    assert await book.refunds(other) == [("merchant", "pending", 100)]


@pytest.mark.parametrize("event", [RefundDone(), RefundRejected("no")])
async def test_an_attempt_is_not_moved_by_a_refund_s_report_nor_the_other_way(book: Book, event: RefundEvent) -> None:
    attempt = await book.paid("O1")
    await book.services.refunds.create(attempt.app_id, attempt.payment_id, "R1", 100, None, None)
    (refund,) = await book.rows("SELECT reference FROM refunds")
    swapped: list[tuple[str, AttemptEvent | RefundEvent]] = [
        (attempt.reference, event),
        (refund["reference"], Closed()),
    ]
    for number, report in enumerate(swapped):
        found = await book.services.payments.record(record_of(attempt, report, notification=f"n{number}"))
        assert (found.outcome, found.mismatches) == (RecordOutcome.CONTRADICTED, ("kind",))
    assert await book.refunds(attempt) == [("merchant", "pending", 100)]


async def test_another_account_s_reference_is_unknown(book: Book) -> None:
    (attempt,) = await book.order("O1")
    for app_id, account_id in (("app_2", "ca_1"), (attempt.app_id, "ca_2")):
        record = Record(app_id, account_id, ME, (Report(attempt.reference, paid_in(attempt)),))
        assert (await book.services.payments.record(record)).outcome is RecordOutcome.UNKNOWN_REFERENCE
    assert (await book.view(attempt)).status == "pending"


async def test_nobody_can_take_the_number_of_a_surplus_refund(book: Book) -> None:
    """Attempt ids are known to merchants; refund numbers are theirs to choose. Money must be recorded all the same."""
    first, second = await book.order("O1", attempts=2)
    await book.record(first, paid_in(first))
    refunds = book.services.refunds
    for name in (f"surplus-{second.id}", "surplus-", "surplus"):
        await refunds.create(first.app_id, first.payment_id, name, 1, None, None)
    assert (await book.record(second, paid_in(second))).outcome is RecordOutcome.APPLIED
    assert await book.refunds(second) == [("surplus", "pending", 9_999)]


# --- money that the channel paid back of its own accord


async def test_paid_and_paid_back_at_once_is_recorded_as_both(book: Book) -> None:
    (attempt,) = await book.order("O1")
    await book.record(attempt, paid_in(attempt, refunded=attempt.amount))
    payment = await book.view(attempt)
    assert (payment.status, payment.amount_refunded, payment.amount_refunding) == ("succeeded", 9_999, 0)
    assert await book.refunds(attempt) == [("merchant", "succeeded", 9_999)]
    assert await book.events(attempt) == [
        "payment.created",
        "payment.succeeded",
        "refund.created",
        "refund.succeeded",
    ]
    assert await book.balances() == {}


async def test_paid_and_partly_paid_back_leaves_the_rest(book: Book) -> None:
    (attempt,) = await book.order("O1")
    await book.record(attempt, paid_in(attempt, refunded=Money(100, CNY)))
    assert await book.balances() == {"receivable": -9_899, "app_pending": 9_899}
    refused = book.services.refunds.create(attempt.app_id, attempt.payment_id, "R1", 9_900, None, None)
    with pytest.raises(Exception, match="more than what is left"):
        await refused


@pytest.mark.parametrize(("gone", "rest"), [(9_999, []), (99, [("surplus", "pending", 9_900)])])
async def test_late_money_that_went_back_already_is_not_sent_twice(
    book: Book, gone: int, rest: list[tuple[str, str, int]]
) -> None:
    (attempt,) = await book.order("O1")
    await book.services.payments.conclude(attempt.app_id, attempt.payment_id, cancel=True)
    await book.record(attempt, Closed())
    await book.record(attempt, paid_in(attempt, refunded=Money(gone, CNY)))
    assert (await book.view(attempt)).status == "closed"
    assert await book.refunds(attempt) == [("surplus", "succeeded", gone), *rest]
    assert await book.balances() == ({"receivable": -9_900, "refunds_under_way": 9_900} if rest else {})


@pytest.mark.parametrize(
    "refunded", [Money(10_000, CNY), Money(-1, CNY), Money(2**64, CNY), Money(1, CURRENCIES["USD"])]
)
async def test_more_paid_back_than_was_paid_is_a_contradiction(book: Book, refunded: Money) -> None:
    (attempt,) = await book.order("O1")
    found = await book.record(attempt, paid_in(attempt, refunded=refunded), "n1")
    assert (found.outcome, found.mismatches) == (RecordOutcome.CONTRADICTED, ("refunded",))
    assert (await book.view(attempt)).status == "pending"


# --- time, and keys


async def test_our_own_not_found_proves_nothing(book: Book) -> None:
    """A process that slept through the deadline with a call in flight knows only that it does not know."""
    (attempt,) = await book.order("O1")
    book.clock.advance((attempt.expires_at - book.clock.now() + DEADLINE_GRACE).total_seconds() + 1)
    unknown = AttemptError("outcome_unknown", "unknown")
    report = (Report(attempt.reference, NotFound()),)
    await book.services.payments.record(
        Record(attempt.app_id, attempt.channel_account_id, ME, report, interruption=unknown)
    )
    (row,) = await book.rows("SELECT status, next_query_at FROM attempts")
    assert (row["status"], row["next_query_at"]) == ("pending", book.clock.now() + timedelta(seconds=2))
    await book.record(attempt, NotFound())
    assert (await book.view(attempt)).closed_reason == "expired", "the channel's own word does"


async def test_keys_are_locked_before_payments_here_too(book: Book) -> None:
    """A repeat of the command holds the key and wants the payment; recording its answer wants both."""
    (attempt,) = await book.order("O1")
    intent = Intent("k", b"f" * 32)
    await book.services.idempotency.begin(attempt.app_id, intent)
    report = (Report(attempt.reference, Accepted("T1")),)
    record = Record(attempt.app_id, "ca_1", ME, report, answer=("k", 201))
    async with book.database.connection() as repeat:
        async with repeat.transaction():
            await repeat.execute("SELECT FROM idempotency_keys WHERE key = 'k' FOR NO KEY UPDATE")
            recording = asyncio.ensure_future(book.services.payments.record(record))
            await book.someone_waits()
            await repeat.execute("SELECT FROM payments FOR NO KEY UPDATE NOWAIT")
        assert (await recording).outcome is RecordOutcome.APPLIED
    (kept,) = await book.rows("SELECT status FROM idempotency_keys")
    assert kept["status"] == 201
