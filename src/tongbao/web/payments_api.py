"""Handlers for payments and refunds. Each is short: read the input, call a service, write the view."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from tongbao.domain.errors import ChannelError, ChannelUnavailable, InvalidInput, Outcome, OutcomeUnknown
from tongbao.domain.money import Money, currency
from tongbao.domain.payment import AttemptError, Payment, PaymentStatus
from tongbao.ports.reading import Page, PaymentFilter
from tongbao.services.attempts import Answered
from tongbao.services.idempotency import after_the_first_write
from tongbao.web import schemas
from tongbao.web.door import REPLAYED, Answer, Call, answer_json, answer_problem, content_type_of
from tongbao.web.schemas import decode, decoder

_create_payment = decoder(schemas.CreatePayment)
_create_attempt = decoder(schemas.CreateAttempt)
_create_refund = decoder(schemas.CreateRefund)
_empty = decoder(schemas.Empty)

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


def page_of(call: Call, prefix: str) -> Page:
    """`limit` 1-100, and one cursor at most: an id of what is listed."""
    text = call.query.get("limit", "10")
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 100):
        raise InvalidInput("limit is a number from 1 to 100", param="limit")
    after, before = call.query.get("starting_after"), call.query.get("ending_before")
    if after is not None and before is not None:
        raise InvalidInput("starting_after and ending_before exclude each other", param="ending_before")
    for name, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor is not None and not cursor.startswith(f"{prefix}_"):
            raise InvalidInput(f"{name} is the id of an item of this list: {prefix}_...", param=name)
    return Page(int(text), after, before)


def answer_list(views: list[msgspec.Struct], more: bool) -> Answer:
    return answer_json(200, {"object": "list", "data": views, "has_more": more})


def moment_of(call: Call, name: str) -> datetime | None:
    text = call.query.get(name)
    if text is None:
        return None
    try:
        return msgspec.convert(text, Moment).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        hint = "; a + in a URL is written %2B" if " " in text else ""
        raise InvalidInput(
            f"{name} is an RFC 3339 time with its zone, like 2026-01-02T03:04:05Z{hint}", param=name
        ) from None


async def create_payment(call: Call) -> Answer:
    given = decode(call.body, _create_payment)
    if given.method is None and (given.method_options or given.channel_account is not None):
        raise InvalidInput("method_options and channel_account go with a method", param="/method")
    now = call.services.clock.now()
    payment = Payment(
        app_id=call.app.id,
        id=call.services.ids.make("pay"),
        livemode=call.app.livemode,
        order_no=given.order_no,
        amount=Money(given.amount, currency(given.currency)),
        subject=given.subject,
        expires_at=now + timedelta(seconds=given.expires_in),
        created_at=now,
        method=given.method,
        return_url=given.return_url,
        buyer=None if given.buyer is None else msgspec.to_builtins(given.buyer),
        metadata=given.metadata,
        event_seq=1,
    )
    answered = await call.services.attempts.create(payment, given.method_options, given.channel_account, call.intent)
    return _answer(answered)


def _answer(answered: Answered) -> Answer:
    headers = (REPLAYED,) if answered.replayed else ()
    return Answer(answered.status, answered.body.encode(), headers, content_type_of(answered.status))


async def create_attempt(call: Call) -> Answer:
    """424 when the channel failed: the failure is the answer here, and stands in latest_attempt.error too."""
    given = decode(call.body, _create_attempt)
    payment, _ = await call.services.reading.payment(call.app.id, call.params["payment_id"])
    answered = await call.services.attempts.begin(
        call.app.id, payment, given.method, given.method_options, given.channel_account, call.intent
    )
    if answered.error is None:
        return _answer(answered)
    problem = answer_problem(channel_error(answered.error), call.request_id)
    if call.intent is not None:
        with after_the_first_write():
            await call.services.idempotency.keep_open(call.app.id, call.intent, problem.status, problem.body.decode())
    return problem


def channel_error(error: AttemptError) -> ChannelError:
    """The stored interruption as the error that the caller sees."""
    kind = OutcomeUnknown if error.outcome == Outcome.UNKNOWN else ChannelUnavailable
    return kind(
        error.message,
        code=error.code,
        channel_code=error.channel_code,
        channel_message=error.channel_message,
    )


async def read_payment(call: Call) -> Answer:
    payment_id = call.params["payment_id"]
    if call.query:
        if call.query["refresh"] not in ("true", "false"):
            raise InvalidInput("refresh is true or false", param="refresh")
        if call.query["refresh"] == "true":
            interrupted = await call.services.asking.refresh(call.app.id, payment_id)
            if interrupted is not None:
                raise channel_error(interrupted)
    payment, latest = await call.services.reading.payment(call.app.id, payment_id)
    return answer_json(200, call.services.views.payment(payment, latest))


async def list_payments(call: Call) -> Answer:
    page = page_of(call, "pay")
    filters = PaymentFilter(
        order_no=call.query.get("order_no"),
        status=call.query.get("status"),
        channel=call.query.get("channel"),
        created_after=moment_of(call, "created_after"),
        created_before=moment_of(call, "created_before"),
    )
    found, more = await call.services.reading.list_payments(call.app.id, filters, page)
    return answer_list([call.services.views.payment(payment, latest) for payment, latest in found], more)


async def cancel_payment(call: Call) -> Answer:
    """200 closed; 202 while the channel cannot prove it; 409 once money is in."""
    decode(call.body, _empty)
    payment, latest = await call.services.asking.cancel(call.app.id, call.params["payment_id"])
    status = 200 if payment.status is PaymentStatus.CLOSED else 202
    return answer_json(status, call.services.views.payment(payment, latest))


async def create_refund(call: Call) -> Answer:
    given = decode(call.body, _create_refund)
    created = await call.services.refunds.create(
        call.app.id, call.params["payment_id"], given.refund_no, given.amount, given.reason, call.intent
    )
    headers = (REPLAYED,) if created.replayed else ()
    return Answer(created.status, created.body.encode(), headers, content_type_of(created.status))


async def read_refund(call: Call) -> Answer:
    refund, livemode = await call.services.reading.refund(call.app.id, call.params["refund_id"])
    return answer_json(200, call.services.views.refund(refund, livemode))


async def list_refunds(call: Call) -> Answer:
    page = page_of(call, "re")
    payment_id, status = call.query.get("payment"), call.query.get("status")
    found, more = await call.services.reading.list_refunds(call.app.id, payment_id, status, page)
    return answer_list([call.services.views.refund(refund, livemode) for refund, livemode in found], more)
