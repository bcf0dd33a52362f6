"""Tables between Alipay's words and ours: trade statuses, refunds, requests for each verb, reports from messages. Pure.

Rule: a status that is in no table is 'still pending', never a no. TRADE_CLOSED does not prove 'never paid': with a
payment time or refund data it was paid first and then paid back. Amounts and times are spelled in `values.py`, the
meaning of error codes in `errors.py`. Source: state semantics and notification fields of the protocol.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tongbao.channels.alipay.errors import AlipayError, business_code
from tongbao.channels.alipay.values import china_text, instant_from_china, money_from_yuan, subject_text
from tongbao.domain.errors import InvalidInput
from tongbao.domain.money import Money
from tongbao.domain.report import (
    Accepted,
    AttemptEvent,
    Closed,
    Declined,
    NotFound,
    Notification,
    Paid,
    RefundAccepted,
    RefundDone,
    RefundEvent,
    RefundNotFound,
    RefundRejected,
    Report,
    Stated,
)
from tongbao.ports import AttemptRequest, RefundRequest

NOTIFICATION_STATES = frozenset({"amount", "account"})
"""What a notification must state, or it is a mismatch."""


# --- requests ----------------------------------------------------------------------------------------------------


def request_for_order(attempt: AttemptRequest) -> dict[str, Any]:
    """What every way of making an order takes: the deadline is absolute and equal to ours, the subject adapted."""
    return {
        **attempt.options,
        "out_trade_no": attempt.reference,
        "total_amount": attempt.amount,
        "subject": subject_text(attempt.subject),
        "time_expire": china_text(attempt.expires_at),
        "notify_url": attempt.notify_url,
    }


def request_for_page(attempt: AttemptRequest) -> dict[str, Any]:
    """For the ways in which the buyer's browser comes back."""
    return {**request_for_order(attempt), "return_url": attempt.return_url}


def request_for_jsapi(attempt: AttemptRequest) -> dict[str, Any]:
    """The buyer is known by user id (2088...) or by open id: the options `buyer_id` and `buyer_open_id`, or the buyer's
    id. Raises InvalidInput without one."""
    request = request_for_order(attempt)
    if request.get("buyer_id") or request.get("buyer_open_id"):
        return request
    if not attempt.buyer_id:
        raise InvalidInput("alipay_jsapi needs the buyer's open id or user id", param="method_options.buyer_open_id")
    is_user_id = attempt.buyer_id.isdigit() and attempt.buyer_id.startswith("2088")
    return {**request, "buyer_id" if is_user_id else "buyer_open_id": attempt.buyer_id}


def request_for_barcode(attempt: AttemptRequest) -> dict[str, Any]:
    """The code that the buyer shows comes as the option `auth_code`; raises InvalidInput without one."""
    code = attempt.options.get("auth_code")
    if not isinstance(code, str) or not code.isalnum() or not 16 <= len(code) <= 64:
        raise InvalidInput("the buyer's code has 16 to 64 digits or letters", param="method_options.auth_code")
    return request_for_order(attempt)


def request_for_refund(refund: RefundRequest) -> dict[str, Any]:
    """The refund's number is ours, so a repeat is executed once."""
    return {
        "out_trade_no": refund.attempt_reference,
        "out_request_no": refund.reference,
        "refund_amount": refund.amount,
        "refund_reason": refund.reason[:256] if refund.reason else None,
    }


def request_for_query_refund(refund: RefundRequest) -> dict[str, Any]:
    return {"out_trade_no": refund.attempt_reference, "out_request_no": refund.reference}


# --- trades ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trade:
    """What a query's answer or a notification says about a trade."""

    status: str
    stated: Stated
    channel_reference: str | None
    buyer: str | None
    paid_at: datetime | None
    closed_at: datetime | None
    refunded: Money | None
    refund_seen: bool


def trade_from_query(node: Mapping[str, Any]) -> Trade:
    """Alipay states the amount; account and seller are implied by the keys that verified the answer."""
    return _trade(node, Stated(amount=money_from_yuan(node.get("total_amount"))))


