"""Alipay as the gateway sees it: each verb is map, send, map. The only file of this channel that the gateway imports.

Rule: what Alipay does not say for certain never becomes a no. A create that finds the trade already there, a close
that is refused for the trade's state, and a refund that may be a repeat are followed by a query, and what the query
says is reported.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from tongbao.channels.alipay import doctor, mapping
from tongbao.channels.alipay.account import PRODUCTION_URL
from tongbao.channels.alipay.client import AsyncAlipayClient
from tongbao.channels.alipay.errors import AlipayDeclined, AlipayError, business_code
from tongbao.channels.alipay.notifications import SerialUnknown
from tongbao.channels.alipay.values import FEN_MAX, FEN_MIN
from tongbao.domain.errors import ChannelError, ChannelUnavailable, InvalidInput, TongbaoError
from tongbao.domain.report import (
    Accepted,
    AttemptEvent,
    Closed,
    Identity,
    NextAction,
    NextActionKind,
    NotFound,
    Notification,
    RefundAccepted,
    RefundDone,
    RefundEvent,
    RefundNotFound,
)
from tongbao.ports import (
    Acknowledgement,
    AttemptRequest,
    Capabilities,
    ChannelKind,
    Clock,
    CredentialField,
    Finding,
    KeyWanted,
    MethodCapability,
    RawRequest,
    RawResponse,
    RefundRequest,
    Transport,
    Verb,
)

_ORDER_OPTIONS = frozenset(
    {
        "body",
        "goods_detail",
        "store_id",
        "operator_id",
        "terminal_id",
        "extend_params",
        "enable_pay_channels",
        "disable_pay_channels",
        "passback_params",
    }
)


def _method(surfaces: str, options: str = "") -> MethodCapability:
    return MethodCapability(
        currencies=frozenset({"CNY"}),
        amount_min=FEN_MIN,
        amount_max=FEN_MAX,
        surfaces=frozenset(surfaces.split()),
        options=_ORDER_OPTIONS | frozenset(options.split()),
    )


CAPABILITIES = Capabilities(
    methods={
        "alipay_page": _method("desktop", "qr_pay_mode qrcode_width goods_type"),
        "alipay_wap": _method("mobile", "quit_url goods_type"),
        "alipay_qr": _method("desktop qr"),
    },
    partial_refund=True,
    # Not CREATE: asking again for the QR of one order is refused.
    idempotent=frozenset({Verb.CLOSE, Verb.REFUND}),
    refund_gap_seconds=3,
    expiry_min_seconds=60,
    expiry_max_seconds=15 * 86_400,
)

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
            "alipay_qr": self._create_qr,
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
        return Accepted(next_action=NextAction(NextActionKind.QR_CODE, content=answer["qr_code"]))

    async def query(self, attempt: AttemptRequest) -> AttemptEvent:
        try:
            answer = await self._client.query(out_trade_no=attempt.reference)
        except AlipayDeclined as error:
            if mapping.is_trade_not_exist(error):
                return NotFound()
            raise _not_a_no(error) from error
        return mapping.event_from_trade(mapping.trade_from_query(answer))

    async def close(self, attempt: AttemptRequest) -> AttemptEvent:
        """Makes an unpaid trade unpayable; a trade that cannot be closed is reported as what it is."""
        try:
            answer = await self._client.close(out_trade_no=attempt.reference)
        except AlipayDeclined as error:
            if mapping.is_trade_not_exist(error):
                return NotFound()
            if business_code(error.sub_code) in mapping.NOT_CLOSABLE:
                return await self.query(attempt)
            raise _not_a_no(error) from error
        return Closed(channel_reference=answer.get("trade_no"))

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
        """A no, unless this was the repeat of a refund that was executed."""
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
        """Key mode has one key; there is nothing to fetch."""

    def acknowledge(self, outcome: Acknowledgement) -> RawResponse:
        return RawResponse(status=200, body=_ANSWERS[outcome])

    # --- check -------------------------------------------------------------------------------------------------

    async def check(self) -> list[Finding]:
        """Asks for a trade that does not exist: a signed 'no such trade' proves address, app id and both keys."""
        try:
            await self._client.query(out_trade_no=doctor.PROBE_NUMBER)
        except TongbaoError as error:
            return [doctor.finding_from_error(error)]
        return [doctor.KEYS_RIGHT]


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
    """Opens an account; raises InvalidInput naming `credentials.<field>` for what cannot be right."""
    missing = [field.name for field in CREDENTIALS if field.required and not credentials.get(field.name, "").strip()]
    if missing:
        raise InvalidInput(f"{missing[0]} is missing", param=f"credentials.{missing[0]}")
    try:
        client = AsyncAlipayClient(
            app_id=credentials["app_id"],
            # As bytes: a text could be taken for the path of a file on this machine.
            private_key=credentials["private_key"].encode(),
            alipay_public_key=credentials["alipay_public_key"].encode(),
            gateway_url=credentials["gateway_url"],
            sign_type=credentials.get("sign_type") or "RSA2",
            clock=clock,
            transport=transport,
        )
    except InvalidInput as error:
        raise InvalidInput(error.message, param=f"credentials.{error.param}", code=error.code) from None
    return Alipay(client, credentials.get("seller_id") or None)


CREDENTIALS = (
    CredentialField("gateway_url", secret=False, description=f"{PRODUCTION_URL}, or the sandbox's address"),
    CredentialField("app_id", secret=False, description="the application's id"),
    CredentialField("private_key", secret=True, description="the application's private key, PKCS#1 or PKCS#8"),
    CredentialField("alipay_public_key", secret=False, description="Alipay's public key, not the application's own"),
    CredentialField(
        "seller_id",
        secret=False,
        required=False,
        description="who receives the money (2088...); checked in notifications when given",
    ),
    CredentialField("sign_type", secret=False, required=False, description="RSA2 (default) or RSA"),
)

ALIPAY = ChannelKind(
    name="alipay",
    capabilities=CAPABILITIES,
    credentials=CREDENTIALS,
    production_urls=frozenset({PRODUCTION_URL}),
    open=open_alipay,
)
