"""Tables between WeChat's words and ours: trade states, refunds, requests for each verb, reports from messages. Pure.

Rule: a state that is in no table is 'still pending', never a no. REFUND says that something went back, not how much;
REVOKED is a barcode payment that was reversed: paid first when it carries a payment time. Amounts and times are spelled
in `values.py`, the meaning of error codes in `errors.py`. Source: states and notification contents of the protocol.

Who it is: the account is the merchant number. The app is checked here as well: a message about another app of the same
merchant states an account that none is, so that it contradicts whatever we stored.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tongbao.channels.wechatpay.errors import WechatPayError, plain
from tongbao.channels.wechatpay.notifications import WechatNotification
from tongbao.channels.wechatpay.values import (
    DESCRIPTION_BYTES_MAX,
    REASON_BYTES_MAX,
    fitting_text,
    instant_from_text,
    money_from_fen,
)
from tongbao.domain.errors import InvalidInput, MessageNotTrusted
from tongbao.domain.money import Money
from tongbao.domain.report import (
    Accepted,
    AttemptEvent,
    Closed,
    Declined,
    Notification,
    Paid,
    RefundAccepted,
    RefundDone,
    RefundEvent,
    RefundRejected,
    Report,
    Stated,
)
from tongbao.ports import AttemptRequest, RefundRequest

NOTIFICATION_STATES = frozenset({"amount", "account"})
"""What a notification must state, or it is a mismatch."""


# --- requests ----------------------------------------------------------------------------------------------------


def request_for_order(attempt: AttemptRequest) -> dict[str, Any]:
    """What every way of making an order takes: the deadline is absolute and equal to ours, the description adapted."""
    return {
        **attempt.options,
        "out_trade_no": attempt.reference,
        "amount": attempt.amount,
        "description": fitting_text(attempt.subject, DESCRIPTION_BYTES_MAX),
        "notify_url": attempt.notify_url,
        "time_expire": attempt.expires_at,
    }


def request_for_jsapi(attempt: AttemptRequest) -> dict[str, Any]:
    """The buyer is known by open id: the option `openid`, or the buyer's id. Raises InvalidInput without one."""
    openid = attempt.options.get("openid") or attempt.buyer_id
    if not isinstance(openid, str) or not openid:
        raise InvalidInput("wechat_jsapi needs the buyer's open id", param="method_options.openid")
    return {**request_for_order(attempt), "openid": openid}


def request_for_h5(attempt: AttemptRequest) -> dict[str, Any]:
    """WeChat compares the address with the browser's; raises InvalidInput without one."""
    if not attempt.buyer_ip:
        raise InvalidInput("wechat_h5 needs the buyer's address", param="buyer_ip")
    return {**request_for_order(attempt), "payer_client_ip": attempt.buyer_ip}


def request_for_barcode(attempt: AttemptRequest) -> dict[str, Any]:
    """The code that the buyer shows comes as the option `auth_code`; raises InvalidInput without one. Code pay knows
    neither deadline nor notification. Without the option `store_info` the counter is the merchant's store `1`."""
    code = attempt.options.get("auth_code")
    if not isinstance(code, str) or not code.isascii() or not code.isdigit() or not 16 <= len(code) <= 32:
        raise InvalidInput("the buyer's code has 18 digits", param="method_options.auth_code")
    request = request_for_order(attempt)
    del request["notify_url"], request["time_expire"]
    return {"store_info": {"out_id": "1"}, **request}


def request_for_refund(refund: RefundRequest) -> dict[str, Any]:
    """Named by our own numbers: WeChat's may not be known yet."""
    return {
        "out_refund_no": refund.reference,
        "out_trade_no": refund.attempt_reference,
        "refund_amount": refund.amount,
        "total_amount": refund.paid,
        "reason": fitting_text(refund.reason, REASON_BYTES_MAX) if refund.reason else None,
        "notify_url": refund.notify_url,
    }


# --- trades ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trade:
    """What an answer or a notification says about a trade."""

    state: str
    stated: Stated
    channel_reference: str | None
    buyer: str | None
    paid_at: datetime | None


