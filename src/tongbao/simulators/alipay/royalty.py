"""Splitting a payment: receivers are bound to the merchant, then paid out of a trade.

Rule: all or nothing. Only bound receivers, at most five per call, and never more than what the trade still holds. The
same `out_request_no` with the same receivers answers the first result again. Asynchronous mode is done at once as well;
its result is asked for by `.settle.query`.
"""

from tongbao.simulators.alipay.errors import Failure
from tongbao.simulators.alipay.holdings import Relation, Settlement, Share
from tongbao.simulators.alipay.model import SUCCESS, Trade
from tongbao.simulators.alipay.orders import optional, required
from tongbao.simulators.alipay.request import Call
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.wire import CHINA, china_time, fen, yuan
from tongbao.simulators.bank import Buyer

SYNC_RECEIVERS_MAX, BIND_MAX = 5, 20


def bind(book: Book, call: Call) -> dict[str, object]:
    """alipay.trade.royalty.relation.bind; binding twice changes nothing."""
    for receiver in _receivers(call):
        made = _relation(call, receiver)
        buyer = book.bank.buyer(made.account)
        if buyer is None:
            raise Failure("USER_NOT_EXIST")
        if made.kind == "loginName" and made.name != buyer.name:
            raise Failure("USERNAME_NOT_MATCH")
        book.relations.put(f"{made.seller_id}/{buyer.user_id}", made)
    return {"result_code": "SUCCESS"}


def unbind(book: Book, call: Call) -> dict[str, object]:
    """alipay.trade.royalty.relation.unbind."""
    for receiver in _receivers(call):
        buyer = book.bank.buyer(_relation(call, receiver).account)
        if buyer is not None:
            book.relations.remove(f"{call.app.seller_id}/{buyer.user_id}")
    return {"result_code": "SUCCESS"}


