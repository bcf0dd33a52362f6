"""Profit sharing (分账): dividing a paid order's money among receivers, and taking it back. Pure exchanges.

Rule: the order was made with `settle_info={"profit_sharing": True}`; each call has its own number. Amounts are fen,
names are encrypted here. Source: profit sharing of the protocol.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from tongbao.channels.wechatpay.account import Account
from tongbao.channels.wechatpay.answers import ProfitReceiver, ProfitReturn, ProfitShare, Ratio, Unsplit
from tongbao.channels.wechatpay.calls import Exchange, call, check_named, encrypted
from tongbao.channels.wechatpay.orders import app_of, checked_refund_number
from tongbao.channels.wechatpay.requests import segment
from tongbao.channels.wechatpay.values import Amount, fen
from tongbao.domain.errors import InvalidInput

SHARING = "/v3/profitsharing"


def profit_share(
    account: Account,
    *,
    transaction_id: str,
    out_order_no: str,
    receivers: Sequence[Mapping[str, object]],
    unfreeze_unsplit: bool,
    appid: str | None = None,
    sub_mchid: str | None = None,
    sub_appid: str | None = None,
) -> Exchange[ProfitShare]:
    """Shares out a paid order, at the earliest a minute after it was paid. Receivers succeed or fail one by one.

    Args:
        account: set by the client.
        transaction_id: WeChat's number of the order.
        out_order_no: this share's own number, 1 to 64 characters.
        receivers: up to 50, each with `type`, `account`, `amount` (fen), `description`, and `name` in plain text.
        unfreeze_unsplit: True sets the rest of the money free.
    """
    names = [str(one["name"]) if one.get("name") else None for one in receivers]
    for at, one in enumerate(receivers):
        fen(one.get("amount"), f"receivers[{at}].amount")  # type: ignore[arg-type]  # refuses what is no amount
    serial, sealed = yield from encrypted(account, *names)
    body = {
        **_merchant(account, sub_mchid),
        "appid": app_of(account, appid),
        "sub_appid": sub_appid or account.sub_appid,
        "transaction_id": transaction_id,
        "out_order_no": checked_refund_number(out_order_no, "out_order_no"),
        "receivers": [{**one, "name": name} for one, name in zip(receivers, sealed, strict=True)],
        "unfreeze_unsplit": unfreeze_unsplit,
    }
    return cast(ProfitShare, (yield from call(account, "POST", f"{SHARING}/orders", body, serial=serial)))


def profit_share_query(
    account: Account, *, out_order_no: str, transaction_id: str, sub_mchid: str | None = None
) -> Exchange[ProfitShare]:
    """A share and what became of each receiver.

    Args:
        out_order_no: the share's number.
        transaction_id: WeChat's number of the order.
    """
    path = f"{SHARING}/orders/{segment(out_order_no, 'out_order_no')}"
    node = yield from call(
        account, "GET", path, query={"transaction_id": transaction_id, **_merchant(account, sub_mchid)}
    )
    check_named(path, "out_order_no", out_order_no, node)
    return cast(ProfitShare, node)


def profit_unfreeze(
    account: Account, *, transaction_id: str, out_order_no: str, description: str, sub_mchid: str | None = None
) -> Exchange[ProfitShare]:
    """Sets the rest of an order's money free; nothing can be shared afterwards.

    Args:
        transaction_id: WeChat's number of the order.
        out_order_no: a new number: an old one looks successful and does nothing.
        description: why, at most 80 characters.
    """
    body = {
        **_merchant(account, sub_mchid),
        "transaction_id": transaction_id,
        "out_order_no": checked_refund_number(out_order_no, "out_order_no"),
        "description": description,
    }
    return cast(ProfitShare, (yield from call(account, "POST", f"{SHARING}/orders/unfreeze", body)))


def profit_return(
    account: Account,
    *,
    out_return_no: str,
    return_mchid: str,
    amount: Amount,
    description: str,
    out_order_no: str | None = None,
    order_id: str | None = None,
    sub_mchid: str | None = None,
) -> Exchange[ProfitReturn]:
    """Takes shared money back from a merchant, within 180 days.

    Args:
        out_return_no: this return's own number.
        return_mchid: from whom.
        amount: fen.
        description: why, at most 80 characters.
        out_order_no: the share's number, or
        order_id: WeChat's.
    """
    if not out_order_no and not order_id:
        raise InvalidInput("name the share: out_order_no or order_id", param="out_order_no")
    body = {
        **_merchant(account, sub_mchid),
        "order_id": order_id,
        "out_order_no": None if order_id else out_order_no,
        "out_return_no": checked_refund_number(out_return_no, "out_return_no"),
        "return_mchid": return_mchid,
        "amount": fen(amount),
        "description": description,
    }
    return cast(ProfitReturn, (yield from call(account, "POST", f"{SHARING}/return-orders", body)))


def profit_return_query(
    account: Account, *, out_return_no: str, out_order_no: str, sub_mchid: str | None = None
) -> Exchange[ProfitReturn]:
    """A return and what became of it: `result` PROCESSING, SUCCESS or FAILED.

    Args:
        out_return_no: the return's number.
        out_order_no: the share's.
    """
    path = f"{SHARING}/return-orders/{segment(out_return_no, 'out_return_no')}"
    query = {"out_order_no": out_order_no, **_merchant(account, sub_mchid)}
    node = yield from call(account, "GET", path, query=query)
    check_named(path, "out_return_no", out_return_no, node)
    return cast(ProfitReturn, node)


def profit_unsplit(account: Account, *, transaction_id: str) -> Exchange[Unsplit]:
    """What of the order `transaction_id` can still be shared."""
    path = f"{SHARING}/transactions/{segment(transaction_id, 'transaction_id')}/amounts"
    return cast(Unsplit, (yield from call(account, "GET", path)))


def profit_ratio(account: Account, *, sub_mchid: str | None = None) -> Exchange[Ratio]:
    """The largest part of an order that a partner's merchant may share."""
    path = f"{SHARING}/merchant-configs/{segment(sub_mchid or account.sub_mchid or '', 'sub_mchid')}"
    return cast(Ratio, (yield from call(account, "GET", path)))