def trade_from_transaction(node: Mapping[str, Any], appid: str | None, required: frozenset[str] = frozenset()) -> Trade:
    """`appid` is the account's; `required` what this kind of message must state. An unpaid order's answer is short."""
    amount, payer = node.get("amount"), node.get("payer")
    amounts = amount if isinstance(amount, Mapping) else {}
    people = payer if isinstance(payer, Mapping) else {}
    return Trade(
        state=str(node.get("trade_state") or ""),
        stated=Stated(
            amount=money_from_fen(amounts.get("total"), amounts.get("currency")),
            account=_account(node, appid),
            required=required,
        ),
        channel_reference=_text(node.get("transaction_id")),
        buyer=_text(people.get("openid") or people.get("sp_openid")),
        paid_at=instant_from_text(node.get("success_time")),
    )


def _account(node: Mapping[str, Any], appid: str | None) -> str | None:
    """The merchant that a message is about; with the app behind it where that is not the account's."""
    mchid = _text(node.get("mchid") or node.get("sp_mchid"))
    told = _text(node.get("appid") or node.get("sp_appid"))
    return f"{mchid} {told}" if mchid and told and appid and told != appid else mchid


def _text(value: object) -> str | None:
    return str(value) if value else None


def _accepted(trade: Trade) -> AttemptEvent:
    return Accepted(channel_reference=trade.channel_reference, stated=trade.stated)


def _paid(trade: Trade) -> AttemptEvent:
    return Paid(
        stated=trade.stated,
        channel_reference=trade.channel_reference,
        paid_at=trade.paid_at,
        buyer=trade.buyer,
    )


def _closed(trade: Trade) -> AttemptEvent:
    return Closed(channel_reference=trade.channel_reference, stated=trade.stated)


def _revoked(trade: Trade) -> AttemptEvent:
    """A reversed barcode payment: with a payment time it was paid, and all of it went back."""
    if trade.paid_at is None:
        return _closed(trade)
    return Paid(
        stated=trade.stated,
        channel_reference=trade.channel_reference,
        paid_at=trade.paid_at,
        buyer=trade.buyer,
        refunded=trade.stated.amount,
    )


def _failed(trade: Trade) -> AttemptEvent:
    """The bank said no to the code, which is good for one charge."""
    return Declined("payment_failed", "WeChat Pay: the payment failed", channel_code=trade.state, stated=trade.stated)


STATUS_FROM_TRADE_STATE: dict[str, Callable[[Trade], AttemptEvent]] = {
    "NOTPAY": _accepted,
    "USERPAYING": _accepted,
    "ACCEPT": _accepted,
    "SUCCESS": _paid,
    "REFUND": _paid,
    "CLOSED": _closed,
    "REVOKED": _revoked,
    "PAYERROR": _failed,
}


def event_from_trade(trade: Trade) -> AttemptEvent:
    """A state that WeChat has not told us about yet leaves the attempt pending."""
    return STATUS_FROM_TRADE_STATE.get(trade.state, _accepted)(trade)


# --- error answers -> events -------------------------------------------------------------------------------------


def _codes(text: str) -> frozenset[str]:
    return frozenset(plain(code) for code in text.split())


BUYER_PAYING = _codes("USER_PAYING")
TRADE_NOT_EXIST = _codes("ORDER_NOT_EXIST")
TRADE_EXISTS = _codes("INVALID_REQUEST OUT_TRADE_NO_USED ORDER_PAID ORDER_CLOSED ORDER_REVERSED TRADE_STATE_ERROR")
"""A create refused with one of these: the order may be there already, ask what became of it."""
NOT_CLOSABLE = _codes("INVALID_REQUEST ORDER_PAID ORDER_CLOSED ORDER_REVERSED TRADE_STATE_ERROR TRADE_ERROR RULE_LIMIT")
"""A close or a reversal refused with one of these: it may be paid or closed; ask. (Which code a paid order gives is not
known for certain.)"""
REFUND_NOT_EXIST = _codes("RESOURCE_NOT_EXISTS NOT_FOUND")
REFUND_PERHAPS_DONE = _codes("INVALID_REQUEST TRADE_STATE_ERROR TRADE_OVERDUE RESOURCE_NOT_EXISTS NOT_FOUND")
"""A refund refused with one of these may be the repeat of one that was executed: ask before it is called rejected."""


