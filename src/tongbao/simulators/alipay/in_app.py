"""alipay.trade.app.pay: the order string that a merchant's server signs and its app hands to Alipay's.

Rule: the string is checked as a request is, and makes an order when somebody looks at it; the same string is the same
order. What the app gets back is signed by Alipay.
"""

import hashlib

from tongbao.simulators.alipay.apps import Apps
from tongbao.simulators.alipay.errors import Failure, GatewayError
from tongbao.simulators.alipay.model import Trade
from tongbao.simulators.alipay.orders import read_order
from tongbao.simulators.alipay.request import Checks, read_params
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.wire import CHARSETS, china_time, encoded_json, node_text, sign, yuan
from tongbao.simulators.channel import PaymentRefused
from tongbao.transport import RawRequest

METHOD = "alipay.trade.app.pay"


def token_of(book: Book, checks: Checks, order_string: str) -> str | None:
    """The token of an order string's order, None when it is no order string; raises PaymentRefused for a bad one."""
    if f"method={METHOD}" not in order_string or "sign=" not in order_string:
        return None
    token = "app" + hashlib.sha256(order_string.encode()).hexdigest()[:25]
    if token in book.orders:
        return token
    try:
        params = read_params(RawRequest("GET", "/", order_string, {}, b""))
        call = checks.accept(params, book.bank.clock.now())
        book.add_order(read_order(call, "app", token))
    except (GatewayError, Failure) as error:
        raise PaymentRefused(error.sub_code, "the order string is refused") from None
    return token


def result(apps: Apps, trade: Trade) -> str:
    """What the app is handed after payment: `resultStatus` 9000 and the signed result, as JSON."""
    app, order = apps.get(trade.order.app_id), trade.order
    assert app is not None, "a trade belongs to an application"
    text = node_text(
        {
            "code": "10000",
            "msg": "Success",
            "app_id": app.app_id,
            "charset": order.charset,
            "out_trade_no": order.out_trade_no,
            "seller_id": order.seller_id,
            "timestamp": china_time(trade.paid_at or trade.created_at),
            "total_amount": yuan(order.amount_minor),
            "trade_no": trade.trade_no,
        }
    )
    signature = sign(apps.alipay_key, text.encode(CHARSETS[order.charset.lower()]), app.sign_type)
    inner = f'{{"{METHOD.replace(".", "_")}_response":{text},"sign":"{signature}","sign_type":"{app.sign_type}"}}'
    return encoded_json({"memo": "", "result": inner, "resultStatus": "9000"})
