"""What a merchant orders: reading and checking the shared order fields, and when the order's time is over.

Rule: an order is not a trade. page.pay, wap.pay, app.pay and precreate only make orders; the trade comes to be when a
buyer opens the cashier.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from tongbao.simulators.alipay.errors import Failure
from tongbao.simulators.alipay.model import Order
from tongbao.simulators.alipay.request import Call
from tongbao.simulators.alipay.wire import AMOUNT_MAX_MINOR, AMOUNT_MIN_MINOR, CHINA, fen, from_china_time
from tongbao.simulators.faults import Stage, at

QR_LIFE = timedelta(hours=2)
DEFAULT_TIMEOUT_SECONDS = {"qr": 3 * 3600, "barcode": 3 * 3600}
ONLINE_TIMEOUT_SECONDS = 15 * 86_400
GOODS_MAX = 150
PRODUCT_CODES = {
    "page": frozenset({"FAST_INSTANT_TRADE_PAY"}),
    "wap": frozenset({"QUICK_WAP_WAY", "QUICK_WAP_PAY"}),
    "app": frozenset({"", "QUICK_MSECURITY_PAY"}),
    "qr": frozenset({"", "QR_CODE_OFFLINE", "FACE_TO_FACE_PAYMENT"}),
    "jsapi": frozenset({"", "FACE_TO_FACE_PAYMENT", "JSAPI_PAY"}),
    "barcode": frozenset(
        {"", "FACE_TO_FACE_PAYMENT", "OFFLINE_PAYMENT", "GENERAL_WITHHOLDING", "CYCLE_PAY_AUTH", "PRE_AUTH"}
        | {"PRE_AUTH_ONLINE", "PREAUTH_PAY"}
    ),
}
"""wap.pay: the document says QUICK_WAP_WAY, SDK samples QUICK_WAP_PAY; both are in use and both are taken."""

_LENGTHS = {"body": 128, "store_id": 32, "operator_id": 28, "terminal_id": 32, "passback_params": 512, "quit_url": 400}
_OUT_TRADE_NO = re.compile(r"[0-9A-Za-z_]{1,64}")
_TIMEOUT = re.compile(r"([0-9]{1,5})([mhd])")
_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86_400}
_FORBIDDEN_IN_SUBJECT = frozenset("/=&")


def read_order(call: Call, product: str, token: str, expiring: Iterable[str] = ()) -> Order:
    """The order of a call; raises Failure. `token` names its cashier page; `expiring` are more relative time limits."""
    out_trade_no = required(call, "out_trade_no", 64)
    if not _OUT_TRADE_NO.fullmatch(out_trade_no):
        raise Failure("ACQ.INVALID_PARAMETER", {"out_trade_no": out_trade_no})
    order = Order(
        token=token,
        product=product,
        app_id=call.app.app_id,
        seller_id=call.app.seller_id,
        out_trade_no=out_trade_no,
        subject=_subject(call),
        amount_minor=amount(call, "total_amount"),
        charset=call.charset,
        created_at=call.now,
        pay_until=call.now,
        notify_url=call.params.get("notify_url", ""),
        return_url=call.params.get("return_url", ""),
        product_code=_product_code(call, product),
        auth_app_id=call.auth_app_id,
        faults=[*at(Stage.NOTIFICATION, call.faults), *at(Stage.BUYER, call.faults)],
    )
    for name, length in _LENGTHS.items():
        setattr(order, name, optional(call, name, length))
    _check_seller(call)
    _check_goods(call)
    _limit(call, order, expiring)
    return order


def required(call: Call, name: str, length: int) -> str:
    """A text field that must be there; raises Failure ACQ.INVALID_PARAMETER."""
    value = optional(call, name, length)
    if not value:
        raise Failure("ACQ.INVALID_PARAMETER")
    return value


def optional(call: Call, name: str, length: int) -> str:
    """A text field; a JSON number is taken for text as the gateway does, an object or list is not."""
    value = call.biz.get(name)
    if value is None:
        return ""
    if isinstance(value, dict | list | bool) or len(str(value)) > length:
        raise Failure("ACQ.INVALID_PARAMETER")
    return str(value)


def amount(call: Call, name: str) -> int:
    """Money in fen within 0.01 to 100,000,000; raises Failure."""
    value = fen(call.biz.get(name))
    if value is None:
        raise Failure("ACQ.INVALID_PARAMETER")
    if not AMOUNT_MIN_MINOR <= value <= AMOUNT_MAX_MINOR:
        raise Failure("ACQ.TOTAL_FEE_EXCEED")
    return value


def trade_deadline(order: Order, now: datetime) -> datetime:
    """When a trade that comes to be now closes by itself if it is not paid."""
    if order.expires_at is not None:
        return order.expires_at
    seconds = order.timeout_seconds or DEFAULT_TIMEOUT_SECONDS.get(order.product, ONLINE_TIMEOUT_SECONDS)
    return now + timedelta(seconds=seconds)


def _subject(call: Call) -> str:
    subject = required(call, "subject", 256)
    if _FORBIDDEN_IN_SUBJECT & set(subject):
        raise Failure("ACQ.INVALID_PARAMETER")
    return subject


def _product_code(call: Call, product: str) -> str:
    code = optional(call, "product_code", 64)
    if code not in PRODUCT_CODES[product]:
        raise Failure("ACQ.INVALID_PARAMETER")
    return code


def _check_seller(call: Call) -> None:
    """Only the signing merchant itself may be the payee here."""
    seller_id = optional(call, "seller_id", 28)
    if seller_id and seller_id != call.app.seller_id:
        raise Failure("ACQ.SELLER_NOT_EXIST")


def _check_goods(call: Call) -> None:
    goods = call.biz.get("goods_detail", [])
    if not isinstance(goods, list) or not all(isinstance(item, dict) for item in goods):
        raise Failure("ACQ.INVALID_PARAMETER")
    if len(goods) > GOODS_MAX:
        raise Failure("ACQ.SUB_GOODS_SIZE_MAX_COUNT")
    for item in goods:
        if not all(item.get(name) for name in ("goods_id", "goods_name", "quantity", "price")):
            raise Failure("ACQ.INVALID_PARAMETER")


def _limit(call: Call, order: Order, expiring: Iterable[str]) -> None:
    """Reads the time limits: an absolute one wins; page.pay's relative one starts with the request."""
    now = call.now
    if order.product == "qr":
        order.pay_until = now + QR_LIFE
        for name in expiring:
            order.pay_until = min(order.pay_until, now + timedelta(seconds=_relative(call, name) or 7200))
    else:
        order.pay_until = now + timedelta(seconds=ONLINE_TIMEOUT_SECONDS)
    order.expires_at = _absolute(call)
    if order.expires_at is None:
        order.timeout_seconds = _relative(call, "timeout_express")
        if order.product == "page":
            order.expires_at = now + timedelta(seconds=order.timeout_seconds or ONLINE_TIMEOUT_SECONDS)
    if order.expires_at is not None:
        order.pay_until = min(order.pay_until, order.expires_at)


def _absolute(call: Call) -> datetime | None:
    text = optional(call, "time_expire", 32)
    if not text:
        return None
    moment = from_china_time(text)
    if moment is None:
        raise Failure("ACQ.INVALID_PARAMETER")
    if moment <= call.now:
        raise Failure("ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR")
    return moment


def _relative(call: Call, name: str) -> int | None:
    """Seconds of `90m`, `2h`, `15d` (one minute to 15 days), or until midnight in China for `1c`."""
    text = optional(call, name, 6)
    if not text:
        return None
    if text == "1c":
        local = call.now.astimezone(CHINA)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        return max(1, int((midnight - local).total_seconds()))
    match = _TIMEOUT.fullmatch(text)
    seconds = int(match[1]) * _UNIT_SECONDS[match[2]] if match else 0
    if not 60 <= seconds <= ONLINE_TIMEOUT_SECONDS:
        raise Failure("ACQ.INVALID_PARAMETER")
    return seconds
