"""Alipay as the gateway sees it: each verb is map, send, map. The only file of this channel that the gateway imports.

Rule: what Alipay does not say for certain never becomes a no. A create that finds the trade already there, a close
that is refused for the trade's state, and a refund that may be a repeat are followed by a query, and what the query
says is reported.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta

from tongbao.channels.alipay import doctor, mapping
from tongbao.channels.alipay.account import PRODUCTION_URL, account_from_credentials
from tongbao.channels.alipay.capabilities import CAPABILITIES, CREDENTIALS
from tongbao.channels.alipay.client import AsyncAlipayClient
from tongbao.channels.alipay.errors import IN_PROGRESS, AlipayDeclined, AlipayError, business_code
from tongbao.channels.alipay.notifications import SerialUnknown
from tongbao.channels.alipay.statement import StatementLine, read_trades
from tongbao.channels.credentials import opened
from tongbao.domain.errors import ChannelError, ChannelUnavailable, InvalidInput, OutcomeUnknown
from tongbao.domain.report import (
    Accepted,
    AttemptEvent,
    Closed,
    Identity,
    NextAction,
    NextActionKind,
    NotFound,
    Notification,
    Paid,
    RefundAccepted,
    RefundDone,
    RefundEvent,
    RefundNotFound,
)
from tongbao.ports import (
    Acknowledgement,
    AttemptRequest,
    ChannelKind,
    Clock,
    Finding,
    KeyWanted,
    RawRequest,
    RawResponse,
    RefundRequest,
    Transport,
)

QR_LIFE = timedelta(hours=2)
"""A precreated QR dies after this, whatever the trade's deadline."""
_ANSWERS = {
    Acknowledgement.ACCEPTED: b"success",
    Acknowledgement.REFUSED: b"fail",
    Acknowledgement.LATER: b"fail",
}


