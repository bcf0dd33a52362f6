"""Trades: pay in every way, query, close, cancel, refund. Each function is one pure exchange, or a signed page.

The first parameter is the account; the clients bind it. Everything else is a keyword, spelled as Alipay spells it,
and every method takes `more` for fields that are not listed. Source: the methods of the protocol, `alipay.trade.*`.
Errors of an exchange are those of `calls.call`.
"""

from collections.abc import Mapping, Sequence
from typing import Unpack, cast

from tongbao.channels.alipay.account import Account
from tongbao.channels.alipay.answers import (
    Canceled,
    Closed,
    Created,
    Paid,
    Precreated,
    Queried,
    Refunded,
    RefundQueried,
)
from tongbao.channels.alipay.calls import Node, call
from tongbao.channels.alipay.orders import OrderFields, checked_number, further, order, trade
from tongbao.channels.alipay.requests import SignedPage, query_text, signed_page, signed_params
from tongbao.channels.alipay.values import Amount, yuan
from tongbao.channels.exchange import Exchange

# --- the buyer's browser or app carries the request: nothing is sent here ------------------------------------------


def page_pay(
    account: Account,
    *,
    out_trade_no: str,
    total_amount: Amount,
    subject: str,
    notify_url: str | None = None,
    return_url: str | None = None,
    qr_pay_mode: str | None = None,
    qrcode_width: int | None = None,
    goods_type: str | None = None,
    product_code: str = "FAST_INSTANT_TRADE_PAY",
    **optional: Unpack[OrderFields],
) -> SignedPage:
    """`alipay.trade.page.pay`: a payment page on a desktop. Send the browser to `.url`, or serve `.html()`.

    Args:
        out_trade_no: the merchant's number, unique, at most 64 letters, digits and underscores.
        total_amount: yuan, exact: `"12.34"`, Decimal, int; a float is refused.
        subject: at most 256 characters without `/ = &`.
        notify_url: where Alipay reports the payment.
        return_url: where the buyer's browser comes back to.
        qr_pay_mode: 0, 1, 3, 4: QR inside your page; 2: a page of its own.
        qrcode_width: with qr_pay_mode 4.
        goods_type: 0 virtual, 1 physical.
        product_code: the contract's product.
        **optional: see OrderFields.
    """
    own = {"qr_pay_mode": qr_pay_mode, "qrcode_width": qrcode_width, "goods_type": goods_type}
    business = order(out_trade_no, total_amount, subject, product_code, optional, **own)
    return _page(account, "alipay.trade.page.pay", business, notify_url, return_url, optional)


def wap_pay(
    account: Account,
    *,
    out_trade_no: str,
    total_amount: Amount,
    subject: str,
    notify_url: str | None = None,
    return_url: str | None = None,
    quit_url: str | None = None,
    goods_type: str | None = None,
    product_code: str = "QUICK_WAP_WAY",
    **optional: Unpack[OrderFields],
) -> SignedPage:
    """`alipay.trade.wap.pay`: a payment page on a phone's browser. Parameters as in `page_pay`, and:

    Args:
        quit_url: where the buyer goes who gives up.
    """
    own = {"quit_url": quit_url, "goods_type": goods_type}
    business = order(out_trade_no, total_amount, subject, product_code, optional, **own)
    return _page(account, "alipay.trade.wap.pay", business, notify_url, return_url, optional)


def app_pay(
    account: Account,
    *,
    out_trade_no: str,
    total_amount: Amount,
    subject: str,
    notify_url: str | None = None,
    goods_type: str | None = None,
    agreement_sign_params: Mapping[str, object] | None = None,
    product_code: str | None = "QUICK_MSECURITY_PAY",
    **optional: Unpack[OrderFields],
) -> str:
    """`alipay.trade.app.pay`: the order string that an app gives unchanged to Alipay's mobile SDK.

    Parameters as in `page_pay`, and:

    Args:
        agreement_sign_params: to pay and sign an agreement in one.
    """
    own = {"goods_type": goods_type, "agreement_sign_params": agreement_sign_params}
    business = order(out_trade_no, total_amount, subject, product_code, optional, **own)
    common = {"notify_url": notify_url, "app_auth_token": optional.get("app_auth_token")}
    return query_text(signed_params(account, "alipay.trade.app.pay", business, common), account.charset)


def _page(
    account: Account,
    method: str,
    business: Mapping[str, object],
    notify_url: str | None,
    return_url: str | None,
    optional: OrderFields,
) -> SignedPage:
    common = {
        "notify_url": notify_url,
        "return_url": return_url,
        "app_auth_token": optional.get("app_auth_token"),
    }
    return signed_page(account, signed_params(account, method, business, common))


