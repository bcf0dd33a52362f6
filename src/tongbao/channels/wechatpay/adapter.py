"""WeChat Pay as the gateway sees it: each verb is map, send, map. The only file of this channel that it imports.

Rule: what WeChat does not say for certain never becomes a no. A create that may find the order already there, a close
that is refused for the order's state, and a refund that may be a repeat are followed by a query, and what the query
says is reported. Where a query cannot decide, the refusal stands as it was.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import date, datetime, timedelta

from tongbao.channels.credentials import opened
from tongbao.channels.wechatpay import doctor, mapping
from tongbao.channels.wechatpay.account import BACKUP_URL, PRODUCTION_URL, account_from_credentials
from tongbao.channels.wechatpay.capabilities import CAPABILITIES, CREDENTIALS
from tongbao.channels.wechatpay.certificates import PUBLIC_KEY_START
from tongbao.channels.wechatpay.client import AsyncWechatPayClient
from tongbao.channels.wechatpay.errors import WechatPayDeclined, WechatPayError, WechatPayOutcomeUnknown
from tongbao.channels.wechatpay.statement import StatementLine, read_trades
from tongbao.channels.wechatpay.trust import SerialUnknown
from tongbao.domain.errors import ChannelError, ChannelUnavailable, InvalidInput
from tongbao.domain.report import (
    Accepted,
    AttemptEvent,
    Closed,
    Identity,
    NextAction,
    NextActionKind,
    NotFound,
    Notification,
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

PREPAY_LIFE, H5_LIFE = timedelta(hours=2), timedelta(minutes=5)
"""How long a code, a prepay id and an H5 address can be opened."""
JSON = "application/json; charset=utf-8"
_ANSWERS = {
    Acknowledgement.ACCEPTED: RawResponse(204, b"", JSON),
    Acknowledgement.REFUSED: RawResponse(401, '{"code":"FAIL","message":"未被接受"}'.encode(), JSON),
    Acknowledgement.LATER: RawResponse(503, '{"code":"FAIL","message":"请稍后重试"}'.encode(), JSON),
}
"""Only the status counts: 2xx is delivered, anything else is sent again."""


class WechatPay:
    """One WeChat Pay merchant, opened; implements the Channel protocol."""

    capabilities = CAPABILITIES

    def __init__(self, client: AsyncWechatPayClient) -> None:
        self._client = client
        self.identity = Identity(account=client.account.mchid)
        self._creators: dict[str, Callable[[AttemptRequest], Awaitable[AttemptEvent]]] = {
            "wechat_native": self._create_native,
            "wechat_jsapi": self._create_jsapi,
            "wechat_h5": self._create_h5,
            "wechat_app": self._create_app,
            "wechat_barcode": self._create_barcode,
        }

    # --- trades ------------------------------------------------------------------------------------------------

    async def create(self, attempt: AttemptRequest) -> AttemptEvent:
        """Makes the attempt payable."""
        creator = self._creators.get(attempt.method)
        if creator is None:
            raise InvalidInput(f"WeChat Pay has no method {attempt.method!r}", param="method")
        try:
            return await creator(attempt)
        except WechatPayDeclined as error:
            if mapping.is_one_of(error, mapping.TRADE_EXISTS):
                found = await self.query(attempt)
                if not isinstance(found, NotFound):
                    return found
            return mapping.declined_from_error(error)

    async def _create_native(self, attempt: AttemptRequest) -> AttemptEvent:
        answer = await self._client.native_pay(**mapping.request_for_order(attempt))
        until = _dying(attempt, PREPAY_LIFE)
        return Accepted(next_action=NextAction(NextActionKind.QR_CODE, content=answer["code_url"], valid_until=until))

    async def _create_jsapi(self, attempt: AttemptRequest) -> AttemptEvent:
        answer = await self._client.jsapi_pay(**mapping.request_for_jsapi(attempt))
        params = dict[str, str](**self._client.jsapi_params(answer["prepay_id"]))
        until = _dying(attempt, PREPAY_LIFE)
        return Accepted(next_action=NextAction(NextActionKind.SDK, params=params, valid_until=until))

    async def _create_app(self, attempt: AttemptRequest) -> AttemptEvent:
        answer = await self._client.app_pay(**mapping.request_for_order(attempt))
        params = dict[str, str](**self._client.app_params(answer["prepay_id"]))
        until = _dying(attempt, PREPAY_LIFE)
        return Accepted(next_action=NextAction(NextActionKind.SDK, params=params, valid_until=until))

    async def _create_h5(self, attempt: AttemptRequest) -> AttemptEvent:
        answer = await self._client.h5_pay(**mapping.request_for_h5(attempt))
        url = self._client.h5_address(answer["h5_url"], return_url=attempt.return_url)
        until = _dying(attempt, H5_LIFE)
        return Accepted(next_action=NextAction(NextActionKind.REDIRECT, url=url, valid_until=until))

    async def _create_barcode(self, attempt: AttemptRequest) -> AttemptEvent:
        """Charged at once, or waiting for the buyer's password: then it is asked about."""
        try:
            answer = await self._client.code_pay(**mapping.request_for_barcode(attempt))
        except WechatPayOutcomeUnknown as error:
            if mapping.is_one_of(error, mapping.BUYER_PAYING):
                return Accepted(next_action=NextAction(NextActionKind.WAIT))
            raise
        event = self._event(answer)
        if not isinstance(event, Accepted):
            return event
        return Accepted(event.channel_reference, NextAction(NextActionKind.WAIT), event.stated)

    async def query(self, attempt: AttemptRequest) -> AttemptEvent:
        try:
            answer = await self._client.query(out_trade_no=attempt.reference)
        except WechatPayDeclined as error:
            if mapping.is_one_of(error, mapping.TRADE_NOT_EXIST):
                return NotFound()
            raise _not_a_no(error) from error
        return self._event(answer)

    def _event(self, answer: Mapping[str, object]) -> AttemptEvent:
        return mapping.event_from_trade(mapping.trade_from_transaction(answer, self._client.account.appid))

    async def close(self, attempt: AttemptRequest) -> AttemptEvent:
        """Makes an unpaid order unpayable; one that cannot be closed is reported as what it is. A barcode payment is
        reversed, because its charge may still be under way; what was paid meanwhile goes back."""
        is_barcode = attempt.method == "wechat_barcode"
        try:
            if is_barcode:
                await self._client.reverse(out_trade_no=attempt.reference)
            else:
                await self._client.close(out_trade_no=attempt.reference)
        except WechatPayDeclined as error:
            if mapping.is_one_of(error, mapping.TRADE_NOT_EXIST):
                return NotFound()
            if mapping.is_one_of(error, mapping.NOT_CLOSABLE):
                return await self.query(attempt)
            raise _not_a_no(error) from error
        # A reversal's answer does not say whether there was money; the query does.
        return await self.query(attempt) if is_barcode else Closed()

    # --- refunds -----------------------------------------------------------------------------------------------

    async def refund(self, refund: RefundRequest) -> RefundEvent:
        """Pays back under the refund's own number. What is refused for want of the seller's balance was not executed
        and may be repeated (ChannelUnavailable); what was throttled may be in progress (OutcomeUnknown)."""
        try:
            answer = await self._client.refund(**mapping.request_for_refund(refund))
        except WechatPayDeclined as error:
            if mapping.is_one_of(error, mapping.REFUND_PERHAPS_DONE):
                found = await self.query_refund(refund)
                if not isinstance(found, RefundNotFound):
                    return found
            return mapping.rejected_from_error(error)
        return mapping.event_from_refund(answer)

    async def query_refund(self, refund: RefundRequest) -> RefundEvent:
        try:
            answer = await self._client.refund_query(out_refund_no=refund.reference)
        except WechatPayDeclined as error:
            if mapping.is_one_of(error, mapping.REFUND_NOT_EXIST):
                return RefundNotFound()
            raise _not_a_no(error) from error
        return mapping.event_from_refund(answer)

    # --- statements --------------------------------------------------------------------------------------------

    async def statement(self, day: date) -> Iterator[StatementLine]:
        """The payments and refunds of a day (China time), ready about 10:00 on the next. Read to its end before it is
        believed: what is missing is told there (StatementBroken)."""
        return read_trades(await self._client.download_bill(bill_date=day.isoformat()))

    # --- notifications -----------------------------------------------------------------------------------------

    def read_notification(self, raw: RawRequest, now: datetime) -> Notification | KeyWanted:
        """Verifies the raw body; every repeat is signed anew, so one that is 5 minutes old is refused."""
        try:
            message = self._client.verify_notification(raw.headers, raw.body, now=now)
        except SerialUnknown as error:
            if error.serial.startswith(PUBLIC_KEY_START):  # these cannot be fetched
                raise
            return KeyWanted(error.serial)
        account = self._client.account
        return mapping.notification_from_message(message, account.mchid, account.appid)

    async def refresh_keys(self, serial: str) -> None:
        """Fetches WeChat's platform certificates; raises MessageNotTrusted, and then the ones before stay."""
        await self._client.load_certificates()

    def acknowledge(self, outcome: Acknowledgement) -> RawResponse:
        return _ANSWERS[outcome]

    # --- check -------------------------------------------------------------------------------------------------

    async def check(self) -> list[Finding]:
        """One probe of WeChat; see `doctor.probe`."""
        return await self._client.run(doctor.probe(self._client.account))


def _dying(attempt: AttemptRequest, life: timedelta) -> datetime | None:
    """When the next action dies, where that is before the order does."""
    until = attempt.created_at + life
    return until if until < attempt.expires_at else None


def _not_a_no(error: WechatPayError) -> ChannelError:
    """A refusal of a question, or of a close, says nothing about the order."""
    return ChannelUnavailable(
        error.message,
        code=error.code,
        channel_code=error.channel_code,
        channel_message=error.channel_message,
        channel_request_id=error.channel_request_id,
    )


def open_wechatpay(credentials: Mapping[str, str], transport: Transport, clock: Clock) -> WechatPay:
    """Opens an account; raises InvalidInput with the credential's pointer for what cannot be right."""
    account = opened(credentials, CREDENTIALS, clock, account_from_credentials)
    return WechatPay(AsyncWechatPayClient.opened(account, transport))


WECHATPAY = ChannelKind(
    name="wechatpay",
    capabilities=CAPABILITIES,
    credentials=CREDENTIALS,
    production_urls=frozenset({PRODUCTION_URL, BACKUP_URL}),
    open=open_wechatpay,
)
