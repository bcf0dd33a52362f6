"""Refunds: /v3/refund/domestic/refunds, its query, and the handling of abnormal ones.

Rule: an accepted refund takes the money out of the merchant's balance at once and is PROCESSING; two seconds later it
is SUCCESS (unless a fault says otherwise) and is notified if the request named an address. The order is REFUND from the
first accepted one. The same number with the same amount answers the refund as it is. The console's own notification
address, which would be told in the older XML form, does not exist here.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tongbao.simulators.bank import BalanceShort
from tongbao.simulators.faults import Fault
from tongbao.simulators.wechatpay import shapes
from tongbao.simulators.wechatpay.book import Book
from tongbao.simulators.wechatpay.errors import Refusal
from tongbao.simulators.wechatpay.fields import NOTIFY_URL, WIDE_NO, Fields, Int, List, Obj, Text, check
from tongbao.simulators.wechatpay.ledger import REFUNDS, fee_of
from tongbao.simulators.wechatpay.model import CLOSED, PAID_STATES, REFUND, SUCCESS, Order, Refund
from tongbao.simulators.wechatpay.notifications import Message
from tongbao.simulators.wechatpay.orders import NUMBER, kept_faults, owner_of
from tongbao.simulators.wechatpay.request import Call
from tongbao.simulators.wechatpay.wire import refund_number

WINDOW, PARTS_MAX = timedelta(days=365), 50
SECONDS, DELAYED_SECONDS = 2, 86_400
ABNORMAL = "ABNORMAL"
SUMMARIES = {SUCCESS: "退款成功", ABNORMAL: "退款异常", CLOSED: "退款关闭"}
REFUND_NO = Text("商户退款单号", 64, pattern=WIDE_NO)
_FROM: Fields = {
    "account": Text("出资账户类型", 32, one_of=("AVAILABLE", "UNAVAILABLE")),
    "amount": Int("出资金额"),
}
_AMOUNT: Fields = {
    "refund": Int("退款金额"),
    "total": Int("原订单金额"),
    "currency": Text("退款币种", 16, one_of=("CNY",)),
    "from": List("退款出资账户及金额", Obj("退款出资账户", _FROM), 10, 0, required=False),
}
_GOODS: Fields = {
    "merchant_goods_id": Text("商户侧商品编码", 32),
    "wechatpay_goods_id": Text("微信支付商品编码", 32, required=False),
    "goods_name": Text("商品名称", 256, required=False),
    "unit_price": Int("商品单价", 0),
    "refund_amount": Int("商品退款金额", 0),
    "refund_quantity": Int("商品退货数量"),
}
FIELDS: Fields = {
    "sub_mchid": Text("子商户号", 32, required=False),
    "transaction_id": Text("微信支付订单号", 32, required=False),
    "out_trade_no": Text("商户订单号", 32, NUMBER.size_min, required=False, pattern=NUMBER.pattern),
    "out_refund_no": REFUND_NO,
    "reason": Text("退款原因", 80, required=False),
    "notify_url": Text("退款结果回调url", 256, 8, required=False, pattern=NOTIFY_URL),
    "funds_account": Text("退款资金来源", 32, required=False, one_of=("AVAILABLE", "UNSETTLED")),
    "amount": Obj("金额信息", _AMOUNT),
    "goods_detail": List("退款商品", Obj("退款商品", _GOODS), 100, required=False),
}
_ABNORMAL_FIELDS: Fields = {
    "out_refund_no": REFUND_NO,
    "type": Text("异常退款处理方式", 32, one_of=("USER_BANK_CARD", "MERCHANT_BANK_CARD")),
    "bank_type": Text("开户银行", 16, required=False),
    "bank_account": Text("收款银行卡号", 1024, required=False),
    "real_name": Text("收款用户姓名", 1024, required=False),
    "sub_mchid": Text("子商户号", 32, required=False),
}


def create(book: Book, call: Call) -> Mapping[str, Any]:
    """POST /v3/refund/domestic/refunds."""
    body = call.body
    check(body, FIELDS)
    if sum(item["amount"] for item in body["amount"].get("from", ())) not in (0, body["amount"]["refund"]):
        raise Refusal("param", message="出资金额之和与退款金额不一致")
    order = _order(book, call)
    made = book.refunds.get(f"{order.owner}/{body['out_refund_no']}")
    if made is not None:
        same = (made.order_key, made.amount_minor) == (order.key, body["amount"]["refund"])
        if not same or body["amount"]["total"] != order.amount_minor:
            raise Refusal("refund_differs")
        return shapes.refund(order, refreshed(book, made))
    _check(call, order)
    return shapes.refund(order, _accept(book, call, order))


def _order(book: Book, call: Call) -> Order:
    body = call.body
    if not (body.get("transaction_id") or body.get("out_trade_no")):
        raise Refusal("param", message="微信支付订单号transaction_id和商户订单号out_trade_no不能同时为空")
    owner = owner_of(book, call, body)
    if body.get("transaction_id"):
        order = book.by_transaction(body["transaction_id"])
    else:
        order = book.order(owner, body["out_trade_no"])
    if order is None or order.owner != owner or order.subs:
        raise Refusal("refund_order_missing")
    return order


def _check(call: Call, order: Order) -> None:
    """Whether the order can be refunded by this amount; raises Refusal."""
    amount, left = call.body["amount"], order.amount_minor - order.refunded_minor
    paid_at = order.paid_at or call.now
    for broken, words in (
        (order.status not in PAID_STATES, "refund_unpaid"),
        (amount["total"] != order.amount_minor, "refund_differs"),
        (left == 0, "refunded_in_full"),
        (amount["refund"] > left, "refund_too_much"),
        (order.refund_count >= PARTS_MAX, "refund_too_often"),
        (call.now - paid_at > WINDOW, "refund_too_late"),
    ):
        if broken:
            raise Refusal(words)


def _accept(book: Book, call: Call, order: Order) -> Refund:
    body, amount = call.body, call.body["amount"]["refund"]
    merchant = book.merchants.get(order.payee)
    rate = merchant.fee_rate if merchant else 0
    made = Refund(
        key=f"{order.owner}/{body['out_refund_no']}",
        order_key=order.key,
        mchid=call.merchant.mchid,
        out_refund_no=body["out_refund_no"],
        refund_id=refund_number(book.bank, call.now),
        amount_minor=amount,
        fee_minor=fee_of(order.refunded_minor + amount, rate) - fee_of(order.refunded_minor, rate),
        created_at=call.now,
        notify_url=body.get("notify_url", ""),
        reason=body.get("reason", ""),
        funds_account=body.get("funds_account", "AVAILABLE"),
        sources=body["amount"].get("from", []),
        faults=kept_faults(call),
    )
    try:
        if book.strikes(call, Fault.SELLER_BALANCE_SHORT):
            raise BalanceShort
        book.ledger.taken(order.payee, REFUNDS, amount, made.refund_id, made.out_refund_no, "退款")
    except BalanceShort:
        raise Refusal("merchant_short") from None
    delayed = book.strikes(call, Fault.REFUND_DELAYED)
    made.due_at = call.now + timedelta(seconds=delayed.number(DELAYED_SECONDS) if delayed else SECONDS)
    made.then = ABNORMAL if book.strikes(call, Fault.REFUND_ABNORMAL) else SUCCESS
    if book.strikes(call, Fault.REFUND_CLOSED):
        made.then = CLOSED
    order.status = REFUND
    order.refunded_minor += amount
    order.refund_count += 1
    book.orders.put(order.key, order)
    return _keep(book, made)


def _keep(book: Book, made: Refund) -> Refund:
    book.timers.set(made.due_at, "refund", made.key)
    return book.refunds.put(made.key, made)


def query(book: Book, call: Call) -> Mapping[str, Any]:
    """GET /v3/refund/domestic/refunds/{out_refund_no}."""
    check(call.params, {"out_refund_no": REFUND_NO}, "uri_template")
    made = book.refunds.get(f"{owner_of(book, call, call.query)}/{call.params['out_refund_no']}")
    if made is None:
        raise Refusal("refund_missing")
    return shapes.refund(book.orders.get(made.order_key) or _lost(), refreshed(book, made))


def apply_abnormal(book: Book, call: Call) -> Mapping[str, Any]:
    """POST /v3/refund/domestic/refunds/{refund_id}/apply-abnormal-refund."""
    body = call.body
    check(body, _ABNORMAL_FIELDS)
    made = book.refunds.get(f"{owner_of(book, call, body)}/{body['out_refund_no']}")
    if made is None or made.refund_id != call.params["refund_id"]:
        raise Refusal("refund_missing")
    made = refreshed(book, made)
    if made.status != ABNORMAL:
        raise Refusal("refund_not_abnormal")
    if body["type"] == "USER_BANK_CARD":
        for name in ("bank_type", "bank_account", "real_name"):
            if not body.get(name):
                raise Refusal("param", message=f"异常退款至用户银行卡时，{name}必填")
        account = book.merchants.decrypted(call.merchant, call.serial, body["bank_account"])
        book.merchants.decrypted(call.merchant, call.serial, body["real_name"])
        made.account = f"{body['bank_type']}{account[-4:]}"
    made.to_merchant = body["type"] == "MERCHANT_BANK_CARD"
    made.status, made.then, made.due_at = "PROCESSING", SUCCESS, call.now + timedelta(seconds=SECONDS)
    order = book.orders.get(made.order_key) or _lost()
    return shapes.refund(order, _keep(book, made))


def refreshed(book: Book, made: Refund) -> Refund:
    """The refund after what time has done to it."""
    now = book.bank.clock.now()
    if made.due_at is not None and made.due_at <= now:
        _finish(book, made, book.orders.get(made.order_key) or _lost())
    return made


def _finish(book: Book, made: Refund, order: Order) -> None:
    buyer = book.bank.buyer(order.buyer_id)
    made.status, made.due_at, made.finished_at = made.then, None, book.bank.clock.now()
    number, voucher = made.refund_id, made.out_refund_no
    if made.status == CLOSED or made.to_merchant:
        book.ledger.given_back(REFUNDS, order.payee, made.amount_minor, number, voucher, "退款退回")
    elif made.status == SUCCESS and buyer is not None:
        book.ledger.arrived(REFUNDS, buyer, made.amount_minor)
        book.ledger.fee_returned(order.payee, made.fee_minor, number, voucher)
    if made.status == CLOSED:
        order.refunded_minor -= made.amount_minor
        book.orders.put(order.key, order)
    message = Message(
        mchid=made.mchid,
        url=made.notify_url,
        about=order.key,
        label=f"refund {made.status.lower()} {made.out_refund_no}",
        event=f"REFUND.{made.status}",
        summary=SUMMARIES[made.status],
        kind="refund",
        fields=shapes.refund_notice(order, made),
    )
    made.faults = book.notices.send(message, made.faults)
    book.refunds.put(made.key, made)


def start(book: Book) -> None:
    """Reminders for what is under way."""

    def look(key: str) -> None:
        made = book.refunds.get(key)
        if made is not None:
            refreshed(book, made)

    book.timers.on("refund", look)
    for made in book.refunds.values():
        book.timers.set(made.due_at, "refund", made.key)


def _lost() -> Order:
    raise AssertionError("a refund belongs to an order")