# --- exchanges ---------------------------------------------------------------------------------------------------


def precreate(
    account: Account,
    *,
    out_trade_no: str,
    total_amount: Amount,
    subject: str,
    notify_url: str | None = None,
    product_code: str | None = None,
    qr_code_timeout_express: str | None = None,
    **optional: Unpack[OrderFields],
) -> Exchange[Precreated]:
    """`alipay.trade.precreate`: a QR that the buyer scans. No trade exists until then. Parameters as in `page_pay`.

    Args:
        product_code: `QR_CODE_OFFLINE` (order code) or `FACE_TO_FACE_PAYMENT`; absent: the contract's default.
        qr_code_timeout_express: life of the QR, e.g. `30m`; Alipay's own limit is 2 hours.
    """
    own = {"qr_code_timeout_express": qr_code_timeout_express}
    business = order(out_trade_no, total_amount, subject, product_code, optional, **own)
    return cast(Precreated, (yield from _send(account, "alipay.trade.precreate", business, notify_url, optional)))


def pay(
    account: Account,
    *,
    out_trade_no: str,
    total_amount: Amount,
    subject: str,
    auth_code: str,
    scene: str = "bar_code",
    notify_url: str | None = None,
    product_code: str | None = None,
    buyer_id: str | None = None,
    auth_no: str | None = None,
    auth_confirm_mode: str | None = None,
    agreement_params: Mapping[str, object] | None = None,
    **optional: Unpack[OrderFields],
) -> Exchange[Paid]:
    """`alipay.trade.pay`: charge the code that a buyer shows at the counter (or an authorisation, an agreement).

    Args:
        out_trade_no, total_amount, subject: as in `page_pay`.
        auth_code: the buyer's code, one-time: 16 to 24 digits starting with 25 to 30, or a face token.
        scene: `bar_code`, or `security_code` for a face token.
        product_code: `FACE_TO_FACE_PAYMENT` where absent; another one for authorisations and agreements.
        buyer_id, auth_no, auth_confirm_mode, agreement_params: for authorisations and agreements.

    Code 10003, code 20000 and a lost answer are not failures: query every few seconds, then `cancel`.
    """
    own = {
        "auth_code": auth_code or None,
        "scene": scene if auth_code else None,
        "buyer_id": buyer_id,
        "auth_no": auth_no,
        "auth_confirm_mode": auth_confirm_mode,
        "agreement_params": agreement_params,
    }
    business = order(out_trade_no, total_amount, subject, product_code, optional, **own)
    return cast(Paid, (yield from _send(account, "alipay.trade.pay", business, notify_url, optional)))


def create(
    account: Account,
    *,
    out_trade_no: str,
    total_amount: Amount,
    subject: str,
    buyer_id: str | None = None,
    buyer_open_id: str | None = None,
    op_app_id: str | None = None,
    notify_url: str | None = None,
    product_code: str | None = None,
    **optional: Unpack[OrderFields],
) -> Exchange[Created]:
    """`alipay.trade.create`: a trade that a mini program or a page inside Alipay pays with `my.tradePay`.

    Args:
        out_trade_no, total_amount, subject: as in `page_pay`.
        buyer_id: the buyer's user id (2088...), or
        buyer_open_id: the buyer's open id.
        op_app_id: the mini program's app id (product_code `JSAPI_PAY`).
    """
    own = {"buyer_id": buyer_id, "buyer_open_id": buyer_open_id, "op_app_id": op_app_id}
    business = order(out_trade_no, total_amount, subject, product_code, optional, **own)
    return cast(Created, (yield from _send(account, "alipay.trade.create", business, notify_url, optional)))


def query(
    account: Account,
    *,
    out_trade_no: str | None = None,
    trade_no: str | None = None,
    org_pid: str | None = None,
    query_options: Sequence[str] | None = None,
    app_auth_token: str | None = None,
) -> Exchange[Queried]:
    """`alipay.trade.query`. Code 10000 means found, not paid: read `trade_status`.

    Args:
        out_trade_no: the merchant's number, or
        trade_no: Alipay's, which wins when both are given.
        org_pid: the indirect merchant's bank.
        query_options: e.g. `trade_settle_info`, `fund_bill_list`.
    """
    business = trade(out_trade_no, trade_no, org_pid=org_pid, query_options=query_options)
    return cast(Queried, (yield from call(account, "alipay.trade.query", business, app_auth_token=app_auth_token)))


