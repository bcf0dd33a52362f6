"""Orders: make one in five ways, ask for it, end it, and what the buyer's app is given. Pure exchanges.

Rule: amounts are whole fen (`int`) or `Money`. A made order is not a paid one: only `query` and the notification say
that. Source: create order, client invocation, query, close, code pay of the protocol.
"""

from collections.abc import Mapping
from typing import Unpack, cast
from urllib.parse import quote

from tongbao.channels.wechatpay.account import Account
from tongbao.channels.wechatpay.answers import AppParams, CodeUrl, H5Url, JsapiParams, PrepayId, Reversed, Transaction
from tongbao.channels.wechatpay.calls import Exchange, Node, call, check_named
from tongbao.channels.wechatpay.orders import (
    OrderFields,
    app_of,
    numbers,
    order,
    parties,
    payer,
    trade_path,
    transactions,
)
from tongbao.channels.wechatpay.requests import timestamp_and_nonce
from tongbao.channels.wechatpay.signing import pay_text, sign
from tongbao.channels.wechatpay.values import Amount
from tongbao.domain.errors import InvalidInput

# --- making ------------------------------------------------------------------------------------------------------


def native_pay(
    account: Account,
    *,
    out_trade_no: str,
    amount: Amount,
    description: str,
    notify_url: str,
    **optional: Unpack[OrderFields],
) -> Exchange[CodeUrl]:
    """`native`: a QR that the buyer scans. Show `code_url` as QR; it lives for 2 hours.

    Args:
        account: set by the client.
        out_trade_no: the merchant's number, 6 to 32 characters. The same number with the same data again: a new handle.
        amount: fen as `int`, or `Money`; a float is refused.
        description: what is bought, at most 127 characters, no emoji.
        notify_url: where the payment is notified; absolute, without a query.
        **optional: see `OrderFields`.
    """
    body = order(account, out_trade_no, amount, description, notify_url, optional)
    return cast(CodeUrl, (yield from _make(account, "native", body, optional)))


def jsapi_pay(
    account: Account,
    *,
    out_trade_no: str,
    amount: Amount,
    description: str,
    notify_url: str,
    openid: str,
    **optional: Unpack[OrderFields],
) -> Exchange[PrepayId]:
    """`jsapi`: paid on a page inside WeChat, or in a mini program. Give `prepay_id` to `jsapi_params`; it lives for 2
    hours. Parameters as in `native_pay`, and:

    Args:
        openid: the buyer's, of the app that is signed for.
    """
    who = payer(account, openid, optional)
    body = order(account, out_trade_no, amount, description, notify_url, optional, payer=who)
    return cast(PrepayId, (yield from _make(account, "jsapi", body, optional)))


def app_pay(
    account: Account,
    *,
    out_trade_no: str,
    amount: Amount,
    description: str,
    notify_url: str,
    **optional: Unpack[OrderFields],
) -> Exchange[PrepayId]:
    """`app`: paid in the merchant's app through WeChat's SDK. Give `prepay_id` to `app_params`. Parameters as in
    `native_pay`."""
    body = order(account, out_trade_no, amount, description, notify_url, optional)
    return cast(PrepayId, (yield from _make(account, "app", body, optional)))


def h5_pay(
    account: Account,
    *,
    out_trade_no: str,
    amount: Amount,
    description: str,
    notify_url: str,
    payer_client_ip: str,
    h5_info: Mapping[str, object] | None = None,
    **optional: Unpack[OrderFields],
) -> Exchange[H5Url]:
    """`h5`: paid from the phone's browser. Send it to `h5_url` (see `h5_address`) within 5 minutes, from a page of the
    registered domain. Parameters as in `native_pay`, and:

    Args:
        payer_client_ip: the buyer's address.
        h5_info: `type` (Wap, iOS, Android), `app_name`, `app_url`, `bundle_id`, `package_name`.
    """
    if not payer_client_ip:
        raise InvalidInput("payer_client_ip is missing", param="payer_client_ip")
    scene = {
        **(optional.get("scene_info") or {}),
        "payer_client_ip": payer_client_ip,
        "h5_info": h5_info or {"type": "Wap"},
    }
    body = order(account, out_trade_no, amount, description, notify_url, optional, scene_info=scene)
    return cast(H5Url, (yield from _make(account, "h5", body, optional)))