def trade_from_notification(params: Mapping[str, Any]) -> Trade:
    stated = Stated(
        amount=money_from_yuan(params.get("total_amount")),
        account=params.get("app_id"),
        seller=params.get("seller_id"),
        required=NOTIFICATION_STATES,
    )
    return _trade(params, stated)


def _trade(fields: Mapping[str, Any], stated: Stated) -> Trade:
    buyers = (fields.get(name) for name in ("buyer_user_id", "buyer_id", "buyer_open_id"))
    return Trade(
        status=str(fields.get("trade_status", "")),
        stated=stated,
        channel_reference=fields.get("trade_no") or None,
        buyer=next((buyer for buyer in buyers if buyer), None),
        paid_at=instant_from_china(fields.get("gmt_payment") or fields.get("send_pay_date")),
        closed_at=instant_from_china(fields.get("gmt_close")),
        refunded=money_from_yuan(fields.get("refund_fee")),
        refund_seen=bool(fields.get("gmt_refund") or fields.get("out_biz_no") or fields.get("refund_fee")),
    )


def _accepted(trade: Trade) -> AttemptEvent:
    return Accepted(channel_reference=trade.channel_reference, stated=trade.stated)


def _paid(trade: Trade) -> AttemptEvent:
    return Paid(
        stated=trade.stated,
        channel_reference=trade.channel_reference,
        paid_at=trade.paid_at,
        buyer=trade.buyer,
        refunded=trade.refunded if trade.refund_seen else None,
    )


def _closed(trade: Trade) -> AttemptEvent:
    """Paid first when a payment time or refund data says so; a paid trade closes only when all of it went back."""
    if trade.paid_at is None and not trade.refund_seen:
        return Closed(channel_reference=trade.channel_reference, closed_at=trade.closed_at, stated=trade.stated)
    return Paid(
        stated=trade.stated,
        channel_reference=trade.channel_reference,
        paid_at=trade.paid_at,
        buyer=trade.buyer,
        refunded=trade.refunded or trade.stated.amount,
    )


STATUS_FROM_TRADE_STATUS: dict[str, Callable[[Trade], AttemptEvent]] = {
    "WAIT_BUYER_PAY": _accepted,
    "TRADE_SUCCESS": _paid,
    "TRADE_FINISHED": _paid,
    "TRADE_CLOSED": _closed,
}


def event_from_trade(trade: Trade) -> AttemptEvent:
    """A status that Alipay has not told us about yet leaves the attempt pending."""
    return STATUS_FROM_TRADE_STATUS.get(trade.status, _accepted)(trade)


# --- error answers -> events -------------------------------------------------------------------------------------

TRADE_NOT_EXIST = "TRADE_NOT_EXIST"
TRADE_EXISTS = frozenset({"TRADE_HAS_SUCCESS", "TRADE_HAS_CLOSE", "CONTEXT_INCONSISTENT", "TRADE_BUYER_NOT_MATCH"})
"""A create refused with one of these: the trade is there already, ask what became of it."""
NOT_CLOSABLE = frozenset({"TRADE_STATUS_ERROR", "REASON_TRADE_STATUS_INVALID", "REASON_ILLEGAL_STATUS"})
"""A close refused with one of these: it is paid, finished or closed; ask."""
NOT_CANCELABLE = NOT_CLOSABLE | {
    "TRADE_HAS_FINISHED",
    "TRADE_CANCEL_TIME_OUT",
    "CANCEL_NOT_ALLOWED",
    "REASON_TRADE_REFUND_FEE_ERR",
}
"""A cancel refused with one of these: it was paid; ask."""
REFUND_PERHAPS_DONE = frozenset(
    {
        "TRADE_HAS_CLOSE",
        "TRADE_HAS_FINISHED",
        "TRADE_STATUS_ERROR",
        "REASON_TRADE_STATUS_INVALID",
        "REFUND_AMT_NOT_EQUAL_TOTAL",
        "REASON_TRADE_REFUND_FEE_ERR",
        "DISCORDANT_REPEAT_REQUEST",
    }
)
"""A refund refused with one of these may be the repeat of one that was executed: ask before it is called rejected."""


