"""What happens inside the WeChat app: the parameters with which a page, mini program or app calls up the payment.

Rule: the parameters are signed by the merchant; whoever calls up a payment with a wrong signature, a missing parameter
or a dead prepay id gets WeChat's own words. `signType` is not part of the signed text. Names are taken in any case,
because platforms spell them differently; a time stamp that is a number is a missing one, as in the real client.
"""

from collections.abc import Mapping

import msgspec

from tongbao.crypto import decode_base64
from tongbao.simulators.channel import PaymentRefused
from tongbao.simulators.wechatpay.book import Book
from tongbao.simulators.wechatpay.model import Order, Transfer
from tongbao.simulators.wechatpay.transfers import by_package
from tongbao.simulators.wechatpay.wire import lines

PREPAY = "prepay_id="
_PAGE = ("timestamp", "noncestr", "package", "signtype", "paysign")
_APP = ("appid", "partnerid", "prepayid", "package", "noncestr", "timestamp", "sign")
_PRODUCTS = {"page": "JSAPI", "app": "APP"}


def read_params(content: str) -> dict[str, object] | None:
    """The parameters in a JSON text, by lower-case name; None when it is nothing of the kind."""
    if not content.lstrip().startswith("{"):
        return None
    try:
        found = msgspec.json.decode(content.encode(), type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    params = {name.lower(): value for name, value in found.items()}
    if "packagevalue" in params:
        params.setdefault("package", params.pop("packagevalue"))
    known = {"paysign", "prepayid", "sign"} & set(params) or {"package", "mchid"} <= set(params)
    return params if known else None


def kind_of(params: Mapping[str, object]) -> str:
    """page (JSAPI and mini program), app, or transfer."""
    if "prepayid" in params or "sign" in params:
        return "app"
    return "page" if "paysign" in params else "transfer"


def transfer_of(book: Book, params: Mapping[str, object]) -> Transfer:
    """requestMerchantTransfer; raises PaymentRefused."""
    made = by_package(book, str(params.get("package", "")))
    if made is None or params.get("mchid") != made.mchid or params.get("appid", made.appid) != made.appid:
        raise PaymentRefused("TRANSFER_INVALID", "转账单不存在或参数错误")
    return made


def order_of(book: Book, params: Mapping[str, object]) -> Order:
    """The order that the parameters call up; raises PaymentRefused."""
    kind = kind_of(params)
    for name in _PAGE if kind == "page" else _APP:
        value = params.get(name)
        if not isinstance(value, str) or not value:
            raise PaymentRefused("PARAM_MISSING", f"调用支付缺少参数：{name}")
    given = {name: str(value) for name, value in params.items()}
    package = given["package"]
    if kind == "page" and (given["signtype"] != "RSA" or not package.startswith(PREPAY)):
        raise PaymentRefused("PARAM_ERROR", "支付参数错误：signType或package")
    if kind == "app" and package != "Sign=WXPay":
        raise PaymentRefused("PARAM_ERROR", "支付参数错误：package")
    order = book.by_handle(package.removeprefix(PREPAY) if kind == "page" else given["prepayid"])
    if order is None or order.product != _PRODUCTS[kind]:
        raise PaymentRefused("PREPAY_ID_INVALID", "支付请求已失效，请重新发起支付")
    _check(book, order, given, kind)
    return order


def _check(book: Book, order: Order, given: Mapping[str, str], kind: str) -> None:
    appids = [appid for appid in (order.appid, order.sub_appid) if appid]
    appid = given.get("appid", order.appid)
    partners = [order.mchid, order.sub_mchid]
    if appid not in appids or (kind == "app" and given["partnerid"] not in partners):
        raise PaymentRefused("APPID_MISMATCH", "appid或商户号与支付单不一致")
    last = given["package"] if kind == "page" else given["prepayid"]
    text = lines(*(part.encode() for part in (appid, given["timestamp"], given["noncestr"], last)))
    signature = decode_base64(given["paysign" if kind == "page" else "sign"])
    if signature is None or not book.merchants.public_key(order.mchid).verify(signature, text):
        raise PaymentRefused("SIGN_ERROR", "支付验证签名失败")
