"""Money under contention: two processes on one database, and the sums hold whoever comes first."""

import asyncio
import random
from collections.abc import Awaitable
from itertools import permutations

from tests.scenarios.street import Street
from tests.services.book import Book, paid_in, record_of, seeded
from tongbao.bootstrap import App
from tongbao.domain.errors import AmountExceeded, TransitionRefused
from tongbao.domain.report import Accepted, AttemptEvent, Closed, Declined, NotFound, RefundDone, RefundEvent


async def test_partial_refunds_beyond_the_balance(book: Book, twin: App) -> None:
    """T-26: 500 refunds of 100 want 50,000 of 9,999: exactly 99 fit."""
    attempt = await book.paid("O1")
    houses = (book.services.refunds, twin.refunds)
    wishes = [houses[n % 2].create(attempt.app_id, attempt.payment_id, f"R{n}", 100, None, None) for n in range(500)]
    answers = await asyncio.gather(*wishes, return_exceptions=True)
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 99
    assert all(isinstance(answer, AmountExceeded) for answer in answers if isinstance(answer, BaseException))
    payment = await book.view(attempt)
    assert (payment.amount_refunding, payment.amount_refunded) == (9_900, 0)
    assert await book.balances() == {"receivable": -9_999, "app_pending": 99, "refunds_under_way": 9_900}


async def test_refunds_of_many_sizes_never_exceed_and_none_is_refused_that_fits(book: Book, twin: App) -> None:
    rng = seeded()
    attempt = await book.paid("O1")
    houses = (book.services.refunds, twin.refunds)
    amounts = [rng.choice((1, 7, 100, 999, 2_500, 5_000)) for _ in range(120)]
    wishes = [
        houses[n % 2].create(attempt.app_id, attempt.payment_id, f"R{n}", amount, None, None)
        for n, amount in enumerate(amounts)
    ]
    answers = await asyncio.gather(*wishes, return_exceptions=True)
    granted = [a for a, answer in zip(amounts, answers, strict=True) if not isinstance(answer, BaseException)]
    refused = [a for a, answer in zip(amounts, answers, strict=True) if isinstance(answer, AmountExceeded)]
    assert len(granted) + len(refused) == len(amounts)
    assert sum(granted) <= 9_999
    assert all(amount > 9_999 - sum(granted) for amount in refused)


async def test_one_refund_number_at_once_on_two_payments_is_one_refund(book: Book, twin: App) -> None:
    first, second = await book.paid("O1"), await book.paid("O2")
    for number in range(10):
        wishes = [
            house.refunds.create(attempt.app_id, attempt.payment_id, f"R{number}", 100, None, None)
            for house in (book.services, twin)
            for attempt in (first, second)
        ]
        answers = await asyncio.gather(*wishes, return_exceptions=True)
        made = [answer.refund_id for answer in answers if not isinstance(answer, BaseException)]
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert (len(made), len(set(made))) == (2, 1), "the same payment's repeat is the same refund"
        assert all(isinstance(e, TransitionRefused) and e.code == "refund_no_conflict" for e in refused), refused


async def test_every_order_of_messages_ends_alike(book: Book) -> None:
    """T-08: all 4! orders of payment, two refunds and a close, each message twice, in one payment each."""
    ends = set()
    for number, order in enumerate(permutations(range(4))):
        attempt = await book.paid(f"O{number}")
        for name, amount in (("A", 100), ("B", 9_899)):
            await book.services.refunds.create(
                attempt.app_id, attempt.payment_id, f"{name}{number}", amount, None, None
            )
        refunds = await book.rows("SELECT reference FROM refunds WHERE attempt_id = $1 ORDER BY id", attempt.id)
        messages: list[tuple[str, AttemptEvent | RefundEvent]] = [
            (attempt.reference, paid_in(attempt)),
            (refunds[0]["reference"], RefundDone()),
            (refunds[1]["reference"], RefundDone()),
            (attempt.reference, Closed()),
        ]
        for index in (*order, *order):
            record = record_of(attempt, messages[index], notification=f"n{number}.{index}")
            await book.services.payments.record(record)
        payment = await book.view(attempt)
        events = tuple(sorted(await book.events(attempt)))
        ends.add((payment.status, payment.amount_refunded, payment.amount_refunding, events))
    ((status, refunded, refunding, events),) = ends
    assert (status, refunded, refunding) == ("succeeded", 9_999, 0)
    assert events.count("refund.succeeded") == 2
    assert await book.balances() == {}


