"""Money that is not a trade: transfers to someone's account, and amounts frozen on a buyer's. Pure exchanges.

Source: transfer section of the protocol (transfers ask for certificate mode). The fields of the fund.auth methods are
recalled, not sourced; anything they lack goes into `more`.
"""

from collections.abc import Mapping
from typing import cast

from tongbao.channels.alipay.account import Account
from tongbao.channels.alipay.answers import FundsAuthorised, FundsAuthQueried, TransferQueried, Transferred
from tongbao.channels.alipay.calls import call
from tongbao.channels.alipay.orders import checked_number, further
from tongbao.channels.alipay.values import Amount, yuan
from tongbao.channels.exchange import Exchange
from tongbao.domain.errors import InvalidInput


def transfer(
    account: Account,
    *,
    out_biz_no: str,
    trans_amount: Amount,
    payee_info: Mapping[str, object],
    order_title: str | None = None,
    remark: str | None = None,
    product_code: str = "TRANS_ACCOUNT_NO_PWD",
    biz_scene: str | None = "DIRECT_TRANSFER",
    business_params: Mapping[str, object] | str | None = None,
    more: Mapping[str, object] | None = None,
    app_auth_token: str | None = None,
) -> Exchange[Transferred]:
    """`alipay.fund.trans.uni.transfer`: pays someone out. Repeating it under the same `out_biz_no` pays once.

    Args:
        out_biz_no: the merchant's number of this transfer.
        trans_amount: yuan, exact.
        payee_info: `identity`, `identity_type` (ALIPAY_USER_ID, ALIPAY_LOGON_ID, ALIPAY_OPEN_ID), `name` (asked for
            with a logon id), `bankcard_ext_info` for cards.
        order_title: shown on bills.
        remark: asked for from 50000 yuan.
        product_code, biz_scene: `TRANS_BANKCARD_NO_PWD` for cards, `STD_RED_PACKET` with `PERSONAL_COLLECTION` for red
            packets.
        business_params: e.g. `payer_show_name_use_alias`.

    After an unknown outcome ask `transfer_query`; ORDER_NOT_EXIST right after the call proves nothing.
    """
    business: dict[str, object] = {
        "out_biz_no": checked_number(out_biz_no, "out_biz_no"),
        "trans_amount": yuan(trans_amount, "trans_amount"),
        "product_code": product_code,
        "biz_scene": biz_scene,
        "order_title": order_title,
        "payee_info": payee_info,
        "remark": remark,
        "business_params": business_params,
        **further(more),
    }
    answer = yield from call(account, "alipay.fund.trans.uni.transfer", business, app_auth_token=app_auth_token)
    return cast(Transferred, answer)


def transfer_query(
    account: Account,
    *,
    out_biz_no: str | None = None,
    order_id: str | None = None,
    pay_fund_order_id: str | None = None,
    product_code: str = "TRANS_ACCOUNT_NO_PWD",
    biz_scene: str = "DIRECT_TRANSFER",
    app_auth_token: str | None = None,
) -> Exchange[TransferQueried]:
    """`alipay.fund.trans.common.query`: `status` SUCCESS, DEALING, FAIL, or REFUND (came back from the bank).

    Args:
        out_biz_no: the merchant's number, or
        order_id, pay_fund_order_id: Alipay's; the last wins over the others.
        product_code, biz_scene: as in the transfer.
    """
    if not (out_biz_no or order_id or pay_fund_order_id):
        raise InvalidInput("name the transfer: out_biz_no, order_id or pay_fund_order_id", param="out_biz_no")
    business = {
        "product_code": product_code,
        "biz_scene": biz_scene,
        "out_biz_no": out_biz_no,
        "order_id": order_id,
        "pay_fund_order_id": pay_fund_order_id,
    }
    answer = yield from call(account, "alipay.fund.trans.common.query", business, app_auth_token=app_auth_token)
    return cast(TransferQueried, answer)


def auth_freeze(
    account: Account,
    *,
    out_order_no: str,
    out_request_no: str,
    amount: Amount,
    order_title: str,
    auth_code: str,
    auth_code_type: str = "bar_code",
    product_code: str = "PRE_AUTH",
    notify_url: str | None = None,
    more: Mapping[str, object] | None = None,
    app_auth_token: str | None = None,
) -> Exchange[FundsAuthorised]:
    """`alipay.fund.auth.order.freeze`: holds an amount on the account of a buyer who shows a code.

    Args:
        out_order_no: the merchant's number of the authorisation.
        out_request_no: this request's number; a repeat under the same numbers is executed once.
        amount: yuan, exact.
        order_title: what the buyer sees.
        auth_code, auth_code_type: the buyer's code, and `bar_code` or `security_code`.
        product_code: the contract's product.
    """
    business: dict[str, object] = {
        "out_order_no": checked_number(out_order_no, "out_order_no"),
        "out_request_no": checked_number(out_request_no, "out_request_no"),
        "amount": yuan(amount, "amount"),
        "order_title": order_title,
        "auth_code": auth_code,
        "auth_code_type": auth_code_type,
        "product_code": product_code,
        **further(more),
    }
    method = "alipay.fund.auth.order.freeze"
    answer = yield from call(account, method, business, notify_url=notify_url, app_auth_token=app_auth_token)
    return cast(FundsAuthorised, answer)


def auth_unfreeze(
    account: Account,
    *,
    auth_no: str,
    out_request_no: str,
    amount: Amount,
    remark: str,
    notify_url: str | None = None,
    more: Mapping[str, object] | None = None,
    app_auth_token: str | None = None,
) -> Exchange[FundsAuthorised]:
    """`alipay.fund.auth.order.unfreeze`: gives back all or part of what is held.

    Args:
        auth_no: Alipay's number of the authorisation.
        out_request_no: this request's number; a repeat under it is executed once.
        amount: yuan, exact.
        remark: why, as the buyer sees it.
    """
    business: dict[str, object] = {
        "auth_no": auth_no,
        "out_request_no": checked_number(out_request_no, "out_request_no"),
        "amount": yuan(amount, "amount"),
        "remark": remark,
        **further(more),
    }
    method = "alipay.fund.auth.order.unfreeze"
    answer = yield from call(account, method, business, notify_url=notify_url, app_auth_token=app_auth_token)
    return cast(FundsAuthorised, answer)


def auth_query(
    account: Account,
    *,
    auth_no: str | None = None,
    out_order_no: str | None = None,
    operation_id: str | None = None,
    out_request_no: str | None = None,
    app_auth_token: str | None = None,
) -> Exchange[FundsAuthQueried]:
    """`alipay.fund.auth.operation.detail.query`: what is held and what became of it.

    Args:
        auth_no, out_order_no: the authorisation, by Alipay's number or the merchant's.
        operation_id, out_request_no: one operation of it, by Alipay's number or the merchant's.
    """
    business = {
        "auth_no": auth_no,
        "out_order_no": out_order_no,
        "operation_id": operation_id,
        "out_request_no": out_request_no,
    }
    method = "alipay.fund.auth.operation.detail.query"
    return cast(FundsAuthQueried, (yield from call(account, method, business, app_auth_token=app_auth_token)))