def code_pay(
    account: Account,
    *,
    out_trade_no: str,
    amount: Amount,
    description: str,
    auth_code: str,
    store_info: Mapping[str, object],
    device_ip: str | None = None,
    **optional: Unpack[OrderFields],
) -> Exchange[Transaction]:
    """`codepay`: charge the code that a buyer shows at the counter. `trade_state` SUCCESS: paid; USERPAYING: the buyer
    is typing the password, query every 5 seconds, and `reverse` after half a minute.

    Args:
        out_trade_no, amount, description: as in `native_pay`.
        auth_code: the buyer's code, one-time: 18 digits starting with 10 to 15.
        store_info: `id` (WeChat's) or `out_id` (the merchant's own).
        device_ip: of the counter's machine.

    There is no notification, and no deadline at WeChat. An error that is an OutcomeUnknown, and a lost answer, are not
    failures: query, then `reverse`; never send the code again.
    """
    if not auth_code:
        raise InvalidInput("auth_code is missing", param="auth_code")
    scene = {**(optional.get("scene_info") or {}), "device_ip": device_ip, "store_info": store_info}
    body = order(
        account,
        out_trade_no,
        amount,
        description,
        None,
        optional,
        payer={"auth_code": auth_code},
        scene_info=scene,
        time_expire=None,
    )
    return cast(Transaction, (yield from _make(account, "codepay", body, optional)))


def _make(account: Account, kind: str, body: Mapping[str, object], optional: OrderFields) -> Exchange[Node]:
    return (yield from call(account, "POST", f"{transactions(account, optional.get('sub_mchid'))}/{kind}", body))


# --- asking and ending -------------------------------------------------------------------------------------------


def query(
    account: Account,
    *,
    out_trade_no: str | None = None,
    transaction_id: str | None = None,
    sub_mchid: str | None = None,
) -> Exchange[Transaction]:
    """The order as WeChat has it. An answer means found, not paid: read `trade_state`.

    Args:
        out_trade_no: the merchant's number, or
        transaction_id: WeChat's, which wins when both are given.
        sub_mchid: acting for a merchant (partner).
    """
    path = trade_path(account, out_trade_no, transaction_id, sub_mchid)
    node = yield from call(account, "GET", path, query=numbers(account, sub_mchid))
    if transaction_id:
        check_named(path, "transaction_id", transaction_id, node)
    else:
        check_named(path, "out_trade_no", out_trade_no, node)
    return cast(Transaction, node)


def close(account: Account, *, out_trade_no: str, sub_mchid: str | None = None) -> Exchange[None]:
    """Makes the unpaid order `out_trade_no` unpayable. A paid one is refused; so is a code payment: `reverse` that."""
    path = f"{trade_path(account, out_trade_no, None, sub_mchid)}/close"
    yield from call(account, "POST", path, numbers(account, sub_mchid))


def reverse(
    account: Account,
    *,
    out_trade_no: str,
    appid: str | None = None,
    sub_mchid: str | None = None,
    sub_appid: str | None = None,
) -> Exchange[Reversed]:
    """Ends the code payment `out_trade_no` whose outcome stays unknown; pays back what was paid. Not for refunds."""
    path = f"{trade_path(account, out_trade_no, None, sub_mchid)}/reverse"
    body = parties(account, {"appid": appid, "sub_mchid": sub_mchid, "sub_appid": sub_appid})
    return cast(Reversed, (yield from call(account, "POST", path, body)))


# --- what the buyer's app is given, offline ----------------------------------------------------------------------


def jsapi_params(account: Account, prepay_id: str, *, appid: str | None = None) -> JsapiParams:
    """What a page inside WeChat hands to `getBrandWCPayRequest`; a mini program's `wx.requestPayment` takes the same
    without `appId`.

    Args:
        prepay_id: from `jsapi_pay`, or from `combined_pay`.
        appid: of the page or mini program, where it is not the client's (partner: the sub app's).
    """
    app = app_of(account, appid)
    timestamp, nonce = timestamp_and_nonce(account)
    package = f"prepay_id={prepay_id}"
    return {
        "appId": app,
        "timeStamp": timestamp,
        "nonceStr": nonce,
        "package": package,
        "signType": "RSA",
        "paySign": sign(pay_text(app, timestamp, nonce, package), account.private_key),
    }


def app_params(
    account: Account, prepay_id: str, *, appid: str | None = None, partner_id: str | None = None
) -> AppParams:
    """What an app hands to WeChat's SDK (Android calls `package` `packageValue`).

    Args:
        prepay_id: from `app_pay`, or from `combined_pay`.
        appid: of the app, where it is not the client's.
        partner_id: the merchant number, where it is not the client's (partner: the sub merchant's with its own app).
    """
    app = app_of(account, appid)
    timestamp, nonce = timestamp_and_nonce(account)
    return {
        "appId": app,
        "partnerId": partner_id or account.mchid,
        "prepayId": prepay_id,
        "package": "Sign=WXPay",
        "nonceStr": nonce,
        "timeStamp": timestamp,
        "sign": sign(pay_text(app, timestamp, nonce, prepay_id), account.private_key),
    }


def h5_address(account: Account, h5_url: str, *, return_url: str | None = None) -> str:
    """Where the phone's browser goes.

    Args:
        h5_url: from `h5_pay`, or from `combined_pay`.
        return_url: where WeChat sends the browser back, paid or not.
    """
    if not return_url:
        return h5_url
    mark = "&" if "?" in h5_url else "?"
    return f"{h5_url}{mark}redirect_url={quote(return_url, safe='')}"
