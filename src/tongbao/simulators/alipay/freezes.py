"""Pre-authorisation: money of a buyer is frozen, paid out of or given back. (The fact sheet lists the methods' error
codes only; the field names are those of the public SDKs.)

Rule: what is frozen has left the buyer's balance and belongs to nobody else: frozen = rest + paid out + given back.
"""

from tongbao.simulators.alipay.codes import REFUSED, buyer_of, is_code
from tongbao.simulators.alipay.errors import Failure
from tongbao.simulators.alipay.holdings import Freeze, Operation
from tongbao.simulators.alipay.model import Order, Trade
from tongbao.simulators.alipay.orders import amount, optional, required
from tongbao.simulators.alipay.request import Call
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.wire import CHINA, china_time, masked, yuan
from tongbao.simulators.bank import BalanceShort

FROZEN = "alipay:frozen"
"""The wallet that holds what is frozen."""


def freeze(book: Book, call: Call) -> dict[str, object]:
    """alipay.fund.auth.order.freeze, by the buyer's auth code. The same two numbers and amount repeat the answer."""
    out_order_no, number = required(call, "out_order_no", 64), required(call, "out_request_no", 64)
    title, code, amount_minor = (
        required(call, "order_title", 100),
        required(call, "auth_code", 64),
        amount(call, "amount"),
    )
    key = f"{call.app.seller_id}/{out_order_no}"
    found = book.freezes.get(key)
    if found is not None:
        made = found.operations[0]
        if (made.out_request_no, made.amount_minor) != (number, amount_minor):
            raise Failure("ORDER_ALREADY_CLOSED" if found.rest_minor == 0 else "REQUEST_AMOUNT_EXCEED")
        return _answer(book, found, made)
    if not is_code(code, call.text("auth_code_type")) or book.code_used(code, out_order_no):
        raise Failure("PAYMENT_AUTH_CODE_INVALID")
    if code[2:4] in REFUSED:
        raise Failure(REFUSED[code[2:4]])
    buyer = buyer_of(book.bank, code)
    try:
        book.bank.move_to_merchant(buyer, FROZEN, amount_minor)
    except BalanceShort:
        raise Failure("BUYER_BALANCE_NOT_ENOUGH") from None
    book.use_code(code, out_order_no)
    day = f"{call.now.astimezone(CHINA):%Y%m%d}"
    made = Operation(f"{day}{book.bank.digits(12)}", number, "FREEZE", amount_minor, call.now)
    auth_no = f"{day}10002001{book.bank.digits(12)}"
    found = Freeze(auth_no, out_order_no, call.app.seller_id, buyer.user_id, title, call.now, [made])
    book.freezes.put(key, found)
    return _answer(book, found, made)


def unfreeze(book: Book, call: Call) -> dict[str, object]:
    """alipay.fund.auth.order.unfreeze: gives back part or all of the rest."""
    found = _by_auth_no(book, call.app.seller_id, required(call, "auth_no", 64))
    number, amount_minor = required(call, "out_request_no", 64), amount(call, "amount")
    for one in found.operations:
        if one.out_request_no == number and one.kind == "UNFREEZE":
            if one.amount_minor != amount_minor:
                raise Failure("REQUEST_AMOUNT_EXCEED")
            return _answer(book, found, one)
    if amount_minor > found.rest_minor:
        raise Failure("AUTH_AMOUNT_NOT_ENOUGH")
    buyer = book.bank.buyer(found.buyer_id)
    assert buyer is not None, "a freeze names a buyer of this bank"
    book.bank.move_to_buyer(FROZEN, buyer, amount_minor)
    made = Operation(book.bank.digits(20), number, "UNFREEZE", amount_minor, call.now, optional(call, "remark", 100))
    _add(book, found, made)
    return _answer(book, found, made)


def detail(book: Book, call: Call) -> dict[str, object]:
    """alipay.fund.auth.operation.detail.query: by auth or order number, and by operation id or request number."""
    auth_no, out_order_no = call.text("auth_no"), call.text("out_order_no")
    found = book.freezes.get(f"{call.app.seller_id}/{out_order_no}") if out_order_no and not auth_no else None
    found = found or _by_auth_no(book, call.app.seller_id, auth_no)
    wanted = {call.text("operation_id"), call.text("out_request_no")} - {""}
    made = next((one for one in found.operations if {one.operation_id, one.out_request_no} & wanted), None)
    if made is None:
        raise Failure("AUTH_OPERATION_NOT_EXIST")
    return _answer(book, found, made) | {
        "order_title": found.title,
        "order_status": "AUTHORIZED" if found.rest_minor else "FINISH",
        "operation_type": made.kind,
        "total_freeze_amount": yuan(found.sum_minor("FREEZE")),
        "total_pay_amount": yuan(found.sum_minor("PAY")),
        "rest_amount": yuan(found.rest_minor),
        "remark": made.remark,
        "gmt_create": china_time(found.created_at),
    }


def pay_out(book: Book, call: Call, order: Order) -> Trade:
    """alipay.trade.pay with `auth_no`: the trade is paid out of what is frozen."""
    found = next((one for one in book.freezes.values() if one.auth_no == call.text("auth_no")), None)
    if found is None or found.seller_id != order.seller_id:
        raise Failure("ACQ.AUTH_NO_ERROR")
    buyer = book.bank.buyer(found.buyer_id)
    assert buyer is not None, "a freeze names a buyer of this bank"
    existing = book.trade_of(order)
    if existing is not None:
        book.check_repeat(existing, order)
    if order.amount_minor > found.rest_minor:
        raise Failure("ACQ.AUTH_AMOUNT_NOT_ENOUGH")
    book.add_order(order)
    trade = book.open(order, buyer)
    made = Operation(book.bank.digits(20), order.out_trade_no, "PAY", order.amount_minor, call.now)
    book.bank.move_to_buyer(FROZEN, buyer, order.amount_minor)
    _add(book, found, made)
    return book.pay(trade, buyer)


def _by_auth_no(book: Book, seller_id: str, auth_no: str) -> Freeze:
    found = next((one for one in book.freezes.values() if one.auth_no == auth_no), None)
    if found is None or found.seller_id != seller_id:
        raise Failure("AUTH_ORDER_NOT_EXIST")
    return found


def _add(book: Book, found: Freeze, made: Operation) -> None:
    found.operations.append(made)
    book.freezes.put(f"{found.seller_id}/{found.out_order_no}", found)


def _answer(book: Book, found: Freeze, made: Operation) -> dict[str, object]:
    buyer = book.bank.buyer(found.buyer_id)
    return {
        "auth_no": found.auth_no,
        "out_order_no": found.out_order_no,
        "operation_id": made.operation_id,
        "out_request_no": made.out_request_no,
        "amount": yuan(made.amount_minor),
        "status": "SUCCESS",
        "payer_user_id": found.buyer_id,
        "payer_logon_id": masked(buyer.logon_id) if buyer else "",
        "gmt_trans": china_time(made.at),
    }
