"""Dividing a trade's money between receivers (royalty): bind them, settle, ask. Each function is one pure exchange.

Source: settlement and royalty of the protocol. Receivers must be bound before money can be divided to them.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from tongbao.channels.alipay.account import Account
from tongbao.channels.alipay.answers import ReceiversBound, ReceiversListed, Settled, SettlementQueried
from tongbao.channels.alipay.calls import call
from tongbao.channels.alipay.orders import checked_number, further
from tongbao.channels.exchange import Exchange
from tongbao.domain.errors import InvalidInput

Receiver = Mapping[str, object]
"""`type` (userId, loginName, openId), `account`, `name` (asked for with loginName), `memo`."""


def order_settle(
    account: Account,
    *,
    out_request_no: str,
    trade_no: str,
    royalty_parameters: Sequence[Mapping[str, object]] = (),
    royalty_mode: str | None = None,
    operator_id: str | None = None,
    royalty_finish: bool = False,
    more: Mapping[str, object] | None = None,
    app_auth_token: str | None = None,
) -> Exchange[Settled]:
    """`alipay.trade.order.settle`: divides the money of a paid trade.

    Args:
        out_request_no: this division's number, unique.
        trade_no: Alipay's number of the trade.
        royalty_parameters: each with royalty_type (`transfer`), trans_in_type, trans_in, and amount (yuan, exact) or
            amount_percentage (1-100); trans_out and desc where wanted. At most 5, or 50 with royalty_mode `async`.
        operator_id: the merchant's person.
        royalty_finish: divide for the last time and release the rest.
    """
    business: dict[str, object] = {
        "out_request_no": checked_number(out_request_no, "out_request_no"),
        "trade_no": trade_no,
        "royalty_parameters": list(royalty_parameters) or None,
        "royalty_mode": royalty_mode,
        "operator_id": operator_id,
        "extend_params": {"royalty_finish": "true"} if royalty_finish else None,
        **further(more),
    }
    answer = yield from call(account, "alipay.trade.order.settle", business, app_auth_token=app_auth_token)
    return cast(Settled, answer)


def order_settle_query(
    account: Account,
    *,
    settle_no: str | None = None,
    out_request_no: str | None = None,
    trade_no: str | None = None,
    app_auth_token: str | None = None,
) -> Exchange[SettlementQueried]:
    """`alipay.trade.order.settle.query`: by `settle_no`, or by `out_request_no` with `trade_no`."""
    if not settle_no and not (out_request_no and trade_no):
        raise InvalidInput("name the division: settle_no, or out_request_no with trade_no", param="settle_no")
    business = {"settle_no": settle_no, "out_request_no": out_request_no, "trade_no": trade_no}
    answer = yield from call(account, "alipay.trade.order.settle.query", business, app_auth_token=app_auth_token)
    return cast(SettlementQueried, answer)


def royalty_bind(
    account: Account, *, out_request_no: str, receiver_list: Sequence[Receiver], app_auth_token: str | None = None
) -> Exchange[ReceiversBound]:
    """`alipay.trade.royalty.relation.bind`: binding a receiver twice changes nothing.

    Args:
        out_request_no: this request's number, at most 32 characters.
        receiver_list: at most 20, each with `type` (userId, loginName, openId), `account`, `name` (asked for with
            loginName), `memo`.
    """
    business = {"out_request_no": checked_number(out_request_no, "out_request_no"), "receiver_list": receiver_list}
    answer = yield from call(account, "alipay.trade.royalty.relation.bind", business, app_auth_token=app_auth_token)
    return cast(ReceiversBound, answer)


def royalty_unbind(
    account: Account, *, out_request_no: str, receiver_list: Sequence[Receiver], app_auth_token: str | None = None
) -> Exchange[ReceiversBound]:
    """`alipay.trade.royalty.relation.unbind`.

    Args:
        out_request_no: this request's number, at most 32 characters.
        receiver_list: each with `type` and `account`.
    """
    business = {"out_request_no": checked_number(out_request_no, "out_request_no"), "receiver_list": receiver_list}
    answer = yield from call(account, "alipay.trade.royalty.relation.unbind", business, app_auth_token=app_auth_token)
    return cast(ReceiversBound, answer)


def royalty_query(
    account: Account,
    *,
    out_request_no: str,
    page_num: int = 1,
    page_size: int = 20,
    app_auth_token: str | None = None,
) -> Exchange[ReceiversListed]:
    """`alipay.trade.royalty.relation.batchquery`: the bound receivers.

    Args:
        out_request_no: this request's number, at most 32 characters.
        page_num: from 1.
        page_size: receivers on a page.
    """
    business = {
        "out_request_no": checked_number(out_request_no, "out_request_no"),
        "page_num": page_num,
        "page_size": page_size,
    }
    method = "alipay.trade.royalty.relation.batchquery"
    return cast(ReceiversListed, (yield from call(account, method, business, app_auth_token=app_auth_token)))
