"""Combined orders: /v3/combine-transactions/{jsapi,native,app,h5}, their query and close.

Rule: the parts are paid together or not at all and told of in one notification; afterwards each is refunded and shared
under its own merchant. The list of a close has to be the created one. A part is not found by the ordinary query.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tongbao.simulators.wechatpay import shapes
from tongbao.simulators.wechatpay.book import Book
from tongbao.simulators.wechatpay.errors import Refusal
from tongbao.simulators.wechatpay.fields import NOTIFY_URL, Bool, Fields, Int, List, Obj, Text, Time, check
from tongbao.simulators.wechatpay.model import OPEN_STATES, PAID_STATES, Order
from tongbao.simulators.wechatpay.orders import (
    H5_INFO,
    NUMBER,
    PRODUCTS,
    deadline,
    handle_of,
    kept_faults,
    reentered,
)
from tongbao.simulators.wechatpay.replies import Done
from tongbao.simulators.wechatpay.request import Call
from tongbao.simulators.wechatpay.wire import fingerprint

WEEK = timedelta(days=7)
SUBS_MAX, PARTNER_SUBS_MAX = 10, 50
_PART_AMOUNT: Fields = {"total_amount": Int("标价金额"), "currency": Text("标价币种", 8, one_of=("CNY",))}
_PART: Fields = {
    "mchid": Text("子单商户号", 32),
    "attach": Text("附加数据", 128),
    "amount": Obj("订单金额", _PART_AMOUNT),
    "out_trade_no": NUMBER,
    "description": Text("商品描述", 127),
    "sub_mchid": Text("二级商户号", 32, required=False),
    "sub_appid": Text("子商户应用ID", 32, required=False),
    "goods_tag": Text("订单优惠标记", 32, required=False),
    "settle_info": Obj("结算信息", {"profit_sharing": Bool("是否指定分账")}, required=False),
}
_SCENE: Fields = {"payer_client_ip": Text("用户终端IP", 45), "device_id": Text("商户端设备号", 16, required=False)}
FIELDS: Fields = {
    "combine_appid": Text("合单商户appid", 32),
    "combine_mchid": Text("合单商户号", 32),
    "combine_out_trade_no": NUMBER,
    "sub_orders": List("子单信息", Obj("子单", _PART), PARTNER_SUBS_MAX, 2),
    "time_start": Time("交易起始时间"),
    "time_expire": Time("交易结束时间"),
    "notify_url": Text("通知地址", 255, pattern=NOTIFY_URL),
}
_PAYER: Fields = {
    "combine_payer_info": Obj("支付者", {"openid": Text("用户标识", 128, required=False)}),
}
_CLOSE: Fields = {
    "combine_appid": Text("合单商户appid", 32),
    "sub_orders": List(
        "子单信息", Obj("子单", {"mchid": Text("子单商户号", 32), "out_trade_no": NUMBER}), PARTNER_SUBS_MAX, 2
    ),
}


def _key(mchid: str, number: str) -> str:
    return f"combine:{mchid}/{number}"


def create(book: Book, call: Call) -> Mapping[str, Any]:
    """POST /v3/combine-transactions/{jsapi,native,app,h5}."""
    product, body = PRODUCTS[call.route.rpartition("/")[2]], call.body
    web = product == "MWEB"
    scene = {**_SCENE, "h5_info": Obj("H5场景信息", H5_INFO)} if web else _SCENE
    payer = _PAYER if product == "JSAPI" else {}
    check(body, {**FIELDS, "scene_info": Obj("场景信息", scene, required=web), **payer})
    if body["combine_appid"] not in call.merchant.appids:
        raise Refusal("appid")
    if len(body["sub_orders"]) > (PARTNER_SUBS_MAX if call.merchant.subs else SUBS_MAX):
        raise Refusal("param", message=f"子单数量不能超过{SUBS_MAX}个")
    order = _whole(book, call, product)
    earlier = reentered(book, call, order)
    if earlier is None:
        parts = [_part(book, call, order, item) for item in body["sub_orders"]]
        _check_parts(book, parts)
        for part in parts:
            book.put(part)
        order.subs = [part.key for part in parts]
        order.amount_minor = sum(part.amount_minor for part in parts)
    return handle_of(book, call, earlier or order)


def _whole(book: Book, call: Call, product: str) -> Order:
    body = call.body
    openid = body.get("combine_payer_info", {}).get("openid", "")
    if product == "JSAPI" and not book.merchants.buyer_id([body["combine_appid"]], openid):
        raise Refusal("openid")
    number = body["combine_out_trade_no"]
    return Order(
        key=_key(call.merchant.mchid, number),
        owner=f"combine:{call.merchant.mchid}",
        payee=call.merchant.mchid,
        product=product,
        mchid=call.merchant.mchid,
        appid=body["combine_appid"],
        out_trade_no=number,
        description=body["sub_orders"][0]["description"],
        amount_minor=0,
        created_at=call.now,
        expires_at=deadline(call, WEEK, WEEK),
        fingerprint=fingerprint(call.route, body),
        token=book.bank.token(24),
        notify_url=body["notify_url"],
        openid=openid,
        device_id=body.get("scene_info", {}).get("device_id", ""),
        faults=kept_faults(call),
    )


def _part(book: Book, call: Call, whole: Order, item: Mapping[str, Any]) -> Order:
    sub = item.get("sub_mchid", "")
    if not book.merchants.exists(item["mchid"]) or (sub and not book.merchants.exists(sub)):
        raise Refusal("merchant_missing")
    owner = f"{item['mchid']}/{sub}" if sub else item["mchid"]
    return Order(
        key=f"{owner}/{item['out_trade_no']}",
        owner=owner,
        payee=sub or item["mchid"],
        product=whole.product,
        mchid=item["mchid"],
        appid=whole.appid,
        out_trade_no=item["out_trade_no"],
        description=item["description"],
        amount_minor=item["amount"]["total_amount"],
        created_at=whole.created_at,
        expires_at=whole.expires_at,
        fingerprint=fingerprint(item),
        token=book.bank.token(24),
        sub_mchid=sub,
        sub_appid=item.get("sub_appid", ""),
        attach=item["attach"],
        profit_sharing=item.get("settle_info", {}).get("profit_sharing", False),
        combine=whole.key,
    )


def _check_parts(book: Book, parts: list[Order]) -> None:
    keys = {part.key for part in parts}
    if len(keys) != len(parts) or any(key in book.burnt or book.by_key(key) is not None for key in keys):
        raise Refusal("number_used")


def query(book: Book, call: Call) -> Mapping[str, Any]:
    """GET .../out-trade-no/{combine_out_trade_no}, .../id/{combine_transaction_id}."""
    number = call.params.get("combine_transaction_id")
    order = book.by_transaction(number) if number else _mine(book, call)
    if order is None or not order.subs or order.mchid != call.merchant.mchid:
        raise Refusal("order_missing")
    return shapes.combined(order, book.parts(order))


def _mine(book: Book, call: Call) -> Order | None:
    return book.by_key(_key(call.merchant.mchid, call.params["combine_out_trade_no"]))


def close(book: Book, call: Call) -> Done:
    """POST .../out-trade-no/{combine_out_trade_no}/close."""
    check(call.body, _CLOSE)
    order = _mine(book, call)
    if order is None:
        raise Refusal("order_missing")
    asked = {(item["mchid"], item["out_trade_no"]) for item in call.body["sub_orders"]}
    if asked != {(part.mchid, part.out_trade_no) for part in book.parts(order)}:
        raise Refusal("param", message="子单信息与下单时不一致")
    if order.status in PAID_STATES:
        raise Refusal("close_paid")
    if order.status in OPEN_STATES:
        book.close(order)
    return Done(204)