def list_bound(book: Book, call: Call) -> dict[str, object]:
    """alipay.trade.royalty.relation.batchquery, in pages of `page_size` (20, at most 100)."""
    size, number = call.text("page_size") or "20", call.text("page_num") or "1"
    if not (size.isdigit() and number.isdigit() and 1 <= int(size) <= 100 and int(number) >= 1):
        raise Failure("INVALID_PARAMETER")
    mine = [one for one in book.relations.values() if one.seller_id == call.app.seller_id]
    start = (int(number) - 1) * int(size)
    shown = [
        {key: value for key, value in (("type", one.kind), ("account", one.account), ("memo", one.memo)) if value}
        for one in mine[start : start + int(size)]
    ]
    return {
        "result_code": "SUCCESS",
        "receiver_list": shown,
        "total_record_num": len(mine),
        "total_page_num": -(-len(mine) // int(size)),
        "current_page_num": int(number),
        "current_page_size": len(shown),
    }


def settle(book: Book, call: Call) -> dict[str, object]:
    """alipay.trade.order.settle."""
    number = required(call, "out_request_no", 64)
    required(call, "trade_no", 64)
    trade = book.find(call)
    if trade is None:
        raise Failure("ACQ.TRADE_NOT_EXIST")
    finishes = isinstance(more := call.biz.get("extend_params"), dict) and str(more.get("royalty_finish")) == "true"
    shares = _shares(book, call, trade, finishes=finishes)
    earlier = book.settlements.get(f"{trade.trade_no}/{number}")
    if earlier is not None:
        if earlier.shares != shares:
            raise Failure("ACQ.DISCORDANT_REPEAT_REQUEST")
        return {"trade_no": trade.trade_no, "settle_no": earlier.settle_no}
    if trade.status != SUCCESS:
        raise Failure("ACQ.TRADE_STATUS_ERROR")
    if any(one.finishes for one in book.settlements.values() if one.trade_no == trade.trade_no):
        raise Failure("ACQ.ALREADY_FINISH_ALLOC")
    total = _affordable(book, trade, shares)
    for share in shares:
        book.bank.move_to_buyer(trade.order.seller_id, _buyer(book, share.user_id), share.amount_minor)
    trade.settled_minor += total
    book.save(trade)
    settle_no = f"{call.now.astimezone(CHINA):%Y%m%d}002530020{book.bank.digits(12)}"
    made = Settlement(settle_no, number, trade.trade_no, call.now, shares, finishes)
    book.settlements.put(f"{trade.trade_no}/{number}", made)
    return {"trade_no": trade.trade_no, "settle_no": settle_no}


def settle_query(book: Book, call: Call) -> dict[str, object]:
    """alipay.trade.order.settle.query: by `settle_no`, or by `out_request_no` and `trade_no`."""
    settle_no, key = call.text("settle_no"), f"{call.text('trade_no')}/{call.text('out_request_no')}"
    if not settle_no and key.strip("/") == "":
        raise Failure("ACQ.INVALID_PARAMETER")
    made = next((one for one in book.settlements.values() if one.settle_no == settle_no), None)
    made = made if settle_no else book.settlements.get(key)
    trade = book.trades.get(made.trade_no) if made else None
    if made is None or trade is None or trade.order.seller_id != call.app.seller_id:
        raise Failure("ACQ.TRADE_NOT_EXIST")
    date = china_time(made.made_at)
    common = {"operation_type": "transfer", "execute_dt": date, "trans_out": trade.order.seller_id, "state": "SUCCESS"}
    kinds = {"trans_out_type": "userId", "trans_in_type": "userId"}
    details = [
        {**common, **kinds, "trans_in": share.user_id, "amount": yuan(share.amount_minor), "detail_id": str(index)}
        for index, share in enumerate(made.shares, 1)
    ]
    return {"out_request_no": made.out_request_no, "operation_dt": date, "royalty_detail_list": details}


def _receivers(call: Call) -> list[dict[str, object]]:
    found = call.biz.get("receiver_list")
    if not isinstance(found, list) or not found or not optional(call, "out_request_no", 32):
        raise Failure("RECEIVER_LIST_EMPTY" if found in (None, []) else "INVALID_PARAMETER")
    if len(found) > BIND_MAX:
        raise Failure("RECEIVER_LIST_OVERLOAD")
    if not all(isinstance(one, dict) for one in found):
        raise Failure("INVALID_PARAMETER")
    return found


def _relation(call: Call, receiver: dict[str, object]) -> Relation:
    kind, account = str(receiver.get("type") or ""), str(receiver.get("account") or "")
    if kind not in ("userId", "loginName", "openId") or not account:
        raise Failure("INVALID_RECEIVER_TYPE" if account else "INVALID_PARAMETER")
    name, memo = str(receiver.get("name") or ""), str(receiver.get("memo") or "")
    return Relation(call.app.seller_id, kind, account, name, memo)


def _shares(book: Book, call: Call, trade: Trade, *, finishes: bool) -> list[Share]:
    found = call.biz.get("royalty_parameters", [] if finishes else None)
    if not isinstance(found, list) or not (found or finishes):
        raise Failure("ACQ.INVALID_PARAMETER")
    if len(found) > SYNC_RECEIVERS_MAX and call.text("royalty_mode") != "async":
        raise Failure("ACQ.INVALID_PARAMETER")
    shares = []
    for item in found:
        buyer = book.bank.buyer(str(item.get("trans_in"))) if isinstance(item, dict) else None
        if buyer is None or f"{call.app.seller_id}/{buyer.user_id}" not in book.relations:
            raise Failure("ACQ.ROYALTY_RECEIVER_INVALID")
        shares.append(Share(buyer.user_id, _share_minor(item, trade)))
    return shares


def _affordable(book: Book, trade: Trade, shares: list[Share]) -> int:
    """The sum of the shares, which trade and account can bear; raises Failure."""
    total = sum(share.amount_minor for share in shares)
    if total > trade.order.amount_minor - trade.refunded_minor - trade.settled_minor:
        raise Failure("ACQ.ALLOC_AMOUNT_VALIDATE_ERROR")
    if total > book.bank.wallet(trade.order.seller_id).balance_minor:
        raise Failure("ACQ.TXN_RESULT_ACCOUNT_BALANCE_NOT_ENOUGH")
    return total


def _share_minor(item: dict[str, object], trade: Trade) -> int:
    if "amount" in item:
        value = fen(item["amount"])
    else:
        percent = str(item.get("amount_percentage", ""))
        fits = percent.isdigit() and 1 <= int(percent) <= 100
        value = trade.order.amount_minor * int(percent) // 100 if fits else None
    if not value or value <= 0:
        raise Failure("ACQ.ALLOC_AMOUNT_VALIDATE_ERROR")
    return value


def _buyer(book: Book, user_id: str) -> Buyer:
    buyer = book.bank.buyer(user_id)
    assert buyer is not None, "a bound receiver is a buyer of this bank"
    return buyer