async def test_two_attempts_paid_in_two_processes_at_once(book: Book, twin: App) -> None:
    """T-28 without a channel: of 40 payments paid twice at once, each is paid once and gives the other back."""
    pairs = [await book.order(f"O{n}", attempts=2) for n in range(40)]
    calls = []
    for first, second in pairs:
        calls.append(book.services.payments.record(record_of(first, (first.reference, paid_in(first)))))
        calls.append(twin.payments.record(record_of(second, (second.reference, paid_in(second)))))
    await asyncio.gather(*calls)
    for first, second in pairs:
        payment = await book.view(first)
        assert payment.status == "succeeded"
        spare = first if payment.settled_attempt_id == second.id else second
        assert await book.refunds(spare) == [("surplus", "pending", 9_999)]
    assert await book.balances() == {
        "receivable": -40 * 2 * 9_999,
        "app_pending": 40 * 9_999,
        "refunds_under_way": 40 * 9_999,
    }


async def test_payment_cancel_and_expiry_at_once(book: Book, twin: App) -> None:
    """Whoever is first: either it is paid, or it is closed and the money goes back. Never both, never neither."""
    rng = seeded()
    attempts = [attempt for n in range(60) for attempt in await book.order(f"O{n}")]
    calls: list[Awaitable[object]] = []
    for attempt in attempts:
        key = (attempt.app_id, attempt.payment_id)
        calls += [
            book.services.payments.record(record_of(attempt, (attempt.reference, paid_in(attempt)))),
            twin.payments.record(record_of(attempt, (attempt.reference, rng.choice((Closed(), Declined("no")))))),
            twin.payments.conclude(*key, cancel=True),
            book.services.payments.record(
                record_of(attempt, (attempt.reference, rng.choice((Accepted(), NotFound()))))
            ),
        ]
    rng.shuffle(calls)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(a, TransitionRefused) for a in answers if isinstance(a, BaseException)), answers
    for attempt in attempts:
        payment = await book.view(attempt)
        if payment.status == "succeeded":
            assert await book.refunds(attempt) == []
        else:
            assert (payment.status, payment.closed_reason) == ("closed", "canceled")
            assert await book.refunds(attempt) == [("surplus", "pending", 9_999)]


# --- with a channel


async def test_refunds_whose_answers_were_lost_are_made_once(street: Street) -> None:
    """T-27: 24 refunds of 12 payments; every other answer is lost, and asking fails as well now and then."""
    faults = ("reply_lost", "reply_system_error", "reply_not_json", "unreachable", "bad_gateway", "reply_unsigned")
    payments = [await street.paid(f"O{n}") for n in range(12)]
    for number, payment in enumerate(payments):
        await street.refund(payment, f"A{number}", 100)
        await street.refund(payment, f"B{number}", 50)
    for number in range(12):
        street.fault(faults[number % len(faults)], method="alipay.trade.refund")
        if number % 3 == 0:
            street.fault("reply_lost", method="alipay.trade.fastpay.refund.query")
    for _ in range(12):
        await street.send_refunds()
        street.clock.advance(30)
    for payment in payments:
        after = await street.payment(payment)
        assert (after["amount_refunded"], after["amount_refunding"]) == (150, 0)
    assert [row.refunded for row in street.sandbox.alipay.rows(50)] == ["1.50"] * 12


async def test_paid_twice_over_two_methods_the_second_goes_back_within_60_s(street: Street) -> None:
    """T-28."""
    payments = []
    for number in range(12):
        payment = await street.order(f"O{number}", "alipay_qr")
        path = f"/v1/payments/{payment['id']}/attempts"
        _, other = await street.call("POST", path, {"method": "alipay_page"})
        for action in random.Random(number).sample([payment, other], 2):
            await street.pay(action)
        payments.append(payment)
    await street.notify()
    for _ in range(6):
        await street.send_refunds()
        street.clock.advance(10)
    for payment in payments:
        after = await street.payment(payment)
        assert (after["status"], after["amount_refunded"]) == ("succeeded", 0)
        _, refunds = await street.call("GET", f"/v1/refunds?payment={payment['id']}")
        assert [(r["kind"], r["status"], r["amount"]) for r in refunds["data"]] == [("surplus", "succeeded", 9_999)]
        assert refunds["data"][0]["attempt"] != after["latest_attempt"]["id"]
    assert sorted(row.refunded for row in street.sandbox.alipay.rows(50)) == [""] * 12 + ["99.99"] * 12
