"""At the counter and in mini programs: alipay.trade.pay (barcode), alipay.trade.create, alipay.trade.cancel.

Rule: what an auth code does is told in `codes.py`. Cancelling what does not exist is a success without `action`;
cancelling twice repeats the first action. No time limit is set for cancel, because none is published.
"""

from datetime import datetime, timedelta

from tongbao.simulators.alipay import agreements, freezes
from tongbao.simulators.alipay.codes import REFUSED, buyer_of, is_code
from tongbao.simulators.alipay.errors import Failure
from tongbao.simulators.alipay.model import CLOSED, FINISHED, SUCCESS, WAIT, Order, Trade
from tongbao.simulators.alipay.orders import optional, read_order, required
from tongbao.simulators.alipay.payments import ZERO_AMOUNTS
from tongbao.simulators.alipay.refunds import pay_back
from tongbao.simulators.alipay.request import Call
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.wire import china_time, masked, yuan
from tongbao.simulators.bank import Buyer
from tongbao.simulators.faults import Fault

PASSWORD_SECONDS = 10
_SCENES = frozenset({"bar_code", "security_code", "wave_code"})
UNAVAILABLE = ("20000", "isp.unknow-error")


def pay(book: Book, call: Call) -> dict[str, object]:
    """alipay.trade.pay: by auth code, by agreement, or out of frozen money."""
    order = read_order(call, "barcode", book.bank.token(28))
    if optional(call, "auth_no", 64):
        return _paid_answer(book, freezes.pay_out(book, call, order))
    if "agreement_params" in call.biz:
        return _paid_answer(book, agreements.deduct(book, call, order))
    code, buyer = _code(book, call)
    script = code[2:4]
    if script in REFUSED:
        raise _failed(order, f"ACQ.{REFUSED[script]}")
    if book.strikes(call, Fault.BUYER_BALANCE_SHORT):
        raise _failed(order, "ACQ.BUYER_BALANCE_NOT_ENOUGH")
    book.add_order(order)
    trade = book.open(order, buyer)
    book.use_code(code, order.out_trade_no)
    waits_until = _waiting(book, call, script)
    if waits_until is not None or script in ("03", "06"):
        return _wait(book, trade, waits_until, script)
    book.pay(trade, buyer)
    if script == "05":
        raise Failure(UNAVAILABLE[1], code=UNAVAILABLE[0])
    return _paid_answer(book, trade)


def _code(book: Book, call: Call) -> tuple[str, Buyer]:
    scene = required(call, "scene", 32)
    code = required(call, "auth_code", 64)
    if scene not in _SCENES:
        raise Failure("ACQ.INVALID_PARAMETER")
    if not is_code(code, scene) or book.code_used(code, call.text("out_trade_no")):
        raise Failure("ACQ.PAYMENT_AUTH_CODE_INVALID", ZERO_AMOUNTS)
    return code, buyer_of(book.bank, code)


def _waiting(book: Book, call: Call, script: str) -> datetime | None:
    """When the buyer will have given the password; None when nothing is asked or it never comes."""
    later = book.strikes(call, Fault.PAYMENT_THEN_PAID)
    if later is not None or script == "02":
        return call.now + timedelta(seconds=later.number(PASSWORD_SECONDS) if later else PASSWORD_SECONDS)
    if book.strikes(call, Fault.PAYMENT_THEN_CLOSED):
        return datetime.max.replace(tzinfo=call.now.tzinfo)
    return None


def _wait(book: Book, trade: Trade, until: datetime | None, script: str) -> dict[str, object]:
    if until is not None and until < trade.expires_at:
        trade.paid_later_at = until
    book.save(trade)
    if script == "06":
        raise Failure(UNAVAILABLE[1], code=UNAVAILABLE[0])
    fields = {"trade_no": trade.trade_no, "out_trade_no": trade.order.out_trade_no}
    return {**ZERO_AMOUNTS, **fields, "total_amount": yuan(trade.order.amount_minor), "code": "10003"}


def _paid_answer(book: Book, trade: Trade) -> dict[str, object]:
    buyer, paid = book.bank.buyer(trade.buyer_id), yuan(trade.order.amount_minor)
    return {
        "trade_no": trade.trade_no,
        "out_trade_no": trade.order.out_trade_no,
        "buyer_logon_id": masked(buyer.logon_id) if buyer else "",
        "buyer_user_id": trade.buyer_id,
        "total_amount": paid,
        "receipt_amount": paid,
        "buyer_pay_amount": paid,
        "invoice_amount": paid,
        "point_amount": "0.00",
        "gmt_payment": china_time(trade.paid_at) if trade.paid_at else "",
        "fund_bill_list": [{"amount": paid, "fund_channel": "ALIPAYACCOUNT"}],
    }


def _failed(order: Order, sub_code: str) -> Failure:
    return Failure(sub_code, {"out_trade_no": order.out_trade_no, **ZERO_AMOUNTS})


def create(book: Book, call: Call) -> dict[str, object]:
    """alipay.trade.create: the trade exists at once; the buyer pays in the mini program (scan its trade number)."""
    order = read_order(call, "jsapi", book.bank.token(28))
    who = optional(call, "buyer_id", 28) or optional(call, "buyer_open_id", 128)
    if not who:
        raise Failure("ACQ.INVALID_PARAMETER")
    buyer = book.bank.buyer(who)
    if who == order.seller_id:
        raise Failure("ACQ.BUYER_SELLER_EQUAL")
    if buyer is None:
        raise Failure("ACQ.BUYER_NOT_EXIST")
    order.buyer_id = buyer.user_id
    existing = book.trade_of(order)
    if existing is None:
        book.add_order(order)
    trade = book.open(order, buyer)
    return {"trade_no": trade.trade_no, "out_trade_no": order.out_trade_no}


def cancel(book: Book, call: Call) -> dict[str, object]:
    """alipay.trade.cancel: closes an unpaid trade, pays a paid one back; always says whether to try again."""
    trade = book.find(call)
    if trade is None:
        return {"out_trade_no": call.text("out_trade_no"), "retry_flag": "N"}
    if trade.status == FINISHED:
        raise Failure("ACQ.TRADE_HAS_FINISHED")
    action = "close" if trade.paid_at is None else "refund"
    if trade.status == WAIT:
        book.close(trade, cancelled=True)
    elif trade.status == SUCCESS:
        _pay_back_all(book, call, trade)
    elif trade.status == CLOSED and not trade.cancelled:
        action = "close" if trade.paid_at is None else "refund"
    fields: dict[str, object] = {"trade_no": trade.trade_no, "out_trade_no": trade.order.out_trade_no}
    if action == "refund" and trade.closed_at is not None:
        fields["gmt_refund_pay"] = china_time(trade.closed_at)
    return {**fields, "retry_flag": "N", "action": action}


def _pay_back_all(book: Book, call: Call, trade: Trade) -> None:
    if trade.refunds:
        raise Failure("ACQ.REASON_TRADE_REFUND_FEE_ERR")
    if book.strikes(call, Fault.SELLER_BALANCE_SHORT):
        raise Failure("ACQ.SELLER_BALANCE_NOT_ENOUGH", {"out_trade_no": trade.order.out_trade_no, "retry_flag": "Y"})
    trade.cancelled = True
    pay_back(book, call, trade, trade.order.out_trade_no, trade.order.amount_minor)
