"""Creating, asking and closing: /v3/pay/transactions/{jsapi,native,app,h5} and the partner's paths.

Rule: the same number with the same parameters gives a fresh handle while it is unpaid; other parameters (another trade
type too) are refused. A number that is closed before it was used answers 204 and is burnt (one source only). The
deadline is at least a minute away, at most 15 days (the native page also says 7), seven days when none is given.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tongbao.simulators.faults import Fault, Stage, Struck, at
from tongbao.simulators.wechatpay import shapes
from tongbao.simulators.wechatpay.book import Book
from tongbao.simulators.wechatpay.errors import Refusal
from tongbao.simulators.wechatpay.fields import (
    NOTIFY_URL,
    TRADE_NO,
    Bool,
    Fields,
    Int,
    List,
    Obj,
    Text,
    Time,
    check,
    require,
)
from tongbao.simulators.wechatpay.model import OPEN_STATES, PAID_STATES, Burnt, Order
from tongbao.simulators.wechatpay.replies import Done
from tongbao.simulators.wechatpay.request import Call
from tongbao.simulators.wechatpay.wire import fingerprint, from_rfc3339, prepay_id

PRODUCTS = {"jsapi": "JSAPI", "native": "NATIVE", "app": "APP", "h5": "MWEB"}
DEADLINE_MIN, DEADLINE_DEFAULT, DEADLINE_MAX = timedelta(minutes=1), timedelta(days=7), timedelta(days=15)
HANDLE_LIFE, H5_LIFE = timedelta(hours=2), timedelta(minutes=5)
CODE_ADDRESS = "weixin://wxpay/bizpayurl?pr="
H5_PATH = "/cgi-bin/mmpayweb-bin/checkmweb"

NUMBER = Text("商户订单号", 32, 6, pattern=TRADE_NO)
AMOUNT = Obj("订单金额", {"total": Int("总金额"), "currency": Text("货币类型", 16, required=False, one_of=("CNY",))})
STORE: Fields = {
    "id": Text("门店编号", 32),
    "name": Text("门店名称", 256, required=False),
    "area_code": Text("地区编码", 32, required=False),
    "address": Text("详细地址", 512, required=False),
}
SCENE: Fields = {
    "payer_client_ip": Text("用户终端IP", 45),
    "device_id": Text("商户端设备号", 32, required=False),
    "store_info": Obj("商户门店信息", STORE, required=False),
}
H5_INFO: Fields = {
    "type": Text("场景类型", 32),
    "app_name": Text("应用名称", 64, required=False),
    "app_url": Text("网站URL", 128, required=False),
    "bundle_id": Text("iOS平台BundleID", 128, required=False),
    "package_name": Text("Android平台PackageName", 128, required=False),
}
GOODS: Fields = {
    "merchant_goods_id": Text("商户侧商品编码", 32),
    "wechatpay_goods_id": Text("微信支付商品编码", 32, required=False),
    "goods_name": Text("商品名称", 256, required=False),
    "quantity": Int("商品数量"),
    "unit_price": Int("商品单价", 0),
}
DETAIL: Fields = {
    "cost_price": Int("订单原价", 0, required=False),
    "invoice_id": Text("商品小票ID", 32, required=False),
    "goods_detail": List("单品列表", Obj("单品", GOODS), 6000, required=False),
}
DIRECT: Fields = {"appid": Text("应用ID", 32), "mchid": Text("直连商户号", 32)}
PARTNER: Fields = {
    "sp_appid": Text("服务商应用ID", 32),
    "sp_mchid": Text("服务商户号", 32),
    "sub_appid": Text("子商户应用ID", 32, required=False),
    "sub_mchid": Text("子商户号", 32),
}
TERMS: Fields = {
    "description": Text("商品描述", 127),
    "out_trade_no": NUMBER,
    "time_expire": Time("交易结束时间"),
    "attach": Text("附加数据", 128, required=False),
    "notify_url": Text("通知地址", 255, pattern=NOTIFY_URL),
    "goods_tag": Text("订单优惠标记", 32, required=False),
    "support_fapiao": Bool("电子发票入口开放标识"),
    "amount": AMOUNT,
    "detail": Obj("优惠功能", DETAIL, required=False, size_max=6144),
    "settle_info": Obj("结算信息", {"profit_sharing": Bool("是否指定分账")}, required=False),
    "limit_pay": List("指定支付方式", Text("指定支付方式", 32), 10, required=False),
}
_ANY_SCENE = {"scene_info": Obj("场景信息", SCENE, required=False)}
_H5_SCENE = {"scene_info": Obj("场景信息", {**SCENE, "h5_info": Obj("H5场景信息", H5_INFO)})}
_PAYER = {"payer": Obj("支付者", {"openid": Text("用户标识", 128)})}
_PARTNER_PAYER = {
    "payer": Obj(
        "支付者",
        {
            "sp_openid": Text("用户服务标识", 128, required=False),
            "sub_openid": Text("用户子标识", 128, required=False),
        },
    )
}
_MORE: Mapping[str, Fields] = {"JSAPI": {**_ANY_SCENE}, "NATIVE": _ANY_SCENE, "APP": _ANY_SCENE, "MWEB": _H5_SCENE}


def is_partner(call: Call) -> bool:
    return "/partner/" in call.route


def create(book: Book, call: Call) -> Mapping[str, Any]:
    """POST /v3/pay/[partner/]transactions/{jsapi,native,app,h5}."""
    product, partner = PRODUCTS[call.route.rpartition("/")[2]], is_partner(call)
    payer = ((_PARTNER_PAYER if partner else _PAYER) if product == "JSAPI" else {}) | {}
    check(call.body, {**(PARTNER if partner else DIRECT), **TERMS, **_MORE[product], **payer})
    order = read_order(book, call, product)
    order.expires_at = deadline(call, DEADLINE_DEFAULT, DEADLINE_MAX)
    order.notify_url = call.body["notify_url"]
    if product == "JSAPI":
        _read_payer(book, call, order)
    return handle_of(book, call, reentered(book, call, order) or order)


def read_order(book: Book, call: Call, product: str) -> Order:
    """The order that a request asks for, as far as all products have it in common; raises Refusal."""
    body, owner = call.body, owner_of(book, call, call.body)
    appid = body.get("sp_appid") or body["appid"]
    sub_appid = body.get("sub_appid", "")
    sub = book.merchants.get(body.get("sub_mchid", ""))
    if appid not in call.merchant.appids or (sub_appid and (sub is None or sub_appid not in sub.appids)):
        raise Refusal("appid")
    settle = body.get("settle_info", {})
    return Order(
        key=f"{owner}/{body['out_trade_no']}",
        owner=owner,
        payee=body.get("sub_mchid") or call.merchant.mchid,
        product=product,
        mchid=call.merchant.mchid,
        appid=appid,
        out_trade_no=body["out_trade_no"],
        description=body["description"],
        amount_minor=body["amount"]["total"],
        created_at=call.now,
        expires_at=call.now + DEADLINE_DEFAULT,
        fingerprint=fingerprint(call.route, body),
        token=book.bank.token(24),
        sub_mchid=body.get("sub_mchid", ""),
        sub_appid=sub_appid,
        attach=body.get("attach", ""),
        device_id=body.get("scene_info", {}).get("device_id", ""),
        profit_sharing=settle.get("profit_sharing", False),
        faults=kept_faults(call),
    )


def kept_faults(call: Call) -> list[Struck]:
    """Faults of later stages stay with what the request makes."""
    if not call.faults:
        return []
    return at(Stage.NOTIFICATION, call.faults) + at(Stage.BUYER, call.faults)


def owner_of(book: Book, call: Call, place: Mapping[str, Any]) -> str:
    """Whom a merchant number belongs to; raises Refusal for a sub-merchant that is not bound."""
    sub = place.get("sub_mchid", "")
    if not sub:
        return call.merchant.mchid
    if not book.merchants.exists(sub):
        raise Refusal("merchant_missing")
    if sub not in call.merchant.subs:
        raise Refusal("no_permission")
    return f"{call.merchant.mchid}/{sub}"


def deadline(call: Call, default: timedelta, most: timedelta) -> datetime:
    moment = from_rfc3339(call.body.get("time_expire", ""))
    if moment is None:
        return call.now + default
    return min(max(moment, call.now + DEADLINE_MIN), call.now + most)


def _read_payer(book: Book, call: Call, order: Order) -> None:
    payer = call.body["payer"]
    order.openid_of_sub = "sub_openid" in payer
    order.openid = payer.get("openid") or payer.get("sub_openid") or payer.get("sp_openid", "")
    appid = order.sub_appid if order.openid_of_sub else order.appid
    if not book.merchants.buyer_id([appid], order.openid):
        raise Refusal("openid")


def reentered(book: Book, call: Call, order: Order) -> Order | None:
    """The order that is there already under this number; raises Refusal when it cannot be gone on with."""
    if order.key in book.burnt:
        raise Refusal("order_closed")
    earlier = book.by_key(order.key)
    if earlier is None:
        return None
    if earlier.status in PAID_STATES:
        raise Refusal("already_paid")
    if earlier.status not in OPEN_STATES:
        raise Refusal("order_closed")
    if earlier.fingerprint != order.fingerprint:
        raise Refusal("number_used" if book.strikes(call, Fault.NUMBER_USED) else "reentry")
    return earlier


def handle_of(book: Book, call: Call, order: Order) -> dict[str, Any]:
    """The answer of a create: how the buyer gets there."""
    if order.product == "NATIVE":
        code = book.bank.token(7) + "zz"
        book.add_handle(order, code, call.now + HANDLE_LIFE, replaces=True)
        book.put(order)
        return {"code_url": CODE_ADDRESS + code}
    handle = prepay_id(book.bank, call.now)
    book.add_handle(order, handle, call.now + (H5_LIFE if order.product == "MWEB" else HANDLE_LIFE), replaces=False)
    book.put(order)
    if order.product != "MWEB":
        return {"prepay_id": handle}
    return {"h5_url": f"{call.site}{H5_PATH}?prepay_id={handle}&package={book.bank.chance(32)}"}


def query(book: Book, call: Call) -> Mapping[str, Any]:
    """GET .../id/{transaction_id} and .../out-trade-no/{out_trade_no}."""
    owner = _asked_owner(book, call, call.query, "query")
    if "transaction_id" in call.params:
        order = book.by_transaction(call.params["transaction_id"])
    else:
        check(call.params, {"out_trade_no": NUMBER}, "uri_template")
        order = book.order(owner, call.params["out_trade_no"])
    if order is None or order.owner != owner or order.combine or order.subs:
        raise Refusal("order_missing")
    return shapes.transaction(order)


def close(book: Book, call: Call) -> Done:
    """POST .../out-trade-no/{out_trade_no}/close."""
    owner = _asked_owner(book, call, call.body, "uri_template")
    number = call.params["out_trade_no"]
    check(call.params, {"out_trade_no": NUMBER}, "uri_template")
    order = book.order(owner, number)
    if order is None:
        book.burnt.put(f"{owner}/{number}", Burnt(f"{owner}/{number}"))
        return Done(204)
    if order.combine:
        raise Refusal("order_missing")
    if order.product == "MICROPAY":
        raise Refusal("reverse_only")
    if order.status in PAID_STATES:
        raise Refusal("close_paid")
    if order.status in OPEN_STATES:
        book.close(order)
    return Done(204)


def _asked_owner(book: Book, call: Call, place: Mapping[str, Any], location: str) -> str:
    if is_partner(call):
        require(place, "sp_mchid", "服务商户号", location)
        require(place, "sub_mchid", "子商户号", location)
        return owner_of(book, call, place)
    require(place, "mchid", "直连商户号", location)
    return call.merchant.mchid
