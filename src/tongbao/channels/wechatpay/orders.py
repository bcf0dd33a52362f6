"""What the order-making methods have in common: their optional fields, who takes part, how an order is put together.

Rule: names are WeChat's. With a `sub_mchid` (the client's own or the call's) the call is a partner's: other paths, and
`sp_...`/`sub_...` in place of `appid` and `mchid`. Source: create order and partner deltas of the protocol.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict

from tongbao.channels.wechatpay.account import Account
from tongbao.channels.wechatpay.requests import segment
from tongbao.channels.wechatpay.values import Amount, fen
from tongbao.domain.errors import InvalidInput


class OrderFields(TypedDict, total=False):
    """Optional fields that every order-making method takes."""

    time_expire: datetime | str
    """Absolute deadline, an aware datetime (or RFC 3339); at least a minute away, 7 days where absent."""
    attach: str
    """Comes back in query, notification and bill; at most 128 characters."""
    goods_tag: str
    detail: Mapping[str, object]
    """cost_price, invoice_id, goods_detail."""
    scene_info: Mapping[str, object]
    """payer_client_ip, device_id, store_info."""
    settle_info: Mapping[str, object]
    """`{"profit_sharing": True}` freezes the money for profit sharing."""
    support_fapiao: bool
    limit_pay: Sequence[str]
    appid: str
    """In place of the client's own."""
    sub_mchid: str
    """Acting for a merchant (partner), in place of the client's own."""
    sub_appid: str
    more: Mapping[str, object]
    """Any further field, under WeChat's name."""


_OUT_TRADE_NO = re.compile(r"[0-9A-Za-z_\-|*]{6,32}", re.ASCII)
_OUT_REFUND_NO = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}", re.ASCII)
_ALNUM = re.compile(r"[0-9A-Za-z]{1,32}", re.ASCII)
_PARTIES = frozenset({"appid", "sub_mchid", "sub_appid", "more"})


def transactions(account: Account, sub_mchid: str | None = None) -> str:
    """The path under which a merchant's, or a partner's, transactions lie."""
    return "/v3/pay/partner/transactions" if sub_mchid or account.sub_mchid else "/v3/pay/transactions"


def numbers(account: Account, sub_mchid: str | None = None) -> dict[str, object]:
    """Whose order it is, for a query, a close: `mchid`, or `sp_mchid` and `sub_mchid`."""
    sub = sub_mchid or account.sub_mchid
    return {"sp_mchid": account.mchid, "sub_mchid": sub} if sub else {"mchid": account.mchid}


def parties(account: Account, optional: Mapping[str, object]) -> dict[str, object]:
    """Whose order it is and by which app: for what makes or reverses one."""
    sub = optional.get("sub_mchid") or account.sub_mchid
    appid = app_of(account, optional.get("appid"))
    if not sub:
        return {"appid": appid, "mchid": account.mchid}
    sub_appid = optional.get("sub_appid") or account.sub_appid
    return {"sp_appid": appid, "sp_mchid": account.mchid, "sub_appid": sub_appid, "sub_mchid": sub}


def app_of(account: Account, appid: object = None) -> str:
    """The call's app, or the client's."""
    found = appid or account.appid
    if not isinstance(found, str):
        raise InvalidInput("appid is missing: give it to the client or to the call", param="appid")
    return found


def order(
    account: Account,
    out_trade_no: str,
    amount: Amount,
    description: str,
    notify_url: str | None,
    optional: Mapping[str, object],
    **own: object,
) -> dict[str, object]:
    """The body of an order; `optional` are OrderFields, `own` the method's own fields. None is left out."""
    unknown = optional.keys() - OrderFields.__annotations__.keys()
    if unknown:
        raise TypeError(f"unknown field {sorted(unknown)[0]!r}: further fields of WeChat's go into more={{...}}")
    shared = {name: value for name, value in optional.items() if name not in _PARTIES}
    return {
        **parties(account, optional),
        "description": checked_description(description),
        "out_trade_no": checked_number(out_trade_no),
        "notify_url": None if notify_url is None else checked_notify_url(notify_url),
        "amount": {"total": fen(amount, "amount"), "currency": "CNY"},
        **shared,
        **own,
        **further(optional.get("more")),
    }


def payer(account: Account, openid: str, optional: Mapping[str, object]) -> dict[str, object]:
    """The buyer by open id: of the app that is signed for; in partner mode of the sub app where there is one."""
    if not openid:
        raise InvalidInput("openid is missing", param="openid")
    if not (optional.get("sub_mchid") or account.sub_mchid):
        return {"openid": openid}
    return {"sub_openid" if optional.get("sub_appid") or account.sub_appid else "sp_openid": openid}


def further(fields: object) -> dict[str, object]:
    """Further fields under WeChat's names."""
    return {str(name): value for name, value in fields.items()} if isinstance(fields, Mapping) else {}


def checked_number(number: str, param: str = "out_trade_no") -> str:
    """6 to 32 of letters, digits and `_ - | *`: an order's number of the merchant's."""
    return _matching(_OUT_TRADE_NO, number, param, "6 to 32 letters, digits and _ - | *")


def checked_refund_number(number: str, param: str = "out_refund_no") -> str:
    """1 to 64 of letters, digits and `_ - | * @`: the number of a refund or of a profit share."""
    return _matching(_OUT_REFUND_NO, number, param, "1 to 64 letters, digits and _ - | * @")


def checked_alnum(number: str, param: str) -> str:
    """1 to 32 letters and digits: the number of a transfer."""
    return _matching(_ALNUM, number, param, "1 to 32 letters and digits")


def _matching(pattern: re.Pattern[str], text: str, param: str, rule: str) -> str:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise InvalidInput(f"{param} has {rule}", param=param)
    return text


def checked_description(description: str) -> str:
    """1 to 127 characters; `values.fitting_text` makes any text acceptable."""
    if not description or len(description) > 127:
        raise InvalidInput("description has 1 to 127 characters", param="description")
    return description


def checked_notify_url(url: str) -> str:
    """Absolute, without a query: WeChat refuses any other. (https in production; the sandbox takes http.)"""
    if not url.startswith(("https://", "http://")) or len(url) > 255 or any(mark in url for mark in "?# "):
        raise InvalidInput("notify_url is an absolute address without a query", param="notify_url")
    return url


def trade_path(account: Account, out_trade_no: str | None, transaction_id: str | None, sub_mchid: str | None) -> str:
    """Names an order by the merchant's number or WeChat's; when both are given WeChat's wins."""
    from_here = transactions(account, sub_mchid)
    if transaction_id:
        return f"{from_here}/id/{segment(transaction_id, 'transaction_id')}"
    if not out_trade_no:
        raise InvalidInput("name the order: out_trade_no or transaction_id", param="out_trade_no")
    return f"{from_here}/out-trade-no/{segment(out_trade_no, 'out_trade_no')}"