def receiver_add(
    account: Account,
    *,
    kind: str,
    receiver: str,
    relation_type: str,
    name: str | None = None,
    custom_relation: str | None = None,
    appid: str | None = None,
    sub_mchid: str | None = None,
    sub_appid: str | None = None,
) -> Exchange[ProfitReceiver]:
    """Makes somebody a receiver; a repeat succeeds and changes nothing.

    Args:
        kind: MERCHANT_ID, PERSONAL_OPENID or PERSONAL_SUB_OPENID.
        receiver: the merchant number or open id.
        relation_type: STORE, STAFF, PARTNER, SUPPLIER, USER, CUSTOM, ...
        name: in plain text; a merchant's full name is required.
        custom_relation: what a CUSTOM relation is, at most 10 characters.
    """
    serial, (sealed,) = yield from encrypted(account, name)
    body = {
        **_merchant(account, sub_mchid),
        "appid": app_of(account, appid),
        "sub_appid": sub_appid or account.sub_appid,
        "type": kind,
        "account": receiver,
        "name": sealed,
        "relation_type": relation_type,
        "custom_relation": custom_relation,
    }
    return cast(ProfitReceiver, (yield from call(account, "POST", f"{SHARING}/receivers/add", body, serial=serial)))


def receiver_delete(
    account: Account,
    *,
    kind: str,
    receiver: str,
    appid: str | None = None,
    sub_mchid: str | None = None,
    sub_appid: str | None = None,
) -> Exchange[ProfitReceiver]:
    """Ends that somebody is a receiver; `kind` and `receiver` as in `receiver_add`."""
    body = {
        **_merchant(account, sub_mchid),
        "appid": app_of(account, appid),
        "sub_appid": sub_appid or account.sub_appid,
        "type": kind,
        "account": receiver,
    }
    return cast(ProfitReceiver, (yield from call(account, "POST", f"{SHARING}/receivers/delete", body)))


def _merchant(account: Account, sub_mchid: str | None) -> dict[str, object]:
    return {"sub_mchid": sub_mchid or account.sub_mchid}