def cancel(
    account: Account,
    *,
    out_trade_no: str | None = None,
    trade_no: str | None = None,
    app_auth_token: str | None = None,
) -> Exchange[Canceled]:
    """`alipay.trade.cancel`: ends a payment whose outcome stays unknown; pays back what was paid. Not for refunds.

    Args:
        out_trade_no: the merchant's number, or
        trade_no: Alipay's, which wins when both are given.
    """
    business = trade(out_trade_no, trade_no)
    return cast(Canceled, (yield from call(account, "alipay.trade.cancel", business, app_auth_token=app_auth_token)))


def close(
    account: Account,
    *,
    out_trade_no: str | None = None,
    trade_no: str | None = None,
    operator_id: str | None = None,
    notify_url: str | None = None,
    app_auth_token: str | None = None,
) -> Exchange[Closed]:
    """`alipay.trade.close`: makes an unpaid trade unpayable. Only WAIT_BUYER_PAY can be closed.

    Args:
        out_trade_no: the merchant's number, or
        trade_no: Alipay's, which wins when both are given.
        operator_id: the merchant's cashier.
    """
    business = trade(out_trade_no, trade_no, operator_id=operator_id)
    answer = yield from call(
        account, "alipay.trade.close", business, app_auth_token=app_auth_token, notify_url=notify_url
    )
    return cast(Closed, answer)


def refund(
    account: Account,
    *,
    refund_amount: Amount,
    out_request_no: str,
    out_trade_no: str | None = None,
    trade_no: str | None = None,
    refund_reason: str | None = None,
    refund_goods_detail: Sequence[Mapping[str, object]] | None = None,
    refund_royalty_parameters: Sequence[Mapping[str, object]] | None = None,
    query_options: Sequence[str] | None = None,
    operator_id: str | None = None,
    app_auth_token: str | None = None,
    more: Mapping[str, object] | None = None,
) -> Exchange[Refunded]:
    """`alipay.trade.refund`: pays back all or part. Done only when `fund_change` is Y.

    Args:
        refund_amount: of this refund, yuan, exact.
        out_request_no: this refund's own number. Alipay asks for it only in partial refunds; it is always asked for
            here, because a repeat under the same number is executed once.
        out_trade_no: the merchant's number of the trade, or
        trade_no: Alipay's, which wins when both are given.
        refund_reason: at most 256 characters.
        refund_goods_detail: what was returned: goods_id and refund_amount of each.
        refund_royalty_parameters: what receivers of a division give back; online products must state it.
        operator_id: the merchant's cashier.
        query_options: e.g. `refund_detail_item_list`, `deposit_back_info`.

    Two refunds of one trade lie at least 3 seconds apart. After an unknown outcome repeat with the same number and
    amount, or ask `refund_query` 10 seconds later.
    """
    business = trade(
        out_trade_no,
        trade_no,
        refund_amount=yuan(refund_amount, "refund_amount"),
        out_request_no=checked_number(out_request_no, "out_request_no"),
        refund_reason=refund_reason,
        refund_goods_detail=refund_goods_detail,
        refund_royalty_parameters=refund_royalty_parameters,
        query_options=query_options,
        operator_id=operator_id,
        **further(more),
    )
    return cast(Refunded, (yield from call(account, "alipay.trade.refund", business, app_auth_token=app_auth_token)))


def refund_query(
    account: Account,
    *,
    out_request_no: str,
    out_trade_no: str | None = None,
    trade_no: str | None = None,
    query_options: Sequence[str] | None = ("gmt_refund_pay",),
    app_auth_token: str | None = None,
) -> Exchange[RefundQueried]:
    """`alipay.trade.fastpay.refund.query`. Code 10000 without `refund_status`: not received, or failed.

    Args:
        out_request_no: the refund's number (the trade's out_trade_no where the refund was sent without).
        out_trade_no: the merchant's number of the trade, or
        trade_no: Alipay's, which wins when both are given.
        query_options: what is told only when asked for.
    """
    business = trade(out_trade_no, trade_no, out_request_no=out_request_no, query_options=query_options)
    method = "alipay.trade.fastpay.refund.query"
    return cast(RefundQueried, (yield from call(account, method, business, app_auth_token=app_auth_token)))


def _send(
    account: Account, method: str, business: Mapping[str, object], notify_url: str | None, optional: OrderFields
) -> Exchange[Node]:
    token = optional.get("app_auth_token")
    return (yield from call(account, method, business, notify_url=notify_url, app_auth_token=token))
