"""The trade methods: precreate, page.pay, wap.pay, query, close.

Rule: a handler takes a proven call and returns the fields of a success or raises Failure; it never awaits.
"""

from tongbao.simulators.alipay.errors import Failure
from tongbao.simulators.alipay.model import PAID_STATES, WAIT, Order, Trade
from tongbao.simulators.alipay.orders import read_order
from tongbao.simulators.alipay.refunds import query_options
from tongbao.simulators.alipay.request import Call
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.wire import china_time, masked, yuan

QR_ADDRESS = "https://qr.alipay.com/"
_ZERO = ("buyer_pay_amount", "invoice_amount", "point_amount", "receipt_amount")
ZERO_AMOUNTS = dict.fromkeys(_ZERO, "0.00")


def precreate(book: Book, call: Call) -> dict[str, object]:
    """alipay.trade.precreate: a QR that is valid for two hours. While it lives, asking again for the same merchant
    reference is refused."""
    order = read_order(call, "qr", "bax" + book.bank.token(21), expiring=("qr_code_timeout_express",))
    existing = book.trade_of(order)
    if existing is not None:
        book.check_repeat(existing, order)
    if book.live_code(order) is not None:
        raise Failure("ACQ.APPLY_PC_MERCHANT_CODE_ERROR")
    book.add_order(order)
    return {"out_trade_no": order.out_trade_no, "qr_code": QR_ADDRESS + order.token}


def page_pay(book: Book, call: Call) -> Order:
    """alipay.trade.page.pay: an order whose cashier page the browser is sent to."""
    return book.add_order(read_order(call, "page", book.bank.token(28)))


def wap_pay(book: Book, call: Call) -> Order:
    """alipay.trade.wap.pay."""
    return book.add_order(read_order(call, "wap", book.bank.token(28)))


def query(book: Book, call: Call) -> dict[str, object]:
    """alipay.trade.query."""
    trade = book.find(call)
    if trade is None:
        raise Failure("ACQ.TRADE_NOT_EXIST", {"out_trade_no": call.text("out_trade_no"), **ZERO_AMOUNTS})
    return {**trade_fields(book, trade), **_asked_for(call, trade)}


def trade_fields(book: Book, trade: Trade) -> dict[str, object]:
    """What a query says of a trade."""
    order = trade.order
    buyer = book.bank.buyer(trade.buyer_id)
    fields: dict[str, object] = {
        "trade_no": trade.trade_no,
        "out_trade_no": order.out_trade_no,
        "buyer_logon_id": masked(buyer.logon_id) if buyer else "",
        "buyer_user_id": trade.buyer_id,
        "buyer_user_type": "PRIVATE" if buyer else "",
        "trade_status": trade.status,
        "total_amount": yuan(order.amount_minor),
        "subject": order.subject,
        "body": order.body,
        "store_id": order.store_id,
        "terminal_id": order.terminal_id,
        "passback_params": order.passback_params,
        **ZERO_AMOUNTS,
    }
    if trade.paid_at is not None:
        paid = yuan(order.amount_minor)
        fields |= {name: paid for name in _ZERO if name != "point_amount"}
        fields["send_pay_date"] = china_time(trade.paid_at)
    if trade.cancelled:
        fields["ext_infos"] = '{"action":"cancel"}'
    return fields


def _asked_for(call: Call, trade: Trade) -> dict[str, object]:
    options = query_options(call)
    fields: dict[str, object] = {}
    if "fund_bill_list" in options and trade.paid_at is not None:
        fields["fund_bill_list"] = [{"amount": yuan(trade.order.amount_minor), "fund_channel": "ALIPAYACCOUNT"}]
    return fields


def close(book: Book, call: Call) -> dict[str, object]:
    """alipay.trade.close: only a trade that waits for its buyer can be closed."""
    trade = book.find(call)
    if trade is None:
        raise Failure("ACQ.TRADE_NOT_EXIST")
    if trade.status != WAIT:
        raise Failure("ACQ.TRADE_STATUS_ERROR" if trade.status in PAID_STATES else "ACQ.REASON_TRADE_STATUS_INVALID")
    book.close(trade)
    return {"trade_no": trade.trade_no, "out_trade_no": trade.order.out_trade_no}
