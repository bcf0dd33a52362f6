"""Combined orders (合单): several merchants' orders, paid in one go. Pure exchanges.

Rule: all or nothing, 2 to 10 sub-orders (a partner: 50); each is refunded and shared by its own numbers. Amounts are
fen. Source: combine of the protocol.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast

from tongbao.channels.wechatpay.account import Account
from tongbao.channels.wechatpay.answers import CombinedMade, CombinedOrder
from tongbao.channels.wechatpay.calls import Exchange, call, check_named
from tongbao.channels.wechatpay.orders import app_of, checked_notify_url, checked_number, further
from tongbao.channels.wechatpay.requests import segment
from tongbao.channels.wechatpay.values import fen
from tongbao.domain.errors import InvalidInput

COMBINED = "/v3/combine-transactions"
KINDS = frozenset({"native", "jsapi", "app", "h5"})
SUB_ORDERS_MIN, SUB_ORDERS_MAX = 2, 50


def combined_pay(
    account: Account,
    kind: str,
    *,
    combine_out_trade_no: str,
    sub_orders: Sequence[Mapping[str, object]],
    notify_url: str,
    openid: str | None = None,
    payer_client_ip: str | None = None,
    scene_info: Mapping[str, object] | None = None,
    h5_info: Mapping[str, object] | None = None,
    time_start: datetime | str | None = None,
    time_expire: datetime | str | None = None,
    limit_pay: Sequence[str] | None = None,
    appid: str | None = None,
    more: Mapping[str, object] | None = None,
) -> Exchange[CombinedMade]:
    """Makes a combined order; the answer holds `code_url`, `prepay_id` or `h5_url` as the kind does.

    Args:
        account: set by the client; its mchid is `combine_mchid`.
        kind: native, jsapi, app or h5.
        combine_out_trade_no: of the whole, 6 to 32 characters.
        sub_orders: each with `mchid`, `out_trade_no`, `attach`, `description` and `amount` (fen as `int` or `Money`, or
            WeChat's own `{"total_amount": ..., "currency": "CNY"}`).
        notify_url: where the payment of the whole is notified, once.
        openid: the buyer's (jsapi).
        payer_client_ip, h5_info: as in `h5_pay`; scene_info: device_id.
        time_start, time_expire: absolute, at most 7 days apart; limit_pay: e.g. `["no_credit"]`.
    """
    if kind not in KINDS:
        raise InvalidInput(f"kind is one of {', '.join(sorted(KINDS))}", param="kind")
    h5 = {"h5_info": h5_info or {"type": "Wap"}} if kind == "h5" else {}
    ip = {"payer_client_ip": payer_client_ip} if payer_client_ip else {}
    body = {
        "combine_appid": app_of(account, appid),
        "combine_mchid": account.mchid,
        "combine_out_trade_no": checked_number(combine_out_trade_no, "combine_out_trade_no"),
        "scene_info": {**(scene_info or {}), **ip, **h5} or None,
        "sub_orders": _sub_orders(sub_orders),
        "combine_payer_info": {"openid": openid} if openid else None,
        "time_start": time_start,
        "time_expire": time_expire,
        "notify_url": checked_notify_url(notify_url),
        "limit_pay": limit_pay,
        **further(more),
    }
    return cast(CombinedMade, (yield from call(account, "POST", f"{COMBINED}/{kind}", body)))


def _sub_orders(given: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    if not SUB_ORDERS_MIN <= len(given) <= SUB_ORDERS_MAX:
        raise InvalidInput("a combined order has 2 to 10 sub-orders (a partner's: 50)", param="sub_orders")
    return [{**one, "amount": _amount(one.get("amount"), f"sub_orders[{at}].amount")} for at, one in enumerate(given)]


def _amount(amount: object, param: str) -> Mapping[str, object]:
    if isinstance(amount, Mapping):
        fen(amount.get("total_amount"), f"{param}.total_amount")  # type: ignore[arg-type]  # refuses what is no amount
        return amount
    return {"total_amount": fen(amount, param), "currency": "CNY"}  # type: ignore[arg-type]  # the same


def combined_query(account: Account, *, combine_out_trade_no: str) -> Exchange[CombinedOrder]:
    """The combined order `combine_out_trade_no` and each of its sub-orders. The plain `query` does not know them."""
    path = f"{COMBINED}/out-trade-no/{segment(combine_out_trade_no, 'combine_out_trade_no')}"
    node = yield from call(account, "GET", path)
    check_named(path, "combine_out_trade_no", combine_out_trade_no, node)
    return cast(CombinedOrder, node)


def combined_close(
    account: Account,
    *,
    combine_out_trade_no: str,
    sub_orders: Sequence[Mapping[str, object]],
    appid: str | None = None,
) -> Exchange[None]:
    """Makes an unpaid combined order unpayable.

    Args:
        combine_out_trade_no: of the whole.
        sub_orders: `mchid` and `out_trade_no` of every sub-order that was made, none missing.
    """
    path = f"{COMBINED}/out-trade-no/{segment(combine_out_trade_no, 'combine_out_trade_no')}/close"
    yield from call(account, "POST", path, {"combine_appid": app_of(account, appid), "sub_orders": sub_orders})
