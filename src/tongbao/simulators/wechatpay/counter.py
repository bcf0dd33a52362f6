"""At the counter: /v3/pay/transactions/codepay and .../reverse, and the partner's paths.

Rule: an auth code says by its third and fourth digit how the payment will go (`OUTCOMES`; any other is paid), by its
last two whose it is (the last two of the user id; else the first buyer), and is good for one order. Nothing is
notified. A buyer who is asked for the password answers 202. Reversing works for seven days (a rule of the older API).
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tongbao.simulators.bank import BalanceShort, Buyer
from tongbao.simulators.faults import Fault
from tongbao.simulators.wechatpay import shapes
from tongbao.simulators.wechatpay.book import Book, NotPayable
from tongbao.simulators.wechatpay.errors import Refusal
from tongbao.simulators.wechatpay.fields import Bool, Fields, Int, List, Obj, Text, check
from tongbao.simulators.wechatpay.ledger import REFUNDS
from tongbao.simulators.wechatpay.model import REVOKED, SUCCESS, USERPAYING, Burnt, Order
from tongbao.simulators.wechatpay.orders import (
    AMOUNT,
    DIRECT,
    NUMBER,
    PARTNER,
    is_partner,
    owner_of,
    read_order,
    reentered,
)
from tongbao.simulators.wechatpay.replies import Done, Result
from tongbao.simulators.wechatpay.request import Call
from tongbao.simulators.wechatpay.wire import refund_number

OUTCOMES: Mapping[str, str] = {
    "01": "paid at once",
    "02": "asks for the password; paid after 10 seconds",
    "03": "asks for the password; cancelled by the buyer after 10 seconds",
    "04": "the buyer's balance is short",
    "05": "500 SYSTEM_ERROR, and it was paid",
    "06": "500 SYSTEM_ERROR, and it waits for the buyer, who never decides",
    "07": "the code has expired",
    "08": "the code is not valid",
    "09": "asks for the password; the buyer never decides",
}
PASSWORD_SECONDS = 10
REVERSE_WINDOW = timedelta(days=7)
_REFUSED = {"04": "payer_short", "07": "code_expired", "08": "code_invalid"}
_CODE = re.compile(r"1[0-5]\d{16}", re.ASCII)
_STORE = Obj(
    "商户门店信息",
    {"id": Text("门店编号", 32, required=False), "out_id": Text("商家自定义编码", 256, required=False)},
)
_SCENE: Fields = {
    "device_id": Text("商户端设备号", 32, required=False),
    "device_ip": Text("商户端设备IP", 45, required=False),
    "store_info": _STORE,
}
_GOODS: Fields = {
    "merchant_goods_id": Text("商户侧商品编码", 32),
    "quantity": Int("商品数量"),
    "unit_price": Int("商品单价", 0),
}
FIELDS: Fields = {
    "description": Text("商品描述", 127),
    "out_trade_no": NUMBER,
    "attach": Text("附加数据", 128, required=False),
    "goods_tag": Text("订单优惠标记", 256, required=False),
    "support_fapiao": Bool("电子发票入口开放标识"),
    "payer": Obj("支付者", {"auth_code": Text("付款码", 32)}),
    "amount": AMOUNT,
    "scene_info": Obj("场景信息", _SCENE),
    "detail": Obj(
        "优惠功能",
        {"goods_detail": List("单品列表", Obj("单品", _GOODS), 6000, required=False)},
        required=False,
        size_max=6144,
    ),
    "settle_info": Obj("结算信息", {"profit_sharing": Bool("是否指定分账")}, required=False),
}


def seeded_codes(user_id: str) -> list[dict[str, str]]:
    """One auth code per outcome; the digits in the middle are free."""
    return [{"code": f"13{number}{'5' + '0' * 11}{user_id[-2:]}", "outcome": text} for number, text in OUTCOMES.items()]


def pay(book: Book, call: Call) -> Result:
    """POST /v3/pay/[partner/]transactions/codepay."""
    check(call.body, {**(PARTNER if is_partner(call) else DIRECT), **FIELDS})
    store = call.body["scene_info"]["store_info"]
    if not (store.get("id") or store.get("out_id")):
        raise Refusal("param", message="门店编号id和商家自定义编码out_id不能同时为空")
    order = read_order(book, call, "MICROPAY")
    earlier = reentered(book, call, order)
    if earlier is not None:
        return _answer(earlier)
    code, buyer = _code(book, call)
    script = code[2:4]
    if script in _REFUSED or book.strikes(call, Fault.BUYER_BALANCE_SHORT):
        raise Refusal(_REFUSED.get(script, "payer_short"))
    order.buyer_id = buyer.user_id
    book.used_codes.put(code, Burnt(order.key))
    if _waits(book, call, order, script):
        book.put(order)
        if script == "06":
            raise Refusal("system")
        return _answer(order)
    return _paid(book, order, buyer, script)


def _code(book: Book, call: Call) -> tuple[str, Buyer]:
    code = call.body["payer"]["auth_code"]
    if not _CODE.fullmatch(code):
        raise Refusal("code_invalid")
    if code in book.used_codes:
        raise Refusal("code_expired")
    mine = (buyer for buyer in book.bank.buyers.values() if buyer.user_id[-2:] == code[-2:])
    return code, next(mine, None) or book.bank.first_buyer()


def _waits(book: Book, call: Call, order: Order, script: str) -> bool:
    """Whether the buyer is asked for the password; writes down what then happens."""
    later = book.strikes(call, Fault.PAYMENT_THEN_PAID)
    if later is not None or script in ("02", "03"):
        seconds = later.number(PASSWORD_SECONDS) if later else PASSWORD_SECONDS
        order.due_at = call.now + timedelta(seconds=seconds)
        order.then = "failed" if script == "03" and later is None else "paid"
    waits = order.due_at is not None or script in ("06", "09")
    if waits or book.strikes(call, Fault.PAYMENT_THEN_CLOSED):
        order.status = USERPAYING
    return order.status == USERPAYING


def _paid(book: Book, order: Order, buyer: Buyer, script: str) -> Result:
    try:
        book.pay(order, buyer)
    except NotPayable:
        raise Refusal("payer_short") from None
    if script == "05":
        raise Refusal("system")
    return shapes.transaction(order)


def _answer(order: Order) -> Result:
    fields = shapes.transaction(order)
    return Done(202, fields) if order.status == USERPAYING else fields


def reverse(book: Book, call: Call) -> Mapping[str, Any]:
    """POST .../out-trade-no/{out_trade_no}/reverse: unpaid is revoked, paid goes back; again is the same."""
    names = PARTNER if is_partner(call) else DIRECT
    check(call.body, names)
    order = book.order(owner_of(book, call, call.body), call.params["out_trade_no"])
    if order is None:
        raise Refusal("order_missing")
    if order.product != "MICROPAY":
        raise Refusal("not_code_pay")
    if order.refund_count:
        raise Refusal("reverse_refunded")
    if order.status == SUCCESS:
        _pay_back(book, call, order)
    if order.status != REVOKED:
        book.close(order, REVOKED)
    shown = {name: call.body[name] for name in names if name in call.body}
    return {**shown, "out_trade_no": order.out_trade_no}


def _pay_back(book: Book, call: Call, order: Order) -> None:
    buyer = book.bank.buyer(order.buyer_id)
    assert buyer is not None, "it was paid by somebody"
    assert order.paid_at is not None, "it was paid"
    if call.now - order.paid_at > REVERSE_WINDOW:
        raise Refusal("reverse_late")
    number = refund_number(book.bank, call.now)
    try:
        book.ledger.taken(order.payee, REFUNDS, order.amount_minor, number, order.out_trade_no, "撤销")
    except BalanceShort:
        raise Refusal("merchant_short") from None
    book.ledger.arrived(REFUNDS, buyer, order.amount_minor)
    book.ledger.fee_returned(order.payee, order.fee_minor, number, order.out_trade_no)
