"""alipay.trade.refund and alipay.trade.fastpay.refund.query.

Rule: a refund is known by its request number within the trade and is executed once: the same number with the same
amount answers success with `fund_change=N`, with another amount `DISCORDANT_REPEAT_REQUEST`. `refund_fee` adds up.
The recommended gap of three seconds between two refunds of a trade is not enforced: no document names its error code.
"""

from tongbao.simulators.alipay.errors import Failure
from tongbao.simulators.alipay.model import CLOSED, FINISHED, WAIT, Refund, Trade
from tongbao.simulators.alipay.orders import optional, required
from tongbao.simulators.alipay.request import Call
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.wire import china_time, fen, masked, yuan
from tongbao.simulators.bank import BalanceShort
from tongbao.simulators.faults import Fault

_NOT_REFUNDABLE = {WAIT: "ACQ.TRADE_STATUS_ERROR", FINISHED: "ACQ.TRADE_HAS_FINISHED", CLOSED: "ACQ.TRADE_HAS_CLOSE"}


def refund(book: Book, call: Call) -> dict[str, object]:
    """alipay.trade.refund; raises Failure."""
    amount_minor = fen(call.biz.get("refund_amount"))
    if amount_minor is None or amount_minor <= 0:
        raise _failed(call, "ACQ.INVALID_PARAMETER")
    trade = book.find(call)
    if trade is None:
        raise _failed(call, "ACQ.TRADE_NOT_EXIST")
    number = optional(call, "out_request_no", 64)
    earlier = trade.refunds.get(number or trade.order.out_trade_no)
    if earlier is not None:
        if earlier.amount_minor != amount_minor:
            raise _failed(call, "ACQ.DISCORDANT_REPEAT_REQUEST")
        return _answer(book, call, trade, earlier, moved=False)
    if trade.status in _NOT_REFUNDABLE:
        raise _failed(call, _NOT_REFUNDABLE[trade.status])
    partial = amount_minor != trade.order.amount_minor
    if amount_minor > trade.order.amount_minor - trade.refunded_minor or (partial and not number):
        raise _failed(call, "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL")
    if book.strikes(call, Fault.SELLER_BALANCE_SHORT):
        raise _failed(call, "ACQ.SELLER_BALANCE_NOT_ENOUGH")
    made = pay_back(book, call, trade, number or trade.order.out_trade_no, amount_minor)
    return _answer(book, call, trade, made, moved=made.confirmed)


def pay_back(book: Book, call: Call, trade: Trade, number: str, amount_minor: int) -> Refund:
    """Moves the money, writes the refund down and notifies; a full refund closes the trade. Raises Failure."""
    buyer = book.bank.buyer(trade.buyer_id)
    if buyer is None:
        raise _failed(call, "ACQ.BUYER_NOT_EXIST")
    try:
        book.bank.move_to_buyer(trade.order.seller_id, buyer, amount_minor)
    except BalanceShort:
        raise _failed(call, "ACQ.SELLER_BALANCE_NOT_ENOUGH") from None
    reason = optional(call, "refund_reason", 256)
    made = Refund(number, amount_minor, call.now, reason, confirmed=not book.strikes(call, Fault.REFUND_UNCONFIRMED))
    trade.refunds[number] = made
    if trade.refunded_minor == trade.order.amount_minor:
        trade.status, trade.closed_at = CLOSED, call.now
    book.save(trade)
    book.notices.send(trade, "refunded", made)
    return made


def refund_query(book: Book, call: Call) -> dict[str, object]:
    """alipay.trade.fastpay.refund.query; a number that the trade does not know is success without refund fields."""
    number = required(call, "out_request_no", 64)
    trade = book.find(call)
    if trade is None:
        raise Failure("ACQ.TRADE_NOT_EXIST")
    made = trade.refunds.get(number)
    if made is None:
        return {}
    options = query_options(call)
    fields: dict[str, object] = {
        "trade_no": trade.trade_no,
        "out_trade_no": trade.order.out_trade_no,
        "out_request_no": number,
        "total_amount": yuan(trade.order.amount_minor),
        "refund_amount": yuan(made.amount_minor),
        "refund_status": "REFUND_SUCCESS",
        "refund_reason": made.reason,
    }
    if "gmt_refund_pay" in options:
        fields["gmt_refund_pay"] = china_time(made.refunded_at)
    if "refund_detail_item_list" in options:
        fields["refund_detail_item_list"] = [_detail(made)]
        fields["send_back_fee"] = yuan(made.amount_minor)
    if "deposit_back_info" in options:
        fields["deposit_back_info"] = {"has_deposit_back": "false"}
    return fields


def query_options(call: Call) -> frozenset[str]:
    """The list of additional answers wanted; raises Failure when it is not a list of names."""
    options = call.biz.get("query_options", [])
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise Failure("ACQ.INVALID_PARAMETER")
    return frozenset(options)


def _answer(book: Book, call: Call, trade: Trade, made: Refund, *, moved: bool) -> dict[str, object]:
    buyer = book.bank.buyer(trade.buyer_id)
    fields: dict[str, object] = {
        "trade_no": trade.trade_no,
        "out_trade_no": trade.order.out_trade_no,
        "buyer_logon_id": masked(buyer.logon_id) if buyer else "",
        "buyer_user_id": trade.buyer_id,
        "fund_change": "Y" if moved else "N",
        "refund_fee": yuan(trade.refunded_minor),
        "gmt_refund_pay": china_time(made.refunded_at),
    }
    if "refund_detail_item_list" in query_options(call):
        fields["refund_detail_item_list"] = [_detail(made)]
        fields["send_back_fee"] = yuan(made.amount_minor)
    return fields


def _detail(made: Refund) -> dict[str, str]:
    return {"amount": yuan(made.amount_minor), "fund_channel": "ALIPAYACCOUNT"}


def _failed(call: Call, sub_code: str) -> Failure:
    zero = {"refund_fee": "0.00", "send_back_fee": "0.00"}
    return Failure(sub_code, {"out_trade_no": call.text("out_trade_no"), **zero})