class Alipay:
    """One Alipay application, opened; implements the Channel protocol."""

    capabilities = CAPABILITIES

    def __init__(self, client: AsyncAlipayClient, seller_id: str | None = None) -> None:
        self._client = client
        self.identity = Identity(account=client.account.app_id, seller=seller_id)
        self._creators: dict[str, Callable[[AttemptRequest], Awaitable[AttemptEvent]]] = {
            "alipay_page": self._create_page,
            "alipay_wap": self._create_wap,
            "alipay_app": self._create_app,
            "alipay_qr": self._create_qr,
            "alipay_barcode": self._create_barcode,
            "alipay_jsapi": self._create_jsapi,
        }

    # --- trades ------------------------------------------------------------------------------------------------

    async def create(self, attempt: AttemptRequest) -> AttemptEvent:
        """Makes the attempt payable. Page and WAP payments send nothing: the buyer's browser carries the request."""
        creator = self._creators.get(attempt.method)
        if creator is None:
            raise InvalidInput(f"Alipay has no method {attempt.method!r}", param="method")
        try:
            return await creator(attempt)
        except AlipayDeclined as error:
            if business_code(error.sub_code) in mapping.TRADE_EXISTS:
                return await self.query(attempt)
            return mapping.declined_from_error(error)

    async def _create_page(self, attempt: AttemptRequest) -> AttemptEvent:
        page = self._client.page_pay(**mapping.request_for_page(attempt))
        return Accepted(next_action=NextAction(NextActionKind.REDIRECT, url=page.url))

    async def _create_wap(self, attempt: AttemptRequest) -> AttemptEvent:
        page = self._client.wap_pay(**mapping.request_for_page(attempt))
        return Accepted(next_action=NextAction(NextActionKind.REDIRECT, url=page.url))

    async def _create_qr(self, attempt: AttemptRequest) -> AttemptEvent:
        answer = await self._client.precreate(**mapping.request_for_order(attempt))
        until = attempt.created_at + QR_LIFE
        short = until if until < attempt.expires_at else None
        return Accepted(next_action=NextAction(NextActionKind.QR_CODE, content=answer["qr_code"], valid_until=short))

    async def _create_app(self, attempt: AttemptRequest) -> AttemptEvent:
        order = self._client.app_pay(**mapping.request_for_order(attempt))
        return Accepted(next_action=NextAction(NextActionKind.SDK, params={"order_string": order}))

    async def _create_jsapi(self, attempt: AttemptRequest) -> AttemptEvent:
        answer = await self._client.create(**mapping.request_for_jsapi(attempt))
        action = NextAction(NextActionKind.SDK, params={"trade_no": answer["trade_no"]})
        return Accepted(channel_reference=answer["trade_no"], next_action=action)

    async def _create_barcode(self, attempt: AttemptRequest) -> AttemptEvent:
        """Charged at once or waiting for the buyer's password; a success is confirmed by a query, as Alipay asks."""
        answer = await self._client.pay(**mapping.request_for_barcode(attempt))
        waiting = Accepted(answer.get("trade_no"), NextAction(NextActionKind.WAIT))
        if answer["code"] == IN_PROGRESS:
            return waiting
        try:
            found = await self.query(attempt)
        except ChannelError:
            return waiting
        return waiting if isinstance(found, NotFound | Accepted) else found

    async def query(self, attempt: AttemptRequest) -> AttemptEvent:
        try:
            answer = await self._client.query(out_trade_no=attempt.reference)
        except AlipayDeclined as error:
            if mapping.is_trade_not_exist(error):
                return NotFound()
            raise _not_a_no(error) from error
        event = mapping.event_from_trade(mapping.trade_from_query(answer))
        if isinstance(event, Accepted) and attempt.method == "alipay_barcode":  # also after an unknown outcome
            return replace(event, next_action=NextAction(NextActionKind.WAIT))
        return event

    async def close(self, attempt: AttemptRequest) -> AttemptEvent:
        """Makes an unpaid trade unpayable; a trade that cannot be closed is reported as what it is. A barcode payment
        is cancelled, because its charge may still be under way; what was paid meanwhile goes back."""
        if attempt.method == "alipay_barcode":
            return await self._cancel(attempt)
        try:
            answer = await self._client.close(out_trade_no=attempt.reference)
        except AlipayDeclined as error:
            if mapping.is_trade_not_exist(error):
                return NotFound()
            if business_code(error.sub_code) in mapping.NOT_CLOSABLE:
                return await self.query(attempt)
            raise _not_a_no(error) from error
        return Closed(channel_reference=answer.get("trade_no"))

    async def _cancel(self, attempt: AttemptRequest) -> AttemptEvent:
        try:
            answer = await self._client.cancel(out_trade_no=attempt.reference)
        except AlipayDeclined as error:
            if business_code(error.sub_code) in mapping.NOT_CANCELABLE:
                return await self.query(attempt)
            raise _not_a_no(error) from error
        if answer.get("retry_flag") == "Y":
            raise OutcomeUnknown("Alipay could not cancel yet and asks to be asked again.")
        event = mapping.event_from_cancel(answer, attempt.amount)
        if not isinstance(event, Paid):
            return event
        try:
            found = await self.query(attempt)
        except ChannelError:
            return event
        return replace(found, refunded=event.refunded) if isinstance(found, Paid) else event

    # --- refunds -----------------------------------------------------------------------------------------------

    async def refund(self, refund: RefundRequest) -> RefundEvent:
        """Pays back under the refund's own number. What is refused for want of the seller's balance, or because
        Alipay is busy, was not executed and may be repeated: ChannelUnavailable, not a rejection."""
        try:
            answer = await self._client.refund(**mapping.request_for_refund(refund))
        except AlipayDeclined as error:
            return await self._refused(refund, error)
        event = mapping.event_from_refund(answer)
        return event if isinstance(event, RefundDone) else await self._confirmed(refund)

    async def _confirmed(self, refund: RefundRequest) -> RefundEvent:
        """Taken, but not said to be done: the refund query decides, and until it does the refund is under way."""
        try:
            found = await self.query_refund(refund)
        except ChannelError:
            return RefundAccepted()
        return RefundAccepted() if isinstance(found, RefundNotFound) else found

    async def _refused(self, refund: RefundRequest, error: AlipayDeclined) -> RefundEvent:
        """A no, unless this was the repeat of a refund that was executed. An unsigned no is not enough to tell a
        merchant that the money stayed: the refund is repeated under its number instead."""
        if not error.signed:
            raise _not_a_no(error) from error
        if business_code(error.sub_code) in mapping.REFUND_PERHAPS_DONE:
            found = await self.query_refund(refund)
            if not isinstance(found, RefundNotFound):
                return found
        return mapping.rejected_from_error(error)

    async def query_refund(self, refund: RefundRequest) -> RefundEvent:
        try:
            answer = await self._client.refund_query(**mapping.request_for_query_refund(refund))
        except AlipayDeclined as error:
            if mapping.is_trade_not_exist(error):
                return RefundNotFound()
            raise _not_a_no(error) from error
        return mapping.event_from_refund_query(answer)

    # --- statements --------------------------------------------------------------------------------------------

    async def statement(self, day: date) -> Iterator[StatementLine]:
        """The payments and refunds of a day (China time), ready about 09:00 on the next. Read to its end before it is
        believed: what is missing is told there (StatementBroken)."""
        return read_trades(await self._client.download_bill(bill_date=day.isoformat()))

    # --- notifications -----------------------------------------------------------------------------------------

    def read_notification(self, raw: RawRequest, now: datetime) -> Notification | KeyWanted:
        """Verifies the raw body. Alipay's notifications stay valid (they are repeated for 25 hours), so `now` does
        not matter."""
        try:
            params = self._client.verify_notification(raw.body)
        except SerialUnknown as error:
            return KeyWanted(error.serial)
        return mapping.notification_from_params(params)

    async def refresh_keys(self, serial: str) -> None:
        """Fetches Alipay's certificate `serial` and checks its chain; raises MessageNotTrusted."""
        await self._client.load_certificate(serial)

    def acknowledge(self, outcome: Acknowledgement) -> RawResponse:
        return RawResponse(status=200, body=_ANSWERS[outcome])

    # --- check -------------------------------------------------------------------------------------------------

    async def check(self) -> list[Finding]:
        """One probe of the gateway; see `doctor.probe`."""
        return await self._client.run(doctor.probe(self._client.account))


def _not_a_no(error: AlipayError) -> ChannelError:
    """A refusal of a question, or of a close, says nothing about the trade."""
    return ChannelUnavailable(
        error.message,
        code=error.code,
        channel_code=error.channel_code,
        channel_message=error.channel_message,
        channel_request_id=error.channel_request_id,
    )


def open_alipay(credentials: Mapping[str, str], transport: Transport, clock: Clock) -> Alipay:
    """Opens an account; raises InvalidInput with the credential's pointer for what cannot be right."""
    account = opened(credentials, CREDENTIALS, clock, account_from_credentials)
    return Alipay(AsyncAlipayClient.opened(account, transport), credentials.get("seller_id") or None)


ALIPAY = ChannelKind(
    name="alipay",
    capabilities=CAPABILITIES,
    credentials=CREDENTIALS,
    production_urls=frozenset({PRODUCTION_URL}),
    open=open_alipay,
)