def is_one_of(error: WechatPayError, codes: frozenset[str]) -> bool:
    return plain(error.channel_code or "") in codes


def declined_from_error(error: WechatPayError) -> Declined:
    return Declined(
        code=error.code,
        message=error.message,
        channel_code=error.channel_code,
        channel_message=error.channel_message,
    )


def rejected_from_error(error: WechatPayError) -> RefundRejected:
    return RefundRejected(
        code=error.code,
        message=error.message,
        channel_code=error.channel_code,
        channel_message=error.channel_message,
    )


# --- refunds -----------------------------------------------------------------------------------------------------


def _refund_under_way(node: Mapping[str, Any], refunded: Money | None) -> RefundEvent:
    return RefundAccepted(channel_reference=_text(node.get("refund_id")))


def _refund_done(node: Mapping[str, Any], refunded: Money | None) -> RefundEvent:
    return RefundDone(
        amount=refunded,
        channel_reference=_text(node.get("refund_id")),
        refunded_at=instant_from_text(node.get("success_time")),
    )


def _refund_closed(node: Mapping[str, Any], refunded: Money | None) -> RefundEvent:
    return RefundRejected(
        "refund_closed",
        "WeChat Pay closed the refund; the money stayed. Refund again under a new number.",
        channel_code="CLOSED",
    )


STATUS_FROM_REFUND_STATUS: dict[str, Callable[[Mapping[str, Any], Money | None], RefundEvent]] = {
    "SUCCESS": _refund_done,
    "CLOSED": _refund_closed,
    "PROCESSING": _refund_under_way,
    "ABNORMAL": _refund_under_way,
}
"""ABNORMAL: the buyer's account cannot be used. It stays under way until somebody directs it elsewhere
(`abnormal_refund`), and ends in SUCCESS."""


def event_from_refund(node: Mapping[str, Any]) -> RefundEvent:
    """Of an answer (`status`) or a notification (`refund_status`). One that is in no table is under way."""
    amount = node.get("amount")
    amounts = amount if isinstance(amount, Mapping) else {}
    refunded = money_from_fen(amounts.get("refund"), amounts.get("currency"))
    status = str(node.get("refund_status") or node.get("status") or "")
    return STATUS_FROM_REFUND_STATUS.get(status, _refund_under_way)(node, refunded)


# --- notifications -----------------------------------------------------------------------------------------------


def notification_from_message(message: WechatNotification, mchid: str, appid: str | None) -> Notification:
    """A verified notification's reports. Messages about anything but an order or a refund (transfers, profit sharing,
    combined orders, ...) make no report."""
    if not message.id:
        raise InvalidInput("a notification of WeChat's carries id", code="malformed_notification")
    make = _REPORTS_FROM_ORIGINAL_TYPE.get(message.original_type or message.event_type.partition(".")[0].lower())
    reports = make(message.resource, mchid, appid) if make is not None else ()
    return Notification(notification_id=message.id, reports=reports, kind=message.event_type)


def _payment_reports(node: Mapping[str, Any], mchid: str, appid: str | None) -> tuple[Report, ...]:
    reference = node.get("out_trade_no")
    if not isinstance(reference, str) or "trade_state" not in node:
        return ()
    trade = trade_from_transaction(node, appid, NOTIFICATION_STATES)
    return (Report(reference, event_from_trade(trade)),)


def _refund_reports(node: Mapping[str, Any], mchid: str, appid: str | None) -> tuple[Report, ...]:
    reference = node.get("out_refund_no")
    if not isinstance(reference, str):
        return ()
    told = node.get("mchid") or node.get("sp_mchid")
    if told != mchid:
        raise MessageNotTrusted("the refund is of another merchant than this account")
    return (Report(reference, event_from_refund(node)),)


_REPORTS_FROM_ORIGINAL_TYPE: dict[str, Callable[[Mapping[str, Any], str, str | None], tuple[Report, ...]]] = {
    "transaction": _payment_reports,
    "refund": _refund_reports,
}