def declined_from_error(error: AlipayError) -> Declined:
    return Declined(
        code=error.code,
        message=error.message,
        channel_code=error.channel_code,
        channel_message=error.channel_message,
    )


def rejected_from_error(error: AlipayError) -> RefundRejected:
    return RefundRejected(
        code=error.code,
        message=error.message,
        channel_code=error.channel_code,
        channel_message=error.channel_message,
    )


def is_trade_not_exist(error: AlipayError) -> bool:
    return business_code(error.sub_code) == TRADE_NOT_EXIST


def _canceled_unpaid(node: Mapping[str, Any], amount: Money) -> AttemptEvent:
    return Closed(channel_reference=node.get("trade_no") or None)


def _canceled_paid(node: Mapping[str, Any], amount: Money) -> AttemptEvent:
    return Paid(stated=Stated(), channel_reference=node.get("trade_no") or None, refunded=amount)


def _canceled_nothing(node: Mapping[str, Any], amount: Money) -> AttemptEvent:
    return NotFound()


EVENT_FROM_CANCEL_ACTION: dict[str, Callable[[Mapping[str, Any], Money], AttemptEvent]] = {
    "close": _canceled_unpaid,
    "refund": _canceled_paid,
    "": _canceled_nothing,
}


def event_from_cancel(node: Mapping[str, Any], amount: Money) -> AttemptEvent:
    """What a cancel did: closed what was unpaid, or paid back what was paid (paid, and all of it went back). One that
    is in no table leaves the attempt pending."""
    action = EVENT_FROM_CANCEL_ACTION.get(str(node.get("action") or ""))
    return Accepted(channel_reference=node.get("trade_no") or None) if action is None else action(node, amount)


# --- refunds -----------------------------------------------------------------------------------------------------


def event_from_refund(node: Mapping[str, Any]) -> RefundEvent:
    """The money went back only when `fund_change` says so. `refund_fee` counts all refunds of the trade, so the
    amount of this one is not stated."""
    if node.get("fund_change") == "Y":
        return RefundDone(refunded_at=instant_from_china(node.get("gmt_refund_pay")))
    return RefundAccepted()


def _refund_done(node: Mapping[str, Any]) -> RefundEvent:
    return RefundDone(
        amount=money_from_yuan(node.get("refund_amount")),
        refunded_at=instant_from_china(node.get("gmt_refund_pay")),
    )


def _refund_not_found(node: Mapping[str, Any]) -> RefundEvent:
    return RefundNotFound()


def _refund_under_way(node: Mapping[str, Any]) -> RefundEvent:
    return RefundAccepted()


STATUS_FROM_REFUND_STATUS: dict[str, Callable[[Mapping[str, Any]], RefundEvent]] = {
    "": _refund_not_found,
    "REFUND_SUCCESS": _refund_done,
}


def event_from_refund_query(node: Mapping[str, Any]) -> RefundEvent:
    """Without a status the refund was not received, or failed; with one that is in no table it is under way."""
    status = str(node.get("refund_status") or "")
    return STATUS_FROM_REFUND_STATUS.get(status, _refund_under_way)(node)


# --- notifications -----------------------------------------------------------------------------------------------


def notification_from_params(params: Mapping[str, str]) -> Notification:
    """A verified notification's reports: on the trade and, when it tells of a refund, on the refund `out_biz_no`.

    Messages about anything but a trade (agreements, transfers, settlement) make no report.
    """
    notification_id = params.get("notify_id")
    if not notification_id:
        raise InvalidInput("a notification of Alipay's carries notify_id", code="malformed_notification")
    kind = params.get("notify_type") or params.get("msg_method") or ""
    reference = params.get("out_trade_no")
    if not reference or "trade_status" not in params:
        return Notification(notification_id=notification_id, reports=(), kind=kind)
    reports = [Report(reference, event_from_trade(trade_from_notification(params)))]
    refund_reference = params.get("out_biz_no")
    if refund_reference and (params.get("refund_fee") or params.get("gmt_refund")):
        reports.append(Report(refund_reference, RefundDone(refunded_at=instant_from_china(params.get("gmt_refund")))))
    return Notification(notification_id=notification_id, reports=tuple(reports), kind=kind)
